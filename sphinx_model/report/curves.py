"""Curves against steps as SVG that stretches with the page; words and numbers are HTML beside it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sphinx_data.report.markup import Html, el, join, number
from sphinx_model.report.log import Floats, smooth

WIDE, HIGH = 1000, 200  # units of the drawing
_POINTS = 500  # bins of a longer line: the lowest and the highest of each are drawn
_REACH = 60  # the bold line is a mean over a sixtieth of the steps on each side
_APART = 0.11  # of the height, between two names at the ends of lines


class Line(NamedTuple):
    """One line of a chart."""

    name: str  # "" where the chart's own name says it
    steps: NDArray[np.int64]  # [N], rising
    values: Floats  # [N], NaN where there is none
    weights: Floats | None = None  # [N]: drawn light, with a bold weighted mean; None: drawn as it is
    colour: int = 0
    dots: bool = False


def chart(
    title: str, lines: Sequence[Line], last: int, *, note: str = "", first: int = 0, zero: bool = True,
    skipped: Sequence[int] = (),
) -> Html:  # fmt: skip
    """A figure of lines from step `first` to `last`; nothing where they have no number.

    Args:
        title: what is drawn.
        lines: what to draw; the first one answers the pointer.
        last: step at the right end.
        note: small words beside the title.
        first: step at the left end.
        zero: whether the axis begins at zero.
        skipped: steps to mark.
    """
    inside = [_cut(line, first) for line in lines]
    bold = [_bold(line) for line in inside]
    known = np.concatenate([*bold, *(line.values for line in inside)])
    known = known[np.isfinite(known)]
    if not len(known):
        return Html("")
    low, high, ticks = _axis(0.0 if zero else _lowest(bold, known), _highest(bold, known))
    span = max(last - first, 1)

    def at(steps: NDArray[np.int64], values: Floats) -> tuple[Floats, Floats]:
        return (steps - first) / span * WIDE, (1 - (values - low) / (high - low)) * HIGH

    drawn = [el("path", d=f"M0 {_y(tick, low, high):.1f}H{WIDE}", class_="grid") for tick in ticks]
    drawn += [
        el("path", el("title", f"step {step} was skipped"), class_="skipped",
           d=f"M{(step - first) / span * WIDE:.1f} 0V{HIGH}")
        for step in skipped if first <= step <= last
    ]  # fmt: skip
    for line in inside:
        if line.weights is not None:
            drawn.append(el("path", d=_path(*at(*_envelope(line.steps, line.values))), class_=f"raw k{line.colour}"))
    for place, (line, values) in enumerate(zip(inside, bold, strict=True)):
        x, y = at(*_thinned(line.steps, values))
        steps, shown = _thinned(line.steps, values)
        known_at = np.isfinite(shown)
        points = {} if place else {
            "data_x": " ".join(f"{step}" for step in steps[known_at]),
            "data_y": " ".join(f"{value:.5g}" for value in shown[known_at]),
        }  # fmt: skip
        drawn.append(el("path", d=_path(x, y), class_=f"bold k{line.colour}", **points))
        if line.dots or known_at.sum() == 1:
            marks = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x[known_at], y[known_at], strict=True))
            drawn.append(el("path", d=marks, class_=f"dot k{line.colour}"))
    picture = el("svg", drawn, viewBox=f"0 0 {WIDE} {HIGH}", preserveAspectRatio="none", role="img", aria_label=title,
                 data_low=f"{low:.6g}", data_high=f"{high:.6g}", data_first=first, data_last=first + span)  # fmt: skip
    scale = [el("span", _label(tick), style=f"top:{_y(tick, low, high) / HIGH:.2%}") for tick in ticks]
    ends = _ends(inside, bold, low, high)
    plot = el("div", el("div", scale, class_="scale"), el("div", picture, class_="area"),
              el("div", ends, class_="ends") if ends else "", class_="plot")  # fmt: skip
    axis = el("div", (el("span", f"{round(first + span * part):,}") for part in (0, 0.5)),
              el("span", f"step {first + span:,}"), class_="axis")  # fmt: skip
    caption = el("figcaption", title, el("small", note) if note else "", el("output", ""))
    return el("figure", caption, plot, axis, class_="chart named" if ends else "chart")


def _cut(line: Line, first: int) -> Line:
    inside = line.steps >= first
    weights = None if line.weights is None else line.weights[inside]
    return line._replace(steps=line.steps[inside], values=line.values[inside], weights=weights)


def _bold(line: Line) -> Floats:
    return line.values if line.weights is None else smooth(line.values, line.weights, reach(len(line.steps)))


def reach(count: int) -> int:
    """How many steps on each side the bold line of `count` steps is a mean of."""
    return max(2, count // _REACH)


def _highest(bold: Sequence[Floats], known: Floats) -> float:
    """The top of the axis: single steps may leave the chart, means never do."""
    return float(max(np.nanmax(np.concatenate(bold)), np.percentile(known, 98)))


def _lowest(bold: Sequence[Floats], known: Floats) -> float:
    return float(min(np.nanmin(np.concatenate(bold)), np.percentile(known, 2)))


def _axis(low: float, high: float) -> tuple[float, float, list[float]]:
    """Bounds at round numbers, and two to six ticks."""
    span = high - low if high > low else abs(high) or 1.0
    rough = span / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999)
    bottom, top = math.floor(low / step + 1e-9), math.ceil((low + span) / step - 1e-9)
    return bottom * step, top * step, [tick * step for tick in range(bottom, top + 1)]


def _y(value: float, low: float, high: float) -> float:
    return (1 - (value - low) / (high - low)) * HIGH


def _label(value: float) -> str:
    return f"{value:.3g}".replace("e-0", "e-") if 0 < abs(value) < 1e-3 else number(round(value, 10))


def _envelope(steps: NDArray[np.int64], values: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The lowest and the highest value of every bin, in their order, where there are more steps than bins."""
    if len(steps) <= 2 * _POINTS:
        return steps, values
    kept: list[int] = []
    for places in np.array_split(np.arange(len(steps)), _POINTS):
        known = places[np.isfinite(values[places])]
        if len(known):
            kept += sorted({int(known[np.argmin(values[known])]), int(known[np.argmax(values[known])])})
    return steps[kept], values[kept]


