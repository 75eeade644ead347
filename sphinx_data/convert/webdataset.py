"""WebDataset tars of others: jpg, png, webp with txt, caption, cls or json beside them; one sample a key.

Files or folders of .tar, also gzip, zstd, bzip2 and xz. A key's text is its ``txt``, ``caption`` or ``text`` member,
else ``caption``, ``text`` or ``txt`` in its ``json``; ``conversations`` or ``messages`` there give a dialogue, ``cls``
a class. Captions are documents, picture and text alone; ``--set form=question`` asks for them. Names of classes may
come in a second argument: lines, of which line N is class N, or a JSON list or object. Text without a picture is plain
text. Other fields of the json go to ``meta``, and extensions that are not used as ``meta.not_used``. A plain tar is
indexed by its headers and read in ranges; a compressed one is one range. A tar that is damaged or cut is one reject,
and its samples before that stay. The library webdataset is not needed. https://github.com/webdataset/webdataset
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

from sphinx_data import storage
from sphinx_data.convert import Inputs, _contents, _dialogues, _embedded, _row_files, _rows, _tars
from sphinx_data.convert._common import RejectedError, clean_text, short
from sphinx_data.convert._json_items import object_of
from sphinx_data.convert._packed import packing, plain
from sphinx_data.convert._pairs import PairOptions, captioned, classified
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._rows import Record as Record
from sphinx_data.convert._rows import Row, Span
from sphinx_data.convert._tables import is_table, jsonable
from sphinx_data.errors import InputError, UsageError
from sphinx_data.sample import Built, Reject

PICTURES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "jp2", "avif", "ppm", "img")
_TEXTS = ("txt", "caption", "text")
_CLASSES = ("cls", "cls2", "label", "class")
_NAMES = (".txt", ".json")
_RANGE = 32 << 20


class Options(PairOptions, frozen=True, kw_only=True):
    """Parameters of this format."""


def recognise(glimpse: Glimpse) -> bool:
    """A tar, or a folder of them without what img2dataset writes beside."""
    if glimpse.is_folder:
        beside = any(name.endswith(("_stats.json", ".parquet")) for name in glimpse.names)
        return not beside and any(name.lower().endswith(_tars.TARS) for name in glimpse.names)
    return glimpse.path.lower().endswith(_tars.TARS)


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Ranges of every tar, in file order."""
    _names_file(inputs.places())
    for path in inputs.annotations:
        if is_table(path, delimited=True):
            raise InputError(f"{path}: is a table, no tar; see image_parquet, img2dataset and text")

    def ranged(file: _row_files.File, stem: str) -> Iterator[Record]:
        if file.path.lower().endswith(_NAMES):
            return
        size = storage.size(file.path)
        if packing(file.path) and options.limit is None:
            span = Span(input=file.input, name=file.name, size=size, stem=stem)
            yield Record(input=file.label, span=span, bytes=size)
            return
        whole = 1 << 62 if packing(file.path) else _RANGE
        with plain(file.path) as opened:
            try:
                for begin, end, samples in _tars.ranges(opened, file.path, whole):
                    span = Span(input=file.input, name=file.name, size=size, stem=stem, begin=begin, end=end,
                                rows=samples)  # fmt: skip
                    yield Record(input=file.label, span=span, bytes=end - begin)
            except InputError as error:
                yield Record(input=file.label, reject=_row_files.unreadable(file.label, error))

    return _rows.records(inputs, options, ranged=ranged, extensions=_tars.TARS)


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """The samples of a range, and its rejects."""
    if record.span is None:
        yield from _rows.produce(record, options, places, _sampled)
        return
    span = record.span
    path = _rows.path_of(span, places)
    wanted = None if span.chosen is None else set(span.chosen)
    try:
        with plain(path) as file:
            for number, sample in enumerate(_tars.samples(file, path, span.begin, span.end or None)):
                if wanted is None or number in wanted:
                    fields = {name: _row_files.read(file, m.offset, m.size) for name, m in sample.members.items()}
                    yield from _rows.each(_row(record, sample, fields, options, places), _sampled)
    except InputError as error:
        yield _row_files.unreadable(record.input, error)


