"""Small pictures for a page, and outlines of masks to draw on them."""

import base64
import io
import warnings

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sphinx_data import rle
from sphinx_data.media import BOMB_PIXELS
from sphinx_data.sample import Region, Struct

LARGEST_SIDE = 1024  # pixels; what is written on a page can be read, where the bytes allow it
SIDE = 384  # where few bytes are allowed
_PLENTY = 40_000  # bytes
_QUALITY = 78
_SMALLEST_SIDE = 64
_TOLERANCE = 0.01  # of the region's longer side: how far its outline may move
_FEW_POINTS, _MANY_POINTS = 12, 40  # an outline of few is kept as it is, none has more than many

Ring = tuple[float, ...]  # x0, y0, x1, y1, ...


class Thumbnail(Struct, frozen=True, kw_only=True):
    """A small JPEG as base64, or, when it cannot be made, why."""

    data: str = ""
    width: int = 0  # pixels of the stored picture
    height: int = 0
    problem: str = ""


def thumbnail(encoded: bytes | memoryview, allowed: int) -> Thumbnail:
    """A JPEG of at most `allowed` bytes where the picture gives one of 64 pixels; damage becomes a sentence."""
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(encoded)) as picture:
            warnings.simplefilter("ignore")
            width, height = picture.size
            if width * height > BOMB_PIXELS:
                return Thumbnail(problem=f"This picture is too large to be shown: {width} x {height} pixels.")
            picture.draft("RGB", (LARGEST_SIDE, LARGEST_SIDE))  # a JPEG is decoded at half or less where that is enough
            small = _opaque(picture)
    except Exception as error:  # Pillow raises errors of every class for damaged bytes
        return Thumbnail(problem=f"This picture cannot be decoded: {type(error).__name__}: {error}"[:300])
    side = LARGEST_SIDE if allowed > _PLENTY else SIDE
    while True:
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        small.save(file, "JPEG", quality=_QUALITY, optimize=True)
        if file.tell() <= allowed or side <= _SMALLEST_SIDE:
            return Thumbnail(data=base64.b64encode(file.getvalue()).decode(), width=width, height=height)
        side = side * 3 // 4 if file.tell() < 3 * allowed else side // 2


def _opaque(picture: Image.Image) -> Image.Image:
    """RGB, with transparent pictures on white."""
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    if picture.mode.startswith("I;16") or picture.mode == "I":
        return Image.fromarray((np.asarray(picture) / 257).clip(0, 255).astype(np.uint8)).convert("RGB")
    return picture.convert("RGB")


def outline(region: Region) -> tuple[Ring, ...]:
    """The region's polygon, else the outline of its mask; nothing where it has neither, or the mask is damaged."""
    if region.polygon is not None:
        return tuple(
            _simpler(np.array(ring, np.float32).reshape(-1, 1, 2))
            for ring in region.polygon
            if len(ring) > 5 and len(ring) % 2 == 0
        )
    if region.mask is None:
        return ()
    height, width = region.mask.size
    if not 0 < height * width <= BOMB_PIXELS:
        return ()
    try:
        mask = rle.to_array(region.mask).astype(np.uint8)
    except ValueError:
        return ()
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return tuple(_simpler(ring.astype(np.float32) + 0.5) for ring in found if len(ring) > 2)


def _simpler(points: NDArray[np.float32]) -> Ring:
    """A ring, float32 [N, 1, 2], with fewer points where that does not show."""
    tolerance = _TOLERANCE * float((points.max(axis=(0, 1)) - points.min(axis=(0, 1))).max())
    if len(points) > _FEW_POINTS:
        points = cv2.approxPolyDP(points, tolerance, True).astype(np.float32)
    while len(points) > _MANY_POINTS:
        tolerance *= 1.5
        points = cv2.approxPolyDP(points, tolerance, True).astype(np.float32)
    return tuple(round(number, 1) for number in points.reshape(-1).tolist())
