import numpy as np
import pyarrow as pa
import pytest

from sphinx_data import open_dataset
from sphinx_data.dataset import columns
from sphinx_data.mix import build, recipe


@pytest.fixture
def mixed(tmp_path):
    """Mixes datasets of `tmp_path` by the fields of a recipe: (dataset, lock)."""

    def mix(out="m", roots=None, expected=None, **fields):
        made = recipe.check({"name": "m"} | fields, "r.yaml")
        found = build.build(made, str(tmp_path / out), roots or {"": str(tmp_path)}, "r.yaml", expected)
        return open_dataset(str(tmp_path / out)), found

    return mix


@pytest.fixture
def priced(tmp_path):
    """The lock that a recipe would give, nothing written."""

    def price(**fields):
        made = recipe.check({"name": "m"} | fields, "r.yaml")
        return build.build(made, str(tmp_path / "m"), {"": str(tmp_path)}, "r.yaml", dry_run=True)

    return price


@pytest.fixture
def add_column():
    """Writes a column beside a dataset from lists."""

    def add(place, name, **values):
        columns.write(open_dataset(place), name, pa.table(values), {"by": "test"})

    return add


@pytest.fixture
def ids():
    """Ids of a dataset in order."""
    return lambda dataset: np.array([example.sample.id for example in dataset])
