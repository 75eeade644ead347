"""build-ocr on born-digital PDFs against a bare PDFium loop on the same pages: CPU time a page, scaling, memory.

The bare loop opens each document once and does for every page what no builder can leave out: render at the same size,
read every character with its box through pypdfium2's raw API, encode the JPEG. No words, no checks, no dialogues, no
files. CPU time is that of all processes, so a busy machine changes little. Two workers are compared with one by wall
time, which says something where two cores are free, and by the CPU time that both take, which bounds it.
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


def measured(command: list[str]) -> tuple[float, float, str]:
    """CPU seconds of a command and all its processes, wall seconds, and what it prints."""
    if sys.platform == "linux":  # readers of workers that have ended become children of this process, and are counted
        ctypes.CDLL(None).prctl(_ADOPT, 1, 0, 0, 0)
    started, before = time.perf_counter(), os.times()
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    wall = time.perf_counter() - started
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    after = os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return cpu, wall, said


def build(places: list[str], out: Path, workers: int) -> list[str]:
    program = str(Path(sys.executable).with_name("sphinx-data"))
    return [
        program,
        "build-ocr",
        *places,
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
    one, few = build(places, out / "one", 1), build(places[:1], out / "few", 1)
    loop, short = ([sys.executable, __file__, "--bare", *some] for some in (places, places[:1]))
    ways = {"bare loop": (loop, short), "build-ocr, 1 worker": (one, few)}
    found_ms: dict[str, list[float]] = {name: [] for name in ways}
    walls: dict[str, list[float]] = {"1 worker": [], "2 workers": []}
    all_cpu: dict[str, list[float]] = {"1 worker": [], "2 workers": []}
    pages = 1
    try:
        for _ in range(flags.rounds):
            pages, first = (int(measured(command)[2]) for command in ways["bare loop"])
            for name, (whole, start) in ways.items():
                cpu, wall, _ = measured(whole)
                found_ms[name].append(1e3 * (cpu - measured(start)[0]) / max(1, pages - first))
            walls["1 worker"].append(wall)
            all_cpu["1 worker"].append(cpu)
            cpu, wall, _ = measured(build(places, out / "two", 2))
            walls["2 workers"].append(wall)
            all_cpu["2 workers"].append(cpu)
        memory = watched(one) if flags.memory else []
    finally:
        shutil.rmtree(out)
    report(found_ms, walls, pages, memory)
    alone, both = (median(taken) for taken in all_cpu.values())
    print(
        f"CPU of two workers, starts included: {both / alone:.3f} of that of one; "
        f"at best {2 * alone / both:.2f} x as fast"
    )


def report(found_ms: dict[str, list[float]], walls: dict[str, list[float]], pages: int, memory: list[int]) -> None:
    base = median(found_ms["bare loop"])
    print(f"{pages:,} pages; CPU of a page without the start of the programs (that of a run on the first document)")
    for name, taken in found_ms.items():
        print(f"{name:<24}{median(taken):>8.2f} ms{base / median(taken):>8.2f} of the loop's speed")
    for name, taken in walls.items():
        print(f"{name:<24}{pages / median(taken):>8.1f} pages a second, start included")
    if memory:
        steps = [memory[len(memory) * k // 10] for k in range(10)]
        print(f"resident MiB of all processes at every tenth of the build: {steps}; most {max(memory)}")


if __name__ == "__main__":
    main()
