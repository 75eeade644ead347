"""Regions drawn on a picture: boxes, polygons, masks, keypoints, points and marks, for people to look at.

Sizes follow from the picture, colours from the region's number; text and its ground always contrast by 4.5 or more.
"""

import io
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from textwrap import shorten

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sphinx_data import rle
from sphinx_data.sample import Region

Colour = tuple[int, int, int]

_LONGEST_LABEL = 24  # characters
_MANY = 20  # regions, from which labels hide too much

# Told apart in normal and in colour-blind sight (after Okabe and Ito), and from most photographs.
PALETTE: tuple[Colour, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
    (160, 32, 240), (0, 255, 0), (255, 0, 0), (0, 255, 255), (255, 0, 255),
)  # fmt: skip
_TINT = 0.35


def contrast(one: Colour, other: Colour) -> float:
    """WCAG contrast ratio, 1 to 21."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Colour) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def text_colour(ground: Colour) -> Colour:
    """Black or white, whichever reads better; one of them always has a contrast of at least 4.58."""
    black, white = (0, 0, 0), (255, 255, 255)
    return black if contrast(black, ground) >= contrast(white, ground) else white


def font_size(width: int, height: int) -> int:
    """Pixels of the letters in a picture of this size."""
    return max(11, round(max(width, height) / 45))


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans Bold with the letters of Latin, Greek and Cyrillic scripts, as it comes with this package."""
    data = files("sphinx_data").joinpath("fonts", "DejaVuSans-Bold.ttf").read_bytes()
    return ImageFont.truetype(io.BytesIO(data), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=4096)
def label_size(text: str, size: int) -> tuple[int, int]:
    """Width and height in pixels of a drawn label: letters of `size` with their ground."""
    left, top, right, bottom = font(size).getbbox(text)
    pad = _pad(size)
    return int(right - left) + 2 * pad + 1, int(bottom - top) + 2 * pad + 1


def _pad(size: int) -> int:
    return max(2, size // 6)


def draw_regions(picture: Image.Image, regions: Sequence[Region], image: int = 0) -> Image.Image:
    """A copy of a picture, RGB, with the regions of that image: tints first, then lines, then labels, marks on top.

    Marked regions get their mark at its point. Others have their label above the box or, where the picture shows what
    they say, their number on its left, off the lines above. Many regions are drawn with smaller letters.
    """
    canvas = _opaque(picture)
    size = font_size(*canvas.size)
    if len(regions) > _MANY:
        size = max(11, size // 2)
    line = max(1, size // 7)
    chosen = [
        (
            PALETTE[number % len(PALETTE)],
            region,
            region.label or (str(number) if region.text else ""),
        )
        for number, region in enumerate(regions)
        if region.image == image
    ]
    pixels = np.array(canvas)
    for colour, region, _ in chosen:
        _tint(pixels, region, colour)
    canvas = Image.fromarray(pixels)
    draw = ImageDraw.Draw(canvas)
    for colour, region, _ in chosen:
        _outline(draw, region, colour, line)
    for colour, region, text in chosen:
        if region.mark is None and text:
            text = shorten(text, _LONGEST_LABEL, placeholder="...")
            width, height = label_size(text, size)
            x0, y0, _, y1 = region.box
            place = (x0 + width / 2, y0 - height / 2) if region.label else (x0 - width / 2, (y0 + y1) / 2)
            draw_label(draw, text, place, colour, size, canvas.size)
    for colour, region, _ in chosen:
        if region.mark is not None:
            x0, y0, x1, y1 = region.box
            draw_label(draw, region.mark, region.point or ((x0 + x1) / 2, (y0 + y1) / 2), colour, size, canvas.size)
    return canvas


def _opaque(picture: Image.Image) -> Image.Image:
    """RGB, with transparent pictures on white, as the model sees them."""
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return picture.convert("RGB")


def label_box(text: str, centre: tuple[float, float], size: int, canvas: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where a label around a point is drawn: x0, y0, x1, y1 in whole pixels, moved inside the picture."""
    width, height = label_size(text, size)
    x0 = min(max(round(centre[0] - width / 2), 0), max(canvas[0] - width, 0))
    y0 = min(max(round(centre[1] - height / 2), 0), max(canvas[1] - height, 0))
    return x0, y0, x0 + width, y0 + height


def draw_label(
    draw: ImageDraw.ImageDraw, text: str, centre: tuple[float, float], ground: Colour, size: int,
    canvas: tuple[int, int],
) -> None:  # fmt: skip
    """Text on a filled rectangle around a point; draws inside `label_box`."""
    x0, y0, x1, y1 = label_box(text, centre, size, canvas)
    draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=ground)
    left, top, _, _ = font(size).getbbox(text)
    draw.text((x0 + _pad(size) - left, y0 + _pad(size) - top), text, fill=text_colour(ground), font=font(size))


def _tint(pixels: np.ndarray, region: Region, colour: Colour) -> None:
    """Mix a colour into the pixels, uint8 [height, width, 3], of a mask or polygon."""
    height, width = pixels.shape[:2]
    if region.mask is not None:
        try:
            runs = rle.check(rle.parse(region.mask.counts), height, width)
        except ValueError:  # drawing is for looking at damaged data too
            return
        box = rle.bounds(runs, height)
        inside = None if box is None else rle.window(runs, height, box)
    elif region.polygon is not None:
        box, inside = _polygon_window(region.polygon, width, height)
    else:
        return
    if box is not None and inside is not None:
        view = pixels[box[1] : box[3], box[0] : box[2]]
        view[inside] = (view[inside] * (1 - _TINT) + np.array(colour) * _TINT).astype(np.uint8)


def _polygon_window(
    rings: Sequence[Sequence[float]], width: int, height: int
) -> tuple[tuple[int, int, int, int], np.ndarray]:
    xs = [x for ring in rings for x in ring[::2]]
    ys = [y for ring in rings for y in ring[1::2]]
    x0, y0 = int(min(xs)), int(min(ys))
    x1, y1 = min(int(max(xs)) + 1, width), min(int(max(ys)) + 1, height)
    layer = Image.new("1", (max(x1 - x0, 1), max(y1 - y0, 1)))
    draw = ImageDraw.Draw(layer)
    for ring in rings:
        draw.polygon([(x - x0, y - y0) for x, y in zip(ring[::2], ring[1::2], strict=True)], fill=1)
    return (x0, y0, x0 + layer.width, y0 + layer.height), np.array(layer)


def _outline(draw: ImageDraw.ImageDraw, region: Region, colour: Colour, line: int) -> None:
    if region.polygon is not None:
        for ring in region.polygon:
            points = list(zip(ring[::2], ring[1::2], strict=True))
            draw.line([*points, points[0]], fill=colour, width=line)
    x0, y0, x1, y1 = region.box
    draw.rectangle((x0, y0, max(x1 - 1, x0), max(y1 - 1, y0)), outline=colour, width=line)
    for x, y, visibility in region.keypoints or ():
        if visibility:
            _dot(draw, x, y, 2 * line, colour, hollow=visibility == 1)
    if region.point is not None and region.mark is None:
        _dot(draw, *region.point, 3 * line, colour)


def _dot(draw: ImageDraw.ImageDraw, x: float, y: float, radius: int, colour: Colour, hollow: bool = False) -> None:
    place = (x - radius, y - radius, x + radius, y + radius)
    draw.ellipse(place, fill=None if hollow else colour, outline=colour if hollow else (0, 0, 0))
