"""build-ocr on born-digital PDFs against a bare PDFium loop on the same pages: CPU time a page, scaling, memory.

The bare loop opens each document once and does for every page what no builder can leave out: render at the same size,
read every character with its box through pypdfium2's raw API, encode the JPEG. No words, no checks, no dialogues, no
files. CPU time is that of all processes, so a busy machine changes little.

A worker is two processes, one that reads and one that builds, which overlap where there are two cores. So the loop and
one worker, with all its processes, are pinned to one core and two workers to two: twice as many of everything. Starts
(imports, PDFium, the model of languages) are what a run on the first two documents takes; speeds are told with them and
without. Scaling is by wall time, which means something only where nothing else runs on these cores.
"""

import argparse
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple

DOCUMENTS = Path(__file__).parents[1] / "recipes/demo/data/documents"
LONG_SIDE, QUALITY = 1344, 90
_ADOPT = 36  # PR_SET_CHILD_SUBREAPER


def bare(places: list[str]) -> int:
    """Pages read by the loop; documents that do not open are passed over, as build-ocr rejects them."""
    import cv2
    import numpy as np
    import pypdfium2.raw as raw

    done = 0
    for place in places:
        document = raw.FPDF_LoadDocument(place.encode(), None)
        for number in range(max(0, raw.FPDF_GetPageCount(document)) if document else 0):
            page = raw.FPDF_LoadPage(document, number)
            if not page:
                continue
            longest = max(raw.FPDF_GetPageWidthF(page), raw.FPDF_GetPageHeightF(page))
            width = max(1, round(raw.FPDF_GetPageWidthF(page) * LONG_SIDE / longest))
            height = max(1, round(raw.FPDF_GetPageHeightF(page) * LONG_SIDE / longest))
            pixels = np.empty((height, width, 4), np.uint8)
            address = pixels.ctypes.data_as(ctypes.c_void_p)
            bitmap = raw.FPDFBitmap_CreateEx(width, height, raw.FPDFBitmap_BGRx, address, width * 4)
            raw.FPDFBitmap_FillRect(bitmap, 0, 0, width, height, 0xFFFFFFFF)
            raw.FPDF_RenderPageBitmap(bitmap, page, 0, 0, width, height, 0, 0)
            raw.FPDFBitmap_Destroy(bitmap)
            text = raw.FPDFText_LoadPage(page)
            corners = [ctypes.c_double() for _ in range(4)]
            characters = []
            for index in range(max(0, raw.FPDFText_CountChars(text))):
                raw.FPDFText_GetCharBox(text, index, *corners)
                characters.append((raw.FPDFText_GetUnicode(text, index), [corner.value for corner in corners]))
            cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            raw.FPDFText_ClosePage(text)
            raw.FPDF_ClosePage(page)
            done += 1
        if document:
            raw.FPDF_CloseDocument(document)
    return done


class Taken(NamedTuple):
    """CPU seconds of all processes of a command, and wall seconds."""

    cpu: float
    wall: float


def measured(command: list[str], cores: int) -> tuple[Taken, str]:
    """What a command takes on so many cores, and what it prints."""
    if sys.platform == "linux":  # readers of workers that have ended become children of this process, and are counted
        ctypes.CDLL(None).prctl(_ADOPT, 1, 0, 0, 0)
    started, before = time.perf_counter(), os.times()
    places = ",".join(map(str, sorted(os.sched_getaffinity(0))[-cores:]))
    said = subprocess.run(["taskset", "-c", places, *command], check=True, capture_output=True, text=True).stdout
    wall = time.perf_counter() - started
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    after = os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return Taken(cpu, wall), said


def build(out: Path, workers: int) -> list[str]:
    """The command, but for its documents."""
    program = str(Path(sys.executable).with_name("sphinx-data"))
    return [
        program,
        "build-ocr",
        "--out",
        str(out),
        "--overwrite",
        "--ocr",
        "never",
        "--workers",
        str(workers),
        "--json",
    ]


def watched(command: list[str]) -> list[int]:
    """Memory of all processes of a command, in MiB, ten times a second."""
    found: list[int] = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        pause = threading.Event()
        while process.poll() is None:
            found.append(_resident(process.pid))
            pause.wait(0.1)
    return found


def _resident(process: int) -> int:
    """Resident MiB of a process and all below it; 0 where the system does not tell."""
    try:
        size = int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except (OSError, IndexError):
        return 0
    return size + sum(_resident(int(child)) for child in children)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inputs", nargs="*", default=[str(DOCUMENTS)], help="PDFs and folders of them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="also watch the memory of one build")
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.bare:
        print(bare(flags.inputs))
        return
    found = (sorted(Path(place).rglob("*.pdf")) if Path(place).is_dir() else [Path(place)] for place in flags.inputs)
    places = [str(path) for paths in found for path in paths]
    out = Path(tempfile.mkdtemp())
    loop = [sys.executable, __file__, "--bare"]
    ways = {
        name: (workers, build(out / str(workers), workers)) for name, workers in (("one worker", 1), ("two workers", 2))
    }
    taken: dict[str, list[tuple[Taken, Taken]]] = {}  # whole runs and starts
    memory: list[int] = []
    try:
        pages, first = (int(measured([*loop, *some], 1)[1]) for some in (places, places[:2]))
        for _ in range(flags.rounds):
            for name, (cores, command) in {"bare loop": (1, loop), **ways}.items():
                runs = [measured([*command, *some], cores)[0] for some in (places, places[:2])]
                taken.setdefault(name, []).append((runs[0], runs[1]))
        if flags.memory:
            memory = watched([*ways["one worker"][1], *places])
    finally:
        shutil.rmtree(out)
    report(taken, pages, first)
    if memory:
        steps = [memory[len(memory) * k // 10] for k in range(10)]
        print(f"resident MiB of all processes at every tenth of the build: {steps}; most {max(memory)}")


def report(taken: dict[str, list[tuple[Taken, Taken]]], pages: int, first: int) -> None:
    """CPU time and speed of each way; `first` pages are those of the runs that tell the starts."""
    print(f"{pages:,} pages{'without starts':>31}{'with starts':>40}")
    found = {name: speeds(runs, pages, first) for name, runs in taken.items()}
    loop = found["bare loop"]
    for name, ways in found.items():
        cells = [
            f"{way.cpu_ms:>10.2f} ms CPU{base.cpu_ms / way.cpu_ms:>6.2f} of the loop{way.rate:>7.1f} pages/s"
            for way, base in zip(ways, loop, strict=True)
        ]
        print(f"{name:<12}", *cells)
    gain = [two.rate / one.rate for one, two in zip(found["one worker"], found["two workers"], strict=True)]
    print(f"two workers on two cores are {gain[0]:.2f} x as fast as one on one, {gain[1]:.2f} x with starts")


class Speed(NamedTuple):
    """CPU milliseconds of a page, and pages a second."""

    cpu_ms: float
    rate: float


def speeds(runs: list[tuple[Taken, Taken]], pages: int, first: int) -> tuple[Speed, Speed]:
    """Medians without starts and with them."""
    left = max(1, pages - first)
    cpu = median(whole.cpu - start.cpu for whole, start in runs)
    wall = max(median(whole.wall - start.wall for whole, start in runs), 1e-9)
    all_cpu, all_wall = median(whole.cpu for whole, _ in runs), median(whole.wall for whole, _ in runs)
    return Speed(1e3 * cpu / left, left / wall), Speed(1e3 * all_cpu / pages, pages / all_wall)


if __name__ == "__main__":
    main()
