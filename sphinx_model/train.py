"""``sphinx-train RECIPE [key=value ...]``: one linear loop from a mix to a Hugging Face directory."""

import math
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import torch

    from sphinx_model.checkpoint import RunState
    from sphinx_model.loader import Batch, PackDataset
    from sphinx_model.packing import Plan
    from sphinx_model.recipe import TrainRecipe


def train(recipe: "TrainRecipe") -> Path:
    """Run a recipe to its end, from its newest checkpoint where there is one; returns the Hugging Face directory.

    Raises UsageError for a recipe, model or mix that do not fit together, InputError for unreadable data.
    """
    import torch

    from sphinx_data.dataset.reader import open_dataset
    from sphinx_data.dialects import dialect
    from sphinx_model import checkpoint, evaluate, lengths, packing, report
    from sphinx_model.loader import BadSamples, PackDataset
    from sphinx_model.metrics import Metrics

    out = Path(recipe.out)
    out.mkdir(parents=True, exist_ok=True)
    dataset, form = open_dataset(recipe.data, recipe.roots), dialect(recipe.dialect)
    model, processor = _model(recipe, dataset, out)
    measured = lengths.measure(dataset, processor, form)
    plan = packing.plan(dataset, measured, recipe.pack.tokens, recipe.pack.views, str(out / "plans"), recipe.seed)
    steps = _steps(recipe, plan)
    _announce(dataset, plan, model, steps)

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).train()
    optimizer = _optimizer(recipe, model)
    start = _state(recipe, dataset.fingerprint, plan, steps, 0)
    saved = checkpoint.load(out / "checkpoints", model, optimizer)
    if saved is not None:
        checkpoint.refuse_difference(saved, start, str(out))
        print(f"resumed at step {saved.step} of {steps}", file=sys.stderr)
    step = saved.step if saved else 0

    metrics = Metrics(out / "log.jsonl", steps, step)
    bad = BadSamples(str(out / "bad_samples.jsonl"), recipe.max_bad)
    packs = PackDataset(dataset, plan, processor, form, recipe.pack.tokens, bad)
    batches = _batches(recipe, packs, step, steps)
    while step < steps:
        loss, norm = _step(recipe, model, optimizer, batches, _learning_rate(recipe, step, steps), metrics, device)
        step += 1
        metrics.log(step, loss=loss, grad_norm=norm, lr=_learning_rate(recipe, step - 1, steps))
        if step % recipe.checkpoint.every == 0 or step == steps:
            state = _state(recipe, dataset.fingerprint, plan, steps, step)
            checkpoint.save(out / "checkpoints", state, model, optimizer, recipe.checkpoint.keep)

    model.eval()
    _export(model, processor, out / "hf")
    if recipe.holdout is not None:
        held = open_dataset(recipe.holdout, recipe.roots)
        found = evaluate.evaluate(model, processor, held, form, out / "evaluation.json", recipe.seed)
        print(found.sentence(), file=sys.stderr)
        report.write(out, found, held)
    return out / "hf"


def _model(recipe: "TrainRecipe", dataset: Any, out: Path) -> tuple[Any, Any]:
    """The model and processor to start from; a preset is built once and kept in ``OUT/init`` for resuming."""
    from sphinx_data.errors import UsageError
    from sphinx_model.presets import PRESETS, build
    from sphinx_model.tokenizer import train_tokenizer

    place = Path(recipe.model)
    if recipe.model in PRESETS:
        place = out / "init"
        if not place.exists():
            model, processor = build(recipe.model, train_tokenizer(_texts(dataset)), seed=recipe.seed)
            _export(model, processor, place)
    if not place.is_dir():
        raise UsageError(f"model: {recipe.model!r} is neither a preset ({', '.join(PRESETS)}) nor a directory")
    from transformers import AutoModelForImageTextToText, AutoProcessor

    import sphinx_model.auto  # noqa: F401 (registers our classes)

    return AutoModelForImageTextToText.from_pretrained(place), AutoProcessor.from_pretrained(place)


def _texts(dataset: Any, most: int = 20_000) -> Iterator[str]:
    """Texts of a dataset that a small tokenizer learns from: samples spread evenly over the mix."""
    from sphinx_data.sample import RegionPart, TextPart

    for row in range(0, len(dataset), max(1, len(dataset) // most)):
        for message in dataset.sample(row).messages:
            for part in message.content:
                if isinstance(part, TextPart | RegionPart):
                    yield part.text or ""


def _steps(recipe: "TrainRecipe", plan: "Plan") -> int:
    from sphinx_data.errors import UsageError

    once = math.ceil(len(plan) / recipe.pack.batch)
    if recipe.epochs is not None:
        return max(1, round(recipe.epochs * len(plan) / recipe.pack.batch))
    assert recipe.steps is not None
    if recipe.steps > once:
        raise UsageError(
            f"steps: {recipe.steps} steps of {recipe.pack.batch} packs are more than the mix has ({once}); "
            f"give epochs={recipe.steps / once:.2f} instead of steps if it should be repeated"
        )
    return recipe.steps


def _optimizer(recipe: "TrainRecipe", model: Any) -> "torch.optim.Optimizer":
    import torch

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    settings = recipe.optim
    return torch.optim.AdamW(trained, lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay)


def _learning_rate(recipe: "TrainRecipe", step: int, steps: int) -> float:
    """Linear warm-up, then cosine to `final`; a pure function of the step."""
    warmup = max(1, round(recipe.optim.warmup * steps))
    if step < warmup:
        return recipe.optim.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    floor = recipe.optim.final
    return recipe.optim.lr * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))


