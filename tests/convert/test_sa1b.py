"""SA-1B's files of masks without classes, and what the released generator writes."""

import json
import re

import numpy as np
import pytest
from converting import text_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from sphinx_data import rle
from sphinx_data.convert import Inputs
from sphinx_data.convert._recognise import recognise
from sphinx_data.errors import InputError, UsageError


def annotation(x0, y0, x1, y1, point=None, size=(60, 80), **more):
    """As the released code has it: a box that leaves out the last pixel."""
    inside = np.zeros(size, bool)
    inside[y0:y1, x0:x1] = True
    return {
        "segmentation": {"size": list(size), "counts": rle.write(rle.from_array(inside))},
        "bbox": [x0, y0, x1 - x0 - 1, y1 - y0 - 1], "area": int(inside.sum()), "predicted_iou": 0.93,
        "point_coords": [list(point or ((x0 + x1) / 2, (y0 + y1) / 2))], "crop_box": [0, 0, 80, 60], "id": 1,
        "stability_score": 0.97, **more,
    }  # fmt: skip


def published(*annotations, **image):
    return {"image": {"image_id": 7, "width": 80, "height": 60, "file_name": "a.jpg", **image},
            "annotations": list(annotations)}  # fmt: skip


CAR, DOOR, TREE = annotation(0, 0, 40, 30), annotation(10, 5, 30, 20), annotation(50, 10, 79, 59, predicted_iou=1.02)


def test_a_folder_of_sa_1b(run, photo, write_json, tmp_path):
    photo("a.jpg")
    write_json(published(CAR, DOOR, TREE), "a.json")
    found = run("sa1b", tmp_path)
    (sample,) = found.samples
    assert not found.rejects
    assert (sample.id, sample.task, sample.domain) == ("test/a", "segmentation", "vision")
    assert [(r.label, r.box, r.score) for r in sample.regions] == [
        (None, (0, 0, 40, 30), 0.93),
        (None, (10, 5, 30, 20), 0.93),
        (None, (50, 10, 79, 59), 1.0),
    ]
    assert recognise(Inputs((str(tmp_path),))) == "sa1b"
    lines = text_of(sample)
    # the middle of the car lies in its door, the smaller segment, so nothing is asked about the car there
    assert lines[1::2] == ["[0.13, 0.19, 0.38, 0.38]", "[0.63, 0.25, 0.99, 0.86]"]
    assert "the smallest segment" in lines[0]
    assert "[0.25, 0.28]" in lines[0]  # (20, 12.5) in the padded square


def test_answers_hold_for_any_masks(run, photo, write_json, tmp_path):
    photo("a.jpg")
    random = np.random.default_rng(0)
    for _ in range(25):
        boxes = []
        for _ in range(int(random.integers(1, 9))):
            x, y = int(random.integers(0, 70)), int(random.integers(0, 50))
            boxes.append((x, y, x + int(random.integers(2, 80 - x + 1)), y + int(random.integers(2, 60 - y + 1))))
        write_json(published(*(annotation(*box, point=(99, 99)) for box in boxes)), "a.json")
        for sample in run("sa1b", tmp_path).samples:
            for region in sample.regions:
                x, y = region.point
                assert rle.to_array(region.mask)[int(y), int(x)]
            for ask, answer in zip(sample.messages[::2], sample.messages[1::2], strict=True):
                (number,) = {part.regions[0] for m in (ask, answer) for part in m.content if hasattr(part, "regions")}
                x, y = sample.regions[number].point
                around = [r for r in sample.regions if rle.to_array(r.mask)[int(y), int(x)]]
                sizes = [rle.area(rle.parse(r.mask.counts)) for r in around]
                assert sizes.count(min(sizes)) == 1
                assert around[sizes.index(min(sizes))] is sample.regions[number]


def test_the_generators_own_list_other_folders_and_names(run, photo, write_json, tmp_path):
    photo("photos/sub/a.jpg")
    photo("photos/b.png")
    photo("photos/c.png")
    (tmp_path / "masks/sub").mkdir(parents=True)
    write_json([CAR], "masks/sub/a.json")  # amg.py names it after the picture
    write_json(published(TREE), "masks/b.png.json")  # sphinx-model masks
    write_json([TREE], "masks/gone.json")
    found = run("sa1b", tmp_path / "masks", images=tmp_path / "photos")
    assert sorted(sample.id for sample in found.samples) == ["test/b.png", "test/sub/a"]
    assert found.rules() == [("file", "no-picture"), ("file", "no-mask")]
    assert recognise(Inputs((str(tmp_path / "masks"),), str(tmp_path / "photos"))) == "sa1b"


def test_what_cannot_be_used_is_a_reject(run, photo, write_json, tmp_path):
    photo("a.jpg")
    wrong = annotation(0, 0, 9, 9, size=(50, 80))
    nothing = annotation(5, 5, 5, 5, point=(1, 1))
    write_json(published(TREE, wrong, nothing, {"segmentation": [[1, 2, 3]]}), "a.json")
    found = run("sa1b", tmp_path)
    assert len(found.samples[0].regions) == 1
    assert found.rules() == [("region", "mask-size"), ("region", "mask-empty"), ("region", "segmentation-invalid")]
    (tmp_path / "a.json").write_text('{"image": {}, "annotations": [], "error": "The file is empty."}')
    assert run("sa1b", tmp_path).rules() == [("image", "not-segmented")]
    (tmp_path / "a.json").write_text("{")
    assert run("sa1b", tmp_path).rules() == [("image", "annotation-invalid")]
    write_json(published(width=81), "a.json")
    assert run("sa1b", tmp_path).rules() == [("image", "size-mismatch")]


def test_masks_of_the_upright_picture(run, tmp_path, write_json):
    pixels = Picture.fromarray(np.zeros((60, 80, 3), np.uint8))
    exif = pixels.getexif()
    exif[0x0112] = 3
    pixels.save(tmp_path / "a.jpg", exif=exif)
    write_json(published(TREE), "a.json")
    assert run("sa1b", tmp_path).rules() == [("image", "image-rotated")]  # nobody says of which picture they are
    write_json(published(TREE, upright=True), "a.json")
    assert run("sa1b", tmp_path).samples[0].regions[0].box == (50, 10, 79, 59)


def test_wrong_arguments(run, photo, tmp_path):
    photo("a.jpg")
    with pytest.raises(InputError, match="is not a folder"):
        run("sa1b", tmp_path / "a.jpg")
    with pytest.raises(UsageError, match="give one folder"):
        run("sa1b", tmp_path, tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**12) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*CAR, "size"]), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_file_holds_nothing_crashes(run, photo, tmp_path, found):
    photo("a.jpg")
    for content in (found, [found], {"image": found, "annotations": found}, published(CAR | {"point_coords": found})):
        (tmp_path / "a.json").write_text(json.dumps(content))
        done = run("sa1b", tmp_path)
        assert done.samples or done.rejects
        for sample in done.samples:
            assert re.fullmatch(r"\[[\d., ]+\]", text_of(sample)[1])
