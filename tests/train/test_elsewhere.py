"""The scripts of recipes/elsewhere run: other trainers learn from our packs, and what they save is a model."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForImageTextToText

import sphinx_model.auto  # noqa: F401 (registers the classes)

SCRIPTS = Path(__file__).parents[2] / "recipes" / "elsewhere"


def test_both_scripts_are_tried():
    assert {path.stem for path in SCRIPTS.glob("*.py")} == {"hf_trainer", "trl_sft"}


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["hf_trainer", "trl_sft"])
def test_another_trainer_learns_from_our_packs(make_dataset, model_dir, tmp_path, name):
    pytest.importorskip("trl")
    made = subprocess.run(
        [sys.executable, SCRIPTS / f"{name}.py", model_dir, make_dataset("a", 60, 20), tmp_path / "out", "12"],
        check=False, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-2000:]
    losses = [float(found) for found in re.findall(r"'loss': '?([\d.]+)", made.stdout + made.stderr)]
    assert losses[-1] < losses[0]
    AutoModelForImageTextToText.from_pretrained(tmp_path / "out" / "hf")
