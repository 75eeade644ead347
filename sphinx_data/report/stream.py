"""The rows behind a dataset, part by part: memory stays flat however many samples there are.

A virtual dataset is followed down to the physical ones, and every row of those comes with how often it is used.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sphinx_data import storage
from sphinx_data.dataset import layout, tables
from sphinx_data.dataset.reader import Dataset

Integers = NDArray[np.int64]
Times = NDArray[np.uint32]

_ROWS = 1 << 18  # what is counted at once; the sums over a whole part would need three times its memory


class Use(NamedTuple):
    """A physical dataset and how often each of its rows is used; None means every row once."""

    dataset: Dataset
    times: Times | None
    origin: int = 0  # position among the sources of the dataset that was asked about


class Piece(NamedTuple):
    """Rows `start`, `start + 1`, ... of a physical dataset with how often each is used, int64[N]."""

    table: pa.Table
    times: Integers
    start: int


def uses(dataset: Dataset) -> list[Use]:
    """The physical datasets below a dataset, in the order of its sources."""
    if not dataset.description.virtual:
        return [Use(dataset, None)]
    counted = source_uses(dataset)
    return [
        use._replace(origin=number)
        for number, (source, times) in enumerate(zip(dataset.sources, counted, strict=True))
        for use in _below(source, times)
    ]


def _below(dataset: Dataset, times: Times) -> Iterator[Use]:
    if not dataset.description.virtual:
        yield Use(dataset, times)
        return
    for source, spread in zip(dataset.sources, source_uses(dataset, times), strict=True):
        yield from _below(source, spread)


def source_uses(dataset: Dataset, times: Times | None = None) -> list[Times]:
    """How often a virtual dataset uses each row of each source, when it is itself used `times` at each position."""
    counted = [np.zeros(len(source), dtype=np.uint32) for source in dataset.sources]
    start = 0
    for part in dataset.description.parts:
        table = tables.read(storage.join(dataset.directory, layout.rows(part.part)), columns=["dataset", "row"])
        source, row = table["dataset"].to_numpy(), table["row"].to_numpy()
        weight = np.ones(len(row), np.uint32) if times is None else times[start : start + len(row)]
        for number in np.unique(source):
            mine = source == number
            np.add.at(counted[number], row[mine], weight[mine])
        start += len(row)
    return counted


def pieces(use: Use, columns: Sequence[str]) -> Iterator[Piece]:
    """Some columns of the index, part by part; parts of which nothing is used are not read."""
    start = 0
    for part in use.dataset.description.parts:
        stop = start + part.rows
        times = np.ones(part.rows, np.int64) if use.times is None else use.times[start:stop].astype(np.int64)
        if times.any():
            place = storage.join(use.dataset.directory, layout.index(part.part))
            table = tables.read(place, columns=list(columns))
            for first in range(0, part.rows, _ROWS):
                yield Piece(table.slice(first, _ROWS), times[first : first + _ROWS], start + first)
        start = stop
