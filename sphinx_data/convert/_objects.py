"""Objects of one picture -> regions, one question about them and its answer: what all formats of boxes share.

The question never promises more than the annotation holds: "all objects" only where no region of the picture was
dropped and every class of the data set is annotated; "all cups" where every cup is in the answer; else "cups".
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Annotated, Any, Concatenate, Literal, NamedTuple, ParamSpec, TypeVar

import msgspec
import xxhash

from sphinx_data.convert._common import CommonOptions, Media, RejectedError, load_image
from sphinx_data.convert._frame import Frame, frame_of
from sphinx_data.convert._regions import Converted
from sphinx_data.convert._sample import about_image, built
from sphinx_data.media import Prepared
from sphinx_data.phrasing import choose, english
from sphinx_data.phrasing.detection import Group, detection_answer, layout_answer, none_answer, pose_answer
from sphinx_data.sample import Built, Part, Region, Reject, Struct, Task

Level = Literal["file", "record", "image", "region", "turn"]
_CROWD = "group of "
_CLASSES_OF_NOTHING = 10  # named in a question whose answer is "none"


class ObjectOptions(CommonOptions, frozen=True, kw_only=True):
    """Parameters of every format whose answers list objects."""

    min_area: Annotated[float, msgspec.Meta(ge=0)] = 0.0  # square pixels; smaller regions are dropped
    max_objects: Annotated[int, msgspec.Meta(ge=1)] = 60  # boxes in one answer; a keypoint counts as half a box
    classes: dict[str, str | None] = {}  # other names for classes; null leaves one out: classes.WBC=null


class PictureRecord(Struct, frozen=True, kw_only=True):
    """One picture with its annotations; without id and media only rejects of the planning pass."""

    input: str
    record: str | None = None
    id: str = ""
    media: Media | None = None
    license: str | None = None  # of the picture
    annotated: str | None = None  # licence of the annotations, where the file says it
    rejects: tuple[Reject, ...] = ()

    @property
    def weight(self) -> int:
        """Bytes of the picture."""
        return max(self.media.size, 0) if self.media else 0


def reject(record: PictureRecord, level: Level, rule: str, detail: str) -> Reject:
    """A reject of a record, or of something in it."""
    return Reject(input=record.input, record=record.record, id=record.id or None, level=level, rule=rule, detail=detail)


def opened(
    record: PictureRecord, options: CommonOptions, places: dict[str, str], width: int = 0, height: int = 0,
    load: Callable[[], Prepared] | None = None,
) -> tuple[Prepared, Frame]:  # fmt: skip
    """The picture of a record and the frame of its annotation, for a picture of that size (0: unknown).

    `load` gives a picture that is no file of its own. Raises RejectedError.
    """
    assert record.media is not None
    picture = load() if load else load_image(record.media, options, places)
    return picture, frame_of(picture, width, height)


RecordT = TypeVar("RecordT", bound=PictureRecord)
P = ParamSpec("P")
Produce = Callable[Concatenate[RecordT, P], Iterator[Built | Reject]]


def of_picture(produce: Produce[RecordT, P]) -> Produce[RecordT, P]:
    """Around what makes the samples of one picture: the rejects of the planning pass come first, a record without media
    ends with them, and a RejectedError is the reject of the picture.
    """

    @wraps(produce)
    def whole(record: RecordT, *args: P.args, **kwargs: P.kwargs) -> Iterator[Built | Reject]:
        yield from record.rejects
        if record.media is not None:
            try:
                yield from produce(record, *args, **kwargs)
            except RejectedError as error:
                yield reject(record, "image", error.rule, error.detail)

    return whole


class Asking(NamedTuple):
    """What a format knows of all its pictures."""

    task: Literal["detection", "layout", "pose"] = "detection"
    closed: bool = True  # every object of the data set's classes is annotated, so "all objects" may be asked for
    inexact: frozenset[str] = frozenset()  # classes of which the picture may show more than is annotated


class Objects:
    """Collects the regions of one picture; everything is either added or dropped with a reason."""

    def __init__(self, record: PictureRecord, frame: Frame, min_area: float = 0.0) -> None:
        self.record = record
        self.frame = frame
        self.regions: list[Region] = []
        self.rejects: list[Reject] = []
        self._min_area = min_area
        self._moved = not frame.is_stored
        self._numbers: dict[str, list[int]] = {}  # of the regions of each class
        self._stuff: set[str] = set()
        self._incomplete: set[str] = set()  # classes of which the picture shows more than the answer
        self._clipped = 0
        self._validated = True  # all regions are, as they are stored

    @contextmanager
    def one(self, label: str, title: str | Callable[[], str]) -> Iterator[None]:
        """Around the conversion of one annotation: a RejectedError drops it, under this title."""
        try:
            yield
        except RejectedError as error:
            self.drop(label, title if isinstance(title, str) else title(), error)

    def drop(self, label: str, title: str, error: RejectedError) -> None:
        """Note that an annotation is not among the regions, and why."""
        self._incomplete.add(label)
        self.rejects.append(reject(self.record, "region", error.rule, f"{title}: {error.detail}"))

    def add(self, done: Converted, label: str, *, crowd: bool = False, stuff: bool = False) -> None:
        """Take a region in pixels of the annotation. Raises RejectedError where it is too small."""
        if done.area < self._min_area:
            raise RejectedError("too-small", f"Its area is {done.area:g} of at least {self._min_area:g} pixels.")
        name = f"{_CROWD}{english.plural(label)}" if crowd else label
        if name in self._numbers:
            self._numbers[name].append(len(self.regions))
        else:
            self._numbers[name] = [len(self.regions)]
        if stuff and not crowd:
            self._stuff.add(name)
        self.regions.append(self.frame.region(done.region) if self._moved else done.region)
        self._validated = self._validated and done.validated and not self._moved
        self._clipped += done.clipped

    def samples(
        self, options: ObjectOptions, picture: Prepared, asking: Asking, *, nothing: Sequence[str] = (),
        meta: dict[str, Any] | None = None,
    ) -> Iterator[Built | Reject]:  # fmt: skip
        """The sample with the rejects of its regions, or the reject of the picture.

        Args:
            options: bounds of the answer.
            picture: as it was loaded.
            asking: see there.
            nothing: the data set's classes, where a picture without any object says so; else it is rejected.
            meta: further facts.
        """
        if options.classes:
            asking = self._renamed(options.classes, asking)
            nothing = _mapped(nothing, options.classes)
        groups = self._asked_for(asking)
        yield from self.rejects
        asked, left = _bounded(groups, self._cost(asking), self.record.id, options.max_objects)
        for group in left:
            detail = f"{len(group.regions)} x {group.name}: kept as regions, but not asked for; see max_objects."
            yield from (reject(self.record, "region", "not-asked", detail) for _ in group.regions)
        task: Task = asking.task
        if asked:
            question, answer = _turn(asked, self, asking, whole=not left and not self._incomplete)
        elif nothing and not self.regions and not self.rejects:
            task = "detection"
            question, answer = _of_nothing(nothing, self.record.id)
        else:
            why = ("too-many-objects", "No class fits.") if left else ("no-objects", "No region is left.")
            yield reject(self.record, "image", *why)
            return
        yield built(
            self.record, options, [picture], domain="vision", task=task, language="en", regions=self.regions,
            license=self.record.annotated, image_licenses=[self.record.license],
            messages=about_image([(question, answer)]),
            meta={**({"clipped_boxes": self._clipped} if self._clipped else {}), **(meta or {})},
            validated=self._validated,
        )  # fmt: skip

    def _renamed(self, classes: dict[str, str | None], asking: Asking) -> Asking:
        """Give classes the names that the user says; of those left out, no region stays."""
        crowds = {number for name, found in self._numbers.items() for number in found if name.startswith(_CROWD)}
        regions, self.regions, self._numbers, self._validated = self.regions, [], {}, False
        for number, region in enumerate(regions):
            label = classes.get(region.label or "", region.label)
            if not label:
                self.rejects.append(reject(self.record, "region", "class-left-out", f"{region.label}: see classes."))
                continue
            name = f"{_CROWD}{english.plural(label)}" if number in crowds else label
            self._numbers.setdefault(name, []).append(len(self.regions))
            self.regions.append(msgspec.structs.replace(region, label=label))
        self._incomplete, self._stuff = set(_mapped(self._incomplete, classes)), set(_mapped(self._stuff, classes))
        inexact = frozenset(_mapped(asking.inexact, classes))
        return asking._replace(inexact=inexact, closed=asking.closed and all(classes.values()))

    def _asked_for(self, asking: Asking) -> list[Group]:
        numbers = self._numbers
        if asking.task == "pose":
            numbers = {name: self._with_keypoints(name, found) for name, found in numbers.items()}
        unsure = self._incomplete | asking.inexact
        return [
            Group(name, tuple(found), exact=name not in unsure, stuff=name in self._stuff)
            for name, found in numbers.items() if found
        ]  # fmt: skip

    def _with_keypoints(self, name: str, numbers: list[int]) -> list[int]:
        have = [number for number in numbers if self.regions[number].keypoints]
        if len(have) < len(numbers):
            self._incomplete.add(name)
        for _ in range(len(numbers) - len(have)):
            detail = f"{name}: no key point is labelled; kept as a region, but not asked for."
            self.rejects.append(reject(self.record, "region", "no-keypoints", detail))
        return have

    def _cost(self, asking: Asking) -> Callable[[Group], float]:
        """Of an answer, in boxes of four numbers."""
        if asking.task != "pose":
            return lambda group: len(group.regions)
        return lambda group: sum(len(self.regions[number].keypoints or ()) / 2 for number in group.regions)


def _mapped(names: Iterable[str], classes: dict[str, str | None]) -> list[str]:
    found = (classes.get(name, name) for name in names)
    return [name for name in found if name]


def _bounded(
    groups: list[Group], cost: Callable[[Group], float], sample_id: str, limit: int
) -> tuple[list[Group], list[Group]]:
    """Whole classes for an answer that costs at most `limit`, and those left out; drawn by the sample's id."""
    if sum(map(cost, groups)) <= limit:
        return groups, []
    asked: list[Group] = []
    left: list[Group] = []
    room: float = limit
    for group in sorted(groups, key=lambda g: xxhash.xxh3_64_intdigest(f"{sample_id}\0{g.name}".encode())):
        fits = cost(group) <= room
        room -= cost(group) if fits else 0
        (asked if fits else left).append(group)
    return asked, left


