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
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sphinx_model.checkpoint import RunState
    from sphinx_model.evaluate import Evaluation
    from sphinx_model.preparing import Data
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

    from sphinx_model import evaluate, optim, parallel, preparing, report, stepping
    from sphinx_model.batching import batches, on_device
    from sphinx_model.checkpoint import Checkpoints
    from sphinx_model.metrics import Metrics, check_writers

    # what is trained, on what, and from where
    _refuse_ranks(recipe, world)
    check_writers(recipe.log)
    start = preparing.Start.of(recipe, out, world)
    data = preparing.Data.of(recipe, start, out, world)
    steps = math.ceil(data.packs_in_all / recipe.pack.batch)
    model = preparing.Model.of(recipe, start, world)
    if world.first:
        _announce(data, model.parameters, steps)
    objective, optimizer, packs = model.objective, model.optimizer, data.packs
    checkpoints = Checkpoints(out / "checkpoints", recipe.checkpoint.keep, world)
    step = checkpoints.load(_state(recipe, data, steps, 0), optimizer)
    if step and world.first:
        print(f"resumed at step {step} of {steps}", file=sys.stderr)

    def evaluated(step: int) -> "Evaluation":
        assert data.held is not None
        place = out / "evaluations" / f"{step:08d}.json" if world.first else None
        asked = recipe.seed, recipe.evaluate.answers
        with parallel.evaluating(objective):
            return evaluate.evaluate(
                objective.model, start.processor, data.held, packs.dialect, data.held_rows, place, *asked
            )

    def look(step: int, again: bool = True) -> None:
        """What is due between two steps: a model in Hugging Face form, an evaluation; only if missing, unless again."""
        done = [(out / f"hf-{step}").exists(), (out / "evaluations" / f"{step:08d}.json").exists()]
        exported, asked = world.total([float(world.first and not again and it) for it in done])  # as rank 0 sees it
        if _due(recipe.checkpoint.export_every, step) and not exported:
            model.weights.export(start.processor, out / f"hf-{step}", recipe.lora)
        if data.held is not None and _due(recipe.evaluate.every, step) and not asked:
            evaluated(step)

    # steps
    if 0 < step < steps:
        look(step, again=False)  # a run that was stopped here had perhaps no time for it
    page = report.Page(out, recipe, packs, data.held, steps, data.packs_in_all)
    if world.first and step < steps:
        page.renew(step)  # what the run will be fed can be looked at before it is
    metrics = Metrics(out, recipe.log, steps, step, packs.groups, model.cost, world)
    reading = batches(packs, recipe, world, step * recipe.pack.batch, data.packs_in_all)
    objective.train()
    with _sigterm() as terminated, closing(reading):
        ready = on_device(reading, world.device)
        while step < steps:
            torch.manual_seed(((recipe.seed * 2**20 + step) * 2**16 + world.rank) % 2**64)  # dropout: no state to keep
            lr = optim.scheduled(model.lr, recipe.optim, step, steps)
            micro = stepping.read(recipe, ready, world)
            totals = stepping.totals_of(micro, terminated.is_set(), world)
            sums = stepping.update(objective, optimizer, micro, totals, lr, len(packs.groups), world)
            step += 1
            metrics.add(step, lr, totals, sums)
            stepping.refuse_numbers(recipe, metrics.skipped, step)
            saves = step % recipe.checkpoint.every == 0 or step == steps or bool(totals.terminated)
            if saves:
                metrics.flush()
                checkpoints.save(_state(recipe, data, steps, step), optimizer)
            if totals.terminated:
                checkpoints.finish()
                if world.first:
                    print(f"terminated; saved at step {step}, run the same command again to go on", file=sys.stderr)
                sys.exit(128 + signal.SIGTERM)
            exports, looks = (_due(every, step) for every in (recipe.checkpoint.export_every, recipe.evaluate.every))
            if step < steps and (saves or exports or looks):
                metrics.flush()
                if exports:
                    model.weights.export(start.processor, out / f"hf-{step}", recipe.lora)
                if looks and data.held is not None:
                    evaluated(step)
                if world.first:
                    page.renew(step)
                metrics.restart()

    # what is left
    checkpoints.finish()
    model.weights.export(start.processor, out / "hf", recipe.lora)
    found = None if data.held is None else evaluated(steps)
    if world.first:
        if found is not None:
            found.write(out / "evaluation.json")
            print(found.sentence(), file=sys.stderr)
        page.write(steps)
    return out / "hf"


def _refuse_ranks(recipe: "TrainRecipe", world: "World") -> None:
    from sphinx_data.errors import UsageError

    if recipe.pack.batch % (recipe.pack.micro_batch * world.size):
        raise UsageError(
            f"pack.batch: {recipe.pack.batch} packs cannot be shared by {world.size} ranks with micro-batches of "
            f"{recipe.pack.micro_batch}; give a multiple of {recipe.pack.micro_batch * world.size}"
        )

    if world.size % recipe.parallel.replicate:
        raise UsageError(
            f"parallel.replicate: {world.size} ranks cannot be cut into {recipe.parallel.replicate} equal groups; "
            "give a divisor of their number"
        )


def _due(every: int | None, step: int) -> bool:
    return every is not None and step % every == 0


@contextmanager
def _claimed(out: Path, world: "World") -> Iterator[Path]:
    """The folder of the run, locked, so that no other process trains in it.

    Raises UsageError for one that is no run's, OutputError where nothing can be written.
    """
    from sphinx_data.errors import OutputError, UsageError

    if out.exists() and not out.is_dir():
        raise UsageError(f"out: {out} is a file; name a folder for the run")
    for mark, kind in (("dataset.json", "dataset"), ("config.json", "model")):
        if (out / mark).exists():
            raise UsageError(f"out: {out} holds a {kind}, which is left as it is; name another folder for the run")
    if not world.first:
        yield out
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        opened = (out / ".lock").open("w")
    except OSError as error:
        raise OutputError(f"out: {out} cannot be written ({error.strerror}); name another folder") from None
    with opened as lock:
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


def _state(recipe: "TrainRecipe", data: "Data", steps: int, step: int) -> "RunState":
    import msgspec

    from sphinx_model.checkpoint import RunState

    settings = {"model": recipe.model, "dialect": recipe.dialect, "seed": recipe.seed, "loss": recipe.loss}
    for name in ("pack", "modules", "optim", "lora"):
        values = msgspec.json.decode(msgspec.json.encode(getattr(recipe, name)))  # as they come back from the file
        settings |= {f"{name}.{key}": value for key, value in (values or {}).items()}
    for free in ("pack.micro_batch", "optim.max_skipped"):  # these change no numbers
        settings.pop(free, None)
    settings |= {"steps": steps, "packs": data.packs_in_all}
    packs = step * recipe.pack.batch
    return RunState(
        step=step,
        packs=packs,
        dataset=data.packs.dataset.fingerprint,
        plan=data.packs.plan.fingerprint,
        settings=settings,
    )


def _announce(data: "Data", parameters: int, steps: int) -> None:
    dataset, plan = data.packs.dataset, data.packs.plan
    dropped = ", ".join(f"{count} {rule}" for rule, count in sorted(plan.dropped.items())) or "none"
    split = f"; split at turns: {plan.split}" if plan.split else ""
    print(
        f"{dataset.name}: {len(dataset):,} samples in {len(plan):,} packs, {plan.fill:.1%} full "
        f"(bound {plan.bound:.1%}); left out: {dropped}{split}; "
        f"{parameters / 1e6:.1f} M parameters train for {steps:,} steps",
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
