"""SROIE (ICDAR 2019): scanned receipts with boxes of text lines and four fields -> key information and text spotting.

Input: the folder with ``box/*.csv`` (or ``.txt``), ``key/*.json`` or ``entities/*.txt``, and ``img/*.jpg``; or the
folders of task 1 and task 2, whose files have equal names; all told by what is in the files. A row is eight
coordinates and the text, which may hold commas. One sample a receipt: a question for each field, "What is the
total?\\nAnswer the question using a single word or phrase.", then SPHINX's text spotting. Fields without a value
are rejects of level turn. ``--set tasks=key-information`` or ``spotting`` asks one of the two. The organisers state
no licence of the data (zzzDavid/ICDAR-2019-SROIE is MIT: `--license`). https://rrc.cvc.uab.es/?ch=13
"""

import os
from collections.abc import Iterator
from typing import Any, Literal

from sphinx_data import storage
from sphinx_data.convert import Inputs, _label_sets, _quads
from sphinx_data.convert._common import RejectedError, UniqueIds, clean_text, limited
from sphinx_data.convert._forms import Field, field_turns
from sphinx_data.convert._json_items import value
from sphinx_data.convert._label_files import LabelFile, Pictures, label_files
from sphinx_data.convert._objects import PictureRecord, of_picture, reject
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._texts import About, TextOptions, Texts, legible, outline, written
from sphinx_data.sample import Built, Reject

_ENDINGS = (".csv", ".txt", ".json")
_BOXES, _FIELDS = {"box", "boxes"}, {"key", "keys", "entities"}
_NAMES = {"company": "name of the company", "date": "date", "address": "address of the company", "total": "total"}


class Options(TextOptions, frozen=True, kw_only=True):
    """Parameters of this format."""

    tasks: Literal["both", "key-information", "spotting"] = "both"  # what is asked


class Record(PictureRecord, frozen=True, kw_only=True):
    """One receipt."""

    rows: bytes | None = None  # None: it has no file of boxes
    fields: bytes | None = None  # JSON; None: it has no file of fields


def recognise(glimpse: Glimpse) -> bool:
    """A folder with folders of boxes and fields, a CSV of such rows, or a JSON file of the four fields."""
    folders = {part.lower() for name in glimpse.names for part in name.split("/")[:-1]}
    if folders & _FIELDS and folders & (_BOXES | {"img", "images"}):
        return True
    named = next((name for name in glimpse.names if name.lower().endswith(".json")), "")
    path = storage.join(glimpse.path, named) if glimpse.is_folder else glimpse.path
    if named and set(Glimpse(Inputs((path,))).keys) == set(_NAMES):
        return True
    return _quads.are_quads(_label_sets.first_lines(glimpse, ".csv"))


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every receipt, in order of its first file."""
    return limited(lambda: _records(inputs, options), options)


def _records(inputs: Inputs, options: Options) -> Iterator[Record]:
    unique, pictures = UniqueIds(options.source), Pictures(inputs)
    receipts: dict[str, list[LabelFile]] = {}
    for file in label_files(inputs, *_ENDINGS):
        receipts.setdefault(_key(file), []).append(file)
    for key, files in receipts.items():
        record = Record(input=clean_text(files[0].name), id=unique(key))
        raws: dict[bool, bytes] = {}
        rejects = []
        for file in files:
            try:
                raw = file.read()
                is_fields = raw.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{"
                if is_fields in raws:
                    raise RejectedError("file-repeated", "Another file of the receipt has the same content.")
                raws[is_fields] = raw
            except RejectedError as error:
                why = reject(record, "file", error.rule, error.detail)
                rejects.append(Reject(input=clean_text(file.name), level="file", rule=why.rule, detail=why.detail))
        try:
            media = pictures.of(files[0].name, files[0].stem) if raws else None
        except RejectedError as error:
            media, rejects = None, [*rejects, reject(record, "image", error.rule, error.detail)]
        yield Record(
            input=record.input, id=record.id if media else "", media=media, rejects=tuple(rejects),
            rows=raws.get(False), fields=raws.get(True),
        )  # fmt: skip


def _key(file: LabelFile) -> str:
    """Equal for the files of one receipt: its name without extension and without the folder of its kind."""
    folder, _, base = file.name.rpartition("/")
    above, _, last = folder.rpartition("/")
    kept = above if last.lower() in _BOXES | _FIELDS else folder
    stem = os.path.splitext(base)[0]
    return f"{kept}/{stem}" if kept else stem


@of_picture
def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its texts and fields, or the reject of the picture."""
    picture, texts = _label_sets.opened_texts(record, options, places)
    fields = _fields(record, texts) if options.tasks != "spotting" else []
    if record.rows is not None and options.tasks != "key-information":
        for number, line in _quads.lines(record.rows):
            with texts.one(f"Line {number}"):
                row = _quads.quad(number, line)
                texts.add(outline(row.numbers), legible(row.text))
    turns = field_turns([Field(_NAMES.get(name, name), text) for name, text in fields], "receipt", record.id)
    yield from texts.samples(picture, About(language="en"), turns, {"fields": dict(fields)} if fields else None)


def _fields(record: Record, texts: Texts) -> list[tuple[str, str]]:
    if record.fields is None:
        return []
    try:
        said: Any = value(record.fields.removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        texts.refuse("turn", "json-invalid", f"The fields are not valid JSON: {clean_text(str(error))}.")
        return []
    kept = []
    for name, text in said.items() if isinstance(said, dict) else ():
        try:
            kept.append((name.replace("_", " "), written(text)))
        except RejectedError as error:
            texts.refuse("turn", error.rule, f"Field {clean_text(name)}: {error.detail}")
    return kept
