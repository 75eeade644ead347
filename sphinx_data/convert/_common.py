"""What all formats share: options, media files, unique ids, seeded limits."""

import heapq
import os
import re
import stat
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Annotated, Protocol, TypeVar

import msgspec
import xxhash

from sphinx_data import media, storage
from sphinx_data.convert import Inputs as Inputs
from sphinx_data.errors import InputError
from sphinx_data.sample import Struct

MISSING = -1
_LATEST = 1 << 16
_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
           "test": "test", "testing": "test"}  # fmt: skip
_PART = re.compile(r"([a-z]+)-\d{5}(?:-of-\d{5}.*)?\.(?:parquet|arrow)")  # train-00000-of-00002.parquet
_ADDED = re.compile(r"[-_ ]?(data|set|images|\d+)$")  # training_data, train2017


_LANGUAGE = msgspec.Meta(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$")


class CommonOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters that every format has."""

    source: str  # name of the source, the first part of every sample id
    license: str | None = None  # of the annotations; None: as the format says, else "unknown"
    split: Annotated[str, msgspec.Meta(min_length=1)] = "train"
    language: Annotated[str, _LANGUAGE] | None = None  # BCP 47; None: as the format knows it
    limit: Annotated[int, msgspec.Meta(ge=0)] | None = None  # at most so many records, a seeded subset in file order
    seed: int = 0
    decode: bool = False  # decode every picture once, to reject those whose pixels are damaged


class Media(Struct, frozen=True, kw_only=True):
    """A media file as the planning pass saw it: name below the folder of pictures, bytes (-1: missing)."""

    name: str
    size: int = MISSING


class RejectedError(Exception):
    """Carries the reject of the record, image or turn at hand."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule = rule
        self.detail = detail


def find_media(root: str, *names: str) -> Media:
    """The first of the names that exists below the folder, with its size; else the first name, missing."""
    for name in names:
        if _inside(name):
            try:
                found = os.stat(storage.join(root, name))
            except (OSError, ValueError):
                continue
            if stat.S_ISREG(found.st_mode):
                return Media(name=name, size=found.st_size)
    return Media(name=clean_text(names[0]))


def _inside(name: str) -> bool:
    whole = bool(name) and "\0" not in name and (name.isascii() or name == clean_text(name))
    return whole and not name.startswith("/") and ".." not in name.split("/")


def load_image(found: Media, options: CommonOptions, places: dict[str, str]) -> media.Prepared:
    """A picture, checked and ready for a shard.

    Raises RejectedError when it is missing or damaged, InputError when it changed since the planning pass.
    """
    if not _inside(found.name):
        raise RejectedError("image-outside", f"{found.name!r} does not lie below the folder of pictures.")
    if found.size == MISSING:
        raise RejectedError("image-missing", f"{found.name} is not in the folder of pictures.")
    place = storage.join(places["images"], found.name)
    try:
        data = storage.read_known(place, found.size)
    except PermissionError:
        raise RejectedError("image-unreadable", f"{found.name} cannot be read: permission denied.") from None
    except OSError as error:
        raise InputError(f"{place}: {error.strerror or error}") from None
    if len(data) != found.size:
        raise InputError(f"{place}: has {len(data)} bytes, {found.size} when the build was planned; build again")
    try:
        return media.prepare_image(data, decode=options.decode)
    except media.DamagedImage as error:
        raise RejectedError(error.rule, f"{found.name}: {error.detail}") from None


class Identified(Protocol):
    """A record of any format: `input` is the file, `record` its place in that file."""

    @property
    def input(self) -> str: ...

    @property
    def record(self) -> str | None: ...

    @property
    def id(self) -> str: ...

    @property
    def weight(self) -> int: ...


RecordT = TypeVar("RecordT", bound=Identified)


def limited(make: Callable[[], Iterator[RecordT]], options: CommonOptions) -> Iterator[RecordT]:
    """All records, or the `limit` with the smallest hash of seed and id, in file order.

    A smaller limit gives a subset of a larger one. Records that only carry rejects (weight 0, no id) always pass.
    """
    if options.limit is None:
        return make()
    seed = options.seed & 0xFFFFFFFFFFFFFFFF
    heap: list[tuple[int, int]] = []  # of the smallest: (-hash, -position)
    for position, record in enumerate(make()):
        if record.id:
            key = -xxhash.xxh3_64_intdigest(record.id.encode("utf-8", "replace"), seed)
            push = heapq.heappush if len(heap) < options.limit else heapq.heappushpop
            if options.limit:
                push(heap, (key, -position))
    chosen = {-position for _, position in heap}
    return (record for position, record in enumerate(make()) if position in chosen or not record.id)


def split_of(name: str) -> str | None:
    """The split that a part of a table or the last such folder is named after: ``valid/labels/a.xml`` -> val."""
    *folders, last = name.lower().split("/")
    part = _PART.fullmatch(last)
    parts = [*folders, part[1]] if part else folders
    return next((found for each in reversed(parts) if (found := _SPLITS.get(_ADDED.sub("", each)))), None)


class UniqueIds:
    """Gives every sample of a build its own id: the second ``x`` becomes ``x~2``. Holds 8 bytes an id."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._seen = _Numbers()
        self._again: dict[int, int] = {}  # how often those came that came more than once

    def __call__(self, name: object) -> str:
        """``<source>/<name>``, unique."""
        base = f"{self._source}/{clean_text(str(name))}"
        key = xxhash.xxh3_64_intdigest(base.encode())
        if self._seen.add(key):
            return base
        count = self._again[key] = self._again.get(key, 1) + 1
        return self(f"{name}~{count}")


class _Numbers:
    """A set of numbers below 2**64: the latest as Python has them, the others as sorted arrays."""

    def __init__(self) -> None:
        self._latest: set[int] = set()
        self._older: list[array[int]] = []  # each more than twice as long as the next

    def add(self, number: int) -> bool:
        """Whether the number is a new one."""
        if number in self._latest:
            return False
        for numbers in self._older:
            place = bisect_left(numbers, number)
            if place < len(numbers) and numbers[place] == number:
                return False
        self._latest.add(number)
        if len(self._latest) == _LATEST:
            self._put_away()
        return True

    def _put_away(self) -> None:
        import numpy as np

        found = np.fromiter(self._latest, np.uint64, len(self._latest))
        self._latest = set()
        while self._older and len(self._older[-1]) <= 2 * len(found):
            found = np.concatenate([found, np.frombuffer(self._older.pop(), np.uint64)])
        found.sort()
        self._older.append(array("Q", found.tobytes()))


def clean_text(text: str) -> str:
    """The text without lone surrogates, which no UTF-8 file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def short(value: object) -> str:
    """A value for a message, at most 80 characters."""
    text = clean_text(repr(value))
    return text if len(text) <= 80 else f"{text[:77]}..."
