"""Messages whose content is text or a list of parts, as OpenAI, TRL, Transformers and Qwen write them."""

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from sphinx_data.convert import _tools
from sphinx_data.convert._common import RejectedError, clean_text, short
from sphinx_data.convert._dialogues import CALL, RESULT, Turn, placed, role_of
from sphinx_data.convert._embedded import prepared
from sphinx_data.convert._rows import Row, pictured
from sphinx_data.media import Prepared

_TEXT = ("text", "input_text", "output_text")
_IMAGE = ("image", "image_url", "input_image")
_REASONING = ("reasoning", "thinking")
_REASONS = ("reasoning_content", "reasoning", "thinking")  # fields of a message
_SOURCES = ("image", "image_url", "url", "path", "data", "value")


def _is_call(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("type") == "tool_call" and "value" in entry


def _thought(text: str) -> str:
    """Reasoning before an answer, as models of Qwen and DeepSeek write it."""
    return f"<think>\n{clean_text(text).strip()}\n</think>\n\n"


def _reasons(message: dict[str, Any]) -> list[str]:
    said = (message.get(key) for key in _REASONS)
    return [_thought(text) for text in said if isinstance(text, str) and text.strip()][:1]


class Reader:
    """Reads the messages of one row; `sources` are its pictures in the order in which they stand."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.sources: list[Any] = []
        self._given = list(pictured(fields))
        self._next = 0

    def turns(self, messages: Any) -> list[Turn]:
        """The turns, pictures at their places. Raises RejectedError."""
        if not isinstance(messages, list):
            raise RejectedError("not-a-conversation", f"{short(messages)} is no list of messages.")
        turns = [self._turn(number, message) for number, message in enumerate(messages)]
        if self._given and not self._next:  # placeholders in the text, or none
            self.sources += self._given
            return placed(turns, len(self._given))
        if self._next != len(self._given):
            detail = f"{self._next} image parts for {len(self._given)} pictures."
            raise RejectedError("placeholder-count", detail)
        return turns

    def _turn(self, number: int, message: Any) -> Turn:
        said = message.get("role", message.get("from")) if isinstance(message, dict) else None
        role = role_of(said)
        if role is None:
            raise RejectedError("turn-invalid", f"Message {number} is {short(message)}.")
        content = message.get("content", message.get("value"))
        parts = [*_reasons(message), *self._parts(number, content)]
        if role == CALL:
            return Turn("assistant", (_tools.call(_joined(parts)),), is_tool=True)
        if role == RESULT:
            return Turn("user", (_tools.result(_joined(parts)),), is_tool=True)
        calls = message.get("tool_calls") or message.get("function_call")
        is_tool = bool(calls) or (isinstance(content, list) and any(map(_is_call, content)))
        if is_tool and parts and isinstance(parts[-1], str):
            parts[-1] = parts[-1].rstrip("\n")
        if calls:
            text = _joined(parts).rstrip()
            parts = [f"{text}\n{_tools.openai_calls(calls)}" if text else _tools.openai_calls(calls)]
        if not any(isinstance(part, int) or part.strip() for part in parts):
            raise RejectedError("turn-empty", f"Message {number} ({role}) has no text.")
        if role == "system":
            return Turn("system", tuple(parts))
        if role == "user":
            return Turn("user", tuple(parts))
        weighed = message.get("weight", message.get("loss_weight", 1))
        return Turn("assistant", tuple(parts), supervise=weighed != 0, is_tool=is_tool)

    def _parts(self, number: int, content: Any) -> Iterator[str | int]:
        if content is None:
            return
        entries = content if isinstance(content, list) else [content]
        for entry in entries:
            if isinstance(entry, str):
                yield clean_text(entry)
                continue
            kind = entry.get("type") if isinstance(entry, dict) else None
            said = entry.get("text", entry.get("value")) if isinstance(entry, dict) else None
            if kind in _TEXT and isinstance(said, str):
                yield clean_text(said)
            elif kind in _REASONING and isinstance(entry.get(kind, said), str):
                yield _thought(entry.get(kind, said))
            elif _is_call(entry):
                yield f"{_tools.call(entry['value'])}\n"
            elif kind in _IMAGE:
                yield self._picture(entry)
            else:
                raise RejectedError("part-invalid", f"Message {number} has {short(entry)}, neither text nor a picture.")

    def _picture(self, entry: dict[str, Any]) -> int:
        source = next((entry[key] for key in _SOURCES if entry.get(key)), None)
        if isinstance(source, dict) and "url" in source:
            source = source["url"]
        if source is None:
            if self._next >= len(self._given):
                raise RejectedError("image-not-named", "An image part names no picture, and the row has none left.")
            source = self._given[self._next]
            self._next += 1
        self.sources.append(source)
        return len(self.sources) - 1


def _joined(parts: list[str | int]) -> str:
    return "".join(part for part in parts if isinstance(part, str))


def names(sources: list[Any]) -> list[str]:
    """The sources that are files, by their names below the folder of pictures. Raises RejectedError for addresses."""
    found = []
    for source in sources:
        if isinstance(source, str) and not source.startswith("data:"):
            if source.startswith(("http://", "https://")):
                raise RejectedError("image-remote", f"{short(source)} is an address; fetch the picture, name its file.")
            found.append(source.removeprefix("file://"))
        elif not isinstance(source, (str, dict, bytes)):
            raise RejectedError("image-name-invalid", f"{short(source)} is no picture.")
    return found


def pictures(row: Row, sources: list[Any]) -> list[Prepared]:
    """The pictures, from files, data URIs or cells. Raises RejectedError."""
    found, files = [], 0
    for source in sources:
        if isinstance(source, str) and source.startswith("data:"):
            found.append(prepared(_decoded(source), row.options))
        else:
            found.append(row.picture(source, files))
            files += isinstance(source, str)
    return found


def _decoded(source: str) -> bytes:
    head, comma, data = source.partition(",")
    if not comma or not head.endswith(";base64"):
        raise RejectedError("image-data-invalid", f"{short(source)} is no base64 data URI.")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise RejectedError("image-data-invalid", f"{short(source)} is not valid base64.") from None
