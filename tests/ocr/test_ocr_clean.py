"""Each rule by its name: what the picture does not show, or no one can read, is never a target."""

from collections.abc import Callable

import pytest
from ocr_pages import PageSpec, pdf, show

from sphinx_data.ocr import build
from sphinx_data.ocr.clean import Clean, mixed_scripts, readable
from sphinx_data.ocr.options import TaskOptions
from sphinx_data.sample import Built, RegionPart, Reject, TextPart

Build = Callable[..., tuple[list[Built], list[Reject]]]

ODD = show("AB" * 10, 40, 200, font="F2")
VISIBLE = show("This line is plainly visible", 40, 200)


def said(built: Built) -> str:
    """All text of a sample's dialogue."""
    parts = (part for message in built.sample.messages for part in message.content)
    return "\n".join(part.text or "" for part in parts if isinstance(part, TextPart | RegionPart))


@pytest.mark.parametrize(
    ("rule", "content"),
    [
        ("hidden-text", show("nobody sees this", 40, 100, mode=3)),
        ("text-without-ink", show("nobody sees this", 40, 100, before="1 g") + "0 g\n"),
        ("text-without-ink", show("nobody sees this", 40, 100) + "1 g 30 90 200 40 re f 0 g\n"),
        ("text-off-page", show("nobody sees this", 40, -100)),
        ("text-too-small", show("nobody", 40, 100, size=1)),
        ("mirrored-text", "BT /F1 14 Tf -1 0 0 1 240 100 Tm (nobody sees this) Tj ET\n"),
        ("upside-down-text", "BT /F1 14 Tf -1 0 0 -1 240 100 Tm (nobody sees this) Tj ET\n"),
    ],
)
def test_lines_that_are_not_seen_are_dropped_and_counted(build_bytes: Build, rule: str, content: str) -> None:
    options = build.Options(clean=Clean(max_without_ink=0.5))  # of these two lines, one is more than the default
    samples, rejects = build_bytes(pdf(PageSpec(VISIBLE + content)), options)
    assert [(r.level, r.rule, r.record) for r in rejects] == [("region", rule, "page 1")]
    assert rejects[0].detail.startswith("1 of 2 lines ")
    assert "nobody" not in said(samples[0])
    assert "plainly visible" in said(samples[0])


def test_lines_printed_twice_for_a_bold_look_count_once(build_bytes: Build) -> None:
    between = "".join(show(f"another line, number {n}", 40, 180 - 20 * n) for n in range(6))
    (sample,), (reject,) = build_bytes(pdf(PageSpec(VISIBLE + between + VISIBLE.replace(" 40 200 ", " 40.3 200 "))))
    assert reject.rule == "overprinted-text"
    assert sample.sample.messages


@pytest.mark.parametrize(
    ("rule", "page"),
    [
        ("page-blank", PageSpec("")),
        ("no-text-layer", PageSpec("40 40 200 100 re f")),
        ("too-little-text", PageSpec(show("Hello", 40, 200))),
        ("hidden-text-layer", PageSpec(show("what an OCR program wrote", 40, 200, mode=3) + "40 40 200 100 re f")),
        ("unknown-symbols", PageSpec(show("60" * 10, 40, 200, font="F2"), base_font="ABCDEF+CMSY10")),
        ("page-shape", PageSpec(VISIBLE, size=(3000, 300))),
        ("repeated-text", PageSpec("".join(show("the very same line", 40, 280 - 20 * n) for n in range(12)))),
        ("boilerplate", PageSpec(show("This page is intentionally left blank", 40, 200))),
        ("unreadable-text", PageSpec(ODD, to_unicode={65: "E001", 66: "E002"})),
        ("right-to-left", PageSpec(ODD, to_unicode={65: "05D0", 66: "05D1"})),
        ("mixed-scripts", PageSpec(ODD, to_unicode={65: "AC00", 66: "0291"})),
        ("text-too-small", PageSpec(show("this is far too small to be read", 40, 200, size=1))),
    ],
)  # fmt: skip
def test_pages_are_rejected_by_name(build_bytes: Build, rule: str, page: PageSpec) -> None:
    samples, rejects = build_bytes(pdf(page, PageSpec(VISIBLE)))
    assert [(r.level, r.rule, r.record) for r in rejects] == [("record", rule, "page 1")]
    assert [sample.sample.origin.record for sample in samples] == ["page 2"]


