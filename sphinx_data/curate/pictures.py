"""Pixels for measures: decoded once a sample, however many measures look at them."""

import threading
import warnings

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sphinx_data.dataset.reader import Example
from sphinx_data.media import DamagedImage

SIDE = 512  # pixels of the longer side that pictures are measured at

Pixels = NDArray[np.uint8]  # [H, W, 3], red, green, blue


class _Last(threading.local):
    """The sample that this thread decoded last."""

    example: Example | None = None
    pixels: tuple[Pixels, ...] = ()


_last = _Last()


def pictures(example: Example) -> tuple[Pixels, ...]:
    """The pictures of a sample at a longer side of `SIDE` pixels. Raises DamagedImage."""
    if _last.example is not example:
        _last.pixels = tuple(_fit(_decode(example, number)) for number in range(len(example.images)))
        _last.example = example
    return _last.pixels


def grey(pixels: Pixels) -> Pixels:
    """Luminance, [H, W]."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _decode(example: Example, number: int) -> Pixels:
    """RGB pixels, transparent ones on white; a large JPEG is decoded at a reduced size that is still above `SIDE`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = example.image(number)
            picture.draft("RGB", (2 * SIDE, 2 * SIDE))
            if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
                layer = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
            return np.asarray(picture.convert("RGB"), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError) as error:
        raise DamagedImage("image-damaged", f"image {number} cannot be decoded: {error}") from None


def _fit(pixels: Pixels) -> Pixels:
    """Enlarged or shrunk to `SIDE`: only pictures of one size can be compared by their edges."""
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=how), dtype=np.uint8)
