"""COCO panoptic: things and stuff as masks from a JSON file and PNGs of segment ids.

Input: ``panoptic_val2017.json`` with ``segments_info``, and its PNGs (id = R + 256 G + 65536 B) in the folder of the
same name beside it, in the JSON's own folder, or in a folder given as second argument; ``--images`` is the folder of
photos. One sample a picture: "Detect all objects in the image." -> "There are trees [...], two people [...; ...] and
grass [...] in the image."; regions carry the masks, and their boxes come from the masks. A class that lost a segment
(a crowd, say) gets no number. CC-BY-4.0 (https://cocodataset.org/#termsofuse); every photo carries its own licence.
"""

import io
import os
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sphinx_data import rle, storage
from sphinx_data.convert import Inputs, coco
from sphinx_data.convert._coco_file import CocoFile, identity, length, picture_names
from sphinx_data.convert._common import (
    CommonOptions as CommonOptions,
)
from sphinx_data.convert._common import (
    Media,
    RejectedError,
    UniqueIds,
    clean_text,
    find_media,
    limited,
    short,
)
from sphinx_data.convert._groups import Groups
from sphinx_data.convert._json_items import entry_of
from sphinx_data.convert._objects import Asking, ObjectOptions, Objects, PictureRecord, of_picture, opened, reject
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._regions import coco_region
from sphinx_data.errors import InputError, UsageError
from sphinx_data.sample import Built, Reject, Struct


class Options(ObjectOptions, frozen=True, kw_only=True):
    """Parameters of this format."""

    crowd: Literal["drop", "keep"] = "drop"  # keep: "a group of people"


class Segment(Struct, frozen=True, kw_only=True):
    """One segment: its id in the PNG, or None where the file says none that can be, and its class."""

    id: int | None
    label: str | None  # None: not among the categories
    stuff: bool = False
    crowd: bool = False


class Record(PictureRecord, frozen=True, kw_only=True):
    """One picture with its segments."""

    width: int = 0
    height: int = 0
    segments: tuple[Segment, ...] = ()
    ids: Media | None = None  # the PNG, below the folder of PNGs


def recognise(glimpse: Glimpse) -> bool:
    """An object whose annotations have segments."""
    return any(isinstance(entry, dict) and "segments_info" in entry for entry in glimpse.member("annotations"))


