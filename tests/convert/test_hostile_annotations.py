"""Whatever an annotation holds: a sample or a reject, never another exception, and every record is accounted for."""

import io
import json

import pytest
from converting import Run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sphinx_data.errors import InputError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([1, 2, 10, 30.5]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
LOOSE = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def entry(good: dict, keys: list[str]) -> st.SearchStrategy:
    """A good entry with some of its fields replaced or missing."""
    changed = st.dictionaries(st.sampled_from(keys), VALUES, max_size=2)
    missing = st.sets(st.sampled_from(keys), max_size=1)
    return st.builds(lambda c, m: {k: v for k, v in (good | c).items() if k not in m}, changed, missing)


IMAGE = entry({"id": 1, "file_name": "a.png", "width": 40, "height": 30, "license": 1},
              ["id", "file_name", "width", "height", "license", "coco_url"])  # fmt: skip
ANNOTATION = entry(
    {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 20, 20], "segmentation": [[1, 1, 20, 1, 20, 20]]},
    ["id", "image_id", "category_id", "bbox", "segmentation", "iscrowd", "area", "keypoints"],
)
CATEGORY = entry({"id": 1, "name": "cat"}, ["id", "name", "isthing"])
TURN = entry({"from": "human", "value": "<image>\nWhat?"}, ["from", "value"]) | entry(
    {"from": "gpt", "value": "That."}, ["from", "value"]
)
TALK = st.builds(
    lambda turns, more: {"conversations": turns, "image": "a.png"} | more,
    st.lists(TURN, max_size=4) | VALUES,
    st.dictionaries(st.sampled_from(["id", "image", "images"]), VALUES, max_size=2),
)


@pytest.fixture
def folder(tmp_path):
    out = io.BytesIO()
    Image.new("RGB", (40, 30)).save(out, "PNG")
    (tmp_path / "a.png").write_bytes(out.getvalue())
    return tmp_path


@LOOSE
@given(st.lists(IMAGE | VALUES, max_size=2), st.lists(ANNOTATION | VALUES, max_size=4), st.lists(CATEGORY, max_size=2))
def test_coco(folder, images, annotations, categories):
    file = folder / "a.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    found = Run("coco", file)
    assert len(found.samples) + len([r for r in found.rejects if r.level in ("image", "record")]) == len(images)
    kept = sum(len(sample.regions) for sample in found.samples)
    dropped = len([r for r in found.rejects if r.level == "region" and r.rule != "not-asked"])
    unread = len(annotations) - kept - dropped
    # regions of a picture that was rejected go with it
    assert unread == 0 or any(r.level == "image" for r in found.rejects)


@LOOSE
@given(st.lists(TALK | VALUES, max_size=4))
def test_llava(folder, talks):
    file = folder / "b.json"
    file.write_text(json.dumps(talks))
    found = Run("llava", file)
    assert len(found.samples) + len([r for r in found.rejects if r.level != "turn"]) == len(talks)


@LOOSE
@given(st.binary(max_size=200))
@pytest.mark.parametrize("name", ["coco", "llava"])
def test_any_bytes(folder, name, data):
    file = folder / "c.json"
    file.write_bytes(data)
    try:
        found = Run(name, file)
    except InputError as error:
        message = str(error)
    else:
        assert not found.samples
        return
    assert "c.json" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["coco", "llava"])
@pytest.mark.parametrize("content", ["[" * 100_000, '{"images":' + "[" * 100_000, '{"images": [' + '{"a":' * 50_000])
def test_deep_nesting(tmp_path, name, content):
    (tmp_path / "d.json").write_text(content)
    try:
        found = Run(name, tmp_path / "d.json")
    except InputError:
        return
    assert not found.samples


def test_a_licence_without_id_belongs_to_no_picture(folder):
    file = folder / "e.json"
    annotation = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 20, 20]}
    value = {
        "images": [{"id": 1, "file_name": "a.png"}], "annotations": [annotation],
        "categories": [{"id": 1, "name": "cat"}], "licenses": [{"name": "MIT"}],
    }  # fmt: skip
    file.write_text(json.dumps(value))
    assert Run("coco", file).samples[0].images[0].license is None
