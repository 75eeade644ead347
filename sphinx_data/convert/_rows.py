"""Formats whose files are rows of fields: JSON lists and lines, Parquet, Arrow, CSV; one file or a folder of them.

A JSON item or CSV row travels in the plan with the pictures that it names. A table's rows stay where they are: a
record is one of its row groups, and the planning pass reads footers only. Rows of tables whose pictures are names of
files travel as JSON items do, so that the plan knows each picture.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from sphinx_data import order, storage
from sphinx_data.convert import Inputs
from sphinx_data.convert._common import (
    CommonOptions,
    Media,
    RejectedError,
    UniqueIds,
    find_media,
    limited,
    load_image,
    short,
)
from sphinx_data.convert._embedded import embedded, prepared
from sphinx_data.convert._json_items import JsonFile, object_of, value
from sphinx_data.convert._row_files import FILES, File, files, reason, stem, unreadable
from sphinx_data.convert._tables import delimited, groups, is_table, jsonable, rows, schema
from sphinx_data.errors import InputError
from sphinx_data.media import Prepared
from sphinx_data.sample import Built, Reject, Struct

IMAGES = ("image", "images")


class Span(Struct, frozen=True, kw_only=True):
    """Some rows of a table, or samples of an archive, that stay in their file until a worker reads them."""

    input: int = 0  # number of the annotation argument
    name: str = ""  # below it, where that is a folder
    size: int = 0  # bytes of the file when it was planned
    stem: str = ""  # begins the ids
    group: int = 0  # of a table
    first: int = 0  # row of the file, or first sample of the archive
    rows: int = 0
    begin: int = 0  # of an archive, bytes
    end: int = 0
    chosen: tuple[int, ...] | None = None  # places in the span, where a limit takes only some


class Record(Struct, frozen=True, kw_only=True):
    """One item with its pictures, one span, or the reject of something that is neither."""

    input: str
    record: str | None = None  # its place in the file
    id: str = ""
    media: tuple[Media, ...] = ()
    raw: bytes = b""
    span: Span | None = None
    bytes: int = 0  # of the span
    reject: Reject | None = None

    @property
    def weight(self) -> int:
        """Bytes of the pictures and the text."""
        return self.bytes + sum(max(found.size, 0) for found in self.media) + len(self.raw)


class Row(NamedTuple):
    """One row in a worker: what formats turn into a sample."""

    input: str
    record: str | None
    id: str
    fields: dict[str, Any]
    media: tuple[Media, ...]
    options: CommonOptions
    places: dict[str, str]

    @property
    def weight(self) -> int:
        """As records have it."""
        return 0

    def picture(self, source: Any, number: int) -> Prepared:
        """A picture: bytes from the table, or the `number`-th of the files that the row names."""
        if isinstance(source, str):
            if number >= len(self.media):
                raise RejectedError("image-not-embedded", f"{short(source)} is a name; pictures lie in the table here.")
            return load_image(self.media[number], self.options, self.places)
        return prepared(embedded(source), self.options)


Named = Callable[[dict[str, Any]], Sequence[str | list[str]]]  # of each picture, or names that it may have
Sampled = Callable[[Row], Iterable[Built | Reject]]
Ranged = Callable[[File, str], Iterator[Record]]  # the records of a file that is no table, by its unique stem


def records(
    inputs: Inputs, options: CommonOptions, named: Named | None = None, fields: tuple[str, ...] = (), one: str = "",
    wide: tuple[str, ...] = IMAGES, ranged: Ranged | None = None, extensions: tuple[str, ...] = FILES,
) -> Iterator[Record]:  # fmt: skip
    """Every row of every file, in file order.

    Args:
        inputs: files or folders.
        options: of the format.
        named: names of the pictures of a row; raises RejectedError.
        fields: members of a JSON object that may hold the rows, in order of preference.
        one: a member that makes a JSON object one row itself.
        wide: columns of a table in which pictures may be named.
        ranged: reads files that are no tables; by default they are JSON.
        extensions: of the files that are read in folders.
    """
    make = _Maker(inputs, options, named or (lambda _: []), fields, one, wide)
    return chosen(lambda: make.records(ranged or make.items, extensions), options)


class _Maker:
    """The planning pass over rows."""

    def __init__(
        self, inputs: Inputs, options: CommonOptions, named: Named, fields: tuple[str, ...], one: str,
        wide: tuple[str, ...],
    ) -> None:  # fmt: skip
        self._inputs, self._options, self._named = inputs, options, named
        self._fields, self._one, self._wide = fields, one, wide
        self._root = inputs.places()["images"]
        self._unique = UniqueIds(options.source)

    def records(self, ranged: Ranged, extensions: tuple[str, ...]) -> Iterator[Record]:
        self._unique = UniqueIds(self._options.source)
        stems = UniqueIds("")
        several = len(self._inputs.annotations) > 1 or storage.local(self._inputs.annotations[0]).is_dir()
        for file in files(self._inputs, extensions):
            begins = stems(stem(file.label))[1:]
            try:
                if is_table(file.path):
                    yield from self._table(file, begins)
                elif is_table(file.path, delimited=True):
                    yield from self._lines(file)
                else:
                    yield from ranged(file, begins)
            except InputError as error:  # one damaged file of many costs that file
                if not several:
                    raise
                yield Record(input=file.label, reject=unreadable(file.label, error))

    def _table(self, file: File, begins: str) -> Iterator[Record]:
        if self._names_pictures(file.path):
            for group in groups(file.path):
                for number, row in enumerate(rows(file.path, group.number, group.rows), group.first):
                    yield self._record(file.label, str(number), msgspec.json.encode(jsonable(row)))
            return
        size = storage.size(file.path)
        for group in groups(file.path):
            span = Span(
                input=file.input, name=file.name, size=size, stem=begins, group=group.number, first=group.first,
                rows=group.rows,
            )  # fmt: skip
            yield Record(input=file.label, span=span, bytes=group.size)

    def _names_pictures(self, path: str) -> bool:
        import pyarrow

        found = schema(path)
        kinds = [found.field(name).type for name in self._wide if name in found.names]
        inner = [kind.value_type if pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind) else kind
                 for kind in kinds]  # fmt: skip
        return any(pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind) for kind in inner)

    def _lines(self, file: File) -> Iterator[Record]:
        for number, row in enumerate(delimited(file.path), 1):
            yield self._record(file.label, f"row {number}", msgspec.json.encode(jsonable(row)))

    def items(self, file: File, _: str) -> Iterator[Record]:
        """The items of a JSON file."""
        with JsonFile(file.path) as source:
            for found in source.items(*self._fields, one=self._one):
                yield self._record(file.label, found.place, found.raw)

    def _record(self, name: str, place: str, raw: bytes) -> Record:
        try:
            said = object_of(raw)
            pictures = self._named(said)
        except RejectedError as error:
            reject = Reject(input=name, record=place, level="record", rule=error.rule, detail=error.detail)
            return Record(input=name, record=place, reject=reject)
        own = said.get("id")
        base = own if isinstance(own, (str, int)) and str(own) else f"{stem(name)}/{place}"
        media = tuple(find_media(self._root, *([names] if isinstance(names, str) else names)) for names in pictures)
        return Record(input=name, record=place, id=self._unique(base), media=media, raw=raw)


def pictured(fields: dict[str, Any]) -> list[Any]:
    """The pictures of a row, names or cells, under ``images`` or ``image``."""
    found: Any = next((fields[name] for name in ("images", "image") if fields.get(name) not in (None, "", [])), [])
    return [picture for picture in found if picture not in (None, "")] if isinstance(found, list) else [found]


def chosen(make: Callable[[], Iterator[Record]], options: CommonOptions) -> Iterator[Record]:
    """All records, or `limit` rows of them; items and rows of spans count alike."""
    if options.limit is None:
        return make()
    if not any(record.span for record in make()):
        return limited(make, options)
    return _chosen(make, options.limit, options.seed)


def _chosen(make: Callable[[], Iterator[Record]], limit: int, seed: int) -> Iterator[Record]:
    """The rows that a permutation keyed by the seed sends below the limit: a smaller limit gives a subset."""
    total = sum(_units(record) for record in make())
    key, start = order.key(seed), 0
    for record in make():
        units = _units(record)
        if not units:
            yield record
            continue
        places = order.permute(np.arange(start, start + units), total, key)
        taken = tuple(np.flatnonzero(places < limit).tolist())
        start += units
        if taken and record.span is not None:
            share = record.bytes * len(taken) // units
            yield msgspec.structs.replace(record, bytes=share, span=msgspec.structs.replace(record.span, chosen=taken))
        elif taken:
            yield record


def _units(record: Record) -> int:
    return record.span.rows if record.span is not None else int(bool(record.id))


def produce(
    record: Record, options: CommonOptions, places: dict[str, str], sampled: Sampled, columns: list[str] | None = None
) -> Iterator[Built | Reject]:
    """The samples and rejects of a record: `sampled` turns one row into them and may raise RejectedError."""
    if record.reject is not None:
        yield record.reject
    elif record.span is None:
        row = Row(record.input, record.record, record.id, value(record.raw), record.media, options, places)
        yield from each(row, sampled)
    else:
        yield from _span(record.input, record.span, options, places, sampled, columns)


def _span(
    name: str, span: Span, options: CommonOptions, places: dict[str, str], sampled: Sampled, columns: list[str] | None
) -> Iterator[Built | Reject]:
    path, number = path_of(span, places), -1
    wanted = None if span.chosen is None else set(span.chosen)
    found = rows(path, span.group, span.rows, columns)
    while True:
        try:
            number, fields = number + 1, next(found)
        except StopIteration:
            return
        except InputError as error:
            lost = f"Rows {span.first + number} to {span.first + span.rows - 1} are lost: {reason(name, error)}"
            yield Reject(input=name, level="file", rule="file-damaged", detail=lost)
            return
        if wanted is None or number in wanted:
            place = str(span.first + number)
            row = Row(name, place, f"{options.source}/{span.stem}/{place}", fields, (), options, places)
            yield from each(row, sampled)


def path_of(span: Span, places: dict[str, str]) -> str:
    """Where a span's file is. Raises InputError when it changed since the planning pass."""
    place = places[f"input.{span.input}"]
    path = storage.join(place, span.name) if span.name else place
    if storage.size(path) != span.size:
        raise InputError(f"{path}: has {storage.size(path)} bytes, {span.size} when the build was planned; build again")
    return path


def each(row: Row, sampled: Sampled) -> Iterator[Built | Reject]:
    """What `sampled` makes of a row; what it raises is the row's reject, instead of any sample."""
    made: list[Built | Reject] = []
    try:
        for found in sampled(row):
            made.append(found)
    except RejectedError as error:
        level = "image" if error.rule.startswith("image-") else "record"
        made = [*(found for found in made if isinstance(found, Reject)), rejected(row, error, level)]
    yield from made


def rejected(row: Row, error: RejectedError, level: Any = "record") -> Reject:
    """The reject of a row, or of something in it."""
    return Reject(
        input=row.input, record=row.record, id=row.id, level=level, rule=error.rule, detail=error.detail
    )  # fmt: skip
