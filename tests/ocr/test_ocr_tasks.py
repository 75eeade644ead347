"""Dialogues: true answers, nothing cut, nothing leaked, the paper's form."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sphinx_data.ocr import several, tasks
from sphinx_data.ocr.options import TaskOptions
from sphinx_data.ocr.page import Page, Shown
from sphinx_data.ocr.tables import Grid, cells_of, grids_of, markdown
from sphinx_data.ocr.text import Line, PageText, arrange, flowing
from sphinx_data.sample import ImagePart, Message, RegionPart, TextPart

SPOTTING = TaskOptions(region_reading=0, text_localisation=0, page_reading=0, spotting=1, word_level=0)
READING = TaskOptions(region_reading=0, text_localisation=0, page_reading=1, spotting=0)


NOTHING = dict.fromkeys(("word_level", "block_level", "layout", "reading_order", "continuation", "facts"), 0.0)


def options(**wanted: float) -> TaskOptions:
    """Only what is named is asked."""
    none = NOTHING | dict.fromkeys(("region_reading", "text_localisation", "tables", "page_reading", "spotting"), 0)
    return TaskOptions(**(none | wanted))  # type: ignore[arg-type]


def about(text: PageText, complete: bool = True, **facts: object) -> Page:
    told = {"number": 0, "pages": 1, "lines": list(text.lines), "complete": complete, "dropped": [], "media": b"",
            "extension": "jpg", "size": (1000, 1400), "meta": {}, "graphics": Shown((), ())}  # fmt: skip
    return Page(**(told | facts))  # type: ignore[arg-type]


def dialogue(
    text: PageText,
    complete: bool,
    name: str,
    seed: int,
    wanted: TaskOptions,
    running: frozenset[int] = frozenset(),
    **facts: object,
) -> tasks.Dialogue | None:  # fmt: skip
    return tasks.dialogue(about(text, complete, **facts), text, running, name, seed, wanted)


def line(text: str, row: int, x: float = 10) -> Line:
    box = (x, 20.0 * row, x + 8 * len(text), 20.0 * row + 12)
    starts = [k for k in range(len(text)) if text[k] != " " and (k == 0 or text[k - 1] == " ")]
    ends = [k + 1 for k in range(len(text)) if text[k] != " " and (k + 1 == len(text) or text[k + 1] == " ")]
    words = tuple((x + 8 * a, box[1], x + 8 * b, box[3]) for a, b in zip(starts, ends, strict=True))
    return Line(text, box, box, 16.0, False, False, text.endswith("-"), 0, words=words)


def page(*texts: str) -> PageText:
    return arrange([line(text, row) for row, text in enumerate(texts)])


def answers(messages: tuple[Message, ...]) -> list[str]:
    turns = [message for message in messages if message.role == "assistant"]
    return ["".join(getattr(part, "text", None) or "" for part in turn.content) for turn in turns]


def test_spotting_has_the_form_of_the_paper() -> None:
    made = dialogue(page("Virtual", "Office", "Competence"), True, "a", 0, SPOTTING)
    assert made is not None
    assert answers(made.messages) == ['There are "Virtual", "Office" and "Competence" in the image.']
    regions = [part for part in made.messages[1].content if isinstance(part, RegionPart)]
    assert [(part.form, made.regions[part.regions[0]].text) for part in regions] == [
        ("box", "Virtual"), ("box", "Office"), ("box", "Competence")
    ]  # fmt: skip
    assert made.regions[1].box == (10, 20, 58, 32)


def test_one_line_is_spotted_in_the_singular() -> None:
    made = dialogue(page("Virtual"), True, "a", 0, SPOTTING)
    assert made is not None
    assert answers(made.messages) == ['There is "Virtual" in the image.']


def test_page_reading_keeps_lines_blocks_and_rows() -> None:
    rows = [line("Title", 0), line("one two", 3), line("three", 4), line("Name", 8), line("Age", 8, 100),
            line("Ada", 9), line("36", 9, 100)]  # fmt: skip
    made = dialogue(arrange(rows), True, "a", 0, READING)
    assert made is not None
    assert answers(made.messages) == ["Title\n\none two\nthree\n\nName Age\nAda 36"]


@pytest.mark.parametrize("limit", [24, 40, 100])
def test_long_pages_are_split_at_line_ends_and_nothing_is_lost(limit: int) -> None:
    texts = [f"line number {n} of it" for n in range(12)]
    wanted = TaskOptions(region_reading=0, text_localisation=0, page_reading=1, spotting=0, max_target_chars=limit)
    made = dialogue(page(*texts), True, "a", 0, wanted)
    assert made is not None
    assert "\n".join(answers(made.messages)).split("\n") == texts
    assert max(map(len, answers(made.messages))) <= limit
    assert len(answers(made.messages)) > 1


def test_tasks_whose_answer_would_be_too_long_are_left_out() -> None:
    wanted = TaskOptions(region_reading=0, text_localisation=0, max_target_chars=16)
    assert dialogue(page("a line of more than ten letters"), True, "a", 0, wanted) is None


def test_a_text_to_be_found_stands_there_once() -> None:
    wanted = options(text_localisation=9)
    made = dialogue(
        page("the same line", "THE SAME LINE", "another line", "and another line of it", "..."), False, "a", 0, wanted
    )
    assert made is not None
    assert [region.text for region in made.regions] == ["and another line of it"]
    (part,) = made.messages[1].content
    assert isinstance(part, RegionPart)


def test_a_region_to_be_read_neither_begins_nor_ends_inside_a_word() -> None:
    broken = page("This is an exam-", "ple of a bro-", "ken word, then", "and the rest")
    wanted = options(region_reading=1)
    seen = set()
    for number in range(200):
        made = dialogue(broken, False, f"page {number}", 0, wanted)
        if made is not None:
            seen.update(answers(made.messages))
    whole = "This is an example of a broken word, then"
    assert seen == {whole, f"{whole} and the rest", "and the rest"}


def test_the_image_comes_first_and_once() -> None:
    made = dialogue(page("one line of text", "two lines of text", "three lines"), True, "a", 0, TaskOptions())
    assert made is not None
    images = [
        (n, k)
        for n, turn in enumerate(made.messages)
        for k, part in enumerate(turn.content)
        if isinstance(part, ImagePart)
    ]
    assert images == [(0, 0)]
    assert [turn.role for turn in made.messages] == ["user", "assistant"] * (len(made.messages) // 2)


def test_choices_depend_on_id_and_seed_only() -> None:
    text = page(*[f"line number {n} of it" for n in range(12)])
    made = [dialogue(text, True, name, seed, TaskOptions()) for name, seed in (("a", 0), ("a", 0), ("a", 1), ("b", 0))]
    assert made[0] == made[1]
    assert made[0] != made[2]
    assert made[0] != made[3]


def test_running_text_needs_no_blank_between_ideographs() -> None:
    assert flowing([line("\u4e2d\u6587", 0), line("\u5b57", 1), line("GPU", 2)]) == "\u4e2d\u6587\u5b57 GPU"


def test_text_in_questions_is_content() -> None:
    made = dialogue(page("strange {region} </s> text"), False, "a", 0, TaskOptions(region_reading=0))
    assert made is not None
    assert any(
        isinstance(part, TextPart) and part.text == "strange {region} </s> text" for part in made.messages[0].content
    )


PARAGRAPH = (
    "The first line of a longer paragraph", "and the second line of the same one",
    "which goes on for quite a while yet", "until it ends.",
)  # fmt: skip


def joined(made: tasks.Dialogue | None) -> tuple[str, str]:
    """First question and answer, region parts as ``#n``."""
    assert made is not None
    return tuple(  # type: ignore[return-value]
        "".join(
            p.text if isinstance(p, TextPart) else f"{p.text or ''}#{p.regions}" if isinstance(p, RegionPart) else ""
            for p in message.content
        )
        for message in made.messages[:2]
    )


