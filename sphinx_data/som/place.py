"""Where marks go: the innermost point of each visible mask, and labels that neither collide nor hide their object."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from sphinx_data.som.masks import Window

_STEPS = 1000  # distances are compared in 1/1000 pixel, so that every machine finds the same maximum
_MOST_HIDDEN = 0.5  # share of an object's visible pixels that its own label may cover
_GAP = 1  # pixels between labels

LabelBox = tuple[int, int, int, int]  # x0, y0, x1, y1 in whole pixels


class Inner(NamedTuple):
    """The innermost point of a mask, in continuous pixels of the picture (a pixel's centre), and its distance."""

    x: float
    y: float
    radius: float  # pixels to the nearest pixel that is outside


class Mark(NamedTuple):
    """A mark that was placed; `number` counts from 1."""

    region: int
    number: int
    x: float
    y: float


class Dropped(NamedTuple):
    """A region without a mark, and why."""

    region: int
    rule: str
    detail: str


def innermost(window: Window) -> Inner | None:
    """The point farthest from the mask's outside; what lies beyond the window counts as outside.

    Ties go to the point nearest to the mask's centroid, then the upper, then the left one. None for an empty mask.
    """
    framed = cv2.copyMakeBorder(window.inside.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    highest = float(distance.max())
    if highest <= 0:
        return None
    flat = distance.ravel()
    near = np.flatnonzero(flat > highest - 2 / _STEPS)  # only these can reach the rounded maximum
    steps = np.rint(flat[near].astype(np.float64) * _STEPS).astype(np.int64)
    rows, columns = np.divmod(near[steps == steps.max()], distance.shape[1])
    if rows.size > 1:
        moments = cv2.moments(framed, binaryImage=True)
        centre_x, centre_y = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
        away = np.rint(((columns - centre_x) ** 2 + (rows - centre_y) ** 2) * _STEPS)
        first = int(
            np.argmin(away)
        )  # rows and columns are in row-major order, so the first of equals is the upper left
    else:
        first = 0
    x, y = int(columns[first]) - 1, int(rows[first]) - 1
    return Inner(window.x0 + x + 0.5, window.y0 + y + 0.5, int(steps.max()) / _STEPS)


def place(
    windows: Sequence[Window | None],
    order: Sequence[int],
    limit: int,
    min_radius: float,
    label: Callable[[str, tuple[float, float]], LabelBox],
) -> tuple[list[Mark], list[Dropped]]:
    """Marks for at most `limit` regions, tried in `order`, numbered as they are placed.

    Args:
        windows: the visible part of every region, None where there is none.
        order: the regions that may be marked, in the order in which they are tried; seeded by the caller.
        limit: most marks.
        min_radius: smallest distance in pixels from a mark to the edge of its visible part.
        label: where the label of a text around a point would be drawn.
    """
    marks: list[Mark] = []
    dropped: list[Dropped] = []
    taken: list[LabelBox] = []
    for region in order:
        window = windows[region]
        inner = innermost(window) if window is not None and len(marks) < limit else None
        if len(marks) >= limit:
            dropped.append(Dropped(region, "over-limit", f"The picture has {limit} marks already."))
        elif window is None or inner is None:
            dropped.append(Dropped(region, "not-visible", "Smaller objects cover it, or it has no pixel."))
        elif inner.radius < min_radius:
            detail = f"Its innermost point is {inner.radius:g} pixels from its edge, {min_radius:g} are needed."
            dropped.append(Dropped(region, "too-small", detail))
        else:
            box = label(str(len(marks) + 1), (inner.x, inner.y))
            if _hidden(window, box) > _MOST_HIDDEN:
                dropped.append(Dropped(region, "too-small", "Its label would hide more than half of what is visible."))
            elif any(_collide(box, other) for other in taken):
                dropped.append(Dropped(region, "label-collision", "Its label would cover that of another mark."))
            else:
                taken.append(box)
                marks.append(Mark(region, len(marks) + 1, inner.x, inner.y))
    return marks, dropped


def _hidden(window: Window, box: LabelBox) -> float:
    """Share of a mask that a label covers."""
    x0, y0, x1, y1 = box
    part = window.inside[
        max(y0 - window.y0, 0) : max(y1 - window.y0, 0), max(x0 - window.x0, 0) : max(x1 - window.x0, 0)
    ]
    return int(np.count_nonzero(part)) / max(window.area, 1)


def _collide(a: LabelBox, b: LabelBox) -> bool:
    return a[0] < b[2] + _GAP and b[0] < a[2] + _GAP and a[1] < b[3] + _GAP and b[1] < a[3] + _GAP
