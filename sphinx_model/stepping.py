"""One step: its micro-batches, what all ranks do in it, and the update."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import torch

from sphinx_data.errors import UsageError
from sphinx_model.batching import Batch
from sphinx_model.metrics import Totals
from sphinx_model.objective import Objective
from sphinx_model.optim import Optimizer
from sphinx_model.recipe import TrainRecipe
from sphinx_model.world import World


class Micro(NamedTuple):
    """The micro-batches of a step on this rank, and the seconds that it waited for them."""

    batches: list[Batch]
    waited: float


def read(recipe: TrainRecipe, ready: Iterator[Batch], world: World) -> Micro:
    """The micro-batches of one step."""
    waiting = time.monotonic()
    count = recipe.pack.batch // (recipe.pack.micro_batch * world.size)
    return Micro([next(ready) for _ in range(count)], time.monotonic() - waiting)


def totals_of(micro: Micro, terminated: bool, world: World) -> Totals:
    """What all ranks do in a step, and whether any was asked to stop; every rank must call."""
    counts = [batch.counts for batch in micro.batches]
    sums = [sum(getattr(count, name) for count in counts) for name in Totals._fields[:5]]
    return Totals(*world.total([*sums, micro.waited, float(terminated)]))


def update(
    objective: Objective,
    optimizer: Optimizer,
    micro: Micro,
    totals: Totals,
    lr: float,
    groups: int,
    world: World,
) -> torch.Tensor:
    """One update from one global batch: every loss is divided by the weight of all ranks' supervised tokens.

    Returns this rank's part of what the log wants, float32 [1 + 2 * groups + 2], see `metrics`; nothing waits for the
    device. The balance loss of experts counts by the tokens of its micro-batch.
    """
    sums = torch.zeros(3 + 2 * groups, device=world.device)
    weight = max(totals.weight, 1e-9)
    for batch in micro.batches:
        losses, balance = objective(
            batch.input_ids, batch.position_ids, batch.pixel_values, batch.places, batch.targets, batch.boundaries
        )
        loss = (losses * batch.weights).sum() / weight
        sums[0] += loss.detach()
        if balance is not None:
            loss = loss + objective.model.router_weight * batch.counts.weight / weight * balance
        (loss * world.size).backward()  # sharding averages gradients over the ranks
        sums[1 : 1 + groups].index_add_(0, batch.groups, losses.detach())
        sums[1 + groups : 1 + 2 * groups].index_add_(0, batch.groups, torch.ones_like(losses))
    sums[-2], sums[-1] = optimizer.step(lr)
    return sums


def refuse_numbers(recipe: TrainRecipe, skipped: int, step: int) -> None:
    """Raises UsageError where too many steps in a row had no finite gradient."""
    if skipped > recipe.optim.max_skipped:
        raise UsageError(
            f"step {step}: the gradient of {skipped} steps in a row was no number (optim.max_skipped is "
            f"{recipe.optim.max_skipped}); lower optim.lr={recipe.optim.lr} or lengthen optim.warmup, with another out"
        )