class_names = coco.class_names


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every picture of the file, in file order; then annotations that belong to none."""
    return limited(lambda: _records(inputs, options), options)


def _folder(places: dict[str, str]) -> str:
    """Where PNGs lie: a folder that is given, else that of the JSON file."""
    given = places.get("input.1")
    return given if given and os.path.isdir(given) else os.path.dirname(places["input.0"])


def _records(inputs: Inputs, options: Options) -> Iterator[Record]:
    places, unique = inputs.places(), UniqueIds(options.source)
    path = inputs.annotations[0]
    if os.path.isdir(path) or len(inputs.annotations) > 2 or not all(map(os.path.isdir, inputs.annotations[1:])):
        raise UsageError(f"{path}: coco_panoptic reads one JSON file, perhaps followed by the folder of its PNGs")
    name = clean_text(os.path.basename(path))
    with CocoFile(path) as file:
        groups = Groups(file.file)
        for found in file.items("annotations"):
            groups.add(_image_of(found.raw), found)
        for found in file.items("images"):
            entry = entry_of(found.raw)
            image_id = identity(entry.get("id"))
            if image_id is None or not picture_names(entry):
                yield _lost(name, f"images[{found.place}]", "image-entry-invalid", short(found.raw[:60]))
                continue
            record = Record(
                input=name, record=image_id, id=unique(image_id), width=length(entry.get("width")),
                height=length(entry.get("height")), license=file.licenses.get(identity(entry.get("license")) or ""),
                annotated=file.license,
            )  # fmt: skip
            yield _record(record, entry, [entry_of(raw) for _, raw in groups.take(image_id)], file, places)
        for _, raw in groups.rest():
            detail = f"It names picture {_image_of(raw)}, which is not listed once in images."
            yield _lost(name, str(_image_of(raw)), "image-unknown", detail)


def _record(
    record: Record, entry: dict[str, Any], annotations: list[dict[str, Any]], file: CocoFile, places: dict[str, str]
) -> Record:
    """The record with its segments, or with the reject of the picture."""
    annotation = annotations[0] if len(annotations) == 1 else {}
    segments, png = annotation.get("segments_info"), annotation.get("file_name")
    if len(annotations) != 1:
        rule = "annotations-several" if annotations else "no-objects"
        lost = reject(record, "image", rule, f"The picture has {len(annotations)} annotations.")
    elif not isinstance(segments, list) or not isinstance(png, str):
        lost = reject(record, "image", "annotation-invalid", "It has no segments_info or no file_name.")
    else:
        stem = os.path.splitext(os.path.basename(file.path))[0]
        return msgspec.structs.replace(
            record,
            media=find_media(places["images"], *picture_names(entry)),
            ids=find_media(_folder(places), f"{stem}/{png}", png),
            segments=tuple(_segment(said, file) for said in segments),
        )
    return msgspec.structs.replace(record, rejects=(lost,))


def _image_of(raw: bytes) -> str | None:
    return identity(entry_of(raw).get("image_id"))


def _segment(said: Any, file: CocoFile) -> Segment:
    said = said if isinstance(said, dict) else {}
    category = file.categories.get(identity(said.get("category_id")))
    number = said.get("id")
    whole = isinstance(number, int) and not isinstance(number, bool) and 0 < number < 1 << 24
    return Segment(
        id=number if whole else None,
        label=category.name if category and identity(said.get("category_id")) is not None else None,
        stuff=bool(category and category.stuff),
        crowd=said.get("iscrowd") == 1,
    )


def _lost(name: str, record: str, rule: str, detail: str) -> Record:
    return Record(input=name, rejects=(Reject(input=name, record=record, level="record", rule=rule, detail=detail),))


@of_picture
def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its segments, or the reject of the picture."""
    if record.ids is None:
        return
    picture, frame = opened(record, options, places, record.width, record.height)
    ids = _read_ids(record.ids, _folder(places), frame.width, frame.height)
    objects = Objects(record, frame, options.min_area)
    for segment in record.segments:
        label = segment.label or "unknown"
        with objects.one(label, f"{label}, segment {segment.id}"):
            done = coco_region({"segmentation": _mask(segment, ids, options)}, label, frame.width, frame.height)
            objects.add(done, label, crowd=segment.crowd, stuff=segment.stuff)
    yield from objects.samples(options, picture, Asking())


def _mask(segment: Segment, ids: NDArray[np.int64], options: Options) -> dict[str, Any]:
    if segment.label is None:
        raise RejectedError("category-unknown", "Its category is not in categories.")
    if segment.id is None:
        raise RejectedError("segment-invalid", "Its id is not a whole number from 1 to 16777215.")
    if segment.crowd and options.crowd == "drop":
        raise RejectedError("crowd", "iscrowd is 1.")
    runs = rle.from_array(ids == segment.id)
    return {"size": list(ids.shape), "counts": rle.write(runs)}


def _read_ids(found: Media, folder: str, width: int, height: int) -> NDArray[np.int64]:
    """Segment ids [H, W] of a PNG. Raises RejectedError, and InputError where it changed since the planning pass."""
    if found.size < 0:
        raise RejectedError("panoptic-missing", f"{found.name} is not in the folder of PNGs.")
    path = storage.join(folder, found.name)
    data = storage.read_bytes(path)
    if len(data) != found.size:
        raise InputError(f"{path}: has {len(data)} bytes, {found.size} when the build was planned; build again")
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as png:
            if png.size != (width, height):
                detail = f"{found.name} has {png.size[0]}x{png.size[1]} pixels, the annotation says {width}x{height}."
                raise RejectedError("panoptic-size", detail)
            if png.mode not in ("RGB", "RGBA"):
                raise RejectedError("panoptic-invalid", f"{found.name} is {png.mode}, ids need three channels.")
            channels = np.asarray(png).astype(np.int64)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RejectedError("panoptic-invalid", f"{found.name} is no PNG that can be read: {error}.") from None
    return channels[..., 0] + 256 * channels[..., 1] + 65536 * channels[..., 2]
