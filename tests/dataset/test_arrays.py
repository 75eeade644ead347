"""Arrow arrays made by hand are what pyarrow makes of the same values, and nothing imports pandas for them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sphinx_data.dataset import arrays, tables
from sphinx_data.errors import InputError

_IMAGE = pa.struct([("size", pa.uint64()), ("format", pa.string()), ("hash", pa.binary(4))])
_IMAGES = st.fixed_dictionaries(
    {"size": st.integers(0, 2**64 - 1), "format": st.none() | st.text(), "hash": st.binary(min_size=4, max_size=4)}
)
KINDS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.string(), st.text()),
    (pa.bool_(), st.booleans()),
    (pa.uint16(), st.integers(0, 2**16 - 1)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.binary(16), st.binary(min_size=16, max_size=16)),
    (pa.list_(pa.string()), st.lists(st.none() | st.text())),
    (pa.list_(_IMAGE), st.lists(st.none() | _IMAGES)),
    (_IMAGE, _IMAGES),
]


@given(st.sampled_from(KINDS).flatmap(lambda pair: st.tuples(st.just(pair[0]), st.lists(st.none() | pair[1]))))
def test_arrays_are_those_of_pyarrow(made: tuple[pa.DataType, list[Any]]) -> None:
    kind, values = made
    found = arrays.array(values, kind)
    found.validate(full=True)
    assert found.equals(pa.array(values, kind))


@pytest.mark.parametrize(
    ("values", "kind"),
    [([70_000], pa.uint16()), ([-1], pa.uint32()), ([b"abc"], pa.binary(4)), (["\ud800"], pa.string())],
)
def test_what_does_not_fit_is_refused(values: list[Any], kind: pa.DataType) -> None:
    with pytest.raises((ValueError, OverflowError)):
        arrays.array(values, kind)


def test_tables_are_written_and_read_without_pandas(tmp_path: Path) -> None:
    code = (
        "import sys; from sphinx_data.dataset import tables;"
        "row = dict.fromkeys(tables.REJECTS.names, 'x') | {'id': None};"
        "tables.write(sys.argv[1], tables.from_rows([row], tables.REJECTS));"
        "assert tables.read(sys.argv[1], ['rule', 'id']).to_pylist() == [{'rule': 'x', 'id': None}];"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "t.parquet")], check=True)


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    place = str(tmp_path / "t.parquet")
    tables.write(place, tables.from_rows([], tables.REJECTS))
    with pytest.raises(InputError, match="weight"):
        tables.read(place, ["rule", "weight"])
