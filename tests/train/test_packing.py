"""Plans: pure functions of lengths and budgets that lose nothing and leave little room."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sphinx_data import open_dataset
from sphinx_data.errors import UsageError
from sphinx_model import lengths, packing

TOKENS, VIEWS = 64, 9


def table(rows):
    return pa.table([list(column) for column in zip(*rows, strict=True)], names=lengths.SCHEMA.names).cast(
        lengths.SCHEMA
    )


def natural(count, seed=0):
    """Lengths as they come: short and long answers, text alone, pictures of one to ten views of 259 tokens."""
    rng = np.random.default_rng(seed)
    text = np.clip(rng.lognormal(5.0, 1.0, count), 20, 4000).astype(int)
    views = rng.choice([0, 1, 3, 5, 10], count, p=[0.3, 0.1, 0.3, 0.25, 0.05])
    return table([(int(t + 259 * v), int(v), int(t // 2 + 1), 1) for t, v in zip(text, views, strict=True)])


@pytest.fixture
def dataset(make_dataset):
    return open_dataset(make_dataset("a", 2, 1))


@pytest.mark.parametrize("method", ["spread", "best_fit", "assign"])
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 80), st.integers(0, 11), st.integers(0, 3), st.just(1)), min_size=1, max_size=200
    )
)
def test_every_sample_is_in_one_pack_or_left_out_by_a_rule(method, rows):
    measured = table(rows)
    codes = packing.refusals(measured, TOKENS, VIEWS)
    kept = np.flatnonzero(codes == 0)
    tokens, views = (np.array([row[i] for row in rows])[kept] for i in (0, 1))
    packs = getattr(packing, method)(tokens, views, TOKENS, VIEWS)
    assert len(packs) == len(kept)
    assert sorted(set(packs.tolist())) == list(range(packs.max(initial=-1) + 1))
    assert np.bincount(packs, tokens).max(initial=0) <= TOKENS
    assert np.bincount(packs, views).max(initial=0) <= VIEWS
    for row, code in zip(rows, codes, strict=True):
        assert (code == 0) == (0 < row[0] <= TOKENS and row[1] <= VIEWS and row[2] > 0)


@pytest.mark.parametrize("budget", [(8192, 40), (8192, 64), (4096, 64)])
def test_packs_are_nearly_as_full_as_any_packing_could_be(dataset, tmp_path, budget):
    plan = packing.plan(dataset, natural(20_000), *budget, str(tmp_path))
    assert plan.fill / plan.bound >= 0.99


def test_a_plan_holds_every_row_once_in_the_order_of_the_mix(dataset, tmp_path):
    measured = natural(20_000)
    plan = packing.plan(dataset, measured, 2048, 8, str(tmp_path))
    packs = [[entry.row for entry in plan.pack(number)] for number in range(len(plan))]
    rows = [row for pack in packs for row in pack]
    assert all(pack == sorted(pack) and pack for pack in packs)
    assert len(rows) + sum(plan.dropped.values()) == len(measured)
    assert len(set(rows)) == len(rows)
    window = np.array([pack[0] // packing.WINDOW for pack in packs])
    assert (np.diff(window) >= 0).all()
    assert all(pack[-1] // packing.WINDOW == pack[0] // packing.WINDOW for pack in packs)


def test_long_and_short_samples_do_not_train_apart(dataset, tmp_path):
    measured = natural(8192)
    plan = packing.plan(dataset, measured, 8192, 40, str(tmp_path))
    longest = np.array(
        [measured["tokens"].to_numpy()[[e.row for e in plan.pack(number)]].max() for number in range(len(plan))]
    )
    early, late = np.array_split(longest, 2)
    assert abs(early.mean() / late.mean() - 1) < 0.2


def test_every_pack_gets_its_share_of_long_samples():
    tokens = np.array([400] * 100 + [60] * 2000)
    packs = packing.assign(tokens, np.zeros_like(tokens), 1024, 10)
    long = np.bincount(packs[:100], minlength=packs.max() + 1)
    assert long.max() == 1
    assert packs.max() + 1 <= 1.02 * tokens.sum() / 1024


def test_a_plan_is_a_pure_function_of_what_it_is_made_from(dataset, make_dataset, tmp_path):
    measured = natural(3000)
    plan = packing.plan(dataset, measured, 4096, 40, str(tmp_path / "plans-a"))
    again = packing.plan(dataset, measured, 4096, 40, str(tmp_path / "plans-b"))
    assert plan.fingerprint == again.fingerprint
    files = {path.name: path.read_bytes() for path in (tmp_path / "plans-a").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "plans-b").iterdir()}
    assert files.keys() == {f"{plan.fingerprint}.parquet", f"{plan.fingerprint}-dropped.parquet"}
    other = open_dataset(make_dataset("b", 2, 1))
    changed = [(dataset, natural(3000, seed=1), 4096, 40), (dataset, measured, 4095, 40), (dataset, measured, 4096, 39),
               (other, measured, 4096, 40)]  # fmt: skip
    found = {packing.plan(*arguments, str(tmp_path / "plans-c")).fingerprint for arguments in changed}
    found.add(packing.plan(dataset, measured, 4096, 40, str(tmp_path / "plans-c"), seed=1).fingerprint)
    assert len(found | {plan.fingerprint}) == 6


def test_every_epoch_is_a_permutation_of_the_packs():
    epochs = [[packing.pack_at(epoch * 37 + place, 37, seed=5) for place in range(37)] for epoch in range(4)]
    assert epochs[0] == list(range(37))
    assert all(sorted(epoch) == list(range(37)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_packs_too_small_for_anything_are_refused_with_the_reasons(dataset, tmp_path):
    with pytest.raises(UsageError, match=r"none of the 3 samples .* \(2 too-many-tokens, 1 too-many-views\)"):
        packing.plan(dataset, table([(90, 1, 1, 1), (70, 1, 1, 1), (60, 20, 1, 1)]), TOKENS, VIEWS, str(tmp_path))
