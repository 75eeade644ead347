"""The training recipe: a YAML file with dotted overrides, checked on loading (docs/contracts.md, section 5)."""

from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import yaml
from msgspec import Meta

from sphinx_data import storage, strict_yaml
from sphinx_data.errors import UsageError
from sphinx_data.sample import Struct

Positive = Annotated[float, Meta(gt=0, le=1e12)]  # no infinity
Natural = Annotated[float, Meta(ge=0, le=1e12)]
Count = Annotated[int, Meta(ge=1, le=10**12)]
Beta = Annotated[float, Meta(ge=0, lt=1)]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Share = Annotated[float, Meta(ge=0, le=1)]


class PackRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How samples share sequences."""

    tokens: Count = 4096  # positions of a pack
    views: Count = 64  # most encoded views of a pack
    batch: Count = 8  # packs of a global batch, over all ranks and accumulation steps
    micro_batch: Count = 1  # packs of one forward pass of a rank
    too_long: Literal["drop", "split"] = (
        "drop"  # samples longer than a pack; split: at turns, every part with its images
    )


class ModulesRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Factor of `optim.lr` by module; 0 freezes it."""

    encoders: Natural | None = None  # by default as the model says: frozen, or 1
    encoder_decay: Annotated[float, Meta(gt=0, le=1)] = 1.0  # of the factor, a layer down from the last of an encoder
    connector: Natural = 1.0  # with the start, end and skip embeddings
    language_model: Natural = 1.0  # with its embeddings and head


class OptimRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """AdamW with warm-up and cosine decay; the defaults are SPHINX-X's (arXiv:2402.05935, section 4.1)."""

    lr: Positive | Literal["mm1"] = 2e-5  # mm1: the law of arXiv:2403.09611 for the size of the language model
    betas: tuple[Beta, Beta] = (0.9, 0.95)
    weight_decay: Natural = 0.0  # of matrices
    warmup: Share = 0.01  # share of all steps
    final: Share = 0.0  # share of lr that the cosine ends at
    clip: Positive | None = 1.0  # norm of the gradient
    states: Literal["float32", "bfloat16"] = "float32"  # of the two moments; bfloat16 saves 4 bytes a parameter
    max_skipped: Annotated[int, Meta(ge=0)] = 3  # steps in a row whose gradient is no number before the run stops


class LoraRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Low-rank adapters of the language model, whose own weights stay as they are; merged when exported."""

    rank: Count = 16
    alpha: Count = 32
    targets: tuple[str, ...] | None = None  # names of linear layers, by default all of them


class ParallelRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model lies on several devices, and what is computed twice to save memory."""

    replicate: Count = 1  # groups of ranks that each hold the whole model, sharded inside (HSDP); 1: sharded over all
    reshard: bool = True  # let gathered layers go after the forward pass; false needs more memory and gathers once
    recompute: Literal["none", "selective", "full"] = "none"  # activations; selective keeps products and attention
    compile: bool = False  # every layer by torch.compile
    timeout: Positive = 1800.0  # seconds after which a rank or a reading thread counts as stuck, and is named


class CheckpointRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to save, and how many to keep."""

    every: Count = 500  # steps
    keep: Count = 2
    export_every: Count | None = None  # steps between models in Hugging Face form, OUT/hf-STEP; the last is OUT/hf


class EvaluateRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of the held-out set."""

    every: Count | None = None  # steps; by default at the end only
    samples: Count | None = None  # of the held-out set, by default all
    answers: Annotated[int, Meta(ge=0)] = 12  # questions that the model answers on the page


class LogRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is written down while training."""

    every: Count = 10  # steps between looks at the device, each of which waits for it
    tensorboard: bool = False  # in OUT/tensorboard
    wandb: str | None = None  # name of a Weights & Biases project


class TrainRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A training run."""

    model: str  # a preset (nano) or a directory in Hugging Face form
    data: str  # a dataset directory, usually a mix
    out: str
    holdout: str | None = None  # a dataset that is evaluated at the end
    dialect: str = "sphinx"
    roots: dict[str, str] = {}  # where the sources of a virtual dataset lie, as --root NAME=PLACE
    pack: PackRecipe = PackRecipe()
    modules: ModulesRecipe = ModulesRecipe()
    optim: OptimRecipe = OptimRecipe()
    loss: Literal["token", "sqrt", "sample"] = "token"  # what weighs the same: tokens, or samples, or in between
    lora: LoraRecipe | None = None
    parallel: ParallelRecipe = ParallelRecipe()
    steps: Count | None = None  # exactly one of steps and epochs
    epochs: Positive | None = None
    checkpoint: CheckpointRecipe = CheckpointRecipe()
    evaluate: EvaluateRecipe = EvaluateRecipe()
    log: LogRecipe = LogRecipe()
    max_bad: Annotated[int, Meta(ge=0)] = 100  # samples that may be unreadable before the run stops
    seed: Seed = 0
    threads: Count = 2  # of a rank, that read and decode


def load(place: str, overrides: tuple[str, ...] = ()) -> TrainRecipe:
    """Read a recipe and apply ``key=value`` overrides with dotted keys.

    Raises UsageError naming file, field, value and mend.
    """
    try:
        raw = strict_yaml.load(storage.read_bytes(place))
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
            _put(raw, key, strict_yaml.load(value), override)
        except yaml.YAMLError:
            raise UsageError(f"{override}: the value is not YAML; put it in quotes") from None
    try:
        recipe = msgspec.convert(raw, TrainRecipe, strict=False)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at ")
        path = path.strip("`")
        if path.startswith("key` in `"):
            message, path = "a key is no text; put it in quotes", path.removeprefix("key` in `")
        path = path.removeprefix("$").removeprefix(".")
        raise UsageError(f"{place}: {_where(raw, path)}{message}{_choices(path)}") from None
    if (recipe.steps is None) == (recipe.epochs is None):
        raise UsageError(f"{place}: give steps or epochs, one of them (steps={recipe.steps}, epochs={recipe.epochs})")
    if recipe.lora is not None and recipe.modules.language_model == 0:
        raise UsageError(f"{place}: lora trains adapters of the language model, but modules.language_model is 0")
    if recipe.pack.batch % recipe.pack.micro_batch:
        raise UsageError(
            f"{place}: pack.batch: {recipe.pack.batch} packs cannot be cut into micro-batches "
            f"of {recipe.pack.micro_batch}"
        )
    return recipe


def _where(raw: Any, path: str) -> str:
    """``optim.lr: got -1; `` for the place of a wrong value."""
    value = raw
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    shown = "" if value is None or isinstance(value, dict | list) else f"got {value!r}; "
    return f"{path}: {shown}" if path else ""


def _choices(path: str) -> str:
    """`` (one of drop, split)`` for a key that takes words only, `` (one of lr, betas)`` for a group of keys."""
    kind: Any = TrainRecipe
    for key in path.split(".") if path else []:
        kind = get_type_hints(kind).get(key) if isinstance(kind, type) else None
        kind = next((part for part in get_args(kind) if _is_group(part)), kind)  # one that may be left out
    if _is_group(kind):
        return f" (one of {', '.join(kind.__struct_fields__)})"
    words = [word for part in (kind, *get_args(kind)) if get_origin(part) is Literal for word in get_args(part)]
    number = " or a number" if get_args(kind) and get_origin(kind) is not Literal else ""
    return f" (one of {', '.join(words)}{number})" if words else ""


def _is_group(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _put(raw: dict[str, Any], key: str, value: Any, override: str) -> None:
    *folders, last = key.split(".")
    target: Any = raw
    for folder in folders:
        if target.get(folder) is None:  # missing, or left out as in `lora: null`
            target[folder] = {}
        target = target[folder]
        if not isinstance(target, dict):
            raise UsageError(f"{override}: {folder} is a value in the recipe, not a group of keys")
    target[last] = value
