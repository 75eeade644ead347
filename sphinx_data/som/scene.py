"""What dialogues know of a picture: its marked objects, the others, and how objects lie to each other, with margins.

Every relation is only said to hold, or not to hold, where measuring it in another sensible way (mark or box, mask or
box) would say the same; what lies between is not asked about.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeVar

import xxhash

from sphinx_data.sample import Region

Box = tuple[float, float, float, float]
Kind = Literal["natural", "gui", "ocr", "document"]
Direction = Literal["left", "right", "above", "below"]
T = TypeVar("T")

DIRECTIONS: tuple[Direction, ...] = ("left", "right", "above", "below")
OPPOSITE: dict[Direction, Direction] = {"left": "right", "right": "left", "above": "below", "below": "above"}
_MARGIN = 0.05  # of the picture's side: what counts as clearly on one side
_NEARER = 1.25  # times: what counts as clearly nearer
_LARGER = 1.5  # times: what counts as clearly larger
_OVERLAP = 0.1  # share of the smaller box that counts as overlapping


class Thing(NamedTuple):
    """One object of a picture."""

    region: int  # position in `Sample.regions`
    name: str | None  # readable class name
    text: str | None  # what is written there, or what an element of an interface is for
    box: Box  # pixels
    point: tuple[float, float]  # its mark, else the middle of its box
    area: float  # pixels of its whole mask
    panel: int = 0


class Scene(NamedTuple):
    """A picture to talk about; `marked` is in the order of the marks."""

    kind: Kind
    size: tuple[int, int]  # pixels
    marked: tuple[Thing, ...]
    others: tuple[Thing, ...]
    absent: tuple[
        tuple[str, ...], ...
    ]  # lists of class names that no mark is on: unmarked ones, those of other pictures
    panels: tuple[str, ...] = ()  # "top left", ...: names of the panels of a composed picture

    @property
    def noun(self) -> str:
        """What marked things are called where their class is not the matter."""
        if self.nameless:
            return "region"  # masks of a model may be of parts, or of several things
        return {"natural": "object", "gui": "element", "ocr": "text", "document": "block"}[self.kind]

    @property
    def nouns(self) -> str:
        """The same in the plural; "text" has one, unlike the class name."""
        return f"{self.noun}s"

    @property
    def named(self) -> bool:
        """Whether every marked object has a class."""
        return all(thing.name is not None for thing in self.marked)

    @property
    def nameless(self) -> bool:
        """Whether nobody said what is marked, as of a model's masks: only places and sizes can be asked about."""
        return self.kind == "natural" and not any(thing.name for thing in self.marked)

    @property
    def written(self) -> bool:
        """Whether every marked object has a text."""
        return all(thing.text is not None for thing in self.marked)

    def clearly(self, a: Thing, direction: Direction, b: Thing) -> bool:
        """Whether a lies on one side of b, by their marks and by the middles of their boxes."""
        axis = 0 if direction in ("left", "right") else 1
        sign = 1 if direction in ("left", "above") else -1
        marks = sign * (b.point[axis] - a.point[axis])
        middles = sign * (_middle(b.box)[axis] - _middle(a.box)[axis])
        return marks >= _MARGIN * self.size[axis] and middles > 0

    def where(self, a: Thing, b: Thing) -> tuple[Direction, ...]:
        """On which side or sides of b a lies, the vertical one first; () where that is not clear."""
        order: tuple[Direction, ...] = ("above", "below", "left", "right")
        sides = [d for d in order if self.clearly(a, d, b)]
        dx, dy = (abs(a.point[axis] - b.point[axis]) for axis in (0, 1))
        if len(sides) == 2 and max(dx, dy) <= 2 * min(dx, dy):
            return tuple(sides)
        wide = [d for d in sides if (d in ("left", "right")) == (dx > dy)]
        return tuple(wide) if len(wide) == 1 and max(dx, dy) >= 3 * min(dx, dy) else ()

    def split(self, direction: Direction, b: Thing) -> list[Thing] | None:
        """The other marked objects on one side of b; None unless each clearly is there or on the opposite side."""
        rest = [thing for thing in self.marked if thing is not b]
        there = [thing for thing in rest if self.clearly(thing, direction, b)]
        apart = [thing for thing in rest if self.clearly(thing, OPPOSITE[direction], b)]
        return there if len(there) + len(apart) == len(rest) else None

    def outermost(self, direction: Direction) -> Thing | None:
        """The marked object that lies clearly farthest to one side of all others."""
        for thing in self.marked:
            if all(self.clearly(thing, direction, other) for other in self.marked if other is not thing):
                return thing
        return None

    def nearest(self, a: Thing) -> Thing | None:
        """The marked object clearly nearest to a, by marks and by the gap between boxes."""
        rest = sorted((t for t in self.marked if t is not a), key=lambda t: math.dist(t.point, a.point))
        if len(rest) < 2 or math.dist(rest[1].point, a.point) < _NEARER * max(math.dist(rest[0].point, a.point), 1.0):
            return None
        gaps = [gap(thing.box, a.box) for thing in rest]
        return rest[0] if all(gaps[0] <= other for other in gaps[1:]) else None


