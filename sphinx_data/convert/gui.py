"""GUI elements: screenshots with boxes and what each element is for (ScreenSpot, SeeClick, lines of box and label).

Input, JSON or JSON lines, plain or compressed, one file or several:

- ScreenSpot and ScreenSpot-v2 (``screenspot_desktop.json``, ``screenspot_desktop_v2.json``, ...): a list of
  {img_filename, bbox: [x, y, width, height] in pixels, instruction, data_type: text or icon, data_source}.
  ScreenSpot-Pro: ``bbox`` is [x0, y0, x1, y1] in pixels, ``img_size`` is [width, height], and there are ui_type,
  instruction_cn and more. No other file says which of the two a box is: ``--set boxes=xyxy`` decides.
- SeeClick's training data: web is {img_filename, url, elements: [{instruction, bbox, data_type: text or hover}]}, its
  mobile part and OS-Atlas {img_filename, instruction, bbox}, OS-Atlas also with elements; ShowUI's metadata is
  {img_url, img_size, element: [{instruction, bbox, data_type, point}]}. All of them have [x0, y0, x1, y1] as shares of
  width and height.
- Lines of one's own: {image, box or bbox: [x0, y0, x1, y1] in pixels, or as shares where none exceeds 2, label}, or
  {image, elements: [{bbox, label}]}.

All elements of a screenshot become one sample: an instruction is asked for, the answer is the element's box. Regions
carry the instruction as their label. ScreenSpot is published under Apache-2.0 (https://github.com/njucckevin/SeeClick);
other files do not say. No real file was at hand. Fields follow the code and notes that go with the files: SeeClick's
``pretrain/screenspot_test.py``, ``pretrain/process_utils.py`` and ``readme_data.md``, ScreenSpot-Pro's
``eval_screenspot_pro.py`` (https://github.com/likaixin2000/ScreenSpot-Pro-GUI-Grounding), the README of
``OS-Copilot/OS-Atlas-data`` and ShowUI's ``TRAIN.md``. UGround's conversations are no boxes and are not read.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal

from sphinx_data.convert import Inputs
from sphinx_data.convert._common import (
    CommonOptions,
    Media,
    RejectedError,
    UniqueIds,
    clean_text,
    find_media,
    limited,
    load_image,
    short,
)
from sphinx_data.convert._frame import frame_of
from sphinx_data.convert._json_items import JsonFile, value
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._sample import about_image, built
from sphinx_data.phrasing import choose
from sphinx_data.sample import Built, Part, Region, RegionPart, Reject, Struct

_IMAGE = ("img_filename", "image", "image_path", "file_name", "img_path", "img_url")
_BOX = ("bbox", "box")
_ELEMENTS = ("elements", "element")
_NAME = ("instruction", "label", "text", "name", "description")
_SHARES = 2.0  # corners up to this are shares, of which some reach a little beyond 1; no element has two pixels
_MOST_TURNS = 8  # of one dialogue


class Options(CommonOptions, frozen=True, kw_only=True):
    """Parameters of this format."""

    boxes: Literal["auto", "xyxy", "xywh"] = "auto"  # auto: as ScreenSpot has them where there is its data_source


class Element(Struct, frozen=True, kw_only=True):
    """One element as its file has it."""

    place: str  # in the file
    name: str
    box: tuple[float, float, float, float]  # x0, y0, x1, y1
    shares: bool  # of width and height, not pixels


class Record(Struct, frozen=True, kw_only=True):
    """One screenshot with its elements, or rejects of what belongs to none."""

    input: str
    record: str | None = None
    id: str = ""
    media: Media = Media(name="")
    width: int = 0
    height: int = 0
    elements: tuple[Element, ...] = ()
    rejects: tuple[Reject, ...] = ()

    @property
    def weight(self) -> int:
        """Bytes of the screenshot."""
        return max(self.media.size, 0)


def recognise(glimpse: Glimpse) -> bool:
    """Records with a screenshot's name, and a box with an instruction or a list of elements that have them."""
    if glimpse.is_folder or not glimpse.records or glimpse.keys & {"images", "annotations"}:
        return False
    return all(isinstance(record, dict) and _is_ours(record) for record in glimpse.records)


