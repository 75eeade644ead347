"""How long every sample is for one tokenizer, template, dialect and layout; computed once, kept as a column.

The column is named ``lengths-KEY``; KEY is a hash of those four, so another model finds its own lengths or none.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from sphinx_data.dataset import columns
from sphinx_data.dataset.reader import Dataset
from sphinx_data.dialects import Dialect, check_forms
from sphinx_data.errors import InputError, InvalidSample
from sphinx_data.sample import RegionPart
from sphinx_model.rendering import encode

SCHEMA = pa.schema(
    [("tokens", pa.uint32()), ("views", pa.uint16()), ("supervised", pa.uint32()), ("turns", pa.uint32())]
)
_VERSION = 1  # of the encoding: raised when equal samples get other lengths


def key(processor: Any, dialect: Dialect) -> str:
    """Sixteen hexadecimal digits for everything that lengths depend on."""
    rule = processor.rule
    facts = {
        "version": _VERSION,
        "tokenizer": xxhash.xxh3_128_hexdigest(processor.tokenizer.backend_tokenizer.to_str().encode()),
        "special": {name: str(token) for name, token in processor.tokenizer.special_tokens_map.items()},
        "template": processor.chat_template,
        "image_position": processor.image_position,
        "dialect": dialect.name,
        "layout": [rule.view_size, rule.grid, rule.canvas, rule.skip_token, rule.view_tokens],
    }
    return xxhash.xxh3_64_hexdigest(json.dumps(facts, sort_keys=True).encode())


def measure(dataset: Dataset, processor: Any, dialect: Dialect, place: str | None = None) -> pa.Table:
    """Lengths of every row of a dataset: tokens, views, supervised tokens, turns; taken from the column if it is there.

    Args:
        dataset: what to measure.
        processor: tokenizer, template and layout.
        dialect: how regions are written.
        place: the folder of columns, ``DIR/columns`` by default.

    A sample that cannot be encoded gets zero tokens; planning leaves it out and counts it.
    Raises UsageError when the dialect cannot write a form that the dataset has, InputError for unreadable shards.
    """
    name = f"lengths-{key(processor, dialect)}"
    try:
        return columns.read(dataset, name, place)
    except InputError:  # a cache that is missing, damaged or of an older mix in this folder is made anew
        print(f"{dataset.name}: measuring {len(dataset):,} samples", file=sys.stderr)
    rows, inverse = _unique_rows(dataset)
    measured = np.array(list(_measure(dataset, rows, processor, dialect)), dtype=np.int64).reshape(-1, len(SCHEMA))
    table = pa.table([pa.array(column, kind) for column, kind in zip(measured[inverse].T, SCHEMA.types, strict=True)],
                     schema=SCHEMA)  # fmt: skip
    try:
        columns.write(dataset, name, table, {"dialect": dialect.name}, place)
    except OSError as error:
        print(f"{dataset.name}: lengths cannot be kept ({error}) and are measured at every start", file=sys.stderr)
    return table


def _unique_rows(dataset: Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of distinct samples, and for every position which of them it is: repeats are measured once."""
    if not dataset.description.virtual:
        everything = np.arange(len(dataset))
        return everything, everything
    pointers = dataset.pointers()
    places = pointers["dataset"].to_numpy().astype(np.int64) << 32 | pointers["row"].to_numpy().astype(np.int64)
    _, first, inverse = np.unique(places, return_index=True, return_inverse=True)
    return first, inverse


def _measure(
    dataset: Dataset, rows: NDArray[np.int64], processor: Any, dialect: Dialect
) -> Iterator[tuple[int, int, int, int]]:
    for row in rows.tolist():
        try:
            sample = dataset.sample(row)
        except InvalidSample as error:
            raise InputError(f"{dataset.directory}: row {row}: {error}") from None
        check_forms(
            dialect.name,
            {part.form for m in sample.messages for part in m.content if isinstance(part, RegionPart)},
        )
        try:
            encoded, layouts = encode(sample, processor, dialect)
        except ValueError:
            yield 0, 0, 0, len(sample.messages)
            continue
        views = sum(len(layouts[number].views) for number in encoded.images)
        supervised = sum(label >= 0 for label in encoded.labels)
        yield len(encoded.input_ids), views, supervised, len(sample.messages)
