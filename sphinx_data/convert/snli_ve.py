"""SNLI-VE: whether a Flickr30k photo entails a sentence.

Input: ``snli_ve_train.jsonl``, JSON lines {Flickr30K_ID (or Flikr30kID), sentence2, gold_label, annotator_labels,
pairID}, or its folder; photos ``<id>.jpg`` beside or in ``flickr30k_images/`` or ``images/``. The answer is the gold
label as published; pairs without one ("-") are rejects. Tested on a few published lines; no whole file was at hand.
The sentences are SNLI's, CC-BY-SA-4.0; photos are Flickr30k's, for research.
https://github.com/necla-ml/SNLI-VE
"""

from collections.abc import Iterator
from typing import Any

from sphinx_data.convert import Inputs, _entries, _questions, _turns
from sphinx_data.convert._answers import short_answer
from sphinx_data.convert._common import RejectedError, limited, short
from sphinx_data.convert._questions import Pictures, Plan, QuestionOptions, Record
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._turns import About, Asked, Turn
from sphinx_data.licenses import UNKNOWN
from sphinx_data.phrasing import choose
from sphinx_data.sample import Built, Reject

_LABELS = ("entailment", "neutral", "contradiction")


class Options(QuestionOptions, frozen=True, kw_only=True):
    """Parameters of this format."""


def recognise(glimpse: Glimpse) -> bool:
    """Records of sentence pairs about a Flickr30k photo."""
    if _questions.has_files(glimpse, "snli_ve_*.jsonl"):
        return True
    return glimpse.record_has("sentence2", "gold_label", "pairID")


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every photo of every file."""
    paths = _questions.annotation_files(inputs, "snli_ve_*.jsonl", "*.jsonl")
    return limited(lambda: _questions.planned(inputs, options, paths, Plan(_about)), options)


def _about(entry: Any, place: str, path: str) -> Pictures:
    name = _entries.named(entry, "Flickr30K_ID", "Flikr30kID", "Flickr30kID").removesuffix(".jpg")
    folders = ("", "flickr30k_images/", "images/", "flickr30k-images/")
    return Pictures(name, ([f"{folder}{name}.jpg" for folder in folders],))


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the sentences about a photo."""
    yield from _turns.dialogue(record, options, places, _turn, About("visual-entailment", "CC-BY-SA-4.0", UNKNOWN))


def _turn(asked: Asked) -> Turn:
    hypothesis, label = _entries.said(asked.entry, "sentence2"), asked.entry.get("gold_label")
    if label not in _LABELS:
        raise RejectedError("no-gold-label", f"gold_label is {short(label)}.")
    wording = choose("visual-entailment", "question", asked.id, asked.turn)
    wording = wording.replace("{options}", f"{', '.join(_LABELS[:-1])} or {_LABELS[-1]}")
    question = short_answer(wording.replace("{hypothesis}", hypothesis))
    return Turn(question, label, _entries.kept(asked.entry, "pairID", "annotator_labels"))
