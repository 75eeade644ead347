"""Characters of a page -> lines -> blocks in reading order. All geometry is in pixels of the rendered page."""

import re
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sphinx_data.ocr.accents import composed
from sphinx_data.ocr.frames import extents_of, word_frames
from sphinx_data.ocr.grid import followed_by_none
from sphinx_data.ocr.letters import HYPHEN, code_points, decode, is_blank, is_right_to_left, is_unspaced, plain
from sphinx_data.ocr.order import reading_order
from sphinx_data.ocr.pdf_page import Characters, Page

# Thresholds in em, i.e. in ascent-to-descent heights of the line.
_WIDE_GAP = 2.0  # a wider gap inside a row separates columns or cells
_BACKWARD = 0.5  # a left-to-right line never steps back this far
_OFF_LINE = 0.6  # ink further above or below than this belongs to another line
_BLOCK_GAP = 0.75  # a wider gap between lines separates blocks
_LONG_LINE = 10.0  # a line of a paragraph is longer than this
_FEW_GAPS = 4  # fewer tell no spacing
_WIDEST_SPACING = 2.5  # a wider gap between lines is none of a paragraph
_LOW_SIGN = 0.3  # of the height of the highest letter of a line: lower ones tell nothing of its height
_SAME_LINE = 0.6  # a narrower gap between pieces that stand beside each other makes them one line ...
_SIGN_GAP = 2.0  # ... or this far behind the sign of a list item that was drawn alone
_SIGN = re.compile(r"[\u2022\u2023\u25aa-\u25ff\u2013\u2014\-\u00b7\u2219]")
_WORD_GAP = 0.12  # ... with a blank between them from this width on
_SAME_SIZE = 1.35  # ratio of heights from which two lines are of different kinds


_FEWEST_DOTS = 5
LEADERS = re.compile(rf"(?:[.\u00b7\u2026\u2024]\s?){{{_FEWEST_DOTS},}}")  # dots that lead the eye to a page number
LEADER = "...."  # how they are written

Box = tuple[float, float, float, float]


class Line(NamedTuple):
    """One line of text, or the part of it in one column or cell."""

    text: str  # as seen: a hyphen at the end is kept
    box: tuple[float, float, float, float]  # x0, y0, x1, y1 of the ink, not clipped
    frame: tuple[float, float, float, float]  # what is stored: with the ink, from the font's ascent to its descent
    em: float  # ascent to descent
    vertical: bool  # the characters follow each other along y
    rtl: bool  # mostly right-to-left letters
    hyphenated: bool  # ends inside a word
    first: int  # position of its first character in the text layer
    score: float | None = None  # confidence of the OCR engine that read it; None for a text layer
    bold: bool = False  # begins in a bold font
    words: tuple[Box, ...] = ()  # frames of the words of `text`; empty where they are not known


class PageText(NamedTuple):
    """The text of a page."""

    lines: tuple[Line, ...]  # in reading order
    blocks: tuple[tuple[int, int], ...]  # ranges [start, end) of lines that belong together, in reading order


def page_text(page: Page, characters: Characters) -> PageText:
    """Lines and blocks of a page in reading order; empty where the text layer holds nothing visible."""
    return arrange(lines_of(page, characters))


