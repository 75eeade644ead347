"""COCO run-length masks in numpy: runs of 0 and 1 in column order, written as COCO's compressed strings.

A run list is an int64 array of lengths that starts with zeros and sums to height x width. Damaged input raises
ValueError with one sentence; nothing is read beyond what the string holds (pycocotools crashes on some damaged ones).
"""

import numpy as np
from numpy.typing import NDArray

from sphinx_data.sample import Mask

Runs = NDArray[np.int64]


def parse(counts: str | bytes) -> Runs:
    """Run lengths of a compressed string: base-32 digits from "0" up, low first, 0x20 = more; deltas from the third."""
    raw = counts.encode("ascii", "replace") if isinstance(counts, str) else counts
    digits = np.frombuffer(raw, np.uint8).astype(np.int64) - 48
    if digits.size == 0 or digits.min() < 0 or digits.max() > 63:
        raise ValueError("The run-length string is empty or holds characters outside 0-o.")
    last = (digits & 0x20) == 0
    if not last[-1]:
        raise ValueError("The run-length string ends inside a number.")
    starts = np.concatenate(([0], np.flatnonzero(last)[:-1] + 1))
    place = np.arange(digits.size) - np.repeat(starts, np.diff(np.append(starts, digits.size)))
    if place.max() > 6:
        raise ValueError("The run-length string holds a number of more than 35 bits.")
    values = np.add.reduceat((digits & 0x1F) << (5 * place), starts)
    ends = np.flatnonzero(last)
    negative = (digits[ends] & 0x10) != 0
    values = np.where(negative, values - (np.int64(1) << (5 * (place[ends] + 1))), values)
    # a number is stored as its difference from the one two before, except for the first three
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def write(runs: Runs) -> str:
    """The compressed string of run lengths, the same as pycocotools writes."""
    out = bytearray()
    numbers = runs.tolist()
    for index, value in enumerate(numbers):
        if index > 2:
            value -= numbers[index - 2]
        while True:
            digit = value & 0x1F
            value >>= 5
            more = value != (-1 if digit & 0x10 else 0)
            out.append(48 + (digit | 0x20 if more else digit))
            if not more:
                break
    return out.decode("ascii")


def check(runs: Runs, height: int, width: int) -> Runs:
    """The same runs, when they fill a picture of this size exactly. Raises ValueError otherwise."""
    if runs.size == 0 or runs.min() < 0:
        raise ValueError("The mask has a negative run.")
    if int(runs.sum()) != height * width:
        raise ValueError(f"The mask's runs cover {int(runs.sum())} pixels, the picture has {height * width}.")
    return runs


def area(runs: Runs) -> int:
    """Number of pixels inside."""
    return int(runs[1::2].sum())


def bounds(runs: Runs, height: int) -> tuple[int, int, int, int] | None:
    """Smallest box x0, y0, x1, y1 (x1, y1 exclusive) around the pixels inside; None when there are none."""
    ends = np.cumsum(runs)[1::2]
    starts = ends - runs[1::2]
    keep = ends > starts
    starts, ends = starts[keep], ends[keep] - 1
    if starts.size == 0:
        return None
    first, last = starts // height, ends // height
    if (last > first).any():  # a run that crosses a column's end touches the bottom and the top
        top, bottom = 0, height
    else:
        top, bottom = int((starts % height).min()), int((ends % height).max()) + 1
    return int(first.min()), top, int(last.max()) + 1, bottom


def window(runs: Runs, height: int, box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """The mask inside box x0, y0, x1, y1 as bool [y1 - y0, x1 - x0]; only its columns are unpacked."""
    x0, y0, x1, y1 = box
    low, high = x0 * height, x1 * height
    ends = np.cumsum(runs)
    first, last = np.searchsorted(ends, low, side="right"), np.searchsorted(ends, high, side="left") + 1
    cut = np.diff(np.clip(ends[first:last], low, high), prepend=low)
    values = (np.arange(first, first + cut.size) & 1).astype(bool)
    return np.repeat(values, cut).reshape(x1 - x0, height).T[y0:y1]


def from_array(mask: NDArray[np.bool_]) -> Runs:
    """Runs of a bool array [height, width]."""
    flat = np.asarray(mask, bool).ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    edges = np.concatenate(([0], changes, [flat.size]))
    runs = np.diff(edges).astype(np.int64)
    return np.concatenate((np.zeros(1, np.int64), runs)) if flat.size and flat[0] else runs


def to_array(mask: Mask) -> NDArray[np.bool_]:
    """The whole mask as bool [height, width]. Raises ValueError when it is damaged."""
    height, width = mask.size
    return window(check(parse(mask.counts), height, width), height, (0, 0, width, height))
