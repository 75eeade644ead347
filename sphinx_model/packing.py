"""Packs are planned, not discovered: which samples share a sequence is a pure function of lengths and budgets.

Inside windows of 8,192 consecutive positions of the mix, spread evenly under two budgets, tokens and encoded
views; then the packs of a window are shuffled, so that long and short samples do not train apart.
"""

import json
from collections import Counter
from contextlib import suppress
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from sphinx_data import order, storage
from sphinx_data.dataset import tables
from sphinx_data.dataset.reader import Dataset
from sphinx_data.errors import InputError, UsageError

WINDOW = 8192
SCHEMA = pa.schema(
    [("pack", pa.uint32()), ("row", pa.uint32()), ("first_turn", pa.uint32()), ("last_turn", pa.uint32())]
)
_IN_WINDOW = 4  # what a key is for; `order` uses the others


TOO_LONG = ("too-many-tokens", "too-many-views")
TOO_LONG_TURNS = "too-long-turns"  # of a sample whose other turns are in packs
RULES = ("not-encodable", "nothing-supervised", *TOO_LONG)  # why a sample is in no pack


class Entry(NamedTuple):
    """A sample, or the turns `first` to `last` (not included) of one that was split."""

    row: int
    first: int
    last: int


class Piece(NamedTuple):
    """The turns `first` to `last` (not included) of a sample that is split, and what they cost."""

    first: int
    last: int
    tokens: int
    views: int


class Split(Protocol):
    """How samples that are too long are cut; see `splitting.Splitter`."""

    key: str  # of everything that pieces depend on beside the dataset and the budgets

    def __call__(self, row: int) -> tuple[list[Piece], int]:
        """Pieces of a row that each fit in a pack, and how many of its turns are in none."""


class Plan(NamedTuple):
    """Packs of a dataset: pack k holds entries[starts[k]:starts[k + 1]], in the order of the mix."""

    entries: NDArray[np.int64]  # [entries, 3]: row of the dataset, first turn, last turn (not included)
    starts: NDArray[np.int64]  # [packs + 1]
    dropped: dict[str, int]  # rule -> samples, or turns of split samples, that are in no pack
    split: int  # samples that were cut at turns
    fill: float  # share of the tokens of all packs that samples take
    bound: float  # the most that any packing of these samples could fill
    fingerprint: str

    def __len__(self) -> int:
        return len(self.starts) - 1

    def pack(self, number: int) -> list[Entry]:
        """What one pack holds."""
        return [Entry(*entry) for entry in self.entries[self.starts[number] : self.starts[number + 1]].tolist()]


def plan(
    dataset: Dataset, lengths: pa.Table, tokens: int, views: int, folder: str, seed: int = 0, split: Split | None = None
) -> Plan:
    """Plan all packs of `tokens` positions and at most `views` encoded views, or read ``folder/HASH.parquet``.

    Args:
        dataset: what to pack.
        lengths: of its rows, see `lengths.measure`.
        tokens: positions of a pack.
        views: most encoded views of a pack.
        folder: where plans are kept.
        seed: of the order of packs.
        split: cuts samples that are too long; by default they are left out.

    HASH covers the dataset, the content of the lengths, the budgets, the seed and the way of splitting. Samples that
    fit in no pack, have nothing to learn or cannot be encoded are left out, counted and written to
    ``folder/HASH-dropped.parquet``. Raises UsageError when nothing is left.
    """
    columns = _integers(lengths)
    identity = xxhash.xxh3_128(f"{dataset.fingerprint}/{tokens}/{views}/{seed}/{WINDOW}".encode())
    for name in sorted(columns):
        identity.update(np.ascontiguousarray(columns[name]).data)
    identity.update(b"" if split is None else split.key.encode())
    fingerprint = identity.hexdigest()
    place = storage.join(folder, f"{fingerprint}.parquet")
    if storage.exists(place):
        with suppress(InputError):  # a damaged one is made again
            return _read(place, fingerprint)
    sized, dropped, left_out = _sized(columns, refusals(lengths, tokens, views), split)
    if not len(sized):
        reasons = ", ".join(f"{count} {rule}" for rule, count in sorted(dropped.items())) or "the dataset is empty"
        raise UsageError(
            f"pack: none of the {len(lengths)} samples of {dataset.directory} can be trained with pack.tokens={tokens} "
            f"and pack.views={views} ({reasons}); give larger packs or other data"
        )
    assigned, count = _assigned(sized, len(lengths), tokens, views, seed)
    by_pack = np.argsort(assigned, kind="stable")  # within a pack the order of the mix
    used, seen = int(sized[:, 3].sum()), int(sized[:, 4].sum())
    bound = used / tokens / max(used / tokens, seen / views)
    facts = {
        "packs": count, "seed": seed, "dropped": dropped, "split": len(np.unique(sized[sized[:, 1] > 0, 0])),
        "fill": used / (count * tokens), "bound": bound,
    }  # fmt: skip
    table = pa.table([assigned[by_pack], *sized[by_pack, :3].T], names=SCHEMA.names).cast(SCHEMA)
    tables.write(storage.join(folder, f"{fingerprint}-dropped.parquet"), left_out)
    tables.write(place, table, {name: json.dumps(value) for name, value in facts.items()})
    return _read(place, fingerprint)


