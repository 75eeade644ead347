"""What a page holds besides characters: fonts, pictures, drawings and ruling lines, from PDFium's page objects."""

import ctypes
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sphinx_data.ocr.native import address_call, raw

Boxes = NDArray[
    np.float64
]  # [K, 4] left, bottom, right, top in page space; after `Page.graphics`: x0, y0, x1, y1 in pixels

TEXT, PATH, IMAGE, SHADING, FORM = 1, 2, 3, 4, 5  # FPDF_PAGEOBJ_*
_MOST = 20_000  # objects; a page with more is a map or a plot, and looking at each takes longer than drawing it
_DEEPEST_FORM = 4  # forms inside forms that are looked into
_THIN = 3.0  # points; a rule is not thicker
_MOST_SEGMENTS = 6  # of a line or rectangle: move, four lines, close


class Objects(NamedTuple):
    """The top-level objects of a page, in drawing order."""

    handles: list[int]
    kinds: list[int]
    complete: bool  # False: there are too many to look at

    def of(self, kind: int) -> list[int]:
        """Handles of the objects of a kind."""
        return [thing for thing, found in zip(self.handles, self.kinds, strict=True) if found == kind]


class Graphics(NamedTuple):
    """Where a page shows something else than text."""

    pictures: Boxes  # raster pictures, and forms that hold any
    rules: Boxes  # straight lines and rectangles, alone in their path
    drawings: Boxes  # other paths, shadings, and forms without text or pictures
    complete: bool  # False: there were too many objects, or a form mixes text and drawing


def objects_of(page: Any) -> Objects:
    """The objects of a page `FPDF_PAGE`."""
    handle = ctypes.cast(page, ctypes.c_void_p).value
    count = max(0, raw().FPDFPage_CountObjects(page))
    get, kind = address_call("FPDFPage_GetObject", 0, ctypes.c_size_t), address_call("FPDFPageObj_GetType", -1)
    handles = list(map(get, repeat(handle), range(min(count, _MOST))))
    return Objects(handles, list(map(kind, handles)), count <= _MOST)


def texts_of(objects: Objects) -> list[int] | None:
    """Handles of all text objects, those in forms too; None where they were not all looked at."""
    if not objects.complete:
        return None
    found = objects.of(TEXT)
    forms = objects.of(FORM)
    return found if all(_texts(form, FORM, 0, found) for form in forms) else None


def _texts(thing: int, kind: int, depth: int, found: list[int]) -> bool:
    if kind == TEXT:
        found.append(thing)
    elif kind == FORM:
        inner = _inner(thing)
        if depth == _DEEPEST_FORM or len(inner) > _MOST:
            return False
        return all(_texts(child, kind, depth + 1, found) for child, kind in inner)
    return True


def graphics_of(objects: Objects) -> Graphics:
    """Boxes in page space of everything that is not text."""
    pictures: list[list[float]] = []
    rules: list[list[float]] = []
    drawings: list[list[float]] = []
    complete = objects.complete
    bounds = np.zeros(4, np.float32)
    start = bounds.ctypes.data
    addresses = [start + 4 * n for n in range(4)]  # left, bottom, right, top
    get_bounds = _call("FPDFPageObj_GetBounds", 4)
    others = [thing for thing in zip(objects.handles, objects.kinds, strict=True) if thing[1] != TEXT]
    for thing, kind in others:
        if not get_bounds(thing, *addresses):
            continue
        box = bounds.tolist()
        if kind == IMAGE:
            pictures.append(box)
        elif kind == PATH:
            for kind_of, boxes in _path(thing, box):
                (rules if kind_of == "rule" else drawings).extend(boxes)
        elif kind == FORM:
            held = _held(thing, 0)
            if IMAGE in held:
                pictures.append(box)
            elif TEXT not in held:
                drawings.append(box)
            complete &= not (TEXT in held and held & {PATH, SHADING, IMAGE})
        else:
            drawings.append(box)
    return Graphics(_array(pictures), _array(rules), _array(drawings), complete)


def _path(thing: int, box: list[float]) -> list[tuple[str, list[list[float]]]]:
    """A straight line or the edges of a rectangle as rules, anything curved as a drawing, a mere ground as nothing."""
    segments = address_call("FPDFPath_CountSegments", -1, ctypes.c_int)(thing)
    left, bottom, right, top = box
    thin = min(right - left, top - bottom) <= _THIN
    if segments > _MOST_SEGMENTS or (segments <= 3 and not thin):
        return [("drawing", [box])]
    if thin:
        return [("rule", [box])]
    mode = np.zeros(2, np.int32)  # fill mode, whether it is stroked
    _call("FPDFPath_GetDrawMode", 2)(thing, mode.ctypes.data, mode.ctypes.data + 4)
    edges = [
        [left, bottom, right, bottom],
        [left, top, right, top],
        [left, bottom, left, top],
        [right, bottom, right, top],
    ]
    return [("rule", edges)] if mode[1] else []


def _held(form: int, depth: int) -> set[int]:
    """Kinds of objects inside a form and the forms in it."""
    found: set[int] = set()
    for child, kind in _inner(form)[:_MOST]:
        found |= {kind} if kind != FORM or depth == _DEEPEST_FORM else _held(child, depth + 1)
    return found


def _inner(form: int) -> list[tuple[int, int]]:
    """Handles and kinds of the objects of a form."""
    count = max(0, address_call("FPDFFormObj_CountObjects", -1, ctypes.c_int)(form))
    get, kind = _call("FPDFFormObj_GetObject", 1, ctypes.c_size_t), address_call("FPDFPageObj_GetType", -1)
    handles = [get(form, number) for number in range(min(count, _MOST + 1))]
    return [(child, kind(child)) for child in handles if child]


def _call(name: str, arguments: int, result: Any = ctypes.c_int) -> Any:
    """A PDFium function on (handle, further addresses or numbers)."""
    return address_call(name, -1, result, (ctypes.c_size_t,) * arguments)


def _array(boxes: list[list[float]]) -> Boxes:
    return np.array(boxes, np.float64).reshape(-1, 4)
