"""Code points of a text layer: what is a letter, a blank, nothing at all, or a glyph without a name."""

import re
import unicodedata

import numpy as np
from numpy.typing import NDArray

from sphinx_data.ocr.pdf_page import NAMELESS, Characters

HYPHEN = 0x02  # PDFium's code for a hyphen at a line end

_SOFT_HYPHEN = 0xAD
_INK = 0.5  # pixels; a smaller extent is rounding


def code_points(characters: Characters) -> tuple[NDArray[np.uint32], NDArray[np.float64], NDArray[np.int64]]:
    """One code point an element: surrogate halves joined (boxes too), lone halves marked, format characters gone.

    Gives codes [M], boxes [M, 4] and the position [M] of each in the text layer.
    """
    codes, boxes = characters.codes.copy(), characters.boxes
    keep = np.ones(len(codes), np.bool_)
    if codes.max(initial=0) >= 0xD800:
        boxes = boxes.copy()
        keep[_join(codes, boxes) + 1] = False
    # a blank, line end or control with ink is a glyph that the font names wrongly (U+0002 and U+00AD are real hyphens)
    odd = np.flatnonzero(_ODD[np.minimum(codes, _ODD.size - 1)])
    sides = boxes[odd, 2:] - boxes[odd, :2]
    inked = odd[(sides > _INK).all(axis=1)]
    codes[inked] = np.where(codes[inked] == _SOFT_HYPHEN, ord("-"), NAMELESS)
    keep[odd] &= ~_FORMAT[np.minimum(codes[odd], _FORMAT.size - 1)]
    if keep.all():
        return codes, boxes, np.arange(len(codes))
    places = np.flatnonzero(keep)
    return codes[places], boxes[places], places


def _join(codes: NDArray[np.uint32], boxes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Make one of surrogate pairs, in the place of the first half, and mark lone ones; returns the places."""
    high = (codes >= 0xD800) & (codes < 0xDC00)
    low = (codes >= 0xDC00) & (codes < 0xE000)
    pair = np.flatnonzero(high[:-1] & low[1:])
    codes[pair] = 0x10000 + ((codes[pair] - 0xD800) << 10) + (codes[pair + 1] - 0xDC00)
    boxes[pair, :2] = np.minimum(boxes[pair, :2], boxes[pair + 1, :2])
    boxes[pair, 2:] = np.maximum(boxes[pair, 2:], boxes[pair + 1, 2:])
    lone = high | low
    lone[pair] = False
    lone[pair + 1] = False
    codes[lone | (codes > 0x10FFFF)] = NAMELESS
    return pair


def is_blank(codes: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Blanks that separate words."""
    return _BLANK[np.minimum(codes, _BLANK.size - 1)]


def is_right_to_left(codes: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Hebrew, Arabic, Syriac, Thaana, N'Ko and their presentation forms."""
    return ((codes >= 0x590) & (codes < 0x900)) | ((codes >= 0xFB1D) & (codes < 0xFE00)) | (
        (codes >= 0xFE70) & (codes < 0xFEFF)
    )  # fmt: skip


def is_unspaced(letter: str) -> bool:
    """Whether a script that writes no blanks between words uses this letter: kana, ideographs and their punctuation."""
    spans = ((0x3000, 0xA000), (0xF900, 0xFB00), (0xFF00, 0xFFF0), (0x20000, 0x40000))
    return bool(letter) and any(first <= ord(letter) < beyond for first, beyond in spans)


def plain(text: str) -> str:
    """Blanks to single spaces; ligatures, presentation forms and radicals to the letters they stand for."""
    return " ".join((text if text.isascii() else _TO_EXPAND.sub(_expanded, text)).split())


def _expanded(form: re.Match[str]) -> str:
    return _EXPANSIONS[form[0]]


def decode(codes: NDArray[np.uint32]) -> str:
    """Codes to text of equal length, so that positions still hold; all blanks become spaces."""
    points = np.where(codes == HYPHEN, ord("-"), codes).astype("<u4")
    points[is_blank(codes)] = ord(" ")
    return points.tobytes().decode("utf-32-le")


def _flags(*spans: tuple[int, int]) -> NDArray[np.bool_]:
    table = np.zeros(0x10000, np.bool_)
    for first, last in spans:
        table[first : last + 1] = True
    table[-1] = False  # everything beyond is looked up here
    return table


# Blanks that separate words.
_BLANK = _flags(
    (0x09, 0x09), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x202F, 0x202F), (0x205F, 0x205F),
    (0x3000, 0x3000),
)  # fmt: skip
# Characters that draw nothing and separate nothing; joiners stay, they shape letters.
_FORMAT = _flags(
    (0, 0), (0xAD, 0xAD), (0x200B, 0x200B), (0x200E, 0x200F), (0x202A, 0x202E), (0x2060, 0x2064), (0x2066, 0x206F),
    (0xFEFF, 0xFEFF),
)  # fmt: skip
# Codes that never draw: with ink they are something else. The ideographic space is left out, OCR programs give it ink.
_INKLESS = (_BLANK | _FORMAT | _flags((0, 1), (3, 0x1F), (0x7F, 0x9F))) & ~_flags(
    (_SOFT_HYPHEN, _SOFT_HYPHEN), (0x3000, 0x3000)
)
_ODD = _INKLESS | _FORMAT


def _expansions() -> dict[str, str]:
    """Latin and Arabic presentation forms and Kangxi radicals: glyphs, where text has letters."""
    spans = [(0xFB00, 0xFB06), (0xFB13, 0xFB17), (0xFB1D, 0xFDFB), (0xFE70, 0xFEFC), (0x2F00, 0x2FD5)]
    forms = (code for first, last in spans for code in range(first, last + 1))
    return {form: plain for form in map(chr, forms) if (plain := unicodedata.normalize("NFKC", form)) != form}


_EXPANSIONS = _expansions()
_TO_EXPAND = re.compile(f"[{''.join(_EXPANSIONS)}]")  # ten times as fast as `str.translate` where there are none
