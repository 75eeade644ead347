"""What a mix asked for, from its lock, against what came of it, counted."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from sphinx_data import storage
from sphinx_data.dataset.reader import Dataset
from sphinx_data.errors import InputError
from sphinx_data.report.stream import Integers, Use
from sphinx_data.sample import Struct

LOCK = "mix.lock.json"
_STEP = re.compile(r"\.?(sources)\[(\d+)\]$")


class Amounts(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Everything that one value of a field, or one source, stands for."""

    samples: int = 0
    images: int = 0
    chars: int = 0
    target_chars: int = 0


class Share(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One source of a mix."""

    name: str
    asked: str  # as the recipe says it: "weight 2", "epochs 3", "count 10"; empty where it says nothing
    unit: str  # what a weight is a share of
    requested: float | None  # share of the whole mix, in that unit, that the weight asks for
    realised: float | None  # the same share as it came out
    amounts: Amounts
    rows: int  # of the source
    selected: int  # rows that the mix draws from
    dropped: dict[str, int]  # rows it does not draw from: by verdict, condition, cap, holdout
    epochs: float
    repeats: dict[int, int]  # times a row is used: rows; empty where shards were made of the mix


class _Source(msgspec.Struct):
    """What a report reads of one source of a lock; everything else may change."""

    name: str
    rows: int
    selected: int
    samples: int
    epochs: float
    field: str = ""
    requested: float | None = None
    amounts: dict[str, int] = {}
    dropped: dict[str, int] = {}


class _Lock(msgspec.Struct):
    sources: list[_Source]
    recipe: dict[str, Any] = {}


def shares(dataset: Dataset, below: Sequence[Use], by_origin: Integers) -> tuple[Share, ...]:
    """The sources of a mix; `by_origin` holds samples, images, characters and target characters, int64[S, 4]."""
    lock = _lock(dataset)
    names = [source.name for source in dataset.sources]
    if lock is None or (names and [source.name for source in lock.sources] != names):
        plain = (_Source(source.name, len(source), len(source), 0, 0.0) for source in dataset.sources)
        lock = _Lock(sources=list(plain))
    unit = str(lock.recipe.get("unit", "samples"))
    found = [
        _share(
            lock,
            number,
            unit,
            counted=amounts(by_origin[number]) if names else None,
            repeats=_repeats([use for use in below if use.origin == number]) if names else {},
        )
        for number in range(len(lock.sources))
    ]
    return tuple(found)


def amounts(row: Integers) -> Amounts:
    """Four sums with their names."""
    return Amounts(samples=int(row[0]), images=int(row[1]), chars=int(row[2]), target_chars=int(row[3]))


def _lock(dataset: Dataset) -> _Lock | None:
    place = storage.join(dataset.directory, LOCK)
    if not storage.exists(place):
        return None
    try:
        return msgspec.json.decode(storage.read_bytes(place), type=_Lock)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InputError(f"{place}: is not a mix lock ({error})") from None


def _share(lock: _Lock, number: int, unit: str, counted: Amounts | None, repeats: dict[int, int]) -> Share:
    one = lock.sources[number]
    if counted is None:
        known = {name: one.amounts.get(name, 0) for name in ("images", "chars", "target_chars")}
        counted = Amounts(samples=one.samples, **known)
    each = [source.samples if unit == "samples" else source.amounts.get(unit, 0) for source in lock.sources]
    weighted = sum(n for n, source in zip(each, lock.sources, strict=True) if source.requested is not None)
    total = max(sum(each), 1)
    return Share(
        name=one.name, asked=_asked(lock.recipe, one.field), unit=unit, amounts=counted, rows=one.rows,
        requested=None if one.requested is None else one.requested * weighted / total,
        realised=None if one.requested is None else each[number] / total,
        selected=one.selected, dropped=dict(sorted(one.dropped.items())), repeats=repeats,
        epochs=one.epochs or counted.samples / max(one.selected, 1),
    )  # fmt: skip


def _asked(recipe: dict[str, Any], field: str) -> str:
    """The recipe's own words for the source at a field such as ``groups.caption.sources[2]``."""
    last = _STEP.search(field)
    if last is None:
        return ""
    group = field[: last.start()]
    level: Any = recipe
    try:
        for name in filter(None, re.split(r"\.?groups\.", group)):
            level = level["groups"][name]
        source = level["sources"][int(last[2])]
        words = [f"{key} {source[key]:g}" for key in ("weight", "epochs", "count") if source.get(key) is not None]
    except (KeyError, IndexError, TypeError, ValueError):
        return ""
    inside = re.sub(r"\.?groups\.", " ", group).strip()
    return ", ".join(words) + (f" in {inside}" if inside else "")


def _repeats(below: Sequence[Use]) -> dict[int, int]:
    counted: dict[int, int] = {}
    for use in below:
        if use.times is not None:
            for times, rows in zip(*np.unique(use.times, return_counts=True), strict=True):
                counted[int(times)] = counted.get(int(times), 0) + int(rows)
    return dict(sorted(counted.items()))
