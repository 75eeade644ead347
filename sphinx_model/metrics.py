"""What a run says: a progress line on stderr, one JSON line a step in ``log.jsonl``, TensorBoard, Weights & Biases."""

import json
import resource
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch

from sphinx_data import storage
from sphinx_data.errors import UsageError
from sphinx_model.info import Flops
from sphinx_model.recipe import LogRecipe
from sphinx_model.world import World

_LINES = 20  # of progress where stderr is no terminal
# dense bfloat16 products, FLOP/s, of the makers' data sheets
_PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100": 989e12,
    "H800": 989e12,
    "A100": 312e12,
    "A800": 312e12,
    "L40S": 362e12,
}


class Totals(NamedTuple):
    """What all ranks did in a step, from `World.total`."""

    weight: float  # of the supervised tokens, what the loss was divided by
    tokens: float  # positions of documents
    pairs: float  # (position, earlier or same position of its document)
    views: float
    supervised: float
    waited: float  # seconds that ranks waited for data, added up
    terminated: float  # ranks that were asked to stop


class Cost(NamedTuple):
    """Floating point operations of training; what is computed again is not counted, nor a head that nothing asks."""

    view: float
    token: float
    head: float
    pair: float

    @classmethod
    def of(cls, flops: Flops, head: int, encoders_train: bool, language_trains: bool) -> "Cost":
        """From those of a forward pass: gradients of activations cost as much again, those of weights too."""
        passes = 3 if language_trains else 2
        return cls(
            flops.view * (3 if encoders_train else 1), (flops.token - head) * passes, head * passes, flops.pair * 3
        )

    def language(self, totals: Totals) -> float:
        """Of the language model in a step of all ranks."""
        return self.token * totals.tokens + self.head * totals.supervised + self.pair * totals.pairs


class _Step(NamedTuple):
    """A finished step, with what still lies on the device."""

    step: int
    lr: float
    totals: Totals
    sums: torch.Tensor  # float32 [1 + 2 * groups + 2]: loss, losses by group, tokens by group, norm, whether left out


