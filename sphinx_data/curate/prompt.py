"""What a rating asks and what it takes for an answer: the prompt file."""

import math
import re
from typing import Any, Literal

import msgspec
import pyarrow as pa
import yaml

from sphinx_data import storage
from sphinx_data.errors import UsageError
from sphinx_data.sample import ImagePart, RegionPart, Sample, TextPart

DIALOGUE = "{dialogue}"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TYPES = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(), "string": pa.string()}
_PYTHON = {"integer": (int,), "number": (int, float), "boolean": (bool,), "string": (str,)}


class Unrated(Exception):
    """An answer that is no rating: `rule` is its kind, `detail` one sentence that the model can mend it by."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule, self.detail = rule, detail


class Field(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One value of the answer; the names are those of JSON Schema."""

    type: Literal["integer", "number", "boolean", "string"]
    minimum: float | None = None
    maximum: float | None = None
    enum: tuple[str | int | float, ...] | None = None
    description: str | None = None
    default: bool | int | float | str | None = None  # what the column holds where there is no rating; null if not given

    def wrong(self, value: Any) -> str | None:
        """What is wrong with a value."""
        fits = isinstance(value, _PYTHON[self.type]) and (self.type == "boolean" or not isinstance(value, bool))
        if not fits or (self.type == "integer" and not -(2**63) <= value < 2**63):
            return f"must be of type {self.type}"
        if self.type == "number" and not math.isfinite(value):
            return "must be finite"
        if self.minimum is not None and value < self.minimum:
            return f"must be at least {self.minimum:g}"
        if self.maximum is not None and value > self.maximum:
            return f"must be at most {self.maximum:g}"
        if self.enum is not None and value not in self.enum:
            return f"must be one of {', '.join(map(repr, self.enum))}"
        return None


class Prompt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The content of a prompt file."""

    system: str | None = None
    question: str
    fields: dict[str, Field]
    max_side: int = 768  # pixels; larger pictures are made smaller
    max_tokens: int | None = 300
    temperature: float | None = 0.0
    structured: bool = True  # also ask the server to hold the model to the fields
    extra: dict[str, Any] = {}  # further fields of the request's body

    def arrow(self) -> pa.Schema:
        """The column's fields."""
        return pa.schema([(name, _TYPES[field.type]) for name, field in self.fields.items()])

    def json_schema(self) -> dict[str, Any]:
        """The fields as a JSON schema."""
        properties = {name: msgspec.to_builtins(field) for name, field in self.fields.items()}
        for field in properties.values():
            field.pop("default", None)
        return {
            "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
        }  # fmt: skip

    def defaults(self) -> dict[str, Any]:
        """What a row without a rating holds."""
        return {name: field.default for name, field in self.fields.items() if field.default is not None}

    def values(self, text: str) -> dict[str, Any]:
        """The rating in an answer; one fence of Markdown around it is forgiven. Raises Unrated."""
        text = text.strip()
        if text.startswith("```") and text.endswith("```") and "\n" in text:
            text = text.partition("\n")[2].removesuffix("```")
        try:
            found = msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise Unrated("not-json", "The answer is not one JSON object and nothing else.") from None
        if not isinstance(found, dict):
            raise Unrated("not-json", "The answer is JSON but no object.")
        if lacks := [name for name in self.fields if name not in found]:
            raise Unrated("missing-field", f"The fields {', '.join(lacks)} are missing.")
        if more := [name for name in found if name not in self.fields]:
            raise Unrated("extra-field", f"The fields {', '.join(more)[:200]} were not asked for.")
        for name, field in self.fields.items():
            if why := field.wrong(found[name]):
                raise Unrated("wrong-value", f"The field {name} {why}.")
        return {name: float(found[name]) if self.fields[name].type == "number" else found[name] for name in self.fields}


def load(place: str, images: bool) -> Prompt:
    """Read and check a prompt file. Raises UsageError that names file, field and mend."""
    try:
        prompt = msgspec.convert(yaml.safe_load(storage.read_bytes(place)), Prompt)
    except yaml.YAMLError as error:
        raise UsageError(f"{place}: is not YAML ({' '.join(str(error).split())})") from None
    except msgspec.ValidationError as error:
        raise UsageError(f"{place}: {error}") from None
    for field, why in _wrong(prompt, images):
        raise UsageError(f"{place}: {field}: {why}")
    return prompt


def _wrong(prompt: Prompt, images: bool) -> list[tuple[str, str]]:
    found = []
    if not prompt.fields:
        found.append(("fields", "is empty; name what the answer holds, e.g. {score: {type: integer}}"))
    if DIALOGUE not in prompt.question and not images:
        found.append(("question", f"is the same for every sample; put {DIALOGUE} where the sample's text belongs"))
    if prompt.max_side < 1:
        found.append(("max_side", f"is {prompt.max_side}; give pixels"))
    for name, field in prompt.fields.items():
        if not _NAME.fullmatch(name):
            found.append((f"fields.{name}", "use small letters, digits and _, so that conditions can name it"))
        bounds = [bound for bound in (field.minimum, field.maximum) if bound is not None]
        if bounds and field.type not in ("integer", "number"):
            found.append((f"fields.{name}", f"a {field.type} has no minimum and no maximum"))
        if bounds != sorted(bounds):
            found.append((f"fields.{name}", f"its minimum {bounds[0]:g} is above its maximum {bounds[1]:g}"))
        if field.default is not None and (why := Field(type=field.type).wrong(field.default)):
            found.append((f"fields.{name}.default", why))
    return found


def dialogue(sample: Sample) -> str:
    """A sample's turns as text; regions are their phrase and, where they have the form of a box, its place."""
    turns = []
    for message in sample.messages:
        parts = []
        for part in message.content:
            if isinstance(part, TextPart):
                parts.append(part.text)
            elif isinstance(part, ImagePart):
                parts.append(f"[picture {part.image + 1}]\n")
            else:
                parts.append(_regions(sample, part))
        turns.append(f"{message.role.capitalize()}: {''.join(parts).strip()}")
    return "\n\n".join(turns)


def _regions(sample: Sample, part: RegionPart) -> str:
    """The phrase and what it stands for: marks by name, other regions by their box as shares of the picture."""
    places = []
    for region in (sample.regions[number] for number in part.regions):
        if part.form in ("mark", "mark-name") and region.mark is not None:
            places.append(f"<Mark {region.mark}>")
        else:
            image = sample.images[region.image]
            size = (image.width, image.height) * 2
            shares = [f"{edge / side:.2f}" for edge, side in zip(region.box, size, strict=True)]
            places.append(f"[{', '.join(shares)}]")
    return " ".join([*([part.text] if part.text else []), *places])
