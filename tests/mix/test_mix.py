import json
import shutil

import pytest

from sphinx_data import open_dataset
from sphinx_data.errors import InputError, UsageError
from sphinx_data.mix import build, lock, recipe


def mixed(tmp_path, out="m", roots=None, expected=None, **fields):
    made = recipe.check({"name": "m", "sources": [{"dataset": "a"}, {"dataset": "b"}]} | fields, "r.yaml")
    found = build.build(made, str(tmp_path / out), roots or {"": str(tmp_path)}, "r.yaml", expected)
    return open_dataset(str(tmp_path / out)), found


@pytest.fixture
def sources(make_dataset):
    return [make_dataset("a", pictures=60, texts=20, shared=3), make_dataset("b", pictures=30, texts=10)]


def origins(dataset):
    return [example.sample.id for example in dataset]


def test_without_weights_every_sample_comes_once(sources, tmp_path):
    mix, _ = mixed(tmp_path)
    everything = [example.sample.id for place in sources for example in open_dataset(place)]
    assert sorted(origins(mix)) == sorted(everything)
    assert origins(mix) != everything


@pytest.mark.parametrize(
    ("fields", "a", "b"),
    [
        ({"sources": [{"dataset": "a", "epochs": 2}, {"dataset": "b", "count": 7}]}, 160, 7),
        ({"sources": [{"dataset": "a", "weight": 3}, {"dataset": "b", "weight": 1}], "total": 1000}, 750, 250),
        ({"sources": [{"dataset": "a", "weight": 1}, {"dataset": "b", "epochs": 0.5}], "total": 100}, 80, 20),
        ({"sources": [{"dataset": "a"}, {"dataset": "b"}], "epochs": 2.5}, 200, 100),
    ],
)
def test_weights_epochs_and_counts_give_exact_numbers(sources, tmp_path, fields, a, b):
    mix, locked = mixed(tmp_path, **fields)
    names = origins(mix)
    assert sum(name.startswith("a/") for name in names) == a
    assert sum(name.startswith("b/") for name in names) == b
    assert [source.samples for source in locked.sources] == [a, b]
    assert mix.description.counts["source"] == {"a": a, "b": b}
    assert mix.description.images == sum(len(example.images) for example in mix)
    times = [names.count(f"a/{number}") for number in range(80)]
    assert max(times) - min(times) <= (a % 80 > 0)  # every epoch is a full permutation


def test_order_none_keeps_the_order_of_the_sources(sources, tmp_path):
    mix, _ = mixed(tmp_path, order="none")
    assert origins(mix) == [f"a/{n}" for n in range(80)] + [f"b/{n}" for n in range(40)]


def test_no_image_is_on_both_sides_of_a_holdout(sources, tmp_path):
    mix, locked = mixed(tmp_path, holdout=0.3)
    held = open_dataset(str(tmp_path / "m/holdout"))
    assert 10 < len(held) < 70
    assert locked.holdout_samples == len(held)
    assert len(mix) + len(held) == 120
    here = {bytes(image) for example in mix for image in example.images}
    there = {bytes(image) for example in held for image in example.images}
    assert here
    assert there
    assert not here & there


def test_what_is_held_out_does_not_depend_on_the_mix(sources, tmp_path):
    mixed(tmp_path, holdout=0.3)
    mixed(tmp_path, out="alone", holdout=0.3, sources=[{"dataset": "a", "epochs": 3}])
    held = origins(open_dataset(str(tmp_path / "m/holdout")))
    assert origins(open_dataset(str(tmp_path / "alone/holdout"))) == [name for name in held if name.startswith("a/")]


def test_a_lock_rebuilds_the_mix_elsewhere_or_names_the_first_difference(sources, tmp_path, make_dataset):
    first, locked = mixed(tmp_path, holdout=0.1, sources=[{"dataset": "a", "epochs": 2}, {"dataset": "b"}])
    far = tmp_path / "far"
    for source in sources:
        shutil.copytree(source, far / "data" / source.rsplit("/", 1)[1])
    again = lock.load(str(tmp_path / "m/mix.lock.json"))
    assert again == locked
    rebuilt = build.build(again.recipe, str(far / "m"), {"": str(far / "data")}, "lock", again)
    assert rebuilt == locked
    assert open_dataset(str(far / "m")).fingerprint == first.fingerprint
    shutil.rmtree(far / "data/b")
    make_dataset("b", pictures=31, texts=9, at=far / "data")
    with pytest.raises(UsageError, match=r"lock: sources\[1\].fingerprint was '.*', is '.*' here"):
        build.build(again.recipe, str(far / "other"), {"": str(far / "data")}, "lock", again)


