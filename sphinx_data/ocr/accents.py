"""Accents that a document draws apart from their letters, as TeX does in its oldest fonts: put back upon them.

Such a layer tells "st\u00a8oren", or "storen" and the dots on a line of their own; the picture shows "st\u00f6ren".
"""

import unicodedata

import numpy as np
from numpy.typing import NDArray

# spacing accent -> combining one; some are signs of their own, so only those count that stand upon a letter
_ABOVE = {
    0x5E: 0x302, 0x60: 0x300, 0x7E: 0x303, 0xA8: 0x308, 0xAF: 0x304, 0xB4: 0x301, 0x2C6: 0x302, 0x2C7: 0x30C,
    0x2C9: 0x304, 0x2CA: 0x301, 0x2CB: 0x300, 0x2D8: 0x306, 0x2D9: 0x307, 0x2DA: 0x30A, 0x2DC: 0x303, 0x2DD: 0x30B,
}  # fmt: skip
_BELOW = {0xB8: 0x327, 0x2DB: 0x328}
_DOTLESS = {0x131: "i", 0x237: "j"}
_REACH = 24  # characters around an accent among which its letter is: some come at the end of the word
_GAP = 0.35  # of a letter's height that may lie between it and its accent
_BLANK = 0.25  # of the letters beside it: a narrower gap is no blank
_SUNK = 0.5  # of it, that they may share: accents on capitals, and dots of letters that are not seen


def _table() -> NDArray[np.bool_]:
    table = np.zeros(0x300, np.bool_)
    table[[*_ABOVE, *_BELOW]] = True
    return table


_ACCENTS = _table()


def composed(
    codes: NDArray[np.uint32], boxes: NDArray[np.float64]
) -> tuple[NDArray[np.uint32], NDArray[np.float64], NDArray[np.bool_]]:
    """Codes [N] and boxes [N, 4] of a page with every accent that stands upon a letter put into that letter.

    Also [N] what is left: the accents are gone, and so are blanks that PDFium saw beside them and that are none.
    """
    keep = np.ones(len(codes), np.bool_)
    places = np.flatnonzero((codes < len(_ACCENTS)) & _ACCENTS[np.minimum(codes, len(_ACCENTS) - 1)])
    if not len(places):
        return codes, boxes, keep
    codes, boxes = codes.copy(), boxes.copy()
    for place in places.tolist():
        letter = _letter_of(place, codes, boxes, keep)
        if letter is None:
            continue
        keep[place] = False
        keep[_false_blanks(place, codes, boxes)] = False
        codes[letter] = ord(_joined(int(codes[letter]), int(codes[place])))
        boxes[letter, :2] = np.minimum(boxes[letter, :2], boxes[place, :2])
        boxes[letter, 2:] = np.maximum(boxes[letter, 2:], boxes[place, 2:])
    return codes, boxes, keep


def _letter_of(
    place: int, codes: NDArray[np.uint32], boxes: NDArray[np.float64], keep: NDArray[np.bool_]
) -> int | None:
    """The letter upon which an accent stands, or hangs from; the next one in the text where there are several."""
    x0, y0, x1, y1 = boxes[place].tolist()
    start = max(0, place - _REACH)
    left, top, right, bottom = boxes[start : place + _REACH + 1].T
    middle, height = (x0 + x1) / 2, bottom - top
    fits = (left < middle) & (middle < right) & (height > 0) & (x1 > x0) & (y1 > y0) & keep[start : place + _REACH + 1]
    if int(codes[place]) in _BELOW:
        fits &= (y1 > bottom) & (y0 < bottom + _GAP * height) & (y0 > bottom - _SUNK * height)
    else:
        fits &= (y0 < top) & (y1 > top - _GAP * height) & (y1 < top + _SUNK * height)
    found = (np.flatnonzero(fits) + start).tolist()
    found = [n for n in found if n != place and _joined(int(codes[n]), int(codes[place]))]
    return min(found, key=lambda n: abs(n - place)) if found else None


def _false_blanks(place: int, codes: NDArray[np.uint32], boxes: NDArray[np.float64]) -> list[int]:
    """Blanks beside an accent whose neighbours nearly touch: PDFium saw the way to the accent and back."""
    blanks = [place - 1, place + 1]
    while blanks[0] >= 0 and codes[blanks[0]] == ord(" "):
        blanks.insert(0, blanks[0] - 1)
    while blanks[-1] < len(codes) and codes[blanks[-1]] == ord(" "):
        blanks.append(blanks[-1] + 1)
    before, after = blanks[0], blanks[-1]
    if before < 0 or after == len(codes) or min(codes[before], codes[after]) < ord(" "):
        return []
    height = max(boxes[before, 3] - boxes[before, 1], boxes[after, 3] - boxes[after, 1])
    near = boxes[after, 0] - boxes[before, 2] < _BLANK * height
    return [blank for blank in blanks[1:-1] if blank != place] if near else []


def _joined(letter: int, accent: int) -> str:
    """One letter that has the accent; empty where there is none."""
    base = _DOTLESS.get(letter) or chr(letter)
    mark = _ABOVE.get(accent) or _BELOW[accent]
    whole = unicodedata.normalize("NFC", base + chr(mark)) if base.isalpha() else ""
    return whole if len(whole) == 1 else ""
