"""``log.jsonl`` as columns: what every step said, and the losses of every source."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sphinx_model.metrics import read_lines

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


def read(path: Path, last: int) -> Log:
    """The lines of a log up to step `last`; a run that goes on from a checkpoint may have logged more before."""
    lines = [line for line in read_lines(path) if line["step"] <= last]
    names = sorted({name for line in lines for name, value in line.items() if isinstance(value, int | float)})
    columns = {name: np.array([line.get(name, np.nan) for line in lines], np.float64) for name in names}
    found: dict[str, list[tuple[int, float, float]]] = {}
    for line in lines:
        for name, (loss, tokens) in line["by_source"].items():
            found.setdefault(name, []).append((line["step"], loss, tokens))
    sources = {name: _source(values) for name, values in found.items()}
    by_tokens = sorted(sources.items(), key=lambda item: (-item[1].tokens.sum(), item[0]))
    steps = np.array([line["step"] for line in lines], np.int64)
    skipped = np.array([line["step"] for line in lines if line.get("skipped")], np.int64)
    return Log(steps, columns, skipped, dict(by_tokens))


def _source(values: list[tuple[int, float, float]]) -> Source:
    steps, losses, tokens = zip(*values, strict=True)
    return Source(np.array(steps, np.int64), np.array(losses, np.float64), np.array(tokens, np.float64))


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
