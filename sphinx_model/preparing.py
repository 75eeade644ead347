"""What a run is made of: where it starts from, its data as packs, and the model on its device with an optimizer."""

import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sphinx_data.dataset.reader import Dataset, open_dataset
from sphinx_data.dialects import dialect
from sphinx_data.errors import UsageError
from sphinx_model import info, lengths, lora, memory, optim, packing, parallel, start
from sphinx_model.loader import BadSamples, PackDataset
from sphinx_model.metrics import Cost
from sphinx_model.objective import Objective
from sphinx_model.packing import RULES, Plan, refusals
from sphinx_model.recipe import TrainRecipe
from sphinx_model.splitting import Splitter
from sphinx_model.world import World


class Start(NamedTuple):
    """The model as it was read, and what is known of it without its weights."""

    dataset: Dataset
    model: Any  # float32 on the CPU; on other ranks than the first without values
    processor: Any
    blank: Any  # the same model without storage, frozen as it will be trained

    @classmethod
    def of(cls, recipe: TrainRecipe, out: Path, world: World) -> "Start":
        """Raises UsageError where it cannot fit into memory, before weights are made or read."""
        dataset = open_dataset(recipe.data, recipe.roots)
        blank = memory.meta(recipe.model)
        optim.freeze(blank, recipe.modules)
        memory.check(recipe, blank, world)
        place = world.once(lambda: start.directory(recipe.model, dataset, recipe.seed, out))
        model, processor = start.load(place, world)
        processor.dialect = recipe.dialect
        return cls(dataset, model, processor, blank)


class Data(NamedTuple):
    """Packs of the mix, and what is held out of it."""

    packs: PackDataset
    packs_in_all: int  # that the run consumes
    held: Dataset | None
    held_rows: list[int]

    @classmethod
    def of(cls, recipe: TrainRecipe, begun: Start, out: Path, world: World) -> "Data":
        """Lengths of all samples for this model, and which of them share a pack; made once, then read."""
        form, dataset, processor = dialect(recipe.dialect), begun.dataset, begun.processor
        held = open_dataset(recipe.holdout, recipe.roots) if recipe.holdout is not None else None
        budgets = recipe.pack.tokens, recipe.pack.views
        split = Splitter(dataset, processor, form, *budgets) if recipe.pack.too_long == "split" else None
        measured = world.once(lambda: lengths.measure(dataset, processor, form))
        plan = world.once(lambda: packing.plan(dataset, measured, *budgets, str(out / "plans"), recipe.seed, split))
        rows = []
        if held is not None:
            rows = _held_rows(recipe, world.once(lambda: lengths.measure(held, processor, form)), world.first)
        bad = world.once(lambda: BadSamples(out / "bad_samples.jsonl", recipe.max_bad))
        world.wait()  # it is rewritten when it is opened
        packs = PackDataset(dataset, plan, processor, form, recipe.pack.tokens, bad)
        return cls(packs, _packs_in_all(recipe, plan), held, rows)


class Model(NamedTuple):
    """The model on its device, sharded where there are several, and what moves it."""

    objective: Objective
    optimizer: optim.Optimizer
    weights: start.Weights
    lr: float  # at its highest
    cost: Cost
    parameters: int  # that train

    @classmethod
    def of(cls, recipe: TrainRecipe, begun: Start, world: World) -> "Model":
        """Freeze, add adapters, shard, give every rank its weights."""
        model = begun.model
        optim.freeze(model, recipe.modules)
        lr = optim.learning_rate(recipe.optim, model)
        if recipe.lora is not None:
            lora.add(model, recipe.lora, recipe.seed)
        weights, factors = start.Weights(model, world), optim.factors(model, recipe.modules)
        parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        objective = Objective(model)
        parallel.parallelise(objective, recipe.parallel, world)
        weights.give()
        optimizer = optim.Optimizer(model, recipe.optim, factors)
        return cls(objective, optimizer, weights, lr, _cost(recipe, begun.blank), parameters)


def _cost(recipe: TrainRecipe, blank: Any) -> Cost:
    language_trains = recipe.lora is None and recipe.modules.language_model > 0
    head = 2 * blank.lm_head.weight.numel()
    return Cost.of(info.flops(blank), head, not blank.model.encoders.frozen, language_trains)


def _held_rows(recipe: TrainRecipe, measured: Any, first: bool) -> list[int]:
    """Rows of the held-out set that are asked about, spread evenly over those that could have been trained on.

    The first rank says how many could not.
    """
    codes = refusals(measured, recipe.pack.tokens, recipe.pack.views)
    rows = np.flatnonzero(codes == 0)
    if len(rows) < len(codes) and first:
        why = ", ".join(sorted({RULES[code - 1] for code in np.unique(codes) if code}))
        print(f"{recipe.holdout}: {len(codes) - len(rows)} samples left out of the evaluation: {why}", file=sys.stderr)
    most = len(rows) if recipe.evaluate.samples is None else min(len(rows), recipe.evaluate.samples)
    return rows[np.arange(most) * len(rows) // max(most, 1)].tolist()


def _packs_in_all(recipe: TrainRecipe, plan: Plan) -> int:
    """Packs that a run consumes: a share or multiple of the plan, or what its steps take, the last perhaps not full."""
    if recipe.epochs is not None:
        return max(1, round(recipe.epochs * len(plan)))
    assert recipe.steps is not None
    once = math.ceil(len(plan) / recipe.pack.batch)
    if recipe.steps > once:
        raise UsageError(
            f"steps: {recipe.steps} steps of {recipe.pack.batch} packs are more than the mix has ({once}); "
            f"give epochs={recipe.steps / once:.2f} instead of steps if it should be repeated"
        )
    return min(len(plan), recipe.steps * recipe.pack.batch)
