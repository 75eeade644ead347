"""CLEVR: questions about rendered scenes.

Input: ``CLEVR_train_questions.json`` {questions: [{image_filename, question, answer, question_index}]} or its folder
``questions/``; pictures ``images/train/CLEVR_train_000000.png`` or beside. Form: SPHINX's short answer. Test questions
have no answers and are rejects. CC-BY-4.0, pictures included. https://cs.stanford.edu/people/jcjohns/clevr/
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
from sphinx_data.sample import Built, Reject

__all__ = ["Options", "Record", "produce", "recognise", "records"]


class Options(QuestionOptions, frozen=True, kw_only=True):
    """Parameters of this format."""


def recognise(glimpse: Glimpse) -> bool:
    """Questions by image_filename and index."""
    if has_files(glimpse, "CLEVR_*_questions.json"):
        return True
    found = [item for item in glimpse.member("questions") if isinstance(item, dict)]
    return any({"image_filename", "question", "image_index"} <= set(item) for item in found)


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every picture of every file."""
    paths = annotation_files(inputs, "*_questions.json", "questions/*_questions.json")
    return limited(lambda: planned(inputs, options, paths, Plan(_about, fields=("questions",))), options)


def _about(entry: Any, place: str, path: str) -> Pictures:
    name = named(entry, "image_filename")
    split = entry.get("split")
    split = split if isinstance(split, str) else "train"
    names = (name, f"{split}/{name}", f"images/{split}/{name}", f"images/{name}")
    return Pictures(name.rpartition(".")[0] or name, (names,))


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the questions on a picture."""
    yield from dialogue(record, options, places, _turn, About("visual-reasoning", "CC-BY-4.0"))


def _turn(asked: Asked) -> Turn:
    question, answer = said(asked.entry, "question"), said(asked.entry, "answer")
    return Turn(short_answer(question), answer, kept(asked.entry, "question_index", "split"))
