"""Your own data: JSON lines, JSON or CSV with pictures named beside questions, captions, classes, boxes or dialogues.

A row has ``image`` (a name below the folder of pictures) or ``images`` (several), and one of ``question`` with
``answer``, ``caption``, ``label``, ``text``, or ``messages`` as format messages has them. ``<image>`` in a question
says where a picture stands. ``boxes`` are ``[x0, y0, x1, y1]`` in pixels or ``{box, label, image}``; ``<box 0>`` or
``<box 0,2>`` in a question or answer is where coordinates belong, written for each model by its dialect. ``width`` and
``height`` say for which size of a picture boxes were drawn. Optional: id, task, language, split, license,
image_license, system, meta. Other fields are rejects, so that a misspelt one is seen. A row may also be a sample as
datasets store it (docs/sample.schema.json): there ``images[].file`` is the picture's name, and what this tool knows
better (its size, origin, source) need not be given. See docs/your-own-data.md.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from sphinx_data.convert import Inputs, _contents, _dialogues, _rows
from sphinx_data.convert._common import RejectedError, clean_text, short
from sphinx_data.convert._exchanges import exchange, optional, text_of
from sphinx_data.convert._frame import frame_of
from sphinx_data.convert._pairs import PairOptions, captioned, classified
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._regions import coco_region
from sphinx_data.convert._rows import Record as Record
from sphinx_data.convert._rows import Row
from sphinx_data.convert._stored_sample import stored_sample
from sphinx_data.convert._tables import jsonable
from sphinx_data.media import Prepared
from sphinx_data.sample import TASKS, Built, Message, Part, Region, RegionPart, Reject, Sample, Task, TextPart

_ANSWERS = ("answer", "caption", "label", "text", "messages")
_KNOWN = {
    "id", "image", "images", "question", *_ANSWERS, "boxes", "width", "height", "task", "language", "split", "license",
    "image_license", "system", "meta",
}  # fmt: skip
_BOX = re.compile(r"<box (\d+(?:, ?\d+)*)>")


class Options(PairOptions, frozen=True, kw_only=True):
    """Parameters of this format."""


def recognise(glimpse: Glimpse) -> bool:
    """Rows with nothing but the fields above, or stored samples."""
    rows = [row for row in glimpse.rows if isinstance(row, dict)]
    if not rows or len(rows) != len(glimpse.rows):
        return False
    if all(_is_stored(row) for row in rows):
        return True
    return all(set(row) <= _KNOWN for row in rows) and any(map(_is_own, rows))


def _is_own(row: dict[str, Any]) -> bool:
    if "messages" in row:
        return "boxes" in row  # without them it is format messages
    if any(isinstance(row.get(name), dict) for name in ("image", "images")):
        return False  # the picture is in the row: format image_parquet
    pictured = any(isinstance(row.get(name), (str, list)) for name in ("image", "images"))
    graded = "\n#### " in str(row.get("answer"))  # GSM8K
    return ("question" in row and "answer" in row and not graded) or (
        pictured and bool({"caption", "label"} & set(row))
    )


def _is_stored(row: dict[str, Any]) -> bool:
    images = row.get("images", [])
    stored = isinstance(images, list) and all(isinstance(image, dict) and "file" in image for image in images)
    return stored and "messages" in row and ("domain" in row or "regions" in row)


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every row of every file, in file order."""
    return _rows.records(inputs, options, _names, one="messages")


def _names(row: dict[str, Any]) -> list[str]:
    stored = _is_stored(row)
    return _contents.names([image["file"] for image in row.get("images", [])] if stored else _sources(row))


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """The sample of every row with the rejects of its boxes, or its reject."""
    return _rows.produce(record, options, places, _sampled)


def _sampled(row: Row) -> Iterator[Built | Reject]:
    if _is_stored(row.fields):
        yield stored_sample(row)
        return
    fields = {key: cell for key, cell in row.fields.items() if cell not in (None, "")}
    row = row._replace(fields=fields)
    unknown = sorted(clean_text(str(key)) for key in fields if key not in _KNOWN)
    if unknown:
        raise RejectedError("field-unknown", f"It has {', '.join(unknown)}; known are {', '.join(sorted(_KNOWN))}.")
    for found in _made(row):
        if isinstance(found, Reject):
            yield found
        else:
            yield Built(_described(row, _with_boxes(row, found)), found.media)


