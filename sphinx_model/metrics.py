"""What a run says: a progress line on stderr and one JSON line a step in ``log.jsonl``."""

import json
import sys
import time
from pathlib import Path
from typing import Any


class Metrics:
    """Speeds between calls of `log`."""

    def __init__(self, path: Path, steps: int, step: int) -> None:
        self._steps, self._mark = steps, time.monotonic()
        self._wait = self._tokens = self._views = 0.0
        self._terminal = sys.stderr.isatty()
        self._drop_later(path, step)
        self._file = path.open("a", encoding="utf-8")

    def count(self, tokens: int, views: int, wait: float) -> None:
        """Supervised tokens and views of a micro-batch, and the seconds spent waiting for it."""
        self._tokens += tokens
        self._views += views
        self._wait += wait

    def log(self, step: int, **values: float) -> None:
        """One finished step: loss, learning rate and whatever else is given, with the speeds since the last call."""
        now = time.monotonic()
        seconds = max(now - self._mark, 1e-9)
        line: dict[str, Any] = {
            "step": step,
            **{name: round(value, 6) if name != "lr" else value for name, value in values.items()},
            "supervised_tokens_per_s": round(self._tokens / seconds, 1),
            "views_per_s": round(self._views / seconds, 1),
            "data_wait": round(self._wait / seconds, 4),
            "seconds": round(seconds, 3),
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if self._terminal or step % max(1, self._steps // 20) == 0 or step == self._steps:
            text = (
                f"step {step}/{self._steps}  loss {values['loss']:.4f}  "
                f"{line['supervised_tokens_per_s']:,.0f} tokens/s  {line['views_per_s']:,.0f} views/s  data wait {line['data_wait']:.0%}  "
                f"{seconds * (self._steps - step):.0f} s left"
            )
            print(
                text.ljust(100),
                end="\r" if self._terminal and step < self._steps else "\n",
                file=sys.stderr,
                flush=True,
            )
        self._mark, self._wait, self._tokens, self._views = now, 0.0, 0.0, 0.0

    def _drop_later(self, path: Path, step: int) -> None:
        """After a kill the log may be ahead of the checkpoint: those steps are done again."""
        if path.exists():
            kept = [line for line in read_log(path) if line["step"] <= step]
            path.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")


def read_log(path: Path) -> list[dict[str, Any]]:
    """All lines of ``log.jsonl``; a last line cut by a kill is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines
