"""Converting pictures with COCO annotations against `tar -cf` and `sync` of the same files, one core each; and memory.

The first part writes 12,000 JPEGs of about 170 kB (texture, with valid structure) and a COCO file with seven boxes
and outlines a picture, and converts them, as folders of classes and with the COCO file, with one worker, start-up
included. Target: at least 0.7 of tar's speed. Every contender is pinned to one core and ends with its files synced by
itself (`sync FILE` for tar), so that the kernel's work for it is done there and counted: CPU time, user and system,
is what is compared; wall time is shown beside it. The bare loop is what Python can do at most: it reads every
picture, checks its structure, hashes it, writes it to one tar and syncs that, without a look at annotations.
`--decode` is outside the target. The second part plans a COCO file of 5 GB and prints the peak of the memory. Run:
python benchmarks/convert.py [GIGABYTES]
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

COUNT, SIDE, ROUNDS = 12_000, 480, 3
CONVERT = [str(Path(sys.executable).with_name("sphinx-data")), "convert", "--format"]
BARE = """
import os, sys
import xxhash
from sphinx_data.dataset import tar
from sphinx_data.image_structure import check_jpeg
out, whole, waiting, size = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT), xxhash.xxh3_128(), [], 0
bytes(16 << 20)  # as executors/build.py
def store():
    os.writev(out, waiting)
    for piece in waiting:
        whole.update(piece)
    waiting.clear()
for name in sorted(os.listdir(sys.argv[1])):
    source = os.open(f"{sys.argv[1]}/{name}", os.O_RDONLY)
    data = os.read(source, os.fstat(source).st_size + 1)
    os.close(source)
    check_jpeg(data)
    xxhash.xxh3_128_digest(data)
    waiting += (tar.header(name, len(data)), data, bytes(-len(data) % tar.BLOCK))
    size += len(data)
    if size >= 1 << 20:
        store()
        size = 0
waiting.append(tar.END)
store()
os.fsync(out)
"""


def main() -> None:
    place = Path(tempfile.mkdtemp(prefix="bench-convert-"))
    try:
        speed(place)
        memory(place, float(sys.argv[1]) if len(sys.argv) > 1 else 5.0)
    finally:
        shutil.rmtree(place)


class Cost(NamedTuple):
    """Of one run, in seconds."""

    cpu: float
    wall: float


def speed(place: Path) -> None:
    size = write_pictures(place / "images") / 1e6
    with open(place / "a.json", "w") as file:
        file.writelines(coco(COUNT))
    for number, file in enumerate(sorted((place / "images").iterdir())):
        (place / "classes" / f"{number % 20}").mkdir(parents=True, exist_ok=True)
        os.link(file, place / "classes" / f"{number % 20}" / file.name)
    out = ["--out", place / "out", "--workers", "1"]
    convert = [*CONVERT, "coco", place / "a.json", "--images", place / "images", *out]
    archive = place / "all.tar"
    contenders = {
        "tar -cf + sync": ["sh", "-c", f"tar -cf {archive} -C {place} images && sync {archive}"],
        "bare loop": [sys.executable, "-c", BARE, place / "images", archive],
        "convert, classes": [*CONVERT, "imagefolder", place / "classes", *out],
        "convert, COCO": convert,
        "convert --decode": [*convert, "--decode"],
    }
    costs: dict[str, list[Cost]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, command in contenders.items():
            shutil.rmtree(place / "out", ignore_errors=True)
            archive.unlink(missing_ok=True)
            os.sync()
            costs[name].append(cost(list(map(str, command))))
    cpu = {name: statistics.median(cost.cpu for cost in found) for name, found in costs.items()}
    wall = {name: statistics.median(cost.wall for cost in found) for name, found in costs.items()}
    tar = next(iter(contenders))
    print(f"{'':<18}{'CPU s':>8}{'ratio':>7}{'wall s':>9}{'MB/s':>7}{'ratio':>7}   CPU of each round")
    for name in contenders:
        each = [round(found.cpu, 2) for found in costs[name]]
        print(
            f"{name:<18}{cpu[name]:>8.2f}{cpu[tar] / cpu[name]:>7.2f}"
            f"{wall[name]:>9.2f}{size / wall[name]:>7,.0f}{wall[tar] / wall[name]:>7.2f}   {each}"
        )


def cost(command: list[str]) -> Cost:
    """Run a command on one core."""
    core = max(os.sched_getaffinity(0))
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(["taskset", "-c", str(core), *command], check=True, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall)


def memory(place: Path, gigabytes: float) -> None:
    """Plan files of 1/10 and of the whole size, whose pictures are missing; the peak must not grow with the file."""
    for part in (gigabytes / 10, gigabytes):
        file = place / "large.json"
        with open(file, "w") as written:
            written.writelines(coco(int(part * 1e9 / 3_130)))
        code = (
            "import sys; from sphinx_data.cli import group;"
            "group.main(sys.argv[1:], standalone_mode=False);"
            "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
        )
        arguments = ["convert", file, "--format", "coco", "--out", place / "planned", "--dry-run", "--json"]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)], check=True, capture_output=True, text=True
        )
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        records = json.loads(done.stdout.splitlines()[0])["records"]
        peak = int(done.stdout.splitlines()[-1]) / 1024
        size = file.stat().st_size / 1e9
        print(
            f"{size:.2f} GB of JSON: {records:,} pictures planned in {wall:.0f} s ({cpu:.0f} s of CPU), "
            f"peak {peak:,.0f} MB"
        )


def write_pictures(folder: Path) -> int:
    folder.mkdir()
    chance = np.random.default_rng(0)
    total = 0
    for number in range(200):
        texture = cv2.GaussianBlur(chance.integers(0, 255, (SIDE, SIDE, 3), np.uint8), (3, 3), 0)
        data = cv2.imencode(".jpg", texture)[1].tobytes()
        for copy in range(number, COUNT, 200):
            (folder / f"{copy:06d}.jpg").write_bytes(data)
            total += len(data)
    return total


def coco(pictures: int) -> Iterator[str]:
    """A COCO file, in pieces: seven annotations a picture, each an outline of 20 points, about 600 bytes as in COCO."""
    chance = np.random.default_rng(0)
    rings = [chance.uniform(1, SIDE - 1, 40).round(2).tolist() for _ in range(50)]
    yield '{"categories": [{"id": 1, "name": "cup"}, {"id": 2, "name": "dog"}], "images": ['
    for number in range(pictures):
        lead = ", " if number else ""
        yield f'{lead}{{"id": {number}, "file_name": "{number:06d}.jpg", "width": {SIDE}, "height": {SIDE}}}'
    yield '], "annotations": ['
    for number in range(7 * pictures):
        entry = {
            "id": number, "image_id": number % pictures, "category_id": 1 + number % 2, "iscrowd": 0, "area": 900.0,
            "bbox": [10 + number % 300, 20 + number % 200, 30, 40], "segmentation": [rings[number % 50]],
        }  # fmt: skip
        yield (", " if number else "") + json.dumps(entry)
    yield "]}"


if __name__ == "__main__":
    main()
