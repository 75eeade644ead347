"""Output of img2dataset: pictures with captions that were fetched, as tars, files or Parquet, and what failed.

Input: the output folder, or some of its ``00000.parquet``. A shard is ``00000.parquet`` with, beside it, ``00000.tar``
(of --output_format webdataset), the folder ``00000`` (files), or a picture column in itself (parquet). Every row is a
sample or a reject: rows whose status is not success have the reason that img2dataset gave. A caption and its picture
are one document; ``--set form=question`` asks for the caption. ``url``, sizes and further columns go to ``meta``. A
tar whose Parquet file is missing is a reject, because nobody can say what failed in it: format webdataset reads it
alone. No real output was at hand; made after the tool's writers. Captions and pictures of the web have their own
licences: give ``--license``. https://github.com/rom1504/img2dataset
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from sphinx_data import storage
from sphinx_data.convert import Inputs, _embedded, _row_files, _rows, _tars
from sphinx_data.convert._common import CommonOptions as CommonOptions
from sphinx_data.convert._common import RejectedError, clean_text
from sphinx_data.convert._packed import plain
from sphinx_data.convert._pairs import PairOptions, captioned
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._rows import Record as Record
from sphinx_data.convert._rows import Row, Span
from sphinx_data.convert._tables import groups, jsonable, schema
from sphinx_data.errors import InputError, UsageError
from sphinx_data.media import Prepared
from sphinx_data.sample import Built, Reject

PICTURES = ("jpg", "jpeg", "png", "webp")  # columns and extensions that the tool writes
_CAPTIONS = ("caption", "text", "TEXT", "alt")
_META = (
    "url",
    "key",
    "original_width",
    "original_height",
    "sha256",
    "similarity",
    "punsafe",
    "pwatermark",
    "AESTHETIC_SCORE",
)

Find = Callable[[str, dict[str, Any]], bytes]  # the picture of a key; raises RejectedError
Made = Callable[[Row, Prepared], Iterator[Built | Reject]]


class Options(PairOptions, frozen=True, kw_only=True):
    """Parameters of this format."""

    caption: str | None = None  # column of the caption


def recognise(glimpse: Glimpse) -> bool:
    """Parquet files with keys and the status of each download; lists of addresses, which `records` refuses."""
    if glimpse.row_has("noun_chunks"):
        return False  # grit
    if not glimpse.is_folder and _is_list(glimpse):
        return True
    tables = any(name.lower().endswith(".parquet") for name in glimpse.names)
    return tables and glimpse.row_has("key", "status")


def _is_list(glimpse: Glimpse) -> bool:
    """Whether a file has addresses of pictures and nothing that was fetched."""
    if glimpse.rows:
        keys = {str(key).lower() for row in glimpse.rows if isinstance(row, dict) for key in row}
        cells = [row.get("URL", row.get("url", "")) for row in glimpse.rows if isinstance(row, dict)]
        listed = keys & {"text", "caption"} and not keys & {"key", "status", "image", "jpg", "timestamp"}
        return bool(listed) and len(keys) <= 12 and all(_is_picture_address(cell) for cell in cells)
    return bool(glimpse.lines) and all(line.startswith(("http://", "https://")) for line in glimpse.lines[:20])


def _is_picture_address(cell: Any) -> bool:
    return isinstance(cell, str) and cell.startswith(("http://", "https://"))


def records(inputs: Inputs, options: CommonOptions) -> Iterator[Record]:
    """Every row group of every shard; then the tars without one. Raises UsageError for a list of addresses."""
    for path in inputs.annotations:
        if storage.local(path).is_file() and _is_list(Glimpse(Inputs((path,)))):
            raise UsageError(
                f"{path}: is a list of addresses, and nothing is fetched here; "
                "fetch it with sphinx-data download --urls or img2dataset, and convert its output folder"
            )
    return _rows.chosen(lambda: _records(inputs, options), options)


def _records(inputs: Inputs, options: CommonOptions) -> Iterator[Record]:

    stems = _rows.UniqueIds("")
    for file in _row_files.files(inputs, (".parquet", ".tar")):
        stem = _row_files.stem(file.label)
        if file.path.endswith(".tar"):
            if not storage.exists(f"{file.path.removesuffix('.tar')}.parquet"):
                yield Record(input=file.label, reject=_orphan(file.label))
            continue

        try:
            yield from _shard(file, stems(stem)[1:])
        except InputError as error:
            yield Record(input=file.label, reject=_row_files.unreadable(file.label, error))


def _orphan(label: str) -> Reject:
    detail = "Its .parquet file is missing, so what failed in it cannot be told; --format webdataset reads it alone."
    return Reject(input=label, level="file", rule="metadata-missing", detail=detail)


def _shard(file: _row_files.File, stem: str) -> Iterator[Record]:
    names = set(schema(file.path).names)
    if not {"key", "status"} <= names:
        raise InputError(f"{file.path}: has no columns key and status, so img2dataset did not write it")
    size, tar = storage.size(file.path), f"{file.path.removesuffix('.parquet')}.tar"
    media = os.path.getsize(tar) if os.path.isfile(tar) else 0
    found = groups(file.path)
    for group in found:
        span = Span(
            input=file.input, name=file.name, size=size, stem=stem, group=group.number, first=group.first,
            rows=group.rows, end=media,
        )  # fmt: skip
        yield Record(input=file.label, span=span, bytes=group.size + media // len(found))


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """The sample of every row, or its reject."""
    return fetched(record, options, places, _captioned)


def fetched(
    record: Record, options: CommonOptions, places: dict[str, str], made: Made
) -> Iterator[Built | Reject]:  # fmt: skip
    """What `made` makes of every row and its picture, or the row's reject."""
    if record.span is None:
        yield from _rows.produce(record, options, places, lambda _: ())
        return
    path = _rows.path_of(record.span, places)
    with ExitStack() as stack:
        try:
            find = _finder(path, record.span, stack)
        except InputError as error:
            yield _row_files.unreadable(record.input, error)
            return

        def sampled(row: Row) -> Iterator[Built | Reject]:
            return made(row, _picture(row, find))

        yield from _rows.produce(record, options, places, sampled)


