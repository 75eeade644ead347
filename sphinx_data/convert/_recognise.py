"""Which format an input has: every format's `recognise` is asked about what a person would look at first."""

import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from typing import Any

from sphinx_data import storage
from sphinx_data.convert import Inputs, format_names, load
from sphinx_data.convert._common import short
from sphinx_data.convert._json_items import Item, JsonFile, value
from sphinx_data.convert._packed import head
from sphinx_data.convert._row_files import ASIDE
from sphinx_data.convert._tables import delimited, groups, is_table
from sphinx_data.convert._tables import rows as table_rows
from sphinx_data.errors import InputError, UsageError

_NAMES = 500
_RECORDS = 3
_LOOKED_INTO, _SHOWN = 12, 3  # files of a folder that is of no format itself
_NAMED = 8  # keys in a message
_MAGIC = {
    b"\xff\xd8\xff": "a picture, not its annotations", b"\x89PNG": "a picture, not its annotations",
    b"GIF8": "a picture, not its annotations", b"%PDF": "a PDF; sphinx-data build-ocr reads it",
    b"\xff\xfe": "text in UTF-16; save it as UTF-8", b"\xfe\xff": "text in UTF-16; save it as UTF-8",
    b"version https://git-lfs": "a pointer of Git LFS; get the file itself with git lfs pull",
}  # fmt: skip
_CVAT = "CVAT's own XML; export it from CVAT as COCO or Pascal VOC"
_ROWS = (".json", ".jsonl", ".parquet", ".arrow", ".csv", ".tsv", ".gz", ".zst")


class Glimpse:
    """The first look at the annotations of a conversion: names, and the beginning of the first file."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.path = inputs.annotations[0]
        self.is_folder = storage.local(self.path).is_dir()

    @cached_property
    def names(self) -> list[str]:
        """Names of the files: those given, or up to 500 below the folder, relative to it."""
        if not self.is_folder:
            return [os.path.basename(path) for path in self.inputs.annotations]
        return [name for name, _ in islice(storage.list_files(self.path), _NAMES)]

    @cached_property
    def extensions(self) -> set[str]:
        """Lower-case extensions of `names`, with the dot."""
        return {os.path.splitext(name)[1].lower() for name in self.names}

    @cached_property
    def head(self) -> bytes:
        """The first 64 KiB of the first file, unpacked; empty for a folder."""
        if self.is_folder:
            return b""
        return head(self.path, 1 << 16).removeprefix(b"\xef\xbb\xbf")

    @cached_property
    def lines(self) -> list[str]:
        """The first lines of the first file, the last of them whole."""
        lines = self.head.decode("utf-8", "replace").splitlines()
        return lines[:50] if len(self.head) < 1 << 16 else lines[:-1][:50]

    @cached_property
    def keys(self) -> set[str]:
        """Top-level keys of the first file, where it is one JSON object."""
        if not self._is_json or self._in_lines:
            return set()
        with JsonFile(self.path) as file:
            return set(file.members())

    @cached_property
    def records(self) -> list[Any]:
        """The first three items of a JSON list or JSON lines, or the values of a JSON object's first three members."""
        if not self._is_json:
            return []
        with JsonFile(self.path) as file:
            return list(_values(islice(file.items(), _RECORDS)))

    def record_has(self, *keys: str) -> bool:
        """Whether `records` are objects that have all these keys."""
        return bool(self.records) and all(
            isinstance(record, dict) and all(key in record for key in keys) for record in self.records
        )

    @cached_property
    def rows(self) -> list[Any]:
        """`records`, or the first three rows of a table; of a folder, those of its first such file."""
        path = self.path
        if self.is_folder:
            files = (
                name for name in self.names if name.lower().endswith(_ROWS) and os.path.basename(name) not in ASIDE
            )
            path = storage.join(self.path, next(files, ""))
        if is_table(path):
            group = next(iter(groups(path)), None)
            return list(islice(table_rows(path, group.number, group.rows), _RECORDS)) if group else []
        if is_table(path, delimited=True):
            return list(islice(delimited(path), _RECORDS))
        return Glimpse(Inputs((path,))).records if self.is_folder and path.rstrip("/") != self.path else self.records

    def row_has(self, *keys: str) -> bool:
        """Whether `rows` are objects that have all these keys."""
        return bool(self.rows) and all(isinstance(row, dict) and all(key in row for key in keys) for row in self.rows)

    def member(self, key: str) -> list[Any]:
        """The first three items of the list under a top-level key; empty where there is none."""
        if key not in self.keys:
            return []
        with JsonFile(self.path) as file:
            return list(_values(islice(file.children(file.members()[key]), _RECORDS)))

    @property
    def _is_json(self) -> bool:
        return self.head.lstrip()[:1] in (b"{", b"[")

    @property
    def _in_lines(self) -> bool:
        with JsonFile(self.path) as file:
            return file.is_lines


