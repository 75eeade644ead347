"""Cross entropy of supervised positions only, one value each, so that a step can be normalised over all of it."""

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

IGNORE = -100
_CHUNK = 8192  # positions whose logits exist at a time where torch has no fused loss


def supervised(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where something is learned: flat places int64 [S] of the states that predict, and their targets int64 [S].

    `labels` [B, L] are not shifted; position t is learned from t - 1, -100 is ignored. The first label of every
    document is -100, so that nothing is predicted across documents.
    """
    places = F.pad(labels[:, 1:], (0, 1), value=IGNORE).flatten()
    chosen = (places != IGNORE).nonzero().flatten()
    return chosen, places[chosen]


def token_losses(hidden: torch.Tensor, head: torch.Tensor, places: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Losses of the supervised positions, float32 [S].

    Args:
        hidden: [B, L, D], of the body.
        head: [vocabulary, D].
        places: int64 [S], flat in B * L, from `supervised`.
        targets: int64 [S].

    Only S supervised positions of B * L reach the head: in visual question answering that is one in ten.
    """
    states = hidden.flatten(0, 1).index_select(0, places)
    if states.dtype == torch.float32 and not torch.is_autocast_enabled(states.device.type):
        return F.cross_entropy(states @ head.T, targets, reduction="none")
    if hasattr(F, "linear_cross_entropy") and len(targets):
        # its own sums are rounded to bfloat16, as each of these values is; added up in float32 that evens out
        return F.linear_cross_entropy(states, head, targets, reduction="none").float()
    chunks = zip(states.split(_CHUNK), targets.split(_CHUNK), strict=True)  # torch 2.11
    return torch.cat([checkpoint(_chunk_losses, part, head, wanted, use_reentrant=False) for part, wanted in chunks])


def _chunk_losses(states: torch.Tensor, head: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy((states @ head.T).float(), targets, reduction="none")
