"""A model and its loss as one module: what is called once a micro-batch, and what sharding gathers around."""

from typing import Any

import torch
from torch import nn

from sphinx_model.loss import token_losses


class Objective(nn.Module):
    """Supervised losses of a micro-batch.

    A module of its own, because FSDP gathers embeddings, norm and head when its root is called: the loss needs the head
    without a call of `SphinxForConditionalGeneration`, whose logits of every position nobody wants.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        pixel_values: torch.Tensor,
        places: torch.Tensor,
        targets: torch.Tensor,
        boundaries: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Losses float32 [S] of the supervised positions (see `token_losses`), and the balance loss of experts or None.

        `input_ids` and `position_ids` are [B, L], views uint8 [V, S, S, 3] with V = 0 for text, `boundaries` int32
        [documents + 1], where documents begin in B * L.
        """
        length = input_ids.shape[1]
        body = self.model.model(
            input_ids=input_ids,
            pixel_values=pixel_values if len(pixel_values) else None,
            position_ids=position_ids,
            cu_seq_lens_q=boundaries,
            cu_seq_lens_k=boundaries,
            max_length_q=length,
            max_length_k=length,
        )
        return token_losses(body.last_hidden_state, self.model.lm_head.weight, places, targets), body.aux_loss
