"""Messages: rows of {messages: [{role, content}]}, of OpenAI, TRL, Transformers, Qwen, LLaMA-Factory; JSON or Parquet.

``content`` is text or a list of parts: ``{type: text}``, ``{type: image}`` or ``{type: image_url}`` with a name below
the folder of pictures or a ``data:`` URI; parts without a name take the row's ``images`` in order, and text with
``<image>`` says where they stand. In Parquet, ``images`` are embedded. ``tools`` and ``tool_calls`` become text inside
<tools>, <tool_call> and <tool_response>, as Hermes and Qwen models write it, and reasoning (a part of that type, or
``reasoning_content``) inside <think>. ``prompt`` and ``completion`` lists (TRL)
are joined; ``weight: 0`` (or ``loss_weight``) keeps an answer out of the loss. A row that KTO's ``label: false``
calls undesirable is a reject, and so is one with ``audios`` or ``videos``, or with a web address for a picture: nothing
is fetched. Sets have their own licence: give ``--license``. https://huggingface.co/docs/trl/dataset_formats
"""

from collections.abc import Iterator
from typing import Any

from sphinx_data.convert import Inputs, _contents, _dialogues, _rows
from sphinx_data.convert._common import CommonOptions, RejectedError
from sphinx_data.convert._exchanges import facts
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._rows import Record as Record
from sphinx_data.convert._rows import Row
from sphinx_data.sample import Built, Reject


class Options(CommonOptions, frozen=True, kw_only=True):
    """Parameters of this format."""


def recognise(glimpse: Glimpse) -> bool:
    """Rows with a list of messages that have roles."""
    own = glimpse.row_has("id", "license", "domain", "task", "origin") or glimpse.row_has("messages", "boxes")
    rows = [row for row in glimpse.rows if isinstance(row, dict)]
    if own or not rows or glimpse.row_has("chosen"):
        return False
    return all(any(_has_roles(list_) for list_ in (_messages(row), row.get("conversation"))) for row in rows)


def _has_roles(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(m, dict) and "role" in m for m in value)


def _messages(row: dict[str, Any]) -> Any:
    if isinstance(row.get("prompt"), list) and isinstance(row.get("completion"), list):
        return [*row["prompt"], *row["completion"]]
    return row.get("messages", row.get("conversation"))


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every row of every file, in file order."""
    return _rows.records(inputs, options, _names, one="messages")


def _names(row: dict[str, Any]) -> list[str]:
    reader = _contents.Reader(row)
    reader.turns(_messages(row))
    return _contents.names(reader.sources)


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """The sample of every row, perhaps with the reject of its last turn, or its reject."""
    return _rows.produce(record, options, places, _sampled)


def _sampled(row: Row) -> Iterator[Built | Reject]:
    if row.fields.get("label") is False:
        raise RejectedError("not-desired", "Its label is false: the answer is one that a model should not give.")
    reader = _contents.Reader(row.fields)
    turns = reader.turns(_messages(row.fields))
    _contents.names(reader.sources)
    turns, unanswered = _dialogues.settled(
        _dialogues.introduced(turns, row.fields.get("system"), row.fields.get("tools"))
    )
    pictures = _contents.pictures(row, reader.sources)
    meta = facts(row, "prompt_id", "source", "category")
    return _dialogues.dialogue(row, turns, pictures, meta=meta, unanswered=unanswered)
