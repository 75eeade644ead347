import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from sphinx_data import order
from sphinx_data.errors import UsageError

SEEDS = st.integers(0, 2**63)


@given(n=st.integers(1, 5000), seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_a_permutation_hits_every_number_once(n, seed):
    sent = order.permute(np.arange(n), n, order.key(seed))
    assert np.array_equal(np.sort(sent), np.arange(n))


@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=20), seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_permutations_of_many_sizes_at_once_equal_those_made_alone(sizes, seed):
    i = np.array([size - 1 for size in sizes])
    keys = order.key(seed, np.arange(len(sizes)))
    together = order.permute(i, np.array(sizes), keys)
    alone = [order.permute(i[k : k + 1], sizes[k], keys[k : k + 1])[0] for k in range(len(sizes))]
    assert together.tolist() == alone


def pareto_totals(sources: int, total: int, seed: int) -> np.ndarray:
    weights = np.random.default_rng(seed).pareto(1.0, sources) + 1e-3
    return order.largest_remainder(weights, total)


@given(sources=st.integers(1, 1000), total=st.integers(1, 200_000), block=st.sampled_from([16, 100, 4096]), seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_shares_are_exact_in_the_whole_and_within_one_sample_at_every_block_end(sources, total, block, seed):
    totals = pareto_totals(sources, total, seed % 2**32)
    table = order.quota_table(totals, block)
    ends = np.append(np.arange(block, total, block), total)
    assert np.array_equal(table[-1], totals)
    assert np.array_equal(table[1:].sum(axis=1), ends)
    assert (np.diff(table, axis=0) >= 0).all()
    exact = np.outer(ends, totals) / total
    assert np.abs(table[1:] - exact).max() < 1


@given(
    sources=st.integers(1, 40), total=st.integers(1, 3000), block=st.sampled_from([7, 64, 512]), seed=SEEDS,
    cut=st.floats(0, 1),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_chunking_gives_the_same_order_and_every_epoch_is_a_permutation(sources, total, block, seed, cut):
    totals = pareto_totals(sources, total, seed % 2**32)
    sizes = np.maximum(1, totals // np.random.default_rng(seed % 2**32).integers(1, 4, sources))
    made = order.Order(totals, sizes, seed, block)
    whole = made.rows(0, total)
    at = int(cut * total)
    for all_at_once, first, second in zip(whole, made.rows(0, at), made.rows(at, total), strict=True):
        assert np.array_equal(all_at_once, np.concatenate([first, second]))
    source, epoch, row = whole
    assert np.array_equal(np.bincount(source, minlength=sources), totals)
    for number in range(sources):
        mine = source == number
        for turn in range(totals[number] // sizes[number]):
            assert np.array_equal(np.sort(row[mine & (epoch == turn)]), np.arange(sizes[number]))


def test_places_are_uniform_and_epochs_are_not_correlated():
    made = order.Order(np.array([40_000, 20_000]), np.array([10_000, 20_000]), seed=3)
    source, epoch, row = made.rows(0, 60_000)
    windows = np.add.reduceat(source, np.arange(0, 60_000, 500))
    assert abs(windows.mean() - 500 / 3) < 2  # a third of every window comes from the second source
    assert windows.std() < 2 * np.sqrt(500 * 2 / 9)
    orders = [row[(source == 0) & (epoch == turn)] for turn in range(4)]
    for one, other in [(0, 1), (1, 2), (0, 3)]:
        assert abs(np.corrcoef(orders[one], orders[other])[0, 1]) < 0.04
        assert (orders[one] == orders[other]).sum() < 10


def test_small_permutations_are_all_reached_about_equally():
    counts: dict[tuple[int, ...], int] = {}
    for seed in range(2400):
        sent = tuple(order.permute(np.arange(4), 4, order.key(seed)).tolist())
        counts[sent] = counts.get(sent, 0) + 1
    assert len(counts) == 24
    chi_square = sum((count - 100) ** 2 / 100 for count in counts.values())
    assert chi_square < 49.7  # 0.1 % of chi-square with 23 degrees of freedom


def test_golden_order():
    """A change here breaks order/1: every lock and every run that has begun."""
    made = order.Order(np.array([7, 3, 10]), np.array([3, 3, 25]), seed=1, block=8)
    source, epoch, row = made.rows(0, 20)
    assert made.quotas.tolist() == GOLDEN["quotas"]
    assert source.tolist() == GOLDEN["source"]
    assert epoch.tolist() == GOLDEN["epoch"]
    assert row.tolist() == GOLDEN["row"]
    large = order.Order(np.array([900_000, 100_000]), np.array([1_000_000, 30_000]), seed=2**40)
    assert [column.tolist() for column in large.rows(765_432, 765_436)] == GOLDEN["large"]


GOLDEN = {
    "quotas": [[0, 0, 0], [3, 1, 4], [6, 2, 8], [7, 3, 10]],
    "source": [2, 0, 1, 2, 0, 0, 2, 2, 2, 0, 2, 2, 1, 0, 2, 0, 1, 2, 2, 0],
    "epoch": [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 2],
    "row": [13, 0, 2, 15, 1, 2, 8, 6, 18, 0, 11, 3, 0, 1, 10, 2, 1, 24, 17, 1],
    "large": [[0, 0, 0, 0], [0, 0, 0, 0], [984780, 845745, 536707, 92113]],
}


def test_a_total_beyond_64_bits_is_refused():
    with pytest.raises(UsageError, match="order/1 holds at most"):
        order.quota_table(np.array([2_000_000_000, 2_000_000_000]))


PHASES = st.lists(st.integers(0, 3000), min_size=1, max_size=4)


@given(
    sources=st.integers(5, 1000), phases=PHASES, block=st.sampled_from([64, 1024]), seed=SEEDS, cut=st.floats(0, 1),
    chunk=st.one_of(st.none(), st.integers(1, 50)),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_schedules_and_windows_keep_every_promise(sources, phases, block, seed, cut, chunk):
    """Shares exact in the whole and within one sample at block ends of every phase; epochs whole; any chunking."""
    rng = np.random.default_rng(seed % 2**32)
    totals = np.stack([pareto_totals(sources, length, int(rng.integers(2**32))) for length in phases])
    sizes = np.maximum(1, totals.sum(axis=0) // rng.integers(1, 4, sources))
    chunks = None if chunk is None else np.full(sources, chunk)
    made = order.Order(totals, sizes, seed, block, chunks)
    total = sum(phases)
    assert len(made) == total
    whole = made.rows(0, total)
    at = int(cut * total)
    for all_at_once, first, second in zip(whole, made.rows(0, at), made.rows(at, total), strict=True):
        assert np.array_equal(all_at_once, np.concatenate([first, second]))
    source, epoch, row = whole
    start = 0
    for phase in totals:
        here = source[start : start + phase.sum()]
        assert np.array_equal(np.bincount(here, minlength=sources), phase)
        for end in range(block, len(here), block):
            exact = phase * end / len(here)
            assert np.abs(np.bincount(here[:end], minlength=sources) - exact).max() < 1
        start += len(here)
    for number in np.flatnonzero(totals.sum(axis=0))[:20]:
        mine = source == number
        for turn in range(int(totals[:, number].sum() // sizes[number])):
            assert np.array_equal(np.sort(row[mine & (epoch == turn)]), np.arange(sizes[number]))


@given(ranks=st.integers(1, 9), batch=st.integers(3, 9), seed=SEEDS, chunk=st.sampled_from([None, 7]))
@settings(max_examples=10, deadline=None)
def test_any_number_of_ranks_sees_the_same_order(ranks, batch, seed, chunk):
    totals = np.array([[300, 100, 50], [100, 300, 50]])
    chunks = None if chunk is None else np.full(3, chunk)
    made = order.Order(totals, np.array([120, 90, 100]), seed, 64, chunks)
    whole = np.stack(made.rows(0, 900), axis=1)
    steps = range(0, 900, ranks * batch)
    ranges = [(s + r * batch, min(s + (r + 1) * batch, 900)) for s in steps for r in range(ranks)]
    seen = [np.stack(made.rows(start, stop), axis=1) for start, stop in ranges if start < stop]
    assert np.array_equal(np.concatenate(seen), whole)


@given(n=st.integers(1, 3000), chunk=st.integers(1, 100), seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_a_windowed_permutation_is_one_and_reads_few_chunks_at_a_time(n, chunk, seed):
    sent = order.windowed(np.arange(n), np.full(n, n), np.full(n, chunk), order.key(seed, np.zeros(n, dtype=int)))
    assert np.array_equal(np.sort(sent), np.arange(n))
    step = order.WINDOW_CHUNKS * chunk
    for start in range(0, n, step):
        assert len(np.unique(sent[start : start + step] // chunk)) <= 2 * order.WINDOW_CHUNKS  # two windows at most


def test_golden_windowed_order():
    """A change here breaks order/1 windowed, and with it locks and runs."""
    made = order.Order(np.array([[7, 3], [3, 12]]), np.array([5, 20]), 1, 8, np.array([2, 3]))
    assert [column.tolist() for column in made.rows(0, 25)] == GOLDEN_WINDOWED


GOLDEN_WINDOWED = [
    [1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0],
    [0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [2, 1, 2, 16, 4, 3, 1, 0, 0, 10, 3, 0, 15, 19, 9, 2, 13, 14, 17, 7, 18, 11, 6, 5, 4],
]
