"""COCO instances: boxes, polygons, both run-length forms, crowds, keypoints (COCO, LVIS, Objects365, PubLayNet, ...).

Input: one JSON object with ``images``, ``annotations``, ``categories`` and perhaps ``licenses``; pictures by their
``file_name`` (or the end of ``coco_url``) below the folder of pictures. One sample a picture, with a detection turn in
SPHINX's form: "Detect all objects in the image." -> "There is a dog [...], two cups [...; ...] and ... in the image."
Answers are bounded: classes are asked for whole, in an order drawn from the sample's id, while `max_objects` allows; a
picture with more names its classes in the question. A class that lost a region (a crowd, say) gets no number.
COCO's annotations are CC-BY-4.0 (https://cocodataset.org/#termsofuse); every picture carries its own licence.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import msgspec
import xxhash

from sphinx_data.convert import Inputs
from sphinx_data.convert._coco_file import (
    Annotation,
    CocoFile,
    annotations_by_image,
    categories,
    identity,
    length,
    licenses,
    picture_names,
)
from sphinx_data.convert._common import (
    CommonOptions,
    Media,
    RejectedError,
    UniqueIds,
    clean_text,
    decode_file,
    find_media,
    item,
    limited,
    load_image,
    short,
)
from sphinx_data.convert._regions import coco_region
from sphinx_data.licenses import UNKNOWN
from sphinx_data.media import Prepared
from sphinx_data.phrasing import choose, english
from sphinx_data.phrasing.detection import Group, detection_answer
from sphinx_data.sample import (
    Built,
    Image,
    ImagePart,
    Message,
    Origin,
    Region,
    Reject,
    Sample,
    Struct,
    TextPart,
)  # fmt: skip


class Options(CommonOptions, frozen=True, kw_only=True):
    """Parameters of this format."""

    crowd: Literal["drop", "keep"] = "drop"  # keep: "a group of people"
    min_area: float = 0.0  # square pixels; smaller regions are dropped
    max_objects: int = 60  # boxes in one answer


class Record(Struct, frozen=True, kw_only=True):
    """One picture with its annotations; without id and media only rejects of the planning pass."""

    input: str
    record: str | None = None
    id: str = ""
    media: Media | None = None
    width: int = 0  # as the file says, 0 where it does not
    height: int = 0
    license: str | None = None
    annotations: tuple[Annotation, ...] = ()
    rejects: tuple[Reject, ...] = ()

    @property
    def weight(self) -> int:
        """Bytes of the picture."""
        return max(self.media.size, 0) if self.media else 0


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every picture of every file, in file order; then the annotations that belong to none."""
    return limited(lambda: _records(inputs, options), options)


def class_names(inputs: Inputs) -> Iterator[str]:
    """Readable class names of every file, for what needs all of them (`sphinx_data.som.build.Options.vocabulary`)."""
    for path in inputs.annotations:
        yield from (name for name, _ in categories(decode_file(path, CocoFile)).values())


def _records(inputs: Inputs, options: Options) -> Iterator[Record]:
    unique = UniqueIds(options.source)
    for path in inputs.annotations:
        name = clean_text(path.rstrip("/").rpartition("/")[2])
        file = decode_file(path, CocoFile)
        names = licenses(file)
        by_image = annotations_by_image(file, name)
        for position, raw in enumerate(file.images):
            try:
                entry = item(raw)
                image_id = identity(entry["id"])
                if image_id is None or not isinstance(entry.get("file_name", entry.get("coco_url")), str):
                    raise KeyError("id, file_name")
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                yield _rejected(name, f"images[{position}]", "image-entry-invalid", f"{short(bytes(raw)[:60])}")
                continue
            found, dropped = by_image.pop(image_id, ([], []))
            yield _record(inputs, name, unique(image_id), entry, names, found, dropped)
        for image_id, (found, dropped) in by_image.items():
            count = len(found) + len(dropped)
            detail = f"{count} annotations name image {image_id}, which is not listed once in images."
            for _ in range(count):
                yield _rejected(name, str(image_id), "image-unknown", detail, level="region")


def _record(
    inputs: Inputs, name: str, sample_id: str, entry: dict[str, Any], names: dict[str, str],
    found: list[Annotation], dropped: list[Reject],
) -> Record:  # fmt: skip
    record = clean_text(str(entry["id"]))
    rejects = [msgspec.structs.replace(reject, id=sample_id) for reject in dropped]
    if not found:
        detail = "No annotation of the picture can be used." if rejects else "The picture has no annotation."
        rejects.append(Reject(input=name, record=record, id=sample_id, level="image", rule="no-objects", detail=detail))
    return Record(
        input=name,
        record=record,
        id=sample_id,
        media=find_media(inputs.places()["images"], *picture_names(entry)) if found else None,
        width=length(entry.get("width")),
        height=length(entry.get("height")),
        license=names.get(identity(entry.get("license")) or ""),
        annotations=tuple(found),
        rejects=tuple(rejects),
    )


