"""Start-up: whole processes, in turn. Targets: --help at most 0.15 s, a command without data at most 0.5 s.

Run: python benchmarks/startup.py
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "sphinx-data --help": [BIN / "sphinx-data", "--help"],
    "sphinx-data convert --help": [BIN / "sphinx-data", "convert", "--help"],
    "sphinx-data formats": [BIN / "sphinx-data", "formats"],
    "sphinx-model --help": [BIN / "sphinx-model", "--help"],
    "sphinx-train --help": [BIN / "sphinx-train", "--help"],
}


def main() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(11):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if turn:  # the first warms the page cache
                seconds[name].append(time.perf_counter() - start)
    for name, found in seconds.items():
        print(f"{name:<30}{statistics.median(found):>8.3f} s  (fastest {min(found):.3f})")


if __name__ == "__main__":
    main()
