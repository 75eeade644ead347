"""Documents exactly as the trainer feeds them: taken apart from the tensors of a batch, never made again from the data.

What is learned comes from a batch's targets, documents from its boundaries, views from its pixels in order, their
places in the grid from the placeholders between the ids.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sphinx_model.batching import Batch, collate
from sphinx_model.loader import PackDataset

_MOST = 12  # documents on the page
_FEWEST = 6  # of them, where there are few sources
_NEAR = 8  # tokens before a run that are decoded with it

PADDING, CONTEXT, IMAGE, LEARNED = range(4)  # kinds of positions


class Text(NamedTuple):
    """A run of positions that are all learned, or all only read."""

    text: str
    positions: int
    learned: bool
    control: bool  # one control token, which text of the data can never be


class Picture(NamedTuple):
    """One picture's positions: its places in the order of the sequence, the global view first, then row by row."""

    places: tuple[int | None, ...]  # number of the view among those of the document; None is a skip token
    features: tuple[int, ...]  # positions of each view without its start and end
    positions: int


class Fed(NamedTuple):
    """One document of a pack."""

    step: int
    pack: int
    id: str
    group: str  # DOMAIN/SOURCE
    number: int  # among the documents of the pack, from 0
    begin: int  # position in the pack
    end: int
    position_ids: tuple[int, int]  # the first and the last; nothing in a document that could not be read
    learned: int
    weight: float  # in the loss, of each learned position
    parts: tuple[Text | Picture, ...]
    views: NDArray[np.uint8]  # [V, S, S, 3]
    kinds: NDArray[np.int64]  # of all positions of the pack, [L]
    boundaries: tuple[int, ...]  # of all documents of the pack

    @property
    def grid(self) -> int:
        """Views along one side of a picture."""
        return max(
            (round((len(part.places) - 1) ** 0.5) for part in self.parts if isinstance(part, Picture)), default=0
        )


def documents(packs: PackDataset, packs_in_all: int, per_step: int, loss: str) -> Iterator[Fed]:
    """Documents of every source from the packs of the first epoch, in the order of the run."""
    for pack, number in chosen(packs, packs_in_all):
        yield taken_apart(packs, collate([packs[pack]], loss), pack, number, pack // per_step + 1)


def chosen(packs: PackDataset, packs_in_all: int) -> list[tuple[int, int]]:
    """(pack, number of the document in it): the first document of every source, more where there are few sources."""
    starts = packs.plan.starts[: min(packs_in_all, len(packs)) + 1]
    groups = packs.group[packs.plan.entries[: starts[-1], 0]]
    found, counts = np.unique(groups, return_counts=True)
    largest = sorted(found[np.argsort(-counts, kind="stable")][:_MOST].tolist())
    each = max(1, -(-_FEWEST // len(largest)))
    places = {place for group in largest for place in _spread(np.flatnonzero(groups == group), each)}
    owners = {place: int(np.searchsorted(starts, place, side="right")) - 1 for place in sorted(places)}
    return [(pack, place - int(starts[pack])) for place, pack in owners.items()]


def _spread(places: NDArray[np.int64], number: int) -> list[int]:
    """The first of some places, and others evenly behind it."""
    return [int(places[i * len(places) // number]) for i in range(min(number, len(places)))]


def taken_apart(packs: PackDataset, batch: Batch, pack: int, number: int, step: int) -> Fed:
    """One document of a batch of one pack."""
    ids, positions = batch.input_ids[0].numpy().copy(), batch.position_ids[0].numpy()
    learned, weights = np.zeros(len(ids), bool), np.zeros(len(ids))
    places = batch.places.numpy() + 1  # a state predicts the position behind it
    ids[places], learned[places], weights[places] = batch.targets.numpy(), True, batch.weights.numpy()
    boundaries = tuple(batch.boundaries.tolist())
    begin, end = boundaries[number : number + 2]
    placeholders = packs.processor.placeholders
    before, within = (int((part == placeholders.start).sum()) for part in (ids[:begin], ids[begin:end]))
    entry = packs.plan.pack(pack)[number]
    kinds = np.where(learned, LEARNED, np.where(np.isin(ids, placeholders), IMAGE, CONTEXT))
    kinds[batch.counts.tokens :] = PADDING
    return Fed(
        step=step,
        pack=pack,
        id=_name(packs, entry.row),
        group=packs.groups[packs.group[entry.row]],
        number=number,
        begin=begin,
        end=end,
        position_ids=(int(positions[begin]), int(positions[end - 1])) if end > begin else (0, 0),
        learned=int(learned[begin:end].sum()),
        weight=float(weights[begin:end].max(initial=0.0)),
        parts=tuple(_parts(packs.processor, ids[begin:end].tolist(), learned[begin:end].tolist())),
        views=batch.pixel_values[before : before + within].numpy(),
        kinds=kinds,
        boundaries=boundaries,
    )


def _name(packs: PackDataset, row: int) -> str:
    try:
        return packs.dataset.sample(row).id
    except Exception:  # as `PackDataset`: its slot is empty, and the page says so
        return f"row {row}"


def _parts(processor: Any, ids: list[int], learned: list[bool]) -> Iterator[Text | Picture]:
    """Ids in order as text, control tokens and pictures."""
    tokenizer, holders = processor.tokenizer, frozenset(processor.placeholders)
    controls = {*tokenizer.get_added_vocab().values(), *tokenizer.all_special_ids}
    kind = ["image" if token in holders else "control" if token in controls else "text" for token in ids]
    views, start = 0, 0
    for name, run in groupby(kind):
        stop = start + len(list(run))
        if name == "image":
            for picture in _pictures(processor, ids[start:stop], views):
                views += len(picture.features)
                yield picture
        elif name == "control":
            for token, by in zip(ids[start:stop], learned[start:stop], strict=True):
                yield Text(str(tokenizer.convert_ids_to_tokens(token)), 1, by, True)
        else:
            yield from _texts(tokenizer, ids[start:stop], learned[start:stop])
        start = stop


def _texts(tokenizer: Any, ids: list[int], learned: list[bool]) -> Iterator[Text]:
    """Runs of text; each is what it adds to the few tokens before it, so that spaces between tokens stay."""
    start = 0
    for by, run in groupby(learned):
        stop, near = start + len(list(run)), max(0, start - _NEAR)
        before, text = (
            tokenizer.decode(ids[near:end], skip_special_tokens=False, clean_up_tokenization_spaces=False)
            for end in (start, stop)
        )
        yield Text(text[len(before) :], stop - start, by, False)
        start = stop


def _pictures(processor: Any, ids: list[int], first: int) -> Iterator[Picture]:
    """Pictures that stand directly behind each other; each has one place for the global view and one for every part."""
    holders = processor.placeholders
    marks = [place for place, token in enumerate(ids) if token in (holders.start, holders.skip)]
    each = 1 + processor.grid**2 if processor.grid > 1 else 1
    for number in range(0, len(marks), each):
        mine = marks[number : number + each]
        places: list[int | None] = []
        features: list[int] = []
        for mark in mine:
            if ids[mark] == holders.skip:
                places.append(None)
                continue
            places.append(first)
            features.append(ids[mark : ids.index(holders.end, mark)].count(holders.patch))
            first += 1
        stop = marks[number + each] if number + each < len(marks) else len(ids)
        yield Picture(tuple(places), tuple(features), stop - mine[0])
