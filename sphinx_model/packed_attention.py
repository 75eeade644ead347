"""Attention of packed sequences document by document, for devices without a kernel that skips masked blocks.

With a document mask, scaled dot product attention computes the whole L x L square and throws most of it away; here each
document is a causal square of its own. The result is the same to rounding.
"""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface, AttentionMaskInterface

NAME = "sphinx_packed"


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """[B, heads, L, D] queries, keys and values -> [B, L, heads, D]; documents begin where `position_ids` is 0.

    Raises ValueError without `position_ids` [B, L], or with a mask: both mean that the input is not packed.
    """
    positions = kwargs.get("position_ids")
    if positions is None or attention_mask is not None:
        raise ValueError(f"attention {NAME!r} is for packed training: it needs position_ids and takes no mask")
    grouped = query.shape[1] != key.shape[1]
    rows = []
    for row, place in enumerate(positions.expand(query.shape[0], -1)):
        starts = [*(place == 0).nonzero().flatten().tolist(), place.shape[0]]
        sizes = [end - start for start, end in pairwise(starts)]
        documents = zip(*(tensor[row].split(sizes, dim=1) for tensor in (query, key, value)), strict=True)
        rows.append(
            torch.cat(
                [
                    F.scaled_dot_product_attention(
                        q[None], k[None], v[None], dropout_p=dropout, is_causal=True, scale=scaling, enable_gqa=grouped
                    )[0]
                    for q, k, v in documents
                ],
                dim=1,
            )
        )
    return torch.stack(rows).transpose(1, 2).contiguous(), None


def suits(text_config: Any) -> bool:
    """Whether a language model's attention is plain causal attention, without windows or soft caps."""
    return not any(getattr(text_config, name, None) for name in ("sliding_window", "attn_logit_softcapping"))


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)
