"""Mixing 15.29 M rows of 60 sources (the size of SPHINX-X, Table 9): time, memory, and what a position costs.

Only index tables are made, in a temporary folder, so that the disk need not hold 15 M pictures.
Run: python benchmarks/mix.py [--rows N] [--sources N] [--holdout SHARE] [--order shuffled|windowed]
"""

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from sphinx_data.dataset import layout, tables
from sphinx_data.dataset.description import Description, PartInfo, Stored, count_values, fingerprint, hash_array, store
from sphinx_data.mix import build, recipe
from sphinx_data.order import BLOCK, WINDOWED_BLOCK, Order, largest_remainder

PART = 8192


def hashes(rng: np.random.Generator, rows: int) -> pa.Array:
    return pa.Array.from_buffers(tables.HASH, rows, [None, pa.py_buffer(rng.bytes(16 * rows))])


def part_table(rng: np.random.Generator, name: str, first: int, rows: int) -> pa.Table:
    """An index part: three of four samples have an image, one of eight two of them; a tenth share images."""
    counts = rng.choice([0, 1, 1, 1, 1, 1, 1, 2], rows)
    images = int(counts.sum())
    payload = rng.integers(20_000, 200_000, images)
    xxh3 = hashes(rng, max(images // 10 * 9, 1)).take(pa.array(rng.integers(0, max(images // 10 * 9, 1), images)))
    side = pa.array(np.full(images, 640, np.uint32))
    image = pa.StructArray.from_arrays(
        [pa.array(payload.astype(np.uint64)), pa.array(payload.astype(np.uint64)), side, side,
         pa.array(["jpeg"] * images), xxh3],
        fields=list(tables.IMAGE),
    )  # fmt: skip
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    chars = rng.integers(20, 2000, rows).astype(np.uint32)
    size = np.full(rows, 100_000, np.uint64)
    columns = {
        "id": pa.array([f"{name}/{first + n:012d}" for n in range(rows)]),
        "shard": np.zeros(rows, np.uint16), "offset": np.arange(rows, dtype=np.uint64) * 100_000, "size": size,
        "json_size": chars, "images": pa.ListArray.from_arrays(offsets, image), "content": hashes(rng, rows),
        "source": [name] * rows, "domain": ["vision-language"] * rows,
        "task": np.array(["vqa", "caption", "detection"])[rng.integers(0, 3, rows)], "language": ["en"] * rows,
        "split": ["train"] * rows, "license": np.array(["CC-BY-4.0", "unknown"])[rng.integers(0, 2, rows)],
        "commercial": pa.nulls(rows, pa.bool_()), "redistribute": pa.nulls(rows, pa.bool_()),
        "num_images": counts.astype(np.uint16), "num_turns": np.ones(rows, np.uint32),
        "num_regions": np.zeros(rows, np.uint32), "num_chars": chars, "num_target_chars": chars // 2,
    }  # fmt: skip
    return pa.table(columns, schema=tables.INDEX)


def make(place: Path, name: str, rows: int, seed: int) -> None:
    """A dataset of index tables alone."""
    rng = np.random.default_rng(seed)
    parts, contents, counts = [], [], {}
    images = 0
    for number, first in enumerate(range(0, rows, PART)):
        table = part_table(rng, name, first, min(PART, rows - first))
        file = str(place / layout.index(number))
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        tables.pq.write_table(table, file, compression="zstd", write_page_checksum=True)
        contents.append(hash_array(table["content"]))
        count_values(table, counts)
        images += int(table["num_images"].to_numpy().sum())
        parts.append(PartInfo(part=number, rows=len(table), tables=(Stored(name=file, size=0, xxh3=""),)))
    store(str(place), Description(
        name=name, fingerprint=fingerprint(contents), builder="benchmark", parameters={}, samples=rows, images=images,
        rejects=0, counts=counts, parts=tuple(parts),
    ))  # fmt: skip


def cost_of_a_position() -> None:
    """CPU of `Order.rows`, in microseconds a position, for few and many sources."""
    print("order, microseconds of CPU a position:")
    for sources in (5, 50, 200, 1000):
        totals = largest_remainder(np.random.default_rng(sources).pareto(1, sources) + 1e-3, 15_290_000)
        line = []
        for name, block, chunks in (("shuffled", BLOCK, None), ("windowed", WINDOWED_BLOCK, np.full(sources, 42))):
            before = time.process_time()
            made = Order(totals, np.maximum(1, totals // 2), 0, block, chunks)
            quotas = time.process_time() - before
            before = time.process_time()
            made.rows(3_000_000, 3_000_000 + (1 << 21))
            each = (time.process_time() - before) / (1 << 21) * 1e6
            line.append(f"{name} {each:.2f} (quota table once {quotas:.2f} s)")
        print(f"  {sources:>5} sources: {', '.join(line)}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=15_290_000)
    arguments.add_argument("--sources", type=int, default=60)
    arguments.add_argument("--holdout", type=float, default=0.005)
    arguments.add_argument("--order", default="shuffled")
    options = arguments.parse_args()
    cost_of_a_position()
    folder = Path(tempfile.mkdtemp(prefix="sphinx-mix-"))
    try:
        started = time.monotonic()
        sizes = largest_remainder(np.random.default_rng(0).pareto(1.5, options.sources) + 0.05, options.rows)
        for number, rows in enumerate(sizes.tolist()):
            make(folder / f"s{number:02d}", f"s{number:02d}", rows, number)
        print(f"made {options.rows:,} rows in {options.sources} sources in {time.monotonic() - started:.0f} s")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sources = [{"dataset": f"s{number:02d}"} for number in range(options.sources)]
        made = recipe.check({"name": "bench", "sources": sources, "holdout": options.holdout, "order": options.order},
                            "bench")  # fmt: skip
        started, cpu = time.monotonic(), time.process_time()
        lock = build.build(made, str(folder / "mix"), {"": str(folder)}, "bench")
        wall, cpu = time.monotonic() - started, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"mix of {lock.samples:,} + {lock.holdout_samples:,} samples: {wall:.1f} s, {cpu:.1f} s of CPU, "
              f"peak memory {peak / 1e6:.2f} GB ({before / 1e6:.2f} GB before)")  # fmt: skip
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
