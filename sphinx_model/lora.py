"""Low-rank adapters (arXiv:2106.09685) of the language model, by `peft`; exported models have them merged."""

from typing import Any

import torch
from torch import nn

from sphinx_data.errors import UsageError
from sphinx_model.recipe import LoraRecipe

_ADAPTER = "default"


def add(model: Any, recipe: LoraRecipe, seed: int) -> None:
    """Give the linear layers of the language model adapters, in place, and freeze its own weights.

    Equal seeds give equal adapters. Experts, which are no linear layers, get none. Raises UsageError where `peft` is
    missing or no layer has such a name.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError:
        raise UsageError("lora: peft is not installed: pip install 'sphinx-mllm[lora]'") from None
    language = model.model.language_model
    model.lm_head.requires_grad_(False)
    language.requires_grad_(False)
    # "all-linear" of peft takes in experts too, as parameters, which cannot be sharded
    linear = {name.rpartition(".")[2] for name, module in language.named_modules() if isinstance(module, nn.Linear)}
    targets = sorted(linear) if recipe.targets is None else list(recipe.targets)
    config = LoraConfig(r=recipe.rank, lora_alpha=recipe.alpha, lora_dropout=0.0, target_modules=targets)
    torch.manual_seed(seed)
    try:
        inject_adapter_in_model(config, language, _ADAPTER)
    except ValueError as error:
        raise UsageError(f"lora.targets: {str(error).partition(chr(10))[0]}") from None


def merged(tensors: dict[str, torch.Tensor], recipe: LoraRecipe) -> dict[str, torch.Tensor]:
    """Weights of a model with adapters -> those of the same model without: W + alpha / rank * B @ A, in float32."""
    plain: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if ".lora_" in name:
            continue
        base = name.replace(".base_layer.", ".")
        if name.endswith(".base_layer.weight"):
            layer = name.removesuffix(".base_layer.weight")
            down, up = (tensors[f"{layer}.lora_{side}.{_ADAPTER}.weight"].float() for side in "AB")
            tensor = (tensor.float() + recipe.alpha / recipe.rank * (up @ down)).to(tensor.dtype)
        plain[base] = tensor
    return plain
