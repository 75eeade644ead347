"""Progress on standard error: one line that renews itself in a terminal, a line every ten seconds in a log."""

import sys
import time


class Progress:
    """Counts parts, samples and rejects of a build."""

    def __init__(self, label: str, total: int, kept: int = 0) -> None:
        self.label, self.total, self.kept = label, total, kept
        self.parts = self.samples = self.rejects = 0
        self._start = self._last = time.monotonic()
        self._terminal = sys.stderr.isatty()
        if kept:
            print(f"{label}: {kept} parts are finished already, {total} to go", file=sys.stderr)

    def advance(self, samples: int, rejects: int) -> None:
        """One more part is committed."""
        self.parts += 1
        self.samples += samples
        self.rejects += rejects
        now = time.monotonic()
        if now - self._last >= (0.1 if self._terminal else 10):
            self._last = now
            self._print("\r" if self._terminal else "\n")

    def close(self) -> None:
        """The last line."""
        if self.parts:
            self._print("\n")

    def _print(self, end: str) -> None:
        seconds = max(time.monotonic() - self._start, 1e-9)
        left = seconds / self.parts * (self.total - self.parts)
        line = (
            f"{self.label}: {self.parts}/{self.total} parts, {self.samples:,} samples, {self.rejects:,} rejects, "
            f"{self.samples / seconds:,.0f} samples/s, {left:.0f} s left"
        )
        print(line.ljust(100), end=end, file=sys.stderr, flush=True)
