"""How much a target repeats itself: share of its 10-grams of words that came before in it; the worst turn counts."""

import pyarrow as pa

from sphinx_data.curate.text import targets, words
from sphinx_data.dataset.reader import Example

SCHEMA = pa.schema([("score", pa.float64()), ("grams", pa.int64())])
SIZE = 10


def measure(example: Example) -> dict[str, float]:
    """`score`, 0 to 1, and `grams`, how many there are in all; a turn of fewer than ten words has none and scores 0."""
    score, grams = 0.0, 0
    for text in targets(example.sample):
        found = words(text.lower())
        count = max(0, len(found) - SIZE + 1)
        distinct = len({tuple(found[start : start + SIZE]) for start in range(count)})
        grams += count
        score = max(score, 1 - distinct / count if count else 0.0)
    return {"score": round(score, 6), "grams": grams}
