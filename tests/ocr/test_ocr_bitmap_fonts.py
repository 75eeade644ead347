"""Bitmap fonts of old TeX files: upside down in themselves and turned by the text, and without names."""

import numpy as np
import pytest
from ocr_pages import _cmap, _file, _stream

from sphinx_data.ocr.pdf import open_document
from sphinx_data.ocr.pdf_page import SYMBOL
from sphinx_data.ocr.symbols import drawn_by
from sphinx_data.ocr.text import lines_of

LETTERS = {65: "0041", 66: "0042", 67: "0043"}


def bitmap_pdf(matrix: str, move: str, text: str, told: dict[int, str]) -> bytes:
    """A page of 400 x 300 points with `text` in a Type 3 font that draws A, B and C as two strokes above the line.

    `matrix` is the font's, `move` that of the text; `told` is the font's map to Unicode.
    """
    font = (
        f"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 600 700] /FontMatrix [{matrix}] /FirstChar 65 /LastChar 67 "
        "/Encoding << /Type /Encoding /Differences [65 /A /B /C] >> /Widths [600 600 600] /Resources << >> "
        "/CharProcs << /A 6 0 R /B 6 0 R /C 6 0 R >> /ToUnicode 7 0 R >>"
    )
    return _file([
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 300] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        _stream(f"BT /F1 20 Tf {move} Tm ({text}) Tj ET".encode()),
        font.encode(),
        _stream(b"600 0 0 0 500 700 d1 0 0 200 700 re f 300 0 200 700 re f"),
        _stream(_cmap(told)),
    ])  # fmt: skip


@pytest.mark.parametrize(("matrix", "move", "mirrored"), [
    ("0.001 0 0 0.001 0 0", "1 0 0 1 60 150", False),
    ("0.001 0 0 -0.001 0 0", "1 0 0 -1 60 150", False),  # as dvips writes them: twice upside down
    ("0.001 0 0 0.001 0 0", "1 0 0 -1 60 150", True),
    ("0.001 0 0 0.001 0 0", "-1 0 0 1 300 150", True),
])  # fmt: skip
def test_text_is_mirrored_where_its_glyphs_are(matrix: str, move: str, mirrored: bool) -> None:
    data = bitmap_pdf(matrix, move, "ABCABC", LETTERS)
    with open_document(data) as document, document.page(0, 800) as page:
        (line,) = lines_of(page, page.characters())
        in_a_mirror, on_head = page.turned(np.array([line.first]))
    assert in_a_mirror.tolist() == [mirrored]
    assert on_head.tolist() == [False]


def test_nameless_fonts_have_no_dingbats() -> None:
    data = bitmap_pdf("0.001 0 0 0.001 0 0", "1 0 0 1 60 150", "ABC", {65: "2701", 66: "279C", 67: "0043"})
    with open_document(data) as document, document.page(0, 800) as page:
        assert page.characters().codes.tolist()[:3] == [SYMBOL, SYMBOL, ord("C")]


@pytest.mark.parametrize(("font", "draws_a"), [("ABCDEF+UniversalStd-NewswithCommPi", False), ("Univers", True)])
def test_fonts_of_signs_do_not_draw_letters(font: str, draws_a: bool) -> None:
    drawn = drawn_by(font)
    assert (drawn is None or bool(drawn[ord("a")])) == draws_a
