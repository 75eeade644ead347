"""Tables as HTML and Markdown, document pages, formulas."""

import json
import shutil
from pathlib import Path

import pytest
from converting import text_of
from hypothesis import given
from hypothesis import strategies as st

from sphinx_data.convert._common import RejectedError
from sphinx_data.convert._table_form import is_plain, markdown, read_table
from sphinx_data.errors import InputError

DATA = Path(__file__).parents[1] / "data"
SHARED = Path(__file__).parents[3] / "shared" / "data"
real = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the developers' real data")


@pytest.fixture
def tables(photo):
    """The pictures of the two tables in tests/data."""
    photo("PMC3907710_006_00.png", 251, 65)
    return photo("PMC5198506_004_00.png", 238, 99).parent


def test_pubtabnet_as_html(run, tables):
    found = run("pubtabnet", DATA / "pubtabnet" / "PubTabNet_Examples.jsonl", images=tables, form="html")
    assert not found.rejects
    plain, merged = (text_of(sample)[1] for sample in found.samples)
    assert plain == (
        "<table><thead><tr><td><b>Number</b></td><td><b>CS</b></td><td><b>US</b></td><td><b>Magnitude</b></td>"
        "<td><b>Interval (s)</b></td></tr></thead><tbody>"
        "<tr><td>1</td><td>[1, 0, 0]</td><td>[1, 1, 0, 0]</td><td>0.8</td><td>2</td></tr>"
        "<tr><td>2</td><td>[0, 1, 0]</td><td>[1, 0, 1, 0]</td><td>0.5</td><td>3</td></tr>"
        "<tr><td>3</td><td>[0, 0, 1]</td><td>[1, 0, 1, 1]</td><td>1.0</td><td>4</td></tr></tbody></table>"
    )
    assert '<tr><td colspan="3">(a)</td></tr>' in merged
    assert "(min<sup>−1</sup>)" in merged
    sample = found.samples[0]
    assert (sample.domain, sample.task, sample.license) == ("ocr", "table-recognition", "CDLA-Permissive-1.0")
    assert sample.images[0].license == "unknown"
    truth = json.loads((DATA / "pubtabnet/PubTabNet_Examples.jsonl").read_text().splitlines()[0])
    boxes = [tuple(map(float, cell["bbox"])) for cell in truth["html"]["cells"] if "bbox" in cell]
    assert [region.box for region in sample.regions] == boxes
    assert sample.regions[0].text == "Number"


def test_pubtabnet_as_markdown(run, tables):
    found = run("pubtabnet", DATA / "pubtabnet" / "PubTabNet_Examples.jsonl", images=tables, form="markdown")
    assert text_of(found.samples[0])[1].splitlines() == [
        "| **Number** | **CS** | **US** | **Magnitude** | **Interval (s)** |",
        "| --- | --- | --- | --- | --- |",
        "| 1 | [1, 0, 0] | [1, 1, 0, 0] | 0.8 | 2 |",
        "| 2 | [0, 1, 0] | [1, 0, 1, 0] | 0.5 | 3 |",
        "| 3 | [0, 0, 1] | [1, 0, 1, 1] | 1.0 | 4 |",
    ]
    assert "Markdown" in text_of(found.samples[0])[0]
    assert found.rules() == [("record", "table-merged")]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"html": None}, "no-structure"),
        ({"html": {"cells": [], "structure": {"tokens": ["<tr>", "<td>", "</td>", "</tr>"]}}}, "cells-mismatch"),
        (
            {"html": {"cells": [{"tokens": 1}], "structure": {"tokens": ["<tr>", "<td>", "</td>", "</tr>"]}}},
            "cells-invalid",
        ),
        ({"html": {"cells": [], "structure": {"tokens": ["<tr>", "</tr>"]}}}, "table-invalid"),
        ({"filename": None}, "image-name-invalid"),
    ],
)
def test_a_damaged_table_is_one_reject(run, tables, write_json, change, rule):
    lines = (DATA / "pubtabnet" / "PubTabNet_Examples.jsonl").read_text().splitlines()
    found = run("pubtabnet", write_json([json.loads(lines[0]) | change, json.loads(lines[1])]), images=tables)
    assert [rule for _, rule in found.rules()] == [rule]
    assert len(found.samples) == 1