def _is_ours(record: dict[str, Any]) -> bool:
    if not isinstance(_first(record, _IMAGE), str):
        return False
    items = _first(record, _ELEMENTS)
    found = items[0] if isinstance(items, list) and items else record
    own = "img_filename" in record or isinstance(items, list) or {"box", "label"} <= found.keys()
    return own and isinstance(found, dict) and _first(found, _BOX) is not None and _first(found, _NAME) is not None


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every screenshot of every file, at the place of its first element."""
    return limited(lambda: _records(inputs, options), options)


def _records(inputs: Inputs, options: Options) -> Iterator[Record]:
    unique = UniqueIds(options.source)
    root = inputs.places()["images"]
    for path in inputs.annotations:
        name = clean_text(path.rstrip("/").rpartition("/")[2])
        shots: dict[str, tuple[list[Element], tuple[int, int]]] = {}
        rejects: list[Reject] = []
        with JsonFile(path) as file:
            for item in file.items():
                try:
                    _add(value(item.raw), str(item.place), options, shots, rejects, name)
                except (ValueError, TypeError, KeyError, OverflowError, AttributeError):
                    rejects.append(
                        _bad(name, str(item.place), "entry-invalid", f"It is no element: {short(item.raw[:60])}")
                    )
        for image, (elements, (width, height)) in shots.items():
            yield Record(
                input=name, record=elements[0].place, id=unique(image.rpartition(".")[0] or image),
                media=find_media(root, image), width=width, height=height, elements=tuple(elements),
            )  # fmt: skip
        if rejects:
            yield Record(input=name, rejects=tuple(rejects))


def _add(
    entry: dict[str, Any], place: str, options: Options, shots: dict[str, tuple[list[Element], tuple[int, int]]],
    rejects: list[Reject], file: str,
) -> None:  # fmt: skip
    """Sort the elements of an entry to their screenshot."""
    image = _first(entry, _IMAGE)
    if not isinstance(image, str) or not image:
        rejects.append(_bad(file, place, "image-unnamed", "It names no screenshot."))
        return
    size = entry.get("img_size") or (0, 0)
    items = _first(entry, _ELEMENTS)
    several = isinstance(items, list)
    # ScreenSpot has x, y, width, height; its later relative with img_size, SeeClick and others have corners
    wide = options.boxes == "xywh" or (
        options.boxes == "auto" and not several and "data_source" in entry and "img_size" not in entry
    )
    for number, found in enumerate(items if several else [entry]):
        where = f"{place}.{number}" if several else place
        text, box = (_first(found, _NAME), _first(found, _BOX)) if isinstance(found, dict) else (None, None)
        if not isinstance(text, str) or not text.strip():
            rejects.append(_bad(file, where, "no-instruction", "The element says not what it is for."))
        elif (corners := _corners(box, wide)) is None:
            rejects.append(_bad(file, where, "box-invalid", f"{short(box)} is not a box of four numbers with an area."))
        else:
            elements, _ = shots.setdefault(clean_text(image), ([], (int(size[0]), int(size[1]))))
            shares = not wide and max(corners) <= _SHARES
            elements.append(Element(place=where, name=clean_text(" ".join(text.split())), box=corners, shares=shares))


def _first(entry: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def _corners(box: Any, wide: bool) -> tuple[float, float, float, float] | None:
    if not isinstance(box, list) or len(box) != 4 or not all(type(v) in (int, float) for v in box):
        return None
    x0, y0, x1, y1 = (float(v) for v in box)
    if wide:
        x1, y1 = x0 + x1, y0 + y1
    fine = all(math.isfinite(v) for v in (x0, y0, x1, y1)) and x1 > x0 and y1 > y0
    return (x0, y0, x1, y1) if fine else None


def _bad(file: str, place: str, rule: str, detail: str, sample_id: str | None = None) -> Reject:
    return Reject(input=file, record=place, id=sample_id, level="region", rule=rule, detail=detail)


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample a screenshot, and the rejects of its elements."""
    yield from record.rejects
    if not record.id:
        return
    try:
        picture = load_image(record.media, options, places)
        frame = frame_of(picture, record.width, record.height)
    except RejectedError as error:
        yield Reject(
            input=record.input, record=record.record, id=record.id, level="image", rule=error.rule, detail=error.detail
        )
        return
    regions: list[Region] = []
    for element in record.elements:
        scale = (frame.width, frame.height) * 2 if element.shares else (1, 1, 1, 1)
        x0, y0, x1, y1 = (v * s for v, s in zip(element.box, scale, strict=True))
        box = (max(x0, 0.0), max(y0, 0.0), min(x1, float(frame.width)), min(y1, float(frame.height)))
        if 2 * max(box[2] - box[0], 0) * max(box[3] - box[1], 0) < (x1 - x0) * (y1 - y0):
            detail = f"{element.name[:60]!r} lies mostly outside the {frame.width}x{frame.height} picture."
            yield _bad(record.input, element.place, "box-outside", detail, record.id)
            continue
        x0, y0, x1, y1 = (round(v, 2) for v in box)
        regions.append(frame.region(Region(box=(x0, y0, x1, y1), label=element.name)))
    if not regions:
        detail = "No element of the screenshot can be used."
        yield Reject(
            input=record.input, record=record.record, id=record.id, level="image", rule="no-objects", detail=detail
        )
        return
    yield built(
        record, options, [picture], domain="vision-language", task="gui-grounding", language="en", regions=regions,
        messages=about_image(_turns(record, regions)),
    )  # fmt: skip


def _turns(record: Record, regions: list[Region]) -> list[tuple[str, list[Part]]]:
    """Instructions and boxes, in the order of the file; an instruction that several elements have is asked once."""
    by_name: dict[str, list[int]] = {}
    for number, region in enumerate(regions):
        by_name.setdefault(str(region.label), []).append(number)
    turns: list[tuple[str, list[Part]]] = []
    for number, (name, found) in enumerate(list(by_name.items())[:_MOST_TURNS]):
        question = choose("gui-grounding", "question", record.id, number).format(instruction=name)
        answer: list[Part] = [RegionPart(regions=tuple(found), form="box")]
        turns.append((question, answer))
    return turns
