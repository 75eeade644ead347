"""The training recipe: a YAML file with dotted overrides, checked on loading (docs/contracts.md, section 5)."""

from typing import Annotated, Any

import msgspec
import yaml
from msgspec import Meta

from sphinx_data import storage
from sphinx_data.errors import UsageError
from sphinx_data.sample import Struct

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]


class PackRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How samples share sequences."""

    tokens: Count = 4096  # positions of a pack
    views: Count = 64  # most encoded views of a pack
    batch: Count = 8  # packs of a global batch, over all ranks and accumulation steps
    micro_batch: Count = 1  # packs of one forward pass


class OptimRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """AdamW with warm-up and cosine decay; the defaults are SPHINX-X's (arXiv:2402.05935, section 4.1)."""

    lr: Positive = 2e-5
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: Annotated[float, Meta(ge=0)] = 0.0
    warmup: Share = 0.01  # share of all steps
    final: Share = 0.0  # share of lr that the cosine ends at
    clip: Positive | None = 1.0  # norm of the gradient


class CheckpointRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to save, and how many to keep."""

    every: Count = 500  # steps
    keep: Count = 2


class TrainRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A training run."""

    model: str  # a preset (nano) or a directory in Hugging Face form
    data: str  # a dataset directory, usually a mix
    out: str
    holdout: str | None = None  # a dataset that is evaluated at the end
    dialect: str = "sphinx"
    roots: dict[str, str] = {}  # where the sources of a virtual dataset lie, as --root NAME=PLACE
    pack: PackRecipe = PackRecipe()
    optim: OptimRecipe = OptimRecipe()
    steps: Count | None = None  # exactly one of steps and epochs
    epochs: Positive | None = None
    checkpoint: CheckpointRecipe = CheckpointRecipe()
    max_bad: Annotated[int, Meta(ge=0)] = 100  # samples that may be unreadable before the run stops
    seed: int = 0
    threads: Count = 2  # that read and decode


def load(place: str, overrides: tuple[str, ...] = ()) -> TrainRecipe:
    """Read a recipe and apply ``key=value`` overrides with dotted keys.

    Raises UsageError naming file, field, value and mend.
    """
    try:
        raw = yaml.safe_load(storage.read_bytes(place))
    except yaml.YAMLError as error:
        raise UsageError(f"{place}: is not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(raw, dict):
        raise UsageError(f"{place}: holds no keys; a recipe needs at least model, data and out")
    given = {override.partition("=")[0] for override in overrides}
    for one, other in (("steps", "epochs"), ("epochs", "steps")):
        if one in given and other not in given:  # asking for one is asking for it instead of the recipe's other
            raw.pop(other, None)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise UsageError(f"{override}: give key=value, e.g. optim.lr=1e-5")
        try:
            _put(raw, key, yaml.safe_load(value), override)
        except yaml.YAMLError:
            raise UsageError(f"{override}: the value is not YAML; put it in quotes") from None
    try:
        recipe = msgspec.convert(raw, TrainRecipe, strict=False)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at ")
        raise UsageError(f"{place}: {_where(raw, path.strip('`'))}{message}") from None
    if (recipe.steps is None) == (recipe.epochs is None):
        raise UsageError(f"{place}: give steps or epochs, one of them (steps={recipe.steps}, epochs={recipe.epochs})")
    if recipe.pack.batch % recipe.pack.micro_batch:
        raise UsageError(
            f"{place}: pack.batch: {recipe.pack.batch} packs cannot be cut into micro-batches "
            f"of {recipe.pack.micro_batch}"
        )
    return recipe


def _where(raw: Any, path: str) -> str:
    """``optim.lr: got -1; `` for the place ``$.optim.lr`` of a wrong value."""
    keys = path.removeprefix("$").removeprefix(".")
    value = raw
    for key in keys.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    shown = "" if value is None or isinstance(value, dict | list) else f"got {value!r}; "
    return f"{keys}: {shown}" if keys else ""


def _put(raw: dict[str, Any], key: str, value: Any, override: str) -> None:
    *folders, last = key.split(".")
    target: Any = raw
    for folder in folders:
        target = target.setdefault(folder, {})
        if not isinstance(target, dict):
            raise UsageError(f"{override}: {folder} is a value in the recipe, not a group of keys")
    target[last] = value
