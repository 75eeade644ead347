"""How empty the pictures are: share of pixels near the most frequent colour; the emptiest picture counts."""

import math

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
    colours = pixels.reshape(-1, 3)
    cells = (colours >> 4).astype(np.int32) @ np.array([256, 16, 1], dtype=np.int32)
    fullest = colours[cells == np.bincount(cells, minlength=4096).argmax()].astype(np.int64)
    centre = np.rint(fullest.sum(axis=0) / len(fullest)).astype(np.int16)
    near = (np.abs(colours.astype(np.int16) - centre) <= LEVELS).all(axis=1)
    return round(int(near.sum()) / len(colours), 6)


def _entropy(pixels: Pixels) -> float:
    counts = np.bincount(grey(pixels).ravel(), minlength=256)
    shares = [count / counts.sum() for count in counts.tolist() if count]
    return round(math.fsum(share * math.log2(1 / share) for share in shares), 6)
