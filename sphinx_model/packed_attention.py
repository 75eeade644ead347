"""Attention of packed sequences document by document; the result is that of a document mask, to rounding.

With such a mask, scaled dot product attention computes the whole L x L square and throws most of it away. On a GPU
torch's variable-length kernel does the documents at once, on a CPU each is a causal square of its own.
"""

import importlib.util
import inspect
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface, AttentionMaskInterface

_varlen: Any = None  # torch 2.9 has none
if importlib.util.find_spec("torch.nn.attention.varlen"):
    _varlen = importlib.import_module("torch.nn.attention.varlen").varlen_attn
    _named = inspect.signature(_varlen).parameters
    _CAUSAL: dict[str, Any] = {"window_size": (-1, 0)} if "window_size" in _named else {"is_causal": True}

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
    """[B, heads, L, D] queries, keys and values -> [B, L, heads, D].

    Documents lie between the entries of `cu_seq_lens_q`, int32 [documents + 1] in B * L. Raises ValueError without it,
    or with a mask: both mean that the input is not packed.
    """
    boundaries = kwargs.get("cu_seq_lens_q")
    if boundaries is None or attention_mask is not None:
        raise ValueError(f"attention {NAME!r} is for packed training: it needs cu_seq_lens_q and takes no mask")
    attend = _on_gpu if query.is_cuda else _on_cpu
    return attend(query, key, value, boundaries, scaling, dropout), None


def _on_gpu(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    boundaries: torch.Tensor,
    scaling: float | None,
    dropout: float,
) -> torch.Tensor:
    if dropout:
        raise ValueError(f"attention {NAME!r} has no dropout on a GPU")
    batch, heads, length, width = query.shape
    if heads != key.shape[1]:  # grouped queries are an option of newer versions only
        key, value = (tensor.repeat_interleave(heads // key.shape[1], dim=1) for tensor in (key, value))
    flat = (tensor.transpose(1, 2).flatten(0, 1) for tensor in (query, key, value))
    # the longest document is only a bound for the grid; the pack's length does not change from batch to batch
    made: Any = _varlen(*flat, boundaries, boundaries, length, length, scale=scaling, **_CAUSAL)
    return made.view(batch, length, heads, width)


def _on_cpu(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    boundaries: torch.Tensor,
    scaling: float | None,
    dropout: float,
) -> torch.Tensor:
    batch, heads, length, width = query.shape
    sizes = [end - start for start, end in pairwise(boundaries.tolist())]
    flat = (tensor.transpose(0, 1).flatten(1, 2).split(sizes, dim=1) for tensor in (query, key, value))
    made = [
        F.scaled_dot_product_attention(
            q[None], k[None], v[None], dropout_p=dropout, is_causal=True, scale=scaling,
            enable_gqa=heads != key.shape[1],
        )[0]
        for q, k, v in zip(*flat, strict=True)
    ]  # fmt: skip
    return torch.cat(made, dim=1).view(heads, batch, length, width).permute(1, 2, 0, 3).contiguous()


def suits(text_config: Any, device: torch.device) -> bool:
    """Whether a language model's attention is plain causal attention, without windows, soft caps, dropout on a GPU."""
    odd = ["sliding_window", "attn_logit_softcapping"]
    if device.type != "cpu":
        odd += ["attention_dropout", "attn_pdrop"]
    plain = not any(getattr(text_config, name, None) for name in odd)
    return plain and (device.type == "cpu" or _varlen is not None)


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)
