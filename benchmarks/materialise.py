"""Materialising a fully shuffled mix of two datasets against `cp` and `sync` of the same bytes, rounds in turn.

Target: at least 0.7 x the speed of the copy.
materialise uses its default, one worker a core; cp is one process. Run: python benchmarks/materialise.py
"""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from common import samples

from sphinx_data import DatasetWriter
from sphinx_data.cli import group

COUNT = 30_000  # samples of each of two datasets, 60 kB each


def main() -> None:
    place = Path(tempfile.mkdtemp(prefix="bench-materialise-"))
    try:
        made = samples(2000)
        for name in ("a", "b"):
            with DatasetWriter(str(place / name), name) as writer:
                for number in range(COUNT):
                    sample, payload = made[number % len(made)]
                    writer.add(sample, [payload])
        (place / "mix.yaml").write_text("name: m\nsources: [{dataset: a}, {dataset: b}]\n")
        command("mix", place / "mix.yaml", "--root", place, "--out", place / "m")
        seconds: dict[str, list[float]] = {"cp + sync": [], "materialise": []}
        for _ in range(4):
            for name in seconds:
                shutil.rmtree(place / "out", ignore_errors=True)
                os.sync()
                start = time.perf_counter()
                if name == "materialise":
                    command("materialise", place / "m", "--out", place / "out")
                else:
                    subprocess.run(["cp", "-r", place / "a/shards", place / "out"], check=True)
                    subprocess.run(["cp", "-r", place / "b/shards", place / "out/b"], check=True)
                os.sync()
                seconds[name].append(time.perf_counter() - start)
        size = sum(path.stat().st_size for path in place.glob("[ab]/shards/*")) / 1e6
        medians = {name: statistics.median(found) for name, found in seconds.items()}
        for name, median in medians.items():
            print(f"{name:<14}{median:>8.2f} s{size / median:>10,.0f} MB/s   {[round(s, 2) for s in seconds[name]]}")
        print(f"materialise reaches {medians['cp + sync'] / medians['materialise']:.2f} of cp + sync")
    finally:
        shutil.rmtree(place)


def command(*arguments: object) -> None:
    group.main([str(argument) for argument in arguments], standalone_mode=False)


if __name__ == "__main__":
    main()
