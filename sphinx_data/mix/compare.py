"""What differs between two datasets, mixes or locks, and by how much."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sphinx_data import storage
from sphinx_data.dataset import description
from sphinx_data.dataset.description import Description, hash_array
from sphinx_data.dataset.reader import open_dataset
from sphinx_data.errors import InputError
from sphinx_data.mix import lock as locks
from sphinx_data.mix import scan
from sphinx_data.mix.lock import Lock, LockedSource

SHOWN = 5  # ids named of those that only one side has

_FIELDS = ("rows", "dropped", "selected", "selection", "repeats", "samples", "epochs", "most_seen", "requested")


class Side(NamedTuple):
    """What lies at a place."""

    place: str
    lock: Lock | None  # of a mix or a lock file
    described: Description | None  # of a mix or a dataset


def side(place: str) -> Side:
    """Read one side. Raises InputError when it is neither dataset, mix nor lock."""
    if not storage.exists(place):
        raise InputError(f"{place}: is not there; name a dataset, a mix or a lock file")
    if os.path.isfile(storage.local(place)):
        return Side(place, locks.load(place), None)
    beside = storage.join(place, locks.FILE)
    return Side(place, locks.load(beside) if storage.exists(beside) else None, description.load(place))


def compare(one: Side, other: Side, roots: Mapping[str, str]) -> dict[str, Any]:
    """All differences; a key is there only when something differs, except ``same``.

    Keys: ``recipe`` and ``sources`` when both sides have a lock, ``counts`` and ``samples`` when both are datasets.
    A pair is ``[value of one, value of other]``.
    """
    found: dict[str, Any] = {}
    identities = [_fingerprint(each) for each in (one, other)]
    if identities[0] != identities[1]:
        found["fingerprint"] = identities
    if one.lock and other.lock:
        recipes = [msgspec.to_builtins(each.lock.recipe, str_keys=True) for each in (one, other) if each.lock]
        found["recipe"] = dict(_pairs(recipes[0], recipes[1], ""))
        found["sources"] = _sources(one.lock, other.lock)
    if one.described and other.described:
        found["counts"] = _counts(one.described, other.described)
        if "fingerprint" in found:
            found["samples"] = _samples(one.place, other.place, roots)
    found = {key: value for key, value in found.items() if value}
    return {"same": not found, **found}


def _fingerprint(one: Side) -> str:
    return one.described.fingerprint if one.described else one.lock.fingerprint if one.lock else ""


def _pairs(before: Any, after: Any, field: str) -> list[tuple[str, list[Any]]]:
    """Every field that differs, with both values."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted({*before, *after}, key=str)
        return [p for key in keys for p in _pairs(before.get(key), after.get(key), f"{field}.{key}".lstrip("."))]
    if isinstance(before, list | tuple) and isinstance(after, list | tuple) and len(before) == len(after):
        together = enumerate(zip(before, after, strict=True))
        return [pair for n, (b, a) in together for pair in _pairs(b, a, f"{field}[{n}]")]
    return [] if before == after else [(field, [before, after])]


def _sources(one: Lock, other: Lock) -> dict[str, Any]:
    """By name: ``only`` 0 or 1 for a source of one side, else the fields that differ."""
    sides = [_named(lock) for lock in (one, other)]
    found: dict[str, Any] = {}
    for name in sorted({*sides[0], *sides[1]}):
        pair = [each.get(name) for each in sides]
        if pair[0] is None or pair[1] is None:
            mine = pair[0] or pair[1]
            assert mine is not None
            found[name] = {"only": int(pair[0] is None), "samples": mine.samples, "share": mine.realised["samples"]}
        else:
            fields = [
                {"fingerprint": each.fingerprint, **{f: getattr(each, f) for f in _FIELDS}, "share": each.realised}
                for each in pair
                if each
            ]
            differing = _pairs(msgspec.to_builtins(fields[0]), msgspec.to_builtins(fields[1]), "")
            if differing:
                found[name] = dict(differing)
    return found


def _named(lock: Lock) -> dict[str, LockedSource]:
    """Sources by name; a name that comes again gets the field of the recipe added."""
    found: dict[str, LockedSource] = {}
    for source in lock.sources:
        found[source.name if source.name not in found else f"{source.name} ({source.field})"] = source
    return found


