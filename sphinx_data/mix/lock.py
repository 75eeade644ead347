"""The lock of a mix: everything that fixes it, without any data, so that it can be rebuilt anywhere or refused."""

from typing import Any

import msgspec

from sphinx_data import storage
from sphinx_data.errors import InputError, UsageError
from sphinx_data.mix.recipe import Recipe
from sphinx_data.order import BLOCK, VERSION
from sphinx_data.sample import Struct

FILE = "mix.lock.json"
FORMAT = "sphinx-mix-lock/1"


class LockedSource(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One source of a mix as it was resolved; amounts count a sample as often as it is seen."""

    field: str  # where the recipe names it, e.g. sources[0]
    name: str
    fingerprint: str
    rows: int  # of the dataset
    dropped: dict[str, int] = {}  # rows by ``column:rule`` of a verdict, where, cap, holdout, rating
    selected: int  # rows that the mix draws from
    selection: str  # xxh3-128 of the row numbers of one epoch
    repeats: dict[int, int] = {}  # with ratings: times in one epoch -> rows
    chunk: int | None = None  # windowed order: rows that are read together
    samples: int  # positions of the mix
    epochs: float  # samples / rows of one epoch
    most_seen: int  # the largest number of times that one sample is seen
    amounts: dict[str, int]  # images, chars, target_chars, bytes and, where lengths are known, tokens
    licenses: dict[str, int]  # positions by licence
    commercial: bool | None  # whether all of it may be used commercially; null: unknown
    redistribute: bool | None
    requested: float | None  # share that weights ask for of what fixed sources leave, in the recipe's unit
    realised: dict[str, float]  # shares of the whole mix in samples, images, chars, target_chars, bytes, tokens


class Lock(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The content of ``mix.lock.json``."""

    format: str = FORMAT
    recipe: Recipe
    missing: tuple[str, ...] = ()  # sources of the recipe that were left out with --present
    order: str = VERSION
    block: int = BLOCK
    sources: tuple[LockedSource, ...]
    quotas: str  # xxh3-128 of the quota table
    samples: int
    fingerprint: str  # of the mix
    holdout_samples: int
    holdout_fingerprint: str | None

    def amount(self, unit: str) -> int:
        """A sum over the sources."""
        return sum(source.amounts.get(unit, 0) for source in self.sources)


def store(directory: str, lock: Lock) -> None:
    """Write ``mix.lock.json``."""
    data = msgspec.json.format(
        msgspec.json.Encoder(order="deterministic").encode(msgspec.to_builtins(lock, str_keys=True)), indent=1
    )
    storage.write_atomic(storage.join(directory, FILE), data + b"\n")


def load(place: str) -> Lock:
    """Read a lock. Raises InputError when it is missing or damaged."""
    try:
        found = msgspec.json.decode(storage.read_bytes(place), type=Lock)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InputError(f"{place}: is not a mix lock ({error})") from None
    if (found.format, found.order) != (FORMAT, VERSION):
        raise InputError(f"{place}: is {found.format} of {found.order}; this version reads {FORMAT} of {VERSION}")
    return found


def refuse_difference(locked: Lock, found: Lock, place: str) -> None:
    """Raise UsageError naming the first field in which a rebuilt mix is not the locked one."""
    difference = _first_difference(msgspec.to_builtins(locked), msgspec.to_builtins(found), "")
    if difference:
        field, before, after = difference
        raise UsageError(
            f"{place}: {field} was {before!r}, is {after!r} here; the mix cannot be rebuilt from these sources"
        )


def refuse_other(kept: Lock, found: Lock, directory: str) -> None:
    """Raise UsageError naming the first field in which the mix of `directory` is not the one that is asked for."""
    difference = _first_difference(msgspec.to_builtins(kept), msgspec.to_builtins(found), "")
    if difference:
        field, before, after = difference
        raise UsageError(
            f"{directory}: holds another mix: {field} is {before!r}, this one has {after!r}; "
            "use another --out or --overwrite"
        )


def _first_difference(before: Any, after: Any, field: str) -> tuple[str, Any, Any] | None:
    if isinstance(before, dict) and isinstance(after, dict):
        pairs = [(f"{field}.{key}".lstrip("."), before.get(key), after.get(key)) for key in {**before, **after}]
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple) and len(before) == len(after):
        pairs = [(f"{field}[{n}]", b, a) for n, (b, a) in enumerate(zip(before, after, strict=True))]
    else:
        return None if before == after else (field, before, after)
    return next((found for name, b, a in pairs if (found := _first_difference(b, a, name))), None)
