"""Ruled tables: grids from straight lines, cells from words. Only what is certain is a table: every cell closed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sphinx_data.ocr.text import Line

Box = tuple[float, float, float, float]

_THIN = 6.0  # pixels; a rule is not thicker
_SHORTEST = 8.0  # pixels; a shorter piece is a dash
_NEAR = 4.0  # pixels between rules that meet, or are one
_MOST = 2000  # rules; more are a drawing


class Grid(NamedTuple):
    """A table without merged cells."""

    xs: tuple[float, ...]  # of the vertical rules, ascending
    ys: tuple[float, ...]  # of the horizontal rules

    @property
    def box(self) -> Box:
        """The outer edge."""
        return self.xs[0], self.ys[0], self.xs[-1], self.ys[-1]


def grids_of(rules: NDArray[np.float64]) -> list[Grid]:
    """Closed grids of at least two rows and columns among straight lines `rules` [N, 4], from top to bottom."""
    if not 6 <= len(rules) <= _MOST:
        return []
    width, height = (rules[:, 2:] - rules[:, :2]).T
    level = rules[(height <= _THIN) & (width >= _SHORTEST)]
    upright = rules[(width <= _THIN) & (height >= _SHORTEST)]
    if len(level) < 3 or len(upright) < 3:
        return []
    found = [_grid(level[own_l], upright[own_u]) for own_l, own_u in _connected(level, upright)]
    return sorted((grid for grid in found if grid is not None), key=lambda grid: (grid.ys[0], grid.xs[0]))


def _connected(
    level: NDArray[np.float64], upright: NDArray[np.float64]
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Groups of rules that touch each other, directly or through others."""
    touch = (
        (level[:, None, 0] <= upright[None, :, 2] + _NEAR) & (level[:, None, 2] >= upright[None, :, 0] - _NEAR)
        & (level[:, None, 1] <= upright[None, :, 3] + _NEAR) & (level[:, None, 3] >= upright[None, :, 1] - _NEAR)
    )  # fmt: skip
    left = np.ones(len(level), np.bool_)
    groups = []
    while left.any():
        own = np.zeros(len(level), np.bool_)
        own[np.flatnonzero(left)[0]] = True
        crossed: NDArray[np.bool_] = np.zeros(len(upright), np.bool_)
        while True:
            crossed = np.logical_or.reduce(touch[own], axis=0)
            more = np.logical_or.reduce(touch[:, crossed], axis=1) | own
            if (more == own).all():
                break
            own = more
        left &= ~own
        groups.append((own, crossed))
    return groups


def _grid(level: NDArray[np.float64], upright: NDArray[np.float64]) -> Grid | None:
    """The grid of connected rules, or None where an edge of a cell is missing."""
    ys = _places((level[:, 1] + level[:, 3]) / 2)
    xs = _places((upright[:, 0] + upright[:, 2]) / 2)
    if len(ys) < 3 or len(xs) < 3 or len(xs) * len(ys) > _MOST:
        return None
    if _sticks_out(level[:, [0, 2]], xs) or _sticks_out(upright[:, [1, 3]], ys):
        return None
    closed = _covered(level, ys, xs, 1) and _covered(upright, xs, ys, 0)
    return Grid(tuple(xs), tuple(ys)) if closed else None


def _sticks_out(spans: NDArray[np.float64], stops: Sequence[float]) -> bool:
    """Whether a rule reaches beyond the outermost rules that it crosses: then there is an open row or column."""
    return bool(spans.min() < stops[0] - _NEAR or spans.max() > stops[-1] + _NEAR)


def _places(values: NDArray[np.float64]) -> list[float]:
    """Means of values that lie together, ascending."""
    if not len(values):
        return []
    ordered = np.sort(values)
    runs = np.split(ordered, np.flatnonzero(np.diff(ordered) > _NEAR) + 1)
    return [round(float(run.mean()), 1) for run in runs]


