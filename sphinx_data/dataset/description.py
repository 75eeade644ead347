"""``dataset.json``: what a complete dataset says of itself."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from sphinx_data import storage
from sphinx_data.dataset import layout, tables
from sphinx_data.errors import InputError
from sphinx_data.sample import SCHEMA_VERSION, Struct

COUNTED = ("domain", "task", "source", "license", "language", "split")


class Stored(Struct, frozen=True, kw_only=True):
    """A file of the dataset with its identity."""

    name: str  # relative to the dataset directory
    size: int  # bytes
    xxh3: str  # xxh3-128 of the file, hexadecimal


class PartInfo(Struct, frozen=True, kw_only=True):
    """One part: its number, how many samples and rejects it holds, its tables."""

    part: int
    rows: int
    rejects: int = 0
    tables: tuple[Stored, ...] = ()


class SourceDataset(Struct, frozen=True, kw_only=True):
    """A dataset that a virtual one points into."""

    name: str
    fingerprint: str
    path: str  # relative to the virtual dataset's directory; --root overrides it
    rows: int


class Description(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The content of ``dataset.json``; free of absolute paths and times, so that equal builds give equal bytes."""

    format: str = layout.FORMAT
    name: str
    fingerprint: str
    builder: str
    parameters: dict[str, Any]
    samples: int
    images: int
    rejects: int
    counts: dict[str, dict[str, int]]  # by domain, task, source, license, language, split
    rejects_by_rule: dict[str, int] = {}
    parts: tuple[PartInfo, ...]
    shards: tuple[Stored, ...] = ()
    datasets: tuple[SourceDataset, ...] = ()  # only of a virtual dataset

    @property
    def virtual(self) -> bool:
        """Whether rows point into other datasets instead of into shards of its own."""
        return bool(self.datasets)


_ENCODER = msgspec.json.Encoder(order="deterministic")


def load(directory: str) -> Description:
    """Read ``dataset.json``. Raises InputError when the dataset is missing, incomplete or of another format."""
    place = storage.join(directory, layout.DESCRIPTION)
    if not storage.exists(place):
        if storage.exists(storage.join(directory, layout.PLAN)):
            raise InputError(
                f"{directory}: the dataset is not complete; run the command that builds it again to finish it"
            )
        raise InputError(f"{directory}: is not a dataset directory ({layout.DESCRIPTION} is missing)")
    try:
        found = msgspec.json.decode(storage.read_bytes(place), type=dict[str, Any])
        if found.get("format") != layout.FORMAT:
            raise InputError(f"{place}: format is {found.get('format')!r}, this version reads {layout.FORMAT!r}")
        return msgspec.convert(found, Description)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InputError(f"{place}: damaged ({error})") from None


def store(directory: str, description: Description) -> None:
    """Write ``dataset.json``: from now on the dataset is complete."""
    data = msgspec.json.format(_ENCODER.encode(description), indent=1)
    storage.write_atomic(storage.join(directory, layout.DESCRIPTION), data + b"\n")


def fingerprint(contents: Iterable[NDArray[np.uint8]]) -> str:
    """Identity of ordered samples: xxh3-128 over the schema version and their `content` values, uint8[N, 16]."""
    state = xxhash.xxh3_128(SCHEMA_VERSION.encode())
    for values in contents:
        state.update(np.ascontiguousarray(values).data)
    return state.hexdigest()


def hash_array(column: pa.ChunkedArray | pa.Array) -> NDArray[np.uint8]:
    """A column of 16-byte hashes as uint8[N, 16]."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    arrays = [
        np.frombuffer(chunk.buffers()[1] or b"", dtype=np.uint8)[chunk.offset * 16 : (chunk.offset + len(chunk)) * 16]
        for chunk in chunks
    ]
    return np.concatenate([np.empty(0, np.uint8), *arrays]).reshape(-1, 16)


def count_values(table: pa.Table, totals: dict[str, dict[str, int]]) -> None:
    """Add a table's counts of the columns in `COUNTED`; a null counts as ``unknown``."""
    for name in COUNTED:
        for item in pc.value_counts(table[name]).to_pylist():
            value = item["values"] or "unknown"
            totals.setdefault(name, {})[value] = totals.get(name, {}).get(value, 0) + item["counts"]


def complete(directory: str, *, name: str, builder: str, parameters: Mapping[str, Any], parts: int) -> Description:
    """Describe a dataset whose `parts` parts are all committed, and write ``dataset.json``."""
    description = describe(directory, name=name, builder=builder, parameters=parameters, parts=parts)
    store(directory, description)
    return description


def describe(directory: str, *, name: str, builder: str, parameters: Mapping[str, Any], parts: int) -> Description:
    """What the tables of `parts` committed parts say of their dataset."""
    counts: dict[str, dict[str, int]] = {}
    rules: dict[str, int] = {}
    infos: list[PartInfo] = []
    shards: list[Stored] = []
    contents: list[NDArray[np.uint8]] = []
    images = 0
    for part in range(parts):
        names = [layout.index(part), layout.rejects(part)]
        files = [storage.read_bytes(storage.join(directory, file)) for file in names]
        index_place, rejects_place = (storage.join(directory, file) for file in names)
        table = tables.read(index_place, columns=["content", "num_images", *COUNTED])
        dropped = tables.read(rejects_place, columns=["rule"])["rule"]
        for item in pc.value_counts(dropped).to_pylist():
            rules[item["values"]] = rules.get(item["values"], 0) + item["counts"]
        stored = tuple(
            Stored(name=file, size=len(data), xxh3=tables.digest(data)) for file, data in zip(names, files, strict=True)
        )
        infos.append(PartInfo(part=part, rows=len(table), rejects=len(dropped), tables=stored))
        shards += msgspec.json.decode(tables.metadata(index_place)["shards"], type=list[Stored])
        contents.append(hash_array(table["content"]))
        images += pc.sum(table["num_images"]).as_py() or 0
        count_values(table, counts)
    return Description(
        name=name, fingerprint=fingerprint(contents), builder=builder, parameters=dict(parameters),
        samples=sum(info.rows for info in infos), images=images, rejects=sum(rules.values()), counts=counts,
        rejects_by_rule=rules, parts=tuple(infos), shards=tuple(shards),
    )  # fmt: skip
