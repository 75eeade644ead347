"""Exact distributions of whole numbers in little memory: how often each value occurs."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sphinx_data.sample import Struct

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
BINS = 36
_DENSE = 1 << 16  # below this a count for every possible value is faster than sorting
_LONG_TAIL = 30  # maximum over median from which bins grow with the value

Integers = NDArray[np.int64]


class Bin(Struct, frozen=True):
    """Values from `low` to below `high`, and how many there are."""

    low: float
    high: float
    count: int


class Distribution(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """How a number is spread; nothing but `name` and `count` means anything when `count` is 0."""

    name: str
    count: int
    total: float
    smallest: float
    largest: float
    percentiles: dict[int, float]
    bins: tuple[Bin, ...]
    logarithmic: bool  # bins grow with the value

    @property
    def mean(self) -> float:
        """Arithmetic mean."""
        return self.total / self.count if self.count else 0.0


class Tally:
    """Counts of whole numbers; `unit` is what one of them stands for (0.001 keeps three decimals of a ratio)."""

    def __init__(self, name: str, unit: float = 1) -> None:
        self.name, self.unit = name, unit
        self._values = np.empty(0, np.int64)
        self._counts = np.empty(0, np.int64)

    def add(self, values: Integers, times: Integers) -> None:
        """Count values >= 0, each as often as `times` says."""
        values, times = values[times > 0], times[times > 0]
        if not len(values):
            return
        if values.max() < _DENSE:
            sums = np.bincount(values, weights=times)
            distinct = np.flatnonzero(sums)
            sums = sums[distinct]
        else:
            distinct, place = np.unique(values, return_inverse=True)
            sums = np.bincount(place, weights=times)
        self._merge(distinct, sums.astype(np.int64))

    def _merge(self, values: Integers, counts: Integers) -> None:
        both = np.concatenate([self._values, values])
        self._values, place = np.unique(both, return_inverse=True)
        weights = np.concatenate([self._counts, counts])
        self._counts = np.bincount(place, weights=weights).astype(np.int64)

    def distribution(self) -> Distribution:
        """Everything a page says of these numbers."""
        return describe(self.name, self._values, self._counts, self.unit)


def describe(name: str, values: NDArray[np.generic], counts: Integers, unit: float = 1) -> Distribution:
    """The distribution of ascending distinct values that occur `counts` times."""
    if not len(values):
        return Distribution(
            name=name, count=0, total=0, smallest=0, largest=0, percentiles={}, bins=(), logarithmic=False
        )
    ends = np.cumsum(counts)
    count = int(ends[-1])
    places = np.searchsorted(ends, [max(1, -(-count * p // 100)) for p in PERCENTILES])
    middle = float(values[places[PERCENTILES.index(50)]])
    long_tail = float(values[0]) >= 0 and float(values[-1]) > _LONG_TAIL * max(middle, 1)
    whole = np.issubdtype(values.dtype, np.integer)
    edges = _edges(float(values[0]), float(values[-1]), long_tail, whole)
    sums = np.add.reduceat(np.append(counts, 0), np.minimum(np.searchsorted(values, edges[:-1]), len(counts)))
    empty = np.diff(np.searchsorted(values, edges)) == 0  # reduceat gives the next value where a bin holds none
    sums[empty] = 0
    return Distribution(
        name=name,
        count=count,
        total=float(np.dot(values.astype(np.float64), counts)) * unit,
        smallest=_plain(values[0], unit),
        largest=_plain(values[-1], unit),
        percentiles={p: _plain(values[place], unit) for p, place in zip(PERCENTILES, places, strict=True)},
        bins=tuple(
            Bin(_plain(low, unit), _plain(high, unit), int(n))
            for low, high, n in zip(edges[:-1], edges[1:], sums, strict=True)
        ),
        logarithmic=long_tail,
    )


def _plain(value: np.generic | float, unit: float) -> float:
    number = float(value) * unit
    return int(number) if number.is_integer() else round(number, 6)


def _edges(low: float, high: float, long_tail: bool, whole: bool) -> NDArray[np.float64]:
    """Bounds of the bins; the last one lies above the highest value."""
    if whole and high - low < BINS:
        return np.arange(low, high + 2, dtype=np.float64)
    if long_tail:
        start = max(low, 1.0)
        grown = np.geomspace(start, max(high + 1, start * 2), BINS + 1)
        grown = np.unique(np.ceil(grown)) if whole else grown
        return np.unique(np.concatenate([[low], grown]))
    step = _nice((high - low) / BINS, whole)
    first = np.floor(low / step) * step
    return np.asarray(first + step * np.arange(int((high - first) // step) + 2), dtype=np.float64)


def _nice(step: float, whole: bool) -> float:
    """The next of 1, 2, 5, 10, ... from a step upwards."""
    if step <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(step))
    nice = next(float(n * power) for n in (1, 2, 5, 10) if n * power >= step * (1 - 1e-9))
    return max(nice, 1.0) if whole else nice


def of_column(name: str, column: pa.ChunkedArray) -> Distribution:
    """The distribution of a numeric column; nulls, NaN and infinities are left out."""
    numbers = column.drop_null().to_numpy()
    if np.issubdtype(numbers.dtype, np.floating):
        numbers = numbers[np.isfinite(numbers)]
    values, counts = np.unique(numbers, return_counts=True)
    return describe(name, values, counts.astype(np.int64))


def value_counts(column: pa.ChunkedArray) -> dict[str, int]:
    """How often each value of a text or boolean column occurs, most frequent first."""
    filled = pc.fill_null(pc.cast(column, pa.string()), "unknown")
    found = {str(item["values"]): int(item["counts"]) for item in pc.value_counts(filled).to_pylist()}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
