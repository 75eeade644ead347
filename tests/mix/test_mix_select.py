import shutil

import numpy as np
import pytest

from sphinx_data import open_dataset
from sphinx_data.errors import InputError, UsageError
from sphinx_data.order import permute


@pytest.fixture
def a(make_dataset):
    return make_dataset("a", pictures=30, texts=10)


def test_a_condition_reads_index_and_columns(a, mixed, add_column, ids):
    add_column(a, "blur", score=list(range(40)))
    mix, locked = mixed(sources=[{"dataset": "a", "where": "task = 'vqa' and blur.score >= 20"}])
    assert sorted(ids(mix)) == sorted(f"a/{n}" for n in range(20, 30))
    assert locked.sources[0].dropped == {"where": 30}
    assert locked.sources[0].selected == 10


def test_verdicts_are_counted_by_rule(a, mixed, add_column, ids):
    add_column(a, "dedup", keep=[n % 4 > 0 for n in range(40)], rule=[None if n % 4 else "near" for n in range(40)])
    add_column(a, "clean", keep=[n > 4 if n else None for n in range(40)])
    mix, locked = mixed(sources=[{"dataset": "a", "columns": ["dedup", "clean"]}])
    assert locked.sources[0].dropped == {"dedup:near": 10, "clean:no rule": 3}
    assert sorted(ids(mix)) == sorted(f"a/{n}" for n in range(5, 40) if n % 4)


def test_a_column_that_is_missing_or_made_for_other_data_is_refused(a, make_dataset, mixed, add_column, tmp_path):
    with pytest.raises(InputError, match=r"dedup\.json"):
        mixed(sources=[{"dataset": "a", "columns": ["dedup"]}])
    add_column(make_dataset("b"), "dedup", keep=[True] * 25)
    shutil.copytree(tmp_path / "b/columns", tmp_path / "a/columns")
    for fields in ({"columns": ["dedup"]}, {"where": "dedup.keep"}):
        with pytest.raises(InputError, match="was made for a dataset with fingerprint"):
            mixed(out="other", sources=[{"dataset": "a", **fields}])
    add_column(a, "score", score=[1] * 40)
    with pytest.raises(UsageError, match=r"sources\[0\].columns: 'score' of 'a' is no verdict"):
        mixed(out="third", sources=[{"dataset": "a", "columns": ["score"]}])


def test_a_cap_is_a_seeded_subset_and_never_more_than_there_is(a, priced, mixed, ids):
    first, locked = mixed(sources=[{"dataset": "a", "cap": 15}], seed=1)
    again, _ = mixed(out="again", sources=[{"dataset": "a", "cap": 15}], seed=1)
    other, _ = mixed(out="other", sources=[{"dataset": "a", "cap": 15}], seed=2)
    assert len(set(ids(first))) == 15
    assert sorted(ids(first)) == sorted(ids(again))
    assert sorted(ids(first)) != sorted(ids(other))
    assert locked.sources[0].dropped == {"cap": 25}
    smaller, _ = mixed(out="smaller", sources=[{"dataset": "a", "cap": 5}], seed=1)
    assert set(ids(smaller)) < set(ids(first))
    with pytest.raises(UsageError, match=r"r.yaml: sources\[0\].cap: is 41, but only 40 samples are there to take"):
        priced(sources=[{"dataset": "a", "cap": 41}])
    with pytest.raises(UsageError, match="cap: is 11, but only 10"):
        priced(sources=[{"dataset": "a", "cap": 11, "where": "task = 'text'"}])
    assert priced(sources=[{"dataset": "[a]", "cap": 41}]).samples == 40  # a glob: a ceiling for each


def test_a_capped_subset_is_held_out_in_proportion(a, mixed, ids):
    mix, locked = mixed(sources=[{"dataset": "a", "cap": 20}], holdout=0.4)
    held = open_dataset(f"{mix.directory}/holdout")
    assert len(mix) + len(held) == 20
    assert not set(ids(mix)) & set(ids(held))
    assert locked.sources[0].dropped["holdout"] == len(held) > 0


def test_ratings_become_whole_repeats(a, mixed, add_column, ids):
    add_column(a, "stars", score=[n % 4 for n in range(40)])
    ratings = {"column": "stars", "table": {0: 0, 1: 1, 2: 2, 3: 4}}
    mix, locked = mixed(sources=[{"dataset": "a", "epochs": 2, "ratings": ratings}])
    names, counts = np.unique(ids(mix), return_counts=True)
    assert dict(zip(names, counts, strict=True)) == {f"a/{n}": 2 * [0, 1, 2, 4][n % 4] for n in range(40) if n % 4}
    assert locked.sources[0].repeats == {0: 10, 1: 10, 2: 10, 4: 10}
    assert (locked.sources[0].selected, locked.sources[0].most_seen) == (30, 8)
    with pytest.raises(UsageError, match=r"ratings.table: 'a' has the rating 3; give it a repeat"):
        mixed(out="x", sources=[{"dataset": "a", "ratings": {"column": "stars", "table": {0: 1, 1: 1, 2: 1}}}])


@pytest.mark.parametrize("power", [0.5, 1, 3])
def test_a_power_of_the_rating_gives_floor_or_ceiling_of_its_share(a, priced, add_column, mixed, ids, power):
    scores = np.arange(40) / 10
    add_column(a, "stars", score=scores.tolist())
    mix, locked = mixed(sources=[{"dataset": "a", "ratings": {"column": "stars", "power": power}}])
    assert len(mix) == 40  # an epoch keeps its length
    expected = scores**power / (scores**power).sum() * 40
    counts = np.array([(ids(mix) == f"a/{n}").sum() for n in range(40)])
    assert (np.abs(counts - expected) < 1.001).all()
    assert sum(locked.sources[0].repeats.values()) == 40


def test_ratings_that_are_no_numbers_are_refused(a, priced, add_column):
    add_column(a, "stars", score=["good"] * 40, holes=[1.0, None] * 20, negative=[-1.0] * 40)
    for field, message in [
        ("score", "is string"), ("holes", "20 nulls"), ("other", "has no 'other'"), ("negative", "lie in -1..-1")
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=message):
            priced(sources=[{"dataset": "a", "ratings": {"column": "stars", "field": field, "power": 1}}])


def test_a_source_of_which_nothing_is_left_says_why(a, priced):
    with pytest.raises(UsageError, match=r"sources\[0\].dataset: nothing of 'a' can be mixed: 40 dropped by where"):
        priced(sources=[{"dataset": "a", "where": "task = 'caption'"}])


def test_permutations_of_caps_are_nested():
    from sphinx_data.order import key

    assert set(permute(np.arange(5), 40, key(1, 6))) < set(permute(np.arange(15), 40, key(1, 6)))
