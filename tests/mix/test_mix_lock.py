"""Everything that a recipe can ask for is in the lock, and comes out again elsewhere."""

import json
import shutil

import numpy as np
import pytest

from sphinx_data import open_dataset
from sphinx_data.dataset import columns
from sphinx_data.errors import InputError, UsageError
from sphinx_data.mix import build, lock

FULL = {
    "seed": 3,
    "total": 300,
    "order": "windowed",
    "holdout": 0.1,
    "groups": {
        "p": {
            "weight": 2,
            "temperature": 2,
            "sources": [
                {"dataset": "a", "where": "stars.score > 0 and task = 'vqa'", "columns": ["dedup"], "cap": 20},
                {"dataset": "b", "ratings": {"column": "stars", "power": 2}},
            ],
        },
        "t": {
            "weight": 1,
            "sources": [
                {"dataset": "c*", "ratings": {"column": "stars", "table": {0: 1, 1: 2, 2: 0, 3: 1, 4: 1}}},
            ],
        },
    },
    "schedule": [{"at": 100, "weights": {"t": 3}}],
    "unit": "target_chars",
}


@pytest.fixture
def sources(make_dataset, add_column):
    for name, pictures, texts in [("a", 40, 10), ("b", 16, 0), ("c1", 0, 12), ("c2", 0, 6)]:
        place = make_dataset(name, pictures, texts)
        size = pictures + texts
        add_column(place, "stars", score=[n % 5 for n in range(size)])
        add_column(place, "dedup", keep=[n % 7 > 0 for n in range(size)], rule=["near"] * size)


@pytest.mark.parametrize("order", ["windowed", "shuffled"])
def test_a_full_recipe_is_rebuilt_elsewhere(sources, mixed, tmp_path, order):
    mix, locked = mixed(**FULL | {"order": order})
    far = tmp_path / "far"
    for name in ("a", "b", "c1", "c2"):
        shutil.copytree(tmp_path / name, far / name)
    again = lock.load(str(tmp_path / "m/mix.lock.json"))
    assert again == locked
    rebuilt = build.build(again.recipe, str(far / "m"), {"": str(far)}, "lock", again)
    assert rebuilt == locked
    assert open_dataset(str(far / "m")).fingerprint == mix.fingerprint
    assert open_dataset(str(far / "m/holdout")).fingerprint == locked.holdout_fingerprint
    for table in sorted((tmp_path / "m/rows").iterdir()):
        assert table.read_bytes() == (far / "m/rows" / table.name).read_bytes()


def test_a_lock_holds_what_was_chosen_and_why(sources, mixed):
    mix, locked = mixed(**FULL)
    a, b, c1, c2 = locked.sources
    assert locked.block == 1024
    assert set(a.dropped) == {"dedup:near", "where", "cap", "holdout"}
    assert a.rows == a.selected + sum(a.dropped.values())
    assert sum(times * rows for times, rows in b.repeats.items()) == b.selected + b.dropped["rating"]
    assert a.chunk > 1
    assert sum(source.requested for source in locked.sources) == pytest.approx(1, abs=1e-5)
    assert sum(source.realised["target_chars"] for source in locked.sources) == pytest.approx(1, abs=1e-5)
    assert c1.requested + c2.requested == pytest.approx((1 / 3 + 2 * 3 / 5) / 3, abs=1e-5)
    uses = np.bincount(mix.pointers()["dataset"].to_numpy())
    assert uses.tolist() == [source.samples for source in locked.sources]


def test_the_first_difference_is_named(sources, mixed, tmp_path):
    _, locked = mixed(**FULL)
    dataset = open_dataset(str(tmp_path / "a"))
    table = columns.read(dataset, "dedup")
    columns.write(dataset, "dedup", table.set_column(0, "keep", [[n % 3 > 0 for n in range(50)]]), {"by": "other"})
    with pytest.raises(UsageError, match=r"lock: sources\[0\].dropped.* was .*, is .* here"):
        build.build(locked.recipe, str(tmp_path / "n"), {"": str(tmp_path)}, "lock", locked)
    assert not (tmp_path / "n/dataset.json").exists()


def test_a_lock_of_another_format_is_refused(sources, mixed, tmp_path):
    mixed(sources=[{"dataset": "a"}])
    place = tmp_path / "m/mix.lock.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"order": "order/2"}))
    with pytest.raises(InputError, match=r"is sphinx-mix-lock/1 of order/2; this version reads"):
        lock.load(str(place))
