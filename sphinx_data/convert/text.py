"""Plain text: JSON lines with a text field, Parquet, CSV, TSV, and TXT; gzip, zstd, bzip2 and xz too.

Files or folders of them. The text is under ``text``, ``content`` or ``raw_content``, else ``--set field=NAME``; the
other fields of a row go to ``meta``. A TXT file is one document, or one a line or one a paragraph (between empty
lines) with ``--set documents=line`` or ``paragraph``. Documents above 32,768 characters (``--set longest=N``) are cut
at the end of a paragraph, else of a line, else of a sentence or word; ``meta.piece`` is [number, first character]. No
text is changed or lost, but for the empty space at a cut. One sample a document, without a question: every character
is learned. Plain JSON lines and TXT by lines are read in ranges, so that large files spread over workers; a compressed
file is one range.
"""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from sphinx_data import storage
from sphinx_data.convert import Inputs, _row_files, _rows
from sphinx_data.convert._common import CommonOptions, RejectedError, clean_text, short
from sphinx_data.convert._json_items import object_of
from sphinx_data.convert._label_sets import has_labels
from sphinx_data.convert._packed import packing, plain
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._rows import Record as Record
from sphinx_data.convert._rows import Row, Span
from sphinx_data.convert._sample import assistant, built
from sphinx_data.convert._tables import jsonable
from sphinx_data.convert._text_lines import documents, pieces, ranges, units
from sphinx_data.errors import InputError
from sphinx_data.language import language_of
from sphinx_data.sample import Built, Reject

_FIELDS = ("text", "content", "raw_content")
_PACKED = ("", ".gz", ".zst", ".bz2", ".xz")
_LINES = tuple(f"{kind}{packed}" for kind in (".jsonl", ".json", ".ndjson") for packed in _PACKED)
_PLAIN = tuple(f"{kind}{packed}" for kind in (".txt", ".text", ".md") for packed in _PACKED)
_TABLES = (".parquet", ".arrow", *(f"{kind}{packed}" for kind in (".csv", ".tsv") for packed in _PACKED))


class Options(CommonOptions, frozen=True, kw_only=True):
    """Parameters of this format."""

    field: str | None = None  # of the text
    documents: Literal["file", "line", "paragraph"] = "file"  # what a document is in a TXT file
    longest: int = 32_768  # characters of a sample


def recognise(glimpse: Glimpse) -> bool:
    """Rows with a text and no picture or question, or files of prose that end in .txt."""
    if any(name.lower().endswith(_LINES + _TABLES) for name in glimpse.names):
        others = {"image", "images", "url", "question_id", "image_info", "messages", "conversations", "jpg", "label"}
        others |= {"filename"}  # of a picture whose text it is
        rows = [row for row in glimpse.rows if isinstance(row, dict)]
        return bool(rows) and all(
            isinstance(row.get("text"), str) and not {str(key).lower() for key in row} & others - {"url"}
            for row in rows
        )
    prose = glimpse.names and all(name.lower().endswith(_PLAIN) for name in glimpse.names)
    if has_labels(glimpse, *_PLAIN):
        return False
    if prose and glimpse.is_folder:
        first = Glimpse(Inputs((storage.join(glimpse.path, glimpse.names[0]),)))
        return not first.lines or not all("\t" in line for line in first.lines if line)  # those of MME are tables
    return bool(prose) and any(len(line) > 200 and " " in line for line in glimpse.lines)


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Ranges of every file, row groups of tables, in file order."""

    def ranged(file: _row_files.File, stem: str) -> Iterator[Record]:
        size, whole = storage.size(file.path), _is_whole(file.path, options)
        for begin, end in ranges(file.path, whole):
            span = Span(input=file.input, name=file.name, size=size, stem=stem, begin=begin, end=end)
            if options.limit is not None:
                span = msgspec.structs.replace(span, rows=_count(file.path, span, options))
            yield Record(input=file.label, span=span, bytes=size if whole else end - begin)

    return _rows.records(inputs, options, wide=(), ranged=ranged, extensions=(*_LINES, *_PLAIN, *_TABLES))


def _is_whole(path: str, options: Options) -> bool:
    """Whether a file cannot be cut into ranges: it is compressed, or not one of lines."""
    is_prose = path.lower().endswith(_PLAIN)
    return packing(path) is not None or (is_prose and options.documents != "line")


def _count(path: str, span: Span, options: Options) -> int:
    with plain(path) as file:
        return units(file, span.begin, span.end, _unit(path, options))


def _unit(path: str, options: Options) -> Literal["file", "line", "paragraph"]:
    return options.documents if path.lower().endswith(_PLAIN) else "line"


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """The samples of a range, and its rejects."""
    if record.span is None or not record.span.end:
        yield from _rows.produce(record, options, places, _sampled)
        return
    span = record.span
    path = _rows.path_of(span, places)
    try:
        yield from _documents(record, span, path, options, places)
    except InputError as error:
        yield _row_files.unreadable(record.input, error)


def _documents(
    record: Record, span: Span, path: str, options: Options, places: dict[str, str]
) -> Iterator[Built | Reject]:
    wanted = None if span.chosen is None else set(span.chosen)
    is_prose = path.lower().endswith(_PLAIN)
    with plain(path) as file:
        found = documents(file, span.begin, span.end, _unit(path, options))
        for number, (offset, raw) in enumerate(found):
            if wanted is None or number in wanted:
                place = f"byte {offset}"
                identity = f"{options.source}/{span.stem}" + ("" if _unit(path, options) == "file" else f"/{offset}")
                row = Row(record.input, place, identity, {}, (), options, places)
                yield from _rows.each(row._replace(fields=_prose(raw)) if is_prose else row, _reader(raw, is_prose))


def _prose(raw: bytes) -> dict[str, Any]:
    return {"text": raw.decode("utf-8", "replace")}


def _reader(raw: bytes, is_prose: bool) -> _rows.Sampled:
    def sampled(row: Row) -> Iterator[Built | Reject]:
        return _sampled(row if is_prose else row._replace(fields=object_of(raw)))

    return sampled


def _sampled(row: Row) -> Iterator[Built | Reject]:
    options = row.options
    assert isinstance(options, Options)
    name = options.field or next((field for field in _FIELDS if field in row.fields), "text")
    text = row.fields.get(name)
    if not isinstance(text, str):
        raise RejectedError("field-missing", f"{name} is {short(text)}, not text; --set field=NAME names another.")
    if not text.strip():
        raise RejectedError("text-empty", "The document has no text.")
    rest = {str(key): jsonable(value) for key, value in row.fields.items() if key != name and value is not None}
    cut = list(pieces(clean_text(text), max(options.longest, 1)))
    for number, (start, piece) in enumerate(cut):
        meta = rest | ({"piece": [number, start]} if len(cut) > 1 else {})
        part = row if len(cut) == 1 else row._replace(id=f"{row.id}/{number}")
        yield built(
            part, options, domain="language", task="text", messages=[assistant(piece)],
            language=options.language or language_of(piece), meta=meta,
        )  # fmt: skip
