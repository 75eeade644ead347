"""How empty the pictures are: share of pixels near the most frequent colour; the emptiest picture counts."""

import math

import cv2
import numpy as np
import pyarrow as pa

from sphinx_data.curate.pictures import Pixels, grey, pictures
from sphinx_data.dataset.reader import Example

PICTURES = True
SCHEMA = pa.schema([("score", pa.float64()), ("entropy", pa.float64())])
LEVELS = 8  # how far red, green and blue may each lie from the most frequent colour


def measure(example: Example) -> dict[str, float]:
    """`score`, 0 to 1, the largest, and `entropy` of the grey levels in bits, the smallest over the pictures."""
    found = pictures(example)
    if not found:
        return {}
    return {"score": max(map(_share, found)), "entropy": min(map(_entropy, found))}


def _share(pixels: Pixels) -> float:
    """Pixels within `LEVELS` of the most frequent colour: the mean of the fullest of 16^3 cells."""
    red, green, blue = np.moveaxis(pixels.astype(np.uint16) >> 4, 2, 0)
    fullest = int(np.bincount((red << 8 | green << 4 | blue).ravel(), minlength=4096).argmax())
    corner = np.array([fullest >> 8, fullest >> 4 & 15, fullest & 15]) * 16
    centre = np.rint(cv2.mean(pixels, mask=cv2.inRange(pixels, corner, corner + 15))[:3])
    near = cv2.inRange(pixels, np.maximum(centre - LEVELS, 0), np.minimum(centre + LEVELS, 255))
    return round(cv2.countNonZero(near) / near.size, 6)


def _entropy(pixels: Pixels) -> float:
    counts = np.bincount(grey(pixels).ravel(), minlength=256)
    shares = [count / counts.sum() for count in counts.tolist() if count]
    return round(math.fsum(share * math.log2(1 / share) for share in shares), 6)
