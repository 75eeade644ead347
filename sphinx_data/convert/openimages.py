"""OpenImages V4-V7: boxes, masks and image-level labels from the published CSV files.

Input, in any order: ``train-annotations-bbox.csv`` (or ``oidv6-train-...``, ``validation-...``), the class descriptions
(``class-descriptions-boxable.csv``), and perhaps ``...-annotations-human-imagelabels*.csv``; or a folder of them.
Pictures are ``<ImageID>.jpg`` below the folder of pictures, perhaps in ``train/``, ``validation/``, ``test/``,
``data/`` or, as the archives ``train_x.tar.gz`` unpack, in ``train_x/``, x being the first character of the id. A
picture with boxes becomes "Detect all cats and dogs in the image." -> "There is a cat [...] and two dogs [...; ...] in
the image." (only classes that were verified are annotated, so never "all objects"); one of a labels file, "Classify the
image." -> "This is a dog.", with all its confirmed labels where it has several. Groups (IsGroupOf) are dropped unless
``--set crowd=keep``, depictions with ``--set depictions=drop``. ``...-annotations-object-segmentation.csv`` gives
objects their masks, PNGs below the folder of pictures, perhaps in ``masks/`` or in folders named as the archives
(``train-masks-0``); a mask that matches no box is an object of its own, and an object whose mask cannot be read keeps
its box. Relations are not read. No published file was at hand for the tests: they write the published layout.
Annotations CC-BY-4.0, pictures listed as CC-BY-2.0:
https://storage.googleapis.com/openimages/web/factsfigures_v7.html
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Literal, cast

import msgspec

from sphinx_data import storage
from sphinx_data.convert import Inputs
from sphinx_data.convert._common import CommonOptions as CommonOptions
from sphinx_data.convert._common import Media, RejectedError, UniqueIds, clean_text, find_media, limited, short
from sphinx_data.convert._groups import Groups
from sphinx_data.convert._json_items import Item, JsonFile
from sphinx_data.convert._objects import Asking, ObjectOptions, Objects, PictureRecord, of_picture, opened, reject
from sphinx_data.convert._openimages_files import Lines, fields, files, kind_of
from sphinx_data.convert._openimages_masks import MaskFile, MaskRow, is_of, segmentation
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._regions import coco_region
from sphinx_data.convert._sample import about_image, built
from sphinx_data.media import Prepared
from sphinx_data.phrasing import choose, english
from sphinx_data.sample import Built, Reject, Struct

LICENSE, IMAGE_LICENSE = "CC-BY-4.0", "CC-BY-2.0"
_FOLDERS = ("", "train/", "validation/", "test/", "data/")


class Options(ObjectOptions, frozen=True, kw_only=True):
    """Parameters of this format."""

    crowd: Literal["drop", "keep"] = "drop"  # keep: "a group of people"
    depictions: Literal["keep", "drop"] = "keep"  # drawings and toys of the class


class Box(Struct, frozen=True, kw_only=True):
    """One row: the class as described, sides in shares of the picture as written, what the row says besides."""

    label: str | None
    place: str
    sides: tuple[str, str, str, str] = ("", "", "", "")  # XMin, YMin, XMax, YMax
    group: bool = False
    depiction: bool = False
    mask: Media | None = None


class Record(PictureRecord, frozen=True, kw_only=True):
    """One picture with its rows."""

    boxes: tuple[Box, ...] = ()
    labels: tuple[str, ...] = ()  # confirmed for the whole picture

    @property
    def weight(self) -> int:
        """Bytes of the picture and its masks."""
        return sum(max(found.size, 0) for found in (self.media, *(box.mask for box in self.boxes)) if found)


def recognise(glimpse: Glimpse) -> bool:
    """A CSV of boxes or labels with OpenImages' columns, or a folder or list of files with one."""
    if glimpse.is_folder:
        paths = [storage.join(glimpse.path, name) for name in glimpse.names if name.lower().endswith(".csv")]
    else:
        paths = list(glimpse.inputs.annotations)
    kinds = {kind_of(path) for path in paths}
    return bool(kinds & {"boxes", "labels", "masks"})