def _rejected(name: str, record: str, rule: str, detail: str, level: Literal["record", "region"] = "record") -> Record:
    reject = Reject(input=name, record=record, level=level, rule=rule, detail=detail)
    return Record(input=name, record=record, rejects=(reject,))


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its regions, or the reject of the picture."""
    yield from record.rejects
    if record.media is None:
        return
    try:
        picture = load_image(record.media, options, places)
        _check_size(record, picture)
    except RejectedError as error:
        yield _reject(record, "image", error.rule, error.detail)
        return
    found = _find_regions(record, options, picture)
    yield from found.rejects
    asked, left = _bounded(found.groups, record.id, options.max_objects)
    for group in left:
        detail = f"{len(group.regions)} x {group.name}: kept as regions, but not asked for; see max_objects."
        yield from (_reject(record, "region", "not-asked", detail) for _ in group.regions)
    if not asked:
        rule, detail = ("too-many-objects", "No class fits.") if left else ("no-objects", "No region is left.")
        yield _reject(record, "image", rule, detail)
        return
    yield Built(_sample(record, options, picture, found, asked, named=bool(left)), (picture.data,))


class _Found(NamedTuple):
    """Regions of a picture, by class as well, and what was dropped."""

    regions: list[Region]
    groups: list[Group]
    rejects: list[Reject]
    clipped: int  # boxes that stuck out of the picture


def _find_regions(record: Record, options: Options, picture: Prepared) -> _Found:
    regions: list[Region] = []
    rejects: list[Reject] = []
    groups: dict[str, Group] = {}
    incomplete: set[str] = set()  # classes of which the picture shows more than the answer
    clipped = 0
    for annotation in record.annotations:
        try:
            value = item(annotation.raw)
            crowd = value.get("iscrowd") == 1
            if crowd and options.crowd == "drop":
                raise RejectedError("crowd", "iscrowd is 1.")
            done = coco_region(value, annotation.label, picture.width, picture.height)
            if done.area < options.min_area:
                raise RejectedError("too-small", f"Its area is {done.area:g} of at least {options.min_area:g} pixels.")
        except RejectedError as error:
            incomplete.add(annotation.label)
            rejects.append(_reject(record, "region", error.rule, f"{_title(annotation)}: {error.detail}"))
            continue
        name = f"group of {english.plural(annotation.label)}" if crowd else annotation.label
        before = groups[name].regions if name in groups else ()
        groups[name] = Group(name=name, regions=(*before, len(regions)), stuff=annotation.stuff and not crowd)
        regions.append(done.region)
        clipped += done.clipped
    counted = [group._replace(exact=group.name not in incomplete) for group in groups.values()]
    return _Found(regions, counted, rejects, clipped)


def _check_size(record: Record, picture: Prepared) -> None:
    """Annotated and stored size must agree, or boxes would lie in wrong places. Raises RejectedError."""
    declared, stored = (record.width, record.height), (picture.width, picture.height)
    if picture.scale != 1:
        raise RejectedError("image-too-large", f"The picture has {record.width}x{record.height} pixels.")
    if picture.orientation != 1 and not (picture.orientation >= 5 and declared == stored != declared[::-1]):
        raise RejectedError("image-rotated", f"EXIF rotation {picture.orientation}: the boxes' frame is not certain.")
    if min(declared) > 0 and declared != stored:
        detail = f"The annotation says {declared[0]}x{declared[1]}, the picture has {stored[0]}x{stored[1]} pixels."
        raise RejectedError("size-mismatch", detail)


def _title(annotation: Annotation) -> str:
    try:
        return f"{annotation.label}, annotation {short(item(annotation.raw).get('id'))}"
    except (ValueError, AttributeError):
        return annotation.label


def _reject(record: Record, level: Literal["image", "region"], rule: str, detail: str) -> Reject:
    return Reject(input=record.input, record=record.record, id=record.id, level=level, rule=rule, detail=detail)


def _bounded(groups: list[Group], sample_id: str, limit: int) -> tuple[list[Group], list[Group]]:
    """Whole classes for an answer of at most `limit` boxes, and those left out."""
    if sum(len(group.regions) for group in groups) <= limit:
        return groups, []
    asked: list[Group] = []
    left: list[Group] = []
    room = limit
    for group in sorted(groups, key=lambda g: xxhash.xxh3_64_intdigest(f"{sample_id}\0{g.name}".encode())):
        fits = len(group.regions) <= room
        room -= len(group.regions) if fits else 0
        (asked if fits else left).append(group)
    return asked, left


def _from_left(groups: list[Group], regions: list[Region]) -> list[Group]:
    """Boxes of a class from left to right, classes by their first box: an order that can be seen."""
    ordered = [g._replace(regions=tuple(sorted(g.regions, key=lambda n: (*regions[n].box, n)))) for g in groups]
    return sorted(ordered, key=lambda g: (*regions[g.regions[0]].box, g.name))


def _sample(
    record: Record, options: Options, picture: Prepared, found: _Found, asked: list[Group], *, named: bool
) -> Sample:
    groups = _from_left(asked, found.regions)
    question = choose("detection", "named" if named else "all", record.id)
    question = question.format(objects=english.joined([g.name if g.stuff else english.plural(g.name) for g in groups]))
    meta: dict[str, Any] = {"clipped_boxes": found.clipped} if found.clipped else {}
    if picture.change:
        meta["image_change"] = picture.change
    image = Image(file=f"0.{picture.extension}", width=picture.width, height=picture.height, license=record.license)
    return Sample(
        id=record.id,
        source=options.source,
        license=options.license or UNKNOWN,
        domain="vision",
        task="detection",
        language=options.language,
        split=options.split,
        images=(image,),
        regions=tuple(found.regions),
        messages=(
            Message(role="user", content=(ImagePart(image=0), TextPart(text=question))),
            Message(role="assistant", content=detection_answer(groups)),
        ),
        meta=meta,
        origin=Origin(file=record.input, record=record.record),
    )
