"""COCO instances: boxes, polygons, masks, layout (COCO, LVIS, Objects365, V3Det, PubLayNet, DocLayNet, M6Doc, ...).

Input: one JSON object with ``images``, ``annotations``, ``categories`` and perhaps ``licenses``; pictures by their
``file_name`` (or the end of ``coco_url``) below the folder of pictures. One sample a picture:

- detection, SPHINX's form: "Detect all objects in the image." -> "There is a dog [...], two cups [...; ...] and ...";
- layout, where the classes are those of documents: "Detect the layout of the document in the image.";
- pose, with ``--set task=pose`` or ``--format coco_keypoints``: "Detect the key points of the people in the image."

Answers are bounded: classes are asked for whole, in an order drawn from the sample's id, while `max_objects` allows. A
class that lost a region (a crowd, say), or that LVIS calls not exhaustive, gets no number; of LVIS, whose classes are
not all annotated in every picture, only classes are asked for by name. COCO's annotations are CC-BY-4.0
(https://cocodataset.org/#termsofuse); every picture carries its own licence. Lists of results are no annotations.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from sphinx_data.convert import Inputs
from sphinx_data.convert._coco_file import (
    Annotation,
    CocoFile,
    identity,
    image_of,
    is_layout,
    length,
    picture_names,
)
from sphinx_data.convert._common import CommonOptions as CommonOptions
from sphinx_data.convert._common import RejectedError as RejectedError
from sphinx_data.convert._common import UniqueIds, clean_text, find_media, limited, short
from sphinx_data.convert._json_items import value
from sphinx_data.convert._objects import Asking, ObjectOptions, Objects, PictureRecord, of_picture, opened
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._regions import coco_region, usual_region
from sphinx_data.sample import Built, Reject

Task = Literal["auto", "detection", "layout", "pose"]


class Options(ObjectOptions, frozen=True, kw_only=True):
    """Parameters of this format."""

    task: Task = "auto"  # auto: layout where the classes are those of documents, else detection
    crowd: Literal["drop", "keep"] = "drop"  # keep: "a group of people"


class Record(PictureRecord, frozen=True, kw_only=True):
    """One picture with its annotations."""

    width: int = 0  # as the file says, 0 where it does not
    height: int = 0
    annotations: tuple[Annotation, ...] = ()
    layout: bool = False  # the classes are those of documents
    federated: bool = False  # not every class was looked for (LVIS)
    inexact: tuple[str, ...] = ()  # classes of which the picture shows more than is annotated (LVIS)
    keypoints: dict[str, tuple[str, ...]] = {}  # names of the key points by class


def recognise(glimpse: Glimpse) -> bool:
    """Lists of images and annotations with boxes or segmentations, no names of key points; results, to be refused."""
    is_result = not glimpse.is_folder and not glimpse.keys and glimpse.record_has("image_id", "category_id", "score")
    return is_result or (_is_instances(glimpse) and not has_keypoints(glimpse))


def _is_instances(glimpse: Glimpse) -> bool:
    found = [entry for entry in glimpse.member("annotations") if isinstance(entry, dict)]
    return "images" in glimpse.keys and any("bbox" in entry or "segmentation" in entry for entry in found)


def has_keypoints(glimpse: Glimpse) -> bool:
    """Whether it is a file whose classes have named key points."""
    named = [isinstance(entry, dict) and bool(entry.get("keypoints")) for entry in glimpse.member("categories")]
    return _is_instances(glimpse) and bool(named) and all(named)


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every picture of every file, in file order; then the annotations that belong to none."""
    return limited(lambda: _records(inputs, options), options)


def class_names(inputs: Inputs) -> Iterator[str]:
    """Readable class names of every file, for what needs all of them (`sphinx_data.som.build.Options.vocabulary`)."""
    for path in inputs.annotations:
        with CocoFile(path) as file:
            yield from (category.name for category in file.categories.values())


