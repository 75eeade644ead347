"""What the benchmarks share: synthetic samples, interleaved rounds, a table of medians."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sphinx_data.sample import Image, ImagePart, Message, Origin, Sample, TextPart


def samples(count: int, kilobytes: int = 60) -> list[tuple[Sample, bytes]]:
    """Samples with one picture of random bytes each (no codec takes part); sizes vary by a factor of two."""
    chance = np.random.default_rng(0)
    made = []
    for number in range(count):
        payload = chance.bytes(int(kilobytes * 1000 * chance.uniform(0.67, 1.33)))
        sample = Sample(
            id=f"bench/{number:012d}", source="bench", license="CC0-1.0", domain="vision-language", task="vqa",
            language="en", split="train", images=(Image(file="0.jpg", width=448, height=448),),
            messages=(
                Message(role="user", content=(ImagePart(image=0), TextPart(text="What is in the image? " * 8))),
                Message(role="assistant", content=(TextPart(text="A texture of noise with strokes. " * 8),)),
            ),
            origin=Origin(file="bench.json", record=str(number)),
        )  # fmt: skip
        made.append((sample, payload))
    return made


def rounds(contenders: dict[str, Callable[[], int]], repeats: int) -> dict[str, dict[str, float]]:
    """Run the contenders in turn, `repeats` times; medians of CPU and wall time per item in microseconds."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            wall, cpu = time.perf_counter(), time.process_time()
            items = run()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            times[name].append((1e6 * cpu / items, 1e6 * wall / items))
    return {
        name: {"cpu_us": statistics.median(c for c, _ in found), "wall_us": statistics.median(w for _, w in found)}
        for name, found in times.items()
    }


def table(found: dict[str, dict[str, Any]], against: str) -> None:
    """Print the medians and their ratio to one contender."""
    print(f"{'':<34}{'CPU us/item':>14}{'wall us/item':>14}{'CPU ratio':>11}{'wall ratio':>12}")
    base = found[against]
    for name, row in found.items():
        print(
            f"{name:<34}{row['cpu_us']:>14.1f}{row['wall_us']:>14.1f}"
            f"{row['cpu_us'] / base['cpu_us']:>11.2f}{row['wall_us'] / base['wall_us']:>12.2f}"
        )
