"""Headers, footers and page numbers: lines near the edge that neighbouring pages have at the same height."""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

from sphinx_data.ocr.compare import folded
from sphinx_data.ocr.text import Line

REACH = 2  # pages to each side that are looked at: left and right pages differ
_EDGE = 0.15  # of the height, at the top and at the bottom
_SAME_HEIGHT = 0.015  # of the height
_NUMBER = re.compile(r"\d+|\b[ivxlc]+\b")

Edges = tuple[tuple[str, float], ...]  # text without numbers, and height of the middle as a share of the page


def edges_of(lines: Sequence[Line], height: float) -> Edges:
    """What a neighbour must know of a page."""
    return tuple((_key(line.text), _middle(line, height)) for line in lines if _near_edge(line, height))


def running_lines(lines: Sequence[Line], height: float, neighbours: Sequence[Edges]) -> frozenset[int]:
    """Positions of the lines that come again on a neighbouring page; numbers may differ."""
    known: dict[str, list[float]] = {}
    for key, middle in chain.from_iterable(neighbours):
        known.setdefault(key, []).append(middle)
    if not known:
        return frozenset()
    return frozenset(
        n
        for n, line in enumerate(lines)
        if _near_edge(line, height)
        and any(abs(middle - _middle(line, height)) < _SAME_HEIGHT for middle in known.get(_key(line.text), ()))
    )


def _near_edge(line: Line, height: float) -> bool:
    _, top, _, bottom = line.box
    return not _EDGE < (top + bottom) / 2 / height < 1 - _EDGE


def _middle(line: Line, height: float) -> float:
    return (line.box[1] + line.box[3]) / 2 / height


@lru_cache(maxsize=1024)  # asked for a page as a neighbour and for itself; headers come again
def _key(text: str) -> str:
    return _NUMBER.sub("#", folded(_NUMBER.sub("#", text.casefold())))