def _batches(recipe: "TrainRecipe", packs: "PackDataset", step: int, steps: int) -> Iterator["Batch"]:
    """Micro-batches from `step` on; the last global batch of an unrepeated mix is filled with empty packs."""
    from sphinx_model.loader import collate, read_ahead
    from sphinx_model.packing import pack_at

    size, most = recipe.pack.micro_batch, len(packs)
    last = most if recipe.epochs is None else steps * recipe.pack.batch
    numbers = iter(range(step * recipe.pack.batch, steps * recipe.pack.batch))

    def read(position: int) -> Any:
        return packs[pack_at(position, most, recipe.seed)] if position < last else packs.empty()

    ready = read_ahead(read, numbers, recipe.threads, ahead=2 * recipe.pack.batch)
    while micro := [pack for _, pack in zip(range(size), ready, strict=False)]:
        yield collate(micro)


def _step(
    recipe: "TrainRecipe", model: Any, optimizer: Any, batches: Iterator["Batch"], lr: float, metrics: Any, device: Any
) -> tuple[float, float]:
    """One update from one global batch: gradients of summed losses, divided by all its supervised tokens."""
    import torch

    from sphinx_data.errors import InputError
    from sphinx_model.loss import sum_and_count

    total, count = torch.zeros((), device=device), 0
    for _ in range(recipe.pack.batch // recipe.pack.micro_batch):
        waiting = time.monotonic()
        batch = next(batches)
        waited = time.monotonic() - waiting
        ids, labels, positions, views = (tensor.to(device, non_blocking=True) for tensor in batch)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            hidden = model.model(input_ids=ids, pixel_values=views if len(views) else None, position_ids=positions)
        summed, supervised = sum_and_count(hidden.last_hidden_state, model.lm_head.weight, labels)
        summed.backward()
        total += summed.detach()
        count += supervised
        metrics.count(supervised, len(views), waited)
    trained = [parameter for parameter in model.parameters() if parameter.grad is not None]
    torch._foreach_div_([parameter.grad for parameter in trained], max(count, 1))
    limit = recipe.optim.clip if recipe.optim.clip is not None else math.inf
    norm = float(torch.nn.utils.clip_grad_norm_(trained, limit))
    if not math.isfinite(norm):
        raise InputError(f"the gradient is {norm}; lower optim.lr, or look at the samples of this step")
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(total) / max(count, 1), norm


def _state(recipe: "TrainRecipe", dataset: str, plan: "Plan", steps: int, step: int) -> "RunState":
    import msgspec

    from sphinx_model.checkpoint import RunState

    optim: dict[str, Any] = msgspec.to_builtins(recipe.optim)
    settings = {"steps": steps, "pack.batch": recipe.pack.batch, "seed": recipe.seed}
    settings |= {f"optim.{key}": value for key, value in optim.items()}
    return RunState(
        step=step, packs=step * recipe.pack.batch, dataset=dataset, plan=plan.fingerprint, settings=settings
    )


def _export(model: Any, processor: Any, place: Path) -> None:
    """Save in Hugging Face form, atomically."""
    temporary = place.with_name(f".tmp-{os.getpid()}-{place.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary)
    processor.save_pretrained(temporary)
    shutil.rmtree(place, ignore_errors=True)
    temporary.replace(place)


def _announce(dataset: Any, plan: "Plan", model: Any, steps: int) -> None:
    dropped = ", ".join(f"{count} {rule}" for rule, count in sorted(plan.dropped.items())) or "none"
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    print(
        f"{dataset.name}: {len(dataset):,} samples in {len(plan):,} packs, {plan.fill:.1%} full "
        f"(bound {plan.bound:.1%}); left out: {dropped}; {trained / 1e6:.1f} M parameters train for {steps:,} steps",
        file=sys.stderr,
    )


@click.command("sphinx-train", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(recipe: str, overrides: tuple[str, ...], debug: bool) -> None:
    """Train a model by RECIPE, a YAML file; a run that was stopped goes on where it was."""
    from sphinx_model.recipe import load

    click.echo(train(load(recipe, overrides)))


def main() -> None:
    """Entry point; exit statuses are those of docs/contracts.md, section 5."""
    # threads that spin at barriers make a step six times longer on a machine that others use (docs/benchmarks.md)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from sphinx_data.cli import run

    sys.exit(run(command, sys.argv[1:], "sphinx-train"))
