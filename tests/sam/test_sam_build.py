"""From a folder of photos and a SAM checkpoint to Set-of-Mark data, by the command lines that a person types."""

import json
import os
import subprocess
import sys

import click.testing
import pytest
from test_sam_masks import contents

from sphinx_data import open_dataset
from sphinx_data.cli import group
from sphinx_data.dataset.verify import verify

LOOSE = [
    item for one in ("points=4", "iou=-99", "stability=0", "alike=1", "min_area=30") for item in ("--sam-set", one)
]


def build(*arguments):
    """The command in a process of its own: it starts another."""
    step = [sys.executable, "-c", "from sphinx_data.cli import main; main()", "build-som", *map(str, arguments)]
    return subprocess.run(step, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)


def test_photos_become_set_of_mark_data(sam_directory, photos, tmp_path):
    arguments = [photos, "--sam-checkpoint", sam_directory, *LOOSE, "--source", "mine", "--workers", 1]
    done = build(*arguments, "--out", tmp_path / "one", "--both")
    assert done.returncode == 0, done.stderr
    dataset = open_dataset(str(tmp_path / "one"))
    assert list(verify(dataset)) == []
    assert len(dataset) == 2 * 5  # raw and drawn, without the damaged photo
    for example in dataset:
        sample = example.sample
        assert sample.task == "som-vqa"
        assert sum(region.mark is not None for region in sample.regions) >= 1
        assert all(region.label is None and region.mask is not None for region in sample.regions)
        assert sample.images[0].license is None
    rejects = {(reject["input"], reject["rule"]) for reject in dataset.rejects().to_pylist()}
    assert ("damaged.jpg", "image-truncated") in rejects or ("damaged.jpg", "image-damaged") in rejects
    # masks are there: the second build needs no checkpoint, and gives the same
    again = build("--annotations", f"{tmp_path / 'one'}.masks", "--images", photos, "--source", "mine", "--both",
                  "--out", tmp_path / "two", "--workers", 2)  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert open_dataset(str(tmp_path / "two")).fingerprint == dataset.fingerprint
    before = contents(tmp_path / "one.masks")
    assert build(*arguments, "--out", tmp_path / "one", "--both", "--overwrite").returncode == 0
    assert contents(tmp_path / "one.masks") == before


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["PHOTOS", "--sam-checkpoint", "nowhere"], 3, "error: nowhere: does not exist; name a SAM checkpoint"),
        (["--sam-checkpoint", "SAM"], 2, "--sam-checkpoint: goes with a folder of photos"),
        (["PHOTOS", "--sam-checkpoint", "SAM", "--limit", "3"], 2, "--limit: does not go with --sam-checkpoint"),
        (["PHOTOS", "--sam-checkpoint", "SAM", "--sam-set", "points"], 2, "--sam-set points: is not KEY=VALUE"),
        (["PHOTOS", "--sam-checkpoint", "SAM", "--partition", "0/2"], 2, "run sphinx-model masks first"),
        (["PHOTOS", "--masks", "x"], 2, "belong to --sam-checkpoint"),
        (["PHOTOS/nowhere", "--sam-checkpoint", "SAM"], 3, "nowhere: is not a folder of photos"),
    ],
)
def test_wrong_usage_is_one_sentence(arguments, status, message, sam_directory, photos, tmp_path):
    given = [a.replace("PHOTOS", str(photos)).replace("SAM", str(sam_directory)) for a in arguments]
    done = build(*given, "--out", tmp_path / "out")
    assert (done.returncode, done.stderr.count("\n")) == (status, 1), done.stderr
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_without_torch_it_says_what_to_install(sam_directory, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    arguments = ["build-som", str(photos), "--sam-checkpoint", str(sam_directory), "--out", str(tmp_path / "out")]
    done = click.testing.CliRunner().invoke(group, arguments)
    assert "pip install 'sphinx-mllm[train]'" in str(done.exception) + done.output


def test_masks_are_published_masks(sam_directory, photos, tmp_path):
    """What is written is SA-1B's form: pycocotools reads every mask."""
    from pycocotools import mask as coco

    assert build(photos, "--sam-checkpoint", sam_directory, *LOOSE, "--out", tmp_path / "one").returncode == 0
    found = json.loads((tmp_path / "one.masks" / "a.jpg.json").read_text())
    assert found["image"] == {"file_name": "a.jpg", "width": 200, "height": 150, "upright": True}
    for one in found["annotations"]:
        assert int(coco.area(one["segmentation"])) == one["area"]
        assert coco.toBbox(one["segmentation"]).tolist() == one["bbox"]