def _finder(path: str, span: Span, stack: ExitStack) -> Find:
    """How pictures of a shard are found: in the row, in the tar, or in the folder."""
    base = path.removesuffix(".parquet")
    if not os.path.isfile(f"{base}.tar"):
        return lambda key, fields: _in_row(fields) or _in_folder(base, key)
    tar = f"{base}.tar"
    if storage.size(tar) != span.end:
        raise InputError(f"{tar}: has {storage.size(tar)} bytes, {span.end} when the build was planned; build again")
    file = stack.enter_context(plain(tar))
    places, damage = _index(file, tar)

    def find(key: str, fields: dict[str, Any]) -> bytes:
        if key not in places:
            raise RejectedError("image-missing", damage or f"{os.path.basename(tar)} has no picture of key {key}.")
        return _row_files.read(file, *places[key])

    return find


def _index(file: Any, tar: str) -> tuple[dict[str, tuple[int, int]], str]:
    """Key -> (offset, size) of the pictures of a tar, and what is wrong with the tar."""
    places: dict[str, tuple[int, int]] = {}
    try:
        for member in _tars.members(file, tar):
            split = _tars.key_of(member.name)
            if split is not None and split[1] in PICTURES:
                places.setdefault(split[0], (member.offset, member.size))
    except InputError as error:
        return places, _row_files.reason(tar, error)
    return places, ""


def _in_row(fields: dict[str, Any]) -> bytes | None:
    return next((fields[name] for name in PICTURES if isinstance(fields.get(name), bytes)), None)


def _in_folder(base: str, key: str) -> bytes:
    for extension in PICTURES:
        place = f"{base}/{key}.{extension}"
        if "/" not in key and os.path.isfile(place):
            return storage.read_bytes(place)
    raise RejectedError("image-missing", f"{os.path.basename(base)} has no picture of key {clean_text(key)}.")


def _picture(row: Row, find: Find) -> Prepared:
    """The picture of a row. Raises RejectedError with the tool's own reason where it was not fetched."""
    fields = row.fields
    status, key = fields.get("status"), fields.get("key")
    if status != "success":
        rule = "resize-failed" if status == "failed_to_resize" else "download-failed"
        reason = clean_text(str(fields.get("error_message") or status))
        raise RejectedError(rule, f"{clean_text(str(fields.get('url')))}: {reason}")
    if not isinstance(key, str):
        raise RejectedError("key-missing", "The row has no key.")
    return _embedded.prepared(find(key, fields), row.options, key)


def _captioned(row: Row, picture: Prepared) -> Iterator[Built | Reject]:
    options, fields = row.options, row.fields
    assert isinstance(options, Options)
    caption = fields.get(options.caption) if options.caption else _caption(fields)
    if not isinstance(caption, str):
        raise RejectedError("caption-missing", "The row has no caption; --set caption=COLUMN names another column.")
    meta = {name: jsonable(fields[name]) for name in _META if fields.get(name) is not None}
    return captioned(row, [picture], caption, form=options.form, meta=meta)


def _caption(fields: dict[str, Any]) -> Any:
    return next((fields[name] for name in _CAPTIONS if fields.get(name) is not None), None)
