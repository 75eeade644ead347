"""Pascal VOC: one XML a picture, in the devkit's layout or beside the pictures (LabelImg, Roboflow, CVAT).

Input: a folder such as ``VOCdevkit`` with ``VOC2007/Annotations/*.xml`` and ``VOC2007/JPEGImages``, one of XML with
``images`` beside it, a flat folder of XML and pictures, or XML files with ``--images``. The picture is the one that
``<filename>`` names, else the one with the XML's own name; a size that is not the picture's is a reject. Coordinates
are VOC's: pixels are counted from 1 and both ends are included. One sample a picture: "Detect all objects in the
image." -> "There is a dog [...] and ...".
``--set image_set=trainval`` takes the pictures of ``ImageSets/Main/trainval.txt`` only. Parts of people and the
segmentation PNGs are not read. VOC's photos are Flickr's under their terms: http://host.robots.ox.ac.uk/pascal/VOC/
"""

import html
import os
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Literal
from xml.etree import ElementTree

from sphinx_data import storage
from sphinx_data.convert import Inputs
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
from sphinx_data.convert._objects import Asking, ObjectOptions, Objects, PictureRecord, of_picture, opened, reject
from sphinx_data.convert._packed import head
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._regions import coco_region
from sphinx_data.convert._xml import number, parsed, whole
from sphinx_data.errors import InputError, UsageError
from sphinx_data.phrasing import english
from sphinx_data.sample import Built, Reject

_ROOT = re.compile(rb"<annotation[\s>]")
_NAMED = re.compile(rb"<filename>\s*(.*?)\s*</filename>", re.DOTALL)
_EXTENSIONS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp", ".webp", ".tif")
_BESIDE = ("JPEGImages", "images", "Images", "img")  # folders of pictures beside one of XML files, or one above it
_CLASSES = {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "TV monitor"}


class Options(ObjectOptions, frozen=True, kw_only=True):
    """Parameters of this format."""

    image_set: str | None = None  # name of a list in ImageSets/Main; None: every XML
    difficult: Literal["keep", "drop"] = "keep"  # objects that VOC's evaluation leaves out


class Record(PictureRecord, frozen=True, kw_only=True):
    """One XML file."""

    raw: bytes = b""


def recognise(glimpse: Glimpse) -> bool:
    """XML files, or a folder of them, of which the first is a VOC annotation."""
    paths = [name for name in glimpse.names if name.lower().endswith(".xml")]
    if not paths or (glimpse.is_folder and any("Sentences/" in name for name in glimpse.names)):
        return False
    begin = head(storage.join(glimpse.path, paths[0]) if glimpse.is_folder else glimpse.path, 1 << 16)
    return _ROOT.search(begin) is not None and b"<pt>" not in begin  # points are of MIT's LabelMe


