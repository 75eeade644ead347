"""``merge_by: image`` for a few samples: which of them can share a picture, and what they become together."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import xxhash

from sphinx_data import licenses
from sphinx_data.sample import Image, ImagePart, Message, RegionPart, Reject, Sample, TextPart


class Head(NamedTuple):
    """What decides with whom a dialogue about one picture can be merged."""

    key: int  # equal for samples of one split with equal system turns
    hollow: bool  # nothing of it is left once its picture is shown by another sample


def head(sample: Sample) -> Head | None:
    """The head of a sample that can be merged, None for any other.

    It has one image, shown once, in its first user turn; before that turn stand only system turns of text, after it
    none; and its last turn is the assistant's.
    """
    system, turns = _parted(sample)
    shown = [part for turn in turns for part in turn.content if isinstance(part, ImagePart)]
    plain = all(isinstance(part, TextPart) for turn in system for part in turn.content)
    if not (
        len(sample.images) == len(shown) == 1
        and plain
        and turns[0].role == "user"
        and shown[0] in turns[0].content
        and turns[-1].role == "assistant"
        and all(turn.role != "system" for turn in turns)
    ):
        return None
    key = xxhash.xxh3_64_intdigest(msgspec.json.encode([sample.split, system]))
    return Head(key, not _following(turns)[0])


class Merged(NamedTuple):
    """One sample made of several, and the turns that found no place in it."""

    sample: Sample
    rejects: list[Reject]


def merge(samples: Sequence[Sample]) -> Merged:
    """One sample with the turns of all, in their order; each has a `head`, their keys and pictures are equal."""
    first = samples[0]
    messages, regions, rejects = list(first.messages), list(first.regions), []
    for sample in samples[1:]:
        turns, lost = _following(_parted(sample)[1])
        messages += (_renumbered(turn, len(regions)) for turn in turns)
        regions += sample.regions
        if lost:
            rejects.append(_reject(sample, lost, first))
    made = msgspec.structs.replace(
        first,
        source="+".join(sorted({sample.source for sample in samples})),
        license=licenses.conjunction(sample.license for sample in samples),
        task=first.task if all(sample.task == first.task for sample in samples) else "multi-task",
        language=first.language if all(sample.language == first.language for sample in samples) else None,
        images=(_picture(samples),),
        regions=tuple(regions),
        messages=tuple(messages),
        meta={"merged": [sample.id for sample in samples]},
    )
    return Merged(made, rejects)


def _parted(sample: Sample) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """The system turns at the start, and the rest, which is never empty: a sample has an assistant's turn."""
    count = next(n for n, turn in enumerate(sample.messages) if turn.role != "system")
    return sample.messages[:count], sample.messages[count:]


def _following(turns: tuple[Message, ...]) -> tuple[tuple[Message, ...], int]:
    """The turns without the picture, which the first of them shows; and how many went with it.

    A question that was nothing but the picture goes, and so do the answers to it.
    """
    asked = tuple(part for part in turns[0].content if not isinstance(part, ImagePart))
    if any(not isinstance(part, TextPart) or part.text.strip() for part in asked):
        return (msgspec.structs.replace(turns[0], content=asked), *turns[1:]), 0
    lost = next((n for n, turn in enumerate(turns) if n and turn.role == "user"), len(turns))
    return turns[lost:], lost


def _renumbered(turn: Message, by: int) -> Message:
    """The turn with its references to regions moved on."""
    parts = (
        msgspec.structs.replace(part, regions=tuple(number + by for number in part.regions))
        if isinstance(part, RegionPart)
        else part
        for part in turn.content
    )
    return msgspec.structs.replace(turn, content=tuple(parts))


def _picture(samples: Sequence[Sample]) -> Image:
    """The picture of the first, under the licences that all of them name for it."""
    image = samples[0].images[0]
    if all(sample.images[0].license is None for sample in samples):
        return image
    named = (sample.images[0].license or sample.license for sample in samples)
    return msgspec.structs.replace(image, license=licenses.conjunction(named))


def _reject(sample: Sample, lost: int, first: Sample) -> Reject:
    return Reject(
        input=sample.origin.file, record=sample.origin.record, id=sample.id, level="turn", rule="only-a-picture",
        detail=f"the first {lost} turns ask nothing but the picture, which {first.id} shows already",
    )  # fmt: skip
