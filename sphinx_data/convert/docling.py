"""DoclingDocument: converted documents as Docling exports them to JSON, with pictures of their pages -> layout.

Input: JSON files with ``"schema_name": "DoclingDocument"``, or a folder of them, exported with page images (embedded,
or as files whose paths stand in ``pages.N.image.uri``, below ``--images DIR`` or beside the JSON). Every text, table
and picture on a page becomes a region with Docling's label ("section header", "list item", ...) and its text; boxes
are turned from points, counted from the bottom or the top as they say, to pixels. One sample a page: "Detect the layout
of the document in the image." A page without a picture is a reject. The boxes are Docling's, not a person's. Licence
of the documents: ``--license``. Tested on the files of docling-core's repository, versions 1.0 to 1.10 of the schema.
https://github.com/docling-project/docling-core
"""

import base64
from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec

from sphinx_data import storage
from sphinx_data.convert import Inputs
from sphinx_data.convert._common import CommonOptions as CommonOptions
from sphinx_data.convert._common import Media, RejectedError, UniqueIds, clean_text, find_media, limited, short
from sphinx_data.convert._embedded import prepared
from sphinx_data.convert._json_items import Item, JsonFile, entry_of
from sphinx_data.convert._objects import Asking, ObjectOptions, Objects, PictureRecord, of_picture, opened, reject
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._regions import coco_region
from sphinx_data.convert._row_files import File, files, stem, unreadable
from sphinx_data.errors import InputError
from sphinx_data.media import Prepared
from sphinx_data.phrasing import english
from sphinx_data.sample import Built, Reject, Struct

_KINDS = ("texts", "tables", "pictures", "key_value_items", "form_items")
_DATA = "data:"
_LONGEST_TEXT = 100_000  # characters of one block that are kept


class Options(ObjectOptions, frozen=True, kw_only=True):
    """Parameters of this format."""


class Block(Struct, frozen=True, kw_only=True):
    """Something on a page."""

    label: str
    text: str | None = None
    box: tuple[float, float, float, float]  # x0, y0, x1, y1 in points from the top left


class Record(PictureRecord, frozen=True, kw_only=True):
    """One page; a picture inside the file lies in the page's own JSON."""

    blocks: tuple[Block, ...] = ()
    size: tuple[float, float] = (0.0, 0.0)  # of the page in points
    within: tuple[int, str, int, int, int] | None = None  # input, name below it, bytes; offset and size of the page


def recognise(glimpse: Glimpse) -> bool:
    """Such a JSON file, or a folder of them."""
    if glimpse.is_folder:
        name = next((name for name in glimpse.names if name.lower().endswith(".json")), None)
        return name is not None and recognise(Glimpse(Inputs((storage.join(glimpse.path, name),))))
    return {"schema_name", "texts", "pages"} <= glimpse.keys


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every page of every file, in the order of the file's list of pages."""
    return limited(lambda: _records(inputs, options), options)


def _records(inputs: Inputs, options: Options) -> Iterator[Record]:
    unique, root = UniqueIds(options.source), inputs.places()["images"]
    several = len(inputs.annotations) > 1 or storage.local(inputs.annotations[0]).is_dir()
    for file in files(inputs, (".json",)):
        try:
            yield from _pages(file, unique, root)
        except InputError as error:
            if not several:
                raise
            yield Record(input=file.label, rejects=(unreadable(file.label, error),))


def _pages(file: File, unique: UniqueIds, root: str) -> Iterator[Record]:
    with JsonFile(file.path) as source:
        members = source.members()
        if "pages" not in members or "texts" not in members:
            raise InputError(f"{file.path}: has no pages and texts, so it is no DoclingDocument")
        placed: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
        for kind in _KINDS:
            for item in source.children(members.get(kind, (0, 0))):
                entry = entry_of(item.raw)
                for prov in entry.get("prov") or () if isinstance(entry.get("prov"), list) else ():
                    if isinstance(prov, dict):
                        placed.setdefault(str(prov.get("page_no")), []).append((entry, prov))
        for page in source.children(members["pages"]):
            yield _record(file, page, placed.get(page.place, []), unique, root)