def _read(place: str, fingerprint: str) -> Plan:
    table, written = tables.read(place), tables.metadata(place)
    facts = {name: json.loads(written[name]) for name in ("packs", "dropped", "split", "fill", "bound")}
    entries = np.stack([table[name].to_numpy().astype(np.int64) for name in SCHEMA.names[1:]], axis=1)
    starts = np.searchsorted(table["pack"].to_numpy(), np.arange(facts.pop("packs") + 1))
    return Plan(entries=entries, starts=starts, fingerprint=fingerprint, **facts)


def _sized(
    columns: dict[str, NDArray[np.int64]], codes: NDArray[np.int8], split: Split | None
) -> tuple[NDArray[np.int64], dict[str, int], pa.Table]:
    """Entries as (row, first, last, tokens, views) in the order of the mix, [E, 5]; counts and rows of the others."""
    kept = np.flatnonzero(codes == 0)
    turns = columns["turns"][kept]
    sized = np.stack([kept, np.zeros_like(turns), turns, columns["tokens"][kept], columns["views"][kept]], axis=1)
    why = {row: RULES[codes[row] - 1] for row in np.flatnonzero(codes).tolist()}
    pieces: list[tuple[int, ...]] = []
    turns_left_out = 0
    for row in [row for row, rule in why.items() if rule in TOO_LONG] if split is not None else []:
        assert split is not None
        found, left_out = split(row)
        if found:
            pieces += [(row, *piece) for piece in found]
            turns_left_out += left_out
            if left_out:
                why[row] = TOO_LONG_TURNS
            else:
                del why[row]
    dropped = Counter(rule for rule in why.values() if rule != TOO_LONG_TURNS)
    dropped[TOO_LONG_TURNS] = turns_left_out
    if pieces:
        sized = np.concatenate([sized, np.array(pieces, dtype=np.int64)])
        sized = sized[np.lexsort((sized[:, 1], sized[:, 0]))]
    table = pa.table([pa.array(why, pa.int64()), pa.array(why.values(), pa.string())], ["row", "rule"])
    return sized, dict(+dropped), table