def test_paragraph_goes_on_as_the_page_does() -> None:
    made = dialogue(page(*PARAGRAPH), True, "a", 0, options(continuation=1))
    question, answer = joined(made)
    assert PARAGRAPH[0] in question
    assert answer == " ".join(PARAGRAPH[1:])
    short = page("One line of text that stands alone", "and another one")
    assert dialogue(short, True, "a", 0, options(continuation=1)) is None


def test_blocks_are_put_into_the_order_in_which_they_stand() -> None:
    texts = [f"This is block number {n} of the page, which has {n} parts" for n in range(4)]
    blocks = arrange([line(text, 4 * n) for n, text in enumerate(texts)])
    for name in "abcdefgh":
        made = dialogue(blocks, True, name, 0, options(reading_order=1))
        question, answer = joined(made)
        assert made is not None
        shown = [part.regions[0] for part in made.messages[0].content if isinstance(part, RegionPart)]
        tops = [made.regions[shown["ABCDE".index(letter)]].box[1] for letter in answer.split(", ")]
        assert tops == sorted(tops)
        assert len(tops) == len(shown) >= 3
        assert question.count(": #") == len(shown)


def test_order_is_not_asked_where_the_document_tells_another() -> None:
    lines = tuple(line(f"This is block number {n} of the page, with {n} parts", 20 - 4 * n) for n in range(4))
    upside_down = PageText(lines, tuple((n, n + 1) for n in range(4)))
    assert dialogue(upside_down, True, "a", 0, options(reading_order=1)) is None


