"""Descriptions, relations and questions by a model that sees the drawn picture: SPHINX-X's four prompts (Fig. 7).

A model behind an OpenAI-compatible endpoint must answer in a given structure: every mark it names exists, none is
missing. A wrong answer is sent back with what is wrong with it, then rejected. Answers are recorded before they are
used (`sphinx_data.answers`), so that a build is repeated from the record without a network.
"""

import re
from collections.abc import Sequence
from typing import Any, Literal

import cv2
import msgspec

from sphinx_data.answers import Record
from sphinx_data.endpoint import Request, picture
from sphinx_data.phrasing import wordings
from sphinx_data.sample import Message, Part, Task, TextPart
from sphinx_data.som.dialogue import assistant, introduction, question_with_marks, user
from sphinx_data.som.marking import Marked
from sphinx_data.som.parts import mark
from sphinx_data.som.pixels import Pixels, encode
from sphinx_data.som.scene import Thing

Prompt = Literal["short", "detailed", "relations", "questions"]
PROMPTS: tuple[Prompt, ...] = ("short", "detailed", "relations", "questions")
TASKS: dict[Prompt, Task] = {
    "short": "som-naming", "detailed": "som-description", "relations": "som-relations", "questions": "som-vqa",
}  # fmt: skip
ASKED_AGAIN = 2  # times, with what was wrong
_MARK = re.compile(r"<\s*mark\s+([^\W_]+)\s*>", re.IGNORECASE)
_LOOSE = re.compile(r"\bmarks?\s+#?(?:\d+|[A-HJ-NP-Z]{1,2})\b", re.IGNORECASE)


class AnnotateOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model is asked."""

    model: str
    prompts: tuple[Prompt, ...] = PROMPTS  # a sample each
    names: bool = True  # whether it is told the annotation's own names or texts
    max_side: int = 1024  # pixels of the picture that it sees
    max_tokens: int | None = 2000
    temperature: float | None = 0.0
    structured: bool = True  # also ask the server to hold the model to the structure


class Unanswered(Exception):
    """No usable answer: `rule` is the kind, `detail` one sentence that the model can mend it by."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule, self.detail = rule, detail


def describe(marked: Marked, pixels: Pixels, prompt: Prompt, options: AnnotateOptions, record: Record) -> Any:
    """The checked answer to one prompt, from the record or the endpoint behind it; `dialogue_of` makes turns of it.

    Args:
        marked: the marks.
        pixels: the picture as `sent` gives it.
        prompt: which of the four.
        options: the model and how it is asked.
        record: of answers.

    Raises Unanswered, and what `Record.answer` raises.
    """
    things = _things(marked)
    schema = _schema(prompt, list(things))
    shown = picture(encode(pixels, 90), "jpeg")
    content = [{"type": "text", "text": _instruction(marked, prompt, options)}, shown]
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    for _ in range(ASKED_AGAIN + 1):
        request = Request(
            model=options.model, messages=tuple(messages), schema=schema if options.structured else None,
            max_tokens=options.max_tokens, temperature=options.temperature,
        )  # fmt: skip
        answer = record.answer(request)
        if answer.refused:
            raise Unanswered("refused", answer.refused)
        try:
            return _read(prompt, answer.text, things)
        except Unanswered as error:
            wrong = error
        if answer.finish == "length":
            wrong = Unanswered("too-long", f"The answer was cut after {answer.completion_tokens} tokens.")
        messages += [
            {"role": "assistant", "content": answer.text},
            {"role": "user", "content": f"{wrong.detail} Answer again, with the whole JSON object and nothing else."},
        ]
    raise wrong


def sent(marked: Marked, pixels: Pixels, max_side: int) -> Pixels:
    """The drawn picture, made smaller where it is larger than a model sees."""
    drawn = marked.paint(pixels)
    height, width = drawn.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return drawn
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(drawn, size, interpolation=cv2.INTER_AREA).astype("uint8")


def _instruction(marked: Marked, prompt: Prompt, options: AnnotateOptions) -> str:
    def told(kind: str, **values: str) -> str:
        return wordings("som-annotate")[kind][0].format(**values)

    scene = marked.scene
    texts = [one.text for one in marked.objects]
    letters = texts[0].isalpha()
    lines = [
        told("panels" if scene.panels else scene.kind),
        told("marks", identifier="letter" if letters else "number", marks=", ".join(texts)),
    ]
    if options.names and not scene.nameless:
        names = [thing.text if scene.kind == "gui" else thing.name or thing.text for thing in scene.marked]
        lines.append(told("names", names=", ".join(f"{t}: {n}" for t, n in zip(texts, names, strict=True))))
    lines.append(told("alone" if prompt == "relations" and len(texts) == 1 else prompt))
    return "\n".join(lines)


