"""How true the text of build-ocr's pages is: against poppler's words, and against docling's ground truth.

Poppler (``pdftotext -bbox``) reads the same PDFs with other code. Its words are given to the line of ours that holds
their middle; what then differs letter by letter is the character error rate of a page, and letters of words or lines
that found no partner count as errors. Boxes of equal words, as they are stored, are compared in both dimensions and
along the line alone. Docling's JSON holds blocks in an order that people checked: of all pairs of blocks that both
have, the share in equal order is told. Only pages whose text layer is used count.
"""

import argparse
import html
import json
import re
import subprocess
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import NamedTuple

from sphinx_data.ocr import build
from sphinx_data.ocr.build import read_pages
from sphinx_data.ocr.compare import edit_distance, folded
from sphinx_data.ocr.page import Page
from sphinx_data.ocr.text import LEADER, Box, Line, PageText, arrange

DOCUMENTS = Path(__file__).parents[1] / "recipes/demo/data/documents"
OPTIONS = build.Options(ocr=build.Ocr(mode="never"))
_PAGE = re.compile(r'<page width="([\d.]+)" height="([\d.]+)">(.*?)</page>', re.DOTALL)
_WORD = re.compile(r'<word xMin="([\d.-]+)" yMin="([\d.-]+)" xMax="([\d.-]+)" yMax="([\d.-]+)">(.*?)</word>', re.DOTALL)


class Word(NamedTuple):
    text: str
    x0: float
    y0: float
    x1: float
    y1: float


class Found(NamedTuple):
    """How one page compares."""

    errors: int  # letters
    letters: int
    same: int  # words that both have on the same line; the others count those of them that overlap by 0.7 or more
    stored: int  # intersection over union of boxes as stored
    along: int  # along the line


def poppler(path: Path) -> list[tuple[float, float, list[Word]]]:
    """Width, height and words of every page, in points."""
    done = subprocess.run(["pdftotext", "-bbox", str(path), "-"], check=False, capture_output=True, timeout=600)
    said = done.stdout.decode("utf-8", "replace")
    return [
        (float(width), float(height), [Word(html.unescape(w[4]), *map(float, w[:4])) for w in _WORD.findall(inside)])
        for width, height, inside in _PAGE.findall(said)
    ]


def compared(page: Page, width: float, height: float, words: list[Word]) -> Found:
    """Our page against poppler's words."""
    across, down = page.size[0] / width, page.size[1] / height
    lines = [line for line in page.lines if not line.vertical]
    held: list[list[Word]] = [[] for _ in lines]
    errors = letters = same = stored = along = 0
    for word in words:
        placed = Word(word.text, word.x0 * across, word.y0 * down, word.x1 * across, word.y1 * down)
        home = _home(placed, lines)
        if home is not None:
            held[home].append(placed)
        elif not page.dropped:
            errors += len(folded(word.text))
    for line, own in zip(lines, held, strict=True):
        theirs = " ".join(word.text for word in sorted(own, key=lambda word: word.x0))
        if LEADER in line.text:
            continue
        truth, ours = folded(theirs), folded(line.text)
        letters += len(truth)
        errors += edit_distance(truth, ours)
        for text, box in zip(line.text.split(), line.words, strict=False):
            equal = [word for word in own if folded(word.text) == folded(text)]
            if not equal:
                continue
            same += 1
            stored += max(_iou(word, box) for word in equal) >= 0.7
            along += max(_overlap(word, box) for word in equal) >= 0.7
    return Found(errors, letters, same, stored, along)


def _iou(word: Word, box: Box) -> float:
    wide = min(word.x1, box[2]) - max(word.x0, box[0])
    high = min(word.y1, box[3]) - max(word.y0, box[1])
    shared = max(wide, 0.0) * max(high, 0.0)
    both = (word.x1 - word.x0) * (word.y1 - word.y0) + (box[2] - box[0]) * (box[3] - box[1])
    return shared / max(both - shared, 1e-9)


def _home(word: Word, lines: list[Line]) -> int | None:
    """The line whose box holds the middle of a word, the nearest in height where several do."""
    x, y = (word.x0 + word.x1) / 2, (word.y0 + word.y1) / 2
    fit = [
        (abs((line.box[1] + line.box[3]) / 2 - y), n)
        for n, line in enumerate(lines)
        if line.box[0] - 2 <= x <= line.box[2] + 2 and line.box[1] - line.em / 2 <= y <= line.box[3] + line.em / 2
    ]
    return min(fit)[1] if fit else None


