"""Whole numbers of samples: exact, and what the keys mean."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from sphinx_data.errors import UsageError
from sphinx_data.mix import shares


@pytest.fixture
def three(make_dataset):
    """a: 64 samples with 48 images, b: 16 with 16, c: 4 texts."""
    return [make_dataset(name, p, t) for name, p, t in [("a", 48, 16), ("b", 16, 0), ("c", 0, 4)]]


def samples(locked):
    return {source.name: source.samples for source in locked.sources}


def test_temperature_flattens_sizes(three, priced):
    sources = [{"dataset": name} for name in "abc"]
    assert samples(priced(sources=sources)) == {"a": 64, "b": 16, "c": 4}
    assert samples(priced(sources=sources, temperature=2, total=140)) == {"a": 80, "b": 40, "c": 20}
    assert samples(priced(sources=sources, temperature=1e9, total=30)) == {"a": 10, "b": 10, "c": 10}


def test_unimax_gives_equal_budgets_below_a_ceiling_of_epochs(three, priced):
    sources = [{"dataset": name} for name in "abc"]
    assert samples(priced(sources=sources, unimax=1)) == {"a": 64, "b": 16, "c": 4}
    assert samples(priced(sources=sources, unimax=4, total=96)) == {"a": 40, "b": 40, "c": 16}
    assert samples(priced(sources=sources, unimax=100, total=96)) == {"a": 32, "b": 32, "c": 32}
    with pytest.raises(UsageError, match="unimax: 2 epochs of 84 samples are 168, but 200 are asked for"):
        priced(sources=sources, unimax=2, total=200)


@given(
    sizes=st.lists(st.integers(1, 10**6), min_size=1, max_size=50), ceiling=st.floats(0.5, 20), part=st.floats(0.01, 1)
)
@settings(max_examples=80, deadline=None)
def test_unimax_never_exceeds_its_ceiling_and_spends_all(sizes, ceiling, part):
    sizes = np.array(sizes)
    rest = max(1, int(part * int(ceiling * sizes.sum()))) if int(ceiling * sizes.sum()) else 0
    if not rest:
        return
    found = shares.unimax(sizes, sizes.astype(float), ceiling, rest, "r")
    assert found.sum() == pytest.approx(rest)
    assert (found <= ceiling * sizes * (1 + 1e-9)).all()
    below = found < ceiling * sizes * (1 - 1e-6)
    assert np.ptp(found[below]) <= 1e-6 * rest if below.any() else True  # those below the ceiling have equal budgets


def test_groups_share_their_weight_among_their_sources(three, priced):
    groups = {
        "pictures": {"weight": 3, "groups": {"x": {"sources": [{"dataset": "a"}, {"dataset": "b"}]}}},
        "text": {"weight": 1, "sources": [{"dataset": "c"}]},
    }
    locked = priced(groups=groups, total=400)
    assert samples(locked) == {"a": 240, "b": 60, "c": 100}
    assert [source.requested for source in locked.sources] == [0.6, 0.15, 0.25]
    assert next(source.field for source in locked.sources) == "groups.pictures.groups.x.sources[0]"
    groups["pictures"]["groups"]["x"]["temperature"] = 2
    assert samples(priced(groups=groups, total=400)) == {"a": 200, "b": 100, "c": 100}


def test_a_glob_shares_its_weight_by_size(three, priced):
    locked = priced(sources=[{"dataset": "[ab]", "weight": 1}, {"dataset": "c", "weight": 1}], total=160)
    assert samples(locked) == {"a": 64, "b": 16, "c": 80}
    assert samples(priced(sources=[{"dataset": "[ab]", "count": 40}])) == {"a": 32, "b": 8}
    assert samples(priced(sources=[{"dataset": "*", "epochs": 2}])) == {"a": 128, "b": 32, "c": 8}


def test_weights_can_be_shares_of_images_or_text(three, priced):
    sources = [{"dataset": "a", "weight": 1}, {"dataset": "b", "weight": 1}]
    locked = priced(sources=sources, unit="images", total=700)
    assert samples(locked) == {"a": 400, "b": 300}  # an image in 3 of 4 samples of a
    assert [source.realised["images"] for source in locked.sources] == pytest.approx([0.5, 0.5], abs=0.01)
    locked = priced(sources=[*sources, {"dataset": "c", "weight": 2}], unit="target_chars", total=5000)
    assert [source.realised["target_chars"] for source in locked.sources] == pytest.approx([0.25, 0.25, 0.5], abs=0.01)
    with pytest.raises(UsageError, match=r"sources\[2\]: unit is images, but 'c' has none"):
        priced(sources=[*sources, {"dataset": "c", "weight": 2}], unit="images", total=500)


def test_tokens_come_from_a_lengths_column(three, priced, add_column):
    for place, size, tokens in zip(three, (64, 16, 4), (10, 40, 40), strict=True):
        add_column(place, "lengths-k", tokens=[tokens] * size, views=[1] * size)
    sources = [{"dataset": "a", "weight": 1}, {"dataset": "b", "weight": 1}]
    locked = priced(sources=sources, unit="tokens", lengths="lengths-k", total=1000)
    assert samples(locked) == {"a": 800, "b": 200}
    assert [source.realised["tokens"] for source in locked.sources] == [0.5, 0.5]
    assert locked.amount("tokens") == 16_000


def test_fixed_sources_come_first_and_spread_over_the_phases(three, priced, mixed):
    fields = {
        "sources": [{"dataset": "a", "weight": 1}, {"dataset": "b", "weight": 1}, {"dataset": "c", "count": 40}],
        "total": 440,
        "schedule": [{"at": 220, "weights": {"a": 3}}],
    }
    mix, locked = mixed(**fields)
    assert samples(locked) == {"a": 100 + 150, "b": 100 + 50, "c": 40}
    source = mix.pointers()["dataset"].to_numpy()
    assert np.bincount(source[:220]).tolist() == [100, 100, 20]
    assert np.bincount(source[220:]).tolist() == [150, 50, 20]
    assert locked.sources[0].requested == 0.625


def test_a_schedule_can_begin_or_end_a_group(three, mixed):
    groups = {"p": {"weight": 1, "sources": [{"dataset": "a"}]}, "t": {"weight": 1, "sources": [{"dataset": "c"}]}}
    schedule = [{"at": 0, "weights": {"t": 0}}, {"at": 60, "weights": {"t": 1, "p": 0}}]
    mix, _ = mixed(groups=groups, total=100, schedule=schedule)
    assert mix.pointers()["dataset"].to_pylist() == [0] * 60 + [1] * 40


@pytest.mark.parametrize("order", ["none", "shuffled", "windowed"])
def test_more_positions_than_order_holds_are_refused_before_anything_is_written(three, mixed, tmp_path, order):
    with pytest.raises(UsageError, match=r"total: .* order/1 holds at most 3000000000"):
        mixed(sources=[{"dataset": "a", "count": 10**11}], order=order)
    assert not (tmp_path / "m").exists()