def class_names(inputs: Inputs) -> Iterator[str]:
    """All described classes."""
    yield from dict.fromkeys(files(inputs).names.values())


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every picture of every file of boxes, then of labels, then of masks, in the order of their first rows."""
    return limited(lambda: _records(inputs, options), options)


def _records(inputs: Inputs, options: Options) -> Iterator[Record]:
    with ExitStack() as stack:
        found = files(inputs)
        masks = [MaskFile.opened(path) for path in found.masks]
        for file in masks:
            stack.enter_context(file.lines)
        make = _Maker(options, inputs.places()["images"], masks, found.names)
        for path in (*found.boxes, *found.labels):
            yield from make.of_rows(path)
        for path, file in zip(found.masks, masks, strict=True):
            yield from make.of_masks(path, file)


class _Maker:
    """Makes records of rows."""

    def __init__(self, options: Options, root: str, masks: list[MaskFile], names: dict[str, str]) -> None:
        self._unique, self._root = UniqueIds(options.source), root
        self._masks, self._names = masks, names

    def of_rows(self, path: str) -> Iterator[Record]:
        """Every picture of a file of boxes or labels."""
        name = clean_text(os.path.basename(path))
        with Lines(path) as file:
            columns = {column: index for index, column in enumerate(file.header)}
            groups = Groups(cast(JsonFile, file))
            for item in file.items():
                groups.add(_image_of(item.raw, columns), item)
            for item in file.items():
                image = _image_of(item.raw, columns)
                if image is None:
                    yield _without_image(name, item)
                elif rows := groups.take(image):
                    boxed = self._masks if "XMin" in columns else []
                    masks = [row for file in boxed for row in file.take(image, self._root)]
                    yield _with(self._record(name, image), rows, columns, self._names, masks)

    def of_masks(self, path: str, file: MaskFile) -> Iterator[Record]:
        """Every picture of a file of masks that no file of boxes has."""
        name = clean_text(os.path.basename(path))
        for item in file.lines.items():
            image = file.image_of(item)
            if image is None:
                yield _without_image(name, item)
            elif rows := file.take(image, self._root):
                boxes = tuple(_masked(row, self._names) for row in rows)
                yield msgspec.structs.replace(self._record(name, image), boxes=boxes)

    def _record(self, name: str, image: str) -> Record:
        return Record(
            input=name, record=image, id=self._unique(image), license=IMAGE_LICENSE, annotated=LICENSE,
            media=find_media(self._root, *(f"{folder}{image}.jpg" for folder in (*_FOLDERS, f"train_{image[:1]}/"))),
        )  # fmt: skip


def _without_image(name: str, item: Item) -> Record:
    detail = f"{short(item.raw[:60])} has no ImageID."
    lost = Reject(input=name, record=item.place, level="record", rule="row-invalid", detail=detail)
    return Record(input=name, record=item.place, rejects=(lost,))


def _masked(row: MaskRow, names: dict[str, str]) -> Box:
    return Box(label=names.get(row.label_name), place=row.place, sides=row.sides, mask=row.mask)


def _image_of(raw: bytes, columns: dict[str, int]) -> str | None:
    cells = raw.split(b",", columns["ImageID"] + 1)
    text = clean_text(cells[columns["ImageID"]].decode("utf-8", "replace")) if len(cells) > 1 else ""
    return text.strip() or None


def _with(
    record: Record, rows: list[tuple[int, bytes]], columns: dict[str, int], names: dict[str, str], masks: list[MaskRow]
) -> Record:
    boxes: list[Box] = []
    labels: list[str] = []
    rejects: list[Reject] = []
    for number, raw in rows:
        said = dict(zip(columns, fields(raw), strict=False))
        label = names.get(said.get("LabelName", ""))
        if "XMin" in columns:
            sides = tuple(said.get(key, "") for key in ("XMin", "YMin", "XMax", "YMax"))
            where = cast(tuple[str, str, str, str], sides)
            group, depiction = (said.get(key) == "1" for key in ("IsGroupOf", "IsDepiction"))
            mask = next((row for row in masks if is_of(row, said.get("LabelName", ""), sides)), None)
            if mask is not None:
                masks.remove(mask)
            boxes.append(
                Box(label=label, place=f"row {number}", sides=where, group=group, depiction=depiction,
                    mask=mask.mask if mask else None)
            )  # fmt: skip
            continue
        sure = _number(said.get("Confidence", ""))
        if label is None or sure is None or sure < 1:
            rule = "category-unknown" if label is None else "not-confirmed"
            detail = f"{short(said.get('LabelName'))} with confidence {short(said.get('Confidence'))}."
            why = Reject(input=record.input, record=record.record, id=record.id, level="turn", rule=rule, detail=detail)
            rejects.append(why)
        elif label not in labels:
            labels.append(label)
    boxes += [_masked(row, names) for row in masks]
    return msgspec.structs.replace(record, boxes=tuple(boxes), labels=tuple(labels), rejects=tuple(rejects))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@of_picture
def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its rows, or the reject of the picture."""
    picture, frame = opened(record, options, places)
    if not record.boxes:
        yield from _classified(record, options, picture)
        return
    objects = Objects(record, frame, options.min_area)
    for box in record.boxes:
        label = box.label or "unknown"
        with objects.one(label, f"{label}, {box.place}"):
            if box.label is None:
                raise RejectedError("category-unknown", "Its LabelName is not among the class descriptions.")
            if box.group and options.crowd == "drop":
                raise RejectedError("crowd", "IsGroupOf is 1.")
            if box.depiction and options.depictions == "drop":
                raise RejectedError("depiction", "IsDepiction is 1.")
            sides = [_number(side) for side in box.sides]
            if any(side is None for side in sides):
                raise RejectedError("box-invalid", f"{short(box.sides)} are not four numbers.")
            scale = (frame.width, frame.height) * 2
            x0, y0, x1, y1 = ((side or 0.0) * size for side, size in zip(sides, scale, strict=True))
            shape: dict[str, Any] = {"bbox": [x0, y0, x1 - x0, y1 - y0]}
            if box.mask is not None:
                try:
                    shape["segmentation"] = segmentation(box.mask, places, frame.width, frame.height)
                except RejectedError as error:
                    detail = f"{label}, {box.place}, kept as a box: {error.detail}"
                    objects.rejects.append(reject(record, "region", error.rule, detail))
            objects.add(coco_region(shape, label, frame.width, frame.height), label, crowd=box.group)
    yield from objects.samples(options, picture, Asking(closed=False))


def _classified(record: Record, options: Options, picture: Prepared) -> Iterator[Built | Reject]:
    if not record.labels:
        detail = "No label of the picture is confirmed."
        yield Reject(
            input=record.input, record=record.record, id=record.id, level="image", rule="no-label", detail=detail
        )
        return
    kind = "answer" if len(record.labels) == 1 else "several"
    phrases = english.joined([english.with_article(label) for label in record.labels])
    question = choose("classification", "question" if len(record.labels) == 1 else "several_question", record.id)
    answer = choose("classification", kind, record.id).format(a_class=phrases)
    yield built(
        record, options, [picture], domain="vision", task="classification", language="en", license=LICENSE,
        image_licenses=[record.license], messages=about_image([(question, answer)]),
        meta={"classes": list(record.labels)},
    )  # fmt: skip
