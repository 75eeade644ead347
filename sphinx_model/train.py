"""``sphinx-train RECIPE [key=value ...]``: one linear loop from a mix to a Hugging Face directory.

The same code on one CPU, one GPU, and under ``torchrun`` on many. What it stands on: `world` (processes), `loader`
(packs as tensors), `objective` (model and loss), `parallel` (sharding), `optim`, `checkpoint`, `metrics`.
"""

import fcntl
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    import torch

    from sphinx_data.dataset.reader import Dataset
    from sphinx_model.checkpoint import RunState
    from sphinx_model.evaluate import Evaluation
    from sphinx_model.loader import Batch
    from sphinx_model.metrics import Totals
    from sphinx_model.objective import Objective
    from sphinx_model.optim import Optimizer
    from sphinx_model.packing import Plan
    from sphinx_model.recipe import TrainRecipe
    from sphinx_model.world import World


def train(recipe: "TrainRecipe") -> Path:
    """Run a recipe to its end, from its newest checkpoint where there is one; returns the Hugging Face directory.

    Raises UsageError for a recipe, model or mix that do not fit together, InputError for unreadable data, OutputError
    for a full disk, StuckError for a rank or a reading thread that does not go on. SIGTERM saves a checkpoint after the
    running step and exits with 143.
    """
    from sphinx_model import world

    with (
        world.start(recipe.parallel.timeout) as here,
        world.contact(here),
        _claimed(Path(recipe.out), here) as out,
    ):
        return _train(recipe, here, out)


def _train(recipe: "TrainRecipe", world: "World", out: Path) -> Path:
    import torch

    from sphinx_data.dataset.reader import open_dataset
    from sphinx_data.dialects import dialect
    from sphinx_model import evaluate, info, lengths, lora, memory, optim, packing, parallel, report, start
    from sphinx_model.checkpoint import Checkpoints
    from sphinx_model.loader import BadSamples, PackDataset, batches, on_device
    from sphinx_model.metrics import Cost, Metrics
    from sphinx_model.objective import Objective
    from sphinx_model.splitting import Splitter

    # data: a dataset, the lengths of its samples for this model, and which of them share a pack
    _refuse_ranks(recipe, world)
    form, dataset = dialect(recipe.dialect), open_dataset(recipe.data, recipe.roots)
    held = open_dataset(recipe.holdout, recipe.roots) if recipe.holdout is not None else None
    place = world.once(lambda: start.directory(recipe.model, dataset, recipe.seed, out))
    blank = memory.meta(place)
    optim.freeze(blank, recipe.modules)
    memory.check(recipe, blank, world)
    model, processor = start.load(place, world)
    processor.dialect = recipe.dialect
    budgets = recipe.pack.tokens, recipe.pack.views
    split = Splitter(dataset, processor, form, *budgets) if recipe.pack.too_long == "split" else None
    measured = world.once(lambda: lengths.measure(dataset, processor, form))
    plan = world.once(lambda: packing.plan(dataset, measured, *budgets, str(out / "plans"), recipe.seed, split))
    held_rows = []
    if held is not None:
        held_rows = _held_rows(recipe, world.once(lambda: lengths.measure(held, processor, form)), world.first)
    packs_in_all = _packs_in_all(recipe, plan)
    steps = math.ceil(packs_in_all / recipe.pack.batch)

    # model: frozen where it is, sharded over the ranks, with an optimizer of what trains
    optim.freeze(model, recipe.modules)
    if recipe.lora is not None:
        lora.add(model, recipe.lora)
    weights, peak_lr, factors = (
        start.Weights(model, world), optim.learning_rate(recipe.optim, model), optim.factors(model, recipe.modules),
    )  # fmt: skip
    language_trains = recipe.lora is None and recipe.modules.language_model > 0
    head = 2 * blank.lm_head.weight.numel()
    cost = Cost.of(info.flops(blank), head, not blank.model.encoders.frozen, language_trains)
    if world.first:
        _announce(dataset, plan, model, steps)
    objective = Objective(model)
    parallel.parallelise(objective, recipe.parallel, world)
    weights.give()
    optimizer = optim.Optimizer(model, recipe.optim, factors)
    checkpoints = Checkpoints(out / "checkpoints", recipe.checkpoint.keep, world)
    step = checkpoints.load(_state(recipe, dataset, plan, steps, 0), optimizer)
    if step and world.first:
        print(f"resumed at step {step} of {steps}", file=sys.stderr)

    def evaluated(step: int) -> "Evaluation":
        place = out / "evaluations" / f"{step:08d}.json" if world.first else None
        assert held is not None
        with parallel.evaluating(objective):
            return evaluate.evaluate(
                model, processor, held, form, held_rows, place, recipe.seed, recipe.evaluate.answers
            )

    # steps
    bad = BadSamples(out / "bad_samples.jsonl", recipe.max_bad)
    packs = PackDataset(dataset, plan, processor, form, recipe.pack.tokens, bad)
    metrics = Metrics(out, recipe.log, steps, step, packs.groups, cost, world)
    reading = batches(packs, recipe, world, step * recipe.pack.batch, packs_in_all)
    objective.train()
    with _sigterm() as terminated, closing(reading):
        ready = on_device(reading, world.device)
        while step < steps:
            lr = optim.scheduled(peak_lr, recipe.optim, step, steps)
            torch.manual_seed((recipe.seed * 2**20 + step) * 2**16 + world.rank)  # dropout: no state to keep
            micro = _read(recipe, ready, world)
            totals = _totals(micro, terminated, world)
            sums = _update(objective, optimizer, micro, totals, lr, len(packs.groups), world)
            step += 1
            metrics.add(step, lr, totals, sums)
            _refuse_numbers(recipe, metrics.skipped, step)
            if step % recipe.checkpoint.every == 0 or step == steps or totals.terminated:
                metrics.flush()
                checkpoints.save(_state(recipe, dataset, plan, steps, step), optimizer)
            if totals.terminated:
                checkpoints.finish()
                if world.first:
                    print(f"terminated; saved at step {step}, run the same command again to go on", file=sys.stderr)
                sys.exit(128 + signal.SIGTERM)
            if step < steps and _due(recipe.checkpoint.export_every, step):
                weights.export(processor, out / f"hf-{step}", recipe.lora)
            if step < steps and held is not None and _due(recipe.evaluate.every, step):
                evaluated(step)

    # what is left
    checkpoints.finish()
    weights.export(processor, out / "hf", recipe.lora)
    found = None if held is None else evaluated(steps)
    if world.first:
        if found is not None:
            found.write(out / "evaluation.json")
            print(found.sentence(), file=sys.stderr)
        report.write(out, found, held)
    return out / "hf"


