"""Preference pairs, chosen side: {prompt, chosen, rejected}, HH-RLHF, Orca DPO, LLaMA-Factory.

Read alike, from JSON, JSON lines or Parquet: ``prompt``, ``question`` or ``instruction`` (with ``input``) beside texts;
whole conversations in ``chosen`` (UltraFeedback); "\\n\\nHuman: ... \\n\\nAssistant: ..." (HH-RLHF); ``conversations``
with ``chosen: {from, value}``; an ``output`` list whose first is the better; ``chosen_messages``, a list of messages. A
picture may be in ``image`` or ``images``. The rejected side is not used. Only LLaMA-Factory's forms were tested on real
files; the others were made after the published descriptions. HH-RLHF and UltraFeedback are MIT; give ``--license``.
https://huggingface.co/docs/trl/dataset_formats#preference
"""

import re
from collections.abc import Iterator
from typing import Any

from sphinx_data.convert import Inputs, _contents, _dialogues, _rows
from sphinx_data.convert._common import CommonOptions, RejectedError, clean_text, short
from sphinx_data.convert._dialogues import Turn
from sphinx_data.convert._exchanges import facts, optional
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._rows import Record as Record
from sphinx_data.convert._rows import Row
from sphinx_data.sample import Built, Reject

_SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")


class Options(CommonOptions, frozen=True, kw_only=True):
    """Parameters of this format."""


def recognise(glimpse: Glimpse) -> bool:
    """Rows with a chosen and a rejected answer, or with a list of two outputs."""
    two = glimpse.row_has("instruction", "output") and all(isinstance(row["output"], list) for row in glimpse.rows)
    return two or glimpse.row_has("chosen", "rejected") or glimpse.row_has("chosen_messages", "rejected_messages")


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every row of every file, in file order."""
    return _rows.records(inputs, options, _names)


def _names(fields: dict[str, Any]) -> list[str]:
    if "chosen_messages" not in fields:
        return _contents.names(_rows.pictured(fields))
    reader = _contents.Reader(fields)
    reader.turns(fields["chosen_messages"])
    return _contents.names(reader.sources)


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """The sample of every row, or its reject."""
    return _rows.produce(record, options, places, _sampled)


def _sampled(row: Row) -> Iterator[Built | Reject]:
    fields = row.fields
    reader = _contents.Reader(fields) if "chosen_messages" in fields else None
    said = reader.turns(fields["chosen_messages"]) if reader else list(_said(fields))
    turns = _dialogues.introduced(said, optional(fields, "system", "system_prompt"), fields.get("tools"))
    turns, unanswered = _dialogues.settled(turns)
    if unanswered:
        raise RejectedError("no-answer", "The chosen side ends with a question.")
    given = reader.sources if reader else _rows.pictured(fields)
    _contents.names(given)
    pictures = _contents.pictures(row, given)
    meta = facts(row, "prompt_id", "source", "score_chosen", "score_rejected")
    return _dialogues.dialogue(row, turns if reader else _dialogues.placed(turns, len(given)), pictures, meta=meta)


def _said(fields: dict[str, Any]) -> Iterator[Turn]:
    chosen = fields.get("chosen")
    if chosen is None and isinstance(fields.get("output"), list) and fields["output"]:
        chosen = fields["output"][0]
    before = fields.get("conversations", fields.get("prompt"))
    if isinstance(chosen, dict):
        chosen = [chosen]
    if isinstance(chosen, list):
        answer = _dialogues.conversation(chosen)
        whole = any(turn.role == "user" for turn in answer)  # the question is part of it
        yield from () if whole else _asked(fields, before)
        yield from answer
    elif isinstance(chosen, str) and before is None and _SPEAKER.match(chosen):
        yield from _transcript(chosen)
    else:
        yield from _asked(fields, before)
        yield _dialogues.spoken(1, "assistant", chosen)


def _asked(fields: dict[str, Any], before: Any) -> Iterator[Turn]:
    if isinstance(before, list):
        yield from _dialogues.conversation(before)
    elif isinstance(before, str) and _SPEAKER.match(before):
        yield from (turn for turn in _transcript(before) if turn.text)
    else:
        question = optional(fields, "prompt", "question", "instruction")
        given = optional(fields, "input")
        yield _dialogues.spoken(0, "user", f"{question}\n{given}" if given.strip() else question)


def _transcript(text: str) -> Iterator[Turn]:
    """A conversation written as one text; an open "Assistant:" at its end, which a prompt has, is an empty turn."""
    pieces = _SPEAKER.split(clean_text(text))
    if pieces[0].strip():
        raise RejectedError("not-a-conversation", f"{short(text)} does not begin with a speaker.")
    spoken = list(zip(pieces[1::2], pieces[2::2], strict=True))
    for number, (speaker, said) in enumerate(spoken):
        if not said.strip() and not (speaker == "Assistant" and number == len(spoken) - 1):
            raise RejectedError("turn-empty", f"Turn {number} ({speaker}) has no text.")
        yield Turn("user" if speaker == "Human" else "assistant", (said.strip(),) if said.strip() else ())
