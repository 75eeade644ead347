"""The sample: one schema for text, images, interleaved documents, OCR pages and Set-of-Mark data.

Promises: docs/contracts.md, section 2.

Coordinates are data, not text: a `Region` holds pixels of the stored image, a message refers to it by number, and a
dialect (`sphinx_data.dialects`) renders it for a model at the last moment.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from sphinx_data.errors import InvalidSample

Domain = Literal["language", "vision", "vision-language", "ocr", "som", "interleaved"]

# The closed list of docs/contracts.md, section 2.3. A sample whose turns belong to several tasks is `multi-task`.
Task = Literal[
    # language
    "text", "dialogue", "instruction", "math", "code", "tool-use",
    # vision
    "classification", "detection", "segmentation", "pose", "counting", "layout",
    # grounding
    "rec", "reg", "phrase-grounding", "grounded-caption",
    # vision-language
    "caption", "vqa", "document-vqa", "chart-vqa", "table-vqa", "scene-text-vqa", "diagram-vqa", "science-vqa",
    "math-vqa", "visual-reasoning", "visual-entailment", "fact-verification", "visual-instruction", "gui-grounding",
    "multi-image",
    # ocr
    "page-reading", "region-reading", "text-localisation", "spotting", "reading-order", "continuation",
    "table-recognition", "formula-recognition", "key-information",
    # set-of-mark
    "som-naming", "som-description", "som-relations", "som-vqa", "som-counting", "som-reference", "som-reading",
    # documents and mixtures
    "interleaved", "multi-task",
]  # fmt: skip

Role = Literal["system", "user", "assistant"]
Form = Literal["box", "point", "polygon", "keypoints", "mark", "mark-name"]

TASKS: tuple[str, ...] = get_args(Task)
DOMAINS: tuple[str, ...] = get_args(Domain)
SCHEMA_VERSION = "sphinx-sample/1"


class Struct(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Base of all records: immutable, defaults left out of the JSON; nothing in one leads back to it."""


class Image(Struct, frozen=True, kw_only=True):
    """One image of a sample."""

    file: str  # member name after "KEY.", e.g. "0.jpg": position and format
    width: int  # pixels as stored
    height: int
    license: str | None = None  # of the picture itself, where it differs from the sample's


class Mask(Struct, frozen=True, kw_only=True):
    """A COCO run-length encoding: `size` is [height, width], `counts` the compressed string."""

    size: tuple[int, int]
    counts: str


class Region(Struct, frozen=True, kw_only=True):
    """A place in one image, in continuous pixels of the stored image; x1 = x0 + width."""

    image: int = 0  # position in `Sample.images`
    box: tuple[float, float, float, float]  # x0, y0, x1, y1
    point: tuple[float, float] | None = None
    polygon: tuple[tuple[float, ...], ...] | None = None  # rings, each flat: x0, y0, x1, y1, ...
    keypoints: tuple[tuple[float, float, int], ...] | None = None  # x, y, visibility (0 absent, 1 hidden, 2 visible)
    mask: Mask | None = None
    label: str | None = None  # category
    text: str | None = None  # what is written there
    mark: str | None = None  # number or letter of a Set-of-Mark
    score: float | None = None


class ImagePart(Struct, frozen=True, kw_only=True, tag_field="type", tag="image"):
    """An image at this place of the message."""

    image: int