class _Micro(NamedTuple):
    """The micro-batches of a step on this rank, and the seconds that it waited for them."""

    batches: list["Batch"]
    waited: float


def _read(recipe: "TrainRecipe", ready: Iterator["Batch"], world: "World") -> _Micro:
    waiting = time.monotonic()
    count = recipe.pack.batch // (recipe.pack.micro_batch * world.size)
    return _Micro([next(ready) for _ in range(count)], time.monotonic() - waiting)


def _totals(micro: _Micro, terminated: threading.Event, world: "World") -> "Totals":
    from sphinx_model.metrics import Totals

    counts = [batch.counts for batch in micro.batches]
    sums = [sum(getattr(count, name) for count in counts) for name in Totals._fields[:5]]
    return Totals(*world.total([*sums, micro.waited, terminated.is_set()]))


def _update(
    objective: "Objective",
    optimizer: "Optimizer",
    micro: _Micro,
    totals: "Totals",
    lr: float,
    groups: int,
    world: "World",
) -> "torch.Tensor":
    """One update from one global batch: every loss is divided by the weight of all ranks' supervised tokens.

    Returns this rank's part of what the log wants, float32 [1 + 2 * groups + 2], see `metrics`; nothing waits for the
    device. The balance loss of experts counts by the tokens of its micro-batch.
    """
    import torch

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


def _refuse_numbers(recipe: "TrainRecipe", skipped: int, step: int) -> None:
    from sphinx_data.errors import UsageError

    if skipped > recipe.optim.max_skipped:
        raise UsageError(
            f"step {step}: the gradient of {skipped} steps in a row was no number (optim.max_skipped is "
            f"{recipe.optim.max_skipped}); lower optim.lr={recipe.optim.lr} or lengthen optim.warmup, with another out"
        )


def _refuse_ranks(recipe: "TrainRecipe", world: "World") -> None:
    from sphinx_data.errors import UsageError

    if recipe.pack.batch % (recipe.pack.micro_batch * world.size):
        raise UsageError(
            f"pack.batch: {recipe.pack.batch} packs cannot be shared by {world.size} ranks with micro-batches of "
            f"{recipe.pack.micro_batch}; give a multiple of {recipe.pack.micro_batch * world.size}"
        )


