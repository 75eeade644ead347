"""Writing a dataset whose rows point into other datasets."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from sphinx_data import storage
from sphinx_data.dataset import layout, tables
from sphinx_data.dataset.description import COUNTED, Description, PartInfo, SourceDataset, Stored
from sphinx_data.dataset.reader import Dataset
from sphinx_data.mix.scan import Facts
from sphinx_data.sample import SCHEMA_VERSION

Rows = NDArray[np.int64]


class Pointers(NamedTuple):
    """A stretch of a mix: three int64 arrays of one length."""

    dataset: Rows
    row: Rows
    epoch: Rows


class Virtual:
    """A virtual dataset in the making: stretches in, parts of rows out; counts and identity are kept on the way."""

    def __init__(self, directory: str, datasets: Sequence[Dataset], facts: Sequence[Facts], *, write: bool) -> None:
        """`facts` of every dataset in the same order; without `write` everything is computed and nothing stored."""
        self.directory, self._datasets, self._facts, self._write = directory, datasets, facts, write
        sizes = [len(dataset) for dataset in datasets]
        self._starts = np.cumsum([0, *sizes])
        self._uses = np.zeros(sum(sizes), dtype=np.uint32)
        self._parts: list[PartInfo] = []
        self._identity = xxhash.xxh3_128(SCHEMA_VERSION.encode())
        self.samples = 0

    @property
    def fingerprint(self) -> str:
        """Identity of the samples so far, as `description.fingerprint` has it."""
        return self._identity.hexdigest()

    @property
    def uses(self) -> list[NDArray[np.uint32]]:
        """How often each row of each dataset was pointed at."""
        return np.split(self._uses, self._starts[1:-1])

    def add(self, stretch: Pointers) -> None:
        """Append one part."""
        np.add.at(self._uses, self._starts[stretch.dataset] + stretch.row, 1)
        content = np.empty((len(stretch.row), 16), dtype=np.uint8)
        by_dataset = np.argsort(stretch.dataset.astype(np.uint16), kind="stable")  # 16 bits: a radix sort
        ends = np.cumsum(np.bincount(stretch.dataset, minlength=len(self._facts)))[:-1]
        for facts, mine in zip(self._facts, np.split(by_dataset, ends), strict=True):
            content[mine] = facts.content[stretch.row[mine]]
        self._identity.update(content.data)
        self.samples += len(stretch.row)
        if self._write:
            self._parts.append(self._stored(len(self._parts), stretch))

    def _stored(self, number: int, stretch: Pointers) -> PartInfo:
        columns = [pa.array(column, kind) for column, kind in zip(stretch, tables.ROWS.types, strict=True)]
        place = storage.join(self.directory, layout.rows(number))
        digest = tables.write(place, pa.table(columns, schema=tables.ROWS))
        stored = Stored(name=layout.rows(number), size=storage.size(place), xxh3=digest)
        return PartInfo(part=number, rows=len(stretch.row), tables=(stored,))

    def describe(self, name: str, parameters: Mapping[str, Any]) -> Description:
        """What ``dataset.json`` will say; counts hold each sample as often as it is used."""
        counts: dict[str, dict[str, int]] = {field: {} for field in COUNTED}
        images = 0
        for facts, uses in zip(self._facts, self.uses, strict=True):
            images += int(facts.numbers["images"].astype(np.int64) @ uses)
            sums = np.bincount(facts.kind, weights=uses, minlength=len(facts.kinds)).astype(np.int64)
            for kind, count in zip(facts.kinds, sums.tolist(), strict=True):
                for field, value in zip(COUNTED, kind, strict=False):
                    if count:
                        text = "unknown" if value is None else str(value)
                        counts[field][text] = counts[field].get(text, 0) + count
        return Description(
            name=name, fingerprint=self.fingerprint, builder="mix", parameters=dict(parameters), samples=self.samples,
            images=images, rejects=0, counts=counts, parts=tuple(self._parts),
            datasets=tuple(_pointer(self.directory, dataset) for dataset in self._datasets),
        )  # fmt: skip


def _pointer(directory: str, dataset: Dataset) -> SourceDataset:
    relative = os.path.relpath(dataset.directory, directory)
    return SourceDataset(name=dataset.name, fingerprint=dataset.fingerprint, path=relative, rows=len(dataset))