LETTER = "Der Bericht beschreibt die Ergebnisse der Untersuchung, die im letzten Jahr gemacht wurde."


@pytest.mark.parametrize(
    ("rule", "config", "text"),
    [
        ("too-dense", Clean(max_chars=30), LETTER),
        ("language-unwanted", Clean(languages=("en", "fr")), LETTER),
        ("boilerplate", Clean(), "free casino torrent ebook epub download of the very best casino"),
        ("personal-data", Clean(personal_data=True), "Write to jane.doe@example.org before noon"),
        ("personal-data", Clean(personal_data=True), "Call +49 30 1234 5678 before noon"),
        ("personal-data", Clean(personal_data=True), "Pay to DE89 3704 0044 0532 0130 00 before noon"),
        ("personal-data", Clean(personal_data=True), "Charge 4111 1111 1111 1111 before noon"),
    ],
)
def test_texts_are_rejected_by_name(build_bytes: Build, rule: str, config: Clean, text: str) -> None:
    data = pdf(PageSpec(show(text, 20, 200, size=8)))
    samples, (reject,) = build_bytes(data, build.Options(clean=config))
    assert not samples
    assert (reject.level, reject.rule, reject.record) == ("record", rule, "page 1")
    if rule != "boilerplate":
        samples, rejects = build_bytes(data)
        assert (len(samples), rejects) == (1, [])


@pytest.mark.parametrize(
    "text",
    [
        "Order 4111 1111 1111 1112 of 2021-03-04",
        "DE89 3704 0044 0532 0130 01 is no account",
        "see pages 10-12, 3.14159",
    ],
)
def test_numbers_with_wrong_check_digits_are_nobodys(build_bytes: Build, text: str) -> None:
    samples, rejects = build_bytes(pdf(PageSpec(show(text, 20, 200))), build.Options(clean=Clean(personal_data=True)))
    assert (len(samples), rejects) == (1, [])


def test_wanted_language_is_kept_and_told(build_bytes: Build) -> None:
    options = build.Options(clean=Clean(languages=("de",)))
    (built,), rejects = build_bytes(pdf(PageSpec(show(LETTER, 20, 200, size=8))), options)
    assert not rejects
    assert built.sample.language == "de"


def test_page_that_says_the_same_as_an_earlier_one_is_told_apart_by_its_words(build_bytes: Build) -> None:
    other = PageSpec(VISIBLE.replace("plainly", "clearly"))
    samples, (reject,) = build_bytes(pdf(PageSpec(VISIBLE), other, PageSpec(VISIBLE)))
    assert [built.sample.origin.record for built in samples] == ["page 1", "page 2"]
    assert (reject.rule, reject.record, reject.detail) == ("duplicate-page", "page 3", "it says the same as page 1")
    samples, rejects = build_bytes(
        pdf(PageSpec(VISIBLE), PageSpec(VISIBLE)), build.Options(clean=Clean(duplicates=False))
    )
    assert (len(samples), rejects) == (2, [])


def headed(number: int, text: str) -> PageSpec:
    return PageSpec(show("A Book of Many Pages", 40, 280) + show(str(number), 190, 15) + show(text, 40, 150))


def test_headers_and_page_numbers_are_neither_asked_for_nor_enough(build_bytes: Build) -> None:
    bodies = ["The first page tells of mice", "The second of cats and dogs", "", "The last one tells of cows"]
    samples, rejects = build_bytes(pdf(*[headed(n + 7, text) for n, text in enumerate(bodies)]))
    assert [(reject.rule, reject.record) for reject in rejects] == [("running-lines-only", "page 3")]
    assert [built.sample.origin.record for built in samples] == ["page 1", "page 2", "page 4"]
    for built in samples:
        asked = [r.text for r in built.sample.regions if built.sample.meta["tasks"] != ["spotting"]]
        whole = "spotting" in built.sample.meta["tasks"]
        assert whole or not {"A Book of Many Pages", "7", "8", "10"} & set(asked)


