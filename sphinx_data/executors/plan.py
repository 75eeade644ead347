"""The plan of a build: what goes in, with which parameters, cut into which parts. Written before anything is built.

A planning pass lists *records* (one COCO image with its annotations, one PDF, one row) and everything that is global is
decided there; a part is a range of records, so parts never depend on workers. The records lie in ``plan.records``
until the dataset is complete; resuming plans again and refuses, by name, whatever differs.
"""

import struct
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from typing import Any

import msgspec
import xxhash

from sphinx_data import __version__, storage
from sphinx_data.dataset import layout
from sphinx_data.errors import InputError, UsageError
from sphinx_data.sample import Struct

_LENGTH = struct.Struct("<I")
PARTS = 32  # parts that a set is cut into where no limit asks for more
PART_RECORDS = 8192
PART_BYTES = 256 << 20  # of input media: the work that a kill can cost
SMALLEST_PART = 128 << 10


class Input(Struct, frozen=True, kw_only=True):
    """An input of a build. Annotation files carry their hash, media are recorded by name and size in the records."""

    name: str  # as given, without the folders above it
    size: int | None = None
    xxh3: str | None = None


class Part(Struct, frozen=True, kw_only=True):
    """A range of records, and where they lie in ``plan.records``."""

    records: int
    offset: int
    size: int


class Records(Struct, frozen=True, kw_only=True):
    """Identity of ``plan.records``."""

    count: int
    size: int
    xxh3: str


