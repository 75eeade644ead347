"""Which rows of a source are drawn from: verdicts, condition, cap, holdout and ratings, each drop counted."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sphinx_data import order
from sphinx_data.dataset import columns, tables
from sphinx_data.dataset.reader import Dataset
from sphinx_data.errors import UsageError
from sphinx_data.mix import scan
from sphinx_data.mix.find import Source
from sphinx_data.mix.recipe import Ratings
from sphinx_data.mix.where import Where

_CAP, _RATING = 6, 7  # what a key is for; order.py lists the others

Rows = NDArray[np.uint32]


class Selection(NamedTuple):
    """What a source gives."""

    rows: Rows  # rows of one epoch, [M]; a row that a rating repeats comes several times
    held: Rows  # rows held out
    distinct: int  # different rows among `rows`
    dropped: dict[str, int]  # why rows are not drawn from: ``dedup:near-duplicate``, where, cap, holdout, rating
    repeats: dict[int, int]  # with ratings: how often in an epoch -> rows


def select(source: Source, held_out: NDArray[np.bool_] | None, seed: int, place: str) -> Selection:
    """Apply a source's verdicts, its condition, cap, the holdout and its ratings, in this order.

    Raises UsageError naming file, field and value for what the source cannot have.
    """
    leaf, dataset = source
    field = f"{place}: {leaf.field}"
    keep = np.ones(len(dataset), dtype=bool)
    dropped: Counter[str] = Counter()
    for name in leaf.source.columns:
        dropped += _verdict(dataset, name, keep, f"{field}.columns")
    if leaf.source.where is not None:
        chosen = _condition(dataset, Where(leaf.source.where, f"{field}.where"))
        dropped["where"] = int((keep & ~chosen).sum())
        keep &= chosen
    rows = np.flatnonzero(keep)
    if leaf.source.cap is not None:
        taken = _capped(rows, leaf.source.cap, seed, f"{field}.cap", ceiling=leaf.source.glob)
        dropped["cap"] = len(rows) - len(taken)
        rows = taken
    out = np.zeros(len(rows), dtype=bool) if held_out is None else held_out[rows]
    dropped["holdout"] = int(out.sum())
    rows, held = rows[~out], rows[out]
    repeats = None
    if leaf.source.ratings is not None and len(rows):
        repeats = _repeats(dataset, leaf.source.ratings, rows, seed, f"{field}.ratings")
        dropped["rating"] = int((repeats == 0).sum())
    drawn = rows if repeats is None else _repeated(rows, repeats)
    if not len(drawn):
        why = ", ".join(f"{count:,} dropped by {name}" for name, count in dropped.items() if count)
        why = why if len(dataset) else "the dataset is empty"
        raise UsageError(f"{field}.dataset: nothing of {dataset.name!r} can be mixed: {why}")
    counts = {} if repeats is None else dict(sorted(Counter(repeats.tolist()).items()))
    distinct = len(rows) if repeats is None else int((repeats > 0).sum())
    kept = {name: count for name, count in dropped.items() if count}
    return Selection(drawn.astype(np.uint32), held.astype(np.uint32), distinct, kept, counts)


def numbers(dataset: Dataset, column: str, field: str, place: str) -> NDArray[np.float64]:
    """A numeric field of a side column, float64[N]. Raises UsageError when it is missing, null or no number."""
    table = columns.read(dataset, column)
    if field not in table.column_names:
        raise UsageError(f"{place}: column {column!r} of {dataset.name!r} has no {field!r}, only {table.column_names}")
    values = table[field]
    if values.null_count or not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        raise UsageError(
            f"{place}: {column}.{field} of {dataset.name!r} is {values.type} with {values.null_count} nulls; "
            "numbers are needed"
        )
    found: NDArray[np.float64] = values.to_numpy().astype(np.float64)
    return found


def _verdict(dataset: Dataset, name: str, keep: NDArray[np.bool_], place: str) -> Counter[str]:
    """Clear `keep` where a verdict column does not say keep; counts by ``column:rule``."""
    table = columns.read(dataset, name)
    if "keep" not in table.column_names or table["keep"].type != pa.bool_():
        raise UsageError(f"{place}: {name!r} of {dataset.name!r} is no verdict: it has no true-or-false field 'keep'")
    says = table["keep"].combine_chunks().fill_null(False).to_numpy(zero_copy_only=False)
    lost = keep & ~says
    keep &= says
    if not lost.any():
        return Counter()
    rules = table["rule"] if "rule" in table.column_names else pa.nulls(len(table), pa.string())
    counts = pc.value_counts(pc.fill_null(rules.filter(pa.array(lost)), "no rule")).to_pylist()
    return Counter({f"{name}:{item['values']}": item["counts"] for item in counts})


def _condition(dataset: Dataset, where: Where) -> NDArray[np.bool_]:
    """Which rows the condition holds for, bool[N], evaluated part by part."""
    index = [name for name in where.columns if name in tables.INDEX.names]
    known = columns.names(dataset)
    where.refuse_unknown([*tables.INDEX.names, *known])
    side = {}
    for name in where.columns:
        if name not in index:
            table = columns.read(dataset, name).combine_chunks()
            side[name] = pa.StructArray.from_arrays([c.combine_chunks() for c in table.columns], table.column_names)
    found, start = [np.empty(0, dtype=bool)], 0
    for part in scan.chunks(dataset, index or ["num_images"]):
        for name, values in side.items():
            part = part.append_column(name, values.slice(start, len(part)))
        found.append(where.mask(part))
        start += len(part)
    return np.concatenate(found)


def _capped(rows: NDArray[np.int64], cap: int, seed: int, place: str, ceiling: bool) -> NDArray[np.int64]:
    """A seeded subset, in stored order; for a glob the cap is a ceiling, for one dataset it must be there."""
    if cap > len(rows) and not ceiling:
        raise UsageError(f"{place}: is {cap}, but only {len(rows)} samples are there to take; lower it or leave it out")
    if cap >= len(rows):
        return rows
    chosen = order.permute(np.arange(cap), len(rows), order.key(seed, _CAP))
    return rows[np.sort(chosen)]


def _repeats(dataset: Dataset, ratings: Ratings, rows: NDArray[np.int64], seed: int, place: str) -> NDArray[np.int64]:
    """How often each of `rows` comes in one epoch, int64[M]."""
    scores = numbers(dataset, ratings.column, ratings.field, place)[rows]
    if ratings.table is not None:
        unknown = sorted(set(np.unique(scores).tolist()) - set(ratings.table))
        if unknown:
            raise UsageError(f"{place}.table: {dataset.name!r} has the rating {unknown[0]:g}; give it a repeat, e.g. 0")
        values = np.array(sorted(ratings.table))
        times = np.array([ratings.table[value] for value in values.tolist()])
        return times[np.searchsorted(values, scores)].astype(np.int64)
    if scores.min() < 0 or scores.max() <= 0:
        raise UsageError(f"{place}.power: ratings of {dataset.name!r} lie in {scores.min():g}..{scores.max():g}; "
                         "a power needs ratings of 0 or more and one above 0")  # fmt: skip
    # a grid of 2^-20 of the largest weight hides differences between machines in the last digits of a power
    weights = np.rint((scores / scores.max()) ** float(ratings.power or 1.0) * 2**20)
    # systematic sampling: each row gets the floor or the ceiling of its expectation, the sum is exact
    drawn = order.permute(np.arange(len(rows)), len(rows), order.key(seed, _RATING))
    ends = np.cumsum(weights[drawn])
    counts = np.diff(np.floor(ends / ends[-1] * len(rows)), prepend=0.0)
    repeats = np.empty(len(rows), dtype=np.int64)
    repeats[drawn] = counts.astype(np.int64)
    return repeats


def _repeated(rows: NDArray[np.int64], repeats: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every row as often as it repeats; copies lie far apart, so that no window holds two."""
    layers = [rows[repeats > layer] for layer in range(int(repeats.max(initial=0)))]
    return np.concatenate([np.empty(0, dtype=np.int64), *layers])
