"""From a recipe to a virtual dataset in training order, its holdout and its lock; or, written nowhere, to its price."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from sphinx_data import storage
from sphinx_data.dataset import layout
from sphinx_data.dataset.description import store
from sphinx_data.errors import UsageError
from sphinx_data.mix import find as finding
from sphinx_data.mix import lock as locks
from sphinx_data.mix import price, shares
from sphinx_data.mix.find import Source
from sphinx_data.mix.holdout import held_out
from sphinx_data.mix.recipe import Recipe
from sphinx_data.mix.scan import Facts, facts
from sphinx_data.mix.select import Selection, numbers, select
from sphinx_data.mix.virtual import Pointers, Virtual
from sphinx_data.order import BLOCK, WINDOWED_BLOCK, Order

STRETCH = 1 << 20  # positions computed at a time, and rows of a part
CHUNK_BYTES = 4 << 20  # windowed order: bytes of a source that are read together


class Resolved(NamedTuple):
    """A recipe held against the datasets it names."""

    recipe: Recipe
    sources: list[Source]
    facts: list[Facts]
    selected: list[Selection]
    totals: shares.Totals
    order: Order


def resolve(recipe: Recipe, sources: list[Source], place: str) -> Resolved:
    """Select rows, hold some out, and turn weights into whole numbers of samples."""
    datasets = [source.dataset for source in sources]
    out = held_out(datasets, recipe.holdout, recipe.seed) if recipe.holdout else [None] * len(sources)
    selected = [
        select(source, mask, recipe.seed, place) for source, mask in zip(sources, out, strict=True)
    ]  # before the scan: what cannot be is refused early
    known: dict[int, Facts] = {}
    for dataset in datasets:
        if id(dataset) not in known:
            known[id(dataset)] = facts(dataset, _tokens(recipe, dataset, place))
    scanned = [known[id(dataset)] for dataset in datasets]
    sizes = np.array([len(one.rows) for one in selected], dtype=np.int64)
    amounts = sizes.astype(np.float64)
    if recipe.unit != "samples":
        sums = [int(f.numbers[recipe.unit][s.rows].sum(dtype=np.int64)) for f, s in zip(scanned, selected, strict=True)]
        amounts = np.array(sums, dtype=np.float64)
    totals = shares.totals(recipe, sources, sizes, amounts, place)
    windowed = recipe.order == "windowed"
    chunks = _chunks(scanned) if windowed else None
    order = Order(totals.samples, sizes, recipe.seed, WINDOWED_BLOCK if windowed else BLOCK, chunks)
    return Resolved(recipe, sources, scanned, selected, totals, order)


def positions(found: Resolved) -> Iterator[Pointers]:
    """The mix in training order, in stretches of at most `STRETCH`."""
    sizes = np.array([len(one.rows) for one in found.selected])
    rows, starts = np.concatenate([one.rows for one in found.selected]), np.cumsum(sizes) - sizes
    totals = found.totals.samples.sum(axis=0)
    ends = np.cumsum(totals)
    for start in range(0, int(ends[-1]), STRETCH):
        stop = min(start + STRETCH, int(ends[-1]))
        if found.recipe.order != "none":
            source, epoch, row = found.order.rows(start, stop)
        else:
            place = np.arange(start, stop)
            source = np.searchsorted(ends, place, side="right")
            epoch, row = np.divmod(place - (ends - totals)[source], sizes[source])
        yield Pointers(source, rows[starts[source] + row].astype(np.int64), epoch)


def build(
    recipe: Recipe,
    directory: str,
    roots: Mapping[str, str],
    place: str,
    expected: locks.Lock | None = None,
    *,
    present: bool = False,
    materialise: bool = False,
    dry_run: bool = False,
    columns: Mapping[str, str] | None = None,
) -> locks.Lock:
    """Write the mix, its holdout and its lock into `directory`, and return the lock.

    Args:
        recipe: what to mix.
        directory: the dataset to make.
        roots: where sources are sought, as `open_dataset` takes them.
        place: the recipe's file, named in errors.
        expected: the lock that must come out again.
        present: leave out sources that are missing.
        materialise: shards will be made of it.
        dry_run: compute everything, write nothing.
        columns: where columns of read-only sources lie, by name; under "" a folder with one folder a source.

    Raises UsageError for what the recipe cannot have, and for the first difference from `expected`.
    """
    if recipe.merge_by and not materialise and not dry_run:
        raise UsageError(
            f"{place}: merge_by: is {recipe.merge_by!r}, which joins samples while shards are made; "
            "give --materialise DIR, or leave merge_by out"
        )
    if expected is not None:
        sources, missing = finding.find_locked(expected, roots, place), list(expected.missing)
    else:
        sources, missing = finding.find(recipe, roots, place, present)
    for source in sources:
        source.dataset.columns = _columns_of(source.dataset, columns or {})
    found = resolve(recipe, sources, place)
    parameters = {"recipe": msgspec.to_builtins(recipe, str_keys=True)}
    if not dry_run:
        for left_over in ("rows", "holdout"):  # of a run that was interrupted, perhaps with another recipe
            if storage.exists(storage.join(directory, left_over)):
                storage.remove_tree(storage.join(directory, left_over))
        storage.remove_temporaries(directory)
        encoded = msgspec.json.Encoder(order="deterministic").encode({"builder": "mix", **parameters})
        storage.write_atomic(storage.join(directory, layout.PLAN), msgspec.json.format(encoded, indent=1) + b"\n")
    datasets = [source.dataset for source in sources]
    held = Virtual(storage.join(directory, "holdout"), datasets, found.facts, write=not dry_run)
    if any(len(one.held) for one in found.selected):
        held.add(_held(found.selected))
        described = held.describe(f"{recipe.name}-holdout", parameters)
        if not dry_run:
            store(held.directory, described)
    mix = Virtual(directory, datasets, found.facts, write=not dry_run)
    for stretch in positions(found):
        mix.add(stretch)
    lock = _lock(found, missing, mix, held)
    if expected is not None:
        locks.refuse_difference(expected, lock, place)
    if not dry_run:
        locks.store(directory, lock)
        store(directory, mix.describe(recipe.name, parameters))
    return lock


def _columns_of(dataset: finding.Dataset, columns: Mapping[str, str]) -> str:
    """Where the columns of a source are kept."""
    below = storage.join(columns[""], dataset.name) if "" in columns else dataset.columns
    return columns.get(dataset.name, below if storage.exists(below) else dataset.columns)


def _tokens(recipe: Recipe, dataset: finding.Dataset, place: str) -> NDArray[np.uint32] | None:
    if recipe.lengths is None:
        return None
    return numbers(dataset, recipe.lengths, "tokens", f"{place}: lengths").astype(np.uint32)


def _chunks(scanned: list[Facts]) -> NDArray[np.int64]:
    """Rows of each source that make about `CHUNK_BYTES`, int64[S]."""
    means = [max(float(one.numbers["bytes"].mean()), 1.0) for one in scanned]
    return np.array([max(1, round(CHUNK_BYTES / mean)) for mean in means], dtype=np.int64)


def _held(selected: list[Selection]) -> Pointers:
    rows = np.concatenate([one.held for one in selected]).astype(np.int64)
    source = np.repeat(np.arange(len(selected)), [len(one.held) for one in selected])
    return Pointers(source, rows, np.zeros(len(rows), dtype=np.int64))


def _lock(found: Resolved, missing: list[str], mix: Virtual, held: Virtual) -> locks.Lock:
    order = found.order
    return locks.Lock(
        recipe=found.recipe,
        missing=tuple(missing),
        block=order.block,
        sources=price.locked_sources(found.sources, found.facts, found.selected, found.totals, mix.uses, order.chunks),
        quotas=xxhash.xxh3_128_hexdigest(np.ascontiguousarray(order.quotas).tobytes()),
        samples=mix.samples,
        fingerprint=mix.fingerprint,
        holdout_samples=held.samples,
        holdout_fingerprint=held.fingerprint if held.samples else None,
    )
