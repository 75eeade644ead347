"""What the blocks of a page are, as far as the page itself tells: titles by size or outline, lists by their signs."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sphinx_data.ocr.compare import folded
from sphinx_data.ocr.page import Page
from sphinx_data.ocr.text import LEADER, Line, PageText

Box = tuple[float, float, float, float]

_LARGER = 1.15  # em against that of the running text from which a short block is a title
_TITLE_LINES = 3
_ITEM = re.compile(
    r"(?:[\u2022\u2023\u25aa-\u25ff\u2013\u2014*\-\u00b7\u2219]|\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})[.)])\s+\S"
)
_SIGNS = frozenset("\u2022\u2023\u00b7\u2219*") | {chr(code) for code in range(0x25AA, 0x2600)}
_FIGURE = 0.01  # of the page; smaller pictures are ornaments
_SENTENCE_ENDS = (".", ",", ";", ":", "\u3002", "\uff0e", "\u3001")  # prose among small code is no title for its size
_FEWEST_CHARS = 200  # of running text, to compare titles with
_MOST_LEADERS = 4  # lines with dots that lead to a page number; more are a table of contents
_AT_ONCE = 256  # lines that are compared with all others in one step
_MOST_LOOSE = 0.25  # share of characters in lines that stand beside others, as in tables without rules and in forms


class Found(NamedTuple):
    """One block with its kind."""

    kind: str  # text, title, list, table, figure, page header, page footer
    box: Box


def layout(page: Page, text: PageText, running: frozenset[int]) -> tuple[list[Found], bool] | None:
    """All blocks of a page with their kinds, and whether figures are among them for certain.

    None where the page does not tell: it was read by an engine, a drawing has text in it, text stands in columns of a
    table without rules, or it is a table of contents.
    """
    if page.graphics is None or not page.complete or not text.lines:
        return None
    tables = [grid.box for grid in page.grids]
    width, height = page.size
    figures = [box for box in _merged(page.graphics.pictures) if _area(box) >= _FIGURE * width * height]
    free = [n for n, line in enumerate(text.lines) if not (tables and any(_within(line.box, box) for box in tables))]
    drawn = [*figures, *page.graphics.drawings]
    if sum(len(text.lines[n].text) for n in free) < _FEWEST_CHARS:
        return None
    if sum(LEADER in line.text for line in text.lines) > _MOST_LEADERS:  # contents: their bold entries are no titles
        return None
    if any(_within(text.lines[n].box, box) for n in free for box in drawn) or _loose(text.lines, free):
        return None
    found = [Found("table", box) for box in tables] + [Found("figure", box) for box in figures]
    for kind, lines in _segments(text, frozenset(free), running, page.outline, height):
        if kind == "list" and len(lines) == 1 and _is_caption(lines[0], figures):
            kind = "text"
        found.append(Found(kind, union(lines)))
    return found, not page.graphics.drawings


def _is_caption(line: Line, figures: Sequence[Box]) -> bool:
    """Whether a line stands right below a figure: "(a) A bear" is no item then."""
    x0, y0, x1, _ = line.box
    return any(0 <= y0 - box[3] < 2 * line.em and x0 < box[2] and box[0] < x1 for box in figures)


def body_em(lines: Sequence[Line]) -> float:
    """The height of the running text: the median over characters."""
    heights = np.repeat([line.em for line in lines], [len(line.text) for line in lines])
    return float(np.median(heights)) if len(heights) else 0.0


def _segments(
    text: PageText, free: frozenset[int], running: frozenset[int], outline: Sequence[str], height: float
) -> list[tuple[str, list[Line]]]:
    """Blocks cut where kinds change; items that follow each other are one list."""
    body = body_em(text.lines)
    bold = sum(len(line.text) for line in text.lines if line.bold)
    heavy = bold < 0.3 * sum(len(line.text) for line in text.lines)  # else bold is no mark of titles
    titles = {folded(title).casefold() for title in outline}
    found: list[tuple[str, list[Line]]] = []
    for start, end in text.blocks:
        lines = [n for n in range(start, end) if n in free]
        is_title = _is_title([text.lines[n] for n in lines], body, titles, heavy)
        # a heading close above its text; bold alone is how paragraphs begin, too
        heads = [_is_title([text.lines[n]], body, titles, heavy=False) for n in lines[:2]]
        head = lines[0] if heads == [True, False] and _heads(*(text.lines[n] for n in lines[:2])) else None
        before = ""
        for n in lines:
            line = text.lines[n]
            kind = "title" if is_title or n == head else "text"
            if n in running:
                kind = "page header" if line.box[1] < height / 2 else "page footer"
            elif (
                kind == "text"
                and _ITEM.match(line.text)
                and (n == lines[0] or before == "list" or line.text[0] in _SIGNS)
            ):
                kind = "list"  # a number at the start of a line inside a paragraph is none of an item
            elif before == "list" and line.box[0] > found[-1][1][0].box[0] + 0.5 * line.em:
                kind = "list"  # an item goes on, indented
            goes_on = kind == before or (not before and kind == "list" and found and _follows(found[-1], line))
            if goes_on and found:
                found[-1][1].append(line)
            else:
                found.append((kind, [line]))
            before = kind
    return found


def _follows(last: tuple[str, list[Line]], line: Line) -> bool:
    """Whether an item belongs to the list before it."""
    kind, lines = last
    return (
        kind == "list"
        and 0 <= line.box[1] - lines[-1].box[3] < 1.5 * line.em
        and abs(lines[0].box[0] - line.box[0]) < line.em
    )


def _heads(line: Line, following: Line) -> bool:
    """Whether a line is no beginning of running text: it is bold, or leaves room that the next one takes."""
    return line.bold or line.box[2] < following.box[2] - line.em


def _is_title(lines: Sequence[Line], body: float, titles: set[str], heavy: bool) -> bool:
    if not 0 < len(lines) <= _TITLE_LINES:
        return False
    strong = min(line.em for line in lines) >= _LARGER * body or (heavy and all(line.bold for line in lines))
    strong = strong and not lines[-1].text.endswith(_SENTENCE_ENDS)
    if not (strong or titles) or any(not any(map(str.isalpha, line.text)) for line in lines):
        return False
    if strong:
        return True
    said = folded("".join(line.text for line in lines)).casefold()
    return any(title and said.endswith(title) and len(said) < len(title) + 12 for title in titles)


def _loose(lines: Sequence[Line], free: Sequence[int]) -> bool:
    """Whether much text stands in rows of three or more pieces."""
    pieces = [lines[n] for n in free]
    _, tops, _, bottoms = np.array([line.box for line in pieces]).T
    middles, heights = (tops + bottoms) / 2, bottoms - tops
    lengths = np.array([len(line.text) for line in pieces])
    flat = np.array([not line.vertical for line in pieces])
    em = np.array([line.em for line in pieces])
    loose = 0
    for some in np.array_split(np.arange(len(pieces)), len(pieces) // _AT_ONCE + 1):
        shared = np.minimum(bottoms[some, None], bottoms) - np.maximum(tops[some, None], tops)
        beside = shared > 0.5 * np.minimum(heights[some, None], heights)  # as `text.same_row`
        beside &= flat[some, None] & flat & (np.abs(middles[some, None] - middles) < em[some, None] / 2)
        loose += int(lengths[some][beside.sum(axis=1) >= 3].sum())
    return loose > _MOST_LOOSE * int(lengths.sum())


def _merged(boxes: Sequence[Box]) -> list[Box]:
    """Pictures that touch are strips of one."""
    left = list(boxes)
    found: list[Box] = []
    while left:
        box = left.pop(0)
        near = [other for other in left if min(box[2], other[2]) >= max(box[0], other[0]) - 2
                and min(box[3], other[3]) >= max(box[1], other[1]) - 2]  # fmt: skip
        if near:
            left = [other for other in left if other not in near]
            left.insert(0, _hull([box, *near]))
        else:
            found.append(box)
    return found


def union(lines: Sequence[Line]) -> Box:
    """The box around some lines, as it is stored."""
    return _hull([line.frame for line in lines])


def _hull(boxes: Sequence[Box]) -> Box:
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _within(inner: Box, outer: Box) -> bool:
    """Whether more than a third of a line lies inside a box."""
    width = min(inner[2], outer[2]) - max(inner[0], outer[0])
    height = min(inner[3], outer[3]) - max(inner[1], outer[1])
    return width > 0 and height > 0 and width * height > _area(inner) / 3
