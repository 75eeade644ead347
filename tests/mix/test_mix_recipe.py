"""What a recipe refuses: file, field, value and mend in one sentence."""

from pathlib import Path

import pytest

from sphinx_data.errors import InputError, UsageError
from sphinx_data.mix import recipe

A, B = {"dataset": "a", "weight": 1}, {"dataset": "b", "weight": 1}
GROUPS = {"g": {"weight": 1, "sources": [{"dataset": "a"}]}}

REFUSED = [
    ({"groups": {"g": {"weight": 1, "sources": []}}}, r"groups.g.sources: is empty"),
    ({"groups": {"g": {"wait": 1, "sources": [A]}}}, r"groups\[...\]: unknown key 'wait'"),
    ({"groups": {**GROUPS, "h": {"sources": [A]}}}, "groups.h: has no weight but others have; give weight$"),
    (
        {"groups": {"g": {"weight": 1, "sources": [{"dataset": "a", "epochs": 2}]}}},
        r"groups.g.sources\[0\]: has epochs=2.0, but its group has a weight",
    ),
    ({"sources": [{**A, "count": 3}]}, r"sources\[0\]: give weight or count, not both \(weight=1.0, count=3\)"),
    ({"sources": [{**A, "cap": 0}]}, r"sources\[0\].cap: Expected `int` >= 1"),
    ({"sources": [{**A, "columns": ["d", "d"]}]}, r"sources\[0\].columns: names 'd' 2 times"),
    ({"sources": [{**A, "ratings": {"column": "q"}}]}, "ratings: give power or table, one of them"),
    ({"sources": [{**A, "ratings": {"column": "q", "power": 1, "table": {1: 1}}}]}, "give power or table"),
    ({"sources": [{**A, "ratings": {"column": "q", "table": {1: 0}}}]}, "ratings.table: repeats nothing at all"),
    ({"sources": [A], "unit": "bytes"}, "unit: Invalid enum value 'bytes'"),
    ({"sources": [A], "unit": "tokens"}, "lengths: is missing, but unit is tokens"),
    ({"sources": [A, B], "temperature": 2}, "temperature: is 2.0, but no source is without weight"),
    ({"sources": [A, B], "unimax": 2}, "unimax: is 2.0, but the recipe has a weight too"),
    ({"groups": {"g": {"sources": [{"dataset": "a"}]}}, "unimax": 2}, "unimax: is 2.0, but the recipe has groups"),
    ({"sources": [{"dataset": "a"}], "unimax": 2, "temperature": 2}, "unimax: .* has temperature too"),
    ({"sources": [A, B], "schedule": [{"at": 5, "weights": {}}]}, "schedule: needs total"),
    (
        {"sources": [A, B], "total": 9, "schedule": [{"at": 5, "weights": {}}, {"at": 5, "weights": {}}]},
        r"schedule\[1\].at: is 5; positions must rise and lie below total \(9\)",
    ),
    (
        {"sources": [A, B], "total": 9, "schedule": [{"at": 5, "weights": {"c": 1}}]},
        r"schedule\[0\].weights.c: names no source or group with a weight; it may name a, b",
    ),
    (
        {"sources": [A, A], "total": 9, "schedule": [{"at": 5, "weights": {"a": 1}}]},
        r"schedule\[0\].weights.a: names several sources or groups",
    ),
    (
        {"sources": [A, B], "total": 9, "order": "none", "schedule": [{"at": 5, "weights": {"a": 2}}]},
        "schedule: changes weights on the way, but order is none",
    ),
    ({"sources": [A], "merge_by": "text"}, "merge_by: Invalid enum value 'text'"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_contradictions_are_refused(fields, message):
    with pytest.raises(UsageError, match="r.yaml: .*" + message):
        recipe.check({"name": "m", **fields}, "r.yaml")


@pytest.mark.parametrize("value", [".inf", ".nan", "-1", "0", "1e300", "yes", "[1]"])
def test_a_weight_is_a_positive_number(tmp_path, value):
    (tmp_path / "r.yaml").write_text(f"name: m\nsources:\n  - dataset: a\n    weight: {value}\n")
    with pytest.raises(UsageError, match=r"r.yaml: sources\[0\].weight: "):
        recipe.load(str(tmp_path / "r.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: m\nname: n\nsources: [{dataset: a}]", "the key 'name' comes twice"),
        ("name: m\nsources: [{dataset: a, weight: 1, weight: 2}]", "the key 'weight' comes twice"),
        ("name: m\ngroups: {a: &x {groups: {b: *x}}}", "groups: hold each other without end"),
        ("- 1", "Expected `object`, got `array`"),
        ("", "Expected `object`, got `null`"),
        ("name: [", "is not YAML"),
        ("name: m\nsources: !!python/object:os.system [x]", "is not YAML"),
    ],
)
def test_yaml_that_is_no_recipe_is_refused(tmp_path, text, message):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UsageError, match=f"r.yaml: .*{message}"):
        recipe.load(str(tmp_path / "r.yaml"))


def test_merging_by_image_needs_shards(make_dataset, mixed, priced):
    make_dataset("a")
    with pytest.raises(UsageError, match="merge_by: is 'image', which joins samples while shards are made"):
        mixed(sources=[{"dataset": "a"}], merge_by="image")
    assert priced(sources=[{"dataset": "a"}], merge_by="image").recipe.merge_by == "image"


PRESETS = sorted(Path(__file__).parents[2].glob("recipes/mix/*.yaml"))


@pytest.mark.parametrize("place", PRESETS, ids=[place.stem for place in PRESETS])
def test_presets_are_recipes_that_say_where_their_numbers_come_from(place):
    found = recipe.load(recipe.preset(place.stem))
    assert found.name == place.stem
    text = place.read_text()
    assert "arXiv" in text
    for leaf in recipe.leaves(found):
        assert "/" not in leaf.source.dataset
    names = [leaf.source.dataset for leaf in recipe.leaves(found)]
    assert len(names) == len(set(names))


def test_all_presets_are_there():
    names = "sphinx-x sphinx-v1-stage1 sphinx-v1-stage2 mm1 mm1.5 mm1.5-sft cambrian dcvlm sqrt unimax"
    assert {place.stem for place in PRESETS} == set(names.split())
    with pytest.raises(InputError, match="nothing: is neither a file nor a preset; the presets are cambrian, dcvlm"):
        recipe.preset("nothing")
