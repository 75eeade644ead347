"""Text for measures: text parts as they are stored; coordinates are no text."""

import re
from collections.abc import Iterator

from sphinx_data.sample import Message, Sample, TextPart

# Scripts that are written without spaces: each letter counts as a word of its own. Thai, Lao, Burmese, Khmer; kana,
# ideographs (also the rare ones of the second plane).
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# In Indic scripts vowel signs are no letters to Python, yet they do not end a word.
_WORD = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[\w\u0300-\u036f\u0900-\u0dff])+")


def targets(sample: Sample) -> Iterator[str]:
    """The text of every supervised turn, in order."""
    for message in sample.messages:
        if message.role == "assistant" and message.supervise:
            yield text_of(message)


def text_of(message: Message) -> str:
    """The text parts of a turn, joined as they are."""
    return "".join(part.text for part in message.content if isinstance(part, TextPart))


def words(text: str) -> list[str]:
    """Words without punctuation; in scripts without spaces every letter is one."""
    return _WORD.findall(text)
