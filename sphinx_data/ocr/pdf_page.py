"""One loaded PDF page: its characters with boxes in pixels of the rendering, its fonts, its objects, its pixels."""

import ctypes
import functools
import re
from collections import deque
from collections.abc import Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sphinx_data.ocr import objects
from sphinx_data.ocr.native import address_call, character_boxes, font_boxes, raw
from sphinx_data.ocr.symbols import ascii_flags, drawn_by

NAMELESS = 0xFFFD  # U+FFFD stands for every glyph whose meaning the document does not tell
SYMBOL = 0xFFFE  # a noncharacter stands for every sign of a symbol font that PDFium takes for a letter
INVISIBLE_MODES = frozenset({3, 7})  # text render modes that paint nothing: invisible, clip only

_BOLD = re.compile(r"bold|black|heavy|-bd|cmb(?!sy)|cmss?bx|sfbx|gothicbbb", re.IGNORECASE)
_BITMAPS = re.compile(r"(?:[A-Z]{6}\+)?(?:LINEW?|LCIRCLEW?)\d+$|$")  # fonts of lines and circles, and nameless ones
_TOLD_OTHERWISE = 0xFFFE  # FPDFText_GetText's code for hyphens at line ends, which FPDFText_GetUnicode tells
_LONGEST_SIGNS = 4096  # code units of a text object in a symbol font
_AFFINE_UNITS = 1_000_000  # FPDF_PageToDevice answers in integers: ask on a canvas this fine, then scale


