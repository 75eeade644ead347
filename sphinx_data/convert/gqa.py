"""GQA: compositional questions about Visual Genome photos.

Input: ``train_balanced_questions.json``, one object {question id: {imageId, question, answer, fullAnswer, ...}} of
millions of questions, any number of such files, or their folder; photos ``images/<imageId>.jpg`` or beside. Form:
SPHINX's short answer; `full` answers with the sentence instead ("The chair is to the left of the table."). Test
questions have no answers and are rejects. Tested on a few published questions; no whole file was at hand. CC-BY-4.0;
photos as in Visual Genome. https://cs.stanford.edu/people/dorarad/gqa/download.html
"""

from collections.abc import Iterator
from typing import Any

from sphinx_data.convert import Inputs
from sphinx_data.convert._answers import short_answer
from sphinx_data.convert._common import limited
from sphinx_data.convert._entries import kept, named, said
from sphinx_data.convert._questions import Pictures, Plan, QuestionOptions, Record, annotation_files, has_files, planned
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._turns import About, Asked, Turn, dialogue
from sphinx_data.licenses import UNKNOWN
from sphinx_data.sample import Built, Reject

__all__ = ["Options", "Record", "produce", "recognise", "records"]


class Options(QuestionOptions, frozen=True, kw_only=True):
    """Parameters of this format."""

    full: bool = False  # answer with the whole sentence where there is one


def recognise(glimpse: Glimpse) -> bool:
    """Named records with imageId and question."""
    if has_files(glimpse, "*_balanced_questions.json"):
        return True
    return glimpse.record_has("imageId", "question")


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every photo of every file."""
    paths = annotation_files(inputs, "*_balanced_questions.json", "*_questions.json", "*_questions/*.json")
    return limited(lambda: planned(inputs, options, paths, Plan(_about)), options)


def _about(entry: Any, place: str, path: str) -> Pictures:
    name = named(entry, "imageId")
    return Pictures(name, ((f"{name}.jpg", f"images/{name}.jpg"),))


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the questions on a photo."""
    about = About("visual-reasoning", "CC-BY-4.0", UNKNOWN)
    yield from dialogue(record, options, places, lambda asked: _turn(asked, options), about)


def _turn(asked: Asked, options: Options) -> Turn:
    question, answer = said(asked.entry, "question"), said(asked.entry, "answer")
    meta = {"question_id": asked.place} | kept(asked.entry, "types", "fullAnswer")
    if options.full and asked.entry.get("fullAnswer"):
        return Turn(question, said(asked.entry, "fullAnswer"), meta)
    return Turn(short_answer(question), answer, meta)
