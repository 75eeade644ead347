"""Shikra: JSON lines whose texts point to boxes (referring expressions, grounded captions, GPT4GEN).

Input: the published ``.jsonl`` files; pictures by ``img_path`` or ``<image_id>.jpg`` below the folder of pictures.
Boxes are [x0, y0, x1, y1] in pixels. All lines on one picture are one sample. Rows with ``expression`` and ``bbox``
(``REC_ref3_train.jsonl``) become REC and REG dialogues as of ``refcoco``; rows with ``sentence`` and ``boxes_seq``
(``CWB_flickr30k_train.jsonl``) grounded captions, "<ph_st>two dogs<ph_ed> run" -> "two dogs [...; ...] run"; rows with
``question`` and ``cot_with_ans`` (``GPT4GEN_BoxCoT_train.jsonl``) questions and answers with boxes. Shikra's other
files hold other data sets, which have formats of their own. No licence is stated: give ``--license``.
https://github.com/shikras/shikra/blob/main/docs/data.md. No published file was at hand for the tests: they write the
published layout.
"""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from sphinx_data.convert import Inputs
from sphinx_data.convert import _referring as referring
from sphinx_data.convert._coco_file import identity, length
from sphinx_data.convert._common import CommonOptions as CommonOptions
from sphinx_data.convert._common import UniqueIds, clean_text, find_media, limited, short
from sphinx_data.convert._grounded import Box, Grounded, Phrase, grounds
from sphinx_data.convert._groups import Groups
from sphinx_data.convert._json_items import JsonFile, entry_of
from sphinx_data.convert._objects import of_picture, opened, reject
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._referring import Expression, ReferringOptions
from sphinx_data.convert._sample import about_image, built
from sphinx_data.phrasing import choose
from sphinx_data.sample import Built, Part, Reject

_PHRASE = re.compile(r"<ph_st>(.*?)<ph_ed>", re.DOTALL)
_MARKS = re.compile(r"\s*<(?:image|boxes|ph_st|ph_ed)>")
_BEFORE_STOP = re.compile(r"\s+(?=[.,;:!?](?:\s|$))")
Kind = Literal["expression", "sentence", "question"]


class Options(ReferringOptions, frozen=True, kw_only=True):
    """Parameters of this format; `task` is for expressions."""


class Record(referring.Record, frozen=True, kw_only=True):
    """All lines of a file on one picture."""

    rows: tuple[bytes, ...] = ()  # of sentences and questions
    questions: bool = False


def recognise(glimpse: Glimpse) -> bool:
    """JSON lines of one of the three kinds."""
    if glimpse.is_folder:
        return False
    rows = [dict.fromkeys(glimpse.keys)] if glimpse.keys else glimpse.records
    return bool(rows) and all(isinstance(row, dict) and _kind(row) is not None for row in rows)


def _kind(row: Mapping[str, Any]) -> Kind | None:
    if {"img_path", "expression", "bbox"} <= set(row):
        return "expression"
    if {"image_id", "sentence", "boxes", "boxes_seq"} <= set(row):
        return "sentence"
    if {"img_path", "question", "boxes", "question_boxes_seq", "cot_with_ans"} <= set(row):
        return "question"
    return None


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every picture of every file, in the order of their first lines."""
    return limited(lambda: _records(inputs, options), options)


def _records(inputs: Inputs, options: Options) -> Iterator[Record]:
    unique, root = UniqueIds(options.source), inputs.places()["images"]
    for path in inputs.annotations:
        name = clean_text(os.path.basename(path))
        with JsonFile(path) as file:
            groups = Groups(file)
            alone = set() if file.is_lines else set(file.members())  # a file of a single line
            one = "image_id" if "image_id" in alone else "img_path"
            for item in file.items(one=one):
                groups.add(_key(entry_of(item.raw)), item)
            for item in file.items(one=one):
                key = _key(entry_of(item.raw))
                if key is None:
                    detail = f"{short(item.raw[:60])} is none of the kinds of lines that are known."
                    lost = Reject(input=name, record=item.place, level="record", rule="record-unknown", detail=detail)
                    yield Record(input=name, record=item.place, rejects=(lost,))
                elif rows := groups.take(key):
                    yield from _grouped(name, key, [raw for _, raw in rows], unique, root, options)


def _key(row: dict[str, Any]) -> str | None:
    """Kind and picture of a line."""
    kind = _kind(row)
    picture = identity(row["image_id"] if kind == "sentence" else row.get("img_path")) if kind else None
    return f"{kind}\0{picture}" if picture else None


def _grouped(
    name: str, key: str, rows: list[bytes], unique: UniqueIds, root: str, options: Options
) -> Iterator[Record]:  # fmt: skip
    kind, _, picture = key.partition("\0")
    file = f"{picture}.jpg" if kind == "sentence" else picture
    entry = entry_of(rows[0])
    record = Record(
        input=name, record=picture, id=unique(os.path.splitext(picture)[0]),
        media=find_media(root, file, file.rpartition("/")[2], f"train2014/{file.rpartition('/')[2]}"),
        width=length(entry.get("width")), height=length(entry.get("height")),
    )  # fmt: skip
    if kind != "expression":
        yield msgspec.structs.replace(record, rows=tuple(rows), questions=kind == "question")
        return
    found: dict[bytes, list[str]] = {}  # shape -> sentences
    lost: list[Reject] = []
    for place, raw in enumerate(rows):
        row = entry_of(raw)
        sentence, box = referring.cleaned(row.get("expression")), _box(row.get("bbox"))
        if not sentence or box is None:
            lost.append(reject(record, "turn", "expression-invalid", f"Line {place} of it has no expression or box."))
            continue
        x0, y0, x1, y1 = box
        found.setdefault(msgspec.json.encode({"bbox": [x0, y0, x1 - x0, y1 - y0]}), []).append(sentence)
    expressions = tuple(
        Expression(id=str(number), shape=shape, sentences=tuple(dict.fromkeys(said)))
        for number, (shape, said) in enumerate(found.items())
    )
    media = record.media if expressions else None
    if not expressions:
        lost.append(reject(record, "image", "no-expressions", "No expression of the picture can be used."))
    for each in referring.both(
        msgspec.structs.replace(record, expressions=expressions, rejects=tuple(lost), media=media), options
    ):
        yield msgspec.convert(msgspec.structs.asdict(each), Record, from_attributes=True)


def _box(said: Any) -> Box | None:
    if not isinstance(said, list) or len(said) != 4:
        return None
    if any(isinstance(side, bool) or not isinstance(side, (int, float)) for side in said):
        return None
    try:
        return float(said[0]), float(said[1]), float(said[2]), float(said[3])
    except OverflowError:
        return None


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its boxes and turns, or the reject of the picture."""
    return (_grounded if record.rows else referring.produce)(record, options, places)


