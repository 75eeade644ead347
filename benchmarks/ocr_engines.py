"""Character error rate of an OCR engine on rendered pages whose text layer is known: FOLDER... of PDFs, one row each.

    python benchmarks/ocr_engines.py --engine rapidocr --pages 10 texlive-doc/english texlive-doc/japanese

The layer's characters are given to the OCR line that holds their centre; what lies in no line counts as missed. Only
pages whose layer passes the cleaning rules are taken. With ``--out`` every page's numbers go to a JSON-lines file.
"""

import argparse
import json
import random
import statistics
import time
from pathlib import Path

import numpy as np

from sphinx_data.engines import Engine, Models, open_engine
from sphinx_data.ocr import pdf
from sphinx_data.ocr.clean import Clean, keep_lines, page_verdict
from sphinx_data.ocr.compare import edit_distance, folded
from sphinx_data.ocr.letters import code_points, decode
from sphinx_data.ocr.pdf_page import Page, PdfError, Raster
from sphinx_data.ocr.text import lines_of

DOCUMENTS = Path(__file__).parents[1] / "recipes/demo/data/documents"


def trusted(page: Page, raster: Raster) -> bool:
    """Whether the page has a text layer that may be the truth: readable, visible and long enough."""
    lines = lines_of(page, page.characters())
    if sum(len(line.text) for line in lines) < 200:
        return False
    kept = keep_lines(lines, page, raster, Clean())
    return kept.complete and page_verdict(lines, kept, Clean()) is None


def errors(page: Page, found: list) -> tuple[int, int]:
    """Edits and characters of one page."""
    codes, boxes, _ = code_points(page.characters())
    text, centres = decode(codes), (boxes[:, :2] + boxes[:, 2:]) / 2
    solid = np.array([not letter.isspace() for letter in text])
    free, wrong = solid.copy(), 0
    for line in found:
        (x0, y0), (x1, y1) = line.quad.min(0), line.quad.max(0)
        inside = (centres >= (x0, y0)).all(1) & (centres <= (x1, y1)).all(1) & free
        free &= ~inside
        truth = "".join(text[n] for n in np.flatnonzero(inside))
        wrong += edit_distance(folded(truth), folded(line.text))
    missed = len(folded("".join(text[n] for n in np.flatnonzero(free))))
    return wrong + missed, len(folded("".join(text[n] for n in np.flatnonzero(solid))))


def pages_of(folder: Path, count: int, seed: int) -> list[tuple[Path, int]]:
    """`count` random pages, at most four a document."""
    chance = random.Random(seed)
    files = sorted(folder.rglob("*.pdf"))
    chance.shuffle(files)
    chosen: list[tuple[Path, int]] = []
    for file in files:
        try:
            with pdf.open_document(file.read_bytes()) as document:
                numbers = chance.sample(range(len(document)), min(8, len(document)))
                good = [number for number in numbers if _fit(document, number)]
        except PdfError:
            continue
        chosen += [(file, number) for number in good[:4]]
        if len(chosen) >= count:
            break
    return chosen[:count]


def _fit(document: pdf.Document, number: int) -> bool:
    try:
        with document.page(number, 1344) as page:
            return trusted(page, page.render())
    except PdfError:
        return False


def measure(engine: Engine, folder: Path, count: int, seed: int) -> list[dict]:
    """One row a page."""
    rows = []
    for file, number in pages_of(folder, count, seed):
        with pdf.open_document(file.read_bytes()) as document, document.page(number, 1344) as page:
            raster = page.render()
            before = time.process_time()
            found = engine.read(np.ascontiguousarray(raster.pixels[..., 2::-1]))
            spent = time.process_time() - before
            wrong, total = errors(page, found)
        scores = [line.score for line in found]
        rows.append(
            {"folder": folder.name, "file": file.name, "page": number + 1, "cer": wrong / max(1, total), "edits": wrong,
             "chars": total, "lines": len(found), "score": float(np.mean(scores or [0])), "cpu": spent,
             "line_scores": [round(s, 3) for s in scores], "texts": [line.text for line in found],
             "quads": [line.quad.round(1).tolist() for line in found]}
        )  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--engine", default="rapidocr")
    parser.add_argument("--pages", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    flags = parser.parse_args()
    flags.folders = flags.folders or [DOCUMENTS]
    engine = open_engine(flags.engine, Models())
    print(f"{engine.name} {engine.version}, models {engine.fingerprint()}")
    print(f"{'folder':<16}{'pages':>6}{'chars':>9}{'median CER':>12}{'mean CER':>10}{'score':>8}{'CPU s/page':>12}")
    everything = []
    for folder in flags.folders:
        rows = measure(engine, folder, flags.pages, flags.seed)
        everything += rows
        if not rows:
            print(f"{folder.name:<16}{0:>6}  no page with a text layer to compare with")
            continue
        total = sum(row["chars"] for row in rows)
        print(
            f"{folder.name:<16}{len(rows):>6}{total:>9,}{statistics.median(row['cer'] for row in rows):>12.2%}"
            f"{sum(row['edits'] for row in rows) / total:>10.2%}{statistics.mean(row['score'] for row in rows):>8.3f}"
            f"{statistics.mean(row['cpu'] for row in rows):>12.1f}",
            flush=True,
        )
    if flags.out:
        flags.out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in everything))


if __name__ == "__main__":
    main()
