"""Small charts as HTML and SVG: bars in tables, histograms, the map of image sizes."""

from collections.abc import Mapping, Sequence

from sphinx_data.report.markup import Html, el, join, number, percent
from sphinx_data.report.shares import Amounts
from sphinx_data.report.summary import SIZE_STEPS
from sphinx_data.report.tally import Distribution

ROWS = 40  # of a table of bars; the rest is one line


def bar(share: float) -> Html:
    """A horizontal bar of a share of the width."""
    filled = el("i", style=f"width:{share * 100:.2f}%") if share > 0 else ""
    return el("span", filled, class_="bar", aria_hidden="true")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1, note: str = "") -> Html:
    """A table that scrolls by itself on narrow screens; the first `words` columns are text, the others numbers."""
    cells = [
        el("tr", *(el("td", cell, class_=None if place < words else "n") for place, cell in enumerate(row)))
        for row in rows
    ]
    heads = el("tr", *(el("th", name, scope="col", class_=None if n < words else "n") for n, name in enumerate(head)))
    found = el("div", el("table", el("thead", heads), el("tbody", cells)), class_="scroll")
    return join([el("p", note, class_="quiet"), found]) if note else found


def amounts_table(title: str, groups: Mapping[str, Amounts]) -> Html:
    """One field's values with bars by samples and what else they hold."""
    total = sum(group.samples for group in groups.values())
    shown = list(groups.items())[:ROWS]
    rows: list[list[str]] = [
        [el("bdi", value), bar(group.samples / max(total, 1)), percent(group.samples, total), number(group.samples),
         number(group.images), number(group.target_chars)]
        for value, group in shown
    ]  # fmt: skip
    if len(groups) > ROWS:
        rest = list(groups.values())[ROWS:]
        sums = [sum(getattr(group, field) for group in rest) for field in ("samples", "images", "target_chars")]
        rows.append([f"{len(rest):,} others", bar(sums[0] / total), percent(sums[0], total), *map(number, sums)])
    return table([title, "", "share", "samples", "images", "target characters"], rows, words=2)


def histogram(found: Distribution) -> Html:
    """Bars with the ends of the axis, and the percentiles beneath."""
    if not found.count:
        return el("figure", el("figcaption", found.name), el("p", "none", class_="quiet"), class_="histogram")
    most = max(item.count for item in found.bins)
    width = 100 / len(found.bins)
    bars = []
    for place, item in enumerate(found.bins):
        height = 0 if not item.count else max(item.count / most * 56, 1)
        span = (
            number(item.low)
            if _single(found, item.low, item.high)
            else f"{number(item.low)} to below {number(item.high)}"
        )
        said = el("title", f"{span}: {number(item.count)} ({percent(item.count, found.count)})")
        place_x, gap = place * width, min(0.4, width / 6)
        column = el("rect", x=f"{place_x:.3f}", y=0, width=f"{width:.3f}", height=60, class_="hit")
        drawn = el("rect", x=f"{place_x + gap / 2:.3f}", y=f"{58 - height:.2f}", width=f"{width - gap:.3f}",
                   height=f"{height:.2f}")  # fmt: skip
        bars.append(el("g", said, column, drawn))
    picture = el("svg", bars, viewBox="0 0 100 60", preserveAspectRatio="none", role="img", aria_label=found.name)
    last = found.bins[-1]
    whole = found.logarithmic or _single(found, last.low, last.high)  # the upper bound is one above the largest
    ends = [number(found.bins[0].low), "bins grow with the value" if found.logarithmic else "",
            number(found.largest if whole else last.high)]  # fmt: skip
    facts = [("mean", found.mean), ("min", found.smallest), *((f"p{p}", v) for p, v in found.percentiles.items()),
             ("max", found.largest)]  # fmt: skip
    listed = [el("div", el("dt", name), el("dd", number(value))) for name, value in facts]
    return el(
        "figure",
        el("figcaption", found.name, el("small", f"{number(found.count)} counted")),
        el("div", picture, el("div", (el("span", end) for end in ends), class_="axis"),
           style=f"max-width:{max(3.6 * len(found.bins), 7):.1f}rem"),
        el("dl", listed), class_="histogram",
    )  # fmt: skip


def _single(found: Distribution, low: float, high: float) -> bool:
    """Whether a bin holds one whole number."""
    return high - low == 1 and float(low).is_integer() and float(found.smallest).is_integer()


def size_map(sizes: Mapping[tuple[int, int], int]) -> Html:
    """Images by width and height, two cells for each doubling; a stronger colour is more."""
    if not sizes:
        return Html("")
    columns, rows = [x for x, _ in sizes], [y for _, y in sizes]
    left, right = _bounds(columns)
    top, bottom = _bounds(rows)
    cell, most, total = 20, max(sizes.values()), sum(sizes.values())
    wide, high = (right - left) * cell, (bottom - top) * cell
    parts = []
    for (x, y), count in sizes.items():
        spans = (f"{2 ** (n / SIZE_STEPS):,.0f} to {2 ** ((n + 1) / SIZE_STEPS):,.0f}" for n in (x, y))
        said = el("title", " x ".join(spans), f" pixels: {number(count)} images ({percent(count, total)})")
        shade = 0.15 + 0.85 * (count / most) ** 0.4
        place = {"x": (x - left) * cell + 1, "y": (bottom - 1 - y) * cell + 1, "width": cell - 2, "height": cell - 2}
        parts.append(el("rect", said, **place, rx=3, fill_opacity=f"{shade:.2f}"))
    for n in range(left, right, SIZE_STEPS):
        label = f"{2 ** (n // SIZE_STEPS):,}"
        parts.append(el("text", label, x=(n - left) * cell, y=high + 14))
    for n in range(top, bottom, SIZE_STEPS):
        parts.append(el("text", f"{2 ** (n // SIZE_STEPS):,}", x=-5, y=(bottom - n) * cell, text_anchor="end"))
    parts.append(el("path", d=f"M0 0V{high}H{wide}", class_="frame"))
    box = f"-46 -6 {wide + 60} {high + 26}"
    drawn = el("svg", join(parts), viewBox=box, role="img", aria_label="Image sizes", style=f"max-width:{wide + 60}px")
    caption = el(
        "figcaption", "Image sizes", el("small", " width across, height upwards, pixels; a stronger colour is more")
    )
    return el("figure", caption, drawn, class_="map")


def _bounds(cells: Sequence[int]) -> tuple[int, int]:
    """First and last cell, at whole doublings, at least two doublings wide."""
    low = min(cells) // SIZE_STEPS * SIZE_STEPS
    high = -(-(max(cells) + 1) // SIZE_STEPS) * SIZE_STEPS
    return low, max(high, low + 2 * SIZE_STEPS)
