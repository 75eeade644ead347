import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sphinx_data.ocr.order import by_rows, reading_order

COLUMNS = np.array([[0, 0, 100, 10], [0, 20, 45, 90], [55, 20, 100, 50], [55, 55, 100, 90], [0, 95, 100, 99]], float)


def test_order_of_the_stream_is_kept_where_it_can_be_true() -> None:
    assert reading_order(COLUMNS).tolist() == [0, 1, 2, 3, 4]
    assert reading_order(COLUMNS[[0, 2, 3, 1, 4]]).tolist() == [0, 1, 2, 3, 4]  # right column first: possible


def test_upside_down_streams_are_sorted_by_columns() -> None:
    shuffled = [4, 3, 2, 1, 0]
    assert [shuffled[place] for place in reading_order(COLUMNS[shuffled])] == [0, 1, 2, 3, 4]


boxes = st.lists(st.tuples(*[st.integers(0, 50)] * 4), max_size=30).map(
    lambda rows: np.array([(x, y, x + w + 1, y + h + 1) for x, y, w, h in rows], float).reshape(-1, 4)
)


@given(boxes)
def test_every_block_is_read_once(found: np.ndarray) -> None:
    assert sorted(reading_order(found).tolist()) == list(range(len(found)))
    assert sorted(by_rows(found).tolist()) == list(range(len(found)))
