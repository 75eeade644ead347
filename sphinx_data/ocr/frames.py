"""Boxes of words by their fonts, as other readers of PDFs tell them: advances, and from ascent to descent.

The ink of "more" is half as high as that of "Type", though both fill a line. What is asked and answered takes these
frames; what is checked against the picture takes the ink.
"""

import numpy as np
from numpy.typing import NDArray

from sphinx_data.ocr.pdf_page import Page

Boxes = NDArray[np.float64]

# In font sizes. Fonts of mathematics tell absurd heights, subsets too low ones; lines are set 1.2 sizes apart.
_HIGHEST, _LOWEST = 1.05, -0.4  # ascent and descent that are believed
_LEAST, _MOST = 1.0, 1.2  # their sum
_GROWN = 1.2  # times that a lower sum is made higher at most: small capitals tell half of a size and have no more ink
_THIN = 0.1  # font sizes; what is lower is no height


def extents_of(boxes: Boxes, starts: NDArray[np.int64]) -> Boxes:
    """[K, 4] extents of the runs of boxes that begin at `starts` [K]."""
    low, high = np.minimum.reduceat(boxes[:, :2], starts), np.maximum.reduceat(boxes[:, 2:], starts)
    return np.concatenate([low, high], axis=1)


def word_frames(
    page: Page,
    places: NDArray[np.int64],
    ink: Boxes,
    words: NDArray[np.int64],
    along_y: NDArray[np.bool_],
    lines: Boxes,
    em: NDArray[np.float64],
) -> Boxes:
    """[W, 4] frames of the words that begin at `words` [W]: on the page, around the ink, no em beyond the line.

    For S solid characters: `places` [S] in the text layer and boxes of the `ink` [S, 4]. For each word: whether its
    line runs along y, the ink of its line in `lines` [W, 4], and the `em` [W] of it.
    """
    asked = places[words]  # the first character of a word tells the height of all; ink tells where the last one ends
    told = page.loose_boxes(asked)
    change, known = _change(page, told, asked)
    if along_y.any():
        change[along_y], known[along_y] = 0.0, True
    told[:, 1::2] += change
    if not known.all():  # as bitmaps in old TeX files: as high as the ink of the line
        told[~known, 1::2] = lines[~known, 1::2]
    own, beyond = extents_of(ink, words), em[:, None]
    found = np.empty_like(own)
    np.fmin(np.maximum(told[:, :2], lines[:, :2] - beyond), own[:, :2], out=found[:, :2])
    np.fmax(np.minimum(told[:, 2:], lines[:, 2:] + beyond), own[:, 2:], out=found[:, 2:])
    np.maximum(found, 0.0, out=found)
    return np.minimum(found, [page.width, page.height] * 2, out=found)


def _change(page: Page, boxes: Boxes, places: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How far top and bottom [K, 2] of font boxes [K, 4] are to move to be `_LEAST` to `_MOST` font sizes apart.

    Also [K] whether the font tells ascent and descent. Equal heights are of one font: each is asked once.
    """
    heights, some, each = np.unique(np.round(boxes[:, 3] - boxes[:, 1], 2), return_index=True, return_inverse=True)
    found = [_moved(*facts) for facts in zip(heights.tolist(), *page.font_reach(places[some]), strict=True)]
    table = np.array(found)[each]
    return table[:, :2], table[:, 2] > 0


def _moved(height: float, ascent: float, descent: float) -> tuple[float, float, bool]:
    """How far top and bottom of a box of `height` pixels move, and whether ascent and descent say anything."""
    up, down = min(ascent, _HIGHEST), max(descent, _LOWEST)
    if ascent - descent < _THIN or up - down < _THIN:
        return 0.0, 0.0, False
    size = height / (ascent - descent)  # pixels
    grown = min(min(max(up - down, _LEAST), _MOST) / (up - down), _GROWN)
    return (ascent - up * grown) * size, (descent - down * grown) * size, True
