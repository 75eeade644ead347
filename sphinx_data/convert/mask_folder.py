"""Folders of masks: PNGs of ids or of classes beside pictures, or a folder of one PNG an object for each picture.

Input: a folder of masks and, with ``--images DIR``, the folder of pictures. Without it, the folder has ``images`` and
``masks`` in it, or both lie side by side. A picture ``a/b.jpg`` has one of

- ``a/b.png`` (also ``b_mask.png``, ``b_seg.png``, ``b_gtFine_instanceIds.png``): one channel of 8 or 16 bits or a
  palette; every value but 0 (and 255 in palettes, the border of VOC and DAVIS) is an object;
- ``a/b/``: a PNG for every object, where what is brighter than half of white is inside. The name of the file is its
  class, less a number: ``dog_2.png`` is a dog.

A names file as second argument gives classes to ids: JSON ``{"1": "cat"}``, or lines ``1 cat``; ids without a name, and
all without a names file, give regions without a label (``--set label=object`` names them all). With
``--set divisor=1000`` a value v stands for the class v // 1000 (Cityscapes' instanceIds). The turns are those of a
detection set: SPHINX's question with boxes. Licence: give it with ``--license``.
"""

import io
import os
import re
import warnings
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import numpy as np
from PIL import Image

from sphinx_data import rle, storage
from sphinx_data.convert import Inputs
from sphinx_data.convert._common import CommonOptions, Media, RejectedError, UniqueIds, clean_text, limited, load_image
from sphinx_data.convert._frame import Frame, frame_of
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._sample import about_image, built
from sphinx_data.convert.imagefolder import read_names
from sphinx_data.errors import InputError, UsageError
from sphinx_data.phrasing import choose, english
from sphinx_data.phrasing.detection import Group, detection_answer
from sphinx_data.sample import Built, Mask, Region, Reject, Struct

_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_ENDINGS = ("", "_mask", "_masks", "_seg", "_label", "_labels", "_gtFine_instanceIds", "_instanceIds")
_NUMBER = re.compile(r"[-_ .]*\d+$")
_MOST = 1000  # objects of one picture: more are noise, e.g. a photo that is taken for ids
_BORDER = 255


class Options(CommonOptions, frozen=True, kw_only=True):
    """Parameters of this format."""

    label: str | None = None  # the class of objects that have no name
    divisor: Annotated[int, msgspec.Meta(ge=1)] = 1  # a value stands for the class value // divisor


class Record(Struct, frozen=True, kw_only=True):
    """A picture with its mask files, or the reject of a file that belongs to none."""

    input: str
    id: str = ""
    media: Media = Media(name="")
    masks: tuple[Media, ...] = ()  # below the folder of masks
    several: bool = False  # a file an object
    names: dict[str, str] = {}
    reject: Reject | None = None

    @property
    def record(self) -> None:
        """A picture is a file of its own."""

    @property
    def weight(self) -> int:
        """Bytes of the picture and its masks."""
        return max(self.media.size, 0) + sum(mask.size for mask in self.masks)


