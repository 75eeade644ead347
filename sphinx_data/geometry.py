"""Coordinates: pixels of a stored image, the canvas a model sees, and the numbers that a dialect writes."""

from collections.abc import Sequence
from typing import NamedTuple

Box = tuple[float, float, float, float]
Point = tuple[float, float]


class Geometry(NamedTuple):
    """Affine map of one image, stored pixels -> model canvas: ``x * sx + dx``, ``y * sy + dy``."""

    sx: float
    sy: float
    dx: float
    dy: float
    canvas: Point  # width and height of the canvas
    width: int  # of the stored image, pixels
    height: int

    @classmethod
    def padded(cls, width: int, height: int, side: float | None = None) -> "Geometry":
        """The image centred on a square canvas of `side` (default: its longer edge), as SPHINX pads it."""
        edge = max(width, height)
        side = edge if side is None else side
        scale = side / edge
        return cls(scale, scale, (edge - width) / 2 * scale, (edge - height) / 2 * scale, (side, side), width, height)

    @classmethod
    def stretched(cls, width: int, height: int, canvas: Point | None = None) -> "Geometry":
        """The image resized to fill the canvas (default: its own size)."""
        canvas = canvas or (float(width), float(height))
        return cls(canvas[0] / width, canvas[1] / height, 0.0, 0.0, canvas, width, height)


class Parsed(NamedTuple):
    """One place that a text names, in pixels of the stored image; exactly one of the shapes is set, or only `mark`."""

    phrase: str = ""  # the words before it, as far as the text tells
    box: Box | None = None
    point: Point | None = None
    polygon: tuple[float, ...] | None = None  # one ring, flat
    keypoints: tuple[tuple[float, float, int], ...] | None = None
    mark: str | None = None


class Scale(NamedTuple):
    """From pixels to the numbers of a dialect: relative to the canvas or to the image, times `top` (None: pixels)."""

    canvas: bool
    top: float | None
    decimals: int
    last: float | None = None  # largest number that is written, where it is below `top`

    def factors(self, g: Geometry) -> tuple[float, float, float, float]:
        """a, b, c, d of ``x * a + b`` and ``y * c + d``."""
        sx, sy, dx, dy = (g.sx, g.sy, g.dx, g.dy) if self.canvas else (1.0, 1.0, 0.0, 0.0)
        if self.top is None:
            return sx, dx, sy, dy
        w, h = g.canvas if self.canvas else (g.width, g.height)
        return sx * self.top / w, dx * self.top / w, sy * self.top / h, dy * self.top / h

    def numbers(self, flat: Sequence[float], g: Geometry) -> list[float]:
        """x, y, x, y ... in the dialect's unit, clamped and rounded half up."""
        a, b, c, d = self.factors(g)
        w, h = (self.top, self.top) if self.top is not None else g.canvas if self.canvas else (g.width, g.height)
        unit = 10**self.decimals
        out = []
        for index, value in enumerate(flat):
            scaled, limit = (value * c + d, h) if index % 2 else (value * a + b, w)
            limit = limit if self.last is None else min(limit, self.last)
            out.append(min(int(min(max(scaled, 0.0), limit) * unit + 0.5) / unit, limit))
        return out

    def write(self, flat: Sequence[float], g: Geometry) -> list[str]:
        """The same as text with exactly `decimals` decimals."""
        return [f"{number:.{self.decimals}f}" for number in self.numbers(flat, g)]

    def pixels(self, numbers: Sequence[float], g: Geometry) -> tuple[float, ...]:
        """Back to pixels of the stored image, clamped to it."""
        a, b, c, d = self.factors(g)
        out = []
        for index, number in enumerate(numbers):
            value, limit = ((number - d) / c, g.height) if index % 2 else ((number - b) / a, g.width)
            out.append(min(max(value, 0.0), float(limit)))
        return tuple(out)
