"""What trains at which rate, the schedule, and AdamW that leaves out a step whose gradient is no number."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from sphinx_data.errors import UsageError
from sphinx_model.parallel import blocks
from sphinx_model.recipe import ModulesRecipe, OptimRecipe


def freeze(model: Any, modules: ModulesRecipe) -> None:
    """Say which parameters train: those of modules whose factor is not 0."""
    if modules.encoders is not None:
        model.freeze_encoders(modules.encoders == 0)
    for name, parameter in model.named_parameters():
        if not name.startswith(_ENCODERS):
            parameter.requires_grad_(_factor_of(name, modules) != 0)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UsageError("modules: every factor is 0, so nothing trains; give one that is larger")


def factors(model: Any, modules: ModulesRecipe) -> dict[str, float]:
    """Factor of the learning rate of every parameter that trains, by name."""
    depths = _depths(model) if modules.encoder_decay < 1 else {}
    return {
        name: _factor_of(name, modules) * modules.encoder_decay ** depths.get(name, 0)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


_ENCODERS = "model.encoders."
_CONNECTOR = ("model.connector.", "model.sequence_connectors.", "model.marks.")


def _factor_of(name: str, modules: ModulesRecipe) -> float:
    if name.startswith(_ENCODERS):
        return 1.0 if modules.encoders is None else modules.encoders
    return modules.connector if name.startswith(_CONNECTOR) else modules.language_model


def _depths(model: Any) -> dict[str, int]:
    """How many layers each parameter of an encoder lies below its end: 0 in the last layer and after it."""
    names = {module: name for name, module in model.named_modules()}
    depths: dict[str, int] = {}
    for body in model.model.encoders.bodies:
        layers = [f"{names[layer]}." for layer in blocks(body)]
        depth = len(layers)  # of what comes before the first layer
        for name, _ in body.named_parameters(prefix=names[body]):
            inside = next((number for number, layer in enumerate(layers) if name.startswith(layer)), None)
            depth = depth if inside is None else len(layers) - 1 - inside
            depths[name] = depth if inside is not None or depth == len(layers) else 0
    return depths


def learning_rate(recipe: OptimRecipe, model: Any) -> float:
    """The recipe's, or by the law of MM1 (arXiv:2403.09611, 3.4): exp(-0.4214 ln N - 0.5535).

    N are the parameters of the language model without its embeddings.
    """
    if recipe.lr != "mm1":
        return recipe.lr
    embeddings = model.get_input_embeddings().weight.numel()
    size = sum(parameter.numel() for parameter in model.model.language_model.parameters()) - embeddings
    return math.exp(-0.4214 * math.log(size) - 0.5535)


def scheduled(lr: float, recipe: OptimRecipe, step: int, steps: int) -> float:
    """Linear warm-up, then cosine to `final`; a pure function of the step."""
    warmup = max(1, round(recipe.warmup * steps))
    if step < warmup:
        return lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return lr * (recipe.final + (1 - recipe.final) * 0.5 * (1 + math.cos(math.pi * progress)))


class Optimizer:
    """AdamW over the trained parameters of a model, one group a factor.

    State lies in `moments`, allocated from the start, so that a checkpoint is always of the same tensors.
    """

    def __init__(self, model: Any, recipe: OptimRecipe, factor: dict[str, float]) -> None:
        self._recipe, self._factor = recipe, factor
        self.parameters = {name: parameter for name, parameter in model.named_parameters() if name in factor}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.parameters.items():
            decay = recipe.weight_decay if parameter.dim() > 1 else 0.0
            groups.setdefault((factor[name], decay), []).append(parameter)
        self._groups = [{"params": found, "factor": scale, "weight_decay": decay}
                        for (scale, decay), found in groups.items()]  # fmt: skip
        kind: Any = _HalfAdamW if recipe.states == "bfloat16" else torch.optim.AdamW
        options = {} if recipe.states == "bfloat16" else {"fused": True}
        self.torch: torch.optim.Optimizer = kind(self._groups, lr=0.0, betas=recipe.betas, **options)
        states = torch.bfloat16 if recipe.states == "bfloat16" else torch.float32
        for parameter in self.parameters.values():
            self.torch.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter, dtype=states),
                "exp_avg_sq": torch.zeros_like(parameter, dtype=states),
            }

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Everything that a checkpoint holds, by name: parameters, moments, steps taken."""
        for name, parameter in self.parameters.items():
            yield f"model/{name}", parameter.detach()
            for key, value in self.torch.state[parameter].items():
                yield f"{key}/{name}", value

    def step(self, lr: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Clip, update, forget the gradients. Returns the norm before clipping and whether it was no number (1.0).

        Then nothing changes, neither weights nor moments; both results stay on the device.
        """
        found = [parameter for parameter in self.parameters.values() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in found if parameter.grad is not None])
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        bad = (~torch.isfinite(norm)).float()
        if self._recipe.clip is not None:
            scale = (self._recipe.clip / (norm + 1e-6)).clamp(max=1.0)
            torch._foreach_mul_([_local(parameter.grad) for parameter in found], scale)
        for group in self.torch.param_groups:
            group["lr"] = lr * group["factor"]
        optimizer: Any = self.torch
        optimizer.found_inf, optimizer.grad_scale = bad, None  # the fused kernel leaves out the step where it is 1
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return norm, bad


class _HalfAdamW(torch.optim.Optimizer):
    """AdamW whose moments are bfloat16 and whose arithmetic is float32: 4 bytes a parameter less.

    Rounding to nearest is enough for SPHINX-X's second beta of 0.95, where a moment moves by a twentieth a step; at
    0.999 most updates would be lost below the eight bits of a bfloat16.
    """

    def __init__(self, groups: Any, lr: float, betas: tuple[float, float]) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": 1e-8})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update, or none where `found_inf` is 1."""
        taken: torch.Tensor = 1.0 - self.found_inf  # type: ignore[attr-defined]
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                state["step"] += taken
                weights, gradient = _local(parameter), torch.nan_to_num(_local(parameter.grad).float())
                means = [_local(state[key]) for key in ("exp_avg", "exp_avg_sq")]
                mean = means[0].float().lerp(gradient, 1 - first)
                square = means[1].float().lerp(gradient.square(), 1 - second)
                mean_scale, square_scale = 1 - first ** state["step"], 1 - second ** state["step"]
                update = (
                    mean
                    / mean_scale.clamp_min(1e-30)
                    / ((square / square_scale.clamp_min(1e-30)).sqrt() + group["eps"])
                )
                weights.mul_(1 - group["lr"] * group["weight_decay"] * taken).sub_(update * (group["lr"] * taken))
                for old, new in zip(means, (mean, square), strict=True):
                    old.copy_(torch.where(taken > 0, new, old.float()))


def _local(tensor: Any) -> torch.Tensor:
    """This rank's part of a sharded tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
