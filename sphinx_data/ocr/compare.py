"""How far two readings of one text are apart."""

import re
import unicodedata

# Letters that look the same, or that engines and text layers write in different ways for the same ink.
_FOLDED = {
    **dict.fromkeys("‘’‚‛′`´", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—―−﹣－", "-"),
    **dict.fromkeys("•∙⋅", "·"),
}
_TO_FOLD = re.compile(f"[{''.join(_FOLDED)}]")  # ten times as fast as `str.translate` where there is little to do


def folded(text: str) -> str:
    """Compatibility forms made plain, dashes and quotes unified, blanks removed: what a reading is judged by."""
    if text.isascii():
        return "".join(text.replace("`", "'").split())
    return "".join(_unified(unicodedata.normalize("NFKC", _unified(text))).split())


def _unified(text: str) -> str:
    return _TO_FOLD.sub(lambda sign: _FOLDED[sign[0]], text)


def edit_distance(one: str, other: str) -> int:
    """Fewest letters to insert, delete or replace (Levenshtein)."""
    if len(one) < len(other):
        one, other = other, one
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        corner, row[0] = row[0], i
        for j, against in enumerate(other, start=1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (letter != against))
    return row[-1]


def error_rate(truth: str, reading: str) -> float:
    """Character error rate of a reading, both folded; 0 where both are empty, and at most 1 for no truth at all."""
    truth, reading = folded(truth), folded(reading)
    return edit_distance(truth, reading) / max(1, len(truth)) if truth else float(bool(reading))
