"""Dialogues: true answers, nothing cut, nothing leaked, the paper's form."""

import pytest

from sphinx_data.ocr.tasks import TaskOptions, dialogue
from sphinx_data.ocr.text import Line, PageText, arrange, flowing
from sphinx_data.sample import ImagePart, Message, RegionPart, TextPart

SPOTTING = TaskOptions(region_reading=0, text_localisation=0, page_reading=0, spotting=1)
READING = TaskOptions(region_reading=0, text_localisation=0, page_reading=1, spotting=0)


def line(text: str, row: int, x: float = 10) -> Line:
    box = (x, 20.0 * row, x + 8 * len(text), 20.0 * row + 12)
    return Line(text, box, 16.0, False, False, text.endswith("-"), 0)


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
    options = TaskOptions(region_reading=0, text_localisation=0, page_reading=1, spotting=0, max_target_chars=limit)
    made = dialogue(page(*texts), True, "a", 0, options)
    assert made is not None
    assert "\n".join(answers(made.messages)).split("\n") == texts
    assert max(map(len, answers(made.messages))) <= limit
    assert len(answers(made.messages)) > 1


def test_tasks_whose_answer_would_be_too_long_are_left_out() -> None:
    options = TaskOptions(region_reading=0, text_localisation=0, max_target_chars=10)
    assert dialogue(page("a line of more than ten letters"), True, "a", 0, options) is None


def test_a_text_to_be_found_stands_there_once() -> None:
    options = TaskOptions(region_reading=0, text_localisation=9)
    made = dialogue(
        page("the same line", "THE SAME LINE", "another line", "and another line of it", "..."), False, "a", 0, options
    )
    assert made is not None
    assert [region.text for region in made.regions] == ["and another line of it"]
    (part,) = made.messages[1].content
    assert isinstance(part, RegionPart)


def test_a_region_to_be_read_neither_begins_nor_ends_inside_a_word() -> None:
    broken = page("This is an exam-", "ple of a bro-", "ken word", "and the rest")
    options = TaskOptions(region_reading=1, text_localisation=0)
    seen = set()
    for number in range(200):
        made = dialogue(broken, False, f"page {number}", 0, options)
        if made is not None:
            seen.update(answers(made.messages))
    whole = "This is an example of a broken word"
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