def _schema(prompt: Prompt, marks: Sequence[str]) -> dict[str, Any]:
    """The structure of an answer as a JSON schema."""
    text = {"type": "string"}
    if prompt in ("short", "detailed"):
        inner = {
            "type": "object", "properties": dict.fromkeys(marks, text), "required": list(marks),
            "additionalProperties": False,
        }  # fmt: skip
        return _object({"marks": inner})
    if prompt == "relations":
        named = {"type": "array", "items": {"type": "string", "enum": list(marks)}}
        return _object({"relations": {"type": "array", "items": _object({"marks": named, "description": text})}})
    return _object({"questions": {"type": "array", "items": _object({"question": text, "answer": text})}})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip


class _Relation(msgspec.Struct):
    marks: list[str | int]
    description: str


class _Asked(msgspec.Struct):
    question: str
    answer: str


class _Marks(msgspec.Struct):
    marks: dict[str, str]


class _Relations(msgspec.Struct):
    relations: list[_Relation]


class _Questions(msgspec.Struct):
    questions: list[_Asked]


_ANSWERS: dict[Prompt, type[Any]] = {
    "short": _Marks, "detailed": _Marks, "relations": _Relations, "questions": _Questions,
}  # fmt: skip


def _read(prompt: Prompt, text: str, things: dict[str, Thing]) -> Any:
    """The answer in its structure; a fence of Markdown and ``Mark 1`` in place of ``1`` are forgiven."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        text = text.partition("\n")[2].removesuffix("```")
    try:
        found = msgspec.json.decode(text, type=_ANSWERS[prompt])
    except msgspec.ValidationError as error:
        raise Unanswered("wrong-structure", f"The answer has not the structure that was asked for: {error}.") from None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Unanswered("not-json", "The answer is not one JSON object and nothing else.") from None
    if isinstance(found, _Marks):
        found.marks = {_identifier(key, things): value for key, value in found.marks.items()}
        named, texts = list(found.marks), list(found.marks.values())
    elif isinstance(found, _Relations):
        for relation in found.relations:
            relation.marks = list(dict.fromkeys(_identifier(str(one), things) for one in relation.marks))
            if len(relation.marks) < min(2, len(things)):
                raise Unanswered("wrong-structure", "Every relation must name at least two different marks.")
        named = [str(one) for relation in found.relations for one in relation.marks]
        texts = [relation.description for relation in found.relations]
    else:
        texts = [each for asked in found.questions for each in (asked.question, asked.answer)]
        named = [_identifier(match, things) for each in texts for match in _MARK.findall(each)]
    _check(named, texts, things)
    return found


def _check(named: Sequence[str], texts: Sequence[str], things: dict[str, Thing]) -> None:
    if missing := [one for one in things if one not in named]:
        raise Unanswered("mark-missing", f"Nothing is said of the marks {', '.join(missing)}.")
    if not all(text.strip() for text in texts):
        raise Unanswered("empty-text", "A text is empty.")
    for text in texts:
        if loose := _LOOSE.search(_MARK.sub("", text)):
            detail = f"{loose[0]!r} must be written as <Mark X>, one mark at a time."
            raise Unanswered("loose-mark", detail)
        for match in _MARK.findall(text):
            _identifier(match, things)


def _identifier(text: str, things: dict[str, Thing]) -> str:
    """A mark's name from what a model calls it. Raises Unanswered for a mark that is not there."""
    name = re.sub(r"^<?\s*mark\s+|\s*>?$", "", text.strip(), flags=re.IGNORECASE)
    if name not in things:
        raise Unanswered("unknown-mark", f"There is no mark {text[:40]!r}; the marks are {', '.join(things)}.")
    return name


def _parts(text: str, things: dict[str, Thing]) -> list[Part]:
    """A text with its marks as region parts."""
    parts: list[Part] = []
    for number, piece in enumerate(_MARK.split(" ".join(text.split()))):
        if number % 2:
            parts.append(mark(things[piece]))
        elif piece:
            parts.append(TextPart(text=piece))
    return parts


def _things(marked: Marked) -> dict[str, Thing]:
    return {one.text: thing for one, thing in zip(marked.objects, marked.scene.marked, strict=True)}


def dialogue_of(found: Any, prompt: Prompt, marked: Marked, sample_id: str, drawn: bool) -> list[Message]:
    """SPHINX-X's turns of a checked answer, about the raw or the drawn picture."""
    things = _things(marked)
    if isinstance(found, _Questions):
        messages = introduction(marked.scene.marked, sample_id, drawn)
        for asked in found.questions:
            messages += [user(_parts(asked.question, things)), assistant(_parts(asked.answer, things))]
        return messages
    answer: list[Part] = []
    said: list[tuple[Sequence[str], str]]
    if isinstance(found, _Marks):
        said = [([one], found.marks[one]) for one in things]
    else:
        said = [([str(one) for one in relation.marks], relation.description) for relation in found.relations]
    for number, (marks, text) in enumerate(said):
        answer += [TextPart(text="\n- " if number else "- ")]
        for place, one in enumerate(marks):
            answer += ([TextPart(text=", ")] if place else []) + [mark(things[one])]
        answer += [TextPart(text=": "), *_parts(text, things)]
    task = {"short": "som-naming", "detailed": "som-description"}.get(prompt, "som-relations")
    return [user(question_with_marks(task, "question", sample_id, marked.scene.marked, drawn), 0), assistant(answer)]
