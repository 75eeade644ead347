"""Planned questions as one dialogue: pictures first, every question a turn or one reject."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from sphinx_data.convert._common import RejectedError, clean_text, load_image
from sphinx_data.convert._json_items import object_of, value
from sphinx_data.convert._questions import NO_QUESTION, Question, QuestionOptions, Record
from sphinx_data.convert._sample import assistant, built, user
from sphinx_data.language import language_of
from sphinx_data.media import Prepared
from sphinx_data.sample import (
    Built,
    Domain,
    ImagePart,
    Message,
    Part,
    Region,
    RegionPart,
    Reject,
    Task,
    TextPart,
)  # fmt: skip


class Asked(NamedTuple):
    """A question as a format reads it in a worker."""

    entry: Any  # the item; its JSON was sound when it was planned
    more: Any  # what another file says of it, None without
    place: str  # key or position in the file
    id: str  # of the sample
    turn: int  # position in the sample: wordings are chosen by id and turn
    pictures: list[Prepared]
    context: bytes = b""  # of the record


class Turn(NamedTuple):
    """A question and its answer."""

    question: str | Sequence[Part]
    answer: str | Sequence[Part]
    meta: dict[str, Any] = {}  # of this question: its id, all human answers
    regions: tuple[Region, ...] = ()  # those that the parts of this turn name, counted from 0
    task: Task | None = None  # where questions of one set belong to several
    language: str | None = None
    then: tuple[tuple[str, str], ...] = ()  # further questions and answers on the same item (an explanation)


class About(NamedTuple):
    """What is the same for every sample of a format."""

    task: Task
    license: str | None = None  # SPDX id of the annotations
    image_license: str | None = None  # of the pictures, where they have their own
    language: str | None = "en"  # None: told by the text
    domain: Domain = "vision-language"


def dialogue(
    record: Record, options: QuestionOptions, places: dict[str, str], read: Callable[[Asked], Turn], about: About,
    meta: dict[str, Any] | None = None,
) -> Iterator[Built | Reject]:  # fmt: skip
    """One sample with the questions that can be read, and a reject for each of the others; `meta` is the sample's."""
    yield from record.rejects
    if not record.questions:
        return
    try:
        pictures = [load_image(found, options, places) for found in record.media]
    except RejectedError as error:
        yield from (_reject(record, q, "image", error.rule, error.detail) for q in record.questions)
        return
    turns: list[Turn] = []
    for question in record.questions:
        try:
            more = value(question.more) if question.more else None
            entry = object_of(question.raw, NO_QUESTION)
            asked = Asked(entry, more, question.place, record.id, len(turns), pictures, record.context)
            turns.append(read(asked))
        except RejectedError as error:
            yield _reject(record, question, "turn", error.rule, error.detail)
    if turns:
        yield _built(record, options, pictures, turns, about, meta or {})


def _reject(record: Record, question: Question, level: Literal["image", "turn"], rule: str, detail: str) -> Reject:
    return Reject(
        input=record.input, record=clean_text(question.place), id=record.id, level=level, rule=rule, detail=detail
    )


def _built(
    record: Record, options: QuestionOptions, pictures: list[Prepared], turns: list[Turn], about: About,
    meta: dict[str, Any],
) -> Built:  # fmt: skip
    tasks = list(dict.fromkeys(turn.task or about.task for turn in turns))
    image_license = options.image_license or record.image_license or about.image_license
    split = turns[0].meta.get("split")
    if split is not None and all(turn.meta.get("split") == split for turn in turns):
        meta = meta | {"split": split}
    return built(
        record, options, pictures,
        domain=about.domain if pictures else "language",
        task=tasks[0] if len(tasks) == 1 else "multi-task",
        messages=_messages(turns, len(pictures)),
        regions=[region for turn in turns for region in turn.regions],
        language=record.language or _language(turns, about),
        license=record.license or about.license,
        image_licenses=[image_license] * len(pictures),
        meta=meta | ({"questions": [turn.meta for turn in turns]} if any(turn.meta for turn in turns) else {}),
    )  # fmt: skip


def _messages(turns: list[Turn], pictures: int) -> list[Message]:
    """Pictures stand before the first question unless it shows them itself; regions are counted through the sample."""
    messages: list[Message] = []
    regions = 0
    shown = {part.image for part in turns[0].question if isinstance(part, ImagePart)}
    lead: list[Part] = [ImagePart(image=number) for number in range(pictures) if number not in shown]
    for turn in turns:
        messages.append(user(*lead, *_shifted(turn.question, regions)))
        messages.append(assistant(*_shifted(turn.answer, regions)))
        for question, answer in turn.then:
            messages += (user(question), assistant(answer))
        lead, regions = [], regions + len(turn.regions)
    return messages


def _shifted(said: str | Sequence[Part], offset: int) -> list[Part]:
    parts: list[Part] = [TextPart(text=said)] if isinstance(said, str) else list(said)
    return [
        msgspec.structs.replace(part, regions=tuple(number + offset for number in part.regions))
        if isinstance(part, RegionPart)
        else part
        for part in parts
    ]


def _language(turns: list[Turn], about: About) -> str | None:
    """The common language of the turns; told by their text where neither they nor the format say it."""
    languages = {turn.language or about.language for turn in turns}
    if languages != {None}:
        return languages.pop() if len(languages) == 1 else None
    said = [text for turn in turns for text in (turn.question, turn.answer) if isinstance(text, str)]
    return language_of("\n".join(said))