def _made(row: Row) -> Iterator[Built | Reject]:
    fields, options = row.fields, row.options
    assert isinstance(options, Options)
    sources = _rows.pictured(fields)
    _contents.names(sources)
    if "messages" in fields:
        reader = _contents.Reader(fields)
        turns = reader.turns(fields["messages"])
        turns, unanswered = _dialogues.settled(_dialogues.introduced(turns, fields.get("system"), None))
        return _dialogues.dialogue(row, turns, _contents.pictures(row, reader.sources), unanswered=unanswered)
    if "question" in fields:
        task: Task | None = "vqa" if len(sources) == 1 else None
        system = optional(fields, "system")
        return exchange(
            row, text_of(fields, "question"), text_of(fields, "answer"), task=task, system=system, sources=sources
        )  # fmt: skip
    pictures = _contents.pictures(row, sources)
    if "caption" in fields or (not sources and "text" in fields):
        return captioned(row, pictures, text_of(fields, "caption", "text"), form=options.form, meta={})
    if "label" in fields and len(pictures) == 1:
        return classified(row, pictures[0], str(fields["label"]), meta={})
    raise RejectedError("field-missing", f"It has none of {', '.join(_ANSWERS)} that fits its {len(sources)} pictures.")


def _with_boxes(row: Row, found: Built) -> Sample:
    sample, boxes = found.sample, row.fields.get("boxes")
    if boxes is None:
        return sample
    if not isinstance(boxes, list):
        raise RejectedError("boxes-invalid", f"boxes is {short(boxes)}, no list.")
    pictures = _contents.pictures(row, _sources(row.fields))  # again, because what was changed on them matters here
    regions = tuple(_region(number, box, row, pictures) for number, box in enumerate(boxes))
    messages = tuple(_referring(message, len(regions)) for message in sample.messages)
    return msgspec.structs.replace(sample, regions=regions, messages=messages)


def _region(number: int, said: Any, row: Row, pictures: list[Prepared]) -> Region:
    entry = said if isinstance(said, dict) else {"box": said}
    box, label, image = entry.get("box"), entry.get("label"), entry.get("image", 0)
    is_box = isinstance(box, list) and len(box) == 4 and all(type(value) in (int, float) for value in box)
    if not isinstance(box, list) or not is_box or not (label is None or isinstance(label, str)):
        raise RejectedError("box-invalid", f"Box {number} is {short(said)}, not [x0, y0, x1, y1] with a label.")
    if type(image) is not int or not 0 <= image < len(pictures):
        raise RejectedError("box-invalid", f"Box {number} is in image {short(image)} of {len(pictures)}.")
    try:
        frame = frame_of(pictures[image], _size(row, "width"), _size(row, "height"))
        x0, y0, x1, y1 = box
        clipped = coco_region({"bbox": [x0, y0, x1 - x0, y1 - y0]}, "", frame.width, frame.height).region.box
    except RejectedError as error:
        raise RejectedError(error.rule, f"Box {number}: {error.detail}") from None
    return frame.region(Region(image=image, box=clipped, label=label and clean_text(label)))


def _sources(fields: dict[str, Any]) -> list[Any]:
    """The pictures of a row, by name, in the order in which they stand."""
    if not fields.get("messages"):
        return _rows.pictured(fields)
    reader = _contents.Reader(fields)
    reader.turns(fields["messages"])
    return reader.sources


def _size(row: Row, name: str) -> int:
    value = row.fields.get(name, 0)
    if type(value) is not int or value < 0:
        raise RejectedError("size-invalid", f"{name} is {short(value)}, no number of pixels.")
    return value


def _referring(message: Message, boxes: int) -> Message:
    """The message with `<box 0>` as references to regions."""
    parts: list[Part] = []
    for part in message.content:
        if not isinstance(part, TextPart):
            parts.append(part)
            continue
        for number, piece in enumerate(_BOX.split(part.text)):
            if number % 2 == 0:
                parts += [TextPart(text=piece)] if piece else []
                continue
            named = tuple(int(place) for place in piece.split(","))
            if max(named) >= boxes:
                raise RejectedError("box-unknown", f"<box {piece}> is named, the row has {boxes} boxes.")
            parts.append(RegionPart(regions=named, form="box"))
    return msgspec.structs.replace(message, content=tuple(parts))


def _described(row: Row, sample: Sample) -> Sample:
    """The sample with what the row says of itself."""
    fields = row.fields
    said = {name: text_of(fields, name) for name in ("task", "language", "split", "license") if name in fields}
    if said.get("task", "vqa") not in TASKS:
        raise RejectedError("task-unknown", f"task is {short(said['task'])}; known are {', '.join(TASKS)}.")
    meta = fields.get("meta", {})
    if not isinstance(meta, dict):
        raise RejectedError("meta-invalid", f"meta is {short(meta)}, no object.")
    images = sample.images
    if "image_license" in fields:
        license = text_of(fields, "image_license")
        images = tuple(msgspec.structs.replace(image, license=license) for image in images)
    return msgspec.structs.replace(sample, images=images, meta={**jsonable(meta), **sample.meta}, **said)
