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
    # in integers, so that neither sums nor machines can differ: grey levels are 0 to 255
    edges = cv2.Laplacian(grey(pixels), cv2.CV_16S).astype(np.int64)
    tiles = [tile for row in np.array_split(edges, _TILES) for tile in np.array_split(row, _TILES, axis=1) if tile.size]
    return _variance(edges), max(map(_variance, tiles))


def _variance(values: np.ndarray) -> float:
    count, total, squares = values.size, int(values.sum()), int((values * values).sum())
    return round((count * squares - total * total) / (count * count), 3)
