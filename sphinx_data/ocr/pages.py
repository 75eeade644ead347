"""Documents to pages, pages to samples. This runs inside the process that reads documents (`ocr/isolation.py`)."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sphinx_data import engines
from sphinx_data.engines import Engine, Pixels
from sphinx_data.errors import InputError
from sphinx_data.media import DamagedImage, page_count, page_picture, prepare_image
from sphinx_data.ocr import inputs, pdf, route
from sphinx_data.ocr.clean import Verdict, has_ink, keep_lines, page_verdict
from sphinx_data.ocr.document import reject
from sphinx_data.ocr.inputs import PICTURES, Record
from sphinx_data.ocr.isolation import Job
from sphinx_data.ocr.objects import Graphics
from sphinx_data.ocr.options import Options, Setup
from sphinx_data.ocr.page import Box, Page, Shown
from sphinx_data.ocr.pdf_page import PdfError, Raster, jpeg
from sphinx_data.ocr.quality import size_verdict, text_verdict
from sphinx_data.ocr.tables import Grid, grids_of, open_tables
from sphinx_data.ocr.text import Line, lines_of
from sphinx_data.sample import Reject

Item = Page | Reject
Answer = tuple[Any, Any]  # ("open", steps), then (step, items); steps are pages, and one more for what is left out


Unlimited = Callable[[Callable[[], Any]], Any]  # runs what loads something large that stays


class Task(NamedTuple):
    """What a reader needs to read one document."""

    record: Record
    options: Options
    places: dict[str, str]
    setup: Setup


def perform(job: Job, unlimited: Unlimited) -> Iterator[Answer]:
    """Every page of a document; the work of `isolation.serve`."""
    task: Task = job.task
    engine = partial(_engine, task.options, task.setup, unlimited)
    try:
        data = inputs.read(task.record, task.places, task.setup.passwords)
        if is_picture(task.record, data):
            yield from _picture_pages(data, job, engine)
        else:
            yield from _pdf_pages(data, job, engine)
    except (PdfError, inputs.Unreadable) as error:
        yield from _refused(task, error.rule, error.detail)
    except DamagedImage as error:
        yield from _refused(task, *_damage(error))


def _refused(task: Task, rule: str, detail: str) -> Iterator[Answer]:
    yield "open", 0
    yield -1, [reject(task.record, Verdict(rule, detail), "file")]


def _damage(error: DamagedImage) -> tuple[str, str]:
    """Rule and detail. A picture that found no memory is no damaged one: a fresh process may have enough."""
    if "does not fit into memory" in str(error):
        raise MemoryError(str(error))
    return error.rule, str(error)


def is_picture(record: Record, data: bytes) -> bool:
    """By the bytes where they are clear, else by the name."""
    if b"%PDF-" in data[:1024]:
        return False
    known = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"II*\0", b"MM\0*", b"GIF8", b"BM")
    return data.startswith(known) or (record.member or record.file).lower().endswith(PICTURES)


_engines: dict[str, Engine] = {}


def _engine(options: Options, setup: Setup, unlimited: Unlimited) -> Engine:
    """The engine of the plan, loaded once. Raises InputError when this machine has another."""
    wanted = options.ocr
    assert wanted.engine is not None
    if wanted.engine not in _engines:
        cv2.setNumThreads(1)
        loaded = engines.open_engine(wanted.engine, setup.models)
        if loaded.fingerprint() != wanted.models:
            raise InputError(
                f"the plan was made with {wanted.engine} {wanted.version}, models {wanted.models}; here are "
                f"{loaded.version} and {loaded.fingerprint()}: install the same versions, or plan again elsewhere"
            )
        unlimited(loaded.load)
        _engines[wanted.engine] = loaded
    return _engines[wanted.engine]


def _steps(pages: int, job: Job) -> tuple[int, range, bool]:
    """Pages wanted, those of this job, and whether it also says what is left out."""
    wanted = min(pages, job.task.options.max_pages or pages)
    end = wanted if job.last is None else min(job.last, wanted)
    return wanted, range(job.first, end), wanted < pages and (job.last is None or job.last > wanted)


def _numbered(pages: int, job: Job, make: Callable[[int], list[Item]]) -> Iterator[Answer]:
    wanted, numbers, beyond = _steps(pages, job)
    yield "open", wanted + (wanted < pages)
    for number in numbers:
        yield number, make(number)
    if beyond:
        detail = f"{pages - wanted} of {pages} pages are beyond max_pages = {wanted}"
        yield wanted, [reject(job.task.record, Verdict("page-limit", detail), "record", (wanted + 1, pages))]


def _pdf_pages(data: bytes, job: Job, engine: route.GetEngine) -> Iterator[Answer]:
    with pdf.open_document(data, job.task.setup.passwords) as document:
        pages = len(document)

        def make(number: int) -> list[Item]:
            return list(_items(lambda: _pdf_page(document, number, pages, job.task, engine), number, job.task))

        yield from _numbered(pages, job, make)


def _picture_pages(data: bytes, job: Job, engine: route.GetEngine) -> Iterator[Answer]:
    pages = page_count(data)

    def make(number: int) -> list[Item]:
        return list(_items(lambda: _picture(data, number, pages, job.task, engine), number, job.task))

    yield from _numbered(pages, job, make)


def _items(read: Callable[[], Page | Verdict], number: int, task: Task) -> Iterator[Item]:
    """A page as its sample and the rejects of its lines, or as one reject."""
    here = (number + 1, number + 1)
    try:
        page = read()
    except PdfError as error:
        page = Verdict(error.rule, error.detail)
    except DamagedImage as error:
        page = Verdict(*_damage(error))
    if isinstance(page, Page):
        page = text_verdict(page.lines, task.options.clean) or page
    yield page if isinstance(page, Page) else reject(task.record, page, "record", here)


def _pdf_page(document: pdf.Document, number: int, pages: int, task: Task, engine: route.GetEngine) -> Page | Verdict:
    options = task.options
    with document.page(number, options.long_side) as page:
        renderer, version = pdf.renderer()
        size_pt = [round(page.width_pt, 2), round(page.height_pt, 2)]
        meta: dict[str, Any] = {
            "pdf": {"page": number + 1, "pages": pages, "size_pt": size_pt, "rotation": page.rotation},
            "renderer": {"name": renderer, "version": version},
        }
        if (verdict := size_verdict(page.width_pt, page.height_pt, options.clean)) is not None:
            return verdict
        raster = page.render()
        if options.ocr.mode == "always":
            reason = Verdict("asked-for", "text layers are not looked at")
            return _by_engine(number, pages, raster, reason, meta, task, engine)
        lines = lines_of(page, page.characters())
        if not lines:
            if not has_ink(raster, options.clean):
                return Verdict("page-blank", "the page has no text layer and nothing is drawn on it")
            reason = Verdict("no-text-layer", "the page shows something but has no text layer")
            return _by_engine(number, pages, raster, reason, meta, task, engine)
        kept = keep_lines(lines, page, raster, options.clean)
        verdict = page_verdict(lines, kept, options.clean)
        if verdict is None and _letters(kept.lines) < _FEW and page.covered_by_pictures() > 0.5:
            verdict = Verdict(
                "scan-with-little-text",
                f"a picture fills the page, the text layer tells {_letters(kept.lines)} letters",
            )
            return _by_engine(number, pages, raster, verdict, meta, task, engine)
        if verdict is not None:
            if verdict.rule not in route.TO_OCR or (
                verdict.rule == "too-little-text" and not len(page.graphics.pictures)
            ):
                return verdict
            return _by_engine(number, pages, raster, verdict, meta, task, engine)
        doubt = route.doubtful("\n".join(line.text for line in kept.lines))
        meta |= {"route": "text-layer", "reason": "text-layer-good"}
        if doubt is not None and options.ocr.mode == "auto" and options.ocr.engine is not None:
            lie = route.lying_layer(kept.lines, _rgb(raster), engine(), options.ocr)
            if lie is not None:
                return _by_engine(number, pages, raster, lie, meta, task, engine)
            meta["reason"] = "text-layer-compared"
        elif doubt is not None:
            meta["reason"] = "text-layer-not-compared"
        encoded = jpeg(raster, options.quality)
        facts, graphics = document.about, page.graphics
        grids = grids_of(graphics.rules)
        size = (raster.width, raster.height)
        bold = page.bold(np.array([line.first for line in kept.lines], np.int64)).tolist()
        told = [line._replace(bold=True) if heavy else line for line, heavy in zip(kept.lines, bold, strict=True)]
        return Page(
            number, pages, told, kept.complete, kept.dropped, encoded, "jpg", size, meta,
            graphics=_shown(graphics, grids, raster), grids=tuple(grids), outline=facts.outline.get(number, ()),
            title=facts.title, author=facts.author,
        )  # fmt: skip


def _shown(graphics: Graphics, grids: Sequence[Grid], raster: Raster) -> Shown | None:
    """Pictures and drawings that are seen; a rule outside tables is none, unless there are many of them."""
    if not graphics.complete:
        return None
    loose, drawings = graphics.rules, graphics.drawings
    if grids:
        tables = np.array([grid.box for grid in grids])
        within = ((loose[:, None, :2] >= tables[:, :2] - 4) & (loose[:, None, 2:] <= tables[:, 2:] + 4)).all(axis=2)
        loose = loose[~np.logical_or.reduce(within, axis=1)]
    if len(loose) > _FEW_RULES:
        drawings = np.vstack([drawings, np.concatenate([loose[:, :2].min(0), loose[:, 2:].max(0)])])
    elif len(loose):
        drawings = np.vstack([drawings, open_tables(loose)])
    if len(drawings) > _FEW_DRAWINGS:  # one drawing of many strokes: the box around it says enough
        drawings = np.concatenate([drawings[:, :2].min(0), drawings[:, 2:].max(0)])[None]
    return Shown(_clipped(graphics.pictures, raster), _clipped(drawings, raster))


def _clipped(boxes: NDArray[np.float64], raster: Raster) -> tuple[Box, ...]:
    """Boxes [N, 4] as far as they lie on the picture."""
    if not len(boxes):
        return ()
    return tuple(map(tuple, np.round(np.clip(boxes, 0, [raster.width, raster.height] * 2), 1).tolist()))


_FEW_RULES = 12  # lines under headings and above footnotes; more of them draw something
_FEW_DRAWINGS = 64
_FEW = 200  # letters; a page of text under a picture that fills it has more


def _letters(lines: list[Line]) -> int:
    return sum(len(line.text) for line in lines)


def _picture(data: bytes, number: int, pages: int, task: Task, engine: route.GetEngine) -> Page | Verdict:
    """A photo keeps its own bytes where readers can take them; pages of a TIFF are made as pages of a PDF are."""
    options = task.options
    meta: dict[str, Any] = {"picture": {"page": number + 1, "pages": pages}}
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        pixels = _shrunk(np.asarray(page_picture(data, number).convert("RGB")), options.long_side)
        media = None
    else:
        media = prepare_image(data)
        if media.change:
            meta["picture"]["change"] = media.change
        opened = page_picture(media.data, 0)
        pixels = np.asarray(opened.convert("RGB"))
    if int(np.ptp(pixels, axis=(0, 1)).max()) < options.clean.min_contrast:
        return Verdict("page-blank", "nothing is seen on the picture")
    page = _by_engine(number, pages, pixels, Verdict("picture", "a picture has no text layer"), meta, task, engine)
    if isinstance(page, Verdict) or media is None or "turned" in page.meta:
        return page
    return page._replace(media=media.data, extension=media.extension)


def _by_engine(
    number: int,
    pages: int,
    picture: Pixels | Raster,
    reason: Verdict,
    meta: dict[str, Any],
    task: Task,
    engine: route.GetEngine,
) -> Page | Verdict:
    """What the engine reads on a page, or why it may not be read or used."""
    options = task.options
    if options.ocr.mode == "never":
        return _unread(reason, "and --ocr never forbids reading the picture")
    if options.ocr.engine is None:
        return _unread(reason, f"and no OCR engine is installed: {engines.MEND}")
    ready = engine()
    unread = route.unread_language(options.language, ready.scripts)
    if unread is not None:
        return unread
    pixels = _rgb(picture) if isinstance(picture, Raster) else picture
    clean = options.clean
    fewest = clean.min_picture_chars if reason.rule == "picture" else clean.min_chars
    found = route.read_picture(pixels, ready, options.ocr, clean, fewest)
    if isinstance(found, Verdict):
        return found._replace(detail=f"{found.detail}; read by {ready.name} because: {reason.rule}")
    meta = meta | {
        "route": "ocr",
        "reason": reason.rule,
        "engine": {"name": ready.name, "version": ready.version, "models": options.ocr.models},
    }
    if found.turned:
        meta["turned"] = found.turned
    height, width = found.pixels.shape[:2]
    encoded = _jpeg(found.pixels, options.quality)
    return Page(number, pages, found.lines, found.complete, found.dropped, encoded, "jpg", (width, height), meta)


def _unread(reason: Verdict, why: str) -> Verdict:
    rule = "no-ocr-engine" if reason.rule in ("picture", "asked-for") else reason.rule
    return Verdict(rule, f"{reason.detail}, {why}")


def _rgb(raster: Raster) -> Pixels:
    return np.ascontiguousarray(raster.pixels[..., 2::-1])


def _shrunk(pixels: Pixels, long_side: int) -> Pixels:
    height, width = pixels.shape[:2]
    scale = long_side / max(height, width)
    if scale >= 1:
        return np.ascontiguousarray(pixels)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.ascontiguousarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(pixels: Pixels, quality: int) -> bytes:
    height, width = pixels.shape[:2]
    return jpeg(Raster(np.ascontiguousarray(pixels[..., ::-1]), width, height), quality)