class TextPart(Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Text; it is content, so strings such as ``</s>`` or ``<image>`` in it stay text."""

    text: str


class RegionPart(Struct, frozen=True, kw_only=True, tag_field="type", tag="region"):
    """One phrase and the regions it stands for, e.g. ``cat [0.10, 0.20, 0.30, 0.40]``."""

    regions: tuple[int, ...]  # positions in `Sample.regions`
    form: Form
    text: str | None = None  # the phrase that the regions ground


Part = ImagePart | TextPart | RegionPart


class Message(Struct, frozen=True, kw_only=True):
    """One turn."""

    role: Role
    content: tuple[Part, ...]
    supervise: bool = True  # only meaningful for the assistant: False keeps the turn out of the loss


class Origin(Struct, frozen=True, kw_only=True):
    """Where a sample comes from: a file relative to the input argument and the record in it."""

    file: str
    record: str | None = None


class Sample(Struct, frozen=True, kw_only=True):
    """One training sample. Without a user turn it is a document (caption pair, page, plain text): BOS, parts, EOS."""

    id: str
    source: str
    license: str
    domain: Domain
    task: Task
    language: str | None = None  # BCP 47; None where there is no language or it is unknown
    split: str  # no default: msgspec omits a default string by identity, not by value
    images: tuple[Image, ...] = ()
    regions: tuple[Region, ...] = ()
    messages: tuple[Message, ...]
    meta: dict[str, Any] = {}
    origin: Origin


class Reject(Struct, frozen=True, kw_only=True):
    """Something that was dropped, with the rule that dropped it; one row of ``rejects/``."""

    input: str  # input file, relative to the input argument
    record: str | None = None  # record in that file (line, image id, page)
    id: str | None = None  # sample id where one was already known
    level: Literal["file", "record", "image", "region", "turn"]
    rule: str  # short kebab-case name, e.g. "image-missing"
    detail: str = ""  # one sentence with the facts


class Built(NamedTuple):
    """A finished sample with the encoded bytes of its images, in the order of `Sample.images`.

    `validated` promises that the regions came typed from a decoder and were checked against their images there, so that
    writing does not look at hundreds of numbers again; a property test holds who promises it to that.
    """

    sample: Sample
    media: tuple[bytes, ...] = ()
    validated: bool = False


class Problem(Struct, frozen=True, kw_only=True):
    """One breach of the schema: `field` is a path such as ``regions[3].box``."""

    field: str
    message: str


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Sample)
_pack = msgspec.msgpack.Encoder().encode
_check_types = msgspec.msgpack.Decoder(Sample).decode


def encode(sample: Sample, validated: bool = False) -> bytes:
    """Canonical JSON: fields in schema order, defaults omitted, keys of `meta` sorted: equal samples, equal bytes.

    The round trip turns integer coordinates into floats and checks every type; msgpack writes and reads no digits.
    Regions that are `Built.validated` are left out of it. Raises InvalidSample with id and field.
    """
    meta, apart = sample.meta, {}
    try:
        if meta:  # may hold what JSON and msgpack write differently: times, bytes
            apart["meta"] = msgspec.json.decode(_encoder.encode(meta))
            sample = msgspec.structs.replace(sample, meta={})
        if validated:
            apart["regions"] = sample.regions
            sample = msgspec.structs.replace(sample, regions=())
        checked = _check_types(_pack(sample))
        data = _encoder.encode(msgspec.structs.replace(checked, **apart) if apart else checked)
        if b"null" in data:  # in a text, in `meta`, or NaN and infinity, of which this is an error
            _decoder.decode(data)
        return data
    except (msgspec.MsgspecError, UnicodeError, TypeError, ValueError, OverflowError) as error:
        raise InvalidSample(f"sample {sample.id!r}: {error}") from None


def decode(data: bytes | memoryview) -> Sample:
    """Read a stored sample; unknown optional fields are ignored (files of a later ``/1``).

    Raises InvalidSample where it is damaged.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InvalidSample(f"a stored sample cannot be read: {error}; run sphinx-data verify") from None


def decode_strict(data: bytes | str, where: str) -> Sample:
    """Read a sample a person wrote. Raises InvalidSample naming `where` and the first unknown or wrong field."""
    try:
        raw = msgspec.json.decode(data)
        sample = msgspec.convert(raw, Sample)
    except msgspec.MsgspecError as error:
        raise InvalidSample(f"{where}: {error}") from None
    for field in _unknown_fields(raw, sample, ""):
        raise InvalidSample(f"{where}: unknown field {field}; see docs/sample.schema.json")
    return sample


def _unknown_fields(raw: Any, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        known = set(value.__struct_encode_fields__) | ({config.tag_field} if config.tag_field else set())
        yield from (f"{path}.{key}".lstrip(".") for key in raw if key not in known)
        for name in value.__struct_encode_fields__:
            if name in raw:
                yield from _unknown_fields(raw[name], getattr(value, name), f"{path}.{name}")
    elif isinstance(value, tuple):
        for index, (raw_item, item) in enumerate(zip(raw, value, strict=True)):
            yield from _unknown_fields(raw_item, item, f"{path}[{index}]")


def json_schema() -> dict[str, Any]:
    """JSON Schema of `Sample`, as in ``docs/sample.schema.json``."""
    return msgspec.json.schema(Sample)


def problems(sample: Sample, validated: bool = False) -> list[Problem]:
    """Every breach of the schema that types alone cannot catch; an empty list means the sample may be written.

    Regions that are `Built.validated` have none.
    """
    found = list(_header_problems(sample))
    for index, image in enumerate(sample.images):
        stem, _, extension = image.file.partition(".")
        if stem != str(index) or not extension:
            message = f"must be {index}.<format>, not {image.file!r}"
            found.append(Problem(field=f"images[{index}].file", message=message))
        if image.width < 1 or image.height < 1:
            found.append(Problem(field=f"images[{index}]", message=f"size {image.width}x{image.height} is empty"))
    for index, region in enumerate(() if validated else sample.regions):
        if not _is_plain(region, sample.images):
            broken = _region_problems(region, sample.images)
            found += (Problem(field=f"regions[{index}].{f}", message=m) for f, m in broken)
    for index, turn in enumerate(sample.messages):
        if not turn.content:
            found.append(Problem(field=f"messages[{index}].content", message="is empty"))
        for position, part in enumerate(turn.content):
            if type(part) is not TextPart:
                where = f"messages[{index}].content[{position}]"
                found += (Problem(field=where, message=m) for m in _part_problems(part, sample))
    return found


def _header_problems(sample: Sample) -> Iterator[Problem]:
    for name in ("id", "source", "license"):
        if not getattr(sample, name):
            yield Problem(field=name, message="is empty")
    if not any(message.role == "assistant" for message in sample.messages):
        yield Problem(field="messages", message="has no assistant turn, so nothing can be learned from it")


_NOTHING_RARE = (None, None, None, None)


def _is_plain(region: Region, images: tuple[Image, ...]) -> bool:
    """Whether a region with a box, rings and a mask at most has no problem: the usual case, told at once."""
    rare = (region.point, region.keypoints, region.mark, region.score)
    if rare != _NOTHING_RARE or not 0 <= region.image < len(images):
        return False
    image = images[region.image]
    x0, y0, x1, y1 = region.box
    if not (0 <= x0 <= x1 <= image.width and 0 <= y0 <= y1 <= image.height):
        return False
    if region.mask is not None and region.mask.size != (image.height, image.width):
        return False
    for ring in region.polygon or ():
        if len(ring) < 6 or len(ring) % 2 or not _is_inside(ring, image.width, image.height):
            return False
    return True


def _region_problems(region: Region, images: tuple[Image, ...]) -> Iterator[tuple[str, str]]:
    if not 0 <= region.image < len(images):
        yield "image", f"{region.image} does not exist, the sample has {len(images)} images"
        return
    image = images[region.image]
    coordinates: dict[str, list[tuple[float, float]]] = {"box": [region.box[:2], region.box[2:]]}
    if region.point is not None:
        coordinates["point"] = [region.point]
    for ring in region.polygon or ():
        if len(ring) < 6 or len(ring) % 2:
            yield "polygon", f"a ring has {len(ring)} numbers, at least 6 and an even count are needed"
            return
        if not _is_inside(ring, image.width, image.height):
            coordinates.setdefault("polygon", []).extend(zip(ring[::2], ring[1::2], strict=True))
    if region.keypoints is not None:
        coordinates["keypoints"] = [(x, y) for x, y, visibility in region.keypoints if visibility]
    for field, points in coordinates.items():
        outside = [(x, y) for x, y in points if not (0 <= x <= image.width and 0 <= y <= image.height)]
        if outside:  # also catches NaN and infinities
            yield field, f"{outside[0]} is outside the {image.width}x{image.height} image {region.image}"
    if region.box[0] > region.box[2] or region.box[1] > region.box[3]:
        yield "box", f"{region.box} has x1 < x0 or y1 < y0"
    if region.score is not None and not math.isfinite(region.score):
        yield "score", f"{region.score} is not a number"
    if region.mask is not None and region.mask.size != (image.height, image.width):
        yield "mask", f"size {region.mask.size} is not the image's ({image.height}, {image.width})"
    if region.mark is not None and not region.mark.isalnum():
        yield "mark", f"{region.mark!r} is not a number or letters"


def _is_inside(ring: tuple[float, ...], width: int, height: int) -> bool:
    """Whether a ring is finite and inside its image: the usual case, told without a look at every point."""
    if not min(ring) >= 0 or not math.isfinite(sum(ring)):  # NaN hides from min and max, not from a sum
        return False
    return max(ring) <= min(width, height) or (max(ring[::2]) <= width and max(ring[1::2]) <= height)


# What a region must carry to be written in a form; a point falls back on the middle of the box.
_NEEDS = {"polygon": "polygon", "keypoints": "keypoints", "mark": "mark", "mark-name": "mark"}


def _part_problems(part: Part, sample: Sample) -> Iterator[str]:
    if isinstance(part, ImagePart):
        if not 0 <= part.image < len(sample.images):
            yield f"image {part.image} does not exist, the sample has {len(sample.images)} images"
    elif isinstance(part, RegionPart):
        if not part.regions:
            yield "names no region"
        for number in part.regions:
            if not 0 <= number < len(sample.regions):
                yield f"region {number} does not exist, the sample has {len(sample.regions)} regions"
            elif (need := _NEEDS.get(part.form)) and getattr(sample.regions[number], need) is None:
                yield f"form {part.form!r} needs regions[{number}].{need}"


if __name__ == "__main__":
    print(msgspec.json.format(msgspec.json.encode(json_schema()), indent=1).decode())