def _overlap(word: Word, box: Box) -> float:
    shared = min(word.x1, box[2]) - max(word.x0, box[0])
    return shared / max(max(word.x1, box[2]) - min(word.x0, box[0]), 1e-9)


def agreement(page: Page, text: PageText, truth: list[tuple[float, float]], size: tuple[float, float]) -> float | None:
    """Share of pairs of docling's blocks, given by their top left corners in order, that we have in equal order."""
    places = []
    for x, y in truth:
        x, y = x * page.size[0] / size[0], y * page.size[1] / size[1]
        near = [
            n
            for n, line in enumerate(text.lines)
            if abs(line.box[0] - x) < 2 * line.em and abs(line.box[1] - y) < line.em
        ]
        if near:
            places.append(near[0])
    pairs = [(a, b) for a, b in combinations(places, 2) if a != b]
    return sum(a < b for a, b in pairs) / len(pairs) if pairs else None


def docling(path: Path) -> dict[int, tuple[tuple[float, float], list[tuple[float, float]]]]:
    """Page number from 1: its size and the top left corners of its blocks in order, y downwards."""
    told = json.loads(path.read_text("utf-8"))
    pages = {int(n): (page["size"]["width"], page["size"]["height"]) for n, page in told["pages"].items()}
    blocks: dict[int, list[tuple[float, float]]] = {}
    for item in told["texts"]:
        for place in item.get("prov", [])[:1]:
            box, (_, height) = place["bbox"], pages[place["page_no"]]
            top = height - box["t"] if box["coord_origin"] == "BOTTOMLEFT" else box["t"]
            if item.get("content_layer", "body") == "body":
                blocks.setdefault(place["page_no"], []).append((box["l"], top))
    return {number: (pages[number], found) for number, found in blocks.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inputs", nargs="*", type=Path, default=[DOCUMENTS], help="PDFs and folders of them")
    parser.add_argument("--truth", type=Path, help="folder with NAME.json of docling for NAME.pdf")
    parser.add_argument("--pages", type=int, default=40, help="of each document")
    parser.add_argument("--worst", type=int, default=5, help="pages to list")
    flags = parser.parse_args()
    files = [p for place in flags.inputs for p in (sorted(place.rglob("*.pdf")) if place.is_dir() else [place])]
    options = build.Options(ocr=OPTIONS.ocr, max_pages=flags.pages)
    found: dict[str, Found] = {}
    orders: list[float] = []
    turned = 0
    for path in files:
        told = poppler(path)
        blocks = docling(truth) if flags.truth and (truth := flags.truth / f"{path.stem}.json").is_file() else {}
        (record,) = build.records([str(path)], options)
        for page in read_pages(record, options, build.places([str(path)]), build.Setup()):
            if not isinstance(page, Page) or page.number >= len(told):
                continue
            if page.meta["pdf"]["rotation"]:  # poppler tells boxes of the page before it is turned
                turned += 1
                continue
            found[f"{path.name} p{page.number + 1}"] = compared(page, *told[page.number])
            if page.number + 1 in blocks:
                size, corners = blocks[page.number + 1]
                share = agreement(page, arrange(page.lines), corners, size)
                orders += [] if share is None else [share]
    report(found, orders, flags.worst)
    print(f"{turned} pages with /Rotate are left out")


def report(found: dict[str, Found], orders: list[float], worst: int) -> None:
    rates = {name: page.errors / page.letters for name, page in found.items() if page.letters}
    if not rates:
        print("no page has a text layer that is used")
        return
    ordered = sorted(rates.values())
    same = max(1, sum(page.same for page in found.values()))
    letters, errors = sum(page.letters for page in found.values()), sum(page.errors for page in found.values())
    print(f"{len(rates):,} pages, {letters:,} letters")
    print(f"character error rate: median page {median(ordered):.3%}, "
          f"90th percentile {ordered[len(ordered) * 9 // 10]:.2%}, "
          f"of all letters {errors / letters:.2%}")  # fmt: skip
    print(f"of {same:,} equal words, as stored, overlap by 0.7 or more:")
    for what, count in (
        ("in both dimensions", sum(page.stored for page in found.values())),
        ("along the line", sum(page.along for page in found.values())),
    ):
        print(f"  {count / same:7.2%}  {what}")
    if orders:
        equal = sum(share == 1 for share in orders)
        print(
            f"reading order: median {median(orders):.1%} of pairs as docling has them, "
            f"{equal} of {len(orders)} pages equal"
        )
    for name in sorted(rates, key=lambda name: -rates[name])[:worst]:
        print(f"  {rates[name]:7.2%}  {name}")


if __name__ == "__main__":
    main()
