"""YOLO: data.yaml, images/ and labels/ with one row an object; boxes, polygons and key points (Ultralytics, Roboflow).

Input: ``data.yaml`` or the folder that has it; ``--split`` says which of its entries is read (folders, or lists of
pictures), ``--images`` where the entries lie if not beside the YAML. Without a YAML: a folder with ``classes.txt``, or
with the ``obj.data`` and ``obj.names`` of darknet and CVAT, whose labels lie beside the pictures. Labels are found as
Ultralytics does: the last ``images`` of a path becomes ``labels``. One sample a picture: "Detect all objects in the
image." -> "There are two cones [...; ...] in the image."; with ``kpt_shape``, poses. An empty label file says that
nothing is there, and so does its sample ("There are no cones or cubes in the image."), unless ``--set
background=drop``; a picture without label file is a reject. Darknet's form was tested on a small export.
https://docs.ultralytics.com/datasets/detect/
"""

import os
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from sphinx_data import storage
from sphinx_data.convert import Inputs
from sphinx_data.convert._common import CommonOptions as CommonOptions
from sphinx_data.convert._common import RejectedError, UniqueIds, clean_text, find_media, limited, short
from sphinx_data.convert._objects import Asking, ObjectOptions, Objects, PictureRecord, of_picture, opened, reject
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._regions import Converted, coco_region
from sphinx_data.convert._yolo_file import PICTURES, DataFile, label_name, read_data
from sphinx_data.errors import InputError
from sphinx_data.sample import Built, Reject


class Options(ObjectOptions, frozen=True, kw_only=True):
    """Parameters of this format."""

    task: Literal["auto", "detection", "pose"] = "auto"  # auto: pose where the YAML has kpt_shape
    background: Literal["keep", "drop"] = "keep"  # pictures whose label file is empty


class Record(PictureRecord, frozen=True, kw_only=True):
    """One picture with its label file."""

    rows: bytes = b""
    names: tuple[str, ...] = ()  # classes, readable
    keypoints: tuple[int, int] | None = None  # how many, and numbers of each


def recognise(glimpse: Glimpse) -> bool:
    """A data.yaml or obj.data with names, or a folder with one, or with classes.txt and label files."""
    if not glimpse.is_folder and not glimpse.path.lower().endswith((".yaml", ".yml", ".data")):
        return False
    try:
        data = read_data(glimpse.path)
    except InputError:
        return False
    return data is not None and (bool(data.said) or _has_labels(glimpse.names))


def _has_labels(names: list[str]) -> bool:
    """Whether a picture has a label file: classes.txt alone stands in other sets too."""
    there = set(names)
    return any(label_name(name) in there for name in names if name.lower().endswith(PICTURES))


def class_names(inputs: Inputs) -> Iterator[str]:
    """Readable class names of the YAML."""
    yield from _data(inputs.annotations[0]).names.values()


def _data(place: str) -> DataFile:
    found = read_data(place)
    if found is None:
        raise InputError(f"{place}: is no data.yaml or obj.data with names, nor a folder with one or with classes.txt")
    return found


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every picture of the split, in order of its name; then label files without a picture."""
    return limited(lambda: _records(inputs, options), options)


def _records(inputs: Inputs, options: Options) -> Iterator[Record]:
    data, root, unique = _data(inputs.annotations[0]), inputs.places()["images"], UniqueIds(options.source)
    base = tuple(data.names.values())
    for entry in data.entries(root, options.split):
        seen: set[str] = set()
        for name in entry.pictures():
            label = label_name(name)
            seen.add(label)
            plain = clean_text(name)
            record = Record(
                input=plain, id=unique(os.path.splitext(plain)[0]), media=find_media(root, plain), names=base,
                keypoints=data.keypoints, annotated=data.license,
            )  # fmt: skip
            path = storage.join(root, label)
            if plain != name:
                why = reject(record, "file", "name-not-utf8", "The file's name is not UTF-8.")
                yield Record(input=plain, rejects=(why,))
            elif not os.path.isfile(path):
                why = reject(record, "record", "label-missing", f"There is no {clean_text(label)}.")
                yield Record(input=plain, rejects=(why,))
            else:
                yield _with(record, storage.read_bytes(path))
        for label in entry.labels():
            if label not in seen:
                plain = clean_text(label)
                detail = "No picture beside it has its name."
                lost = Reject(input=plain, level="record", rule="image-missing", detail=detail)
                yield Record(input=plain, rejects=(lost,))


def _with(record: Record, rows: bytes) -> Record:
    return Record(
        input=record.input, id=record.id, media=record.media, names=record.names, keypoints=record.keypoints,
        annotated=record.annotated, rows=rows,
    )  # fmt: skip


@of_picture
def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its rows, or the reject of the picture."""
    picture, frame = opened(record, options, places)
    objects = Objects(record, frame, options.min_area)
    for number, line in enumerate(record.rows.decode("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        words = line.split()
        label = _label(words[0], record.names)
        with objects.one(label or "", f"{label or short(words[0])}, line {number}"):
            if label is None:
                raise RejectedError("category-unknown", f"Class {short(words[0])} is not among the names.")
            objects.add(_region(words[1:], label, record.keypoints, _Size(frame.width, frame.height)), label)
    pose = record.keypoints is not None if options.task == "auto" else options.task == "pose"
    nothing = record.names if options.background == "keep" else ()
    asking = Asking("pose" if pose else "detection")
    yield from objects.samples(options, picture, asking, nothing=nothing)


def _label(word: str, names: tuple[str, ...]) -> str | None:
    """Classes are whole numbers; some tools write 3.0."""
    text = word.removesuffix(".0")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 8 else -1
    return names[number] if 0 <= number < len(names) else None


class _Size(NamedTuple):
    width: int
    height: int


def _region(words: list[str], label: str, keypoints: tuple[int, int] | None, size: _Size) -> Converted:
    """A row without its class: centre and size, perhaps with key points, or a polygon, all in shares of the picture."""
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise RejectedError("row-invalid", f"{short(' '.join(words))} are not all numbers.") from None
    width, height = size
    shape: dict[str, Any]
    if keypoints and len(numbers) == 4 + keypoints[0] * keypoints[1]:
        shape = {"keypoints": _points(numbers[4:], keypoints[1], size)}
    elif len(numbers) == 4:
        shape = {}
    elif len(numbers) >= 6 and len(numbers) % 2 == 0 and not keypoints:
        ring = [value * (height if index % 2 else width) for index, value in enumerate(numbers)]
        return coco_region({"segmentation": [ring]}, label, width, height)
    else:
        raise RejectedError("row-invalid", f"{len(numbers)} numbers after the class are no box, polygon or pose.")
    x, y, w, h = numbers[0] * width, numbers[1] * height, numbers[2] * width, numbers[3] * height
    return coco_region({"bbox": [x - w / 2, y - h / 2, w, h], **shape}, label, width, height)


def _points(numbers: list[float], each: int, size: _Size) -> list[float]:
    """COCO's triples of pixels. Of two numbers a point, 0 0 is an unlabelled one."""
    flat: list[float] = []
    for start in range(0, len(numbers), each):
        x, y = numbers[start], numbers[start + 1]
        seen = numbers[start + 2] if each == 3 else 2.0 if x or y else 0.0
        flat += [x * size.width, y * size.height, seen]
    return flat
