"""How a model lies on devices: sharded (FSDP2, HSDP), compiled, activations computed twice; it knows none of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from sphinx_model import packed_attention
from sphinx_model.objective import Objective
from sphinx_model.recipe import ParallelRecipe
from sphinx_model.world import World

_VIEWS = 8  # views are padded to multiples of this for compiled encoders, so that they meet few shapes


def parallelise(objective: Objective, recipe: ParallelRecipe, world: World) -> None:
    """Prepare a model, which lies on the CPU, for its device in place; frozen encoders stay whole on every rank.

    On GPUs the frozen encoders are bfloat16, and sharding computes in bfloat16 from float32 parameters, also for a
    single one.
    """
    model: Any = objective.model
    language = model.model.language_model
    if packed_attention.suits(model.config.get_text_config(), world.device):
        language.set_attn_implementation(packed_attention.NAME)
    encoders = model.model.encoders
    layers = list(blocks(language))
    if not encoders.frozen:
        layers += [block for body in encoders.bodies for block in blocks(body)]
    if recipe.recompute != "none":
        for layer in layers:
            _recompute(layer, selective=recipe.recompute == "selective")
    if recipe.compile:
        for layer in layers:
            layer.compile()
        if encoders.frozen:
            _compile_frozen(encoders)
    if world.device.type == "cuda":
        for body in encoders.bodies:  # views come channels last, and depthwise convolutions are faster so
            body.to(memory_format=torch.channels_last)
        if encoders.frozen:
            encoders.to(world.device, torch.bfloat16)
    if world.size > 1 or world.device.type == "cuda":
        _shard(objective, layers, recipe, world)
    objective.to(world.device)


def blocks(body: nn.Module) -> Iterator[nn.Module]:
    """The layers of a Hugging Face model in order: the largest modules that its class says are not to be split."""
    names = set(getattr(body, "_no_split_modules", None) or ())
    inside: tuple[str, ...] = ()
    for name, module in body.named_modules():
        in_list = name.rpartition(".")[2].isdecimal()
        if in_list and type(module).__name__ in names and not name.startswith(inside):
            inside += (f"{name}.",)
            yield module


def _shard(objective: Objective, layers: list[nn.Module], recipe: ParallelRecipe, world: World) -> None:
    """FSDP2: every layer a unit, the rest (embeddings, connector, head) the root's; experts a unit of their own."""
    device = world.device.type
    mesh = init_device_mesh(
        device, (recipe.replicate, world.size // recipe.replicate), mesh_dim_names=("replicate", "shard")
    )
    options: dict[str, Any] = {
        "mesh": mesh if recipe.replicate > 1 else mesh["shard"],
        "ignored_params": {p for p in objective.model.model.encoders.parameters() if not p.requires_grad},
    }
    if device == "cuda":
        options["mp_policy"] = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for layer in layers:
        for module in layer.modules():
            if any(parameter.dim() == 3 for parameter in module.parameters(recurse=False)):
                fully_shard(module, reshard_after_forward=recipe.reshard, **options)
        fully_shard(layer, reshard_after_forward=recipe.reshard, **options)
    fully_shard(objective, reshard_after_forward=False, **options)


@contextmanager
def evaluating(objective: Objective) -> Iterator[None]:
    """The model as it answers: eval mode, attention with a mask, and parts of it that may be called by themselves.

    Embeddings, connector and head are gathered meanwhile; layers gather themselves.
    """
    language: Any = objective.model.model.language_model
    attention = language.config._attn_implementation
    objective.eval()
    language.set_attn_implementation("sdpa")
    if isinstance(objective, FSDPModule):
        objective.unshard()
    try:
        with torch.compiler.set_stance("force_eager"), torch.no_grad():
            yield
    finally:
        if isinstance(objective, FSDPModule):
            objective.reshard()
        language.set_attn_implementation(attention)
        objective.train()


def _recompute(layer: nn.Module, selective: bool) -> None:
    """Keep the input of a layer only, or its products and attention too, and compute the rest again going backward."""
    options: dict[str, Any] = {"use_reentrant": False}
    if selective:
        options["context_fn"] = partial(create_selective_checkpoint_contexts, _keep_products)
    forward = layer.forward
    layer.forward = lambda *args, **kwargs: checkpoint(forward, *args, **options, **kwargs)


_PRODUCTS = (
    "aten.mm", "aten.addmm", "aten.bmm", "aten._grouped_mm", "aten.convolution", "aten._scaled_dot_product",
    "torch_attn._varlen_attn", "aten._flash_attention_forward",
)  # fmt: skip


def _keep_products(context: Any, operator: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    kept = str(operator).startswith(_PRODUCTS)
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


def _compile_frozen(encoders: Any) -> None:
    """Compile frozen encoders as a whole, for numbers of views that are multiples of `_VIEWS`."""
    for body in encoders.bodies:
        body.compile(dynamic=False)
    forward: Callable[[torch.Tensor], list[torch.Tensor]] = encoders.forward

    def padded(views: torch.Tensor) -> list[torch.Tensor]:
        count = len(views)
        missing = -count % _VIEWS
        if missing:
            views = torch.cat([views, views.new_zeros(missing, *views.shape[1:])])
        return [features[:count] for features in forward(views)]

    encoders.forward = padded
