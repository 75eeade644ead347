"""Regions as text and back, one dialect per model family. Promises: docs/contracts.md, section 3.

A `RegionPart` of a message becomes text at the last moment, from the geometry that the model really uses for each
image; `parse` reads a model's answer back into pixels of the stored image.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, cast

from sphinx_data.errors import UsageError
from sphinx_data.geometry import Box, Geometry, Parsed, Point, Scale
from sphinx_data.sample import Form, Region, RegionPart

__all__ = ["DIALECTS", "Dialect", "Geometry", "Parsed", "check_forms", "dialect"]


class Dialect(NamedTuple):
    """How one model family writes regions; `forms` are those it has."""

    name: str
    forms: frozenset[str]
    render: Callable[[RegionPart, Sequence[Region], Sequence[Geometry]], str]
    parse: Callable[[str, Geometry], list[Parsed]]


def centre(region: Region) -> Point:
    """The region's point, else the middle of its box."""
    x0, y0, x1, y1 = region.box
    return region.point or ((x0 + x1) / 2, (y0 + y1) / 2)


def _mark_names(chosen: Iterable[Region]) -> str:
    return ", ".join(f"Mark {region.mark}" for region in chosen)


def _with_phrase(phrase: str | None, body: str) -> str:
    return f"{phrase} {body}" if phrase else body


# --- sphinx and plain: `dog [0.10, 0.20, 0.30, 0.40; ...]` -------------------------------------------------------

_BRACKETS = re.compile(r"\[\s*(-?[\d.]+(?:\s*[,;]\s*-?[\d.]+)+)\s*\]")
_MARK = re.compile(r"<Mark ([^\W_]+)>|\bMark ([^\W_]+)")


def _brackets(scale: Scale) -> tuple[Callable[..., str], Callable[..., list[Parsed]]]:
    def shapes(form: str, region: Region, g: Geometry) -> list[str]:
        if form == "polygon":
            return [", ".join(scale.write(ring, g)) for ring in region.polygon or ()]
        if form == "keypoints":
            zero = f"{0:.{scale.decimals}f}"  # an absent keypoint keeps its place
            written = (scale.write((x, y), g) if v else [zero, zero] for x, y, v in region.keypoints or ())
            return [", ".join(number for pair in written for number in pair)]
        return [", ".join(scale.write(region.box if form == "box" else centre(region), g))]

    def render(part: RegionPart, regions: Sequence[Region], geometries: Sequence[Geometry]) -> str:
        chosen = [regions[number] for number in part.regions]
        if part.form == "mark-name":
            return _with_phrase(part.text, _mark_names(chosen))
        if part.form == "mark":
            marks = (f"<Mark {r.mark}> [{shapes('point', r, geometries[r.image])[0]}]" for r in chosen)
            return _with_phrase(part.text, ", ".join(marks))
        pieces = [piece for region in chosen for piece in shapes(part.form, region, geometries[region.image])]
        return _with_phrase(part.text, f"[{'; '.join(pieces)}]")

    def parse(text: str, g: Geometry) -> list[Parsed]:
        found: list[Parsed] = []
        last = 0
        for match in _BRACKETS.finditer(text):
            before = text[last : match.start()]
            marks = list(_MARK.finditer(before))
            own = marks.pop() if marks and not before[marks[-1].end() :].strip() else None
            found += (Parsed(mark=m[1] or m[2]) for m in marks)
            phrase = _phrase(before[: own.start()] if own else before)
            for piece in match[1].split(";"):
                numbers = _floats(piece.split(","))
                shape = _shape(numbers, phrase, scale, g)
                if shape is not None:
                    found.append(shape._replace(mark=(own[1] or own[2]) if own else None))
            last = match.end()
        return found + [Parsed(mark=m[1] or m[2]) for m in _MARK.finditer(text[last:])]

    return render, parse


