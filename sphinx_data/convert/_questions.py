"""Questions about pictures, as most VQA sets ship them, planned by picture.

A format says which pictures a question is about (`Pictures`) and, in a worker, how its item becomes a question and an
answer (`_turns.Turn`); all else is the same for every such format. Every question of a file becomes a turn or is one
reject. Questions on the same pictures are one sample in file order; beyond `max_turns` further samples follow, whose
ids end in ``~2``, ``~3``.
"""

import fnmatch
import glob
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from sphinx_data.convert import Inputs
from sphinx_data.convert._common import (
    CommonOptions,
    Media,
    RejectedError,
    UniqueIds,
    clean_text,
    find_media,
)
from sphinx_data.convert._groups import Groups
from sphinx_data.convert._json_items import JsonFile, object_of, value
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.errors import InputError
from sphinx_data.sample import Reject, Struct

NO_QUESTION = "question-invalid"  # rule of an item that is no object


class QuestionOptions(CommonOptions, frozen=True, kw_only=True):
    """Parameters of every format of questions."""

    max_turns: Annotated[int, msgspec.Meta(ge=1)] = 20  # questions in one sample; more on a picture: more samples
    image_license: str | None = None  # of the pictures; None: as the format says


class Question(Struct, frozen=True, kw_only=True):
    """One item as it stands in the file, and what another file says of it."""

    place: str  # key or position in the file
    raw: bytes
    more: bytes = b""  # JSON


class Record(Struct, frozen=True, kw_only=True):
    """Questions on the same pictures, or the rejects of items that are none."""

    input: str
    record: str | None = None
    id: str = ""
    media: tuple[Media, ...] = ()
    questions: tuple[Question, ...] = ()
    context: bytes = b""  # what all the questions are about besides the pictures (a table)
    license: str | None = None  # of the annotations, where the file says it
    image_license: str | None = None  # of the pictures, where the file says it
    language: str | None = None  # where the whole file has one
    split: str | None = None  # where the file says it
    rejects: tuple[Reject, ...] = ()

    @property
    def weight(self) -> int:
        """Bytes of the pictures and the text."""
        text = sum(len(question.raw) + len(question.more) for question in self.questions)
        return sum(max(found.size, 0) for found in self.media) + text + len(self.context)


class Pictures(NamedTuple):
    """What a question is about."""

    key: str  # equal for questions of one sample; the end of the sample's id
    names: tuple[Sequence[str], ...] = ()  # for each picture: names under which it may lie, the published one first


def annotation_files(inputs: Inputs, *patterns: str) -> list[str]:
    """The annotation files: those given, and in a folder those that fit the first pattern which fits any ("a|b": both).

    Raises InputError for a folder without any.
    """
    found = []
    for place in inputs.annotations:
        if not os.path.isdir(place):
            found.append(place)
            continue
        root = glob.escape(place)
        fitting = (
            sorted(path for one in pattern.split("|") for path in glob.glob(os.path.join(root, one)))
            for pattern in patterns
        )
        inside = next(filter(None, fitting), [])
        if not inside:
            raise InputError(f"{place}: has no {' or '.join(patterns)}; name the annotation file")
        found += inside
    return found


class Plan(NamedTuple):
    """How a format's files are planned."""

    about: Callable[[Any, str, str], Pictures]  # pictures of (item, place, path); RejectedError for no question
    fields: tuple[str, ...] = ()  # of a file that is one object: the list with the questions; none: its members
    join: Callable[[Any], bytes] | None = None  # what another file says of an item, as JSON
    context: Callable[[Pictures], bytes] | None = None  # `Record.context`
    license: str | None = None  # of the annotations, where the file says it
    skip: Callable[[Any], bool] | None = None  # items that the user does not want


def has_files(glimpse: Glimpse, *patterns: str) -> bool:
    """Whether the input is a folder with files of all these names, at its top or below."""
    return glimpse.is_folder and all(
        any(fnmatch.fnmatchcase(f"/{name}", f"*/{pattern}") for name in glimpse.names) for pattern in patterns
    )


def planned(inputs: Inputs, options: QuestionOptions, paths: Sequence[str], plan: Plan) -> Iterator[Record]:
    """Every question of the files, by picture, in the order of the first question on each."""
    unique = UniqueIds(options.source)
    for path in paths:
        yield from planned_file(inputs, options, path, plan, unique)


def planned_file(
    inputs: Inputs, options: QuestionOptions, path: str, plan: Plan, unique: UniqueIds
) -> Iterator[Record]:
    """As `planned`, for one of several files."""
    name, root = file_name(path), inputs.places()["images"]
    with JsonFile(path) as file:
        groups = Groups(file)
        for item in file.items(*plan.fields):
            try:
                entry = object_of(item.raw, NO_QUESTION)
                if plan.skip and plan.skip(entry):
                    continue
                groups.add(plan.about(entry, item.place, path).key, item)
            except RejectedError as error:
                yield rejected(name, item.place, error.rule, error.detail)
                groups.add(None, item)
        for group in groups.by_key():
            place = groups.place(group[0][0])
            try:
                pictures = plan.about(object_of(group[0][1], NO_QUESTION), place, path)
            except RejectedError:
                continue  # the items without key: each has its reject already
            media = tuple(find_media(root, *names) for names in pictures.names)
            context = plan.context(pictures) if plan.context else b""
            questions = [
                Question(place=groups.place(number), raw=raw, more=plan.join(value(raw)) if plan.join else b"")
                for number, raw in group
            ]
            whole = Record(
                input=name, record=clean_text(pictures.key), media=media, context=context, license=plan.license
            )
            yield from parts(whole, pictures.key, questions, options, unique)


def parts(
    whole: Record, key: str, questions: Sequence[Question], options: QuestionOptions, unique: UniqueIds
) -> Iterator[Record]:
    """The record of all questions on one thing, as records of at most `max_turns`."""
    for start in range(0, len(questions), options.max_turns):
        chosen = tuple(questions[start : start + options.max_turns])
        yield msgspec.structs.replace(whole, id=unique(key), questions=chosen)


def rejected(
    name: str, place: str, rule: str, detail: str, level: Literal["file", "record", "turn"] = "record"
) -> Record:
    """The record of an item that is no question."""
    reject = Reject(input=name, record=place, level=level, rule=rule, detail=detail)
    return Record(input=name, record=place, rejects=(reject,))


def file_name(path: str) -> str:
    """Last part of a path, for origins and rejects."""
    return clean_text(path.rstrip("/").rpartition("/")[2])