class Metrics:
    """The log of a run. The device is asked every `log.every` steps only; each step still has a line of its own."""

    def __init__(
        self, out: Path, recipe: LogRecipe, steps: int, step: int, groups: list[str], cost: Cost, world: World
    ) -> None:
        """Go on after `step` of `steps`: what a killed run logged beyond its checkpoint is done again, so it goes."""
        self._recipe, self._steps, self._groups, self._cost, self._world = recipe, steps, groups, cost, world
        self._waiting: list[_Step] = []
        self._mark, self._said, self.skipped = time.monotonic(), step, 0
        self._peak = _peak(world.device)
        if world.first:
            path = out / "log.jsonl"
            rewrite_lines(path, [line for line in read_lines(path) if line["step"] <= step])
            self._file = path.open("a", encoding="utf-8", buffering=1)  # a line at a time
            self._writers = list(_writers(out, recipe))

    def add(self, step: int, lr: float, totals: Totals, sums: torch.Tensor) -> None:
        """One step that is under way on the device."""
        self._waiting.append(_Step(step, lr, totals, sums))
        if len(self._waiting) >= self._recipe.every or step == self._steps:
            self.flush()

    def flush(self) -> None:
        """Write down the steps since the last time. Every rank must call; it waits for the device."""
        if not self._waiting:
            return
        sums = torch.stack([step.sums for step in self._waiting])
        if self._world.size > 1:
            norms = sums[:, -2:].clone()  # the same on every rank
            torch.distributed.all_reduce(sums)
            sums[:, -2:] = norms
        values = sums.tolist()
        now = time.monotonic()
        seconds = max(now - self._mark, 1e-9) / len(self._waiting)
        for step, numbers in zip(self._waiting, values, strict=True):
            self.skipped = self.skipped + 1 if numbers[-1] else 0
            if self._world.first:
                self._write(self._line(step, numbers, seconds))
        self._waiting.clear()
        self._mark = now

    def restart(self) -> None:
        """Count time from now on: what came between steps was no training."""
        self._mark = time.monotonic()

    def _line(self, step: _Step, numbers: list[float], seconds: float) -> dict[str, Any]:
        count, totals = len(self._groups), step.totals
        losses, tokens = numbers[1 : 1 + count], numbers[1 + count : 1 + 2 * count]
        line: dict[str, Any] = {
            "step": step.step,
            "loss": numbers[0],
            "grad_norm": numbers[-2],
            "lr": step.lr,
            "supervised_tokens": int(totals.supervised),
            "supervised_tokens_per_s": round(totals.supervised / seconds, 1),
            "tokens_per_s": round(totals.tokens / seconds, 1),
            "views_per_s": round(totals.views / seconds, 1),
            "llm_tflops": round(self._cost.language(totals) / seconds / 1e12, 3),
            "encoder_tflops": round(self._cost.view * totals.views / seconds / 1e12, 3),
            "data_wait": round(totals.waited / self._world.size / seconds, 4),
            "memory_gib": round(_memory(self._world.device), 2),
            "seconds": round(seconds, 3),
            "by_source": {
                name: [round(loss / number, 5), int(number)]
                for name, loss, number in zip(self._groups, losses, tokens, strict=True)
                if number
            },
        }
        if numbers[-1]:
            line["skipped"] = True  # the gradient was no number; nothing was learned from this step
        if self._peak:
            peak = self._peak * self._world.size / 1e12
            line["mfu_llm"], line["mfu_encoders"] = (
                round(line[name] / peak, 4) for name in ("llm_tflops", "encoder_tflops")
            )
        return line

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        for writer in self._writers:
            writer(line)
        interval = max(1, self._steps // _LINES)
        if sys.stderr.isatty() or line["step"] // interval > self._said // interval or line["step"] == self._steps:
            self._show(line)
        self._said = line["step"]

    def _show(self, line: dict[str, Any]) -> None:
        step = line["step"]
        mfu = "" if "mfu_llm" not in line else f"MFU {line['mfu_llm']:.0%} + {line['mfu_encoders']:.0%} encoders  "
        text = (
            f"step {step}/{self._steps}  loss {line['loss']:.4f}  {line['supervised_tokens_per_s']:,.0f} tokens/s  "
            f"{line['views_per_s']:,.0f} views/s  {mfu}data wait {line['data_wait']:.0%}  "
            f"{line['memory_gib']:.1f} GiB  {line['seconds'] * (self._steps - step):.0f} s left"
        )
        end = "\r" if sys.stderr.isatty() and step < self._steps else "\n"
        print(text.ljust(100), end=end, file=sys.stderr, flush=True)


def check_writers(recipe: LogRecipe) -> None:
    """Raises UsageError where what the recipe wants to write to is not installed."""
    for name, wanted in (("tensorboard", recipe.tensorboard), ("wandb", recipe.wandb is not None)):
        if wanted and find_spec(name) is None:
            raise UsageError(f"log.{name}: {name} is not installed: pip install {name}")


def _writers(out: Path, recipe: LogRecipe) -> Any:
    """Functions that take a line of the log."""
    if recipe.tensorboard:
        from torch.utils.tensorboard import SummaryWriter

        board = SummaryWriter(str(out / "tensorboard"))

        def to_board(line: dict[str, Any]) -> None:
            for name, value in _scalars(line):
                board.add_scalar(name, value, line["step"])

        yield to_board
    if recipe.wandb is not None:
        import wandb

        run = wandb.init(project=recipe.wandb, name=out.name, dir=str(out), id=out.name, resume="allow")
        yield lambda line: run.log(dict(_scalars(line)), step=line["step"])


def _scalars(line: dict[str, Any]) -> list[tuple[str, float]]:
    flat = [(name, value) for name, value in line.items() if isinstance(value, int | float)]
    return flat + [(f"loss/{name}", loss) for name, (loss, _) in line["by_source"].items()]


def _peak(device: torch.device) -> float | None:
    """The most FLOP/s of a known GPU; None for others, for which no share is given."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peak for known, peak in _PEAKS.items() if known in name), None)


def _memory(device: torch.device) -> float:
    """The most memory that this process has used so far, in GiB: of its GPU, or of the machine."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSON-lines file, none where there is no file; a last line that a kill cut is left out."""
    lines: list[dict[str, Any]] = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


def rewrite_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    """Replace a JSON-lines file, so that one may append to it again after a kill."""
    storage.write_atomic(path, "".join(json.dumps(line) + "\n" for line in lines).encode())
