import pytest
from pages import HOSTILE, hostile_sample
from samples import png

from sphinx_data import DatasetWriter, open_dataset
from sphinx_data.mix import build, recipe
from sphinx_data.sample import Reject


@pytest.fixture
def mixed(make_dataset, tmp_path):
    """A mix of two datasets, one of them seen three times, with a holdout, so that some rows are never used."""
    make_dataset("a", pictures=30, texts=12)
    make_dataset("b", pictures=10, texts=3)
    sources = [{"dataset": "a", "weight": 1.0}, {"dataset": "b", "epochs": 3}]
    made = recipe.check({"name": "m", "sources": sources, "total": 61, "holdout": 0.1}, "r.yaml")
    build.build(made, str(tmp_path / "m"), {"": str(tmp_path)}, "r.yaml")
    return open_dataset(str(tmp_path / "m"))


@pytest.fixture
def hostile(tmp_path):
    with DatasetWriter(str(tmp_path / "h"), HOSTILE, parameters={HOSTILE: "```\n# x\n" + HOSTILE}) as writer:
        writer.add(hostile_sample(), [png((9, 9, 9))])
        writer.reject(Reject(input=HOSTILE, record=HOSTILE, level="record", rule=HOSTILE, detail=HOSTILE))
    return tmp_path / "h"
