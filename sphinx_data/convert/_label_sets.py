"""Sets in which every picture has one label file: planned alike, whatever stands in the files."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from sphinx_data import storage
from sphinx_data.convert import Inputs, _rows
from sphinx_data.convert._common import CommonOptions, RejectedError, UniqueIds, clean_text
from sphinx_data.convert._json_items import object_of
from sphinx_data.convert._label_files import LabelFile, Pictures, label_files
from sphinx_data.convert._objects import PictureRecord, opened, reject
from sphinx_data.convert._packed import head
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._texts import TextOptions, Texts
from sphinx_data.media import Prepared

_LINES, _FILES = 20, 5  # that are looked at
_HEAD = 1 << 14  # bytes
_LABELS = re.compile(r"\s*(?:(?:[-+.\d]+[ ,\t]+){4}|[^\t]*(?:\t[^\t]*){9}$|x: \[\[|\{)")


class Record(PictureRecord, frozen=True, kw_only=True):
    """One label file, and its picture."""

    raw: bytes = b""


def planned(
    inputs: Inputs, options: CommonOptions, endings: tuple[str, ...], stems: Callable[[LabelFile, bytes], list[str]],
    skip: Callable[[LabelFile], bool] = lambda _: False,
) -> Iterator[Record]:  # fmt: skip
    """A record for every label file, in order of its name.

    Args:
        inputs: files and folders.
        options: of the format.
        endings: of the label files, lower case.
        stems: names, without extension, that the picture of a label file may have, by the file and what is in it.
        skip: files of the folder that are no labels.
    """
    unique, pictures = UniqueIds(options.source), Pictures(inputs)
    for file in label_files(inputs, *endings):
        if skip(file):
            continue
        name = clean_text(file.name)
        record = Record(input=name, id=unique(os.path.splitext(name)[0]))
        try:
            raw = file.read()
            media = pictures.of(file.name, *stems(file, raw))
        except RejectedError as error:
            is_image = error.rule.startswith("image")
            why = reject(record, "image" if is_image else "file", error.rule, error.detail)
            yield Record(input=name, rejects=(why,))
            continue
        yield Record(input=name, id=record.id, media=media, raw=raw)


def planned_objects(
    inputs: Inputs, options: CommonOptions, stems: Callable[[LabelFile], list[str]]
) -> Iterator[_rows.Record]:
    """As `planned`, for label files that are one JSON object each: rows with one picture."""
    for record in planned(inputs, options, (".json",), lambda file, _: stems(file)):
        if record.media is None:
            yield _rows.Record(input=record.input, reject=record.rejects[0])
            continue
        try:
            object_of(record.raw.removeprefix(b"\xef\xbb\xbf"))
        except RejectedError as error:
            why = reject(record, "file", error.rule, error.detail)
            yield _rows.Record(input=record.input, reject=why)
            continue
        raw = record.raw.removeprefix(b"\xef\xbb\xbf")
        yield _rows.Record(input=record.input, id=record.id, media=(record.media,), raw=raw)


def opened_texts(
    record: PictureRecord, options: TextOptions, places: dict[str, str], width: int = 0, height: int = 0
) -> tuple[Prepared, Texts]:
    """The picture of a record and a collector for its texts. Raises RejectedError."""
    picture, frame = opened(record, options, places, width, height)
    return picture, Texts(record, frame, options)


def first_lines(glimpse: Glimpse, *endings: str) -> list[str]:
    """The first lines of the file, or of a folder's first file that ends so; empty where there is none."""
    return next(_beginnings(glimpse, endings), [])


def _beginnings(glimpse: Glimpse, endings: tuple[str, ...]) -> Iterator[list[str]]:
    if not glimpse.is_folder:
        if glimpse.path.lower().endswith(endings):
            yield [line for line in glimpse.lines if line.strip()][:_LINES]
        return
    for name in glimpse.names:
        if name.lower().endswith(endings):
            data = head(storage.join(glimpse.path, name), _HEAD)
            lines = data.decode("utf-8-sig", "replace").splitlines()
            yield [line for line in (lines if len(data) < _HEAD else lines[:-1]) if line.strip()][:_LINES]


def has_labels(glimpse: Glimpse, *endings: str) -> bool:
    """Whether the file, or one of a folder's first files that end so, holds rows of labels and no prose."""
    return any(_are_labels(lines) for lines in islice(_beginnings(glimpse, endings), _FILES))


def _are_labels(lines: Sequence[str]) -> bool:
    """Whether lines are rows of coordinates, of tokens with coordinates, or JSON: no prose."""
    return bool(lines) and all(_LABELS.match(line.lstrip("\ufeff")) for line in lines)
