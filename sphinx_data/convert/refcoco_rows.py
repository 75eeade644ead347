"""RefCOCO, RefCOCO+, RefCOCOg as tables: the Parquet re-releases lmms-lab/RefCOCO and jxu124/refcoco.

Input: Parquet files or their folder, a row a region. lmms-lab's rows hold the picture, its sentences as ``answer``,
``bbox`` [x, y, width, height] and one outline; jxu124's hold ``sentences`` and the published COCO annotation and
picture as JSON (``raw_anns``, ``raw_image_info``), and pictures are COCO's train2014 below ``--images``. All rows about
one picture, of all files given, are converted together: REC and REG as of the format refcoco, which see. lmms-lab's
own ``question`` is not used. Annotations: Apache-2.0 (https://github.com/lichengunc/refer). No published table was at
hand for the tests: they write the published columns.
"""

import re
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

import msgspec

from sphinx_data import storage
from sphinx_data.convert import Inputs
from sphinx_data.convert._coco_file import identity, length, picture_names
from sphinx_data.convert._common import Media, UniqueIds, clean_text, find_media, limited
from sphinx_data.convert._common import RejectedError as RejectedError
from sphinx_data.convert._embedded import embedded, prepared
from sphinx_data.convert._json_items import entry_of
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._referring import Expression, ReferringOptions, both, cleaned
from sphinx_data.convert._referring import Record as ReferringRecord
from sphinx_data.convert._referring import produce as _produce
from sphinx_data.convert._row_files import File, files
from sphinx_data.convert._rows import Span, path_of
from sphinx_data.convert._tables import TABLES, groups, jsonable, rows, schema
from sphinx_data.errors import InputError
from sphinx_data.media import Prepared
from sphinx_data.sample import Built, Reject, Struct

LICENSE = "Apache-2.0"
_OF_REFERENCE = re.compile(r"(COCO_\w+_\d{12})_\d+(\.\w+)")  # refs name a picture with the number of an annotation
_SHAPE = ("bbox", "segmentation", "area")


class Options(ReferringOptions, frozen=True, kw_only=True):
    """Parameters of this format."""


class Record(ReferringRecord, frozen=True, kw_only=True):
    """One picture with its expressions, for one task."""

    span: Span | None = None  # the one row of a table that holds the picture


class _Row(Struct, frozen=True, kw_only=True):
    """A row, without its picture."""

    input: str
    record: str
    fields: dict[str, Any]
    span: Span


def recognise(glimpse: Glimpse) -> bool:
    """Rows with sentences and a box, of either publisher."""
    return glimpse.row_has("image", "answer", "bbox", "file_name") or glimpse.row_has(
        "raw_anns", "raw_image_info", "sentences"
    )


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every picture of every file, in the order of the first row about it, for each task."""
    return limited(lambda: _records(inputs, options), options)


def _records(inputs: Inputs, options: Options) -> Iterator[Record]:
    unique, root = UniqueIds(options.source), inputs.places()["images"]
    pictures: dict[str, list[_Row]] = {}
    for file in files(inputs, TABLES):
        for row in _rows(file):
            pictures.setdefault(_picture(row.fields), []).append(row)
    for name, found in pictures.items():
        expressions, lost = _expressions(found)
        first = found[0]
        info = entry_of(str(first.fields.get("raw_image_info") or "").encode())
        record = Record(
            input=first.input, record=first.record, id=unique(name.rpartition(".")[0] or name),
            expressions=tuple(expressions), rejects=tuple(lost), width=length(info.get("width")),
            height=length(info.get("height")), span=None if info else first.span,
        )  # fmt: skip
        if expressions:
            record = msgspec.structs.replace(record, media=_media(record, first, info, root))
        for one in both(record, options):
            assert isinstance(one, Record)
            yield one


def _rows(file: File) -> Iterator[_Row]:
    """Every row of a table but for its picture."""
    names = schema(file.path).names
    if not ({"answer", "bbox", "image"} <= set(names) or {"raw_anns", "raw_image_info"} <= set(names)):
        raise InputError(f"{file.path}: has neither the columns of lmms-lab/RefCOCO nor those of jxu124/refcoco")
    size, columns = storage.size(file.path), [name for name in names if name != "image"]
    for group in groups(file.path):
        for number, fields in enumerate(rows(file.path, group.number, group.rows, columns)):
            span = Span(
                input=file.input, name=file.name, size=size, group=group.number, first=number, rows=group.rows,
                end=group.size // max(group.rows, 1),
            )  # fmt: skip
            yield _Row(input=file.label, record=str(group.first + number), fields=jsonable(fields), span=span)


def _picture(fields: dict[str, Any]) -> str:
    """The name of the picture that a row is about."""
    said = entry_of(str(fields.get("raw_image_info") or "").encode()).get("file_name") or fields.get("file_name")
    name = clean_text(str(said or identity(fields.get("image_id")) or "unnamed"))
    return _OF_REFERENCE.sub(r"\1\2", name)


def _media(record: Record, row: _Row, info: dict[str, Any], root: str) -> Media:
    """The picture's file; of one inside the table that table, for the bytes that its rows have on average."""
    if record.span is not None:
        return Media(name=row.input, size=row.span.end)
    names = picture_names(info) or [_picture(row.fields)]
    return find_media(root, *names, *(f"train2014/{name}" for name in names))


def _expressions(found: list[_Row]) -> tuple[list[Expression], list[Reject]]:
    expressions: list[Expression] = []
    lost: list[Reject] = []
    for row in found:
        fields = row.fields
        sentences = tuple(dict.fromkeys(text for text in map(cleaned, _said(fields)) if text))
        number = identity(fields.get("ref_id", fields.get("question_id"))) or row.record
        if not sentences:
            lost.append(Reject(input=row.input, record=row.record, level="record", rule="no-sentence",
                               detail="It has no sentence."))  # fmt: skip
            continue
        entry = entry_of(str(fields.get("raw_anns") or "").encode()) or fields
        shape = {key: entry[key] for key in _SHAPE if key in entry}
        expressions.append(Expression(id=number, shape=msgspec.json.encode(shape), sentences=sentences))
    return expressions, lost


def _said(fields: dict[str, Any]) -> list[Any]:
    """The sentences of a row."""
    said = fields.get("answer") or fields.get("sentences") or fields.get("captions") or []
    entries = said if isinstance(said, list) else [said]
    return [entry.get("sent") or entry.get("raw") if isinstance(entry, dict) else entry for entry in entries]


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its regions and turns, or the reject of the picture."""
    load = None if record.span is None else partial(_load, record.span, options, places)
    yield from _produce(record, options, places, license=LICENSE, load=load)


def _load(span: Span, options: Options, places: dict[str, str]) -> Prepared:
    cells = _pictures(path_of(span, places), span.group, span.rows)
    return prepared(embedded(cells[span.first]), options)


@lru_cache(maxsize=1)  # records come in the order of the groups
def _pictures(path: str, group: int, count: int) -> list[Any]:
    return [row["image"] for row in rows(path, group, count, ["image"])]