def test_reading_without_headers_leaves_out_what_comes_again(build_bytes: Build) -> None:
    pages = [
        headed(n, f"Page {word} tells of a {word} thing")
        for n, word in enumerate(["one", "two", "red", "old", "new", "big"])
    ]
    only = TaskOptions(region_reading=0, text_localisation=0, page_reading=1, spotting=0, layout=0)
    samples, rejects = build_bytes(pdf(*pages), build.Options(tasks=only))
    assert not rejects
    told = {("header" in said(built).split("\n")[0], "A Book of Many Pages" in said(built)) for built in samples}
    assert told == {(True, False), (False, True)}


def test_leader_dots_are_four_however_many(build_bytes: Build) -> None:
    (built,), _ = build_bytes(pdf(PageSpec(show("Of mice and men " + ". " * 20 + "17", 20, 200))))
    assert "Of mice and men .... 17" in said(built)
    assert ". . ." not in said(built)


def test_thresholds_are_options(build_bytes: Build) -> None:
    data = pdf(PageSpec(show("Hello", 40, 200)))
    samples, rejects = build_bytes(data, build.Options(clean=Clean(min_chars=5)))
    assert len(samples) == 1
    assert not rejects


def test_whole_page_is_only_asked_where_all_of_it_is_readable(build_bytes: Build) -> None:
    odd = PageSpec(VISIBLE + show("some more of it A", 40, 100, font="F2"), to_unicode={65: "E001"})
    config = build.Options(clean=Clean(max_unreadable=0.1))
    (sample,), rejects = build_bytes(pdf(odd), config)
    assert not rejects
    assert sample.sample.meta["tasks"] == ["region-reading"]
    assert "some more" not in said(sample)


@pytest.mark.parametrize("text", ["na\u00efve", "don't", "E = mc\u00b2", "\u4e2d\u6587 \u3042", "a \u00a8 b"])
def test_ordinary_text_is_readable(text: str) -> None:
    assert readable(text)


@pytest.mark.parametrize("text", ["a\ufffdb", "\ue000", "x\x03", "\u00a8uber", "a\u02dc", "\u05d0", "\ufb50"])
def test_what_fonts_made_up_is_not(text: str) -> None:
    assert not readable(text)


def test_scripts_that_meet_in_words_are_not_mixed() -> None:
    assert mixed_scripts("\u03b1x \u4e2d\u6587GPU \u3042\u4e9c \ud55c\uad6dK \u043f\u0440\u0438 abc 12\u0436") == 0
    assert mixed_scripts("\u02d7\ubebe\u031b\u066b\u029a\ubedb\u0436a") > 0.1


def test_pages_that_lack_much_of_their_text_are_rejected(build_bytes: Build) -> None:
    """As with fonts that are not embedded: the layer tells more than the picture shows."""
    samples, rejects = build_bytes(pdf(PageSpec(VISIBLE + show("nobody sees this", 40, 100, before="1 g") + "0 g\n")))
    assert not samples
    assert [(r.level, r.rule) for r in rejects] == [("record", "text-not-drawn")]


def test_whole_page_is_not_asked_where_a_line_is_seen_in_part(build_bytes: Build) -> None:
    cut = show("nobody sees all of this", 40, 100) + "1 g 95 90 200 40 re f 0 g\n"
    options = build.Options(clean=Clean(max_without_ink=1.0))
    (built,), rejects = build_bytes(pdf(PageSpec(VISIBLE + cut)), options)
    assert [r.rule for r in rejects] == ["text-without-ink"]
    assert not {"page-reading", "spotting"} & set(built.sample.meta["tasks"])