@of_picture
def _grounded(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    picture, frame = opened(record, options, places, record.width, record.height)
    grounded = Grounded(frame, record.input, record.record, record.id)
    turns: list[tuple[tuple[Part, ...] | str, tuple[Part, ...]]] = []
    for place, raw in enumerate(record.rows):
        row = entry_of(raw)
        if len(turns) >= options.max_turns:
            grounded.reject("turn", "not-asked", f"Line {place} of it: more than max_turns={options.max_turns}.")
        elif record.questions:
            question = _text(row.get("question"), row.get("question_boxes_seq"), row.get("boxes"), grounded, place)
            said, boxes_seq = row.get("cot_with_ans"), row.get("answer_boxes_seq", row.get("cot_with_ans_boxes_seq"))
            answer = _text(said, boxes_seq, row.get("boxes"), grounded, place) if question else ()
            if question and answer:
                turns.append((question, answer))
        else:
            answer = _text(row.get("sentence"), row.get("boxes_seq"), row.get("boxes"), grounded, place)
            if answer and not grounds(answer):
                grounded.reject("turn", "no-boxes", f"Line {place} of it: no phrase has a box.")
            elif answer:
                kind = "another" if turns else "question"
                turns.append((choose("grounded-caption", kind, record.id, len(turns)), answer))
    yield from grounded.rejects
    if not turns:
        yield reject(record, "image", "no-turns", "No line of the picture can be used.")
        return
    task: Literal["visual-reasoning", "grounded-caption"] = (
        "visual-reasoning" if record.questions else "grounded-caption"
    )
    yield built(
        record, options, [picture], domain="vision", task=task, language="en", regions=grounded.regions,
        messages=about_image(turns),
    )  # fmt: skip


def _text(said: Any, sequence: Any, boxes: Any, grounded: Grounded, place: int) -> tuple[Part, ...]:
    """A text with its boxes; empty, with a reject, where the two do not fit."""
    if not isinstance(said, str) or not said.strip():
        grounded.reject("turn", "text-missing", f"Line {place} of it lacks a text.")
        return ()
    phrases = _PHRASE.findall(said)
    chosen = [_chosen(numbers, boxes) for numbers in sequence] if isinstance(sequence, list) else []
    if len(chosen) != len(phrases) or None in chosen:
        detail = f"Line {place} of it: {short(sequence)} does not give boxes to {len(phrases)} phrases."
        grounded.reject("turn", "boxes-mismatch", detail)
        return ()
    return grounded.parts(_split(clean_text(said), [found or [] for found in chosen]))


def _chosen(numbers: Any, boxes: Any) -> list[Box] | None:
    """The boxes of a phrase; None where one of them is not there."""
    if not isinstance(numbers, list) or not isinstance(boxes, list):
        return None
    whole = all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < len(boxes) for n in numbers)
    found = [_box(boxes[n]) for n in numbers] if whole else [None]
    return None if None in found else [box for box in found if box is not None]


def _split(said: str, chosen: list[list[Box]]) -> Iterator[Phrase]:
    last = 0
    for match, boxes in zip(_PHRASE.finditer(said), chosen, strict=True):
        yield _plain(said[last : match.start()]), ()
        yield _plain(match[1]).strip(), boxes
        last = match.end()
    yield _plain(said[last:]).rstrip(), ()


def _plain(text: str) -> str:
    return _BEFORE_STOP.sub("", _MARKS.sub("", text))
