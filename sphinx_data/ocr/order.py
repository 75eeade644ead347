"""Reading order of the blocks of a page, as pure functions on boxes."""

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]

_MOST_BLOCKS = 200  # beyond this, the cubic test for columns gives way to rows
_PARAGRAPH_WIDTH = 10  # em; shorter lines are cells, labels and prices
_WRONG_SHARE = 0.1  # share of stacked pairs told upside down from which the stream's order is not believed


def reading_order(boxes: Boxes) -> NDArray[np.int64]:
    """Order of blocks `boxes` [N, 4] (x0, y0, x1, y1, in content-stream order): the stream's own unless clearly wrong.

    Typesetters write in reading order, office programs and forms not always. The stream is wrong where blocks that
    stand above each other in one column come bottom first. Then columns are sorted by Breuel's two rules (DRR 2003).
    """
    count = len(boxes)
    stream = np.arange(count)
    if count < 2 or inverted_share(boxes) <= _WRONG_SHARE:
        return stream
    if count > _MOST_BLOCKS:
        return by_rows(boxes)
    return _sorted_by_rules(boxes)


def reading_order_of_lines(boxes: Boxes, em: NDArray[np.float64]) -> NDArray[np.int64]:
    """Order of lines `boxes` [N, 4] that come in no order, with their heights `em` [N].

    Rows from top to bottom, as in receipts, forms and tables, unless paragraphs stand beside each other: then columns.
    """
    rows = by_rows(boxes)
    paragraphs = _paragraphs(boxes, em)
    x0, y0, x1, y1 = paragraphs.T
    beside = (x1[:, None] <= x0) & (np.minimum(y1[:, None], y1) > np.maximum(y0[:, None], y0))
    if not beside.any() or len(boxes) > 2 * _MOST_BLOCKS:
        return rows
    return _sorted_by_rules(boxes)


def _paragraphs(boxes: Boxes, em: NDArray[np.float64]) -> Boxes:
    """[K, 4] extents of at least three lines of running text: long, below each other, beginning at the same place."""
    found: list[list[int]] = []
    for n in np.lexsort((boxes[:, 0], boxes[:, 1])).tolist():
        line = boxes[n]
        if line[2] - line[0] < _PARAGRAPH_WIDTH * em[n]:
            continue
        for group in found:
            last = boxes[group[-1]]
            if line[1] - last[3] < 1.5 * em[n] and line[3] > last[3] and abs(line[0] - last[0]) < 2 * em[n]:
                group.append(n)
                break
        else:
            found.append([n])
    groups = [boxes[group] for group in found if len(group) >= 3]
    extents = [np.concatenate([group[:, :2].min(0), group[:, 2:].max(0)]) for group in groups]
    return np.array(extents).reshape(-1, 4)


def inverted_share(boxes: Boxes) -> float:
    """Among pairs of blocks that overlap by more than half of the narrower one along x: share told bottom first."""
    stacked = _share_of_narrower(boxes) > 0.5
    above = boxes[:, None, 3] <= boxes[None, :, 1]  # [i, j]: i ends above the start of j
    upper, lower = np.nonzero(stacked & above)
    right, wrong = int(np.count_nonzero(upper < lower)), int(np.count_nonzero(upper > lower))
    return wrong / max(1, right + wrong)


def by_rows(boxes: Boxes) -> NDArray[np.int64]:
    """Rows from top to bottom, left to right inside; a row holds the blocks whose middle lies in its first block."""
    order: list[int] = []
    rest = np.argsort(boxes[:, 1], kind="stable")
    while len(rest):
        first = boxes[rest[0]]
        middle = (boxes[rest, 1] + boxes[rest, 3]) / 2
        row = (middle >= first[1]) & (middle <= first[3])
        row[0] = True
        order += rest[row][np.argsort(boxes[rest[row], 0], kind="stable")].tolist()
        rest = rest[~row]
    return np.array(order, np.int64)


def _share_of_narrower(boxes: Boxes) -> NDArray[np.float64]:
    """[N, N] overlap along x, as a share of the narrower of two blocks; negative where they are apart."""
    left = np.maximum(boxes[:, None, 0], boxes[None, :, 0])
    right = np.minimum(boxes[:, None, 2], boxes[None, :, 2])
    width = boxes[:, 2] - boxes[:, 0]
    return (right - left) / np.maximum(np.minimum(width[:, None], width), 1e-6)


def _sorted_by_rules(boxes: Boxes) -> NDArray[np.int64]:
    """A block comes before one below it in its column, and before all of the next column unless a block spans both."""
    x0, y0, x1, y1 = boxes.T
    share = (np.minimum(x1[:, None], x1) > np.maximum(x0[:, None], x0)) & ~np.eye(len(boxes), dtype=bool)
    centre = (y0 + y1) / 2
    before = share & (centre[:, None] < centre)
    left = x1[:, None] <= x0
    low, high = np.minimum(centre[:, None], centre), np.maximum(centre[:, None], centre)
    # [i, j, k]: block k lies between i and j and reaches over the columns of both
    between = (centre > low[..., None]) & (centre < high[..., None])
    spans = (between & share[:, None, :] & share[None, :, :]).any(axis=2)
    before |= left & ~spans
    return _topological(before, np.lexsort((x0, y0)))


def _topological(before: NDArray[np.bool_], preference: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order that keeps `before` [N, N]; among free blocks, and where the rules run in a circle, the preferred first."""
    waiting = before.sum(axis=0)
    left = preference.tolist()
    order = []
    while left:
        chosen = next((block for block in left if not waiting[block]), left[0])
        left.remove(chosen)
        waiting = waiting - before[chosen]
        order.append(chosen)
    return np.array(order, np.int64)
