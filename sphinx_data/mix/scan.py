"""What mixing needs to know of every row of a dataset, read part by part so that memory stays flat."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sphinx_data import storage
from sphinx_data.dataset import layout
from sphinx_data.dataset.description import COUNTED, hash_array
from sphinx_data.dataset.reader import Dataset
from sphinx_data.errors import InputError

KINDS = (*COUNTED, "commercial", "redistribute")
NUMBERS = {"images": "num_images", "chars": "num_chars", "target_chars": "num_target_chars", "bytes": "size"}

Kind = tuple[str | bool | None, ...]


class Facts(NamedTuple):
    """Of every row of a dataset, N in all: 16 bytes of hash and about 20 of numbers."""

    content: NDArray[np.uint8]  # [N, 16]
    numbers: dict[str, NDArray[np.uint32]]  # images, chars, target_chars, bytes and, where lengths are known, tokens
    kind: NDArray[np.uint32]  # [N], which of `kinds` a row is
    kinds: list[Kind]  # values of KINDS


def chunks(dataset: Dataset, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The index part by part; that of a mix as a whole. Nested fields are dotted: ``images.list.element.xxh3``."""
    if dataset.description.virtual:
        pointers = dataset.pointers()
        starts = np.cumsum([0] + [len(source) for source in dataset.sources])
        rows = starts[pointers["dataset"].to_numpy()] + pointers["row"].to_numpy()
        yield pa.concat_tables([table for source in dataset.sources for table in chunks(source, columns)]).take(rows)
        return
    for part in dataset.description.parts:
        yield _read(storage.join(dataset.directory, layout.index(part.part)), columns)


def _read(place: str, columns: Sequence[str]) -> pa.Table:
    """Like `tables.read`, and nested fields can be read alone: hashes of images without their places."""
    try:
        with pq.ParquetFile(str(storage.local(place)), memory_map=True, page_checksum_verification=True) as file:
            return file.read(columns=list(columns))
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{place}: cannot be read as a table ({str(error).splitlines()[0]})") from None


def facts(dataset: Dataset, tokens: NDArray[np.uint32] | None) -> Facts:
    """Scan a dataset. Raises InputError when its tables are missing or damaged, or their rows are too few."""
    size, start = len(dataset), 0
    content = np.empty((size, 16), dtype=np.uint8)
    numbers = {name: np.empty(size, dtype=np.uint32) for name in NUMBERS}
    kind = np.empty(size, dtype=np.uint32)
    known: dict[Kind, int] = {}
    for table in chunks(dataset, ["content", *NUMBERS.values(), *KINDS]):
        here = slice(start, start + len(table))
        content[here] = hash_array(table["content"])
        for name, column in NUMBERS.items():
            # 4 GiB - 1 stands for any larger sample: only sums of bytes are made of it
            numbers[name][here] = np.minimum(table[column].to_numpy(), np.uint64(2**32 - 1))
        kind[here] = _kinds(table, known)
        start += len(table)
    if start != size:
        raise InputError(f"{dataset.directory}: its index has {start} rows, {layout.DESCRIPTION} says {size}")
    if tokens is not None:
        numbers["tokens"] = tokens
    return Facts(content, numbers, kind, list(known))


def _kinds(table: pa.Table, known: dict[Kind, int]) -> NDArray[np.uint32]:
    """Number of every row's kind; kinds that are new join `known`."""
    code = np.zeros(len(table), dtype=np.int64)
    values = []
    for name in KINDS:
        encoded = pc.dictionary_encode(table[name].combine_chunks(), null_encoding="encode")
        values.append(encoded.dictionary.to_pylist())
        code = code * max(len(values[-1]), 1) + encoded.indices.to_numpy(zero_copy_only=False)
    distinct, numbers = np.unique(code, return_inverse=True)
    places = np.unravel_index(distinct, [max(len(column), 1) for column in values])
    kinds = [tuple(v[n] for v, n in zip(values, at, strict=True)) for at in zip(*places, strict=True)]
    ids = np.array([known.setdefault(kind, len(known)) for kind in kinds], dtype=np.uint32)
    return ids[numbers] if len(ids) else np.empty(0, np.uint32)
