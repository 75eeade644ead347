"""What a run says: a progress line on stderr and one JSON line a step in ``log.jsonl``."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from sphinx_data import storage

_LINES = 20  # of progress where stderr is no terminal


class Metrics:
    """The log of a run, with the speeds between its lines."""

    def __init__(self, path: Path, steps: int, step: int) -> None:
        """Go on after `step` of `steps`: what a killed run logged beyond its checkpoint is done again, so it goes."""
        self._steps, self._mark = steps, time.monotonic()
        self._wait, self._tokens, self._views = 0.0, 0, 0
        self._terminal = sys.stderr.isatty()
        rewrite_lines(path, [line for line in read_lines(path) if line["step"] <= step])
        self._file = path.open("a", encoding="utf-8", buffering=1)  # a line at a time

    def count(self, tokens: int, views: int, wait: float) -> None:
        """Supervised tokens and views of a micro-batch, and the seconds spent waiting for it."""
        self._tokens += tokens
        self._views += views
        self._wait += wait

    def log(self, step: int, loss: float, grad_norm: float, lr: float) -> None:
        """One finished step, with the speeds since the last call."""
        now = time.monotonic()
        seconds = max(now - self._mark, 1e-9)
        line = {
            "step": step,
            "loss": loss,
            "grad_norm": grad_norm,
            "lr": lr,
            "supervised_tokens": self._tokens,
            "supervised_tokens_per_s": round(self._tokens / seconds, 1),
            "views_per_s": round(self._views / seconds, 1),
            "data_wait": round(self._wait / seconds, 4),
            "seconds": round(seconds, 3),
        }
        self._file.write(json.dumps(line) + "\n")
        if self._terminal or step % max(1, self._steps // _LINES) == 0 or step == self._steps:
            self._show(line)
        self._mark, self._wait, self._tokens, self._views = now, 0.0, 0, 0

    def _show(self, line: dict[str, Any]) -> None:
        step = line["step"]
        text = (
            f"step {step}/{self._steps}  loss {line['loss']:.4f}  {line['supervised_tokens_per_s']:,.0f} tokens/s  "
            f"{line['views_per_s']:,.0f} views/s  data wait {line['data_wait']:.0%}  "
            f"{line['seconds'] * (self._steps - step):.0f} s left"
        )
        end = "\r" if self._terminal and step < self._steps else "\n"
        print(text.ljust(100), end=end, file=sys.stderr, flush=True)


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