Turn = tuple[str, tuple[Part, ...]]


def _turn(asked: list[Group], objects: Objects, asking: Asking, *, whole: bool) -> Turn:
    exact = all(group.exact for group in asked)
    ordered = _in_order(asked, objects.regions, from_top=asking.task == "layout")
    sample_id = objects.record.id
    if asking.task == "layout":
        names = english.joined([group.name for group in ordered])
        question = choose("layout", "whole" if whole else "named", sample_id).format(objects=names)
        return question, layout_answer(ordered)
    if asking.task == "pose":
        names = english.joined([_named(group, plural=len(group.regions) > 1 or not group.exact) for group in ordered])
        question = choose("pose", "whole" if exact else "some", sample_id).format(objects=names)
        return question, pose_answer(ordered)
    kind = "all" if whole and exact and asking.closed else "named" if exact else "some"
    names = english.joined([_named(group, plural=True) for group in ordered])
    return choose("detection", kind, sample_id).format(objects=names), detection_answer(ordered)


def _named(group: Group, *, plural: bool) -> str:
    return english.plural(group.name) if plural else group.name


def _in_order(groups: list[Group], regions: list[Region], *, from_top: bool) -> list[Group]:
    """Boxes of a class from left to right (or from top to bottom), classes by their first box: an order to be seen."""

    boxes = [region.box for region in regions]
    if from_top:
        boxes = [(y0, x0, y1, x1) for x0, y0, x1, y1 in boxes]
    # sorting keeps the order of equal boxes, and regions are numbered in order
    ordered = [
        group
        if len(group.regions) == 1
        else Group(group.name, tuple(sorted(group.regions, key=boxes.__getitem__)), group.exact, group.stuff)
        for group in groups
    ]
    return sorted(ordered, key=lambda g: (boxes[g.regions[0]], g.name)) if len(ordered) > 1 else ordered


def _of_nothing(classes: Sequence[str], sample_id: str) -> Turn:
    """A question about classes, all of them or some, none of which is in the picture."""
    drawn = sorted(set(classes), key=lambda name: xxhash.xxh3_64_intdigest(f"{sample_id}\0{name}".encode()))
    names = sorted(drawn[:_CLASSES_OF_NOTHING])
    question = choose("detection", "named", sample_id).format(objects=english.joined(list(map(english.plural, names))))
    return question, none_answer(names)