def lines_of(page: Page, characters: Characters) -> list[Line]:
    """Lines in content-stream order."""
    codes, boxes, places = code_points(characters)
    codes, boxes, left = composed(codes, boxes)
    if not left.all():
        codes, boxes, places = codes[left], boxes[left], places[left]
    newline = (codes == 0x0A) | (codes == 0x0D)
    solid = np.flatnonzero(~(newline | is_blank(codes)))
    if not len(solid):
        return []
    # PDFium ends a line with CR LF, or with U+0002 and nothing else where a word goes on
    ended = np.cumsum(newline | np.concatenate([[False], codes[:-1] == HYPHEN]))
    told = _starts(np.diff(ended[solid]) != 0)
    inked, ink = codes[solid], boxes[solid]
    right_to_left = is_right_to_left(inked)
    vertical, em = _shape(page, inked, ink, places[solid], told)
    breaks = _breaks(right_to_left, ink, vertical, em)
    breaks[told[1:] - 1] = True
    starts = _starts(breaks)
    ends = np.concatenate([starts[1:], [len(solid)]]) - 1
    extents = extents_of(ink, starts)
    rtl = np.add.reduceat(right_to_left, starts) * 2 > ends - starts
    joined = followed_by_none(inked, ink, breaks, np.diff(solid), starts)
    if len(joined):
        gone = np.concatenate([np.arange(solid[n] + 1, solid[n + 1]) for n in joined.tolist()])
        codes, places = np.delete(codes, gone), np.delete(places, gone)
        solid = solid - np.searchsorted(gone, solid)
    text = decode(codes)
    parted = _starts(breaks | (np.diff(solid) > 1))
    edges = np.append(np.searchsorted(parted, starts), len(parted))
    around = np.repeat(extents, np.diff(edges), axis=0)
    words = word_frames(page, places[solid], ink, parted, vertical[parted], around, em[parted])
    frames, boxes_of = extents_of(words, edges[:-1]), list(map(tuple, words.tolist()))
    facts = zip(
        map(tuple, extents.tolist()), map(tuple, frames.tolist()), solid[starts].tolist(), (solid[ends] + 1).tolist(),
        em[starts].tolist(), vertical[starts].tolist(), rtl.tolist(), (inked[ends] == HYPHEN).tolist(),
        places[solid[starts]].tolist(), [tuple(boxes_of[a:b]) for a, b in pairwise(edges.tolist())],
        strict=True,
    )  # fmt: skip
    pieces = []
    for box, frame, start, end, height, along_y, backwards, hyphenated, first, own in facts:
        said = _without_leaders(plain(text[start:end]))
        known = own if len(own) == said.count(" ") + 1 else ()
        pieces.append(Line(said, box, frame, height, along_y, backwards, hyphenated, first, words=known))
    return _merged(pieces)


def _without_leaders(text: str) -> str:
    """Dots that lead to a page number, however many, as four."""
    if text.isascii() and text.count(".") < _FEWEST_DOTS:
        return text
    return LEADERS.sub(f" {LEADER} ", text).strip().replace("  ", " ") if LEADERS.search(text) else text


def arrange(lines: Sequence[Line]) -> PageText:
    """Group lines (in content-stream order) into blocks and bring the blocks into reading order."""
    if not lines:
        return PageText((), ())
    groups, starts = [[lines[0]]], [0]
    left, _, right, _ = lines[0].box  # of the block so far
    spacing = _spacing(lines)
    for n, (last, line) in enumerate(pairwise(lines), start=1):
        x0, _, x1, _ = line.box
        if _continues(last, left, right, line, spacing):
            groups[-1].append(line)
            left, right = min(left, x0), max(right, x1)
        else:
            groups.append([line])
            starts.append(n)
            left, right = x0, x1
    extents = extents_of(np.array([line.box for line in lines]), np.array(starts))
    ordered = [groups[block] for block in reading_order(extents).tolist()]
    edges = np.cumsum([0, *map(len, ordered)]).tolist()
    return PageText(tuple(line for group in ordered for line in group), tuple(pairwise(edges)))


def flowing(lines: Sequence[Line]) -> str:
    """The lines of one block as running text: broken words joined, no blank between Chinese or Japanese letters."""
    text = ""
    for previous, line in zip([None, *lines[:-1]], lines, strict=True):
        if previous is None:
            text = line.text
        elif previous.hyphenated and line.text[:1].islower() and "-" not in text[:-1].rpartition(" ")[2]:
            text = text[:-1] + line.text
        elif previous.hyphenated or (is_unspaced(text[-1:]) and is_unspaced(line.text[:1])):
            text += line.text
        else:
            text += " " + line.text
    return text


def is_prose(lines: Sequence[Line]) -> bool:
    """Whether lines run on as text does: full but for the last, mostly letters; no code, verse, list or contents."""
    text = "".join(line.text for line in lines)
    prose = sum(map(str.isalpha, text)) + sum(map(text.count, _PROSE_SIGNS))
    if LEADER in text or prose < 0.9 * len(text):
        return False
    width = max(line.box[2] - line.box[0] for line in lines)
    inner = [line.box[2] - line.box[0] > 0.75 * width for line in lines[:-1]]
    return sum(inner) >= 0.8 * len(inner)


_PROSE_SIGNS = frozenset(" .,;:?!()'\"-\u2018\u2019\u201c\u201d\u2013\u2014\u3001\u3002\uff0c")


