"""Elements of interfaces, in the layouts that the authors' loaders read; no published file was at hand."""

import json

import pytest
from converting import text_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sphinx_data.convert import Inputs, gui
from sphinx_data.convert._recognise import Glimpse, recognise

SCREENSPOT = [
    {"img_filename": "a.png", "bbox": [10, 20, 30, 12], "instruction": "close this issue", "data_type": "icon",
     "data_source": "gitlab"},
    {"img_filename": "a.png", "bbox": [40, 20, 30, 12], "instruction": "open the menu", "data_type": "text",
     "data_source": "gitlab"},
    {"img_filename": "a.png", "bbox": [40, 20, 0, 12], "instruction": "empty", "data_source": "gitlab"},
    {"img_filename": "gone.png", "bbox": [1, 1, 9, 9], "instruction": "x", "data_source": "ios"},
]  # fmt: skip
SEECLICK = [{"img_filename": "a.png", "url": "u", "elements": [
    {"instruction": "Sign in", "bbox": [0.125, 0.25, 0.5, 0.5], "data_type": "text"},
    {"instruction": "", "bbox": [0.1, 0.1, 0.2, 0.2], "data_type": "text"},
]}]  # fmt: skip
LINES = [
    {"image": "a.png", "box": [10, 20, 40, 32], "label": "Save"},
    {"image": "a.png", "box": [90, 90, 99, 99], "label": "Off"},
]


def test_screenspot_has_corners_and_sizes(run, photo, write_json):
    photo("a.png")
    found = run("gui", write_json(SCREENSPOT))
    (sample,) = found.samples
    assert [(r.label, r.box) for r in sample.regions] == [
        ("close this issue", (10, 20, 40, 32)),
        ("open the menu", (40, 20, 70, 32)),
    ]
    assert found.rules() == [("image", "image-missing"), ("region", "box-invalid")]
    assert (sample.task, sample.id) == ("gui-grounding", "test/a")
    question, answer = text_of(sample)[:2]
    assert '"close this issue"' in question
    assert answer == "[0.13, 0.38, 0.50, 0.53]"  # of the padded square: (20 + 10) / 80


def test_seeclick_has_shares_and_lists_of_elements(run, photo, write_json):
    photo("a.png")
    found = run("gui", write_json(SEECLICK))
    (sample,) = found.samples
    assert [(r.label, r.box) for r in sample.regions] == [("Sign in", (10, 15, 40, 30))]
    assert found.rules() == [("region", "no-instruction")]


def test_what_others_made_of_seeclicks_layout(run, photo, write_json):
    photo("a.png")
    pro = {"img_filename": "a.png", "bbox": [10, 20, 40, 32], "img_size": [80, 60], "instruction": "merge cells",
           "instruction_cn": "x", "ui_type": "icon", "application": "excel", "group": "Office"}  # fmt: skip
    atlas = {"img_filename": "a.png", "bbox": [0.125, 0.25, 1.01, 0.5], "instruction": "search", "data_type": "text"}
    showui = {"img_url": "a.png", "img_size": [80, 60], "element_size": 1, "element": [
        {"instruction": "Home", "bbox": [0.5, 0.25, 0.75, 0.5], "data_type": "text", "point": [0.6, 0.4]}]}  # fmt: skip
    for number, (entry, box) in enumerate(
        ((pro, (10, 20, 40, 32)), (atlas, (10, 15, 80, 30)), (showui, (40, 15, 60, 30)))
    ):
        file = write_json([entry], f"{number}.json")
        assert recognise(Inputs((str(file),))) == "gui"
        (sample,) = run("gui", file).samples
        assert [region.box for region in sample.regions] == [box]


def test_lines_of_box_and_label(run, photo, tmp_path):
    photo("a.png")
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(map(json.dumps, LINES)))
    found = run("gui", file)
    assert [r.label for r in found.samples[0].regions] == ["Save"]
    assert found.rules() == [("region", "box-outside")]
    assert recognise(Inputs((str(file),))) == "gui"


@pytest.mark.parametrize("entries", [SCREENSPOT, SEECLICK, LINES])
def test_its_files_are_recognised(write_json, entries):
    assert recognise(Inputs((str(write_json(entries)),))) == "gui"


@pytest.mark.parametrize(
    "entries",
    [
        [{"image": "a.jpg", "caption": "x"}],
        [{"id": 1, "image": "a.jpg", "conversations": []}],
        {"images": [], "annotations": [], "categories": []},
        [{"image_id": 1, "bbox": [1, 2, 3, 4], "category_id": 1, "score": 0.5}],
    ],
)
def test_files_of_others_are_not(write_json, entries):
    assert not gui.recognise(Glimpse(Inputs((str(write_json(entries)),))))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.fixed_dictionaries(
            {}, optional=dict.fromkeys(["img_filename", "bbox", "instruction", "elements", "img_size"], JSON)
        ) | JSON, max_size=6,
    )
)  # fmt: skip
def test_whatever_a_file_holds_nothing_crashes(run, write_json, entries):
    found = run("gui", write_json(entries))
    assert not found.samples
    assert len(found.rejects) >= bool(
        entries and not all(isinstance(e, dict) and e.get("elements") == [] for e in entries)
    )
