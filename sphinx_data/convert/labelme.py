"""labelme: one JSON a picture with shapes: polygons, rectangles, circles, masks.

Input: a folder of JSON files and pictures, or JSON files with ``--images``. The picture is the one that ``imagePath``
names, else the one with the JSON's own name, else ``imageData``, the picture inside the JSON. Polygons with one label
and one ``group_id`` are one object. One sample a picture: "Detect all objects in the image." -> "There are two dogs
[...; ...] in the image."; where there is no shape, a classification by the flags that are set: "Classify the image."
-> "This is a dog." Flags beside shapes are in ``meta.flags``, those of shapes in ``meta.region_flags`` by region.
Points and lines have no area: each is a reject, and so is ``__ignore__``. Labels belong to whoever drew them:
``--license`` says under which terms. https://github.com/wkentaro/labelme
"""

import base64
import binascii
import io
import math
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from sphinx_data import rle, storage
from sphinx_data.convert import Inputs
from sphinx_data.convert._coco_file import length
from sphinx_data.convert._common import MISSING, Media, RejectedError, UniqueIds, clean_text, find_media, limited, short
from sphinx_data.convert._common import CommonOptions as CommonOptions
from sphinx_data.convert._embedded import prepared
from sphinx_data.convert._json_items import JsonFile, value
from sphinx_data.convert._objects import Asking, ObjectOptions, Objects, PictureRecord, of_picture, opened, reject
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._regions import coco_region
from sphinx_data.convert._sample import about_image, built
from sphinx_data.errors import InputError
from sphinx_data.media import Prepared
from sphinx_data.phrasing import choose, english
from sphinx_data.sample import Built, Reject

_NO_CLASSES = ("__ignore__", "_background_")
_EXTENSIONS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp", ".webp", ".tif")
_CORNERS = 36  # of the polygon that stands for a circle
_LARGEST = 1 << 28  # bytes of one value that are read


class Options(ObjectOptions, frozen=True, kw_only=True):
    """Parameters of this format."""


class Record(PictureRecord, frozen=True, kw_only=True):
    """One JSON file, without the picture in it; where that is needed, `media` is the JSON file."""

    width: int = 0
    height: int = 0
    shapes: bytes = b""
    flags: tuple[str, ...] = ()  # of the picture, those that are set
    within: int | None = None  # number of the annotation argument whose file holds the picture


def recognise(glimpse: Glimpse) -> bool:
    """A JSON object with shapes and the path of a picture, or a folder of them."""
    path = glimpse.path
    if glimpse.is_folder:
        named = [name for name in glimpse.names if name.lower().endswith(".json")]
        if not named:
            return False
        path = storage.join(path, named[0])
    elif not path.lower().endswith(".json"):
        return False
    with JsonFile(path) as file:
        return {"shapes", "imagePath"} <= set(file.members())