class Plan(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The content of ``plan.json``; excludes workers and partition."""

    format: str = "sphinx-plan/1"
    builder: str
    name: str
    code: str = __version__
    parameters: dict[str, Any]
    inputs: tuple[Input, ...]
    records: Records
    parts: tuple[Part, ...]


def annotation(place: str) -> Input:
    """An annotation file as an input: name, size and hash. Raises InputError when it cannot be read."""
    state, size = xxhash.xxh3_128(), 0
    try:
        with open(storage.local(place), "rb", buffering=0) as file:
            while block := file.read(1 << 20):  # mapped memory would count as this process's own
                state.update(block)
                size += len(block)
    except OSError as error:
        raise InputError(f"{place}: {error.strerror or error}") from None
    return Input(name=storage.local(place).name, size=size, xxh3=state.hexdigest())


def make(
    directory: str,
    *,
    builder: str,
    name: str,
    parameters: Any,
    inputs: Iterable[Input],
    records: Iterable[Any],
    weight: Callable[[Any], int],
) -> Plan:
    """Plan a build in `directory`, or join the plan that is there already.

    Args:
        directory: where the dataset will be.
        builder: name of the builder, e.g. ``convert``.
        name: name of the dataset.
        parameters: a Struct; every value that may change the result.
        inputs: annotation files and folders.
        records: the planning pass, in order; Structs that msgpack can hold.
        weight: bytes of media that a record stands for, so that parts are of equal work.

    Raises UsageError when the plan that is there differs (the first difference is named).
    """
    spool = _Spool(directory)
    try:
        works = _Works()
        for record in records:
            works.add(spool.add(record), weight(record))
        plan = Plan(
            builder=builder,
            name=name,
            parameters=msgspec.json.decode(msgspec.json.encode(parameters)),  # as plan.json gives them back
            inputs=tuple(inputs),
            records=spool.identity(),
            parts=tuple(_cut(works)),
        )
        place = storage.join(directory, layout.PLAN)
        existing = load(directory) if storage.exists(place) else None
        if existing is None:
            spool.commit()  # before the plan: whoever sees the plan finds its records
            encoded = msgspec.json.format(msgspec.json.Encoder(order="deterministic").encode(plan), indent=1) + b"\n"
            if storage.create_exclusive(place, encoded):
                return plan
            existing = load(directory)  # another process was first: join it if it plans the same
        _refuse_difference(directory, existing, plan, spool)
        if not storage.exists(storage.join(directory, layout.RECORDS)):
            spool.commit()
        return existing
    finally:
        spool.discard()


def load(directory: str) -> Plan:
    """Read ``plan.json``. Raises InputError when it is missing or damaged."""
    place = storage.join(directory, layout.PLAN)
    try:
        return msgspec.json.decode(storage.read_bytes(place), type=Plan)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InputError(f"{place}: damaged ({error}); delete the folder and build it again") from None


def read_records(directory: str, part: Part, kind: type[Any]) -> Iterator[Any]:
    """The records of one part."""
    data = storage.RangeReader(1).read(storage.join(directory, layout.RECORDS), part.offset, part.size)
    return map(msgspec.msgpack.Decoder(kind).decode, _frames(memoryview(data)))


class _Spool:
    """``plan.records`` being written: msgpack frames, each behind its length."""

    def __init__(self, directory: str) -> None:
        self._place = storage.join(directory, layout.RECORDS)
        self._file: storage.AtomicFile | None = storage.AtomicFile(self._place)
        self._encode = msgspec.msgpack.Encoder().encode
        self._hash = xxhash.xxh3_128()
        self.count = self.size = 0

    def add(self, record: Any) -> int:
        """Append a record; returns the bytes it takes."""
        data = self._encode(record)
        frame = _LENGTH.pack(len(data)) + data
        assert self._file is not None
        self._file.write(frame)
        self._hash.update(frame)
        self.count += 1
        self.size += len(frame)
        return len(frame)

    def identity(self) -> Records:
        return Records(count=self.count, size=self.size, xxh3=self._hash.hexdigest())

    def commit(self) -> None:
        if self._file is not None:
            self._file.commit()
            self._file = None

    def discard(self) -> None:
        if self._file is not None:
            self._file.discard()
            self._file = None

    def first_difference(self) -> str:
        """The first record that is not the one in the committed ``plan.records``."""
        assert self._file is not None
        if not storage.exists(self._place):
            return f"it has {self.count} records"
        old, new = _frames(storage.view(self._place)), _frames(self._file.written())
        for number, (before, after) in enumerate(zip_longest(old, new)):
            if before != after:
                planned, found = (None if f is None else msgspec.msgpack.decode(f) for f in (before, after))
                return f"record {number} was {_short(planned)}, is now {_short(found)}"
        return "the records are the same"


def _frames(data: memoryview) -> Iterator[memoryview]:
    start = 0
    while start < len(data):
        (size,) = _LENGTH.unpack_from(data, start)
        start += _LENGTH.size + size
        yield data[start - size : start]


def _short(record: Any) -> str:
    text = "absent" if record is None else msgspec.json.encode(record).decode()
    return text if len(text) <= 200 else f"{text[:200]}..."


class _Works:
    """Bytes in ``plan.records`` and bytes of media of every record, in order; most of them in a file."""

    def __init__(self) -> None:
        self.total = 0  # bytes of media
        self._file = storage.Scratch()
        self._last = array("Q")

    def add(self, size: int, weight: int) -> None:
        self._last.extend((size, weight))
        self.total += weight
        if len(self._last) == 1 << 16:
            self._file.append(self._last.tobytes())
            self._last = array("Q")

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for offset in range(0, self._file.size, 1 << 19):
            numbers = array("Q", self._file.read(offset, 1 << 19))
            yield from zip(numbers[::2], numbers[1::2], strict=True)
        yield from zip(self._last[::2], self._last[1::2], strict=True)


def _cut(works: _Works) -> Iterator[Part]:
    """Ranges of about equal work: a pure function of the records, never of the workers."""
    limit = min(max(works.total // PARTS, SMALLEST_PART), PART_BYTES)
    start = end = records = work = 0
    for size, weight in works:
        if records and (work + weight > limit or records >= PART_RECORDS):
            yield Part(records=records, offset=start, size=end - start)
            start, records, work = end, 0, 0
        end += size
        records += 1
        work += weight
    if records:
        yield Part(records=records, offset=start, size=end - start)


def _flat(parameters: dict[str, Any], folder: str = "") -> Iterator[tuple[str, Any]]:
    """Nested parameters with dotted keys."""
    for key, value in parameters.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{folder}{key}.")
        else:
            yield f"{folder}{key}", value


def _refuse_difference(directory: str, old: Plan, new: Plan, spool: _Spool) -> None:
    def refuse(what: str, before: object, after: object) -> None:
        raise UsageError(
            f"{directory}: was planned with {what} = {before!r}, this run has {after!r}; "
            "finish it with the same, or use another --out or --overwrite"
        )

    for field in ("builder", "name", "code"):
        if getattr(old, field) != getattr(new, field):
            refuse(field, getattr(old, field), getattr(new, field))
    planned, wanted = dict(_flat(old.parameters)), dict(_flat(new.parameters))
    for key in sorted(planned.keys() | wanted.keys()):
        if planned.get(key) != wanted.get(key):
            refuse(key, planned.get(key), wanted.get(key))
    for before, after in zip_longest(old.inputs, new.inputs):
        if before != after:
            refuse("input", before and msgspec.to_builtins(before), after and msgspec.to_builtins(after))
    if old.records != new.records:
        raise UsageError(f"{directory}: the input has changed since it was planned: {spool.first_difference()}")