def _covered(rules: NDArray[np.float64], at: Sequence[float], stops: Sequence[float], axis: int) -> bool:
    """Whether at every place the rules run from the first stop to the last without a gap."""
    across = (rules[:, axis] + rules[:, axis + 2]) / 2
    for place in at:
        mine = rules[np.abs(across - place) <= _NEAR]
        mine = mine[np.argsort(mine[:, 1 - axis])]
        reached = stops[0] + _NEAR
        for start, end in mine[:, [1 - axis, 3 - axis]].tolist():
            if start > reached + _NEAR:
                return False
            reached = max(reached, end)
        if reached < stops[-1] - _NEAR:
            return False
    return True


def cells_of(grid: Grid, lines: Sequence[Line]) -> list[list[str]] | None:
    """The text of every cell by rows, or None where a word has no place, lies across a rule, or is not known."""
    x0, y0, x1, y1 = grid.box
    rows: list[dict[int, set[int]]] = [{} for _ in grid.ys[1:]]  # for each row, in each column: heights of its lines
    cells: list[list[list[str]]] = [[[] for _ in grid.xs[1:]] for _ in grid.ys[1:]]
    for line in lines:
        centre = (line.box[0] + line.box[2]) / 2, (line.box[1] + line.box[3]) / 2
        if not (x0 < centre[0] < x1 and y0 < centre[1] < y1):
            if (
                min(line.box[2], x1) - max(line.box[0], x0) > _NEAR
                and min(line.box[3], y1) - max(line.box[1], y0) > _NEAR
            ):
                return None  # it reaches into the table
            continue
        if line.vertical or line.hyphenated or not line.words:
            return None
        row = _between(grid.ys, line.box[1], line.box[3])  # its ink, for frames in tight cells reach over the rules
        for word, box in zip(line.text.split(), line.words, strict=True):
            column = _between(grid.xs, box[0], box[2])
            if row is None or column is None:
                return None
            cells[row][column].append(word)
            rows[row].setdefault(column, set()).add(round(line.box[1] / max(line.em, 1)))
    if any(len(row) > 1 and min(map(len, row.values())) > 1 for row in rows):
        return None  # every cell has several lines: rows without a rule between them
    texts = [[" ".join(words) for words in row] for row in cells]
    filled = sum(bool(text) for row in texts for text in row)
    certain = all(texts[0]) and filled >= 0.6 * len(texts) * len(texts[0]) and all(any(row) for row in texts)
    return texts if certain else None


def open_tables(rules: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes [K, 4] of tables whose columns only blanks part: three level rules of one length or more below each other.

    `rules` [N, 4], x0, y0, x1, y1 in pixels like the boxes, are those of no closed grid.
    """
    level = rules[(rules[:, 3] - rules[:, 1] <= _THIN) & (rules[:, 2] - rules[:, 0] >= _SHORTEST)]
    alike: NDArray[np.bool_] = np.all(np.abs(level[:, None, [0, 2]] - level[:, [0, 2]]) <= _NEAR, axis=2)
    found: list[list[float]] = []
    for number in range(len(level)):
        some = level[alike[number]]
        if len(np.unique(np.round(some[:, 1] / _NEAR))) >= 3:
            found.append([*some[:, :2].min(axis=0), *some[:, 2:].max(axis=0)])
    return np.unique(np.array(found).reshape(-1, 4), axis=0)


def _between(stops: Sequence[float], low: float, high: float) -> int | None:
    """Between which two stops a span lies wholly."""
    place = int(np.searchsorted(stops, (low + high) / 2)) - 1
    if not 0 <= place < len(stops) - 1:
        return None
    return place if low >= stops[place] - _NEAR and high <= stops[place + 1] + _NEAR else None


def markdown(cells: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first row is its head."""
    rows = ["| " + " | ".join(text.replace("\\", "\\\\").replace("|", "\\|") for text in row) + " |" for row in cells]
    return "\n".join([rows[0], "|" + " --- |" * len(cells[0]), *rows[1:]])