def class_names(inputs: Inputs) -> Iterator[str]:
    """Readable labels, each once."""
    seen: set[str] = set()
    for record in _records(inputs, "names"):
        for shape in _shapes(record.shapes) or ():
            label = _label(shape)
            if label and label not in seen and shape["label"].strip() not in _NO_CLASSES:
                seen.add(label)
                yield label


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every JSON file, in order of its name."""
    return limited(lambda: _records(inputs, options.source), options)


def _records(inputs: Inputs, source: str) -> Iterator[Record]:
    unique, root = UniqueIds(source), inputs.places()["images"]
    for number, place in enumerate(inputs.annotations):
        names = [(n, storage.join(place, n)) for n, _ in storage.list_files(place) if n.lower().endswith(".json")] if (
            os.path.isdir(place)
        ) else [(os.path.basename(place), place)]  # fmt: skip
        if not names:
            raise InputError(f"{place}: has no JSON file")
        for name, path in names:
            plain = clean_text(name)
            try:
                yield _record(name, path, root, unique, number)
            except InputError as error:  # one damaged file of many
                if not os.path.isdir(place) and len(inputs.annotations) == 1:
                    raise
                lost = Reject(input=plain, level="file", rule="file-damaged", detail=clean_text(str(error)))
                yield Record(input=plain, rejects=(lost,))


def _record(name: str, path: str, root: str, unique: UniqueIds, number: int) -> Record:
    with JsonFile(path) as file:
        found = file.members()

        def read(key: str) -> bytes:
            offset, size = found.get(key, (0, 0))
            return file.read(offset, min(size, _LARGEST)) if size else b"null"

        said = {key: _value(read(key)) for key in ("imagePath", "imageWidth", "imageHeight", "flags")}
        shapes = read("shapes")
        holds = file.read(found.get("imageData", (0, 0))[0], 1) == b'"'
    if "shapes" not in found or "imagePath" not in found:
        raise InputError(f"{clean_text(name)}: has no shapes and imagePath, so it is not of labelme")
    plain, folder = clean_text(name), name.rpartition("/")[0]
    named = said["imagePath"].replace("\\", "/") if isinstance(said["imagePath"], str) else ""
    named = "" if named.lower().endswith(".json") else named  # of labelme's own tutorial: the JSON's name
    stem = os.path.splitext(os.path.basename(name))[0]
    tried = [os.path.normpath(f"{folder}/{named}" if folder else named)] if named else []
    bases = [*([named.rpartition("/")[2]] if named else []), *(f"{stem}{extension}" for extension in _EXTENSIONS)]
    tried += [f"{place}/{base}" if place else base for base in bases for place in dict.fromkeys((folder, ""))]
    media = find_media(root, *tried)
    within = holds and media.size == MISSING and name == plain
    return Record(
        input=plain, id=unique(os.path.splitext(plain)[0]), shapes=shapes, flags=_set(said["flags"]),
        media=Media(name=plain, size=storage.size(path)) if within else media, within=number if within else None,
        width=length(said["imageWidth"]), height=length(said["imageHeight"]),
    )  # fmt: skip


def _set(flags: Any) -> tuple[str, ...]:
    """Names of the flags that are true, in their order."""
    return tuple(clean_text(str(name)) for name, on in flags.items() if on is True) if isinstance(flags, dict) else ()


def _value(raw: bytes) -> Any:
    try:
        return value(raw)
    except ValueError:
        return None


def _shapes(raw: bytes) -> list[Any] | None:
    found = _value(raw)
    return found if isinstance(found, list) else None


def _label(shape: Any) -> str:
    said = shape.get("label") if isinstance(shape, dict) else None
    text = clean_text(said).strip() if isinstance(said, str) else ""
    return english.readable(text) if text else ""


@of_picture
def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its shapes, or the reject of the picture."""
    shapes = _shapes(record.shapes)
    if shapes is None:
        yield reject(record, "file", "shapes-invalid", "shapes is not a list.")
        return
    load = None if record.within is None else partial(_within, record, record.within, options, places)
    picture, frame = opened(record, options, places, record.width, record.height, load)
    if not shapes and record.flags:
        yield _classified(record, options, picture)
        return
    objects = Objects(record, frame, options.min_area)
    flags: dict[str, list[str]] = {}
    for title, label, group in _objects(shapes):
        with objects.one(label, title):
            if not label:
                raise RejectedError("category-unknown", "It has no label.")
            if group[0]["label"].strip() in _NO_CLASSES:
                raise RejectedError("ignored", f"{group[0]['label'].strip()} is labelme's own label for no object.")
            shape = _converted(group, frame.width, frame.height)
            objects.add(coco_region(shape, label, frame.width, frame.height), label)
            if own := tuple(dict.fromkeys(flag for part in group for flag in _set(part.get("flags")))):
                flags[str(len(objects.regions) - 1)] = list(own)
    meta = {"flags": list(record.flags)} if record.flags else {}
    yield from objects.samples(options, picture, Asking(), meta={**meta, **({"region_flags": flags} if flags else {})})


def _within(record: Record, number: int, options: Options, places: dict[str, str]) -> Prepared:
    """The picture inside the JSON file."""
    assert record.media is not None
    place = places[f"input.{number}"]
    path = storage.join(place, record.media.name) if os.path.isdir(place) else place
    if storage.size(path) != record.media.size:
        raise InputError(f"{path}: has changed since the build was planned; build again")
    with JsonFile(path) as file:
        offset, size = file.members()["imageData"]
        said = _value(file.read(offset, min(size, _LARGEST)))
    try:
        data = base64.b64decode(said, validate=True)
    except (TypeError, ValueError):
        raise RejectedError("image-damaged", f"imageData of {record.media.name} is not base64.") from None
    return prepared(data, options, f"imageData of {record.media.name}")


