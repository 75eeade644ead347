"""What it costs to read documents in a process of their own: CPU time of both processes a page, text layers only."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from sphinx_data.ocr import build, isolation, pages
from sphinx_data.ocr.isolation import Job, Limits

DOCUMENTS = Path(__file__).parents[1] / "recipes/demo/data/documents"
OPTIONS = build.Options(ocr=build.Ocr(mode="never"))


def in_reader(records: list[build.Record], places: dict[str, str]) -> int:
    return sum(1 for record in records for _ in build.read_pages(record, OPTIONS, places, build.Setup()))


def directly(records: list[build.Record], places: dict[str, str]) -> int:
    jobs = [Job(pages.Task(record, OPTIONS, places, build.Setup()), Limits(60, 2048)) for record in records]
    answers = (answer for job in jobs for answer in pages.perform(job, lambda load: load()))
    return sum(len(items) for kind, items in answers if kind != "open")


def cpu_ms(read: Callable[..., int], *arguments: Any) -> float:
    before = time.process_time() + _of_reader()
    count = read(*arguments)
    return 1e3 * (time.process_time() + _of_reader() - before) / count


def _of_reader() -> float:
    reader = isolation._current
    return isolation._cpu_seconds(reader.process.pid) if reader else 0.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("inputs", nargs="*", default=[str(DOCUMENTS)])
    parser.add_argument("--rounds", type=int, default=9)
    flags = parser.parse_args()
    places, records = build.places(flags.inputs), list(build.records(flags.inputs, OPTIONS))
    ways = {"in a reader": in_reader, "directly": directly}
    for read in ways.values():
        read(records, places)  # libraries and the reader are started
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(flags.rounds):
        for name, read in ways.items():
            found[name].append(cpu_ms(read, records, places))
    for name, times in found.items():
        print(f"{name:<12}  median {median(times):6.2f}  least {min(times):6.2f} ms of CPU a page")


if __name__ == "__main__":
    main()
