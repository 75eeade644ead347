"""Accents that are drawn apart from their letters come back upon them; signs that stand alone stay what they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocr_pages import PageSpec, pdf, show

from sphinx_data.ocr.accents import composed
from sphinx_data.ocr.pdf import open_document
from sphinx_data.ocr.text import lines_of

WIDTHS = {"s": 500, "t": 278, "o": 556, "e": 556, "a": 556, "c": 500, "n": 556, "r": 333, "u": 556, "h": 556, "A": 667}
X, Y, SIZE = 60.0, 150.0, 20.0


def texts(content: str, rotate: int = 0) -> list[str]:
    with open_document(pdf(PageSpec(content, rotate=rotate))) as document, document.page(0, 1344) as page:
        return [line.text for line in lines_of(page, page.characters())]


def apart(before: str, accent: str, letter: str, after: str, *, at_end: bool = False, raised: float = 0.0) -> str:
    """A word as old TeX fonts have it: the accent alone, moved over its letter; or at the end of the word."""
    wide = sum(WIDTHS[sign] for sign in before) * SIZE / 1000
    middle = (WIDTHS[letter] - 333) / 2 * SIZE / 1000
    drawn = show(accent, X + wide + middle, Y + raised, SIZE)
    rest = show(letter + after, X + wide, Y, SIZE)
    return show(before, X, Y, SIZE) + (rest + drawn if at_end else drawn + rest)


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize(("word", "accent", "whole", "raised"), [
    (("st", "o", "ren"), "\u00a8", "st\u00f6ren", 0), (("", "e", "tat"), "\u00b4", "\u00e9tat", 0),
    (("", "a", "none"), "`", "\u00e0none", 0), (("h", "o", "te"), "\u02c6", "h\u00f4te", 0),
    (("", "c", "a"), "\u00b8", "\u00e7a", 0), (("", "A", "nne"), "\u00a8", "\u00c4nne", 3),
])  # fmt: skip
def test_accents_are_put_upon_their_letters(
    word: tuple[str, str, str], accent: str, whole: str, raised: float, at_end: bool
) -> None:
    before, letter, after = word
    assert texts(apart(before, accent, letter, after, at_end=at_end, raised=raised)) == [whole]


def test_words_after_an_accent_at_the_end_of_its_word_keep_their_blank() -> None:
    content = apart("st", "\u00a8", "o", "ren", at_end=True) + show("an", X + 70, Y, SIZE)
    assert texts(content) == ["st\u00f6ren an"]


@pytest.mark.parametrize(
    "text", ["a `quoted' word", "x ^ y ~ z", "5\u00b4 and 6\u00a8 wide", "a^b~c`d", "\u00b4 \u00a8 \u00b8"]
)
def test_signs_beside_letters_stay(text: str) -> None:
    assert texts(show(text, X, Y, SIZE)) == [text]


@given(
    codes=st.lists(st.sampled_from([*map(ord, "ab cdeno`^~"), 0xA8, 0xB4, 0xB8, 0x131, 0x2C6]), max_size=30),
    data=st.data(),
)
def test_only_accents_and_blanks_go_and_only_letters_change(codes: list[int], data: st.DataObject) -> None:
    count = len(codes)
    corners = st.lists(st.floats(0, 40), min_size=4 * count, max_size=4 * count)
    boxes = np.sort(np.array(data.draw(corners)).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    given_codes = np.array(codes, np.uint32)
    found, grown, left = composed(given_codes, boxes)
    accents = (given_codes == 0x20) | ~np.isin(given_codes, [*map(ord, "abcdeno"), 0x131])
    assert accents[~left].all()
    changed = found != given_codes
    assert not (changed & accents).any()
    assert changed.sum() <= (~left).sum()
    assert (grown[:, :2] <= boxes[:, :2]).all()
    assert (grown[:, 2:] >= boxes[:, 2:]).all()