def same_row(one: Line, other: Line) -> bool:
    """Whether two horizontal lines stand beside each other: more than half of the lower one's height is shared."""
    shared = min(one.box[3], other.box[3]) - max(one.box[1], other.box[1])
    lower = min(one.box[3] - one.box[1], other.box[3] - other.box[1])
    return not (one.vertical or other.vertical) and shared > 0.5 * lower


def _merged(pieces: Sequence[Line]) -> list[Line]:
    """Pieces that stand beside each other and nearly touch, however far apart they are told, as one line.

    Programs draw raised signs, underlined words and changes of font apart, sometimes long after their neighbours.
    """
    signs = [bool(_SIGN.fullmatch(piece.text)) for piece in pieces]
    before = _neighbours(pieces, signs)
    if not before:
        return list(pieces)
    after = {left: right for right, left in before.items()}
    lines = []
    for place, piece in enumerate(pieces):
        if place in before:
            continue
        members, following = [place], after.get(place)
        while following is not None:
            piece = _appended(piece, pieces[following])
            members.append(following)
            following = after.get(following)
        words = [member for member in members if not signs[member]]
        lines.append((min(words or members), piece))
    return [line for _, line in sorted(lines, key=lambda told: told[0])]


def _neighbours(pieces: Sequence[Line], signs: Sequence[bool]) -> dict[int, int]:
    """For each piece that goes on with another one: which one; no piece is followed by two."""
    x0, _, x1, _ = np.array([piece.box for piece in pieces]).T
    _, y0, _, y1 = np.array([piece.frame for piece in pieces]).T  # raised signs stand above the ink of "more"
    em = np.array([piece.em for piece in pieces])
    # pairs [i, j] that share height and begin one after the other: few, so the rest is asked of these alone
    close = (y0[:, None] < y1) & (y1[:, None] > y0) & (x0[:, None] < x0)
    left, right = np.nonzero(close)
    gap = x0[right] - x1[left]  # from the end of i to the start of j
    em = np.maximum(em[left], em[right])
    height = np.minimum((y1 - y0)[left], (y1 - y0)[right])
    shared = np.minimum(y1[left], y1[right]) - np.maximum(y0[left], y0[right])
    free = np.array([not (piece.vertical or piece.rtl) for piece in pieces])
    open_ended = np.array([not piece.hyphenated for piece in pieces])
    reach = np.where(signs, _SIGN_GAP, _SAME_LINE)[left]
    touching = (gap > -_WORD_GAP * em) & (gap < reach * em) & (shared > 0.5 * height)
    touching &= free[left] & free[right] & open_ended[left]
    before: dict[int, int] = {}
    found = zip(np.abs(gap[touching]).tolist(), left[touching].tolist(), right[touching].tolist(), strict=True)
    for _, one, other in sorted(found):
        if other not in before and one not in before.values():
            before[other] = one
    return before


def _appended(line: Line, piece: Line) -> Line:
    em = max(line.em, piece.em)
    wide = 2.5 * _WORD_GAP if piece.text[:1] in ",.;:)" else _WORD_GAP
    blank = " " if piece.box[0] - line.box[2] > wide * em else ""
    text, box = line.text + blank + piece.text, _union(line.box, piece.box)
    words = line.words + piece.words
    if not (line.words and piece.words):
        words = ()
    elif not blank:
        words = (*line.words[:-1], _union(line.words[-1], piece.words[0]), *piece.words[1:])
    frame = _union(line.frame, piece.frame)
    em = line.em if len(line.text) > len(piece.text) else piece.em  # not that of the sign of an item
    return line._replace(text=text, box=box, frame=frame, em=em, hyphenated=piece.hyphenated, words=words)


def _spacing(lines: Sequence[Line]) -> float:
    """Widest gap in em between long lines of one paragraph, where the page is widely and regularly spaced; else 0."""
    gaps = []
    for last, line in pairwise(lines):
        (x0, y0, x1, _), em, (last_x0, _, last_x1, last_y1) = line.box, line.em, last.box
        larger = em if em > last.em else last.em
        long = x1 - x0 > _LONG_LINE * larger and last_x1 - last_x0 > _LONG_LINE * larger
        if long and abs(x0 - last_x0) < 2 * em:
            gaps.append((y0 - last_y1) / max(larger, 1e-6))
    usual = median(gaps) if len(gaps) >= _FEW_GAPS else 0.0
    regular = sum(abs(gap - usual) < 0.2 * usual for gap in gaps)
    return 1.2 * usual if _BLOCK_GAP <= usual < _WIDEST_SPACING and regular >= 0.7 * len(gaps) else 0.0