def _due(every: int | None, step: int) -> bool:
    return every is not None and step % every == 0


@contextmanager
def _claimed(out: Path, world: "World") -> Iterator[Path]:
    """The folder of the run, locked, so that no other process trains in it."""
    from sphinx_data.errors import UsageError

    if out.exists() and not out.is_dir():
        raise UsageError(f"out: {out} is a file; name a folder for the run")
    if not world.first:
        yield out
        return
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"out: another process trains in {out}; wait for it or name another folder") from None
        yield out


@contextmanager
def _sigterm() -> Iterator[threading.Event]:
    """Whether SIGTERM came; it still ends the process at once outside the block, where nothing can be lost."""
    terminated = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: terminated.set())
    try:
        yield terminated
    finally:
        signal.signal(signal.SIGTERM, before)


def _held_rows(recipe: "TrainRecipe", measured: Any, first: bool) -> list[int]:
    """Rows of the held-out set that are asked about, spread evenly over those that could have been trained on.

    The first rank says how many could not."""
    from sphinx_model.packing import refusals

    rules = refusals(measured, recipe.pack.tokens, recipe.pack.views)
    rows = [row for row, rule in enumerate(rules) if not rule]
    if len(rows) < len(rules) and first:
        print(
            f"{recipe.holdout}: {len(rules) - len(rows)} samples left out of the evaluation: "
            f"{', '.join(sorted({str(rule) for rule in rules if rule}))}",
            file=sys.stderr,
        )
    most = len(rows) if recipe.evaluate.samples is None else min(len(rows), recipe.evaluate.samples)
    return [rows[number * len(rows) // most] for number in range(most)]


def _packs_in_all(recipe: "TrainRecipe", plan: "Plan") -> int:
    """Packs that a run consumes: a share or multiple of the plan, or what its steps take, the last perhaps not full."""
    from sphinx_data.errors import UsageError

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


def _state(recipe: "TrainRecipe", dataset: "Dataset", plan: "Plan", steps: int, step: int) -> "RunState":
    import msgspec

    from sphinx_model.checkpoint import RunState

    settings = {"model": recipe.model, "dialect": recipe.dialect, "seed": recipe.seed, "steps": steps}
    settings |= {"loss": recipe.loss}
    for name in ("pack", "modules", "optim", "lora"):
        values = msgspec.json.decode(msgspec.json.encode(getattr(recipe, name)))  # as they come back from the file
        settings |= {f"{name}.{key}": value for key, value in (values or {}).items()}
    for free in ("pack.micro_batch", "optim.max_skipped"):  # these change no numbers
        settings.pop(free, None)
    packs = step * recipe.pack.batch
    return RunState(step=step, packs=packs, dataset=dataset.fingerprint, plan=plan.fingerprint, settings=settings)


def _announce(dataset: "Dataset", plan: "Plan", model: Any, steps: int) -> None:
    dropped = ", ".join(f"{count} {rule}" for rule, count in sorted(plan.dropped.items())) or "none"
    split = f"; split at turns: {plan.split}" if plan.split else ""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    print(
        f"{dataset.name}: {len(dataset):,} samples in {len(plan):,} packs, {plan.fill:.1%} full "
        f"(bound {plan.bound:.1%}); left out: {dropped}{split}; "
        f"{trained / 1e6:.1f} M parameters train for {steps:,} steps",
        file=sys.stderr,
    )


@click.command("sphinx-train", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(recipe: str, overrides: tuple[str, ...], debug: bool) -> None:
    """Train a model by RECIPE, a YAML file; a run that was stopped goes on where it was."""
    from transformers.utils import logging

    from sphinx_model.recipe import load

    logging.disable_progress_bar()
    made = train(load(recipe, overrides))
    if os.environ.get("RANK", "0") == "0":
        click.echo(made)


def main() -> None:
    """Entry point; exit statuses are those of docs/contracts.md, section 5."""
    # threads that spin at barriers make a step six times longer on a machine that others use (docs/benchmarks.md)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from sphinx_data.cli import run

    sys.exit(run(command, sys.argv[1:], "sphinx-train"))


if __name__ == "__main__":  # torchrun --nproc-per-node 8 -m sphinx_model.train RECIPE
    main()
