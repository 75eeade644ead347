"""How long the targets are: characters and words, turns, the shortest and the longest turn."""

import pyarrow as pa

from sphinx_data.curate.text import targets, words
from sphinx_data.dataset.reader import Example

SCHEMA = pa.schema([(name, pa.int64()) for name in ("characters", "words", "turns", "shortest", "longest")])


def measure(example: Example) -> dict[str, int]:
    """Of all supervised turns; `shortest` and `longest` in characters. Coordinates do not count."""
    found = list(targets(example.sample))
    lengths = [len(text) for text in found]
    return {
        "characters": sum(lengths),
        "words": sum(len(words(text)) for text in found),
        "turns": len(found),
        "shortest": min(lengths, default=0),
        "longest": max(lengths, default=0),
    }
