"""What a column holds, in a few numbers: enough to choose a threshold."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sphinx_data.dataset import columns
from sphinx_data.dataset.reader import Dataset

_SHARES = {"min": 0.0, "10%": 0.1, "median": 0.5, "90%": 0.9, "max": 1.0}
_COMMON = 5


def describe(dataset: Dataset, info: columns.ColumnInfo, place: str | None = None) -> dict[str, Any]:
    """Rows, failures, and of every field its nulls and its quantiles or most common values."""
    fields = {}
    for name in _names(dataset, info, place):
        chunks = [table[name] for table in columns.parts(dataset, info.name, place, [name])]
        fields[name] = _field(pa.chunked_array([chunk for column in chunks for chunk in column.chunks], chunks[0].type))
    return {"column": info.name, "rows": len(dataset), "failed": info.failed, "fields": fields}


def _names(dataset: Dataset, info: columns.ColumnInfo, place: str | None) -> list[str]:
    first = next(columns.parts(dataset, info.name, place), None)
    return [] if first is None else list(first.column_names)


def _field(values: pa.ChunkedArray) -> dict[str, Any]:
    found: dict[str, Any] = {"null": values.null_count}
    values = values.drop_null()
    if not len(values):
        return found
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        numbers = np.quantile(values.to_numpy(), list(_SHARES.values()), method="nearest")
        return found | dict(zip(_SHARES, numbers.tolist(), strict=True))
    counts = pc.value_counts(values.combine_chunks()).to_pylist()
    counts.sort(key=lambda item: (-item["counts"], str(item["values"])))
    return found | {"common": {str(item["values"]): item["counts"] for item in counts[:_COMMON]}}


def text(description: dict[str, Any]) -> str:
    """The description as lines."""
    failed = ", ".join(f"{count:,} {kind}" for kind, count in description["failed"].items()) or "no failures"
    lines = [f"{description['column']}: {description['rows']:,} rows, {failed}"]
    for name, values in description["fields"].items():
        if "common" in values:
            facts = ", ".join(f"{value} {count:,}" for value, count in values["common"].items())
        else:
            facts = "  ".join(f"{key} {values[key]:<9.6g}" for key in _SHARES if key in values)
        nulls = f"  null {values['null']:,}" if values["null"] else ""
        lines.append(f"  {name:<14} {facts.rstrip()}{nulls}")
    if asked := description.get("answers"):
        lines.append(
            f"  {asked['asked']:,} requests, {asked['prompt_tokens']:,} tokens read and {asked['completion_tokens']:,} "
            f"written, {asked['recorded']:,} answers from the record"
        )
    return "\n".join(lines)
