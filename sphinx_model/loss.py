"""Cross entropy of supervised positions only, as a sum and a count, so that a step can be normalised over all of it."""

import torch
import torch.nn.functional as F

IGNORE = -100


def token_losses(hidden: torch.Tensor, head: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Losses of the supervised positions, float32 [S].

    Args:
        hidden: [B, L, D], of the body.
        head: [vocabulary, D].
        labels: [B, L], not shifted; position t is learned from t - 1, -100 is ignored. The first label of every
            document is -100, so that nothing is predicted across documents.

    Only S supervised positions of B * L reach the head: in visual question answering that is one in ten.
    """
    targets = labels[:, 1:]
    chosen = targets != IGNORE
    states, wanted = hidden[:, :-1][chosen], targets[chosen]
    if hasattr(F, "linear_cross_entropy") and hidden.dtype != torch.float32 and len(wanted):
        # its own reductions are rounded to bfloat16; the single losses are exact
        return F.linear_cross_entropy(states, head, wanted, reduction="none").float()
    return F.cross_entropy((states @ head.T).float(), wanted, reduction="none")


def sum_and_count(hidden: torch.Tensor, head: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Sum of the losses, float32 scalar, and how many there are; without any the sum is zero and has zero gradients."""
    losses = token_losses(hidden, head, labels)
    return losses.sum(), losses.numel()