def _records(inputs: Inputs, options: Options) -> Iterator[Record]:
    unique = UniqueIds(options.source)
    for path in inputs.annotations:
        name = clean_text(path.rstrip("/").rpartition("/")[2])
        with CocoFile(path) as file:
            groups = file.by_image()
            make = _maker(inputs, name, file)
            for found in file.items("images"):
                try:
                    entry = value(found.raw)
                    image_id = identity(entry["id"])
                    if image_id is None or not isinstance(entry.get("file_name", entry.get("coco_url")), str):
                        raise KeyError("id, file_name")
                except (ValueError, KeyError, TypeError, AttributeError):
                    yield _rejected(name, f"images[{found.place}]", "image-entry-invalid", short(found.raw[:60]))
                    continue
                annotations, dropped = file.sorted_out(groups.take_tagged(image_id), name, image_id)
                yield make(unique(image_id), entry, annotations, dropped)
            for _, raw in groups.rest():
                detail = f"It names picture {image_of(raw)}, which is not listed once in images."
                yield _rejected(name, str(image_of(raw)), "image-unknown", detail, level="region")


def _maker(inputs: Inputs, name: str, file: CocoFile) -> Callable[..., Record]:
    """Makes records of one file's pictures."""
    root = inputs.places()["images"]
    names = {key: category.name for key, category in file.categories.items()}
    keypoints = {category.name: category.keypoints for category in file.categories.values() if category.keypoints}
    layout = is_layout(names.values())

    def make(sample_id: str, entry: dict[str, Any], found: list[Annotation], dropped: list[Reject]) -> Record:
        record = clean_text(str(entry["id"]))
        rejects = [msgspec.structs.replace(reject, id=sample_id) for reject in dropped]
        if not found:
            detail = "No annotation of the picture can be used." if rejects else "The picture has no annotation."
            rejects.append(
                Reject(input=name, record=record, id=sample_id, level="image", rule="no-objects", detail=detail)
            )
        unsure = entry.get("not_exhaustive_category_ids")
        labels = {annotation.label for annotation in found}
        return Record(
            input=name,
            record=record,
            id=sample_id,
            media=find_media(root, *picture_names(entry)) if found else None,
            width=length(entry.get("width")),
            height=length(entry.get("height")),
            license=file.licenses.get(identity(entry.get("license")) or ""),
            annotated=file.license,
            annotations=tuple(found),
            rejects=tuple(rejects),
            layout=layout,
            federated="neg_category_ids" in entry,
            inexact=tuple(sorted({names[key] for key in map(identity, unsure) if key in names} & labels))
            if isinstance(unsure, list) else (),
            keypoints={label: keypoints[label] for label in sorted(labels) if label in keypoints} if keypoints else {},
        )  # fmt: skip

    return make


def _rejected(name: str, record: str, rule: str, detail: str, level: Literal["record", "region"] = "record") -> Record:
    found = Reject(input=name, record=record, level=level, rule=rule, detail=detail)
    return Record(input=name, record=record, rejects=(found,))


@of_picture
def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its regions, or the reject of the picture."""
    picture, frame = opened(record, options, places, record.width, record.height)
    objects = Objects(record, frame, options.min_area)
    for annotation in record.annotations:
        try:
            _add(objects, annotation, options)
        except RejectedError as error:
            objects.drop(annotation.label, _title(annotation), error)
    task = options.task if options.task != "auto" else "layout" if record.layout else "detection"
    asking = Asking(task, closed=not record.federated, inexact=frozenset(record.inexact))
    pose = {"keypoints": record.keypoints} if task == "pose" and record.keypoints else None
    yield from objects.samples(options, picture, asking, meta=pose)


def _add(objects: Objects, annotation: Annotation, options: Options) -> None:
    width, height, crowd = objects.frame.width, objects.frame.height, False
    done = usual_region(annotation.raw, annotation.label, width, height)
    if done is None:
        entry = value(annotation.raw)
        crowd = entry.get("iscrowd") == 1
        if crowd and options.crowd == "drop":
            raise RejectedError("crowd", "iscrowd is 1.")
        done = coco_region(entry, annotation.label, width, height)
    objects.add(done, annotation.label, crowd=crowd, stuff=annotation.stuff)


def _title(annotation: Annotation) -> str:
    try:
        return f"{annotation.label}, annotation {short(value(annotation.raw).get('id'))}"
    except (ValueError, AttributeError):
        return annotation.label