def test_a_word_is_found_and_read_at_its_own_box() -> None:
    text = page("several plain words", "stand beneath another")
    found = dialogue(text, True, "a", 0, options(text_localisation=1, word_level=1.0))
    read = dialogue(text, True, "a", 0, options(region_reading=1, word_level=1.0))
    assert found is not None
    assert read is not None
    places = {w: box for each in text.lines for w, box in zip(each.text.split(), each.words, strict=True)}
    for made in (found, read):
        (region,) = made.regions
        assert region.text is not None
        assert places[region.text] == region.box
    assert joined(read)[1] == read.regions[0].text


def test_block_is_found_by_how_it_begins() -> None:
    made = dialogue(page(*PARAGRAPH), True, "c", 0, options(text_localisation=4, block_level=1.0))
    assert made is not None
    block = [region for region in made.regions if region.text and region.text.startswith("The first line")]
    assert [(region.box[1], region.box[3]) for region in block] == [(0.0, 72.0)]


def test_words_are_spotted_on_pages_with_few() -> None:
    made = dialogue(page("two words", "and three more"), True, "a", 0, options(spotting=1, word_level=1.0))
    assert made is not None
    assert [region.text for region in made.regions] == ["two", "words", "and", "three", "more"]
    assert "word" in joined(made)[0]


def test_long_pages_are_spotted_in_turns_and_no_line_is_lost() -> None:
    texts = [f"line number {n} of it" for n in range(12)]
    made = dialogue(page(*texts), True, "a", 0, options(spotting=1, max_target_chars=200))
    assert made is not None
    assert [region.text for region in made.regions] == texts
    assert len(made.messages) == 2 * 3
    assert all(len(answer) <= 200 for answer in answers(made.messages))


def test_turns_that_are_left_out_are_told() -> None:
    long = arrange([line("x" * 100, 0), line("and a short line", 5)])
    made = dialogue(long, True, "a", 0, options(region_reading=1, page_reading=1, max_target_chars=50))
    assert made is not None
    assert [drop.rule for drop in made.dropped] == ["target-too-long"]
    assert "100 characters" in made.dropped[0].detail


def body(*before: Line) -> PageText:
    return arrange(
        [*before, *(line(f"Running text of the page, its line {n}, with more of it", 4 + n) for n in range(8))]
    )


def test_layout_names_titles_lists_figures_and_headers() -> None:
    title = line("A Larger Title", 1)._replace(em=24.0)
    items = [line("1. the first item", 15), line("2. the second item", 16)]
    text = body(line("Some Journal", 0), title)
    text = arrange([*text.lines, *items])
    picture = (100.0, 500.0, 400.0, 800.0)
    header = frozenset({0})
    made = dialogue(text, True, "a", 0, options(layout=1), header, graphics=Shown((picture,), ()))
    assert made is not None
    assert [region.label for region in made.regions] == ["page header", "title", "text", "list", "figure"]
    assert made.regions[4].box == picture
    assert joined(made)[1].startswith("There is a page header#(0,), a title#(1,), text#(2,), a list")
    drawn = dialogue(
        text, True, "a", 0, options(layout=1), header, graphics=Shown((picture,), ((500.0, 900.0, 700.0, 990.0),))
    )
    assert drawn is not None  # the drawing may be a figure, so figures are not spoken of
    assert "figure" not in "".join(joined(drawn))


def test_number_at_the_start_of_a_line_of_text_is_no_list() -> None:
    lines = [line(f"Running text of the page, its line {n}, with more of it", n) for n in range(8)]
    lines[3] = line("12. 1998, pages 3 to 17, and more of the same text here", 3)
    made = dialogue(arrange([*lines, line("and a last one", 12)]), True, "a", 0, options(layout=1))
    assert made is not None
    assert [region.label for region in made.regions] == ["text", "text"]


