"""Rows of numbers in the order of a key, with flat memory: what is more than a bounded number waits in a file."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sphinx_data import storage

ROW = np.dtype([("key", "<u8"), ("offset", "<u8"), ("size", "<u4"), ("number", "<u4"), ("tag", "<u4")])
HELD = 1 << 19  # rows in memory: 15 MB, three times that while they are sorted or merged
_EVERY = 512  # of so many sorted rows in the file one key is known
_SMALLEST_BLOCK = 16

Rows = NDArray[np.void]  # of ROW


class SortedRows:
    """Takes rows, then gives them by key; rows with one key keep the order in which they came."""

    def __init__(self, held: int = HELD) -> None:
        self._held = held
        self._new: list[Rows] = []
        self._count = 0
        self._runs: storage.Scratch | None = None
        self._run_ends = [0]
        self._sorted: Rows = np.zeros(0, ROW)  # all rows, where they are few enough
        self._keys: NDArray[np.uint64] = np.zeros(0, np.uint64)  # theirs, side by side
        self._file: storage.Scratch | None = None  # else a file of them
        self._known: NDArray[np.uint64] = np.zeros(0, np.uint64)  # of the file, the key of every `_EVERY`th row
        self._total = 0
        self._finished = False

    def add(self, rows: Rows) -> None:
        """Take rows; all of them before any is asked for."""
        self._new.append(rows)
        self._count += len(rows)
        self._total += len(rows)
        if self._count >= self._held:
            self._spill()

    def __len__(self) -> int:
        return self._total

    def find(self, key: int) -> tuple[int, Rows]:
        """The place of the key's first row among all, and its rows."""
        self._finish()
        wanted = np.uint64(key)
        if self._file is None:
            low, high = int(self._keys.searchsorted(wanted)), int(self._keys.searchsorted(wanted, "right"))
            return low, self._sorted[low:high]
        low = max(0, int(self._known.searchsorted(wanted)) - 1) * _EVERY
        high = min(self._total, int(self._known.searchsorted(wanted, "right")) * _EVERY)
        rows = self.read(low, high)
        begin, end = rows["key"].searchsorted(wanted), rows["key"].searchsorted(wanted, "right")
        return low + int(begin), rows[begin:end]

    def read(self, low: int, high: int) -> Rows:
        """The rows at these places of the order."""
        self._finish()
        return self._sorted[low:high] if self._file is None else _read(self._file, low, high)

    def blocks(self) -> Iterator[Rows]:
        """All rows in order, some at a time."""
        self._finish()
        for low in range(0, self._total, self._held):
            yield self.read(low, min(low + self._held, self._total))

    def _in_order(self) -> Rows:
        rows = np.concatenate([np.zeros(0, ROW), *self._new])
        self._new, self._count = [], 0
        return rows[np.argsort(rows["key"], kind="stable")]

    def _spill(self) -> None:
        if self._runs is None:
            self._runs = storage.Scratch()
        rows = self._in_order()
        self._runs.append(rows.tobytes())
        self._run_ends.append(self._run_ends[-1] + len(rows))

    def _finish(self) -> None:
        if self._finished:
            return
        self._finished = True
        if self._runs is None:
            self._sorted = self._in_order()
            self._keys = np.ascontiguousarray(self._sorted["key"])
            return
        if self._count:
            self._spill()
        self._file = storage.Scratch()
        known, place = [np.zeros(0, np.uint64)], 0
        for rows in self._merged(self._runs):
            self._file.append(rows.tobytes())
            known.append(rows["key"][-place % _EVERY :: _EVERY].copy())  # a view would keep all rows
            place += len(rows)
        self._known = np.concatenate(known)
        self._runs = None

    def _merged(self, file: storage.Scratch) -> Iterator[Rows]:
        """The runs as one: all keys of which nothing can follow, some at a time."""
        runs = [_Run(file, *ends, self._held) for ends in pairwise(self._run_ends)]
        while runs := [run for run in runs if len(run.rows)]:
            unsure = [run.rows["key"][-1] for run in runs if run.has_more]
            if not unsure:
                yield _joined([run.rows for run in runs])
                return
            bound = min(unsure)  # more rows with this key may follow, none with a smaller one
            if below := [rows for run in runs if len(rows := run.take(int(run.rows["key"].searchsorted(bound))))]:
                yield _joined(below)
                continue
            for run in runs:  # a key that fills whole blocks: run after run, which is its order
                while len(run.rows) and run.rows["key"][0] == bound:
                    yield run.take(int(run.rows["key"].searchsorted(bound, "right")))


class _Run:
    """A sorted range of a file of rows, of which one block is held."""

    def __init__(self, file: storage.Scratch, low: int, high: int, size: int) -> None:
        self._file, self._low, self._high = file, low, high
        self._block = max(_SMALLEST_BLOCK, size * size // max(1, file.size // ROW.itemsize))
        self.rows: Rows = np.zeros(0, ROW)
        self._fill()

    @property
    def has_more(self) -> bool:
        """Whether rows follow those that are held."""
        return self._low < self._high

    def take(self, count: int) -> Rows:
        """The first of the rows that are held, which are held no longer."""
        taken, self.rows = self.rows[:count], self.rows[count:]
        if not len(self.rows):
            self._fill()
        return taken

    def _fill(self) -> None:
        end = min(self._low + self._block, self._high)
        self.rows = _read(self._file, self._low, end)
        self._low = end


def _joined(parts: list[Rows]) -> Rows:
    rows = np.concatenate(parts)
    return rows[np.argsort(rows["key"], kind="stable")]


def _read(file: storage.Scratch, low: int, high: int) -> Rows:
    data = file.read(low * ROW.itemsize, (high - low) * ROW.itemsize)
    return np.frombuffer(data, ROW)