class PdfError(Exception):
    """A document or page that PDFium cannot give: `rule` for the reject row, `detail` as one sentence."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule, self.detail = rule, detail


class Characters(NamedTuple):
    """The text layer of a page in content-stream order: N UTF-16 code units as PDFium tells them.

    Generated blanks and line ends are included; a hyphen at a line end is U+0002; what a symbol font tells wrongly is
    U+FFFE (`SYMBOL`).
    """

    codes: NDArray[np.uint32]  # [N]
    boxes: NDArray[np.float64]  # [N, 4] x0, y0, x1, y1 of the ink in pixels of the rendering; not clipped


class Raster(NamedTuple):
    """A rendered page."""

    pixels: NDArray[np.uint8]  # [height, width, 4] blue, green, red, unused
    width: int
    height: int


def _font_name(font: int) -> str:
    """Base name of a font; empty where there is none."""
    if not font:
        return ""
    buffer = ctypes.create_string_buffer(256)
    length = raw().FPDFFont_GetBaseFontName(ctypes.cast(ctypes.c_void_p(font), raw().FPDF_FONT), buffer, len(buffer))
    return buffer.value.decode("utf-8", "replace") if 0 < length <= len(buffer) else ""


def _font_facts(name: str, fonts: Sequence[int]) -> list[float]:
    """What a function tells of each font as a number for size 1; 0 where there is no font."""
    tell = address_call(name, -1, ctypes.c_int, (ctypes.c_float, ctypes.c_size_t))
    room = ctypes.c_float()
    told = {font: room.value if font and tell(font, 1.0, ctypes.addressof(room)) else 0.0 for font in set(fonts)}
    return [told[font] for font in fonts]


def _drawn(font: int) -> NDArray[np.bool_] | None:
    """[128] ASCII that a symbol font draws as told; None for any other font."""
    name = _font_name(font)
    return drawn_by(name) if name else None


class Page:
    """One loaded page: sizes, characters, pixels. Valid inside the `with` that gave it."""

    def __init__(self, handle: Any, text: Any, long_side: int) -> None:
        pdfium = raw()
        self._handle, self._text = handle, text
        self.width_pt = float(pdfium.FPDF_GetPageWidthF(handle))  # as displayed: crop box and /Rotate applied
        self.height_pt = float(pdfium.FPDF_GetPageHeightF(handle))
        self.rotation = 90 * max(0, pdfium.FPDFPage_GetRotation(handle))
        longest = max(self.width_pt, self.height_pt)
        if not (0 < longest < float("inf")) or min(self.width_pt, self.height_pt) <= 0:
            raise PdfError("page-damaged", f"the page measures {self.width_pt:g} x {self.height_pt:g} pt")
        self.width = max(1, round(self.width_pt * long_side / longest))
        self.height = max(1, round(self.height_pt * long_side / longest))

    @property
    def scale(self) -> float:
        """Pixels per point along the long side."""
        return max(self.width, self.height) / max(self.width_pt, self.height_pt)

    def count(self) -> int:
        """Number of code units in the text layer."""
        return max(0, int(raw().FPDFText_CountChars(self._text)))

    def characters(self) -> Characters:
        """Codes and boxes of the whole text layer; the loop runs in C as far as ctypes allows."""
        count = self.count()
        codes = self._codes(count)
        corners = character_boxes(self._text_address, count)
        codes[self._misnamed(codes)] = SYMBOL
        codes[self._numbered(codes)] = SYMBOL
        return Characters(codes, self._to_pixels(corners))

    @functools.cached_property
    def _text_address(self) -> int | None:
        return ctypes.cast(self._text, ctypes.c_void_p).value

    def _codes(self, count: int) -> NDArray[np.uint32]:
        """[N] code units. One call gives all of them where it leaves none out; else each is asked for."""
        text, one = self._text_address, address_call("FPDFText_GetUnicode", 0)
        units = np.zeros(2 * count + 2, np.uint16)  # a code beyond U+FFFF takes two
        told = address_call("FPDFText_GetText", -1, ctypes.c_int, (ctypes.c_int, ctypes.c_int, ctypes.c_size_t))
        length = told(text, 0, count, units.ctypes.data) - 1 if count else 0
        codes = units[:count].astype(np.uint32)
        if length != count or ((codes >= 0xD800) & (codes < 0xE000)).any():
            return np.fromiter(map(one, repeat(text, count), range(count)), np.uint32, count)
        for place in np.flatnonzero(codes == _TOLD_OTHERWISE).tolist():  # hyphens at line ends, mostly
            codes[place] = one(text, place)
        return codes

    def _misnamed(self, codes: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """[N]: characters that a symbol font tells as ASCII but does not draw as such."""
        wrong = np.zeros(len(codes), np.bool_)
        font_of = address_call("FPDFTextObj_GetFont", -1, ctypes.c_size_t)
        known = objects.texts_of(self._objects)
        suspects = codes < 128
        if known is not None:
            misnamed = self._misnamed_codes(known)
            if not misnamed:
                return wrong
            suspects = ascii_flags("".join(map(chr, misnamed)))[np.minimum(codes, 128)]
        places = np.flatnonzero(suspects)
        if not len(places):
            return wrong
        unique, inverse = np.unique(np.array(self._things(places), np.uintp), return_inverse=True)
        fonts = np.array([font_of(thing) if thing else 0 for thing in unique.tolist()], np.uintp)[inverse]
        for font in np.unique(fonts).tolist():
            if (drawn := _drawn(font)) is not None:
                mine = places[fonts == font]
                wrong[mine] = ~drawn[codes[mine]]
        return wrong

    def _numbered(self, codes: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Places of dingbats that are none: bitmap fonts name their glyphs "a1", "a2" as Zapf's Dingbats do."""
        font_of = address_call("FPDFTextObj_GetFont", -1, ctypes.c_size_t)
        places = np.flatnonzero((codes >= 0x2701) & (codes <= 0x27BE))
        names = [_font_name(font_of(thing)) if thing else "" for thing in self._things(places)]
        return places[[bool(_BITMAPS.match(name)) for name in names]] if len(places) else places

    def _misnamed_codes(self, things: Sequence[int]) -> set[int]:
        """ASCII codes that text objects `things` tell in symbol fonts that do not draw them."""
        font_of = address_call("FPDFTextObj_GetFont", -1, ctypes.c_size_t)
        text_of = address_call("FPDFTextObj_GetText", -1, ctypes.c_ulong, (ctypes.c_size_t,) * 2 + (ctypes.c_ulong,))
        fonts = list(map(font_of, things))
        tables = {font: _drawn(font) for font in set(fonts)}
        if all(drawn is None for drawn in tables.values()):
            return set()
        buffer = np.zeros(_LONGEST_SIGNS, np.uint16)
        found: set[int] = set()
        for thing, font in zip(things, fonts, strict=True):
            if (drawn := tables[font]) is None:
                continue
            size = text_of(thing, self._text_address, buffer.ctypes.data, buffer.nbytes) // 2
            told = buffer[: min(size, len(buffer))]
            if size > len(buffer):
                return set(range(128))
            found.update(code for code in set(told.tolist()) if code < 128 and not drawn[code])
        return found

    def loose_heights(self, indices: NDArray[np.int64], vertical: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Ascent to descent in pixels [K] of characters `indices` [K], measured along x where `vertical` [K]."""
        boxes = self.loose_boxes(indices)
        return np.where(vertical, boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])

    def loose_boxes(self, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """[K, 4] x0, y0, x1, y1 in pixels of characters `indices` [K] by their font: advance, and ascent to descent."""
        corners = font_boxes(self._text_address, indices.tolist())  # left, top, right, bottom
        return self._to_pixels(corners[:, [0, 3, 2, 1]])

    def font_reach(self, indices: NDArray[np.int64]) -> tuple[list[float], list[float]]:
        """Ascents and descents [K] of the fonts of characters `indices` [K] in font sizes, both counted upwards."""
        font_of = address_call("FPDFTextObj_GetFont", -1, ctypes.c_size_t)
        fonts = [font_of(thing) if thing else 0 for thing in self._things(indices)]
        return _font_facts("FPDFFont_GetAscent", fonts), _font_facts("FPDFFont_GetDescent", fonts)

    def _floats(self, name: str, indices: NDArray[np.int64], size: int) -> NDArray[np.float64]:
        """[K, size] what a function writes about each of some characters as a struct of floats; zeros if nothing."""
        found = np.zeros((len(indices), size), np.float32)
        places = range(found.ctypes.data, found.ctypes.data + found.nbytes, 4 * size)
        deque(map(address_call(name, 1), repeat(self._text_address), indices.tolist(), places), maxlen=0)
        return found.astype(np.float64)

    def invisible(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """For characters `indices` [K]: whether their text render mode paints nothing (the layer of an OCR run)."""
        mode_of = address_call("FPDFTextObj_GetTextRenderMode", -1, ctypes.c_int)
        modes = [mode_of(thing) if thing else 0 for thing in self._things(indices)]
        return np.array([mode in INVISIBLE_MODES for mode in modes], np.bool_)

    def _things(self, indices: NDArray[np.int64]) -> list[int]:
        """Addresses of the text objects of characters `indices` [K]; 0 where there is none."""
        return list(
            map(
                address_call("FPDFText_GetTextObject", 0, ctypes.c_size_t), repeat(self._text_address), indices.tolist()
            )
        )

    def bold(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """For characters `indices` [K]: whether their font says in its name that it is bold."""
        font_of = address_call("FPDFTextObj_GetFont", -1, ctypes.c_size_t)
        fonts = [font_of(thing) if thing else 0 for thing in self._things(indices)]
        heavy = {font: bool(_BOLD.search(_font_name(font))) for font in set(fonts)}
        return np.array([heavy[font] for font in fonts], np.bool_)

    def turned(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """For characters `indices` [K]: whether they are drawn as in a mirror, so that nobody reads them as told, and
        whether they stand on their heads on the page as displayed.
        """
        matrix = self._floats("FPDFText_GetMatrix", indices, 6)  # a, b, c, d, e, f
        matrix[:, :4] *= self._drawn_way(indices, matrix)
        a, b, c, d = matrix[:, :4].T
        along, up = matrix[:, :2] @ self._affine[:, :2].T, matrix[:, 2:4] @ self._affine[:, :2].T
        on_head = (along[:, 0] < -np.abs(along[:, 1])) & (up[:, 1] > 0)  # pixels count downwards
        return a * d - b * c < 0, on_head

    def _drawn_way(self, indices: NDArray[np.int64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """[K, 4] factors 1 or -1 for the directions `matrix` [K, 6] of characters, as their glyphs are really drawn.

        Bitmap fonts may be upside down in themselves and turned by the text: where that alone seems to mirror, the
        ink tells on which side of its origin a letter stands.
        """
        factors = np.ones((len(indices), 4))
        a, b, c, d = matrix[:, :4].T
        x, y = ctypes.c_double(), ctypes.c_double()
        for place in np.flatnonzero(a * d - b * c < 0).tolist():
            index = int(indices[place])
            raw().FPDFText_GetCharOrigin(self._text, index, x, y)
            sides = [ctypes.c_double() for _ in range(4)]  # left, right, bottom, top
            raw().FPDFText_GetCharBox(self._text, index, *sides)
            left, right, bottom, top = (side.value for side in sides)
            offset = np.array([(left + right) / 2 - x.value, (bottom + top) / 2 - y.value])
            basis = matrix[place, :4].reshape(2, 2).T  # columns: along and up
            ways = np.where(np.linalg.solve(basis, offset) < 0, -1.0, 1.0)
            factors[place] = np.repeat(ways, 2)
        return factors

    @functools.cached_property
    def _objects(self) -> objects.Objects:
        return objects.objects_of(self._handle)

    @functools.cached_property
    def graphics(self) -> objects.Graphics:
        """Everything on the page that is not text, in pixels of the rendering."""
        found = objects.graphics_of(self._objects)
        pictures, rules, drawings = map(self._to_pixels, found[:3])
        return objects.Graphics(pictures, rules, drawings, found.complete)

    def covered_by_pictures(self) -> float:
        """Share of the page that its largest raster picture covers, 0 to 1."""
        boxes = self.graphics.pictures
        low = np.maximum(boxes[:, :2], 0)
        high = np.minimum(boxes[:, 2:], (self.width, self.height))
        return float(np.prod(np.maximum(high - low, 0), axis=1).max(initial=0.0)) / (self.width * self.height)

    def render(self) -> Raster:
        """The page content on white, without annotations and form fields: what the text layer speaks of."""
        pdfium = raw()
        pixels = np.empty((self.height, self.width, 4), np.uint8)
        address = pixels.ctypes.data_as(ctypes.c_void_p)
        bitmap = pdfium.FPDFBitmap_CreateEx(self.width, self.height, pdfium.FPDFBitmap_BGRx, address, self.width * 4)
        if not bitmap:
            raise PdfError("page-damaged", f"PDFium gives no bitmap of {self.width} x {self.height} pixels")
        try:
            pdfium.FPDFBitmap_FillRect(bitmap, 0, 0, self.width, self.height, 0xFFFFFFFF)
            pdfium.FPDF_RenderPageBitmap(bitmap, self._handle, 0, 0, self.width, self.height, 0, 0)
        finally:
            pdfium.FPDFBitmap_Destroy(bitmap)
        return Raster(pixels, self.width, self.height)

    def _to_pixels(self, corners: NDArray[np.float64]) -> NDArray[np.float64]:
        """[N, 4] left, bottom, right, top in page space -> [N, 4] x0, y0, x1, y1 in pixels, rotation included."""
        if not len(corners):
            return corners
        affine = self._affine
        if not (affine[0, 1] or affine[1, 0]):  # upright, as nearly all pages are
            x = corners[:, 0::2] * affine[0, 0] + affine[0, 2]
            y = corners[:, 1::2] * affine[1, 1] + affine[1, 2]
            found = np.empty((len(corners), 4))
            for side, pick in ((0, np.minimum), (2, np.maximum)):
                pick(x[:, 0], x[:, 1], out=found[:, side])
                pick(y[:, 0], y[:, 1], out=found[:, side + 1])
            return found
        first = corners[:, :2] @ affine[:, :2].T + affine[:, 2]
        second = corners[:, 2:] @ affine[:, :2].T + affine[:, 2]
        return np.hstack([np.minimum(first, second), np.maximum(first, second)])

    @functools.cached_property
    def _affine(self) -> NDArray[np.float64]:
        """[2, 3] map from page space (points, y up, unrotated) to pixels."""
        reach = max(self.width_pt, self.height_pt)
        origin, along_x, along_y = (self._device(*point) for point in ((0.0, 0.0), (reach, 0.0), (0.0, reach)))
        columns = [(along_x - origin) / reach, (along_y - origin) / reach, origin]
        return np.stack(columns, axis=1) * np.array([[self.width], [self.height]]) / _AFFINE_UNITS

    def _device(self, x: float, y: float) -> NDArray[np.float64]:
        device_x, device_y = ctypes.c_int(), ctypes.c_int()
        size = _AFFINE_UNITS
        raw().FPDF_PageToDevice(self._handle, 0, 0, size, size, 0, x, y, device_x, device_y)
        return np.array([device_x.value, device_y.value], np.float64)


def jpeg(raster: Raster, quality: int) -> bytes:
    """Encode straight from the bitmap (libjpeg-turbo reads the four-byte pixels itself): equal pixels, equal bytes."""
    import cv2

    done, encoded = cv2.imencode(".jpg", raster.pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise PdfError("page-damaged", f"the {raster.width} x {raster.height} picture cannot be encoded as JPEG")
    return encoded.tobytes()
