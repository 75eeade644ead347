"""VisualMRC: questions on screenshots of web pages with answers in sentences, and the blocks of the page.

Input: ``train.jsonl`` and its like, a line a picture: ``{image_filename, bounding_boxes: [{id, structure, shape: {x, y,
width, height}, ocr_info: [{word}]}], qa_data: [{question: {text}, answer: {text, relevant}}]}``; pictures by their path
or its end below ``--images DIR``, perhaps in ``images/``. One sample a picture with all its questions, answered as
written. Blocks (title, paragraph, list, ...) become regions with their words, and ``meta.relevant`` names those that
an answer rests on. No real file was at hand; made after what public readers of the set expect. The publisher's terms
are not open: say which you accepted with ``--license``. https://github.com/nttmdlab-nlp/VisualMRC
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from sphinx_data.convert import Inputs, _rows
from sphinx_data.convert._common import CommonOptions as CommonOptions
from sphinx_data.convert._common import RejectedError, clean_text, short
from sphinx_data.convert._frame import Frame, frame_of
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._regions import coco_region
from sphinx_data.convert._rows import Record as Record
from sphinx_data.convert._rows import Row, rejected
from sphinx_data.convert._sample import about_image, built
from sphinx_data.convert._text_rows import tails
from sphinx_data.convert._texts import written
from sphinx_data.sample import Built, Region, Reject


class Options(CommonOptions, frozen=True, kw_only=True):
    """Parameters of this format."""


def recognise(glimpse: Glimpse) -> bool:
    """Records with image_filename and qa_data."""
    return glimpse.record_has("image_filename", "qa_data")


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every picture of every file, in file order."""
    return _rows.records(inputs, options, lambda said: [tails(said.get("image_filename"), "images")])


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its blocks and questions, or the reject of the picture."""
    yield from _rows.produce(record, options, places, _sampled)


def _sampled(row: Row) -> Iterator[Built | Reject]:
    picture = row.picture("", 0)
    frame = frame_of(picture)
    regions: list[Region] = []
    numbers: dict[Any, int] = {}  # of regions, by the ids of blocks
    for number, block in enumerate(_listed(row.fields, "bounding_boxes")):
        try:
            region = _block(block, frame)
        except RejectedError as error:
            lost = RejectedError(error.rule, f"bounding_boxes[{number}]: {error.detail}")
            yield rejected(row, lost, "region")
            continue
        if isinstance(block.get("id"), (int, str)):
            numbers[block["id"]] = len(regions)
        regions.append(region)
    turns: list[tuple[str, str]] = []
    relevant: list[list[int]] = []
    for number, asked in enumerate(_listed(row.fields, "qa_data")):
        try:
            answer = _member(asked, "answer")
            turns.append((written(_member(asked, "question").get("text")), written(answer.get("text"))))
        except RejectedError as error:
            yield rejected(row, RejectedError(error.rule, f"qa_data[{number}]: {error.detail}"), "turn")
            continue
        said = answer.get("relevant")
        named = said if isinstance(said, list) else []
        relevant.append([numbers[key] for key in named if isinstance(key, (int, str)) and key in numbers])
    if not turns:
        raise RejectedError("no-questions", "No question of the picture is left.")
    yield built(
        row, row.options, [picture], domain="vision-language", task="document-vqa", language="en", regions=regions,
        messages=about_image(turns), meta={"relevant": relevant},
    )  # fmt: skip


def _listed(fields: dict[str, Any], name: str) -> list[Any]:
    found = fields.get(name)
    if found is not None and not isinstance(found, list):
        raise RejectedError("record-invalid", f"{name} is {short(found)}, no list.")
    return found or []


def _member(entry: Any, name: str) -> dict[str, Any]:
    found = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(found, dict):
        raise RejectedError("question-invalid", f"{name} is {short(found)}, no object.")
    return found


def _block(block: Any, frame: Frame) -> Region:
    shape = _member(block, "shape")
    label, words = block.get("structure"), block.get("ocr_info")
    box = [shape.get(side) for side in ("x", "y", "width", "height")]
    done = coco_region({"bbox": box}, clean_text(str(label)), frame.width, frame.height)
    said = [word.get("word") for word in words if isinstance(word, dict)] if isinstance(words, list) else []
    text = clean_text(" ".join(word for word in said if isinstance(word, str)))
    region = msgspec.structs.replace(done.region, label=clean_text(label) if isinstance(label, str) else None,
                                     text=text or None)  # fmt: skip
    return frame.region(region)