def _continues(last: Line, left: float, right: float, line: Line, spacing: float) -> bool:
    """Whether `line` goes on with the block from `left` to `right` that ends with `last`; see `_spacing`."""
    if line.vertical or last.vertical or line.rtl != last.rtl:
        return False
    small, em = (line.em, last.em) if line.em < last.em else (last.em, line.em)
    if em > _SAME_SIZE * max(small, 1e-6):
        return False
    x0, y0, x1, y1 = line.box
    _, last_y0, _, last_y1 = last.box
    gap, moved = y0 - last_y1, (y0 + y1 - last_y0 - last_y1) / 2
    return gap < max(_BLOCK_GAP, spacing) * em and moved > 0.4 * em and min(right, x1) > max(left, x0)


def _union(*boxes: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def _starts(breaks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Starts of runs among N things, given for each but the first whether it breaks off from the one before."""
    return np.concatenate([[0], np.flatnonzero(breaks) + 1])


def _shape(
    page: Page, codes: NDArray[np.uint32], boxes: NDArray[np.float64], places: NDArray[np.int64],
    told: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:  # fmt: skip
    """For each solid character [S]: whether its line runs along y, and the em of its line (lines start at `told`)."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    lengths = np.diff(np.concatenate([told, [len(boxes)]]))
    step = np.abs(np.diff(centres, axis=0, prepend=centres[:1]))
    step[told] = 0
    size = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])[:, None]
    travel = np.add.reduceat(np.minimum(step, 3 * size), told)  # one jump to another column decides nothing
    vertical = (travel[:, 1] > 2 * travel[:, 0]) & (lengths > 1)
    across = np.where(np.repeat(vertical, lengths), boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    mean = np.add.reduceat(across, told) / lengths
    loose = page.loose_heights(places[_speaking(codes, told)], vertical)
    high = across > _LOW_SIGN * np.repeat(np.maximum.reduceat(across, told), lengths)  # dots that lead on are not
    tall = np.add.reduceat(across * high, told) / np.maximum(np.add.reduceat(high, told, dtype=np.int64), 1)
    # fonts without ascent are told from the ink; absurd ascents are held to four times the ink
    loose[np.isnan(loose)] = 0.0
    em = np.clip(loose, 1.2 * mean, np.maximum(4 * tall, 1.0))
    return np.repeat(vertical, lengths), np.repeat(em, lengths)


def _speaking(codes: NDArray[np.uint32], told: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each line its first letter or digit, else its first character: signs of items are in fonts of their own."""
    small = codes | 0x20
    letter = ((small >= ord("a")) & (small <= ord("z"))) | ((codes >= ord("0")) & (codes <= ord("9"))) | (codes >= 0xC0)
    letter &= ~((codes >= 0x2000) & (codes < 0x2C00)) & ~((codes >= 0xE000) & (codes < 0xF900))
    first = np.minimum.reduceat(np.where(letter, np.arange(len(codes)), len(codes)), told)
    return np.where(first < len(codes), first, told)


def _breaks(
    rtl: NDArray[np.bool_], boxes: NDArray[np.float64], vertical: NDArray[np.bool_], em: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """[S - 1]: whether geometry separates a solid character from the one before it; `rtl` are right-to-left letters."""
    start, top, end, bottom = np.ascontiguousarray(boxes.T)
    if vertical.any():
        start, top = np.where(vertical, top, start), np.where(vertical, start, top)
        end, bottom = np.where(vertical, bottom, end), np.where(vertical, end, bottom)
    forward, backward = start[1:] - end[:-1], start[:-1] - end[1:]
    off = np.maximum(top[1:] - bottom[:-1], top[:-1] - bottom[1:])
    ordered = ~(rtl[1:] | rtl[:-1] | vertical[1:])
    em = em[1:]
    wide = np.maximum(forward, backward) > _WIDE_GAP * em
    return wide | (off > _OFF_LINE * em) | (ordered & (backward > _BACKWARD * em))
