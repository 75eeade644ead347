"""Turns to token ids: templates are rendered around content, never over it; copied into saved models.

A template is rendered once per sequence of roles, with a sentinel in place of each content. The text between sentinels
is tokenised with control tokens, every content by itself without any, so text in data cannot become a control token.
Training, inference and the computation of lengths all use `TurnEncoder.encode`; it needs neither torch nor images.
"""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from tokenizers import Tokenizer
from transformers.utils import chat_template_utils

from .layout import Layout

IGNORE = -100
IMAGE_POSITIONS = ("inline", "front")

_render_template: Any = chat_template_utils.render_jinja_template  # (texts, generation spans in characters)
_RENDERING = threading.Lock()  # a compiled template tracks the assistant's text for one thread at a time
_OPEN, _CLOSE = "\ue000", "\ue001"  # private use: a sentinel is OPEN turn-number CLOSE
_SENTINEL = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")
_MARK = re.compile(r"\{%-?\+?\s*generation\s*-?%\}")


def is_marked(template: str | None) -> bool:
    """Whether a chat template says what the assistant generates."""
    return bool(template and _MARK.search(template))


class Turn(NamedTuple):
    """One turn: parts are text (regions already rendered by a dialect) or the number of an image."""

    role: str  # system, user or assistant
    parts: Sequence[str | int]
    supervise: bool = True  # only meaningful for the assistant


class Placeholders(NamedTuple):
    """Token ids that stand for an image: one `patch` a feature, `start` and `end` around a view, `skip` for a view."""

    patch: int
    start: int
    end: int
    skip: int


class Encoded(NamedTuple):
    """One document. Labels are not shifted; the first one is always ignored, so documents can be packed."""

    input_ids: list[int]  # L
    labels: list[int]  # L: the id where it is supervised, else -100
    images: list[int]  # numbers of the images in the order in which their views must be concatenated


class TextCodec:
    """Text to ids in two ways: `control` knows the tokenizer's special and added tokens, `plain` none of them.

    Raises ValueError for tokenizers without a Rust backend, whose added tokens cannot be switched off.
    """

    def __init__(self, tokenizer: Any) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ValueError(f"{type(tokenizer).__name__} has no fast (Rust) backend, which plain content needs")
        state = json.loads(tokenizer.backend_tokenizer.to_str())
        self._added = [token["content"] for token in state["added_tokens"]]
        self._controls = frozenset(token["id"] for token in state["added_tokens"])
        state.update(added_tokens=[], post_processor=None, truncation=None, padding=None)
        self._plain = Tokenizer.from_str(json.dumps(state))
        self._tokenizer = tokenizer
        # SentencePiece-like tokenizers put a space before every text; a fragment in mid-sequence must not get one.
        anchor = self._plain.encode("\n", add_special_tokens=False).ids
        shifted = self._plain.encode("\na", add_special_tokens=False).ids[len(anchor) :]
        self._anchor = anchor if shifted != self._plain.encode("a", add_special_tokens=False).ids else []

    def control(self, text: str) -> list[int]:
        """Text of a template: its control tokens count."""
        return self._fragment(text, lambda piece: self._tokenizer.encode(piece, add_special_tokens=False))

    def plain(self, text: str) -> list[int]:
        """Text of data: strings such as ``</s>`` or ``<image>`` become ordinary tokens."""
        ids = self._fragment(text, lambda piece: self._plain.encode(piece, add_special_tokens=False).ids)
        if self._controls.isdisjoint(ids):
            return ids
        return [token for piece in self._broken(text) for token in self._checked(piece)]

    def _fragment(self, text: str, encode: Any) -> list[int]:
        if not text:
            return []
        return encode("\n" + text)[len(self._anchor) :] if self._anchor else encode(text)

    def _broken(self, text: str) -> Iterator[str]:
        """The text cut after the first character of every added token in it (some vocabularies hold them as words)."""
        start = 0
        for match in re.finditer("|".join(map(re.escape, sorted(self._added, key=len, reverse=True))), text):
            yield text[start : match.start() + 1]
            start = match.start() + 1
        yield text[start:]

    def _checked(self, text: str) -> list[int]:
        ids = self._fragment(text, lambda piece: self._plain.encode(piece, add_special_tokens=False).ids)
        if not self._controls.isdisjoint(ids):
            raise ValueError(f"the tokenizer turns the plain text {text!r} into a control token")
        return ids


