"""How sharp the pictures are: variance of the Laplacian at 512 pixels; the least sharp picture counts."""

import cv2
import numpy as np
import pyarrow as pa

from sphinx_data.curate.pictures import Pixels, grey, pictures
from sphinx_data.dataset.reader import Example

PICTURES = True
SCHEMA = pa.schema([("score", pa.float64()), ("peak", pa.float64())])
_TILES = 4  # a side


def measure(example: Example) -> dict[str, float]:
    """`score` of the whole picture and `peak` of its sharpest sixteenth, each the smallest over the pictures."""
    found = [_sharpness(pixels) for pixels in pictures(example)]
    if not found:
        return {}
    return {"score": min(whole for whole, _ in found), "peak": min(peak for _, peak in found)}


def _sharpness(pixels: Pixels) -> tuple[float, float]:
    # whole numbers far below 2^53: neither the order of a sum nor the machine can change a digit
    edges = cv2.Laplacian(grey(pixels), cv2.CV_16S).astype(np.float64)
    tiles = [
        (tile.size, int(tile.sum()), int(np.square(tile).sum()))
        for row in np.array_split(edges, _TILES)
        for tile in np.array_split(row, _TILES, axis=1)
        if tile.size
    ]
    count, total, squares = (sum(values) for values in zip(*tiles, strict=True))
    return _variance(count, total, squares), max(_variance(*tile) for tile in tiles)


def _variance(count: int, total: int, squares: int) -> float:
    return round((count * squares - total * total) / (count * count), 3)
