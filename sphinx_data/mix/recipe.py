"""The mix recipe: a YAML file a person can read, checked on loading (docs/contracts.md, section 4)."""

import re
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta

from sphinx_data import storage
from sphinx_data.errors import UsageError
from sphinx_data.sample import Struct

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class SourceRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """One dataset of a mix; at most one of weight, epochs and count."""

    dataset: str  # directory; relative to --root, or to the working directory
    weight: Positive | None = None  # share of the samples that fixed sources leave of `total`
    epochs: Positive | None = None  # how often every sample is seen
    count: Count | None = None  # samples

    @property
    def fixed(self) -> bool:
        """Whether the number of samples does not depend on the other sources."""
        return self.epochs is not None or self.count is not None


class Recipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """A mix. Weights are shares of samples; without any weight every source counts by its size."""

    name: str
    sources: tuple[SourceRecipe, ...]
    seed: int = 0
    total: Count | None = None  # positions of the mix
    epochs: Positive | None = None  # instead of total: how often the weighted sources are seen together; 1 by default
    order: Literal["shuffled", "none"] = "shuffled"
    holdout: Annotated[float, Meta(ge=0, lt=1)] = 0.0  # share of the samples, by content, that goes to DIR/holdout


def load(place: str) -> Recipe:
    """Read and check a recipe. Raises UsageError naming file, field, value and mend."""
    try:
        raw = yaml.safe_load(storage.read_bytes(place))
    except yaml.YAMLError as error:
        raise UsageError(f"{place}: is not YAML ({' '.join(str(error).split())})") from None
    return check(raw, place)


def check(raw: Any, place: str) -> Recipe:
    """A recipe from plain data; `place` is named in errors."""
    try:
        recipe = msgspec.convert(raw, Recipe)
    except msgspec.ValidationError as error:
        raise UsageError(f"{place}: {_readable(str(error))}") from None
    if not recipe.sources:
        raise UsageError(f"{place}: sources: is empty; name at least one dataset")
    if recipe.total is not None and recipe.epochs is not None:
        raise UsageError(f"{place}: give total or epochs, not both (total={recipe.total}, epochs={recipe.epochs})")
    for number, source in enumerate(recipe.sources):
        given = {k: v for k in ("weight", "epochs", "count") if (v := getattr(source, k)) is not None}
        if len(given) > 1:
            values = ", ".join(f"{k}={v}" for k, v in given.items())
            raise UsageError(f"{place}: sources[{number}]: give {' or '.join(given)}, not both ({values})")
    free = [source for source in recipe.sources if not source.fixed]
    if 0 < sum(source.weight is not None for source in free) < len(free):
        number = next(n for n, s in enumerate(recipe.sources) if not s.fixed and s.weight is None)
        raise UsageError(f"{place}: sources[{number}]: has no weight but others have; give weight, epochs or count")
    return recipe


def _readable(message: str) -> str:
    """msgspec's ``Object contains unknown field `x` - at `$.sources[0]` `` as ``sources[0]: unknown key 'x'``."""
    message, _, path = message.partition(" - at ")
    path = path.strip("`").removeprefix("$").lstrip(".")
    message = re.sub(
        r"Object contains unknown field `(.*)`", r"unknown key '\1'; see docs/mixing.md for the keys", message
    )
    message = re.sub(r"Object missing required field `(.*)`", r"the key '\1' is missing", message)
    return f"{path}: {message}" if path else message
