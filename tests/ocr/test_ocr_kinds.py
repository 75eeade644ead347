"""What blocks are called: large signs make no titles of items, nor large prose among small code, nor rules figures."""

from pathlib import Path

from ocr_pages import PageSpec, pdf, produce_all, show

from sphinx_data.ocr import build
from sphinx_data.ocr.options import TaskOptions

PROSE = (
    "Rivers of the north carry more water in spring than at any other time",
    "because the snow of high mountains melts when days are long again",
    "while those of the south are fed by storms and may be dry for months",
    "so that bridges over them look much too large to most foreign guests",
    "until a night of rain shows what their builders had known all along",
)
TEXT = "".join(show(text, 20, 280 - 14 * n, 11) for n, text in enumerate(PROSE))


def labels(tmp_path: Path, content: str) -> list[str | None]:
    """Of the blocks of a page of 400 x 300 points, where its layout is asked for."""
    path = tmp_path / "page.pdf"
    path.write_bytes(pdf(PageSpec(content)))
    tasks = TaskOptions(region_reading=0, text_localisation=0, spotting=0, layout=1)
    (built,), _ = produce_all(path, options=build.Options(tasks=tasks))
    return [region.label for region in built.sample.regions if region.label]


def test_items_behind_large_signs_are_a_list(tmp_path: Path) -> None:
    content = TEXT
    for n, word in enumerate(("bread", "cheese", "apples", "salt")):
        content += show("\u2022", 20, 180 - 20 * n, 26) + show(
            f"{word} for those who stay at home", 36, 180 - 20 * n, 11
        )
    assert labels(tmp_path, content) == ["text", "list"]


def code_and(*lines: tuple[str, float]) -> str:
    """A page of small code, then larger lines."""
    content = "".join(
        show(f"\\let\\{word}=\\relax % {PROSE[n % 5][n : n + 30]}", 20, 285 - 9 * n, 7)
        for n, word in enumerate(PROSE[0].split())
    )
    return content + "".join(show(text, 20, 130 - 10 * n, size) for n, (text, size) in enumerate(lines))


def test_larger_prose_among_small_code_is_no_title(tmp_path: Path) -> None:
    assert labels(tmp_path, code_and(("The next macros are needed.", 11))) == ["text", "text"]
    assert labels(tmp_path, code_and(("The next macros", 11))) == ["text", "title"]


def test_a_line_as_long_as_the_next_heads_nothing(tmp_path: Path) -> None:
    found = labels(tmp_path, code_and((PROSE[3], 9), (PROSE[4] + " and much more", 7.5), ("and its last words", 7.5)))
    assert "title" not in found


def test_the_layout_of_a_table_between_level_rules_is_not_asked_for(tmp_path: Path) -> None:
    content = TEXT
    for n, (key, value) in enumerate(
        [("length", "three miles"), ("depth", "ten feet"), ("age", "old"), ("name", "none")]
    ):
        content += show(key, 60, 170 - 16 * n, 11) + show(value, 160, 170 - 16 * n, 11)
    rules = [f"0.5 w {x} {y} m {x + 220} {y} l S\n" for x, y in ((50, 186), (50, 166), (50, 90))]
    assert labels(tmp_path, content + "".join(rules)) == []
    assert labels(tmp_path, content + rules[0] + rules[2]) != []  # two rules may stand anywhere
