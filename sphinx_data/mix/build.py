"""From a recipe to a virtual dataset in training order, its holdout and its lock."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from sphinx_data import storage
from sphinx_data.dataset import layout, tables
from sphinx_data.dataset.description import (
    COUNTED,
    Description,
    PartInfo,
    SourceDataset,
    Stored,
    fingerprint,
    hash_array,
    store,
)
from sphinx_data.dataset.reader import Dataset, open_dataset
from sphinx_data.errors import UsageError
from sphinx_data.mix import lock as locks
from sphinx_data.mix.holdout import held_out
from sphinx_data.mix.recipe import Recipe
from sphinx_data.order import Order, largest_remainder, quota_table

PART_ROWS = 1 << 20
Rows = NDArray[np.int64]


class Resolved(NamedTuple):
    """A recipe held against the datasets it names."""

    datasets: list[Dataset]
    selected: list[Rows]  # rows that each source gives
    holdout: list[Rows]  # rows held out of each source
    totals: Rows  # int64[S], positions that each source takes


class Pointers(NamedTuple):
    """A stretch of a mix: three int64 arrays of one length."""

    dataset: Rows
    row: Rows
    epoch: Rows


def find(sources: Sequence[str], roots: Mapping[str, str], place: str) -> list[Dataset]:
    """Open the datasets that a recipe names: below ``--root``, at their own ``NAME=PLACE``, or from the working folder.

    Raises UsageError listing every one that is missing.
    """
    found, missing = [], []
    for name in sources:
        default = storage.join(roots[""], name) if "" in roots else name
        at = roots.get(os.path.basename(name.rstrip("/")), default)
        if storage.exists(at):
            found.append(open_dataset(at, roots))
        else:
            missing.append(f"{name} (sought at {at})")
    if missing:
        raise UsageError(f"{place}: sources that are not there: {', '.join(missing)}; build them or give --root PLACE")
    return found


def resolve(recipe: Recipe, datasets: list[Dataset], place: str) -> Resolved:
    """Select rows, hold some out, and turn weights into whole numbers of samples."""
    taken = [np.zeros(len(dataset), dtype=bool) for dataset in datasets]
    if recipe.holdout:
        table = pa.concat_tables([dataset.table(["images", "content"]) for dataset in datasets])
        ends = np.cumsum([len(dataset) for dataset in datasets])
        taken = np.split(held_out(table, recipe.holdout, recipe.seed), ends[:-1])
    selected = [np.flatnonzero(~out) for out in taken]
    for number, (dataset, rows) in enumerate(zip(datasets, selected, strict=True)):
        if not len(rows):
            why = "every sample of it is held out" if len(dataset) else "the dataset is empty"
            raise UsageError(f"{place}: sources[{number}].dataset: nothing of {dataset.name!r} can be mixed: {why}")
    return Resolved(datasets, selected, [np.flatnonzero(out) for out in taken], _totals(recipe, selected, place))


def _totals(recipe: Recipe, selected: list[Rows], place: str) -> Rows:
    sizes = np.array([len(rows) for rows in selected])
    totals = np.zeros(len(sizes), dtype=np.int64)
    free = np.array([not source.fixed for source in recipe.sources])
    for number, source in enumerate(recipe.sources):
        if source.fixed:
            totals[number] = source.count or max(1, round((source.epochs or 1) * sizes[number]))
    rest = round((recipe.epochs or 1) * int(sizes[free].sum()))
    if recipe.total is not None:
        rest = recipe.total - int(totals.sum())
        if rest < 0 or (rest and not free.any()):
            raise UsageError(
                f"{place}: total: is {recipe.total}, but epochs and counts alone ask for {totals.sum()}; "
                "leave total out or give a weight"
            )
    if free.any():
        weights = np.array([source.weight or len(rows) for source, rows in zip(recipe.sources, selected, strict=True)])
        totals[free] = largest_remainder(weights[free].astype(np.float64), rest)
    for number in np.flatnonzero(totals == 0):
        raise UsageError(f"{place}: sources[{number}]: its share of {totals.sum()} samples rounds to none; raise total")
    return totals


def positions(recipe: Recipe, found: Resolved) -> Iterator[Pointers]:
    """The mix in training order, in stretches of at most `PART_ROWS`."""
    sizes = np.array([len(rows) for rows in found.selected])
    order = Order(found.totals, sizes, recipe.seed) if recipe.order == "shuffled" else None
    ends = np.cumsum(found.totals)
    for start in range(0, int(ends[-1]), PART_ROWS):
        stop = min(start + PART_ROWS, int(ends[-1]))
        if order is not None:
            source, epoch, row = order.rows(start, stop)
        else:
            place = np.arange(start, stop)
            source = np.searchsorted(ends, place, side="right")
            epoch, row = np.divmod(place - (ends - found.totals)[source], sizes[source])
        stored = np.empty_like(row)
        for number in np.unique(source):
            mine = source == number
            stored[mine] = found.selected[number][row[mine]]
        yield Pointers(source, stored, epoch)


def build(
    recipe: Recipe, directory: str, roots: Mapping[str, str], place: str, expected: locks.Lock | None = None
) -> locks.Lock:
    """Write the mix, its holdout and its lock into `directory`.

    Args:
        recipe: what to mix.
        directory: the dataset to make.
        roots: where sources are sought, as `open_dataset` takes them.
        place: the recipe's file, named in errors.
        expected: the lock that must come out again.

    Raises UsageError for what the recipe cannot have, and for the first difference from `expected`.
    """
    datasets = find([source.dataset for source in recipe.sources], roots, place)
    if expected is not None:
        locks.refuse_other_sources(expected, datasets, place)
    found = resolve(recipe, datasets, place)
    parameters = {"recipe": msgspec.to_builtins(recipe)}
    encoded = msgspec.json.Encoder(order="deterministic").encode({"builder": "mix", **parameters})
    storage.write_atomic(storage.join(directory, layout.PLAN), msgspec.json.format(encoded, indent=1) + b"\n")
    holdout = None
    if recipe.holdout and any(len(rows) for rows in found.holdout):
        stretch = Pointers(
            np.concatenate([np.full(len(rows), number) for number, rows in enumerate(found.holdout)]),
            np.concatenate(found.holdout),
            np.zeros(sum(map(len, found.holdout)), dtype=np.int64),
        )
        name = f"{recipe.name}-holdout"
        holdout, _ = write_virtual(storage.join(directory, "holdout"), name, parameters, datasets, iter([stretch]))
    written, uses = write_virtual(directory, recipe.name, parameters, datasets, positions(recipe, found), last=False)
    lock = _lock(recipe, found, written, holdout, uses)
    if expected is not None:
        locks.refuse_difference(expected, lock, place)
    locks.store(directory, lock)
    store(directory, written)
    return lock


def write_virtual(
    directory: str,
    name: str,
    parameters: dict[str, Any],
    datasets: list[Dataset],
    stretches: Iterator[Pointers],
    *,
    last: bool = True,
) -> tuple[Description, list[Rows]]:
    """Write the rows of a virtual dataset; also returns how often each row of each dataset is used.

    ``dataset.json`` is written unless `last` is False: the caller then stores the description as its own last act.
    """
    contents = np.concatenate([hash_array(dataset.table(["content"])["content"]) for dataset in datasets])
    starts = np.concatenate([[0], np.cumsum([len(dataset) for dataset in datasets])])
    uses = [np.zeros(len(dataset), dtype=np.int64) for dataset in datasets]
    parts: list[PartInfo] = []

    def hashed() -> Iterator[NDArray[np.uint8]]:
        for number, stretch in enumerate(stretches):
            parts.append(_write_rows(directory, number, stretch))
            for source in np.unique(stretch.dataset):
                rows = stretch.row[stretch.dataset == source]
                uses[source] += np.bincount(rows, minlength=len(uses[source]))
            yield contents[starts[stretch.dataset] + stretch.row]

    identity = fingerprint(hashed())
    counts, images = _counts(datasets, uses)
    description = Description(
        name=name, fingerprint=identity, builder="mix", parameters=parameters,
        samples=sum(part.rows for part in parts), images=images, rejects=0, counts=counts, parts=tuple(parts),
        datasets=tuple(_pointer(directory, dataset) for dataset in datasets),
    )  # fmt: skip
    if last:
        store(directory, description)
    return description, uses


def _write_rows(directory: str, number: int, stretch: Pointers) -> PartInfo:
    columns = [pa.array(column, kind) for column, kind in zip(stretch, tables.ROWS.types, strict=True)]
    place = storage.join(directory, layout.rows(number))
    digest = tables.write(place, pa.table(columns, schema=tables.ROWS))
    stored = Stored(name=layout.rows(number), size=storage.size(place), xxh3=digest)
    return PartInfo(part=number, rows=len(stretch.row), tables=(stored,))


def _pointer(directory: str, dataset: Dataset) -> SourceDataset:
    relative = os.path.relpath(dataset.directory, directory)
    return SourceDataset(name=dataset.name, fingerprint=dataset.fingerprint, path=relative, rows=len(dataset))


def _counts(datasets: list[Dataset], uses: list[Rows]) -> tuple[dict[str, dict[str, int]], int]:
    """Counts by domain, task, ... and of images, each sample counted as often as it is used."""
    totals: dict[str, dict[str, int]] = {name: {} for name in COUNTED}
    images = 0
    for dataset, times in zip(datasets, uses, strict=True):
        table = dataset.table([*COUNTED, "num_images"])
        images += int(table["num_images"].to_numpy().astype(np.int64) @ times)
        for name, counts in totals.items():
            values = pc.dictionary_encode(pc.fill_null(table[name], "unknown").combine_chunks())
            sums = np.bincount(values.indices.to_numpy(), weights=times, minlength=len(values.dictionary))
            for value, count in zip(values.dictionary.to_pylist(), sums.tolist(), strict=True):
                if count:
                    counts[value] = counts.get(value, 0) + int(count)
    return totals, images


def _lock(
    recipe: Recipe, found: Resolved, written: Description, holdout: Description | None, uses: list[Rows]
) -> locks.Lock:
    amounts = {"samples": found.totals.astype(np.int64)}
    for unit, column in (("images", "num_images"), ("target_chars", "num_target_chars")):
        columns = (dataset.table([column])[column].to_numpy().astype(np.int64) for dataset in found.datasets)
        amounts[unit] = np.array([int(values @ times) for values, times in zip(columns, uses, strict=True)])
    weights = sum(source.weight or 0.0 for source in recipe.sources)
    sources = [
        locks.LockedSource(
            name=dataset.name,
            fingerprint=dataset.fingerprint,
            rows=len(dataset),
            selected=len(rows),
            selection=xxhash.xxh3_128_hexdigest(rows.astype("<u4").tobytes()),
            samples=int(total),
            epochs=round(int(total) / len(rows), 6),
            requested=None if source.weight is None else round(source.weight / weights, 6),
            realised={unit: round(float(v[n] / max(v.sum(), 1)), 6) for unit, v in amounts.items()},
        )
        for n, (source, dataset, rows, total) in enumerate(
            zip(recipe.sources, found.datasets, found.selected, found.totals, strict=True)
        )
    ]
    return locks.Lock(
        recipe=recipe,
        sources=tuple(sources),
        quotas=xxhash.xxh3_128_hexdigest(quota_table(found.totals).tobytes()),
        samples=written.samples,
        fingerprint=written.fingerprint,
        holdout_samples=holdout.samples if holdout else 0,
        holdout_fingerprint=holdout.fingerprint if holdout else None,
    )
