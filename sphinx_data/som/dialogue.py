"""Dialogues about marks whose answers follow from the annotation alone.

A mark is always written through a region part (forms ``mark`` and ``mark-name``), never as digits in the text, so that
every dialect writes it in its own way and numbers can be changed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import xxhash

from sphinx_data.phrasing import choose, english
from sphinx_data.sample import ImagePart, Message, Part, RegionPart, TextPart

_MARKS = "{marks}"
_ATTEMPTS = 16  # draws of a class that no mark is on


class Named(NamedTuple):
    """A mark to talk about: its region, in the order of the numbers, and its readable class name."""

    region: int
    name: str


def naming(marks: Sequence[Named], sample_id: str, image: int = 0) -> list[Message]:
    """The paper's short description: all marks are listed, each is named."""
    before, _, after = choose("som-naming", "question", sample_id).partition(_MARKS)
    question = [*_text(before), _all_marks(marks), *_text(after)]
    answer: list[Part] = []
    for number, mark in enumerate(marks):
        answer += (
            TextPart(text="\n- " if number else "- "),
            RegionPart(regions=(mark.region,), form="mark-name"),
            TextPart(text=f": {mark.name}"),
        )
    return [Message(role="user", content=(ImagePart(image=image), *question)), _assistant(answer)]


def questions(marks: Sequence[Named], absent: Sequence[Sequence[str]], sample_id: str, image: int = 0) -> list[Message]:
    """The paper's question form: marks are introduced, then asked which are on a class and how many there are.

    A third of the questions is about a class that no mark is on, from one of the lists `absent` (classes that are in
    the picture without a mark, classes of other pictures). Classes are drawn by the sample's id. The first reply, which
    tells nothing, is not supervised.
    """
    before, _, after = choose("som-vqa", "introduction", sample_id).partition(_MARKS)
    opening = (ImagePart(image=image), *_text(before), _all_marks(marks), *_text(after))
    messages = [
        Message(role="user", content=opening),
        Message(role="assistant", content=(TextPart(text=choose("som-vqa", "reply", sample_id)),), supervise=False),
    ]
    for turn, build in enumerate((_which, _how_many)):
        messages += build(marks, _subject(marks, absent, f"{sample_id}\0{build.__name__}"), sample_id, turn)
    return messages


def _which(marks: Sequence[Named], subject: str, sample_id: str, turn: int) -> list[Message]:
    fitting = [mark for mark in marks if mark.name == subject]
    kind = "one" if len(fitting) == 1 and _draw(f"{sample_id}\0kind", 2) else "many"
    question = choose("som-reference", kind, sample_id, turn)
    question = question.format(object=subject, objects=english.plural(subject))
    answer: list[Part] = []
    for number, mark in enumerate(fitting):
        if number:
            answer.append(TextPart(text=" and " if number == len(fitting) - 1 else ", "))
        answer.append(RegionPart(regions=(mark.region,), form="mark-name"))
    return [_user(question), _assistant(answer or [TextPart(text=choose("som-reference", "none", sample_id, turn))])]


def _how_many(marks: Sequence[Named], subject: str, sample_id: str, turn: int) -> list[Message]:
    question = choose("som-counting", "question", sample_id, turn).format(objects=english.plural(subject))
    count = sum(mark.name == subject for mark in marks)
    return [_user(question), _assistant([TextPart(text=str(count))])]


def _subject(marks: Sequence[Named], absent: Sequence[Sequence[str]], key: str) -> str:
    """The class that a question is about: in a third of the cases one that no mark is on, if there is any."""
    present = sorted({mark.name for mark in marks})
    pools = [pool for pool in absent if pool]
    if pools and _draw(f"{key}\0absent", 3) == 0:
        for attempt in range(_ATTEMPTS):
            pool = pools[_draw(f"{key}\0pool\0{attempt}", len(pools))]
            name = pool[_draw(f"{key}\0which\0{attempt}", len(pool))]
            if not any(_related(name, other) for other in present):
                return name
    return present[_draw(f"{key}\0present", len(present))]


def _related(one: str, other: str) -> bool:
    """Whether names share a word ("sports car", "car"), so that one may be a kind of the other."""
    return bool(set(one.lower().split()) & set(other.lower().split()))


def _draw(key: str, choices: int) -> int:
    return int(xxhash.xxh3_64_intdigest(key.encode("utf-8", "replace"))) % choices


def _all_marks(marks: Sequence[Named]) -> RegionPart:
    return RegionPart(regions=tuple(mark.region for mark in marks), form="mark")


def _text(text: str) -> list[Part]:
    return [TextPart(text=text)] if text else []


def _user(text: str) -> Message:
    return Message(role="user", content=(TextPart(text=text),))


def _assistant(parts: Sequence[Part]) -> Message:
    return Message(role="assistant", content=tuple(parts))
