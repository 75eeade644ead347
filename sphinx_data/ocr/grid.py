"""Lines of a listing, whose letters stand in columns: the blanks that PDFium sees between narrow letters are none."""

import string
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sphinx_data.ocr.symbols import ascii_flags

_FEW_LETTERS = 8  # pairs of letters; fewer do not show that a line is on a grid
_EVEN = 0.08  # spread of the distances of letters on a grid, as a share of their mean ...
_UNEVEN = 0.15  # ... or this, where blanks are parted clearly: running text has 0.11 to 0.2
_SLIM = ascii_flags("fijlrtI")  # letters that stand closer where there is no grid
_SLIM_PITCH = 0.93  # distance of pairs with one of these, as a share of the mean of all
_STEP = (0.7, 1.2)  # distances that are one column: ink does not lie in the middle of every letter
_WIDE = 1.7  # distances over true blanks, which fill a column; those of running text lie between
_FIT = ascii_flags(string.ascii_letters + string.digits + "./:-_")  # beside false blanks


def followed_by_none(
    codes: NDArray[np.uint32],
    boxes: NDArray[np.float64],
    breaks: NDArray[np.bool_],
    steps: NDArray[np.int64],
    starts: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Which solid characters are followed by blanks that are none: of the next letter but one step of a grid away.

    Listings set every letter in a column of its own, and PDFium takes the air around narrow letters for blanks. A line
    is on a grid where its letters lie at equal distances; a true blank fills a column there. `steps` [S - 1] is 1 where
    nothing stands between a character and the next, lines begin at `starts`.
    """
    distance = np.diff((boxes[:, 0] + boxes[:, 2]) / 2)
    letter = ((codes | 0x20) >= ord("a")) & ((codes | 0x20) <= ord("z"))
    told = letter[1:] & letter[:-1] & ~breaks & (steps == 1)

    def sums(of: NDArray[np.bool_], values: NDArray[Any] | float = 1.0) -> NDArray[np.float64]:
        padded = np.zeros(len(of) + 1)
        np.multiply(of, values, out=padded[:-1])
        return np.add.reduceat(padded, starts)

    count = np.maximum(sums(told), 1)
    pitch = sums(told, distance) / count
    spread = np.sqrt(np.maximum(sums(told, distance * distance) / count - pitch * pitch, 0))
    regular = (count >= _FEW_LETTERS) & (spread < _UNEVEN * pitch)
    if not regular.any():
        return np.empty(0, np.int64)
    blanks = np.flatnonzero((steps > 1) & ~breaks & (codes[1:] < 128) & (codes[:-1] < 128))
    line = np.searchsorted(starts, blanks, "right") - 1
    columns = distance[blanks] / np.maximum(pitch, 1e-6)[line]

    def counts(of: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(line[of], minlength=len(starts))

    parted = (counts(columns > _WIDE) > 1) & (counts((columns > _STEP[1]) & (columns <= _WIDE)) == 0)
    even = spread < _EVEN * pitch
    if (even & regular).any():
        slim = _SLIM[np.minimum(codes, 128)]
        slim_told = told & (slim[1:] | slim[:-1])
        even &= sums(slim_told, distance) / np.maximum(sums(slim_told), 1) > _SLIM_PITCH * pitch
    on_grid = regular & (even | parted)
    found = blanks[on_grid[line] & (columns > _STEP[0]) & (columns < _STEP[1])]
    before, after = codes[found], codes[found + 1]
    digit, letter = (before >= ord("0")) & (before <= ord("9")), letter[found + 1]
    beside = _FIT[before] & _FIT[after] & ~(digit & letter)  # numbers of lines stand apart
    return found[beside & ~((before == ord(".")) & (after == ord(".")))]  # leaders
