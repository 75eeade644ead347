"""Which stored samples a dataset holds: a virtual one's repeated rows are one sample, to be measured once."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sphinx_data.dataset import columns
from sphinx_data.dataset.reader import Dataset, Example

CHUNK = 8192  # distinct samples of a virtual dataset that are measured in one go
DISTINCT = "distinct"  # folder of the measured rows of a virtual dataset, until they are set in its order

Rows = NDArray[np.int64]


class Chunk(NamedTuple):
    """Rows that are measured in one go, and the file they go to."""

    number: int
    rows: range | Rows  # of the physical datasets, one after the other
    virtual: bool

    def file(self, column: str) -> str:
        """Below the folder of columns."""
        return columns.part_file(f"{column}/{DISTINCT}" if self.virtual else column, self.number)


class Stored:
    """The physical datasets below a dataset, each once, and access to their samples by one number."""

    def __init__(self, dataset: Dataset) -> None:
        self.datasets: list[Dataset] = []
        _collect(dataset, self.datasets)
        sizes = [len(found) for found in self.datasets]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._by_fingerprint = {d.fingerprint: start for d, start in zip(self.datasets, self._starts, strict=False)}

    def rows(self, dataset: Dataset) -> Rows:
        """The number of the stored sample at every position of `dataset`, int64[N]."""
        if not dataset.description.virtual:
            return np.arange(len(dataset), dtype=np.int64) + self._by_fingerprint[dataset.fingerprint]
        below = [self.rows(source) for source in dataset.sources]
        starts = np.concatenate([[0], np.cumsum([len(found) for found in below])]).astype(np.int64)
        pointers = dataset.pointers()
        wanted = starts[pointers["dataset"].to_numpy()] + pointers["row"].to_numpy()
        found: Rows = np.concatenate([np.empty(0, np.int64), *below])[wanted]
        return found

    def examples(self, rows: range | Rows, pictures: bool) -> Iterator[Example]:
        """The samples at `rows`; without `pictures` only their JSON is read.

        Datasets are opened anew, because one that is open keeps the places of all rows that it ever gave.
        """
        fresh: dict[int, Dataset] = {}
        for row in rows:
            number = int(np.searchsorted(self._starts, row, side="right")) - 1
            if number not in fresh:
                known = self.datasets[number]
                fresh[number] = Dataset(known.directory, known.description)
            dataset, at = fresh[number], int(row - self._starts[number])
            yield dataset[at] if pictures else _Words(dataset, at)


class _Words(Example):
    """A sample whose pictures were not read."""

    __slots__ = ()

    def __init__(self, dataset: Dataset, row: int) -> None:
        super().__init__(memoryview(b""), ())
        self._sample = dataset.sample(row)


def chunks(dataset: Dataset) -> tuple[list[Chunk], Rows | None]:
    """What to measure, and for a virtual dataset which of the distinct rows stands at each position, int64[N]."""
    if not dataset.description.virtual:
        found, start = [], 0
        for part in dataset.description.parts:
            found.append(Chunk(part.part, range(start, start + part.rows), virtual=False))
            start += part.rows
        return found, None
    distinct, inverse = np.unique(Stored(dataset).rows(dataset), return_inverse=True)
    starts = range(0, len(distinct), CHUNK)
    return [Chunk(n, distinct[start : start + CHUNK], virtual=True) for n, start in enumerate(starts)], inverse


def _collect(dataset: Dataset, found: list[Dataset]) -> None:
    for source in dataset.sources:
        _collect(source, found)
    if not dataset.description.virtual and dataset.fingerprint not in {known.fingerprint for known in found}:
        found.append(dataset)
