"""SA-1B's masks without classes: a JSON file a picture, as Segment Anything's data set and its generators write them.

Input: a folder of JSON files, and with ``--images DIR`` the folder of pictures, by default the same. ``a/b.json`` or
``a/b.jpg.json`` belongs to the picture ``a/b.jpg`` (or .png, .webp ...) and holds one of

- SA-1B's form: {"image": {width, height, file_name, ...}, "annotations": [{"segmentation": {"size": [height, width],
  "counts": COCO's compressed run lengths}, bbox, area, predicted_iou, stability_score, point_coords: [[x, y]],
  crop_box, id}]};
- the list of annotations alone, as ``amg.py --convert-to-rle`` of https://github.com/facebookresearch/segment-anything
  writes it. What ``sphinx-model masks`` writes is of the first form.

One sample a picture, its regions without labels; boxes are those of the masks (SA-1B's leave out the last pixel), their
scores ``predicted_iou``. It is asked for the box of the smallest segment around the point that a mask was made from.
SA-1B's own licence allows research alone (https://ai.meta.com/datasets/segment-anything/): give it with ``--license``.
The form follows the released code; no file of SA-1B was at hand.
"""

import os
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

import msgspec
import numpy as np

from sphinx_data import rle, storage
from sphinx_data.convert import Inputs
from sphinx_data.convert._common import CommonOptions, Media, RejectedError, UniqueIds, clean_text, limited, load_image
from sphinx_data.convert._frame import Frame, frame_of
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._regions import coco_region
from sphinx_data.convert._sample import about_image, built
from sphinx_data.errors import InputError, UsageError
from sphinx_data.media import Prepared
from sphinx_data.phrasing import choose
from sphinx_data.sample import Built, Form, Part, Region, RegionPart, Reject, Struct, TextPart

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
SETTINGS = "sam.json"  # beside masks that were made here: which checkpoint made them
_MOST_TURNS = 8  # of one dialogue
_POINT = "\0"  # where a wording has the point
_FORMS: tuple[Form, Form] = ("point", "box")


class Options(CommonOptions, frozen=True, kw_only=True):
    """Parameters of this format."""

    min_area: Annotated[int, msgspec.Meta(ge=0)] = 0  # pixels; smaller masks are dropped


class Record(Struct, frozen=True, kw_only=True):
    """A picture and its file of masks, or the reject of a file that has no partner."""

    input: str
    id: str = ""
    media: Media = Media(name="")
    masks: Media = Media(name="")  # below the folder of masks
    reject: Reject | None = None

    @property
    def record(self) -> None:
        """A picture is a file of its own."""

    @property
    def weight(self) -> int:
        """Bytes of the picture and its masks."""
        return max(self.media.size, 0) + max(self.masks.size, 0)


class _Image(msgspec.Struct):
    width: int = 0
    height: int = 0
    upright: bool = False  # masks are of the picture as EXIF turns it


class _Found(msgspec.Struct):
    image: _Image = msgspec.field(default_factory=_Image)
    annotations: list[dict[str, Any]] = []
    error: str | None = None  # why there are no masks


def recognise(glimpse: Glimpse) -> bool:
    """A folder with JSON files of masks that have a predicted quality."""
    if not glimpse.is_folder:
        return False
    names = [name for name in glimpse.names if name.endswith(".json") and os.path.basename(name) != SETTINGS]
    if not names:
        return False
    first = Glimpse(Inputs((storage.join(glimpse.path, names[0]),)))
    found = first.member("annotations") or ([] if first.keys else first.records)
    bare = first.keys == {"image", "annotations"} and SETTINGS in glimpse.names  # a picture without any mask
    return bare or any(isinstance(entry, dict) and {"segmentation", "predicted_iou"} <= entry.keys() for entry in found)


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every picture that has a file of masks, in order of the files; then pictures without one."""
    return limited(lambda: _records(inputs, options), options)


def _records(inputs: Inputs, options: Options) -> Iterator[Record]:
    folder = inputs.annotations[0]
    if len(inputs.annotations) > 1:
        raise UsageError("sa1b: give one folder of JSON files, with --images for the folder of pictures")
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: is not a folder of JSON files, one a picture")
    images = inputs.places()["images"]
    pictures = {name: size for name, size in storage.list_files(images) if name.lower().endswith(PICTURES)}
    stems: dict[str, str] = {}
    for name in pictures:
        stems.setdefault(os.path.splitext(name)[0], name)
    unique = UniqueIds(options.source)
    for name, size in storage.list_files(folder):
        stem = name.removesuffix(".json")
        if stem == name or name == SETTINGS:
            continue
        picture = stem if stem in pictures else stems.get(stem)
        if picture is None or name != clean_text(name) or picture != clean_text(picture):
            yield _rejected(name, "no-picture", "No picture has the name of this file.")
            continue
        media = Media(name=picture, size=pictures.pop(picture, -1))
        yield Record(input=picture, id=unique(stem), media=media, masks=Media(name=name, size=size))
    for name in pictures:
        yield _rejected(name, "no-mask", "No file of masks has the name of this picture.")


def _rejected(name: str, rule: str, detail: str) -> Record:
    name = clean_text(name)
    return Record(input=name, reject=Reject(input=name, level="file", rule=rule, detail=detail))


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample a picture, and the rejects of its masks."""
    if record.reject is not None:
        yield record.reject
        return
    bad = partial(Reject, input=record.input, id=record.id)
    try:
        picture = load_image(record.media, options, places)
        found = _read(record, places)
        frame = _frame(picture, found.image)
    except RejectedError as error:
        yield bad(level="image", rule=error.rule, detail=error.detail)
        return
    regions: list[Region] = []
    for number, entry in enumerate(found.annotations):
        try:
            regions.append(frame.region(_region(entry, frame, options.min_area)))
        except RejectedError as error:
            yield bad(level="region", rule=error.rule, detail=f"annotations[{number}]: {error.detail}")
    if not regions:
        yield bad(level="image", rule="no-objects", detail="No mask of the picture can be used.")
        return
    turns = _turns(record.id, regions)
    if not turns:
        yield bad(level="image", rule="no-clear-point", detail="At no point one mask is the smallest.")
        return
    yield built(
        record, options, [picture], domain="vision", task="segmentation", language="en", regions=regions,
        messages=about_image(turns),
    )  # fmt: skip