def scene_kind(regions: Sequence[Region], task: str, domain: str) -> Kind:
    """What sort of picture a sample shows, by its task and domain and by what its regions carry."""
    if task == "gui-grounding":
        return "gui"
    labels = sum(region.label is not None for region in regions)
    lines = sum(region.label is None and region.text is not None for region in regions)
    if not labels and not lines:
        return "natural"  # masks of which nobody said what they are
    if not labels or (domain == "ocr" and lines >= labels):
        return "ocr"
    return "document" if task == "layout" or domain == "ocr" else "natural"


def larger(a: Thing, b: Thing) -> bool:
    """Whether a is clearly larger, by its mask and by its box."""
    return a.area >= _LARGER * b.area and box_area(a.box) > 1.2 * box_area(b.box)


def largest(things: Sequence[Thing]) -> Thing | None:
    """The thing that is clearly larger than all others."""
    return next((t for t in things if all(larger(t, other) for other in things if other is not t)), None)


def smallest(things: Sequence[Thing]) -> Thing | None:
    """The thing that all others are clearly larger than."""
    return next((t for t in things if all(larger(other, t) for other in things if other is not t)), None)


def overlapping(a: Box, b: Box) -> bool | None:
    """Whether boxes overlap; None where it is less than a tenth of the smaller one."""
    share = _shared(a, b) / max(min(box_area(a), box_area(b)), 1e-9)
    return True if share >= _OVERLAP else False if share == 0 and gap(a, b) > 1 else None


def inside(a: Box, b: Box) -> bool | None:
    """Whether box a lies inside box b; None where it sticks out by less than a tenth of itself."""
    if b[0] <= a[0] and b[1] <= a[1] and a[2] <= b[2] and a[3] <= b[3] and box_area(a) < box_area(b):
        return True
    return False if _shared(a, b) <= (1 - _OVERLAP) * box_area(a) else None


def alike(a: Box, b: Box) -> float:
    """Intersection over union of boxes."""
    both = _shared(a, b)
    return both / max(box_area(a) + box_area(b) - both, 1e-9)


def box_area(box: Box) -> float:
    """Square pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])


def gap(a: Box, b: Box) -> float:
    """Pixels between two boxes; 0 where they touch or overlap."""
    return math.hypot(max(a[0] - b[2], b[0] - a[2], 0.0), max(a[1] - b[3], b[1] - a[3], 0.0))


def related(one: str, other: str) -> bool:
    """Whether names share a word ("sports car", "car"), so that one may be a kind of the other."""
    return bool(set(one.lower().split()) & set(other.lower().split()))


def _shared(a: Box, b: Box) -> float:
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)


def _middle(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


class Draw:
    """Choices that follow from a key and a purpose alone, never from what was drawn before."""

    def __init__(self, key: str, seed: int = 0) -> None:
        self._key, self._seed = key, seed & 0xFFFFFFFFFFFFFFFF

    def number(self, purpose: object) -> int:
        """64 bits."""
        return int(xxhash.xxh3_64_intdigest(f"{self._key}\0{purpose}".encode("utf-8", "replace"), self._seed))

    def below(self, count: int, purpose: object) -> int:
        """0 to count - 1."""
        return self.number(purpose) % count

    def one(self, things: Sequence[T], purpose: object) -> T:
        """One of them."""
        return things[self.below(len(things), purpose)]

    def shuffled(self, things: Sequence[T], purpose: object) -> list[T]:
        """All of them in drawn order."""
        order = sorted(range(len(things)), key=lambda n: (self.number(f"{purpose}\0{n}"), n))
        return [things[n] for n in order]

    def under(self, purpose: object) -> "Draw":
        """Choices of their own for one purpose."""
        return Draw(f"{self._key}\0{purpose}", self._seed)


def pairs(things: Sequence[Thing], draw: Draw, fits: Callable[[Thing, Thing], bool]) -> tuple[Thing, Thing] | None:
    """A drawn ordered pair of different things that fits."""
    for a in draw.shuffled(things, "first"):
        for b in draw.shuffled(things, "second"):
            if a is not b and fits(a, b):
                return a, b
    return None