def _record(
    file: File, page: Item, placed: list[tuple[dict[str, Any], dict[str, Any]]], unique: UniqueIds, root: str
) -> Record:
    said = entry_of(page.raw)
    sample_id = unique(f"{stem(file.label)}/{page.place}")
    made = Record(input=file.label, record=f"page {page.place}", id=sample_id)
    width, height = _size(said.get("size"))
    image = said.get("image")
    uri = image.get("uri") if isinstance(image, dict) else None
    if not isinstance(uri, str) or not uri or not width or not height:
        rule, detail = ("no-page-image", "It has no picture; export with page images.")
        if isinstance(uri, str) and uri:
            rule, detail = "page-invalid", f"size {short(said.get('size'))} is no size of a page."
        return msgspec.structs.replace(made, rejects=(reject(made, "image", rule, detail),))
    blocks, lost = _blocks(made, placed, height)
    within = None
    if uri.startswith(_DATA):
        within = (file.input, file.name, storage.size(file.path), page.offset, len(page.raw))
        media = Media(name=file.label, size=len(page.raw))
    else:
        folder = file.name.rpartition("/")[0]
        media = find_media(root, uri, *([f"{folder}/{uri}"] if folder else []), uri.rpartition("/")[2])
    return msgspec.structs.replace(
        made, media=media, within=within, blocks=tuple(blocks), rejects=tuple(lost), size=(width, height)
    )


def _size(said: Any) -> tuple[float, float]:
    """Width and height; 0 where they are none."""
    box: dict[str, Any] = said if isinstance(said, dict) else {}
    sides = [float(box[side]) for side in ("width", "height") if type(box.get(side)) in (int, float)]
    return (sides[0], sides[1]) if len(sides) == 2 and all(0 < side < 1e6 for side in sides) else (0.0, 0.0)


def _blocks(
    record: Record, placed: list[tuple[dict[str, Any], dict[str, Any]]], height: float
) -> tuple[list[Block], list[Reject]]:
    found: list[Block] = []
    lost: list[Reject] = []
    for entry, prov in placed:
        said, label, text = prov.get("bbox"), entry.get("label"), entry.get("text")
        box: dict[str, Any] = said if isinstance(said, dict) else {}
        sides = [box[side] for side in ("l", "t", "r", "b") if type(box.get(side)) in (int, float)]
        if not isinstance(label, str) or len(sides) != 4:
            detail = f"{short(entry.get('self_ref'))} has label {short(label)} and box {short(said)}."
            lost.append(reject(record, "region", "block-invalid", detail))
            continue
        left, top, right, bottom = map(float, sides)
        if box.get("coord_origin", "TOPLEFT") == "BOTTOMLEFT":
            top, bottom = height - top, height - bottom
        written = clean_text(text)[:_LONGEST_TEXT] if isinstance(text, str) and text.strip() else None
        name = english.readable(clean_text(label))
        found.append(Block(label=name, text=written, box=(left, top, right, bottom)))
    return found, lost


@of_picture
def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its blocks, or the reject of the page."""
    load = None if record.within is None else partial(_within, record, options, places)
    picture, frame = opened(record, options, places, load=load)
    across, down = frame.width / record.size[0], frame.height / record.size[1]
    objects = Objects(record, frame, options.min_area)
    for block in record.blocks:
        with objects.one(block.label, f"{block.label}, {short(block.text)}"):
            x0, y0, x1, y1 = (side * scale for side, scale in zip(block.box, (across, down) * 2, strict=True))
            done = coco_region({"bbox": [x0, y0, x1 - x0, y1 - y0]}, block.label, frame.width, frame.height)
            region = msgspec.structs.replace(done.region, text=block.text)
            objects.add(done._replace(region=region), block.label)
    yield from objects.samples(options, picture, Asking("layout"))


def _within(record: Record, options: Options, places: dict[str, str]) -> Prepared:
    """The picture inside the JSON file."""
    assert record.within is not None
    number, name, size, offset, length = record.within
    place = places[f"input.{number}"]
    path = storage.join(place, name) if name else place
    if storage.size(path) != size:
        raise InputError(f"{path}: has changed since the build was planned; build again")
    with JsonFile(path) as file:
        uri = entry_of(file.read(offset, length))["image"]["uri"]
    kind, comma, data = uri.partition(",")
    try:
        if not comma or not kind.endswith(";base64"):
            raise ValueError
        return prepared(base64.b64decode(data, validate=True), options, f"the picture of {record.record}")
    except ValueError:
        raise RejectedError("image-damaged", f"The picture of {record.record} is no base64 data.") from None