class _Piece(NamedTuple):
    """A stretch of a rendered template: fixed ids, or the place of a turn's content."""

    ids: list[int]
    turn: int | None  # the turn whose content stands here
    lead: str  # a space of the template that is tokenised with that content, as in running text
    supervised_by: int | None  # the assistant turn whose generation marks enclose this stretch


class TurnEncoder:
    """Encodes dialogues and documents for one tokenizer, template and set of placeholders.

    Raises ValueError for a template without generation marks, for a tokenizer without EOS, and on unknown settings.
    """

    def __init__(
        self, tokenizer: Any, template: str | None, placeholders: Placeholders, image_position: str = "inline"
    ) -> None:
        if not template or not is_marked(template):
            raise ValueError(
                "the chat template marks no generation ({% generation %} ... {% endgeneration %}), so what to learn is "
                "unknown; use a marked template, or template: sphinx"
            )
        if image_position not in IMAGE_POSITIONS:
            raise ValueError(f"image_position must be one of {', '.join(IMAGE_POSITIONS)}, not {image_position!r}")
        if tokenizer.eos_token_id is None:
            raise ValueError("the tokenizer has no EOS token, which documents end with")
        self.codec = TextCodec(tokenizer)
        self.template = template
        self.placeholders = placeholders
        self.image_position = image_position
        self._bos: int | None = tokenizer.bos_token_id
        self._eos: int = tokenizer.eos_token_id
        self._special: dict[str, Any] = {
            key: value for key, value in tokenizer.special_tokens_map.items() if isinstance(value, str)
        }
        self._skeletons: dict[tuple[tuple[str, ...], bool], list[_Piece]] = {}

    def encode(self, turns: Sequence[Turn], layouts: Sequence[Layout], add_generation_prompt: bool = False) -> Encoded:
        """Encode one sample; `layouts[i]` is the layout of image i.

        Without a user turn it is a document: BOS, parts, EOS. Otherwise the template stands around the contents.
        Raises ValueError where the template refuses the roles and IndexError for an image without a layout.
        """
        is_document = not add_generation_prompt and all(turn.role != "user" for turn in turns)
        pieces = self._document(turns) if is_document else self._dialogue(turns, add_generation_prompt)
        ids: list[int] = []
        labels: list[int] = []
        images: list[int] = []
        front = self.image_position == "front"
        for piece in pieces:
            supervised = piece.supervised_by is not None and turns[piece.supervised_by].supervise
            blocks = [piece.ids] if piece.turn is None else self._content(turns[piece.turn].parts, piece.lead, front)
            for block in blocks:
                if isinstance(block, int):
                    images.append(block)
                    block = self.image_ids(layouts[block])
                    labels += [IGNORE] * len(block)
                else:
                    labels += block if supervised else [IGNORE] * len(block)
                ids += block
        if front:
            images = [part for turn in turns for part in turn.parts if isinstance(part, int)]
            block_ids = [token for image in images for token in self.image_ids(layouts[image])]
            place = 1 if ids and ids[0] == self._bos else 0
            ids[place:place] = block_ids
            labels[place:place] = [IGNORE] * len(block_ids)
        if labels:
            labels[0] = IGNORE
        return Encoded(ids, labels, images)

    def stop_string(self) -> str:
        """What the template writes after an answer, e.g. ``\\n###``: where generation ends."""
        rendered, spans = self._rendered(("user", "assistant"), False)
        end = max(match.end() for match in _SENTINEL.finditer(rendered))
        return rendered[end : max(stop for _, stop in spans)]

    def prompt(self, turns: Sequence[Turn], image: str, add_generation_prompt: bool = False) -> str:
        """The rendered dialogue as one string, `image` in place of every image; control tokens in it are text again."""
        contents = ["".join(part if isinstance(part, str) else image for part in turn.parts) for turn in turns]
        rendered, _ = self._rendered(tuple(turn.role for turn in turns), add_generation_prompt)
        rendered = rendered.removesuffix(" ") if add_generation_prompt else rendered  # that space begins the answer
        return _SENTINEL.sub(lambda match: contents[int(match[1])], rendered)

    def image_ids(self, layout: Layout) -> list[int]:
        """Placeholder ids of one image: [start, patches, end] for a view, one skip token for an all-padding place."""
        patch, start, end, skip = self.placeholders
        view = [start, *[patch] * layout.view_tokens, end]
        return [token for encoded in layout.blocks() for token in (view if encoded else (skip,))]

    def _content(self, parts: Sequence[str | int], lead: str, front: bool) -> Iterator[list[int] | int]:
        """Parts with neighbouring texts joined; `front` takes the images out of the text, as the reference does."""
        text = lead
        for part in parts:
            if isinstance(part, str):
                text += part
            elif not front:
                yield self.codec.plain(text)
                yield part
                text = ""
        yield self.codec.plain(text)

    def _document(self, turns: Sequence[Turn]) -> list[_Piece]:
        begin = [] if self._bos is None else [_Piece([self._bos], None, "", None)]
        body = [_Piece([], number, "", number) for number in range(len(turns))]
        return [*begin, *body, _Piece([self._eos], None, "", len(turns) - 1 if turns else None)]

    def _dialogue(self, turns: Sequence[Turn], prompt: bool) -> list[_Piece]:
        key = tuple(turn.role for turn in turns), prompt
        if key not in self._skeletons:
            self._skeletons[key] = self._render(*key)
        return self._skeletons[key]

    def _rendered(self, roles: tuple[str, ...], prompt: bool) -> tuple[str, list[tuple[int, int]]]:
        messages = [{"role": role, "content": f"{_OPEN}{turn}{_CLOSE}"} for turn, role in enumerate(roles)]
        try:
            with _RENDERING:
                texts, spans = _render_template(
                    conversations=[messages],
                    chat_template=self.template,
                    return_assistant_tokens_mask=True,
                    add_generation_prompt=prompt,
                    **self._special,
                )
        except Exception as error:  # templates raise what they like
            raise ValueError(f"the chat template refuses the roles {', '.join(roles)}: {error}") from None
        return texts[0], [(start, end) for start, end in spans[0]]

    def _render(self, roles: tuple[str, ...], prompt: bool) -> list[_Piece]:
        """The template around the contents of turns with these roles, cut at contents and generation marks."""
        text, spans = self._rendered(roles, prompt)
        slots = [(match.start(), match.end(), int(match[1])) for match in _SENTINEL.finditer(text)]
        if [turn for _, _, turn in slots] != list(range(len(roles))):
            raise ValueError(f"the chat template does not write every content once, in order, for {', '.join(roles)}")
        owner: dict[tuple[int, int], int] = {}
        for start, end, turn in slots:
            enclosing = [span for span in spans if span[0] <= start and end <= span[1]]
            if (roles[turn] == "assistant") != bool(enclosing):
                raise ValueError(f"the chat template's generation marks do not fit turn {turn} ({roles[turn]})")
            owner.update(dict.fromkeys(enclosing, turn))
        cuts = sorted({0, len(text), *(p for s, e, _ in slots for p in (s, e)), *(p for span in spans for p in span)})
        content = {start: turn for start, _, turn in slots}
        pieces: list[_Piece] = []
        lead = ""
        for start, end in pairwise(cuts):
            by = next((turn for span, turn in owner.items() if span[0] <= start and end <= span[1]), None)
            if start in content:
                pieces.append(_Piece([], content[start], lead, by))
                lead = ""
                continue
            fixed = text[start:end]
            before_content = end in content or (prompt and end == len(text))
            lead = " " if before_content and fixed.endswith(" ") else ""
            pieces.append(_Piece(self.codec.control(fixed.removesuffix(lead)), None, "", by))
        return pieces