def _classified(record: Record, options: Options, picture: Prepared) -> Built:
    """A picture that was given flags and no shapes."""
    names = [english.readable(flag) for flag in record.flags]
    kinds = ("question", "answer") if len(names) == 1 else ("several_question", "several")
    question, answer = (choose("classification", kind, record.id) for kind in kinds)
    answer = answer.format(a_class=english.joined(list(map(english.with_article, names))))
    return built(
        record, options, [picture], domain="vision", task="classification", language="en",
        messages=about_image([(question, answer)]), meta={"flags": list(record.flags)},
    )  # fmt: skip


def _objects(shapes: list[Any]) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """(title, label, shapes) of every object: polygons that share label and group are one."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    order: list[tuple[str, str, list[dict[str, Any]]]] = []
    for number, shape in enumerate(shapes):
        label = _label(shape)
        said = shape if isinstance(shape, dict) else {}
        group = said.get("group_id")
        if said.get("shape_type", "polygon") == "polygon" and group is not None:
            key = (label, repr(group))
            if key in groups:
                groups[key].append(said)
                continue
            groups[key] = one = [said]
        else:
            one = [said]
        order.append((f"{label or 'unnamed'}, shape {number}", label, one))
    yield from order


def _converted(group: list[dict[str, Any]], width: int, height: int) -> dict[str, Any]:
    """The shapes of an object in COCO's form."""
    kind = group[0].get("shape_type", "polygon")
    points = [_points(shape) for shape in group]
    if kind == "polygon":
        return {"segmentation": [[v for point in ring for v in point] for ring in points]}
    if kind == "rectangle" and len(points[0]) in (2, 4):
        xs, ys = [x for x, _ in points[0]], [y for _, y in points[0]]
        return {"bbox": [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]}
    if kind == "circle" and len(points[0]) == 2:
        (x, y), edge = points[0]
        radius = math.dist((x, y), edge)
        turns = [2 * math.pi * step / _CORNERS for step in range(_CORNERS)]
        return {"segmentation": [[v for t in turns for v in (x + radius * math.cos(t), y + radius * math.sin(t))]]}
    if kind == "mask" and len(points[0]) == 2:
        return {"segmentation": _mask(group[0].get("mask"), points[0][0], width, height)}
    raise RejectedError("shape-unsupported", f"A {short(kind)} of {len(points[0])} points is no region.")


def _points(shape: dict[str, Any]) -> list[tuple[float, float]]:
    points = shape.get("points")
    try:
        pairs = [(float(x), float(y)) for x, y in points]  # type: ignore[union-attr]
    except (TypeError, ValueError, OverflowError):
        pairs = []
    if not pairs or not all(map(math.isfinite, (v for pair in pairs for v in pair))):
        raise RejectedError("points-invalid", f"points {short(points)} are not pairs of numbers.")
    return pairs


def _mask(said: Any, corner: tuple[float, float], width: int, height: int) -> dict[str, Any]:
    """A mask of labelme: a PNG in base64 whose upper left pixel lies at the corner."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(said, validate=True)), formats=["PNG"]) as png:
            if png.width > width or png.height > height:
                raise RejectedError(
                    "mask-size", f"The mask has {png.width}x{png.height} pixels, more than the picture."
                )
            small = np.asarray(png.convert("L")) > 0
    except (TypeError, binascii.Error, OSError, ValueError, SyntaxError) as error:
        raise RejectedError("mask-invalid", f"The mask is no PNG that can be read: {short(str(error))}.") from None
    x, y = max(int(corner[0]), 0), max(int(corner[1]), 0)
    whole = np.zeros((height, width), bool)
    inside = small[: max(height - y, 0), : max(width - x, 0)]
    whole[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return {"size": [height, width], "counts": rle.write(rle.from_array(whole))}
