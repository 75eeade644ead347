"""One COCO annotation -> one `Region`: boxes clipped, polygons and both run-length forms checked, keypoints kept."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np

from sphinx_data import rle
from sphinx_data.convert._common import RejectedError, short
from sphinx_data.sample import Mask, Region

_SLACK = 1.0  # pixels outside the picture that count as rounding
_DECIMALS = 2


class Converted(NamedTuple):
    """A region and whether its box stuck out of the picture by more than a pixel."""

    region: Region
    clipped: bool
    area: float  # square pixels, as annotated, else of the box
    validated: bool = False  # in a picture of the annotation's size; see `Built.validated`


def coco_region(annotation: dict[str, Any], label: str, width: int, height: int) -> Converted:
    """The region of an annotation in a picture of this size. Raises RejectedError with the reason to drop it."""
    polygon, mask = _segmentation(annotation.get("segmentation"), width, height)
    box = _box(annotation.get("bbox"))
    if box is None:
        box = _outline(polygon, mask, height)
    inside, clipped = _clip(box, width, height)
    area = _number(annotation.get("area"))
    region = Region(
        box=inside,
        polygon=tuple(_clamp(ring, width, height) for ring in polygon) or None,
        keypoints=_keypoints(annotation.get("keypoints"), width, height),
        mask=mask,
        label=label,
    )
    return Converted(region, clipped, area or (inside[2] - inside[0]) * (inside[3] - inside[1]))


@lru_cache(maxsize=4096)
def _decoder_within(reach: int) -> Callable[[bytes], Any]:
    """Decodes what most annotations are: a box, perhaps rings, of numbers that are from 0 to `reach`."""
    number = Annotated[float, msgspec.Meta(ge=0, le=reach)]
    ring = Annotated[tuple[number, ...], msgspec.Meta(min_length=6)]
    usual = msgspec.defstruct(
        "Usual",
        [
            ("bbox", tuple[number, number, number, number]),
            ("segmentation", tuple[ring, ...], ()),
            ("area", float, 0.0),
            ("iscrowd", int, 0),
            ("keypoints", None, None),
        ],
        gc=False,
    )
    return msgspec.json.Decoder(usual).decode


def usual_region(raw: bytes, label: str, width: int, height: int) -> Converted | None:
    """What `coco_region` gives, several times faster, for an annotation that needs no mending and is no crowd.

    Else None. `raw` is its JSON; `width` and `height` of the picture and all coordinates are pixels. The region is
    `Built.validated`.
    """
    try:
        found = _decoder_within(width if width > height else height)(raw)
    except (msgspec.MsgspecError, UnicodeError):
        return None
    x0, y0, w, h = found.bbox
    x1, y1 = x0 + w, y0 + h
    if found.iscrowd or x1 > width or y1 > height or x1 - x0 < 1 or y1 - y0 < 1:
        return None
    rings = found.segmentation
    for ring in rings:
        if len(ring) % 2 or not _is_rounded(ring):
            return None
        if width != height and max(ring[width > height :: 2]) > (height if width > height else width):
            return None
    box = (_round(x0), _round(y0), _round(x1), _round(y1))
    region = Region(box=box, polygon=rings or None, label=label)
    return Converted(region, False, found.area or (box[2] - box[0]) * (box[3] - box[1]), validated=True)


def _is_rounded(ring: Sequence[float]) -> bool:
    """Most sets are published with two decimals; a ring that begins with them has them all."""
    return _round(ring[0]) == ring[0] and _round(ring[1]) == ring[1]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _numbers(values: Any) -> list[float] | None:
    """A list of finite numbers, or None."""
    if not isinstance(values, list):
        return None
    kinds = set(map(type, values))
    if kinds <= {int, float}:  # the usual case; a sum shows NaN and infinity
        try:
            if math.isfinite(sum(values)):
                return values if kinds == {float} else [float(value) for value in values]
        except OverflowError:
            return None
    numbers = [number for value in values if (number := _number(value)) is not None]
    return numbers if len(numbers) == len(values) else None


def _box(value: Any) -> tuple[float, float, float, float] | None:
    if value is None or value == []:
        return None
    numbers = _numbers(value)
    if numbers is None or len(numbers) != 4:
        raise RejectedError("box-invalid", f"bbox {short(value)} is not four finite numbers.")
    x, y, w, h = numbers
    if w <= 0 or h <= 0:
        raise RejectedError("box-empty", f"bbox {short(value)} has no area.")
    return x, y, x + w, y + h


def _clip(box: tuple[float, ...], width: int, height: int) -> tuple[tuple[float, float, float, float], bool]:
    """The part of a box inside the picture. A box that lies mostly outside is a mistake, not an overhang."""
    x0, y0, x1, y1 = box
    if x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height and x1 - x0 >= 1 and y1 - y0 >= 1:  # the usual case
        return (_round(x0), _round(y0), _round(x1), _round(y1)), False
    inside = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    kept = max(inside[2] - inside[0], 0.0) * max(inside[3] - inside[1], 0.0)
    if 2 * kept < (x1 - x0) * (y1 - y0):
        where = ", ".join(f"{value:g}" for value in box)
        raise RejectedError("box-outside", f"Box [{where}] lies mostly outside the {width}x{height} picture.")
    rounded = (_round(inside[0]), _round(inside[1]), _round(inside[2]), _round(inside[3]))
    if rounded[0] >= rounded[2] or rounded[1] >= rounded[3]:
        raise RejectedError("box-empty", "The box has no area inside the picture.")
    return rounded, max(-x0, -y0, x1 - width, y1 - height) > _SLACK


def _round(value: float) -> float:
    """To two decimals, as `round` does, several times faster where there are no more of them but for float noise."""
    if value >= 0.01:
        near = int(value * 100 + 0.5) / 100
        if -1e-6 < near - value < 1e-6:
            return near
    return round(value, _DECIMALS)


def _clamp(ring: Sequence[float], width: int, height: int) -> tuple[float, ...]:
    rounded = ring if _is_rounded(ring) else np.round(ring, _DECIMALS).tolist()
    if min(rounded) >= 0 and max(rounded[::2]) <= width and max(rounded[1::2]) <= height:
        return tuple(rounded)
    limits = (float(width), float(height))
    return tuple(_round(min(max(value, 0.0), limits[index % 2])) for index, value in enumerate(ring))


def _segmentation(value: Any, width: int, height: int) -> tuple[list[list[float]], Mask | None]:
    """Polygon rings, or a mask, or neither where there is only a box."""
    if not value:
        return [], None
    if isinstance(value, dict):
        return [], _mask(value, width, height)
    if not isinstance(value, list):
        raise RejectedError("segmentation-invalid", f"segmentation {short(value)} is neither rings nor a mask.")
    rings = [value] if not isinstance(value[0], list) else value  # some tools write one bare ring
    checked = []
    for ring in rings:
        numbers = _numbers(ring)
        if numbers is None or len(numbers) < 6 or len(numbers) % 2:
            raise RejectedError("segmentation-invalid", f"Ring {short(ring)} is not at least three points.")
        checked.append(numbers)
    return checked, None


def _mask(value: dict[str, Any], width: int, height: int) -> Mask:
    size, counts = value.get("size"), value.get("counts")
    if size != [height, width]:
        raise RejectedError("mask-size", f"The mask's size {short(size)} is not the picture's [{height}, {width}].")
    try:
        if isinstance(counts, str):
            runs = rle.check(rle.parse(counts), height, width)
        else:
            numbers = _numbers(counts)
            if numbers is None or any(number != int(number) for number in numbers):
                raise ValueError("The mask's counts are neither a string nor whole numbers.")
            runs = rle.check(np.array(numbers, np.float64).astype(np.int64), height, width)
            counts = rle.write(runs)
    except ValueError as error:
        raise RejectedError("mask-invalid", str(error)) from None
    if rle.area(runs) == 0:
        raise RejectedError("mask-empty", "The mask has no pixel inside.")
    return Mask(size=(height, width), counts=counts)


def _outline(polygon: list[list[float]], mask: Mask | None, height: int) -> tuple[float, float, float, float]:
    """The box of a segmentation, for annotations without one."""
    if polygon:
        xs = [x for ring in polygon for x in ring[::2]]
        ys = [y for ring in polygon for y in ring[1::2]]
        if min(xs) < max(xs) and min(ys) < max(ys):
            return min(xs), min(ys), max(xs), max(ys)
    if mask and (box := rle.bounds(rle.parse(mask.counts), height)):
        return float(box[0]), float(box[1]), float(box[2]), float(box[3])
    raise RejectedError("box-missing", "The annotation has neither a box nor a segmentation with an area.")


def _keypoints(value: Any, width: int, height: int) -> tuple[tuple[float, float, int], ...] | None:
    """COCO's flat x, y, visibility triples; None without a labelled one. An unlabelled point keeps its place."""
    if not value:
        return None
    numbers = _numbers(value)
    if numbers is None or len(numbers) % 3:
        raise RejectedError("keypoints-invalid", f"keypoints {short(value)} are not triples of numbers.")
    points: list[tuple[float, float, int]] = []
    for x, y, v in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        if v not in (0, 1, 2):
            raise RejectedError("keypoints-invalid", f"A keypoint has visibility {v:g}; 0, 1 and 2 are defined.")
        if v == 0:
            points.append((0.0, 0.0, 0))
        elif -_SLACK <= x <= width + _SLACK and -_SLACK <= y <= height + _SLACK:
            points.append((_round(min(max(x, 0.0), float(width))), _round(min(max(y, 0.0), float(height))), int(v)))
        else:
            raise RejectedError(
                "keypoints-outside", f"Keypoint ({x:g}, {y:g}) is outside the {width}x{height} picture."
            )
    return tuple(points) if any(v for _, _, v in points) else None
