"""The lock of a mix: everything that fixes it, without any data, so that it can be rebuilt anywhere or refused."""

from collections.abc import Sequence
from typing import Any

import msgspec

from sphinx_data import storage
from sphinx_data.dataset.reader import Dataset
from sphinx_data.errors import InputError, UsageError
from sphinx_data.mix.recipe import Recipe
from sphinx_data.order import BLOCK, VERSION
from sphinx_data.sample import Struct

FILE = "mix.lock.json"


class LockedSource(Struct, frozen=True, kw_only=True):
    """One source of a mix as it was resolved."""

    name: str
    fingerprint: str
    rows: int  # of the dataset
    selected: int  # rows that the mix draws from
    selection: str  # xxh3-128 of the selected row numbers
    samples: int  # positions of the mix
    epochs: float  # samples / selected
    requested: float | None  # share that the recipe asks for, where it does
    realised: dict[str, float]  # shares of samples, images and target_chars


class Lock(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The content of ``mix.lock.json``."""

    format: str = "sphinx-mix-lock/1"
    recipe: Recipe
    order: str = VERSION
    block: int = BLOCK
    sources: tuple[LockedSource, ...]
    quotas: str  # xxh3-128 of the quota table
    samples: int
    fingerprint: str  # of the mix
    holdout_samples: int
    holdout_fingerprint: str | None


def store(directory: str, lock: Lock) -> None:
    """Write ``mix.lock.json``."""
    data = msgspec.json.format(msgspec.json.Encoder(order="deterministic").encode(lock), indent=1)
    storage.write_atomic(storage.join(directory, FILE), data + b"\n")


def load(place: str) -> Lock:
    """Read a lock. Raises InputError when it is missing or damaged."""
    try:
        return msgspec.json.decode(storage.read_bytes(place), type=Lock)
    except msgspec.MsgspecError as error:
        raise InputError(f"{place}: is not a mix lock ({error})") from None


def refuse_other_sources(locked: Lock, datasets: Sequence[Dataset], place: str) -> None:
    """Raise UsageError naming the first source that is not the locked one; told before anything is built."""
    for number, (source, dataset) in enumerate(zip(locked.sources, datasets, strict=True)):
        for field in ("name", "fingerprint"):
            before, after = getattr(source, field), getattr(dataset, field)
            if before != after:
                raise UsageError(
                    f"{place}: sources[{number}].{field} was {before!r}, is {after!r} here ({dataset.directory}); "
                    "the mix cannot be rebuilt from these sources"
                )


def refuse_difference(locked: Lock, found: Lock, place: str) -> None:
    """Raise UsageError naming the first field in which a rebuilt mix is not the locked one."""
    difference = _first_difference(msgspec.to_builtins(locked), msgspec.to_builtins(found), "")
    if difference:
        field, before, after = difference
        raise UsageError(
            f"{place}: {field} was {before!r}, is {after!r} here; the mix cannot be rebuilt from these sources"
        )


def _first_difference(before: Any, after: Any, field: str) -> tuple[str, Any, Any] | None:
    if isinstance(before, dict) and isinstance(after, dict):
        pairs = [(f"{field}.{key}".lstrip("."), before.get(key), after.get(key)) for key in {**before, **after}]
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple) and len(before) == len(after):
        pairs = [(f"{field}[{n}]", b, a) for n, (b, a) in enumerate(zip(before, after, strict=True))]
    else:
        return None if before == after else (field, before, after)
    return next((found for name, b, a in pairs if (found := _first_difference(b, a, name))), None)
