"""Which samples a page shows, and what it needs to show them: small pictures, regions, turns.

Every (source, task) pair gets a sample while the number lasts; the choice depends on the seed and the rows only.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sphinx_data.dataset.reader import Dataset, Example
from sphinx_data.errors import InputError, InvalidSample
from sphinx_data.order import key, largest_remainder
from sphinx_data.report.pictures import Thumbnail, thumbnail
from sphinx_data.report.stream import Integers, Piece, Use, pieces
from sphinx_data.sample import Sample, Struct

Pair = tuple[str, str]  # source, task
_AMOUNTS = ("num_images", "num_regions", "num_chars", "size", "json_size")

# Of all samples together, so that a page stays below 15 MB:
PICTURE_BYTES = 6_000_000  # base64 makes 8 MB of them
TEXT_CHARACTERS = 700_000
REGIONS = 6_000
# Of one sample:
PICTURES = 6
LONGEST_TEXT = 20_000
MOST_REGIONS = 400
PICTURE_MOST = 250_000  # bytes of a single picture
_HEAD_START = 4  # how far above its equal part of what is left a picture may go


class Chosen(NamedTuple):
    """A row to show."""

    use: int  # position of its physical dataset among the uses
    row: int
    times: int  # how often it is used
    images: int
    regions: int
    chars: int
    bytes: int  # of its pictures together
    source: str
    task: str


class Card(Struct, frozen=True, kw_only=True):
    """One sample to show. Without `sample`, `problem` says why it cannot be read."""

    dataset: str  # name of the physical dataset
    row: int
    times: int  # how often the dataset uses it
    source: str
    task: str
    sample: Sample | None = None
    problem: str = ""
    pictures: tuple[Thumbnail, ...] = ()
    text_limit: int = 0  # characters to show
    region_limit: int = 0  # regions to draw


def choose(uses: Sequence[Use], number: int, seed: int) -> list[Chosen]:
    """At most `number` rows: one of each pair while they last, larger pairs more; the pairs take turns."""
    best: dict[Pair, list[tuple[int, Chosen]]] = {}
    sizes: dict[Pair, int] = {}  # rows, not uses: a row is shown once
    for place, use in enumerate(uses):
        for piece in pieces(use, ["source", "task", *_AMOUNTS]):
            rows = piece.start + np.arange(len(piece.table))
            ranks = key(seed, place, rows)
            for pair, mine in _by_pair(piece.table, piece.times):
                sizes[pair] = sizes.get(pair, 0) + len(mine)
                first = mine[np.argsort(ranks[mine], kind="stable")[:number]]
                found = [(int(ranks[i]), _chosen(place, piece, int(i), pair)) for i in first]
                best[pair] = sorted([*best.get(pair, []), *found])[:number]
    shares = _shares(sizes, number)
    ordered = [
        (turn, pair, chosen) for pair, wanted in shares.items() for turn, (_, chosen) in enumerate(best[pair][:wanted])
    ]
    return [chosen for *_, chosen in sorted(ordered)]


def _chosen(place: int, piece: Piece, i: int, pair: Pair) -> Chosen:
    images, regions, chars, size, json_size = (int(piece.table[name][i].as_py()) for name in _AMOUNTS)
    return Chosen(place, piece.start + i, int(piece.times[i]), images, regions, chars, size - json_size, *pair)


def _shares(sizes: dict[Pair, int], number: int) -> dict[Pair, int]:
    """How many samples each pair gets: one, then by the square root of its size, never more than it has."""
    largest = sorted(sizes, key=lambda pair: (-sizes[pair], pair))[: max(number, 0)]
    shares = dict.fromkeys(largest, 1)
    while (rest := number - sum(shares.values())) > 0:
        open_pairs = [pair for pair in largest if shares[pair] < sizes[pair]]
        if not open_pairs:
            break
        weights = np.sqrt([sizes[pair] for pair in open_pairs])
        for pair, more in zip(open_pairs, largest_remainder(weights, rest).tolist(), strict=True):
            shares[pair] = min(shares[pair] + more, sizes[pair])
    return shares


def _by_pair(table: pa.Table, times: Integers) -> Iterator[tuple[Pair, Integers]]:
    """The rows of each (source, task) pair that are used at all."""
    coded = [pc.dictionary_encode(pc.fill_null(table[name], "unknown").combine_chunks()) for name in ("source", "task")]
    sources, tasks = (column.dictionary.to_pylist() for column in coded)
    codes = coded[0].indices.to_numpy().astype(np.int64) * len(tasks) + coded[1].indices.to_numpy()
    used = np.flatnonzero(times)
    order = used[np.argsort(codes[used], kind="stable")]
    found, starts = np.unique(codes[order], return_index=True)
    for code, rows in zip(found.tolist(), np.split(order, starts[1:]), strict=True):
        yield (sources[code // len(tasks)], tasks[code % len(tasks)]), rows


def load_cards(uses: Sequence[Use], chosen: Sequence[Chosen]) -> Iterator[Card]:
    """What is shown of each chosen row. What cannot be read becomes a card that says so."""
    counts = [min(one.images, PICTURES) for one in chosen]
    stored = [one.bytes // one.images for one, count in zip(chosen, counts, strict=True) for _ in range(count)]
    most = _fair(stored, PICTURE_BYTES, PICTURE_MOST)  # stored bytes foretell those of the small picture
    left, budget = len(stored), PICTURE_BYTES
    characters = _fair([one.chars for one in chosen], TEXT_CHARACTERS, LONGEST_TEXT)
    regions = _fair([one.regions for one in chosen], REGIONS, MOST_REGIONS)
    for one in chosen:
        example = _example(uses[one.use].dataset, one.row)
        card = Card(
            dataset=uses[one.use].dataset.name, row=one.row, times=one.times, source=one.source, task=one.task,
            text_limit=characters, region_limit=regions,
        )  # fmt: skip
        if isinstance(example, Example):
            try:
                sample = example.sample
            except InvalidSample as error:
                yield msgspec.structs.replace(card, problem=str(error))
                continue
            shown = []
            for data in example.images[:PICTURES]:
                shown.append(thumbnail(data, min(most, budget, _HEAD_START * budget // max(left, 1))))
                budget -= len(shown[-1].data) * 3 // 4
                left -= 1
            yield msgspec.structs.replace(card, sample=sample, pictures=tuple(shown))
        else:
            yield msgspec.structs.replace(card, problem=example)


def _fair(amounts: Sequence[int], budget: int, most: int) -> int:
    """What each may have of a budget at most, when those that need less leave it to the others."""
    while most > 1 and sum(min(amount, most) for amount in amounts) > budget:
        most = most * 7 // 8
    return most


def _example(dataset: Dataset, row: int) -> Example | str:
    try:
        return dataset[row]
    except InputError as error:  # a page names no absolute place
        return str(error).replace(dataset.directory, dataset.name)
