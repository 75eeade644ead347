"""``log.jsonl`` as columns: what every step said, and the losses of every source."""

import json
from array import array
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Source(NamedTuple):
    """One source's part of the steps that it was in."""

    steps: NDArray[np.int64]  # [M]
    losses: Floats  # [M], mean over its supervised tokens
    tokens: Floats  # [M], supervised


class Log(NamedTuple):
    """N steps of a run."""

    steps: NDArray[np.int64]  # [N]
    columns: dict[str, Floats]  # [N] each, NaN where a line does not have it
    skipped: NDArray[np.int64]  # steps that changed nothing
    sources: dict[str, Source]  # DOMAIN/SOURCE: most supervised tokens first

    def __len__(self) -> int:
        return len(self.steps)

    def mean(self, name: str, share: float) -> float:
        """Mean of a column over the last `share` of the steps, over supervised tokens where it is the loss."""
        last = slice(-max(1, round(len(self) * share)), None)
        weights = self.columns["supervised_tokens"][last] if name == "loss" else None
        return weighted(self.columns[name][last], weights)


class LogFile:
    """A log that grows: what was read once is kept as numbers, 8 bytes each, and not read again."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0
        self._steps, self._skipped = array("q"), array("q")
        self._columns: dict[str, array[float]] = {}
        self._sources: dict[str, tuple[array[int], array[float], array[float]]] = {}

    def read(self, last: int) -> Log:
        """The lines up to step `last`; a run that goes on from a checkpoint may have logged more before it stopped."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._offset)
                for line in file:
                    if not self._add(line, last):
                        break
                    self._offset += len(line)
        until = slice(np.searchsorted(self._steps, last, side="right"))
        sources = {
            name: Source(*(np.array(column)[: np.searchsorted(columns[0], last, side="right")] for column in columns))
            for name, columns in self._sources.items()
        }
        by_tokens = sorted(sources.items(), key=lambda item: (-item[1].tokens.sum(), item[0]))
        skipped = np.array(self._skipped)
        return Log(
            np.array(self._steps)[until],
            {name: np.array(column)[until] for name, column in self._columns.items()},
            skipped[skipped <= last],
            {name: source for name, source in by_tokens if len(source.steps)},
        )

    def _add(self, line: bytes, last: int) -> bool:
        """Take a line; False for one that is not wanted yet, or that a kill cut."""
        try:
            found = json.loads(line)
        except ValueError:
            return False
        if found["step"] > last or not line.endswith(b"\n"):
            return False
        sources, skipped = found.pop("by_source"), found.pop("skipped", False)
        for name in found.keys() - self._columns.keys():
            self._columns[name] = array("d", [np.nan] * len(self._steps))
        for name, column in self._columns.items():
            column.append(found.get(name, np.nan))
        self._steps.append(found["step"])
        if skipped:
            self._skipped.append(found["step"])
        for name, (loss, tokens) in sources.items():
            steps, losses, counts = self._sources.setdefault(name, (array("q"), array("d"), array("d")))
            steps.append(found["step"])
            losses.append(loss)
            counts.append(tokens)
        return True


def weighted(values: Floats, weights: Floats | None = None) -> float:
    """Mean of those values that are numbers; NaN where there are none."""
    known = np.isfinite(values) & (True if weights is None else weights > 0)
    return (
        float(np.average(values[known], weights=None if weights is None else weights[known])) if known.any() else np.nan
    )


def smooth(values: Floats, weights: Floats, reach: int) -> Floats:
    """Weighted mean over `reach` values on each side, [N]; NaN where none of them is a number."""
    known = np.isfinite(values) & np.isfinite(weights)
    counted = np.where(known, weights, 0.0)
    sums, totals = (
        np.concatenate([[0.0], np.cumsum(part)]) for part in (np.where(known, values, 0.0) * counted, counted)
    )
    places = np.arange(len(values))
    low, high = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(values))
    total = totals[high] - totals[low]
    return np.divide(sums[high] - sums[low], total, out=np.full(len(values), np.nan), where=total > 0)
