"""The Parquet tables of a dataset directory: schemas, deterministic writing, checked reading."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from sphinx_data import storage
from sphinx_data.dataset import arrays
from sphinx_data.errors import InputError

HASH = pa.binary(16)

IMAGE = pa.struct(
    [
        ("offset", pa.uint64()),  # of the payload, absolute in the shard
        ("size", pa.uint64()),
        ("width", pa.uint32()),
        ("height", pa.uint32()),
        ("format", pa.string()),
        ("xxh3", HASH),  # xxh3-128 of the encoded bytes
    ]
)

INDEX = pa.schema(
    [
        ("id", pa.string()),
        ("shard", pa.uint16()),  # number of the shard within the part
        ("offset", pa.uint64()),  # of the JSON member's header
        ("size", pa.uint64()),  # of the whole sample: one read gives all its members
        ("json_size", pa.uint32()),
        ("images", pa.list_(IMAGE)),
        ("content", HASH),  # xxh3-128 of the JSON bytes and the image hashes
        ("source", pa.string()),
        ("domain", pa.string()),
        ("task", pa.string()),
        ("language", pa.string()),
        ("split", pa.string()),
        ("license", pa.string()),
        ("commercial", pa.bool_()),  # null: unknown
        ("redistribute", pa.bool_()),
        ("num_images", pa.uint16()),
        ("num_turns", pa.uint32()),  # assistant messages
        ("num_regions", pa.uint32()),
        ("num_chars", pa.uint32()),  # of text parts
        ("num_target_chars", pa.uint32()),  # of text parts that are supervised
    ]
)

REJECTS = pa.schema([(name, pa.string()) for name in ("input", "record", "id", "level", "rule", "detail")])

ROWS = pa.schema([("dataset", pa.uint16()), ("row", pa.uint32()), ("epoch", pa.uint32())])


def digest(data: bytes | memoryview) -> str:
    """xxh3-128 as 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(data)


def write(place: str, table: pa.Table, metadata: Mapping[str, str] | None = None) -> str:
    """Write a table atomically; equal tables give equal bytes. Returns the digest of the file.

    Pages carry checksums, so that a flipped bit is found when the table is read.
    """
    if metadata:
        table = table.replace_schema_metadata({**metadata})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True, store_schema=True)
    data = sink.getvalue().to_pybytes()
    storage.write_atomic(place, data)
    return digest(data)


def read(place: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table. Raises InputError when it is missing or damaged, or has not these columns."""
    try:
        # not `read_table`, which imports pyarrow.dataset and with it pandas
        with pq.ParquetFile(str(storage.local(place)), memory_map=True, page_checksum_verification=True) as file:
            if columns is None:
                return file.read()
            return file.read(columns=list(columns)).select(columns)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise InputError(f"{place}: cannot be read as a table ({str(error).splitlines()[0]})") from None


def metadata(place: str) -> dict[str, str]:
    """The strings stored with a table. Raises InputError when it is missing or damaged."""
    try:
        stored: dict[bytes, bytes] = pq.read_schema(str(storage.local(place))).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{place}: cannot be read as a table ({str(error).splitlines()[0]})") from None
    return {key.decode(): value.decode() for key, value in stored.items()}


def from_rows(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """A table from dictionaries; a key of the schema that one lacks is null."""
    columns = [arrays.array([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)
