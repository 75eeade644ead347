"""Boxes as they are stored: by the font, around the ink, on the page; and by the ink where a picture is asked."""

import shutil
import subprocess
from html import unescape
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocr_pages import DOCUMENTS, PageSpec, pdf, produce_all, show

from sphinx_data.ocr import frames
from sphinx_data.ocr.pdf import open_document
from sphinx_data.ocr.text import Line, lines_of

LONG_SIDE = 800  # of pages of 400 points: two pixels a point


def read(data: bytes, number: int = 0, long_side: int = LONG_SIDE) -> tuple[list[Line], tuple[int, int]]:
    with open_document(data) as document, document.page(number, long_side) as page:
        return lines_of(page, page.characters()), (page.width, page.height)


def holds(outer: tuple[float, ...], inner: tuple[float, ...]) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


def across(box: tuple[float, ...], vertical: bool) -> float:
    return box[2] - box[0] if vertical else box[3] - box[1]


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_words_of_one_font_are_of_one_height_however_high_their_letters_are(rotate: int) -> None:
    (line,), _ = read(pdf(PageSpec(show("Type more acne, jumping", 60, 150, size=20), rotate=rotate)))
    heights = [across(word, line.vertical) for word in line.words]
    assert len(heights) == 4
    assert max(heights) - min(heights) < 0.5
    assert 40 <= min(heights) <= 48  # of a font of 40 pixels


def test_words_in_two_sizes_on_one_line_have_heights_of_their_own() -> None:
    content = "BT /F1 20 Tf 1 0 0 1 60 150 Tm (more ) Tj /F1 10 Tf (sums ) Tj /F1 20 Tf (once) Tj ET\n"
    (line,), _ = read(pdf(PageSpec(content)))
    large, small, again = (across(word, False) for word in line.words)
    assert large == pytest.approx(again, abs=0.5)
    assert large == pytest.approx(2 * small, abs=0.5)


def test_a_raised_sign_is_inside_the_frame_of_its_word() -> None:
    content = "BT /F1 20 Tf 1 0 0 1 60 150 Tm (more) Tj /F1 10 Tf 12 Ts (2) Tj 0 Ts /F1 20 Tf ( sums) Tj ET\n"
    lines, _ = read(pdf(PageSpec(content)))
    assert [line.text for line in lines] == ["more2 sums"]
    assert holds(lines[0].words[0], (*lines[0].box[:2], lines[0].words[0][2], lines[0].box[3]))


@given(
    texts=st.lists(st.text("aceghijlmpqxyABQ.,-|", min_size=1, max_size=12), min_size=1, max_size=4),
    size=st.floats(4, 60), x=st.floats(-30, 300), y=st.floats(-10, 290), stretch=st.floats(0.3, 3),
    rotate=st.sampled_from([0, 90, 180, 270]),
)  # fmt: skip
def test_frames_hold_the_ink_and_stay_on_the_page(
    texts: list[str], size: float, x: float, y: float, stretch: float, rotate: int
) -> None:
    content = f"BT /F1 {size:.3f} Tf {stretch:.3f} 0 0 1 {x:.3f} {y:.3f} Tm ({' '.join(texts)}) Tj ET\n"
    lines, (width, height) = read(pdf(PageSpec(content, rotate=rotate)))
    for line in lines:
        assert holds((0, 0, width, height), line.frame)
        assert holds(line.frame, tuple(np.clip(line.box, 0, [width, height] * 2)))
        assert all(holds(line.frame, word) for word in line.words)


@pytest.mark.parametrize(("ascent", "descent", "up", "down"), [
    (0.9, -0.2, 0.9, 0.2),  # what most fonts tell
    (0.694, -0.194, 0.782, 0.218),  # Computer Modern: grown to the size of the font
    (0.775, -0.96, 0.775, 0.4),  # its symbols: the descent is not believed
    (2.5, -1.0, 0.869, 0.331),  # absurd: no higher than lines are apart
    (0.527, 0.0, 0.632, 0.0),  # small capitals: grown a little, for their ink reaches no further
])  # fmt: skip
def test_heights_of_fonts_are_held_to_what_lines_can_have(
    ascent: float, descent: float, up: float, down: float
) -> None:
    size = 20.0
    top, bottom, known = frames._moved(size * (ascent - descent), ascent, descent)
    assert known
    reached = ascent - top / size, -descent + bottom / size
    assert reached == pytest.approx((up, down), abs=0.002)


def test_a_font_that_tells_no_heights_says_so() -> None:
    assert frames._moved(20.0, 0.0, 0.0) == (0.0, 0.0, False)


@pytest.mark.parametrize("name", ["multicolumn.pdf", "pdflatex-4-pages.pdf", "google-doc-document.pdf"])
def test_lines_of_a_column_do_not_cover_each_other(name: str) -> None:
    lines, _ = read((DOCUMENTS / name).read_bytes(), long_side=1344)
    beneath = [
        (one.frame, other.frame)
        for one, other in pairwise(lines)
        if one.box[3] <= other.box[1] and min(one.box[2], other.box[2]) > max(one.box[0], other.box[0])
    ]
    assert len(beneath) > 10
    for one, other in beneath:
        assert one[3] - other[1] < 0.25 * min(across(one, False), across(other, False))


def test_samples_store_frames() -> None:
    samples, _ = produce_all(DOCUMENTS / "google-doc-document.pdf")
    lines, _ = read((DOCUMENTS / "google-doc-document.pdf").read_bytes(), long_side=1344)
    stored = {line.text: tuple(round(side, 1) for side in line.frame) for line in lines}
    found = [(region.text, region.box) for region in samples[0].sample.regions if region.text in stored]
    assert found
    for text, box in found:
        assert box == stored[text]


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler is not installed")
@pytest.mark.parametrize("name", ["multicolumn.pdf", "pdflatex-4-pages.pdf", "google-doc-document.pdf"])
def test_words_have_the_places_that_poppler_tells(name: str, tmp_path: Path) -> None:
    """At least 95 % of equal words overlap by 0.7 or more, intersection over union."""
    out = tmp_path / "words.html"
    subprocess.run(["pdftotext", "-bbox", "-l", "1", DOCUMENTS / name, out], check=True)
    told: dict[str, list[tuple[float, ...]]] = {}
    for row in out.read_text("utf-8").splitlines():
        if "<word" in row:
            numbers = tuple(float(part) for part in row.split('"')[1::2])
            told.setdefault(unescape(row.split(">")[1].split("<")[0]), []).append(numbers)
    with open_document((DOCUMENTS / name).read_bytes()) as document, document.page(0, LONG_SIDE) as page:
        scale, lines = page.scale, lines_of(page, page.characters())
    pairs = [
        max(overlap(tuple(side / scale for side in word), other) for other in told[text])
        for line in lines
        for text, word in zip(line.text.split(), line.words, strict=False)
        if text in told
    ]
    assert len(pairs) > 50
    assert sum(pair >= 0.7 for pair in pairs) >= 0.95 * len(pairs)


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    wide = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    high = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return wide * high / (areas - wide * high)


def test_dots_up_to_a_page_number_are_one_line_with_it() -> None:
    """Most of the ink of such a line is dots; they tell nothing of its height."""
    content = show("1 I" + " ." * 40, 20, 150, size=8) + show("69", 219, 150, size=8)
    lines, _ = read(pdf(PageSpec(content)), long_side=1344)
    assert [line.text for line in lines] == ["1 I .... 69"]
