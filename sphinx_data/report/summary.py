"""What a dataset holds, in exact numbers; read part by part, so that 15 million rows need no more memory than one."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sphinx_data.dataset.reader import Dataset
from sphinx_data.report.beside import Column, Rule, columns_beside, rules
from sphinx_data.report.shares import Amounts, Share, amounts, shares
from sphinx_data.report.stream import Integers, Piece, pieces, uses
from sphinx_data.report.tally import Distribution, Tally
from sphinx_data.sample import Struct

FIELDS = ("domain", "task", "source", "language", "license", "split")
_NUMBERS = {
    "num_turns": "Supervised turns a sample",  # of the assistant
    "num_chars": "Characters a sample",
    "num_target_chars": "Target characters a sample",
    "num_images": "Images a sample",
    "num_regions": "Regions a sample",
}
_READ = (*FIELDS, "commercial", "redistribute", *_NUMBERS, "images")
SIZE_STEPS = 2  # cells of the map of image sizes for each doubling of a side


class Licence(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Samples under one licence, and what it and the pictures' licences allow together: yes, no or unknown."""

    license: str
    commercial: str
    redistribute: str
    samples: int


class Summary(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The numbers of a report."""

    total: Amounts
    fields: dict[str, dict[str, Amounts]]  # field: value: amounts, largest first
    crossed: dict[tuple[str, str], int]  # (source, task): samples
    licences: tuple[Licence, ...]
    distributions: tuple[Distribution, ...]
    sizes: dict[tuple[int, int], int]  # (column, row) of the map, `SIZE_STEPS` for a doubling: images
    shares: tuple[Share, ...]  # of a mix
    rules: tuple[Rule, ...]  # what was dropped while the dataset, or its sources, were built
    columns: tuple[Column, ...]  # that lie beside it


class _Coded(NamedTuple):
    codes: Integers
    values: list[str]


class _Cross:
    """Sums of samples, images and characters for each combination of some fields."""

    def __init__(self, *fields: str) -> None:
        self.fields = fields
        self.sums: dict[tuple[str, ...], Integers] = {}

    def add(self, coded: dict[str, _Coded], amounts: Sequence[Integers]) -> None:
        columns = [coded[name] for name in self.fields]
        codes = columns[0].codes
        for column in columns[1:]:
            codes = codes * len(column.values) + column.codes
        found, place = np.unique(codes, return_inverse=True)
        sums = np.stack([np.bincount(place, weights=amount, minlength=len(found)) for amount in amounts], axis=1)
        for code, row in zip(found.tolist(), sums.astype(np.int64), strict=True):
            key = []
            for column in reversed(columns):
                code, last = divmod(code, len(column.values))
                key.append(column.values[last])
            if row[0]:
                self.sums[tuple(reversed(key))] = self.sums.get(tuple(reversed(key)), np.int64(0)) + row


def _coded(table: pa.Table, name: str) -> _Coded:
    column = pc.fill_null(pc.cast(table[name], pa.string()), "unknown").combine_chunks()
    coded = pc.dictionary_encode(column)
    return _Coded(coded.indices.to_numpy().astype(np.int64), coded.dictionary.to_pylist())


class _Counter:
    """Everything that is counted in one pass over the index."""

    def __init__(self) -> None:
        self.fields = [_Cross(name) for name in FIELDS]
        self.crossed = _Cross("source", "task")
        self.licences = _Cross("license", "commercial", "redistribute")
        self.numbers = {name: Tally(title) for name, title in _NUMBERS.items()}
        self.width, self.height = Tally("Image width, pixels"), Tally("Image height, pixels")
        self.aspect = Tally("Aspect ratio, width : height", unit=0.001)
        self.sizes: dict[tuple[int, int], int] = {}
        self.total = np.zeros(4, np.int64)

    def add(self, piece: Piece) -> Integers:
        """Count a piece; returns its amounts."""
        table, times = piece.table, piece.times
        values = {name: table[name].to_numpy().astype(np.int64) for name in _NUMBERS}
        amounts = [times, *(times * values[name] for name in ("num_images", "num_chars", "num_target_chars"))]
        coded = {name: _coded(table, name) for name in (*FIELDS, "commercial", "redistribute")}
        for cross in (*self.fields, self.crossed, self.licences):
            cross.add(coded, amounts)
        for name, tally in self.numbers.items():
            tally.add(values[name], times)
        self._add_images(table["images"].combine_chunks(), times)
        sums = np.array([amount.sum() for amount in amounts])
        self.total += sums
        return sums

    def _add_images(self, images: pa.ListArray, times: Integers) -> None:
        each = np.repeat(times, pc.fill_null(pc.list_value_length(images), 0).to_numpy())
        flat = images.flatten()
        width, height = (pc.struct_field(flat, name).to_numpy().astype(np.int64) for name in ("width", "height"))
        self.width.add(width, each)
        self.height.add(height, each)
        self.aspect.add(np.rint(1000 * width / np.maximum(height, 1)).astype(np.int64), each)
        across, down = (
            np.floor(SIZE_STEPS * np.log2(np.maximum(side, 1))).astype(np.int64) for side in (width, height)
        )
        found, place = np.unique(across << 16 | down, return_inverse=True)
        for code, count in zip(found.tolist(), np.bincount(place, weights=each).tolist(), strict=True):
            cell = (code >> 16, code & 0xFFFF)
            self.sizes[cell] = self.sizes.get(cell, 0) + int(count)


def summarise(dataset: Dataset, lengths: str | None = None) -> Summary:
    """Count everything; a virtual dataset's samples count as often as they are used.

    Args:
        dataset: what to count.
        lengths: the only column of lengths to describe, ``lengths-KEY`` or ``KEY``; all that are there by default.

    Raises InputError for unreadable tables, UsageError when there is no such column.
    """
    below = uses(dataset)
    counter = _Counter()
    by_origin = np.zeros((max(len(dataset.sources), 1), 4), np.int64)
    for use in below:
        for piece in pieces(use, _READ):
            by_origin[use.origin] += counter.add(piece)
    numbers = [*counter.numbers.values(), counter.width, counter.height, counter.aspect]
    return Summary(
        total=amounts(counter.total),
        fields={cross.fields[0]: _by_size(cross) for cross in counter.fields},
        crossed={key: int(row[0]) for key, row in sorted(counter.crossed.sums.items())},  # type: ignore[misc]
        licences=tuple(
            Licence(license=key[0], commercial=_flag(key[1]), redistribute=_flag(key[2]), samples=int(row[0]))
            for key, row in sorted(counter.licences.sums.items(), key=lambda item: (-item[1][0], item[0]))
        ),
        distributions=tuple(tally.distribution() for tally in numbers),
        sizes=dict(sorted(counter.sizes.items())),
        shares=shares(dataset, below, by_origin),
        rules=tuple(rules(dataset, [use.dataset for use in below])),
        columns=tuple(columns_beside(dataset, lengths)),
    )


def _by_size(cross: _Cross) -> dict[str, Amounts]:
    ordered = sorted(cross.sums.items(), key=lambda item: (-item[1][0], item[0]))
    return {key[0]: amounts(row) for key, row in ordered}


def _flag(value: str) -> str:
    return {"true": "yes", "false": "no"}.get(value, "unknown")
