"""A sample's regions with their marks: chosen, placed, numbered, and what is known of each for a dialogue."""

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import cv2
import msgspec

from sphinx_data.phrasing import english
from sphinx_data.sample import Region, Sample
from sphinx_data.som import masks, paint, place, select
from sphinx_data.som.paint import Painted, Style
from sphinx_data.som.pixels import Pixels
from sphinx_data.som.scene import Draw, Kind, Scene, Thing, scene_kind

_MARKUP = re.compile(r"<\w+[^>]*>|\\[a-zA-Z]+|\$\$")  # of tables and formulas: no text as it is seen
_OVER_TEXT: tuple[Style, ...] = ("box", "contour")


class MarkOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which objects are marked, and how."""

    max_marks: int = 10  # in one picture
    min_marks: int = 1  # pictures with fewer are left out
    min_radius: float = 4.0  # pixels from a mark to the edge of the visible part of its object
    min_share: float = 0.004  # the same as a share of the picture's longer side: places are written with two decimals
    areas: tuple[float, float] = (0.0, 1.0)  # shares of the picture that an object may cover
    most_alike: float = 0.85  # of two objects with a larger intersection over union one is marked
    style: Literal["mixed", "point", "box", "contour", "mask"] = "mixed"  # mixed: one of them, by the sample's id
    identifiers: Literal["number", "letter", "mixed"] = "number"


class Marked(NamedTuple):
    """A picture whose marks have their places."""

    regions: tuple[Region, ...]  # of the sample, with points and marks
    scene: Scene
    objects: tuple[Painted, ...]  # in the order of the marks
    style: Style

    def paint(self, picture: Pixels) -> Pixels:
        """The marks on a copy of the picture."""
        return paint.paint(picture, self.objects, self.style)

    @property
    def labels(self) -> dict[str, list[int]]:
        """Where the label of every mark is painted: x0, y0, x1, y1 in pixels."""
        return {one.text: list(one.placed.label) for one in self.objects}


def mark_regions(
    sample: Sample, options: MarkOptions, vocabulary: tuple[str, ...], draw: Draw
) -> tuple[Marked | None, list[place.Dropped]]:
    """Marks for a sample with one picture, and the regions that get none, with reasons.

    Numbers are shuffled: they tell nothing about size, class or place. Marks are the same whether they are painted or
    not.

    Args:
        sample: has one picture.
        options: which and how many.
        vocabulary: class names of all pictures, for questions about what no mark is on.
        draw: of the sample.
    """
    cv2.setNumThreads(1)  # workers are processes; threads on top of them would only wait for each other
    width, height = sample.images[0].width, sample.images[0].height
    kind = scene_kind(sample.regions, sample.task, sample.domain)
    windows, candidates, dropped = _windows(sample, kind, width, height)
    order, left_out = select.choose(
        sample.regions, windows, candidates, width * height, options.areas, options.most_alike, draw.number
    )
    gone = {drop.region for drop in left_out if drop.rule == "near-equal"}
    shown = masks.visible([None if n in gone else window for n, window in enumerate(windows)])
    least = max(options.min_radius, options.min_share * max(width, height))
    found, small = place.spots(shown, order, options.max_marks, least)
    letters = options.identifiers == "letter" or (options.identifiers == "mixed" and draw.below(2, "letters") == 1)
    reading = shown if kind != "natural" else None  # what is read must not be covered
    styles = _OVER_TEXT if kind in ("ocr", "gui") else paint.STYLES
    style: Style = draw.one(styles, "style") if options.style == "mixed" else options.style
    size = paint.label_size(len(found), letters, (width, height))
    on_mark = kind in ("natural", "document") and style != "point"
    placed, lost = place.label_spots(found, size, (width, height), on_mark, reading)
    dropped += left_out + small + lost
    if not placed:
        return None, dropped
    numbered = draw.shuffled(placed, "numbers")
    texts = [paint.identifier(number, letters) for number in range(1, len(numbered) + 1)]
    regions = _with_marks(sample.regions, numbered, texts)
    objects = tuple(Painted(_part(shown[one.region]), one, text) for one, text in zip(numbered, texts, strict=True))
    scene = _scene(sample, kind, regions, windows, [one.region for one in numbered], vocabulary)
    return Marked(regions, scene, objects, style), dropped


def _part(window: masks.Window | None) -> masks.Window:
    assert window is not None
    return window


def _windows(
    sample: Sample, kind: Kind, width: int, height: int
) -> tuple[list[masks.Window | None], list[int], list[place.Dropped]]:
    """The mask of every region, those that something can be said about, and the others."""
    windows: list[masks.Window | None] = []
    candidates: list[int] = []
    dropped: list[place.Dropped] = []
    lines = any(region.label is None and region.text for region in sample.regions)
    nameless = kind == "natural" and not any(region.label for region in sample.regions)  # a model's masks
    for number, region in enumerate(sample.regions):
        try:
            windows.append(masks.window_of(region, width, height))
        except ValueError as error:
            windows.append(None)
            dropped.append(place.Dropped(number, "mask-invalid", str(error)))
            continue
        if nameless or _known(region, kind, lines):
            candidates.append(number)
        else:
            what = "text" if kind == "ocr" else "label"
            detail = f"It has no {what}, so nothing is known to say about it."
            if kind == "ocr" and region.label and region.text:
                what, detail = "line", "It is a block of lines, which are marked instead."
            dropped.append(place.Dropped(number, f"no-{what}", detail))
    return windows, candidates, dropped


def _known(region: Region, kind: Kind, lines: bool) -> bool:
    """Whether something can be said of a region; where a page has lines, they go before its blocks."""
    if kind == "ocr":
        return bool(region.text and region.text.strip()) and not (lines and region.label)
    known = (region.label or region.text) if kind == "gui" else region.label
    return bool(known and known.strip())


def _with_marks(regions: Sequence[Region], placed: Sequence[place.Placed], texts: Sequence[str]) -> tuple[Region, ...]:
    marks = {one.region: (one, text) for one, text in zip(placed, texts, strict=True)}
    return tuple(
        msgspec.structs.replace(region, point=(marks[n][0].x, marks[n][0].y), mark=marks[n][1])
        if n in marks
        else msgspec.structs.replace(region, mark=None)
        for n, region in enumerate(regions)
    )


def _scene(
    sample: Sample, kind: Kind, regions: Sequence[Region], windows: Sequence[masks.Window | None],
    marked: Sequence[int], vocabulary: tuple[str, ...],
) -> Scene:  # fmt: skip
    panels: list[dict[str, Any]] = sample.meta.get("panels", []) if "/panels-" in sample.id else []
    things = {
        n: _thing(n, region, kind, window.area, panels)
        for n, region in enumerate(regions)
        if (window := windows[n]) is not None
    }
    here = set(marked)
    others = tuple(thing for n, thing in things.items() if n not in here)
    unmarked = tuple(sorted({thing.name for thing in others if thing.name}))
    names = tuple(str(panel["name"]) for panel in panels)
    size = sample.images[0].width, sample.images[0].height
    return Scene(kind, size, tuple(things[n] for n in marked), others, (unmarked, vocabulary), names)


def _thing(number: int, region: Region, kind: Kind, area: int, panels: Sequence[dict[str, Any]]) -> Thing:
    x0, y0, x1, y1 = region.box
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    panel = next((n for n, panel in enumerate(panels) if _holds(panel["box"], middle)), 0)
    name = english.readable(region.label) if region.label and kind in ("natural", "document") else None
    text = (region.label or region.text) if kind == "gui" else region.text
    text = " ".join(text.split()) if text and (kind == "gui" or not _MARKUP.search(text)) else None
    return Thing(number, name, text or None, region.box, region.point or middle, area, panel)


def _holds(box: Sequence[float], point: tuple[float, float]) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]