def test_the_form_is_drawn_among_plain_tables_only(run, tables, write_json):
    lines = [json.loads(line) for line in (DATA / "pubtabnet/PubTabNet_Examples.jsonl").read_text().splitlines()]
    samples = run("pubtabnet", write_json(lines * 20), images=tables).samples
    forms = {
        name: {s.meta["form"] for s in samples if s.meta["filename"].startswith(name)} for name in ("PMC39", "PMC51")
    }
    assert forms == {"PMC39": {"html", "markdown"}, "PMC51": {"html"}}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<table border=1><tr><th class='x'>a <td>b</table>", "<table><tr><th>a</th><td>b</td></table>"),
        ("<p>x</p><table><tr><td colspan=1 rowspan=2>a<br>b</td></tr></table>",
         '<table><tr><td rowspan="2">a<br>b</td></tr></table>'),
        ("<table><tr><td>1 &lt; 2 &amp; 3</td></tr></table>", "<table><tr><td>1 &lt; 2 &amp; 3</td></tr></table>"),
        ("<table><tr><td>a</td></tr>\n<table>", "<table><tr><td>a</td></tr></table>"),
        ("<table><tr><td>a<script>x()</script></td></tr></table>", "<table><tr><td>a</td></tr></table>"),
    ],
)  # fmt: skip
def test_tables_are_written_without_what_is_no_content(source, expected):
    assert read_table(source).text == expected


@pytest.mark.parametrize("source", ["", None, "<table></table>", "<table><td>x</table>", "<table><tr><td><table>"])
def test_what_is_no_table_is_refused(source):
    with pytest.raises(RejectedError):
        read_table(source)


@given(st.lists(st.lists(st.text(max_size=6), min_size=2, max_size=2), min_size=1, max_size=4))
def test_markdown_keeps_rows_and_columns(rows):
    from html import escape

    source = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    table = read_table(f"<table>{source}</table>")
    assert is_plain(table)
    lines = markdown(table.rows).split("\n")
    assert len(lines) == len(rows) + 1
    assert all(line.replace("\\\\", "").replace("\\|", "").count("|") == 3 for line in lines)


def page(*blocks, **info) -> dict:
    return {"layout_dets": list(blocks), "page_info": {"image_path": "p.png", "page_attribute": {}} | info, "extra": {}}


def block(kind, order, x0, y0, x1, y1, **more) -> dict:
    poly = [x0, y0, x1, y0, x1, y1, x0, y1]
    return {"category_type": kind, "poly": poly, "order": order, "anno_id": order} | more


def test_a_real_page(run, photo):
    images = photo("id_note_42.jpg", 1078, 1600).parent
    found = run("omnidocbench", DATA / "omnidocbench" / "MDPBench_demo.json", images=images)
    (sample,) = found.samples
    assert not found.rejects
    assert (sample.language, sample.task) == ("id", "multi-task")
    said = text_of(sample)
    assert said[-1].startswith("bentuk molekul\n\n* Teori Domain Elektron\n\n● Teori domain")
    assert said[-1].endswith("</tbody></table>")
    assert said[-3] == (
        "There are three title [0.23, 0.01, 0.76, 0.09; 0.22, 0.12, 0.44, 0.15; 0.22, 0.45, 0.62, 0.48], "
        "three text [0.24, 0.15, 0.82, 0.31; 0.26, 0.32, 0.65, 0.39; 0.25, 0.40, 0.64, 0.42], "
        "table [0.23, 0.47, 0.82, 0.83], and footer [0.70, 0.94, 0.78, 0.97] in the image."
    )
    truth = json.loads((DATA / "omnidocbench/MDPBench_demo.json").read_text())[0]["layout_dets"]
    for entry, region in zip(truth, sample.regions, strict=True):
        xs, ys = entry["poly"][::2], entry["poly"][1::2]
        assert region.box == pytest.approx((min(xs), min(ys), max(xs), max(ys)), abs=0.01)


def test_formulas_tables_and_what_goes_on(run, photo, write_json):
    photo("p.png", 100, 100)
    blocks = [
        block("equation_isolated", 1, 5, 20, 60, 30, latex="$$ a^2 $$"),
        block("text_block", 0, 5, 5, 40, 15, text="It is exam-"),
        block("text_block", 2, 50, 5, 90, 15, text="ple A"),
        block("text_block", 3, 50, 20, 90, 25, text="goes on"),
        block("header", None, 5, 0, 40, 4, text="Head"),
        block("figure", 4, 5, 50, 40, 60),
        block("text_mask", None, 5, 70, 40, 80),
    ]
    relation = [{"source_anno_id": 2, "target_anno_id": 3, "relation_type": "truncated"}]
    found = run("omnidocbench", write_json([page(*blocks) | {"extra": {"relation": relation}}]))
    said = text_of(found.samples[0])
    assert said[-1] == "It is exam-\n\n$$ a^2 $$\n\nple A goes on"
    formula = next(n for n, text in enumerate(said) if "LaTeX" in text and "[0.05, 0.20, 0.60, 0.30]" in text)
    assert said[formula + 1] == "a^2"
    assert found.rules() == [("region", "ignored")]
    assert said[-4].startswith(("Detect the layout", "Analyse the layout", "Find the blocks", "What is the layout"))