def _values(items: Iterator[Item]) -> Iterator[Any]:
    for found in items:
        try:
            yield value(found.raw)
        except ValueError:
            yield None


def recognise(inputs: Inputs) -> str:
    """The name of the one format that the annotations have. Raises UsageError saying why none or several fit."""
    glimpse = Glimpse(inputs)
    if not storage.exists(glimpse.path):
        raise InputError(f"{glimpse.path}: does not exist")
    found = _fitting(glimpse)
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{glimpse.path}: may be {' or '.join(found)}; choose with --format")
    if glimpse.is_folder and (inside := _inside(glimpse)):
        raise UsageError(f"{glimpse.path}: is a folder; give one of its files, {inside}, and --images DIR")
    raise UsageError(f"{glimpse.path}: is of no known format ({_seen(glimpse)}); see sphinx-data formats, use --format")


def _fitting(glimpse: Glimpse) -> list[str]:
    found = []
    for name in format_names():
        try:
            if load(name).recognise(glimpse):
                found.append(name)
        except InputError:  # not the JSON, table or folder that this format needs
            continue
    return found


def _inside(glimpse: Glimpse) -> str:
    """The first annotation files of a folder that are of a known format, with its name."""
    rows = [name for name in glimpse.names if name.lower().endswith(_ROWS) and os.path.basename(name) not in ASIDE]
    found = []
    for name in rows[:_LOOKED_INTO]:
        fitting = _fitting(Glimpse(Inputs((storage.join(glimpse.path, name),))))
        found += [f"{name} ({fitting[0]})"] if len(fitting) == 1 else []
    return " or ".join(found[:_SHOWN])


def _seen(glimpse: Glimpse) -> str:
    if glimpse.is_folder:
        marked = next((name for name in glimpse.names if name.lower().endswith(".xml")), None)
        if marked and _is_cvat(head(storage.join(glimpse.path, marked), 1 << 10)):
            return _CVAT
        return f"a folder with {', '.join(sorted(glimpse.extensions)) or 'no files'}"
    try:
        first = glimpse.rows[0] if glimpse.rows else None
        if isinstance(first, dict) and not glimpse.records:
            return f"a table with {_listed(first)}"
        if len(glimpse.keys) > _NAMED and isinstance(first, dict):
            return f"JSON, {len(glimpse.keys):,} members with {_listed(first)}"
        if keys := glimpse.keys or (first if isinstance(first, dict) else ()):
            return f"JSON with {_listed(keys)}"
    except InputError as error:
        return str(error).removeprefix(f"{glimpse.path}: ")
    beginning = glimpse.head
    if not beginning:
        return "an empty file, or an archive that holds no single file"
    kind = next((kind for magic, kind in _MAGIC.items() if beginning.startswith(magic)), None)
    if kind is None and _is_cvat(beginning):
        kind = _CVAT
    if kind is None and b"\0" in beginning[:512]:
        kind = "a file that is neither text, JSON nor a table"
    return kind or f"a file that begins with {short(beginning[:40].decode('utf-8', 'replace'))}"


def _is_cvat(head: bytes) -> bool:
    return b"<annotations>" in head and b"<version>" in head


def _listed(keys: Iterable[str]) -> str:
    cut = (name if len(name) <= 40 else f"{name[:37]}..." for name in sorted(map(str, keys)))
    names = [name if name.isprintable() else repr(name) for name in cut]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}" or "nothing in it"
