"""What stands on a page and where: known pages, and the one property that matters: the ink lies in the box."""

import numpy as np
import pytest
from ocr_pages import DOCUMENTS, PageSpec, pdf, show

from sphinx_data.ocr import letters
from sphinx_data.ocr.pdf import open_document
from sphinx_data.ocr.pdf_page import Characters, Raster
from sphinx_data.ocr.text import Line, PageText, arrange, flowing, page_text

LONG_SIDE = 1344


def read(data: bytes, number: int = 0) -> tuple[PageText, Raster]:
    with open_document(data) as document, document.page(number, LONG_SIDE) as page:
        return page_text(page, page.characters()), page.render()


def texts(page: PageText) -> list[str]:
    return [line.text for line in page.lines]


def ink(raster: Raster, line: Line, margin: int) -> tuple[float, float, float, float]:
    """Box of what is darker than light grey in and around a line's box."""
    x0, y0 = (max(0, int(v) - margin) for v in line.box[:2])
    crop = raster.pixels[y0 : int(line.box[3]) + margin + 1, x0 : int(line.box[2]) + margin + 1, 1] < 200
    rows, columns = np.flatnonzero(crop.any(axis=1)), np.flatnonzero(crop.any(axis=0))
    return x0 + columns[0], y0 + rows[0], x0 + columns[-1] + 1, y0 + rows[-1] + 1


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("crop", [None, (20, 30, 390, 280)])
def test_ink_of_every_line_lies_in_its_box(rotate: int, crop: tuple[float, float, float, float] | None) -> None:
    lines = ["Every line has its own ink,", "jumping (quickly) over", "Ävila & Åse"]
    content = "".join(show(text, 60, 220 - 60 * n, size=12 + 4 * n) for n, text in enumerate(lines))
    page, raster = read(pdf(PageSpec(content, rotate=rotate, crop=crop)))
    assert (raster.width > raster.height) == (rotate in (0, 180))
    assert sorted(texts(page)) == sorted(lines)
    for line in page.lines:
        assert line.vertical == (rotate in (90, 270))
        assert np.abs(np.subtract(ink(raster, line, 12), line.box)).max() < 3


@pytest.mark.parametrize("name", ["multicolumn.pdf", "pdflatex-4-pages.pdf", "google-doc-document.pdf"])
def test_ink_of_real_pages_lies_in_the_boxes(name: str) -> None:
    page, raster = read((DOCUMENTS / name).read_bytes())
    assert len(page.lines) > 20
    for line in page.lines:
        assert np.abs(np.subtract(ink(raster, line, 1), line.box)).max() < 3, line.text


def test_known_page_is_read_word_for_word() -> None:
    page, _ = read((DOCUMENTS / "google-doc-document.pdf").read_bytes())
    assert texts(page)[:3] == [
        "Example document",
        "Beautiful is better than ugly.",
        "Explicit is better than implicit.",
    ]


def test_columns_are_read_one_after_the_other() -> None:
    page, raster = read((DOCUMENTS / "multicolumn.pdf").read_bytes(), 1)
    middle = raster.width / 2
    sides = [line.box[0] > middle for line in page.lines[:-1]]  # the last one is the page number
    assert sides == sorted(sides)
    assert any(sides)
    assert not all(sides)


def test_blocks_told_bottom_first_are_sorted() -> None:
    content = "".join(show(f"paragraph {n}", 60, 20 + 60 * n) for n in range(4))
    assert texts(read(pdf(PageSpec(content)))[0]) == ["paragraph 3", "paragraph 2", "paragraph 1", "paragraph 0"]


def test_cells_of_a_row_are_lines_of_their_own() -> None:
    content = show("Austria", 40, 200) + show("8.9", 160, 200) + show("Vienna", 260, 200)
    assert texts(read(pdf(PageSpec(content)))[0]) == ["Austria", "8.9", "Vienna"]


def test_raised_signs_stay_in_their_line() -> None:
    content = show("Andreas Gal", 40, 200) + show("*", 118, 205, size=9) + show("and others", 124, 200)
    assert texts(read(pdf(PageSpec(content)))[0]) == ["Andreas Gal* and others"]


def test_line_end_hyphen_is_seen_in_the_line_and_gone_in_the_text() -> None:
    page, _ = read(pdf(PageSpec(show("This is an exam-", 40, 200) + show("ple of a broken word", 40, 184))))
    assert texts(page) == ["This is an exam-", "ple of a broken word"]
    assert flowing(page.lines) == "This is an example of a broken word"


