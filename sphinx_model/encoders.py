"""The mixture of visual encoders; bodies come from `transformers`; copied into saved models.

Every encoder is reduced to the same two facts: a global feature and a square map. Consumers never ask its kind.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModel

from .configuration_sphinx import SphinxConfig

Features = tuple[torch.Tensor, torch.Tensor]  # global [V, C], map [V, C, G, G]


def _to_map(patches: torch.Tensor) -> torch.Tensor:
    """[V, G * G, C] -> [V, C, G, G]."""
    side = round(patches.shape[1] ** 0.5)
    return patches.transpose(1, 2).unflatten(2, (side, side))


def _dinov2(body: Any, pixels: torch.Tensor) -> Features:
    hidden = body(pixels).last_hidden_state
    registers = getattr(body.config, "num_register_tokens", 0)
    return hidden[:, 0], _to_map(hidden[:, 1 + registers :])


def _clip(body: Any, pixels: torch.Tensor) -> Features:
    """All tokens after the last norm, which `transformers` applies to the global one only (SPHINX: `ln_post`)."""
    hidden = body(pixels).last_hidden_state
    hidden = getattr(body, "vision_model", body).post_layernorm(hidden)
    return hidden[:, 0], _to_map(hidden[:, 1:])


def _convnext(body: Any, pixels: torch.Tensor) -> Features:
    """The norm of the head at every place; the mean of the normed map stands in for CLS, as in LLaMA2-Accessory."""
    hidden = body(pixels).last_hidden_state
    hidden = body.layernorm(hidden.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return hidden.mean(dim=(2, 3)), hidden


_READERS: dict[str, Callable[[Any, torch.Tensor], Features]] = {
    "clip_vision_model": _clip,
    "convnext": _convnext,
    "dinov2": _dinov2,
    "dinov2_with_registers": _dinov2,
}


def resize_map(features: torch.Tensor, side: int) -> torch.Tensor:
    """[V, C, G, G] -> [V, C, side, side]: repeated where the factor is whole (as the reference does), else bilinear."""
    if features.shape[-1] == side:
        return features
    if side % features.shape[-1] == 0:
        return F.interpolate(features, size=(side, side), mode="nearest")
    return F.interpolate(features, size=(side, side), mode="bilinear", align_corners=False)


class MixtureOfEncoders(nn.Module):
    """Views -> features [V, 1 + G * G, C]: CLS, then the map row by row, encoders concatenated along channels."""

    def __init__(self, config: SphinxConfig) -> None:
        super().__init__()
        self.bodies = nn.ModuleList(AutoModel.from_config(encoder) for encoder in config.encoder_configs())
        self.token_grid = config.token_grid
        # Plain numbers, not buffers: a checkpoint cannot disagree with the configuration.
        self._inputs = [(e["image_size"], e["image_mean"], e["image_std"]) for e in config.vision_configs or []]
        self.freeze(config.freeze_encoders)

    def freeze(self, frozen: bool) -> None:
        """Frozen: no gradients, eval mode, run without autograd. Otherwise every parameter that is used trains."""
        self.frozen = frozen
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(not frozen and not name.endswith("mask_token"))  # a pre-training leftover
        self.train(self.training)

    def train(self, mode: bool = True) -> "MixtureOfEncoders":
        """Frozen encoders stay in eval mode."""
        return super().train(mode and not self.frozen)

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        """[V, S, S, 3], uint8 or floating in [0, 1] -> [V, 1 + G * G, C] in the type of the encoders."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            pixels = views.permute(0, 3, 1, 2)
            pixels = pixels.float() / 255.0 if views.dtype == torch.uint8 else pixels.float()
            mixed = [self._encode(index, pixels) for index in range(len(self.bodies))]
            dtype = mixed[0].dtype
            return torch.cat([features.to(dtype) for features in mixed], dim=-1)

    def _encode(self, index: int, pixels: torch.Tensor) -> torch.Tensor:
        """One encoder on [V, 3, S, S] in [0, 1] -> [V, 1 + G * G, C]."""
        body: Any = self.bodies[index]
        size, *normalisation = self._inputs[index]
        if pixels.shape[-1] != size:
            pixels = F.interpolate(pixels, size=(size, size), mode="bicubic", antialias=True, align_corners=False)
            pixels = pixels.clamp(0.0, 1.0)
        mean, std = (pixels.new_tensor(values).view(1, 3, 1, 1) for values in normalisation)
        normalised = ((pixels - mean) / std).to(next(body.parameters()).dtype)
        summary, feature_map = _READERS[body.config.model_type](body, normalised)
        patches = resize_map(feature_map, self.token_grid).flatten(2).transpose(1, 2)
        return torch.cat([summary.unsqueeze(1), patches], dim=1)
