"""JSON files of any size as items: found by their brackets, handed out as bytes, so that memory stays flat.

Published annotation files are one list, one object with lists, one object of named records, or JSON lines, and some
have many gigabytes. Only brackets and quotes are looked at here; what an item says, and whether it is sound, is its
reader's matter. A compressed file is unpacked into a temporary file first.
"""

import json
import os
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
import numpy as np

from sphinx_data.convert._common import RejectedError, clean_text, short
from sphinx_data.convert._json_spans import SPACE, Children, Run, Span, windows
from sphinx_data.convert._json_spans import key_text as key_text
from sphinx_data.convert._packed import plain
from sphinx_data.errors import InputError

_FIRST_LINE = 64 << 20  # a longer first line is no line


class Item(NamedTuple):
    """One item of a file."""

    place: str  # position in a list, key in an object, or "line 7"
    raw: bytes  # its JSON, unchecked
    offset: int  # of `raw` in the plain file


def value(raw: bytes | msgspec.Raw) -> Any:
    """What an item says; NaN and Infinity, which Python writes, are read. Raises ValueError where it is not JSON."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    try:
        return json.loads(bytes(raw))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def entry_of(raw: bytes | msgspec.Raw) -> dict[str, Any]:
    """An item that should be an object; an empty one where it is not."""
    try:
        entry = value(raw)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def object_of(raw: bytes | msgspec.Raw, rule: str = "not-a-record") -> dict[str, Any]:
    """An item that must be an object. Raises RejectedError, with this rule where it is something else."""
    try:
        entry = value(raw)
    except ValueError as error:
        raise RejectedError("json-invalid", f"Not valid JSON: {clean_text(str(error))}.") from None
    if not isinstance(entry, dict):
        raise RejectedError(rule, f"{short(entry)} is no object.")
    return entry


class JsonFile:
    """An annotation file, open for reading; a context manager. Raises InputError naming file and fault."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = plain(path)
        self._descriptor = self._file.fileno()
        self.size = os.fstat(self._descriptor).st_size  # bytes of the plain file
        head = self.read(0, 1 << 16)
        if head.startswith((b"\xff\xfe", b"\xfe\xff")):
            self._file.close()
            raise InputError(f"{path}: is text in UTF-16; save it as UTF-8")
        self._begin = 3 if head.startswith(b"\xef\xbb\xbf") else 0
        self._first = head[self._begin :].lstrip(SPACE)[:1]

    def __enter__(self) -> "JsonFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the plain file."""
        return os.pread(self._descriptor, size, offset)

    def items(self, *fields: str, one: str = "") -> Iterator[Item]:
        """The records of the file, whichever form it has.

        A list gives its items, JSON lines their lines. An object gives the items of the first of `fields` that it has;
        an object with a member `one` is one record itself. With neither asked for it gives its members.
        """
        if self.is_lines:
            return self._lines()
        if self._first == b"[" or not (fields or one):
            return self._children(self._begin)
        return self._of_object(fields, one)

    def members(self) -> dict[str, tuple[int, int]]:
        """Key -> (offset, size) of the values of an object; of equal keys the last. Empty where the file is a list."""
        if self._first != b"{":
            return {}
        return {item.place: (item.offset, item.size) for item in self._spans(self._begin)}

    def children(self, member: tuple[int, int]) -> Iterator[Item]:
        """The items of one of `members`; none where it is no list or object."""
        offset, _ = member
        return self._children(offset) if self.read(offset, 1) in (b"[", b"{") else iter(())

    def runs(self, member: tuple[int, int]) -> Iterator[Run]:
        """The items of one of `members`, many at a time; none where it is no list or object."""
        offset, _ = member
        if self.read(offset, 1) not in (b"[", b"{"):
            return
        for piece in self._pieces(offset):
            if isinstance(piece, Run):
                yield piece
            else:
                text = piece.raw or self.read(piece.offset, piece.size)
                yield Run(0, np.array([0]), np.array([len(text)]), text, piece.offset)

    def _of_object(self, fields: tuple[str, ...], one: str) -> Iterator[Item]:
        if not self._first:
            raise InputError(f"{self.path}: is empty; get it again")
        if self._first != b"{":
            raise InputError(f"{self.path}: is neither a JSON list, an object nor JSON lines")
        members = self.members()
        found = next((name for name in fields if name in members), None)
        if found is not None:
            yield from self.children(members[found])
        elif one in members:
            yield Item("0", self.read(self._begin, self.size).strip(SPACE), self._begin)
        else:
            wanted = " or ".join(repr(name) for name in (*fields, one) if name)
            raise InputError(f"{self.path}: is an object without {wanted}, so it is not a file of this format")

    @cached_property
    def is_lines(self) -> bool:
        """Whether every line is an object of its own; a damaged first line does not hide that."""
        if self._first == b"[":
            return False
        self._file.seek(self._begin)
        lines = iter(lambda: self._file.readline(_FIRST_LINE), b"")
        written = (line for line in lines if line.strip(SPACE))
        first = next(written, b"")
        if len(first) == _FIRST_LINE and not first.endswith(b"\n"):
            return False
        second = next(written, b"")
        named = ".jsonl" in os.path.basename(self.path) or ".ndjson" in os.path.basename(self.path)
        if first[:1] == b"{" and (second or named) and _is_object(first):
            return True
        return second[:1] == b"{" and len(first.strip(SPACE)) > 1

    def _lines(self) -> Iterator[Item]:
        offset = self._begin
        self._file.seek(offset)
        for number, line in enumerate(iter(self._file.readline, b""), 1):
            if line.strip(SPACE):
                yield Item(f"line {number}", line.strip(SPACE), offset)
            offset += len(line)
            self._file.seek(offset)  # another reader may have moved it

    def _children(self, offset: int) -> Iterator[Item]:
        for span in self._spans(offset):
            yield Item(span.place, span.raw or self.read(span.offset, span.size), span.offset)

    def _spans(self, offset: int) -> Iterator[Span]:
        """The children of the container that begins at `offset`."""
        for piece in self._pieces(offset):
            if isinstance(piece, Run):
                yield from piece.spans()
            else:
                yield piece

    def _pieces(self, begin: int) -> Iterator[Span | Run]:
        children = Children(self.path, self.read)
        for window in windows(begin, self.size, self.read):
            yield from children.follow(window)
            if children.done:
                self._refuse_more(begin, children.end)
                return
        if children.begun:
            raise InputError(f"{self.path}: is not valid JSON: it ends inside a list, object or string; get it again")
        raise InputError(f"{self.path}: is neither a JSON list, an object nor JSON lines")

    def _refuse_more(self, begin: int, end: int) -> None:
        """A whole file that goes on behind its list or object would lose what follows."""
        if begin == self._begin and self.read(end, 1 << 12).strip(SPACE):
            raise InputError(f"{self.path}: is not valid JSON: text goes on behind its end at byte {end}")


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(value(line), dict)
    except ValueError:
        return False
