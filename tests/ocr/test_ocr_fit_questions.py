"""What is not asked: signs that draw, headings as beginnings of paragraphs, the layout of a table of contents."""

from pathlib import Path

import pytest
from ocr_pages import PageSpec, pdf, produce_all, show

from sphinx_data.ocr import build
from sphinx_data.ocr.options import TaskOptions
from sphinx_data.sample import Sample

PARAGRAPH = [
    "The first line of a paragraph is as long as all the others are",
    "because it goes on in the next one and in the one after that",
    "until nothing is left to be said, which takes a few more lines",
    "than one would have thought when the first of them was written",
    "down, and that is why the last line of it may be a short one,",
    "as this one.",
]


def made(tmp_path: Path, lines: list[tuple[str, int]], **tasks: float) -> Sample:
    """The sample of a page of `lines`, each with its size, drawn from top to bottom."""
    content, y = "", 280.0
    for text, size in lines:
        y -= size * 1.2
        content += show(text, 20, y, size)
    path = tmp_path / "page.pdf"
    path.write_bytes(pdf(PageSpec(content)))
    none = {"region_reading": 0, "text_localisation": 0, "page_reading": 1, "spotting": 0, "layout": 0}
    options = build.Options(tasks=TaskOptions(**(none | tasks)))  # type: ignore[arg-type]
    (built,), _ = produce_all(path, options=options)
    return built.sample


def test_the_rest_of_a_paragraph_is_asked_for_from_its_first_line(tmp_path: Path) -> None:
    sample = made(tmp_path, [(text, 12) for text in PARAGRAPH], continuation=1)
    assert "continuation" in sample.meta["tasks"]


def test_a_heading_begins_no_paragraph(tmp_path: Path) -> None:
    sample = made(tmp_path, [("1.1 Changes", 12), *((text, 12) for text in PARAGRAPH)], continuation=1)
    assert "continuation" not in sample.meta["tasks"]


@pytest.mark.parametrize(
    ("dots", "asked"), [(" is told in this one of many lines ", True), (" . . . . . . . . ", False)]
)
def test_the_layout_of_a_table_of_contents_is_not_asked_for(tmp_path: Path, dots: str, asked: bool) -> None:
    lines = [("A Larger Title", 18), *((f"Chapter {n} of this book{dots}{n}{n}", 12) for n in range(1, 10))]
    sample = made(tmp_path, lines, layout=1)
    assert ("layout" in sample.meta["tasks"]) == asked


def test_signs_that_draw_something_are_no_answers(tmp_path: Path) -> None:
    lines = [
        ("Some words that can be read", 12),
        ("\u00a7 \u00a6 \u00b6 \u00a4", 24),
        ("and some more of these words", 12),
    ]
    for turn in range(2):
        sample = made(tmp_path, lines, region_reading=3, page_reading=0, word_level=0, block_level=turn)
        told = [
            "".join(getattr(part, "text", None) or "" for part in message.content) for message in sample.messages[1::2]
        ]
        assert told
        assert all(any(map(str.isalnum, text)) for text in told)


def test_a_rule_of_underscores_is_no_small_text(tmp_path: Path) -> None:
    sample = made(tmp_path, [("Few words here", 12), ("_" * 80, 7), ("and here", 12)])
    assert "page-reading" in sample.meta["tasks"]