def _counts(one: Description, other: Description) -> dict[str, Any]:
    """By field, e.g. ``task``, and value, e.g. ``vqa``: both counts where they differ."""
    found: dict[str, Any] = {}
    for field in ("samples", "images", "rejects"):
        pair = [getattr(one, field), getattr(other, field)]
        if pair[0] != pair[1]:
            found[field] = pair
    for field in sorted({*one.counts, *other.counts}):
        before, after = one.counts.get(field, {}), other.counts.get(field, {})
        pairs = {key: [before.get(key, 0), after.get(key, 0)] for key in sorted({*before, *after})}
        if differing := {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}:
            found[field] = differing
    return found


def _samples(one: str, other: str, roots: Mapping[str, str]) -> dict[str, Any]:
    """Ids that only one side has, samples whose content changed, and whether only the order differs."""
    ids, contents = zip(*(_identities(place, roots) for place in (one, other)), strict=True)
    shared = [pc.is_in(ids[n], value_set=pc.unique(ids[1 - n])).to_numpy() for n in (0, 1)]
    only = [np.flatnonzero(~each) for each in shared]
    return {
        "only": [
            {"samples": len(rows), "first": list(dict.fromkeys(_take(ids[n], rows)))[:SHOWN]}
            for n, rows in enumerate(only)
        ],
        "same_samples_in_other_order": bool(np.array_equal(np.sort(contents[0]), np.sort(contents[1]))),
        "shared_contents": int(np.isin(contents[0], contents[1]).sum()),
    }


def _identities(place: str, roots: Mapping[str, str]) -> tuple[pa.ChunkedArray, NDArray[np.uint64]]:
    parts = list(scan.chunks(open_dataset(place, roots), ["id", "content"]))
    table = pa.concat_tables(parts) if parts else pa.table({"id": pa.array([], pa.string()), "content": []})
    content = hash_array(table["content"]).view(np.uint64)[:, 0] if len(table) else np.empty(0, np.uint64)
    return table["id"], content


def _take(ids: pa.ChunkedArray, rows: NDArray[np.int64]) -> list[str]:
    found: list[str] = ids.take(pa.array(rows[: SHOWN * 20])).to_pylist()
    return found


def text(one: Side, other: Side, found: dict[str, Any]) -> str:
    """The differences as lines a person reads: first the value of `one`, then of `other`."""
    if found["same"]:
        return f"{one.place} and {other.place} are the same"
    lines = [f"< {one.place}", f"> {other.place}"]
    if found.get("samples", {}).get("same_samples_in_other_order"):
        lines.append("the same samples in another order")
    if "fingerprint" in found:
        lines.append("fingerprint  " + _arrow(found["fingerprint"]))
    lines += [f"recipe  {field}  {_arrow(pair)}" for field, pair in found.get("recipe", {}).items()]
    for name, fields in found.get("sources", {}).items():
        if "only" in fields:
            lines.append(f"source  {name}  only in {'<>'[fields['only']]}: {fields['samples']:,} samples, "
                         f"{fields['share']:.1%}")  # fmt: skip
        else:
            shown = [f"{field} {_arrow(pair, field)}" for field, pair in fields.items()]
            lines.append(f"source  {name}  {', '.join(shown)}")
    for field, values in found.get("counts", {}).items():
        pairs = values.items() if isinstance(values, dict) else [("", values)]
        lines += [f"count  {field}  {key}  {_arrow(pair)} ({pair[1] - pair[0]:+,})" for key, pair in pairs]
    for number, only in enumerate(found.get("samples", {}).get("only", [])):
        if only["samples"]:
            lines.append(f"samples  {only['samples']:,} only in {'<>'[number]}, e.g. {', '.join(only['first'])}")
    if "samples" in found:
        lines.append(f"samples  {found['samples']['shared_contents']:,} of < have content that > has too")
    return "\n".join(lines)


def _arrow(pair: list[Any], field: str = "") -> str:
    def shown(value: Any) -> str:
        if isinstance(value, float) and (field == "requested" or field.startswith("share.")):
            return f"{value:.1%}"
        return "none" if value is None else f"{value:,}" if type(value) is int else str(value)

    return " -> ".join(map(shown, pair))