def test_layout_is_silent_where_the_page_does_not_tell() -> None:
    text = body()
    whole = (0.0, 0.0, 1000.0, 1400.0)
    for facts in ({"graphics": None}, {"graphics": Shown((), (whole,))}, {"complete": False}):
        complete = bool(facts.pop("complete", True))
        assert dialogue(text, complete, "a", 0, options(layout=1), **facts) is None


def test_title_author_and_headings_are_those_that_the_page_shows() -> None:
    text = page("On the Origin of Mice", "Ada Lovelace", "1 Introduction", "It began long ago.")
    made = dialogue(text, True, "a", 0, options(facts=1.0), title="On the origin of mice", author="Ada Lovelace",
                    outline=("Introduction",))  # fmt: skip
    assert made is not None
    assert answers(made.messages) == ["On the Origin of Mice", "Ada Lovelace", "1 Introduction"]
    assert dialogue(text, True, "a", 0, options(facts=1.0), title="Microsoft Word - doc1", author="root") is None
    assert dialogue(text, True, "a", 0, options(facts=1.0), outline=("Introduction", "Something else")) is None


def ruled(xs: list[float], ys: list[float]) -> np.ndarray:
    level = [[xs[0], y, xs[-1], y] for y in ys]
    return np.array(level + [[x, ys[0], x, ys[-1]] for x in xs])


def test_ruled_table_is_written_as_markdown() -> None:
    rows = [("Name", "Age"), ("Ada | Eve", "36"), ("Bob", "7")]
    lines = [line(cell, 2 * n + 1, 20 + 200 * k) for n, row in enumerate(rows) for k, cell in enumerate(row)]
    rules = ruled([10, 210, 400], [15, 55, 95, 135])
    (grid,) = grids_of(rules)
    assert grid == Grid((10.0, 210.0, 400.0), (15.0, 55.0, 95.0, 135.0))
    made = dialogue(arrange(lines), True, "a", 0, options(tables=1), grids=(grid,))
    assert joined(made)[1] == "| Name | Age |\n| --- | --- |\n| Ada \\| Eve | 36 |\n| Bob | 7 |"
    assert grids_of(rules[1:]) == []  # an edge is missing
    across = [*lines, line("a line that reaches over the rule", 6, 100)]
    assert cells_of(grid, across) is None
    twice = [line(cell, n, 20 + 200 * k) for n in range(1, 6) for k, cell in enumerate(("one", "two"))]
    assert cells_of(Grid((10.0, 210.0, 400.0), (15.0, 35.0, 135.0)), twice) is None  # rows without a rule between them


@given(st.lists(st.lists(st.text("ab|\\ ", max_size=5).map(str.strip), min_size=2, max_size=2), min_size=1, max_size=4))
def test_markdown_says_what_the_cells_say(cells: list[list[str]]) -> None:
    rows = [row for n, row in enumerate(markdown(cells).split("\n")) if n != 1]
    back = [[re.sub(r"\\(.)", r"\1", cell).strip() for cell in re.findall(r"(?:\\.|[^|\\])+", row)] for row in rows]
    assert back == [[cell.strip() for cell in row] for row in cells]


def test_several_pages_are_one_dialogue_with_a_picture_each() -> None:
    texts = [
        page(f"The first line of page {word}", f"and the second one of {word}") for word in ("one", "two", "three")
    ]
    pages = [(about(text), text, frozenset[int]()) for text in texts]
    made = several.dialogue(pages, "a", 0, options(region_reading=1, page_reading=1))
    assert made is not None
    images = [part.image for part in made.messages[0].content if isinstance(part, ImagePart)]
    assert images == [0, 1, 2]
    assert {region.image for region in made.regions} == {0, 1, 2}
    question, answer = joined(made)
    assert made.tasks[0] == "multi-image"
    number = int(answer.removeprefix("Page ").removesuffix("."))
    assert any(each.text in question for each in texts[number - 1].lines)
    for turn in made.messages[2::2]:
        asked = "".join(part.text or "" for part in turn.content if isinstance(part, TextPart))
        told = int(re.search(r"page (\d)", asked, re.IGNORECASE)[1])  # type: ignore[index]
        assert all(made.regions[p.regions[0]].image == told - 1 for p in turn.content if isinstance(p, RegionPart))