def class_names(inputs: Inputs) -> Iterator[str]:
    """Readable class names, each once."""
    seen: set[str] = set()
    for _, path, _ in _files(inputs):
        root = parsed(storage.read_bytes(path))
        for entry in () if root is None else root.findall("object"):
            label = _label(entry.findtext("name"))
            if label and label not in seen:
                seen.add(label)
                yield label


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every XML file, in order of its name."""
    return limited(lambda: _records(inputs, options), options)


def _files(inputs: Inputs) -> Iterator[tuple[str, str, int]]:
    """(name below its argument, path, size) of every XML file."""
    for place in inputs.annotations:
        if not os.path.isdir(place):
            if not storage.exists(place):
                raise InputError(f"{place}: does not exist")
            yield os.path.basename(place), place, storage.size(place)
            continue
        if inputs.images is None and os.path.basename(os.path.abspath(place)).lower() == "annotations":
            _refuse_alone(place)
        for name, size in storage.list_files(place):
            if name.lower().endswith(".xml"):
                yield name, storage.join(place, name), size


def _refuse_alone(place: str) -> None:
    """XML files whose pictures lie in a folder beside theirs."""
    if not any(name.endswith(_EXTENSIONS) for name in os.listdir(place)):
        raise UsageError(f"{place}: voc needs the folder above it, or --images DIR for the pictures")


def _records(inputs: Inputs, options: Options) -> Iterator[Record]:
    unique, root = UniqueIds(options.source), inputs.places()["images"]
    chosen = _Chosen(inputs, options.image_set)
    count = 0
    for name, path, size in _files(inputs):
        count += 1
        if not chosen.has(name):
            continue
        record = Record(input=clean_text(name), id=unique(os.path.splitext(name)[0]))
        if size < 0 or name != clean_text(name):
            why = reject(record, "file", "file-unreadable", "It is no file that can be read, or its name is not UTF-8.")
            yield Record(input=record.input, rejects=(why,))
            continue
        raw = storage.read_bytes(path)
        match = _NAMED.search(raw)
        named = html.unescape(match[1].decode("utf-8", "replace")) if match else ""
        yield Record(input=record.input, id=record.id, media=_picture(root, name, named), raw=raw)
    yield from chosen.missing()
    if not count:
        raise InputError(f"{inputs.annotations[0]}: has no XML file")


class _Chosen:
    """The pictures of an image set, by folder of the devkit and name."""

    def __init__(self, inputs: Inputs, wanted: str | None) -> None:
        self._wanted = wanted
        self._names: dict[tuple[str, str], str] = {}
        if wanted is None:
            return
        for place in inputs.annotations:
            for name, _ in storage.list_files(place) if os.path.isdir(place) else ():
                path = PurePosixPath(name)
                if path.name == f"{wanted}.txt" and path.parts[-3:-1] == ("ImageSets", "Main"):
                    above = "/".join(path.parts[:-3])
                    for line in storage.read_bytes(storage.join(place, name)).decode("utf-8", "replace").splitlines():
                        if line.strip():
                            self._names[above, line.split()[0]] = name
        if not self._names:
            raise UsageError(f"{inputs.annotations[0]}: image_set={wanted}: there is no ImageSets/Main/{wanted}.txt")

    def has(self, name: str) -> bool:
        """Whether an XML file belongs to it."""
        path = PurePosixPath(name)
        key = ("/".join(path.parts[:-2]), path.stem)
        return self._wanted is None or self._names.pop(key, None) is not None

    def missing(self) -> Iterator[Record]:
        """What is listed and has no XML file."""
        for (_, stem), name in self._names.items():
            name, stem = clean_text(name), clean_text(stem)
            detail = f"{stem} is listed, and has no XML file."
            why = Reject(input=name, record=stem, level="record", rule="annotation-missing", detail=detail)
            yield Record(input=name, record=stem, rejects=(why,))


def _picture(root: str, name: str, named: str) -> Media:
    """The picture of an XML file: the one it names, else the one with its own name."""
    folder, _, base = name.rpartition("/")
    parts = folder.split("/") if folder else []
    above = [parts[:count] for count in range(len(parts) - 1, -1, -1)][:2]
    beside = ["/".join([*each, sub]) for each in above for sub in _BESIDE]
    devkit = bool(parts) and parts[-1] == "Annotations"
    folders = [*beside, folder, ""] if devkit else [folder, *beside, ""]
    stem = os.path.splitext(base)[0]
    names = [named.replace("\\", "/").rpartition("/")[2]] if named else []
    names += [f"{stem}{extension}" for extension in _EXTENSIONS]
    return find_media(root, *(f"{place}/{each}" if place else each for each in names for place in folders))


@of_picture
def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its regions, or the reject of the file or picture."""
    root = parsed(record.raw)
    if root is None or root.tag != "annotation":
        yield reject(record, "file", "xml-invalid", "It is not the XML of an annotation.")
        return
    size = root.find("size")
    width, height = (whole(size.findtext(key)) if size is not None else 0 for key in ("width", "height"))
    picture, frame = opened(record, options, places, width, height)
    objects = Objects(record, frame, options.min_area)
    for place, entry in enumerate(root.findall("object")):
        label = _label(entry.findtext("name"))
        with objects.one(label, f"{label or 'unnamed'}, object {place}"):
            if not label:
                raise RejectedError("category-unknown", "It has no name.")
            if options.difficult == "drop" and (entry.findtext("difficult") or "").strip() == "1":
                raise RejectedError("difficult", "difficult is 1.")
            done = coco_region(_shape(entry), label, frame.width, frame.height)
            objects.add(done, label)
    yield from objects.samples(options, picture, Asking())


def _label(name: str | None) -> str:
    text = clean_text((name or "").strip())
    return _CLASSES.get(text) or (english.readable(text) if text else "")


def _shape(entry: ElementTree.Element) -> dict[str, Any]:
    """Box, and Roboflow's polygon, in continuous pixels."""
    box, polygon = entry.find("bndbox"), entry.find("polygon")
    shape: dict[str, Any] = {}
    if box is not None:
        x0, y0, x1, y1 = (_number(box.findtext(key)) for key in ("xmin", "ymin", "xmax", "ymax"))
        shape["bbox"] = [x0 - 1, y0 - 1, x1 - x0 + 1, y1 - y0 + 1]
        if x1 <= x0 or y1 <= y0:
            raise RejectedError("box-empty", f"bndbox [{x0:g}, {y0:g}, {x1:g}, {y1:g}] has no area.")
    if polygon is not None and len(polygon):
        count = len(polygon) // 2
        shape["segmentation"] = [
            [_number(polygon.findtext(f"{axis}{corner}")) for corner in range(1, count + 1) for axis in "xy"]
        ]
    return shape


def _number(text: str | None) -> float:
    found = number(text)
    if found is None:
        raise RejectedError("box-invalid", f"{short(text)} is not a number.")
    return found