def test_a_page_that_lost_a_block_is_not_read_as_a_whole(run, photo, write_json):
    photo("p.png", 100, 100)
    blocks = [block("text_block", 0, 5, 5, 40, 15, text="a"), block("table", 1, 5, 20, 40, 30, html="<table>")]
    found = run("omnidocbench", write_json([page(*blocks)]))
    assert found.rules() == [("region", "table-invalid"), ("turn", "page-not-read")]
    assert {"text"} == {region.label for region in found.samples[0].regions}
    assert not any("reading order" in text for text in text_of(found.samples[0]))
    assert "text" in text_of(found.samples[0])[-2]  # the layout asks for its classes by name


@pytest.mark.parametrize("name", ["p.png", "p_indoor_light_top.png"])
def test_places_of_another_picture_are_not_used(run, photo, write_json, name):
    photo(name, 100, 100)
    far = 300 if name == "p.png" else 60
    blocks = [block("text_block", 0, 5, 5, 40, 15, text="a"), block("text_block", 1, 5, 20, far, 30, text="b")]
    found = run("omnidocbench", write_json([page(*blocks, image_path=name)]))
    (sample,) = found.samples
    assert sample.regions == ()
    assert (sample.task, text_of(sample)[1]) == ("page-reading", "a\n\nb")
    assert found.rules() == [("turn", "places-elsewhere")]


def test_long_pages_are_read_in_parts(run, photo, write_json):
    photo("p.png", 100, 100)
    blocks = [block("text_block", n, 5, 9 * n, 40, 9 * n + 5, text=f"{n}" * 30) for n in range(5)]
    (sample,) = run("omnidocbench", write_json([page(*blocks)]), max_target_chars=70, region_turns=0).samples
    said = text_of(sample)[3::2]
    assert said == [f"{'0' * 30}\n\n{'1' * 30}", f"{'2' * 30}\n\n{'3' * 30}", "4" * 30]
    assert "\n\n".join(said) == "\n\n".join(entry["text"] for entry in blocks)
    short = run("omnidocbench", write_json([page(*blocks)]), max_target_chars=20)
    assert short.rules() == [("turn", "page-not-read")]


# DocBank: rows as in the repository's samples, whose pages may not be redistributed.
def tokens(*rows) -> str:
    return "".join("\t".join(map(str, [text, *box, 0, 0, 0, "CMR10", label])) + "\n" for text, box, label in rows)


def test_docbank(run, photo, tmp_path):
    photo("a_0_ori.jpg", 500, 1000)
    rows = [
        ("A", (100, 50, 200, 70), "title"), ("Title", (220, 50, 400, 70), "title"),
        ("one", (100, 100, 200, 110), "paragraph"), ("two", (100, 112, 300, 122), "paragraph"),
        ("##LTLine##", (0, 300, 999, 301), "paragraph"),
        ("far", (100, 200, 200, 210), "paragraph"), ("column", (600, 100, 800, 110), "paragraph"),
        ("##LTFigure##", (600, 300, 800, 400), "figure"), ("##LTFigure##", (600, 420, 800, 500), "figure"),
    ]  # fmt: skip
    (tmp_path / "a_0.txt").write_text(tokens(*rows) + "x\t1\t2\nx\t1\t2\t3\t4\t0\t0\t0\tF\tnonsense\n")
    found = run("docbank", tmp_path / "a_0.txt")
    (sample,) = found.samples
    assert [(r.label, r.text, r.box) for r in sample.regions] == [
        ("title", "A Title", (50, 50, 200, 70)), ("paragraph", "one two", (50, 100, 150, 122)),
        ("paragraph", "far", (50, 200, 100, 210)), ("paragraph", "column", (300, 100, 400, 110)),
        ("figure", None, (300, 300, 400, 400)), ("figure", None, (300, 420, 400, 500)),
    ]  # fmt: skip
    assert (sample.task, sample.license) == ("layout", "Apache-2.0")
    assert text_of(sample)[1].startswith("There are three paragraph [0.30, 0.10, 0.40, 0.12; ")
    assert found.rules() == [("region", "row-invalid"), ("region", "category-unknown")]