@pytest.mark.parametrize(
    ("first", "second", "whole"),
    [
        ("a state-of-the-", "art method", "a state-of-the-art method"),  # the word has hyphens of its own
        ("the Anglo-", "Saxon word", "the Anglo-Saxon word"),  # a capital follows
    ],
)
def test_hyphens_that_belong_to_the_word_stay(first: str, second: str, whole: str) -> None:
    page, _ = read(pdf(PageSpec(show(first, 40, 200) + show(second, 40, 184))))
    assert flowing(page.lines) == whole


def test_surrogate_halves_are_one_letter_with_one_box() -> None:
    mapped = {ord("A"): "D835DC00", ord("B"): "D835DC01"}
    page, raster = read(pdf(PageSpec(show("AB", 40, 200, font="F2", size=40), to_unicode=mapped)))
    assert texts(page) == ["\U0001d400\U0001d401"]
    assert np.abs(np.subtract(ink(raster, page.lines[0], 12), page.lines[0].box)).max() < 3


def test_lone_surrogates_and_glyphs_without_a_name_are_marked() -> None:
    codes = np.array([0xD835, ord("a"), 0xDC00, 0x20, 0x20], np.uint32)
    boxes = np.array([[0, 0, 9, 9]] * 4 + [[0, 0, 0, 0]], np.float64)  # the first blank has ink
    points, _, places = letters.code_points(Characters(codes, boxes))
    assert points.tolist() == [0xFFFD, ord("a"), 0xFFFD, 0xFFFD, 0x20]
    assert places.tolist() == [0, 1, 2, 3, 4]


def test_ligatures_and_radicals_become_letters() -> None:
    mapped = {ord("A"): "FB01", ord("B"): "2F2F"}
    page, _ = read(pdf(PageSpec(show("AnB", 40, 200, font="F2"), to_unicode=mapped)))
    assert texts(page) == ["fin\u5de5"]  # fi, n and the ideograph for the Kangxi radical


def test_page_is_scaled_to_the_long_side_whatever_its_size() -> None:
    for size in ((14_400.0, 7_200.0), (72.0, 144.0)):
        _, raster = read(pdf(PageSpec(show("x", 10, 10), size=size)))
        assert max(raster.width, raster.height) == LONG_SIDE
        assert min(raster.width, raster.height) == LONG_SIDE // 2


def test_symbol_fonts_do_not_tell_letters() -> None:
    content = show("x", 40, 200) + show("60A{", 49, 200, font="F2")  # not-equal, prime, script A, brace
    page, _ = read(pdf(PageSpec(content, base_font="ABCDEF+CMSY10")))
    assert "".join(texts(page)).replace(" ", "") == "x\ufffe\ufffeA{"
    page, _ = read(pdf(PageSpec(content, base_font="ABCDEF+CMR10")))
    assert "".join(texts(page)).replace(" ", "") == "x60A{"


def test_widely_spaced_lines_are_one_block_and_table_rows_are_not() -> None:
    def stacked(step: float, width: float) -> list[Line]:
        boxes = [(10, step * n, 10 + width, step * n + 20) for n in range(8)]
        return [Line("x" * 40, box, box, 20.0, False, False, False, 0) for box in boxes]

    assert len(arrange(stacked(50, 600)).blocks) == 1
    assert len(arrange(stacked(50, 100)).blocks) == 8
    apart = stacked(1, 600)[0]._replace(box=(10, 400, 610, 420))
    assert len(arrange([*stacked(25, 600), apart]).blocks) == 2


_WIDTHS = {"i": 0.222, "l": 0.222, "t": 0.278, "f": 0.278, "r": 0.333, "/": 0.278, ".": 0.278, "m": 0.833}


def on_grid(text: str, pitch: float = 6.0) -> str:
    """Every letter in the middle of a column of its own, as listings set them; blanks leave a column free."""
    return "".join(
        show(letter, 30 + pitch * column - 5 * _WIDTHS.get(letter, 0.54), 200, size=10)
        for column, letter in enumerate(text)
        if letter != " "
    )


@pytest.mark.parametrize("said", ["install /initial/file.list until filled", "kernel initrd.gz is still in filters"])
def test_letters_in_columns_are_parted_only_where_a_column_is_free(said: str) -> None:
    content = on_grid(said)
    with open_document(pdf(PageSpec(content))) as document, document.page(0, LONG_SIDE) as page:
        told = "".join(map(chr, page.characters().codes)).split()
    assert told != said.split()  # what PDFium tells
    assert texts(read(pdf(PageSpec(content)))[0]) == [said]


@pytest.mark.parametrize("said", ["mands and expands to the list of files", "It is in the set of all lists of it"])
def test_running_text_keeps_its_blanks(said: str) -> None:
    assert texts(read(pdf(PageSpec(show(said, 40, 200))))[0]) == [said]