def _shape(numbers: list[float] | None, phrase: str, scale: Scale, g: Geometry) -> Parsed | None:
    if not numbers or len(numbers) % 2:
        return None
    pixels = scale.pixels(numbers, g)
    if len(numbers) == 2:
        return Parsed(phrase, point=cast(Point, pixels))
    if len(numbers) == 4:
        return Parsed(phrase, box=cast(Box, pixels))
    if phrase.endswith(("keypoints", "key points")):
        seen = [2 if x or y else 0 for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
        triples = zip(pixels[::2], pixels[1::2], seen, strict=True)
        return Parsed(phrase, keypoints=tuple((x, y, v) if v else (0.0, 0.0, 0) for x, y, v in triples))
    return Parsed(phrase, polygon=pixels)


def _phrase(before: str) -> str:
    return re.split(r"[\],.:;\n]", before)[-1].strip()


def _floats(words: Iterable[str]) -> list[float] | None:
    try:
        return [float(word) for word in words]
    except ValueError:
        return None


# --- qwen2-vl: `<|object_ref_start|>dog<|object_ref_end|><|box_start|>(x1,y1),(x2,y2)<|box_end|>` ------------------

_QWEN2_SCALE = Scale(canvas=False, top=1000, decimals=0)
_QWEN2 = re.compile(
    r"(?:<\|object_ref_start\|>(.*?)<\|object_ref_end\|>)?"
    r"((?:<\|box_start\|>\(\d+,\s*\d+\),\s*\(\d+,\s*\d+\)<\|box_end\|>)+)",
    re.DOTALL,
)


def _render_qwen2(part: RegionPart, regions: Sequence[Region], geometries: Sequence[Geometry]) -> str:
    chosen = [regions[number] for number in part.regions]
    if part.form == "mark-name":
        return _with_phrase(part.text, _mark_names(chosen))
    text = f"<|object_ref_start|>{part.text}<|object_ref_end|>" if part.text else ""
    for region in chosen:
        x0, y0, x1, y1 = _QWEN2_SCALE.write(region.box, geometries[region.image])
        text += f"<|box_start|>({x0},{y0}),({x1},{y1})<|box_end|>"
    return text


def _parse_qwen2(text: str, g: Geometry) -> list[Parsed]:
    found = []
    for match in _QWEN2.finditer(text):
        numbers = [float(n) for n in re.findall(r"\d+", match[2])]
        for start in range(0, len(numbers), 4):
            box = cast(Box, _QWEN2_SCALE.pixels(numbers[start : start + 4], g))
            found.append(Parsed(match[1] or "", box=box))
    return found or [Parsed(mark=m[1] or m[2]) for m in _MARK.finditer(text)]


# --- qwen2.5-vl: `[{"bbox_2d": [x1, y1, x2, y2], "label": "dog"}]` in pixels of the resized image ------------------

_QWEN25_SCALE = Scale(canvas=True, top=None, decimals=0)


def _render_qwen25(part: RegionPart, regions: Sequence[Region], geometries: Sequence[Geometry]) -> str:
    chosen = [regions[number] for number in part.regions]
    if part.form == "mark-name":
        return _with_phrase(part.text, _mark_names(chosen))
    items = []
    for region in chosen:
        g = geometries[region.image]
        key, flat = ("bbox_2d", region.box) if part.form == "box" else ("point_2d", centre(region))
        label = f"Mark {region.mark}" if part.form == "mark" else part.text
        item: dict[str, object] = {key: [int(n) for n in _QWEN25_SCALE.numbers(flat, g)]}
        items.append(item | ({"label": label} if label else {}))
    return json.dumps(items, ensure_ascii=False)


def _parse_qwen25(text: str, g: Geometry) -> list[Parsed]:
    found = []
    for item in _json_objects(text):
        label = str(item.get("label", ""))
        mark = _MARK.fullmatch(label)
        for key, size in (("bbox_2d", 4), ("point_2d", 2)):
            numbers = item.get(key)
            if isinstance(numbers, list) and len(numbers) == size and all(isinstance(n, (int, float)) for n in numbers):
                pixels = _QWEN25_SCALE.pixels(numbers, g)
                shape = {"box": pixels} if size == 4 else {"point": pixels}
                found.append(Parsed("" if mark else label, mark=mark[2] if mark else None, **shape))  # type: ignore[arg-type]
    return found or [Parsed(mark=m[1] or m[2]) for m in _MARK.finditer(text)]


def _json_objects(text: str) -> list[dict[str, object]]:
    """Every JSON object in a text, however the rest of it looks."""
    decoder, found, position = json.JSONDecoder(), [], text.find("{")
    while position >= 0:
        try:
            item, end = decoder.raw_decode(text, position)
            found.append(item)
        except (ValueError, RecursionError):
            end = position + 1
        position = text.find("{", end)
    return found


# --- paligemma: `<loc0123><loc0045><loc0678><loc0910> dog`, y first, of 1024 bins over the canvas -----------------

_PALIGEMMA_SCALE = Scale(canvas=True, top=1024, decimals=0, last=1023)
_PALIGEMMA = re.compile(r"<loc(\d{4})><loc(\d{4})><loc(\d{4})><loc(\d{4})>([^<;]*)")


def _render_paligemma(part: RegionPart, regions: Sequence[Region], geometries: Sequence[Geometry]) -> str:
    chosen = [regions[number] for number in part.regions]
    if part.form == "mark-name":
        return _with_phrase(part.text, _mark_names(chosen))
    pieces = []
    for region in chosen:
        x0, y0, x1, y1 = (int(n) for n in _PALIGEMMA_SCALE.numbers(region.box, geometries[region.image]))
        pieces.append("".join(f"<loc{n:04d}>" for n in (y0, x0, y1, x1)) + (f" {part.text}" if part.text else ""))
    return " ; ".join(pieces)


def _parse_paligemma(text: str, g: Geometry) -> list[Parsed]:
    found = []
    for match in _PALIGEMMA.finditer(text):
        y0, x0, y1, x1 = (float(match[i]) for i in range(1, 5))
        box = cast(Box, _PALIGEMMA_SCALE.pixels((x0, y0, x1, y1), g))
        found.append(Parsed(match[5].strip(), box=box))
    return found or [Parsed(mark=m[1] or m[2]) for m in _MARK.finditer(text)]


# --- internvl: `<ref>dog</ref><box>[[x1, y1, x2, y2], ...]</box>`, 0-1000 of the image ----------------------------

_INTERNVL_SCALE = Scale(canvas=False, top=1000, decimals=0)
_INTERNVL = re.compile(r"(?:<ref>(.*?)</ref>\s*)?<box>\s*\[(.*?)\]\s*</box>", re.DOTALL)


def _render_internvl(part: RegionPart, regions: Sequence[Region], geometries: Sequence[Geometry]) -> str:
    chosen = [regions[number] for number in part.regions]
    if part.form == "mark-name":
        return _with_phrase(part.text, _mark_names(chosen))
    boxes = (f"[{', '.join(_INTERNVL_SCALE.write(region.box, geometries[region.image]))}]" for region in chosen)
    return (f"<ref>{part.text}</ref>" if part.text else "") + f"<box>[{', '.join(boxes)}]</box>"


def _parse_internvl(text: str, g: Geometry) -> list[Parsed]:
    found = []
    for match in _INTERNVL.finditer(text):
        for inner in re.findall(r"\[([^\[\]]*)\]", match[2]):
            numbers = _floats(inner.split(","))
            if numbers and len(numbers) == 4:
                found.append(Parsed(match[1] or "", box=cast(Box, _INTERNVL_SCALE.pixels(numbers, g))))
    return found or [Parsed(mark=m[1] or m[2]) for m in _MARK.finditer(text)]


_ALL_FORMS = frozenset({"box", "point", "polygon", "keypoints", "mark", "mark-name"})
_BOX_FORMS = frozenset({"box", "mark-name"})

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect("sphinx", _ALL_FORMS, *_brackets(Scale(canvas=True, top=1, decimals=2))),
        Dialect("plain", _ALL_FORMS, *_brackets(Scale(canvas=False, top=1, decimals=3))),
        Dialect("qwen2-vl", _BOX_FORMS, _render_qwen2, _parse_qwen2),
        Dialect("qwen2.5-vl", frozenset({"box", "point", "mark", "mark-name"}), _render_qwen25, _parse_qwen25),
        Dialect("paligemma", _BOX_FORMS, _render_paligemma, _parse_paligemma),
        Dialect("internvl", _BOX_FORMS, _render_internvl, _parse_internvl),
    )
}


def dialect(name: str) -> Dialect:
    """The dialect of that name. Raises UsageError listing those there are."""
    if name not in DIALECTS:
        raise UsageError(f"dialect {name!r} is not known; choose one of {', '.join(DIALECTS)}")
    return DIALECTS[name]


def check_forms(name: str, forms: Iterable[Form | str]) -> None:
    """Planning-time check that a dialect can write every form of a dataset. Raises UsageError naming the others."""
    chosen = dialect(name)
    lacking = sorted(set(forms) - chosen.forms)
    if lacking:
        able = [other.name for other in DIALECTS.values() if set(lacking) <= other.forms]
        raise UsageError(f"dialect {name!r} cannot write {', '.join(lacking)}; these can: {', '.join(able)}")
