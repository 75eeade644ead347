"""The mix recipe: a YAML file a person can read, checked on loading (docs/mixing.md explains every key)."""

import os
import re
import site
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import yaml
from msgspec import Meta

from sphinx_data import storage, strict_yaml
from sphinx_data.errors import InputError, UsageError
from sphinx_data.mix import rules
from sphinx_data.sample import Struct

Positive = Annotated[float, Meta(gt=0, le=1e12)]
NotNegative = Annotated[float, Meta(ge=0, le=1e12)]
Count = Annotated[int, Meta(ge=1, le=10**12)]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Repeats = Annotated[int, Meta(ge=0, le=1000)]
Unit = Literal["samples", "images", "target_chars", "tokens"]

_GLOB = re.compile(r"[*?\[]")


class _Checked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Frozen, and a key that is not known is an error."""


class Ratings(_Checked, frozen=True, kw_only=True):
    """How often samples of one source come within its epoch, by a stored rating; one of power and table."""

    column: str  # a column beside the dataset
    field: str = "score"  # of that column; numbers
    power: Positive | None = None  # samples come in proportion to rating ** power; an epoch keeps its length
    table: dict[float, Repeats] | None = None  # rating: how often a sample comes in one epoch


class SourceRecipe(_Checked, frozen=True, kw_only=True):
    """One dataset of a mix, or with a glob several; at most one of weight, epochs and count."""

    dataset: str  # directory or glob; relative to --root, or to the working directory
    weight: Positive | None = None  # share of what fixed sources leave of `total`, among its siblings
    epochs: Positive | None = None  # how often every sample is seen
    count: Count | None = None  # samples
    where: str | None = None  # one SQL expression over index and columns; rows for which it is true are taken
    columns: tuple[str, ...] = ()  # verdict columns that must say keep
    cap: Count | None = None  # a seeded subset of this size, before weighting and holdout
    ratings: Ratings | None = None

    @property
    def fixed(self) -> bool:
        """Whether the number of samples does not depend on the other sources."""
        return self.epochs is not None or self.count is not None

    @property
    def glob(self) -> bool:
        """Whether `dataset` is a pattern."""
        return bool(_GLOB.search(self.dataset))

    @property
    def name(self) -> str:
        """What schedules and ``--root NAME=PLACE`` call it: the last part of its place."""
        return os.path.basename(self.dataset.rstrip("/"))


class Group(_Checked, frozen=True, kw_only=True):
    """Sources that share one weight."""

    weight: Positive | None = None
    temperature: Positive | None = None  # of the sources inside; that of the recipe by default
    sources: tuple[SourceRecipe, ...] = ()
    groups: dict[str, "Group"] = {}


class Phase(_Checked, frozen=True, kw_only=True):
    """Weights that hold from a position on; what is not named keeps its weight."""

    at: Annotated[int, Meta(ge=0)]
    weights: dict[str, NotNegative]


class Recipe(_Checked, frozen=True, kw_only=True):
    """A mix. Without any weight every source counts by its size."""

    name: str
    sources: tuple[SourceRecipe, ...] = ()
    groups: dict[str, Group] = {}
    seed: Seed = 0
    total: Count | None = None  # positions of the mix
    epochs: Positive | None = None  # instead of total: how often the weighted sources are seen together; 1 by default
    unit: Unit = "samples"  # what weights are shares of
    lengths: str | None = None  # column that holds `tokens` of every sample
    temperature: Positive | None = None  # where no weight is given: weight = size ** (1 / temperature)
    unimax: Positive | None = None  # equal budgets, none above this many epochs (arXiv 2304.09151)
    schedule: tuple[Phase, ...] = ()
    order: Literal["shuffled", "windowed", "none"] = "shuffled"
    holdout: Annotated[float, Meta(ge=0, lt=1)] = 0.0  # share of the samples, by content, that goes to DIR/holdout
    merge_by: Literal["image"] | None = None  # turns about one image become one sample when shards are made


class Leaf(NamedTuple):
    """A source of a recipe and where it stands, e.g. ``groups.caption.sources[2]``."""

    field: str
    source: SourceRecipe


def leaves(level: Recipe | Group, field: str = "") -> Iterator[Leaf]:
    """All sources in the order of the file: those of a level before those of its groups."""
    for number, source in enumerate(level.sources):
        yield Leaf(f"{field}sources[{number}]", source)
    for name, group in level.groups.items():
        yield from leaves(group, f"{field}groups.{name}.")


def load(place: str) -> Recipe:
    """Read and check a recipe. Raises UsageError naming file, field, value and mend."""
    try:
        raw = strict_yaml.load(storage.read_bytes(place))
    except yaml.YAMLError as error:
        raise UsageError(f"{place}: is not YAML ({' '.join(str(error).split())})") from None
    return check(raw, place)


def check(raw: Any, place: str) -> Recipe:
    """A recipe from plain data; `place` is named in errors."""
    try:
        recipe = msgspec.convert(raw, Recipe)
    except msgspec.ValidationError as error:
        raise UsageError(f"{place}: {_readable(str(error))}") from None
    except RecursionError:
        raise UsageError(f"{place}: groups: hold each other without end; write every group out") from None
    rules.refuse_contradictions(recipe, place)
    return recipe


def preset(name: str) -> str:
    """The place of a recipe: a file, or a preset by its bare name. Raises InputError listing the presets."""
    if storage.exists(name) or os.path.basename(name) != name or name.endswith((".yaml", ".yml", ".json")):
        return name
    for folder in _preset_folders():
        if (found := folder / f"{name}.yaml").is_file():
            return str(found)
    known = sorted({file.stem for folder in _preset_folders() for file in folder.glob("*.yaml")})
    raise InputError(f"{name}: is neither a file nor a preset; the presets are {', '.join(known) or 'not installed'}")


def _preset_folders() -> list[Path]:
    """``recipes/mix`` of a checkout, and where an installed package keeps it."""
    checkout = Path(__file__).resolve().parents[2]
    installed = (Path(prefix) / "share/sphinx-data/recipes/mix" for prefix in (sys.prefix, site.getuserbase()))
    return [checkout / "recipes/mix", *installed]


def _readable(message: str) -> str:
    """msgspec's ``Object contains unknown field `x` - at `$.sources[0]` `` as ``sources[0]: unknown key 'x'``."""
    message, _, path = message.partition(" - at ")
    path = path.strip("`").removeprefix("$").lstrip(".")
    message = re.sub(
        r"Object contains unknown field `(.*)`", r"unknown key '\1'; see docs/mixing.md for the keys", message
    )
    message = re.sub(r"Object missing required field `(.*)`", r"the key '\1' is missing", message)
    return f"{path}: {message}" if path else message