def test_columns_of_docbank_are_told_apart(run, photo, tmp_path):
    """The files list the words of both columns line by line."""
    photo("a_0_ori.jpg", 1000, 1000)
    words = [("Across", (100, 20, 500, 30), "paragraph"), ("both", (505, 20, 900, 30), "paragraph")]
    for top in range(100, 220, 12):
        words += [("on", (100, top, 300, top + 10), "paragraph"), ("the", (306, top, 480, top + 10), "paragraph")]
        words += [("right", (520, top, 700, top + 10), "paragraph"), ("side", (706, top, 900, top + 10), "paragraph")]
    for top in range(400, 448, 12):
        words += [("below", (100, top, 480, top + 10), "paragraph"), ("cell", (520, top, 600, top + 10), "table")]
        words += [("0.5", (700, top, 800, top + 10), "table")]
    (tmp_path / "a_0.txt").write_text(tokens(*words))
    (sample,) = run("docbank", tmp_path / "a_0.txt").samples
    assert [(region.label, region.box) for region in sample.regions] == [
        ("paragraph", (100, 20, 900, 30)), ("paragraph", (100, 100, 480, 218)), ("paragraph", (520, 100, 900, 218)),
        ("paragraph", (100, 400, 480, 446)), ("table", (520, 400, 800, 446)),
    ]  # fmt: skip
    assert sample.regions[1].text == " ".join(["on the"] * 10)


def test_words_far_apart_in_one_column_stay_together(run, photo, tmp_path):
    photo("a_0_ori.jpg", 1000, 1000)
    words = [("a", (100, 20, 200, 30), "paragraph"), ("number", (880, 20, 900, 30), "paragraph")]
    for line in range(14):  # wide spaces, but never at one place
        top, cut = 34 + 12 * line, 300 + 29 * line
        words += [("a", (100, top, cut, top + 10), "paragraph"), ("b", (cut + 20, top, 900, top + 10), "paragraph")]
    (tmp_path / "a_0.txt").write_text(tokens(*words))
    (sample,) = run("docbank", tmp_path / "a_0.txt").samples
    assert [region.box for region in sample.regions] == [(100, 20, 900, 200)]


def test_im2latex(run):
    found = run("im2latex", DATA / "im2latex")
    assert [text_of(sample)[1] for sample in found.samples] == [
        r"x^{c}_{\mu}=x_{\mu}+A_{\mu}.",
        r"\ddot{h} = - \nabla_h \Phi",
        r"\mbox{\boldmath $ \pi$} =\mu^{-1} \, {\bf p}\; .",
    ]
    (first, *_) = found.built
    assert first.media[0] == (DATA / "im2latex/images" / f"{first.sample.id.removeprefix('test/')}.png").read_bytes()
    assert (first.sample.task, first.sample.license, first.sample.images[0].license) == (
        "formula-recognition", "MIT", "unknown",
    )  # fmt: skip
    assert (first.sample.images[0].width, first.sample.images[0].height) == (1654, 2339)


def test_formulas_are_cut_out_when_asked(run):
    for sample in run("im2latex", DATA / "im2latex" / "train.lst", crop=True).samples:
        assert sample.images[0].height < 120
        assert "cropped" in sample.meta["image_change"]


def test_formula_lists_of_all_kinds(run, photo, tmp_path):
    photo("formula_images/a.png")
    (tmp_path / "im2latex_formulas.lst").write_bytes(b"x\\ \r\n\xe9 y\n\\label{z}\n")
    (tmp_path / "im2latex_train.lst").write_text("0 a basic\na.png 1\n2 a basic\n9 a basic\nnonsense\n")
    found = run("im2latex", tmp_path)
    assert [text_of(sample)[1] for sample in found.samples] == ["x\\ ", "é y"]
    assert found.rules() == [("record", "text-empty"), ("record", "formula-missing"), ("record", "row-invalid")]
    (tmp_path / "im2latex_formulas.lst").unlink()
    with pytest.raises(InputError, match=r"formulas\.lst"):
        run("im2latex", tmp_path)


def test_a_missing_or_damaged_picture_is_one_reject(run, tmp_path):
    shutil.copytree(DATA / "im2latex", tmp_path / "a")
    first, second, _ = sorted((tmp_path / "a/images").iterdir())
    first.unlink()
    second.write_bytes(second.read_bytes()[:200])
    found = run("im2latex", tmp_path / "a", crop=True)
    assert sorted(found.rules()) == [("image", "image-missing"), ("image", "image-truncated")]
    assert len(found.samples) == 1


@real
def test_all_real_tables_pages_and_formulas(run):
    found = run("pubtabnet", SHARED / "pubtabnet" / "PubTabNet_Examples.jsonl")
    assert (len(found.samples), found.rejects) == (10, [])
    found = run("omnidocbench", SHARED / "mdpbench" / "MDPBench_demo.json")
    assert [sample.language for sample in found.samples] == ["ko", "th", "en", "zh", "id", "es"]
    assert found.rules() == [("region", "ignored"), ("turn", "places-elsewhere")]
    found = run("im2latex", SHARED / "im2latex" / "train.lst")
    assert (len(found.samples), found.rejects) == (120, [])