def _read(record: Record, places: dict[str, str]) -> _Found:
    place = storage.join(places["input.0"], record.masks.name)
    data = storage.read_bytes(place)
    if len(data) != record.masks.size:
        raise InputError(f"{place}: has {len(data)} bytes, {record.masks.size} when the build was planned; build again")
    try:
        is_list = data.lstrip()[:1] == b"["
        found = (
            _Found(annotations=msgspec.json.decode(data, type=list[dict[str, Any]]))
            if is_list
            else msgspec.json.decode(data, type=_Found)
        )
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise RejectedError("annotation-invalid", f"{record.masks.name}: {error}.") from None
    if found.error is not None:
        raise RejectedError("not-segmented", clean_text(found.error))
    return found


def _frame(picture: Prepared, said: _Image) -> Frame:
    if not said.upright:
        return frame_of(picture, said.width, said.height)
    if (said.width, said.height) != (picture.width, picture.height):
        detail = (
            f"The masks are of {said.width}x{said.height} pixels, the picture has {picture.width}x{picture.height}."
        )
        raise RejectedError("size-mismatch", detail)
    return Frame(said.width, said.height, (picture.width, picture.height))


def _region(entry: dict[str, Any], frame: Frame, min_area: int) -> Region:
    """The region of one annotation, in its frame."""
    if not isinstance(entry.get("segmentation"), dict):
        raise RejectedError("segmentation-invalid", "segmentation is not run lengths with a size.")
    region = coco_region({"segmentation": entry["segmentation"]}, "", frame.width, frame.height).region
    assert region.mask is not None
    if (area := rle.area(rle.parse(region.mask.counts))) < min_area:
        raise RejectedError("too-small", f"Its area is {area} of at least {min_area} pixels.")
    return msgspec.structs.replace(
        region,
        label=None,
        score=_score(entry.get("predicted_iou")),
        point=_point(entry.get("point_coords"), _ends(region), frame),
    )


def _score(said: Any) -> float | None:
    known = isinstance(said, (int, float)) and not isinstance(said, bool) and said >= 0
    return min(float(said), 1.0) if known else None


def _ends(region: Region) -> rle.Runs:
    """Where the runs of a region's mask end, in column order."""
    assert region.mask is not None
    return np.cumsum(rle.parse(region.mask.counts))


def _covers(ends: rle.Runs, x: float, y: float, height: int) -> bool:
    """Whether the mask has the pixel that a point lies in."""
    return bool(np.searchsorted(ends, int(x) * height + int(y), side="right") % 2)


def _point(said: Any, ends: rle.Runs, frame: Frame) -> tuple[float, float]:
    """The point that a mask was made from, where it lies in the mask, else the middle of the mask's longest run."""
    match said:
        case [[int() | float() as x, int() | float() as y], *_] if 0 <= x < frame.width and 0 <= y < frame.height:
            if _covers(ends, x, y, frame.height):
                return round(float(x), 2), round(float(y), 2)
    runs = np.diff(ends, prepend=0)[1::2]
    longest = int(runs.argmax())
    middle = int(ends[1::2][longest] - runs[longest] + runs[longest] // 2)
    return middle // frame.height + 0.5, middle % frame.height + 0.5


def _turns(sample_id: str, regions: list[Region]) -> list[tuple[list[Part], list[Part]]]:
    """A question for each of the first regions that are the smallest at their own points; best masks come first."""
    ends = [_ends(region) for region in regions]
    areas = [int(np.diff(each, prepend=0)[1::2].sum()) for each in ends]
    asked: list[int] = []
    for number, region in enumerate(regions):
        assert region.point is not None
        assert region.mask is not None
        (x, y), height = region.point, region.mask.size[0]
        rivals = [n for n, area in enumerate(areas) if n != number and area <= areas[number]]
        if len(asked) < _MOST_TURNS and not any(_covers(ends[n], x, y, height) for n in rivals):
            asked.append(number)
    turns: list[tuple[list[Part], list[Part]]] = []
    for turn, number in enumerate(asked):
        before, _, after = choose("segments", "box", sample_id, turn).format(point=_POINT).partition(_POINT)
        point, box = (RegionPart(regions=(number,), form=form) for form in _FORMS)
        turns.append(([TextPart(text=before), point, TextPart(text=after)], [box]))
    return turns
