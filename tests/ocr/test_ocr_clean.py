"""Each rule by its name: what the picture does not show, or no one can read, is never a target."""

from collections.abc import Callable

import pytest
from ocr_pages import PageSpec, pdf, show

from sphinx_data.ocr import build
from sphinx_data.ocr.clean import Clean, mixed_scripts, readable
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
    ],
)
def test_lines_that_are_not_seen_are_dropped_and_counted(build_bytes: Build, rule: str, content: str) -> None:
    samples, rejects = build_bytes(pdf(PageSpec(VISIBLE + content)))
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
    assert sample.sample.meta["tasks"] == ["region-reading", "text-localisation"]
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