def recognise(glimpse: Glimpse) -> bool:
    """A folder with ``images`` and ``masks`` (or ``labels``, ``annotations``) in it, these full of PNGs."""
    if not glimpse.is_folder or ".csv" in glimpse.extensions:  # OpenImages has a folder of masks too
        return False
    tops = {name.partition("/")[0] for name in glimpse.names if "/" in name}
    of_masks = tops & {"masks", "mask", "SegmentationObject"}
    return "images" in tops and any(
        name.lower().endswith(".png") for name in glimpse.names if name.partition("/")[0] in of_masks
    )


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every picture that has a mask, in order of its name; then masks without a picture."""
    return limited(lambda: _records(inputs, options), options)


def _folders(inputs: Inputs) -> tuple[str, str]:
    """The folders of masks and of pictures."""
    folder = inputs.annotations[0]
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: is not a folder of masks")
    inner = next((n for n in ("masks", "mask", "SegmentationObject") if os.path.isdir(storage.join(folder, n))), None)
    masks = storage.join(folder, inner) if inner else folder
    own = storage.join(folder, "images") if inner else folder
    return masks, inputs.images or own


def _records(inputs: Inputs, options: Options) -> Iterator[Record]:
    if len(inputs.annotations) > 2 or options.divisor < 1:
        raise UsageError("mask_folder: give one folder of masks, perhaps a names file; divisor is 1 or more")
    masks, pictures = _folders(inputs)
    names = read_names(inputs.annotations[1]) if len(inputs.annotations) == 2 else {}
    below = {name: size for name, size in storage.list_files(masks) if name.lower().endswith(".png")}
    unique, used = UniqueIds(options.source), set()
    root = os.path.relpath(pictures, inputs.places()["images"])
    for name, size in storage.list_files(pictures):
        stem, extension = os.path.splitext(name)
        if extension.lower() not in _PICTURES or name != clean_text(name):
            continue
        own = [f"{stem}{ending}.png" for ending in _ENDINGS]
        single = next((n for n in own if n in below and not (n == name and masks == pictures)), None)
        many = [] if single else sorted(n for n in below if n.startswith(f"{stem}/"))
        found = [single] if single else many
        if masks == pictures and not found:
            continue
        used.update(found)
        place = Media(name=os.path.normpath(os.path.join(root, name)), size=size)
        if found:
            yield Record(
                input=name, id=unique(stem), media=place, names=names, several=not single,
                masks=tuple(Media(name=n, size=below[n]) for n in found),
            )  # fmt: skip
        elif name not in used:
            yield _rejected(name, "no-mask", "No mask has the name of this picture.")
    if masks != pictures:
        for name in sorted(below.keys() - used):
            yield _rejected(name, "no-picture", "No picture has the name of this mask.")


def _rejected(name: str, rule: str, detail: str) -> Record:
    name = clean_text(name)
    return Record(input=name, reject=Reject(input=name, level="file", rule=rule, detail=detail))


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample a picture, and the rejects of its masks."""
    if record.reject is not None:
        yield record.reject
        return
    inner = (storage.join(places["input.0"], n) for n in ("masks", "mask", "SegmentationObject"))
    folder = next((place for place in inner if os.path.isdir(place)), places["input.0"])
    regions: list[Region] = []
    try:
        picture = load_image(record.media, options, places)
        for found in record.masks:
            try:
                values = _read(storage.join(folder, found.name), record.several)
                frame = frame_of(picture, values.shape[1], values.shape[0])
                regions += _regions(values, found.name, frame, record, options)
            except RejectedError as error:
                yield Reject(input=found.name, id=record.id, level="region", rule=error.rule, detail=error.detail)
    except RejectedError as error:
        yield Reject(input=record.input, id=record.id, level="image", rule=error.rule, detail=error.detail)
        return
    if not regions:
        yield Reject(input=record.input, id=record.id, level="image", rule="no-objects", detail="Its masks are empty.")
        return
    groups: dict[str, list[int]] = {}
    for number, region in enumerate(regions):
        groups.setdefault(region.label or "object", []).append(number)
    answer = detection_answer([Group(name, tuple(numbers)) for name, numbers in groups.items()])
    yield built(
        record, options, [picture], domain="vision", task="detection", language="en", regions=regions,
        messages=about_image([(choose("detection", "all", record.id), answer)]),
    )  # fmt: skip


def _read(place: str, single: bool) -> np.ndarray:
    """Ids [H, W], int64; of a single object's mask 1 where it is. Raises RejectedError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(storage.read_bytes(place)))
            palette = picture.mode == "P"
            if picture.mode not in ("1", "L", "P", "I", "I;16", "I;16B") and not single:
                detail = f"Its mode is {picture.mode}; ids are one channel. A colour a class needs a palette PNG."
                raise RejectedError("mask-not-ids", detail)
            if single:
                alpha = picture.mode in ("RGBA", "LA") and np.asarray(picture.getchannel("A")).min() < 255
                bright = picture.getchannel("A") if alpha else picture if palette else picture.convert("L")
                values = np.asarray(bright).astype(np.int64)
                return (values > (0 if palette else 127)).astype(np.int64)
            values = np.asarray(picture).astype(np.int64)
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError) as error:
        raise RejectedError("mask-damaged", f"The mask cannot be decoded: {error}") from None
    if palette:
        values[values == _BORDER] = 0
    return values


def _regions(values: np.ndarray, file: str, frame: Frame, record: Record, options: Options) -> Iterator[Region]:
    ids = np.unique(values)
    ids = ids[ids != 0]
    if len(ids) > _MOST:
        raise RejectedError("mask-not-ids", f"It has {len(ids)} different values; it is no mask of ids.")
    height, width = values.shape
    for each in ids.tolist():
        inside = values == each
        runs = rle.from_array(inside)
        box = rle.bounds(runs, height)
        assert box is not None
        mask = Mask(size=(height, width), counts=rle.write(runs))
        label = _label(each, file, record, options)
        yield frame.region(
            Region(box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])), mask=mask, label=label)
        )


def _label(value: int, file: str, record: Record, options: Options) -> str | None:
    names: dict[str, Any] = record.names
    if record.several:
        stem = os.path.splitext(os.path.basename(file))[0]
        name = _NUMBER.sub("", stem)
        found = names.get(stem) or names.get(name) or name
    else:
        found = names.get(str(value // options.divisor)) or ""
    return clean_text(english.readable(found)) if found else options.label
