"""Side tables, row-aligned with the index: verdicts, ratings, lengths (docs/contracts.md, section 1.4)."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pyarrow as pa

from sphinx_data import storage
from sphinx_data.dataset import tables
from sphinx_data.dataset.description import Stored
from sphinx_data.dataset.reader import Dataset
from sphinx_data.errors import InputError
from sphinx_data.sample import Struct


class ColumnInfo(Struct, frozen=True, kw_only=True):
    """The content of ``columns/NAME.json``."""

    name: str
    fingerprint: str  # of the dataset that the rows belong to
    parameters: dict[str, Any]
    parts: tuple[Stored, ...]


def write(
    dataset: Dataset, name: str, table: pa.Table, parameters: Mapping[str, Any], place: str | None = None
) -> None:
    """Store a column of a dataset; its description comes last, so that a column is whole or absent.

    Args:
        dataset: the dataset the rows belong to.
        name: the column's name.
        table: one row a sample, in the dataset's order. Raises ValueError when the number of rows differs.
        parameters: how it was made.
        place: the folder of columns, ``DIR/columns`` by default.
    """
    if len(table) != len(dataset):
        raise ValueError(f"column {name!r} has {len(table)} rows, {dataset.name} has {len(dataset)}")
    folder = place or storage.join(dataset.directory, "columns")
    start = 0
    stored = []
    for part in dataset.description.parts:
        file = f"{name}/{part.part:06d}.parquet"
        digest = tables.write(storage.join(folder, file), table.slice(start, part.rows).combine_chunks())
        stored.append(Stored(name=file, size=storage.size(storage.join(folder, file)), xxh3=digest))
        start += part.rows
    info = ColumnInfo(name=name, fingerprint=dataset.fingerprint, parameters=dict(parameters), parts=tuple(stored))
    data = msgspec.json.Encoder(order="deterministic").encode(info)
    storage.write_atomic(storage.join(folder, f"{name}.json"), msgspec.json.format(data, indent=1) + b"\n")


def read(dataset: Dataset, name: str, place: str | None = None) -> pa.Table:
    """A column of a dataset, one row a sample. Raises InputError when it is missing or made for other data."""
    folder = place or storage.join(dataset.directory, "columns")
    info = _info(folder, name)
    if info.fingerprint != dataset.fingerprint:
        raise InputError(
            f"{folder}/{name}.json: was made for a dataset with fingerprint {info.fingerprint}, "
            f"{dataset.directory} has {dataset.fingerprint}; make the column again"
        )
    return pa.concat_tables([tables.read(storage.join(folder, part.name)) for part in info.parts])


def names(dataset: Dataset) -> list[str]:
    """The columns that lie beside a dataset."""
    folder = storage.join(dataset.directory, "columns")
    if not storage.exists(folder):
        return []
    files = (file for file, _ in storage.list_files(folder))
    return [file.removesuffix(".json") for file in files if file.endswith(".json") and "/" not in file]


def check(dataset: Dataset, name: str) -> Iterator[tuple[str, str]]:
    """What is wrong with a column, as (file, sentence)."""
    folder = storage.join(dataset.directory, "columns")
    try:
        info = _info(folder, name)
    except InputError as error:
        yield f"columns/{name}.json", str(error)
        return
    if info.fingerprint != dataset.fingerprint:
        yield f"columns/{name}.json", "was made for a dataset with another fingerprint"
    rows = 0
    for part in info.parts:
        try:
            data = storage.read_bytes(storage.join(folder, part.name))
            if tables.digest(data) != part.xxh3:
                yield f"columns/{part.name}", f"its hash is not the one in {name}.json"
            rows += len(tables.read(storage.join(folder, part.name)))
        except InputError as error:
            yield f"columns/{part.name}", str(error)
    if rows != len(dataset):
        yield f"columns/{name}.json", f"has {rows} rows, the dataset {len(dataset)}"


def _info(folder: str, name: str) -> ColumnInfo:
    place = storage.join(folder, f"{name}.json")
    try:
        return msgspec.json.decode(storage.read_bytes(place), type=ColumnInfo)
    except msgspec.MsgspecError as error:
        raise InputError(f"{place}: damaged ({error})") from None