def _thinned(steps: NDArray[np.int64], values: Floats) -> tuple[NDArray[np.int64], Floats]:
    """At most `_POINTS` of the points, spread evenly, with the first and the last."""
    if len(steps) <= _POINTS:
        return steps, values
    kept = np.unique(np.linspace(0, len(steps) - 1, _POINTS).round().astype(np.int64))
    return steps[kept], values[kept]


def _path(x: Floats, y: Floats) -> str:
    """A line through points that breaks where there is no number."""
    parts, move = [], True
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        if math.isfinite(b):
            parts.append(f"{'M' if move else 'L'}{a:.1f} {b:.1f}")
        move = not math.isfinite(b)
    return "".join(parts)


def _ends(lines: Sequence[Line], bold: Sequence[Floats], low: float, high: float) -> Html:
    """Names and last values of lines at their right ends, moved apart where they would cover each other."""
    named = []
    for line, values in zip(lines, bold, strict=True):
        known = values[np.isfinite(values)]
        if line.name and len(known):
            named.append((_y(known[-1], low, high) / HIGH, line, known[-1]))
    named.sort(key=lambda item: item[0])
    tops: list[float] = []
    for place, (wanted, _, _) in enumerate(named):
        room = 1 - (len(named) - 1 - place) * _APART
        tops.append(max(min(wanted, room), tops[-1] + _APART if tops else 0.0))
    return join(
        el("span", line.name, " ", el("b", f"{value:.3f}"), class_=f"k{line.colour}", style=f"top:{top:.2%}")
        for top, (_, line, value) in zip(tops, named, strict=True)
    )
