"""LLaVA-Bench: lines of {question_id, image, text, category}, and lines of answers {question_id, text, category}.

Input: JSON lines, files of questions (qa90_questions.jsonl, LLaVA-Bench) and of answers (qa90_gpt4_answer.jsonl), in
any order. The questions on one picture that follow each other become one dialogue. A question without an answer, and
an answer without a question, is a reject of level turn. Answers are GPT-4's, under OpenAI's terms; the repository is
Apache-2.0. https://github.com/haotian-liu/LLaVA/tree/main/playground/data
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import msgspec

from sphinx_data.convert import Inputs, _row_files, _rows
from sphinx_data.convert._common import CommonOptions, RejectedError, clean_text, short
from sphinx_data.convert._exchanges import exchange
from sphinx_data.convert._json_items import object_of
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._rows import Record as Record
from sphinx_data.convert._rows import Row
from sphinx_data.errors import InputError
from sphinx_data.sample import Built, Reject


class Options(CommonOptions, frozen=True, kw_only=True):
    """Parameters of this format."""


def recognise(glimpse: Glimpse) -> bool:
    """Lines with a question id, a text and a category."""
    return glimpse.row_has("question_id", "text", "category")


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """One record a picture, in the order of the questions; then the rejects."""
    return _rows.chosen(lambda: _records(inputs, options), options)


def _records(inputs: Inputs, options: Options) -> Iterator[Record]:
    found = list(_rows.records(inputs, msgspec.structs.replace(options, limit=None)))
    if table := next((record for record in found if record.span is not None), None):
        raise InputError(f"{table.input}: is a table; LLaVA-Bench's questions and answers are JSON lines")
    yield from (record for record in found if record.reject is not None)
    rows = [(record, object_of(record.raw)) for record in found if record.reject is None]
    answers = {str(row.get("question_id")): row for _, row in rows if "image" not in row}
    asked: set[str] = set()
    unique = _rows.UniqueIds(options.source)
    for image, group in groupby((pair for pair in rows if "image" in pair[1]), lambda pair: pair[1]["image"]):
        pairs = list(group)
        kept: list[dict[str, Any]] = []
        for record, question in pairs:
            number = str(question.get("question_id"))
            asked.add(number)
            if number in answers:
                kept.append({"question": question, "answer": answers[number]})
            else:
                yield _lost(record, "unanswered", f"Question {clean_text(number)} has no answer in the files given.")
        if kept and isinstance(image, str):
            first = pairs[0][0]
            media = (_rows.find_media(inputs.places()["images"], image),)
            stem = _row_files.stem(clean_text(image))
            yield Record(
                input=first.input, record=first.record, id=unique(stem), media=media,
                raw=msgspec.json.encode({"image": image, "turns": kept}),
            )  # fmt: skip
        elif kept:
            yield _lost(pairs[0][0], "image-name-invalid", f"image is {short(image)}, no name.")
    for record, row in rows:
        number = str(row.get("question_id"))
        if "image" not in row and number not in asked:
            yield _lost(record, "question-missing", f"The question of answer {clean_text(number)} is in no file given.")


def _lost(record: Record, rule: str, detail: str) -> Record:
    reject = Reject(input=record.input, record=record.record, level="turn", rule=rule, detail=detail)
    return Record(input=record.input, record=record.record, reject=reject)


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """The dialogue about a picture, or its reject."""
    return _rows.produce(record, options, places, _sampled)


def _sampled(row: Row) -> Iterator[Built | Reject]:
    pairs = []
    for turn in row.fields["turns"]:
        texts = turn["question"].get("text"), turn["answer"].get("text")
        if not all(isinstance(text, str) for text in texts):
            raise RejectedError("turn-invalid", f"Question and answer are {short(texts)}.")
        pairs.append(texts)
    meta = {
        "question_ids": [turn["question"]["question_id"] for turn in row.fields["turns"]],
        "categories": [turn["question"].get("category") for turn in row.fields["turns"]],
    }
    *history, (question, answer) = pairs
    return exchange(row, question, answer, history=history, sources=[row.fields["image"]], meta=meta)
