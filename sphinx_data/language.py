"""Which language a text is written in, and how sure that is (py3langid: offline, about 100 languages)."""

import tempfile
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from sphinx_data.storage import NO_ROOM, cannot_write

LONGEST = 4000  # characters are enough to tell
ENOUGH = 40  # letters; with fewer `language_of` does not guess
SURE = 0.9
_BEGINNING = 400  # characters that `language_of` looks at: as sure as with all of them, many times as fast
_NONE = "zxx"  # ISO 639-2: no linguistic content


class Identified(NamedTuple):
    """ISO 639 code and confidence, 0 to 1."""

    language: str
    confidence: float


def letters(text: str) -> int:
    """How many characters of the text are letters."""
    return sum(map(str.isalpha, text))


def identify(text: str) -> Identified | None:
    """The likeliest language; None without a letter, or where the text is no language."""
    text = text[:LONGEST]
    return _told(text) if letters(text) else None


def language_of(text: str) -> str | None:
    """The language of a text that is long and clear enough to be told, else None: a wrong label is worse than none."""
    beginning = text[:_BEGINNING]
    if letters(beginning) < ENOUGH:
        return None
    found = _told(beginning)
    return found.language if found and found.confidence >= SURE else None


def _told(text: str) -> Identified | None:
    language, confidence = _identifier().classify(text)
    return None if language == _NONE else Identified(language, confidence)


@cache
def _identifier() -> Any:
    """The model, which py3langid unpacks into a temporary file. Raises OutputError when there is no room for that."""
    langid = import_module("py3langid.langid")  # it has no types
    try:
        return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise cannot_write(tempfile.gettempdir(), error) from None
        raise