def test_a_moved_source_is_found_by_root_and_a_changed_one_is_refused(sources, tmp_path, make_dataset):
    mixed(tmp_path)
    shutil.move(tmp_path / "b", tmp_path / "moved")
    with pytest.raises(InputError, match=r"its source 'b' is not at .*say where with --root b=PLACE"):
        open_dataset(str(tmp_path / "m"))
    dataset = open_dataset(str(tmp_path / "m"), {"b": str(tmp_path / "moved")})
    assert len(origins(dataset)) == 120
    make_dataset("b", pictures=3)
    with pytest.raises(InputError, match=r"has fingerprint .*, but 'b' was mixed with"):
        open_dataset(str(tmp_path / "m"))


def test_a_mix_can_be_mixed_again(sources, tmp_path):
    mixed(tmp_path)
    outer, _ = mixed(tmp_path, out="outer", sources=[{"dataset": "m", "epochs": 2}])
    assert sorted(origins(outer)) == sorted(origins(open_dataset(str(tmp_path / "m"))) * 2)


REFUSED = [
    ({"sources": []}, "r.yaml: sources: is empty"),
    ({"surces": []}, "r.yaml: unknown key 'surces'"),
    ({"sources": [{"dataset": "a", "wieght": 1}]}, r"r.yaml: sources\[0\]: unknown key 'wieght'"),
    ({"sources": [{"dataset": "a", "weight": -1}]}, r"r.yaml: sources\[0\].weight: Expected `float` > 0"),
    (
        {"sources": [{"dataset": "a", "weight": 0.2, "epochs": 2.0}]},
        r"r.yaml: sources\[0\]: give weight or epochs, not both \(weight=0.2, epochs=2.0\)",
    ),
    ({"sources": [{"dataset": "a", "weight": 1}, {"dataset": "b"}]}, r"sources\[1\]: has no weight but others have"),
    ({"total": 5, "epochs": 1}, "give total or epochs, not both"),
    ({"sources": [{"dataset": "c"}]}, "sources that are not there: c"),
    ({"total": 10, "sources": [{"dataset": "a", "count": 20}]}, "total: is 10, but epochs and counts alone ask for 20"),
    (
        {"total": 10, "sources": [{"dataset": "a", "weight": 1e6}, {"dataset": "b", "weight": 1}]},
        r"sources\[1\]: its share of 10 samples rounds to none",
    ),
    ({"order": "sorted"}, "order: Invalid enum value 'sorted'"),
    ({"holdout": 1.5}, "holdout: Expected `float` < 1"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_recipe_that_cannot_be_is_refused_with_file_field_and_value(sources, tmp_path, fields, message):
    with pytest.raises(UsageError, match=message):
        mixed(tmp_path, **fields)


def test_an_empty_dataset_cannot_be_mixed(make_dataset, tmp_path):
    make_dataset("a", pictures=0, texts=0)
    make_dataset("b")
    with pytest.raises(UsageError, match=r"sources\[0\].dataset: nothing of 'a' can be mixed: the dataset is empty"):
        mixed(tmp_path)


def test_golden_lock(sources, tmp_path):
    """A change here breaks: mix order, holdout, fingerprints of mixes."""
    mix, locked = mixed(tmp_path, seed=5, holdout=0.1, sources=[{"dataset": "a", "epochs": 1.5}, {"dataset": "b"}])
    found = json.loads((tmp_path / "m/mix.lock.json").read_text())
    assert {key: found[key] for key in GOLDEN} == GOLDEN
    assert locked.samples == len(mix)


GOLDEN = {
    "format": "sphinx-mix-lock/1",
    "order": "order/1",
    "block": 65536,
    "quotas": "c66907a279a4f59ef2e1e0a9fc60eeee",
    "samples": 148,
    "fingerprint": "f71c8f4bf8030360f7b34e27e82cb4fb",
    "holdout_samples": 9,
    "holdout_fingerprint": "03f259569bddd859fcc453408377523c",
}
