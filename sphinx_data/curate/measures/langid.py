"""Which language the targets are written in, and how sure that is (py3langid: offline, about 100 languages)."""

from functools import cache
from importlib import import_module
from typing import Any

import pyarrow as pa

from sphinx_data.curate.text import targets, text_of
from sphinx_data.dataset.reader import Example
from sphinx_data.errors import UsageError

SCHEMA = pa.schema([("language", pa.string()), ("confidence", pa.float64())])
ENOUGH = 20  # letters of targets; with fewer the questions are read too
LONGEST = 4000  # characters are enough to tell
_NONE = "zxx"  # ISO 639-2: no linguistic content


def measure(example: Example) -> dict[str, Any]:
    """`language`, ISO 639 code, and `confidence`, 0 to 1; null without letters or where it is no language."""
    text = "\n".join(targets(example.sample))[:LONGEST]
    if _letters(text) < ENOUGH:
        text = "\n".join(text_of(message) for message in example.sample.messages)[:LONGEST]
    if not _letters(text):
        return {}
    language, confidence = _identifier().classify(text)
    if language == _NONE:
        return {}
    return {"language": language, "confidence": round(confidence, 4)}


def _letters(text: str) -> int:
    return sum(character.isalpha() for character in text)


@cache
def _identifier() -> Any:
    try:
        langid = import_module("py3langid.langid")  # it has no types
    except ImportError:
        raise UsageError("measure langid: needs the package py3langid; pip install 'py3langid>=0.4'") from None
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