def _row(record: Record, sample: _tars.Tarred, fields: dict[str, Any], options: Options, places: dict[str, str]) -> Row:
    assert record.span is not None
    key = clean_text(sample.key)
    if sample.repeated:
        fields["repeated"] = [clean_text(name) for name in sample.repeated]
    return Row(record.input, key, f"{options.source}/{record.span.stem}/{key}", fields, (), options, places)


def _sampled(row: Row) -> Iterator[Built | Reject]:
    options, fields = row.options, dict(row.fields)
    assert isinstance(options, Options)
    if repeated := fields.pop("repeated", None):
        raise RejectedError("key-repeated", f"The archive has {short(repeated)} of {row.record} more than once.")
    shown = [name for name in fields if name.rpartition(".")[2] in PICTURES]
    pictures = [_embedded.prepared(fields[name], options, f"{row.record}.{name}") for name in shown]
    facts = _facts(fields)
    if isinstance(facts.get("conversations", facts.get("messages")), list):
        yield from _dialogue(row, facts, pictures)
        return
    text = next((fields[name] for name in _TEXTS if name in fields), None)
    caption = text.decode("utf-8", "replace") if text is not None else _caption(facts)
    label = next((fields[name] for name in _CLASSES if name in fields), None)
    used = {*shown, "json", *_TEXTS, *(_CLASSES if label is not None and caption is None else ())}
    left = sorted(clean_text(name) for name in fields if name not in used)
    meta = facts | ({"not_used": left} if left else {})
    if caption is not None:
        yield from captioned(row, pictures, caption, form=options.form, meta=meta)
    elif label is not None and len(pictures) == 1:
        number = label.decode("utf-8", "replace").strip()
        yield from classified(row, pictures[0], _class(number, row.places), meta=meta)
    else:
        raise RejectedError(
            "no-text", f"It has {', '.join(sorted(map(clean_text, fields)))}, but no text and no class."
        )


def _facts(fields: dict[str, Any]) -> dict[str, Any]:
    if "json" not in fields:
        return {}
    return {clean_text(key): jsonable(value) for key, value in object_of(fields["json"]).items()}


def _caption(facts: dict[str, Any]) -> str | None:
    for name in _TEXTS:
        if isinstance(facts.get(name), str):
            return str(facts.pop(name))
    return None


def _dialogue(row: Row, facts: dict[str, Any], pictures: list[Any]) -> Iterator[Built | Reject]:
    if isinstance(facts.get("messages"), list):
        reader = _contents.Reader({"images": list(range(len(pictures)))})
        turns = reader.turns(facts["messages"])
        if not all(isinstance(source, int) for source in reader.sources):
            raise RejectedError("image-name-invalid", "A message names a picture that is no member of the archive.")
    else:
        turns = _dialogues.conversation(facts["conversations"], facts.get("system"), facts.get("tools"))
        turns = _dialogues.placed(turns, len(pictures))
    turns, unanswered = _dialogues.settled(turns)
    return _dialogues.dialogue(row, turns, pictures, unanswered=unanswered)


def _names_file(places: dict[str, str]) -> str | None:
    found = [path for key, path in places.items() if key.startswith("input.") and path.lower().endswith(_NAMES)]
    if len(found) > 1:
        raise UsageError(f"webdataset: {found[1]}: give one file of class names")
    if found:
        _names(found[0])
    return found[0] if found else None


def _class(number: str, places: dict[str, str]) -> str:
    place = _names_file(places)
    names = _names(place) if place else {}
    if place and number not in names:
        raise RejectedError("class-unknown", f"Class {short(number)} has no name in the file of names.")
    return names.get(number, number)


@lru_cache(maxsize=4)
def _names(place: str) -> dict[str, str]:
    """Number -> name. Raises InputError."""
    text = storage.read_bytes(place).decode("utf-8-sig", "replace")
    if not place.lower().endswith(".json"):
        return {str(number): line.strip() for number, line in enumerate(text.splitlines()) if line.strip()}
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise InputError(f"{place}: is not valid JSON ({error})") from None
    pairs = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    names = {str(number): name for number, name in pairs if isinstance(name, str)}
    if not names:
        raise InputError(f"{place}: has no class names; give lines, a JSON list, or an object of number and name")
    return names
