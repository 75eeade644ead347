"""Connectors: mixed visual features to the width of the language model; copied into saved models."""

import torch
from torch import nn


class LinearConnector(nn.Module):
    """`visual_proj` of SPHINX: one linear map, then LayerNorm."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.norm = nn.LayerNorm(out_features)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[V, T, in_features] of any floating type -> [V, T, out_features] of the connector's own."""
        return self.norm(self.linear(features.to(self.linear.weight.dtype)))


CONNECTORS: dict[str, type[nn.Module]] = {"linear": LinearConnector}
