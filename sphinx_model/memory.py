"""What a run needs of a device's memory, said before any weights are read."""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

import sphinx_model.auto  # noqa: F401 (registers our classes)
from sphinx_data.errors import InputError, UsageError
from sphinx_model.configuration_sphinx import SphinxConfig
from sphinx_model.info import meta_model
from sphinx_model.loading import first_line
from sphinx_model.presets import PRESETS, configuration
from sphinx_model.recipe import TrainRecipe
from sphinx_model.world import World

_GIB = 2**30


def check(recipe: TrainRecipe, model: Any, world: World) -> None:
    """Refuse a run whose weights, gradients and moments alone do not fit; warn where activations may not.

    `model` is on the meta device, frozen as it will be trained. Raises UsageError naming what would fit.
    """
    fixed, activations = needed(recipe, model, world.size, world.device.type)
    there = _there(world.device)
    if fixed > there:
        raise UsageError(
            f"model: weights, gradients and moments of {recipe.model} take {fixed / _GIB:.1f} GiB on each of "
            f"{world.size} ranks, there are {there / _GIB:.1f}; give more ranks, optim.states=bfloat16, lora, "
            "or a smaller model"
        )
    if fixed + activations > there and world.first:
        print(
            f"about {(fixed + activations) / _GIB:.1f} GiB a rank are wanted, there are {there / _GIB:.1f}; should "
            "memory run out, give a smaller pack.micro_batch, parallel.recompute=selective or full, or more ranks",
            file=sys.stderr,
        )


def needed(recipe: TrainRecipe, model: Any, ranks: int, device: str) -> tuple[int, int]:
    """Bytes on a rank: of what stays from step to step, and a rough estimate of the activations of a micro-batch."""
    shards = max(1, ranks // recipe.parallel.replicate)
    encoders = list(model.model.encoders.parameters())
    frozen = sum(p.numel() for p in encoders if not p.requires_grad)
    sharded = sum(p.numel() for p in model.parameters()) - frozen
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    moments = 4 if recipe.optim.states == "bfloat16" else 8
    fixed = frozen * (2 if device == "cuda" else 4) + (4 * sharded + (4 + moments) * trained) // shards
    if not recipe.parallel.reshard and device == "cuda":
        fixed += 2 * sharded  # gathered in bfloat16
    return fixed, _activations(recipe, model.config.get_text_config(), 2 if device == "cuda" else 4)


def _activations(recipe: TrainRecipe, text: Any, size: int) -> int:
    """Of the language model: per position and layer its inputs, projections and feed-forward, and float32 logits."""
    width, inner, layers = text.hidden_size, getattr(text, "intermediate_size", 0), text.num_hidden_layers
    kept = {"none": 12 * width + 4 * inner, "selective": 6 * width + 3 * inner, "full": width}
    positions = recipe.pack.micro_batch * recipe.pack.tokens
    logits = 8 * min(positions, 8192) * text.vocab_size
    return int(positions * layers * kept[recipe.parallel.recompute] * size + logits)


def meta(name: str) -> Any:
    """The model of a preset or directory without storage.

    Raises UsageError where `name` is neither, InputError where a configuration is none of ours.
    """
    if name in PRESETS:
        return meta_model(configuration(PRESETS[name]))
    place = Path(name)
    if not place.is_dir():
        raise UsageError(f"model: {name!r} is neither a preset ({', '.join(PRESETS)}) nor a directory")
    try:
        config: Any = AutoConfig.from_pretrained(place)
    except Exception as error:  # configurations raise what they like
        raise InputError(f"{place}: holds no model that can be read ({first_line(error)})") from None
    if not isinstance(config, SphinxConfig):
        raise InputError(f"{place}: holds a {config.model_type}, not a SPHINX model")
    return meta_model(config)


def _there(device: torch.device) -> int:
    """Bytes that a rank may use: of its GPU, or its share of the machine."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    allowed = limit.read_text().strip() if limit.exists() else "max"
    machine = machine if allowed == "max" else min(machine, int(allowed))
    return machine // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
