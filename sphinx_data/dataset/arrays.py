"""Arrow arrays from Python values. `pyarrow.array` imports pandas for its first list, where it is installed: 0.2 s."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """An array of a type that tables hold: numbers, truths, texts, bytes of one width, lists and structs; None is null.

    Raises what the values raise that do not fit: TypeError, ValueError, OverflowError, KeyError, UnicodeEncodeError.
    """
    count = len(values)
    known = np.fromiter((value is not None for value in values), np.bool_, count)
    is_whole = bool(known.all())
    mask = None if is_whole else pa.py_buffer(np.packbits(known, bitorder="little"))
    if pa.types.is_string(kind):
        encoded = [value.encode() if value is not None else b"" for value in values]
        return pa.Array.from_buffers(kind, count, [mask, _offsets(encoded), pa.py_buffer(b"".join(encoded))])
    if pa.types.is_fixed_size_binary(kind):
        width = kind.byte_width
        if any(len(value) != width for value in values if value is not None):
            raise ValueError(f"a value has not {width} bytes")
        whole = b"".join([value if value is not None else bytes(width) for value in values])
        return pa.Array.from_buffers(kind, count, [mask, pa.py_buffer(whole)])
    if pa.types.is_list(kind):
        lists = [value if value is not None else () for value in values]
        children = array([item for items in lists for item in items], kind.value_type)
        return pa.Array.from_buffers(kind, count, [mask, _offsets(lists)], children=[children])
    if pa.types.is_struct(kind):
        rows = [value if value is not None else {} for value in values]
        fields = [array([row[field.name] if row else None for row in rows], field.type) for field in kind.fields]
        return pa.Array.from_buffers(kind, count, [mask], children=fields)
    numbers = np.array(values if is_whole else [value or 0 for value in values], kind.to_pandas_dtype())
    packed = np.packbits(numbers, bitorder="little") if pa.types.is_boolean(kind) else numbers
    return pa.Array.from_buffers(kind, count, [mask, pa.py_buffer(packed)])


def _offsets(items: Sequence[Any]) -> pa.Buffer:
    """Where each of some items ends, with 0 in front. Raises ValueError where they are too long for one array."""
    ends: NDArray[np.int64] = np.cumsum(np.fromiter(map(len, items), np.int64, len(items)))
    if len(ends) and ends[-1] >= 2**31:
        raise ValueError(f"{ends[-1]} bytes or items are too many for one column of a part")
    return pa.py_buffer(np.concatenate([[0], ends]).astype(np.int32))