def _assigned(sized: NDArray[np.int64], rows: int, tokens: int, views: int, seed: int) -> tuple[NDArray[np.int64], int]:
    """Pack of every entry, window by window, and the number of packs."""
    assigned, count = np.empty(len(sized), dtype=np.int64), 0
    for start in range(0, rows, WINDOW):
        inside = slice(*np.searchsorted(sized[:, 0], [start, start + WINDOW]))
        packs = assign(sized[inside, 3], sized[inside, 4], tokens, views)
        made = int(packs.max(initial=-1)) + 1
        shuffled = order.permute(np.arange(made), max(made, 1), order.key(seed, _IN_WINDOW, start // WINDOW))
        assigned[inside] = count + shuffled[packs]
        count += made
    return assigned, count


def refusals(lengths: pa.Table, tokens: int, views: int) -> NDArray[np.int8]:
    """Which rule keeps each sample out of packs of these budgets, int8 [N]: 1 + its place in `RULES`, 0 for none."""
    columns = _integers(lengths)
    conditions = (
        columns["tokens"] == 0,
        columns["supervised"] == 0,
        columns["tokens"] > tokens,
        columns["views"] > views,
    )
    return np.select(conditions, range(1, len(RULES) + 1), 0).astype(np.int8)


def assign(tokens: NDArray[np.int64], views: NDArray[np.int64], most_tokens: int, most_views: int) -> NDArray[np.int64]:
    """Pack number of each sample, int64[N]: spread evenly, unless best fit needs fewer packs by over 0.5 %."""
    even = spread(tokens, views, most_tokens, most_views)
    tight = best_fit(tokens, views, most_tokens, most_views)
    return even if even.max(initial=-1) + 1 <= 1.005 * (tight.max(initial=-1) + 1) else tight


def best_fit(
    tokens: NDArray[np.int64], views: NDArray[np.int64], most_tokens: int, most_views: int
) -> NDArray[np.int64]:
    """Pack number of each sample, int64[N]: largest first, each into the pack that takes it and has least room left."""
    weight = np.maximum(tokens / most_tokens, views / most_views)
    packs = np.empty(len(tokens), dtype=np.int64)
    free_tokens, free_views = np.empty(len(tokens), np.int64), np.empty(len(tokens), np.int64)
    count = 0
    for item in np.argsort(-weight, kind="stable"):
        fits = np.flatnonzero((free_tokens[:count] >= tokens[item]) & (free_views[:count] >= views[item]))
        if len(fits):
            pack = fits[np.argmin(free_tokens[fits] / most_tokens + free_views[fits] / most_views)]
        else:
            pack, count = count, count + 1
            free_tokens[pack], free_views[pack] = most_tokens, most_views
        packs[item] = pack
        free_tokens[pack] -= tokens[item]
        free_views[pack] -= views[item]
    return packs


def spread(tokens: NDArray[np.int64], views: NDArray[np.int64], most_tokens: int, most_views: int) -> NDArray[np.int64]:
    """Pack number of each sample, int64[N]: largest first, each into the emptiest of as few packs as could hold all.

    As full as best fit decreasing, but every pack gets its share of long and short samples, so that steps are alike.
    """
    weight = np.maximum(tokens / most_tokens, views / most_views)
    fewest = int(np.ceil(max(tokens.sum() / most_tokens, views.sum() / most_views))) if len(tokens) else 0
    packs = np.empty(len(tokens), dtype=np.int64)
    free_tokens = np.full(fewest + len(tokens), most_tokens, np.int64)
    free_views = np.full(fewest + len(tokens), most_views, np.int64)
    count = fewest
    for item in np.argsort(-weight, kind="stable"):
        room = np.minimum(
            (free_tokens[:count] - tokens[item]) / most_tokens, (free_views[:count] - views[item]) / most_views
        )
        pack = int(np.argmax(room))
        if room[pack] < 0:
            pack, count = count, count + 1
        packs[item] = pack
        free_tokens[pack] -= tokens[item]
        free_views[pack] -= views[item]
    return np.unique(packs, return_inverse=True)[1]  # a pack may stay empty where sizes do not divide


def pack_at(position: int, packs: int, seed: int) -> int:
    """Which pack is consumed at a position of the run: in order in the first epoch, permuted in later ones."""
    epoch, number = divmod(position, packs)
    return int(order.packs_of(np.array([number]), packs, seed, epoch)[0])


def _integers(lengths: pa.Table) -> dict[str, NDArray[np.int64]]:
    return {name: lengths[name].to_numpy().astype(np.int64) for name in lengths.column_names}
