"""``merge_by: image`` for a whole mix: which of its positions become one sample, decided before anything is written.

Hashes of the index say who shares a picture; only the JSON of those is read. Everything else is arrays of numbers.
"""

from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from sphinx_data.dataset.description import hash_array
from sphinx_data.dataset.reader import Dataset
from sphinx_data.mix import merge, scan
from sphinx_data.sample import Struct

_HASHES = "images.list.element.xxh3"
_UNFIT, _FIT, _HOLLOW = 0, 1, 2

Integers = NDArray[np.int64]


class Counts(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """What merging does to a mix, in samples."""

    before: int
    after: int
    merged: int  # became part of a sample with others
    not_dialogues: int  # stay, though others have their picture: no dialogue, or one that shows it elsewhere
    different: int  # stay: no other about their picture has their split and system turns
    nothing_left: int  # stay: without the picture nothing of them is left


class Groups(NamedTuple):
    """Positions that become one sample: group by group, rising in each, groups by their first position."""

    members: Integers  # positions
    leads: Integers  # of each member: the first position of its group
    counts: Counts


def by_image(dataset: Dataset) -> Groups:
    """The groups of a mix. Samples of a group have the same picture and are the n-th of their kind in the mix."""
    rows = _rows(dataset)
    picture, content, single = _identities(dataset)
    places = np.flatnonzero(single[rows])
    repeat = _running_number(content[rows[places]])
    places, group = _shared(places, repeat, picture[rows[places]])
    wanted = np.unique(rows[places])
    shape, key = _heads(dataset, wanted)

    fit = shape[np.searchsorted(wanted, rows[places])] != _UNFIT
    not_dialogues = int(np.count_nonzero(~fit))
    places, group = _shared(places[fit], group[fit])
    candidates = len(places)
    places, group = _shared(places, key[np.searchsorted(wanted, rows[places])], group)
    different = candidates - len(places)
    hollow = (shape[np.searchsorted(wanted, rows[places])] == _HOLLOW) & ~_begins(group)
    places, group = _shared(places[~hollow], group[~hollow])

    leads = places[_begins(group)][group]
    order = np.lexsort((places, leads))
    merged, into = len(places), len(np.unique(group))
    counts = Counts(
        before=len(rows), after=len(rows) - merged + into, merged=merged, not_dialogues=not_dialogues,
        different=different, nothing_left=int(np.count_nonzero(hollow)),
    )  # fmt: skip
    return Groups(places[order], leads[order], counts)


def _rows(dataset: Dataset) -> Integers:
    """Of every position: its row, counted through all sources."""
    pointers = dataset.pointers()
    starts = np.cumsum([0, *(len(source) for source in dataset.sources)])
    found: Integers = starts[pointers["dataset"].to_numpy()] + pointers["row"].to_numpy()
    return found


def _identities(dataset: Dataset) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.bool_]]:
    """Of every row of the sources: numbers of its picture and its content, and whether it has one picture."""
    size, start = sum(len(source) for source in dataset.sources), 0
    picture, content = np.zeros((2, size, 16), dtype=np.uint8)
    single = np.zeros(size, dtype=np.bool_)
    for source in dataset.sources:
        for table in scan.chunks(source, [_HASHES, "content"]):
            here = slice(start, start + len(table))
            images = table["images"].combine_chunks()
            counts = pc.list_value_length(images).fill_null(0).to_numpy()
            single[here] = counts == 1
            hashes = hash_array(pc.struct_field(images.flatten(), "xxh3"))
            picture[here][counts == 1] = hashes[(np.cumsum(counts) - counts)[counts == 1]]
            content[here] = hash_array(table["content"])
            start += len(table)
    return _numbered(picture), _numbered(content), single


def _numbered(hashes: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Equal hashes, uint8[N, 16], as equal numbers."""
    halves = hashes.view(np.uint64)
    order = np.lexsort((halves[:, 0], halves[:, 1]))
    numbers = np.empty(len(hashes), dtype=np.uint32)
    numbers[order] = np.cumsum(_begins(halves[order, 0], halves[order, 1])) - 1
    return numbers


def _running_number(values: NDArray[np.uint32]) -> Integers:
    """Of every value: how many equal ones come before it."""
    order = np.argsort(values, kind="stable")
    places = np.arange(len(values))
    begins = np.maximum.accumulate(np.where(_begins(values[order]), places, 0))
    found = np.empty(len(values), dtype=np.int64)
    found[order] = places - begins
    return found


def _shared(places: Integers, *keys: NDArray[np.generic]) -> tuple[Integers, Integers]:
    """Places whose keys equal those of another, group by group and rising in each, and the number of their group."""
    order = np.lexsort((places, *keys))
    begins = _begins(*(key[order] for key in keys))
    alone = begins & np.append(begins[1:], True)[: len(begins)]
    return places[order][~alone], np.cumsum(begins[~alone]) - 1


def _begins(*keys: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Where sorted keys differ from those before them."""
    found = np.zeros(len(keys[0]), dtype=np.bool_)
    found[:1] = True
    for key in keys:
        found[1:] |= key[1:] != key[:-1]
    return found


def _heads(dataset: Dataset, rows: Integers) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    """Of rising rows of the sources, read from their JSON: whether they can be merged, and the key of their head."""
    shape, key = np.zeros(len(rows), dtype=np.uint8), np.zeros(len(rows), dtype=np.uint64)
    ends = np.cumsum([0, *(len(source) for source in dataset.sources)])
    bounds = np.searchsorted(rows, ends)
    for source, begin, first, last in zip(dataset.sources, ends, bounds, bounds[1:], strict=False):
        for number in range(first, last):
            found = merge.head(source.sample(int(rows[number] - begin)))
            if found is not None:
                shape[number], key[number] = (_HOLLOW if found.hollow else _FIT), found.key
    return shape, key
