"""build-ocr: PDFs -> one sample a page. `records` plans in the parent, `produce` builds in the workers."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from sphinx_data import storage
from sphinx_data.errors import InputError, UsageError
from sphinx_data.ocr import pdf
from sphinx_data.ocr.clean import Clean, Verdict, has_ink, keep_lines, page_verdict
from sphinx_data.ocr.tasks import Dialogue, TaskOptions
from sphinx_data.ocr.tasks import dialogue as make_dialogue
from sphinx_data.ocr.text import arrange, lines_of
from sphinx_data.sample import Built, Image, Origin, Reject, Sample

_NO_FILE, _NO_NAME = -1, -2  # in place of bytes: nothing that can be read, a name that no JSON holds
_MOST_BYTES = 1 << 30  # a larger file is no document; it would fill a worker's memory


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of build-ocr; all of them go into ``plan.json``."""

    source: str = "documents"  # first part of the ids
    license: str = "unknown"
    language: str | None = None  # BCP 47, where all documents share one
    split: str = "train"
    seed: int = 0
    long_side: int = 1344  # pixels of the longer side of the picture
    quality: int = 90  # of the JPEG, 1 to 100
    max_pages: int | None = None  # of one document; the pages beyond are one reject
    clean: Clean = Clean()
    tasks: TaskOptions = TaskOptions()

    def __post_init__(self) -> None:
        for name, low, high in (("long_side", 64, 16_384), ("quality", 1, 100), ("max_pages", 1, None)):
            value = getattr(self, name)
            if value is not None and (value < low or (high is not None and value > high)):
                raise UsageError(f"build-ocr: {name} = {value}: give a number from {low} to {high or 'any'}")


class Record(msgspec.Struct, frozen=True, array_like=True):
    """One document, as planned."""

    input: int  # which of the input arguments
    file: str  # relative to that argument; its own name where the argument is a file
    name: str  # the part of the id between source and page
    size: int  # bytes at planning


def places(inputs: Sequence[str]) -> dict[str, str]:
    """Folder of each input argument by its number, for `produce`; absolute, and never part of the plan."""
    return {
        str(number): os.path.abspath(place if storage.local(place).is_dir() else os.path.dirname(place) or ".")
        for number, place in enumerate(inputs)
    }


def records(inputs: Sequence[str], options: Options) -> Iterator[Record]:
    """Every PDF of the inputs (files, or folders searched for ``*.pdf``), in the order given, sorted inside a folder.

    No PDF is opened. Ids come from relative names; with several inputs the name of each leads. Raises InputError for an
    input that does not exist or holds no PDF, UsageError when pypdfium2 is missing.
    """
    pdf.require()
    taken: dict[str, int] = {}
    for number, place in enumerate(inputs):
        path = storage.local(place)
        if not path.exists():
            raise InputError(f"{place}: does not exist")
        if not path.is_dir():
            name = _unique(_stem(path.name), taken)
            yield Record(number, path.name, name, storage.size(place))
            continue
        lead = PurePosixPath(_unique(path.resolve().name, taken) if len(inputs) > 1 else "")
        found = False
        for file, size in storage.list_files(place):
            if file.lower().endswith(".pdf"):
                found = True
                shown = file.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
                yield Record(number, shown, (lead / _stem(shown)).as_posix(), size if shown == file else _NO_NAME)
        if not found:
            raise InputError(f"{place}: holds no file named *.pdf")


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """Every page of a document as a sample or a reject; a document that cannot be opened as one reject."""
    try:
        data = _read(Path(places[str(record.input)], record.file), record.size)
        with pdf.open_document(data) as document:
            pages = len(document)
            wanted = min(pages, options.max_pages or pages)
            for number in range(wanted):
                yield from _page(document, number, pages, record, options)
            if wanted < pages:
                detail = f"{pages - wanted} of {pages} pages are beyond max_pages = {wanted}"
                yield _reject(record, Verdict("page-limit", detail), "record", pages=(wanted + 1, pages))
    except pdf.PdfError as error:
        yield _reject(record, Verdict(error.rule, error.detail), "file")


def _page(
    document: pdf.Document, number: int, pages: int, record: Record, options: Options
) -> Iterator[Built | Reject]:
    here = (number + 1, number + 1)
    try:
        with document.page(number, options.long_side) as page:
            lines = lines_of(page, page.characters())
            raster = page.render()
            if not lines:
                yield _reject(record, _without_text(raster, options.clean), "record", pages=here)
                return
            kept = keep_lines(lines, page, raster, options.clean)
            verdict = page_verdict(lines, kept, options.clean)
            if verdict is not None:
                yield _reject(record, verdict, "record", pages=here)
                return
            yield from (_reject(record, dropped, "region", pages=here) for dropped in kept.dropped)
            name = _sample_id(record, options, number + 1)
            dialogue = make_dialogue(arrange(kept.lines), kept.complete, name, options.seed, options.tasks)
            if dialogue is None:
                nothing = Verdict("nothing-to-ask", "no line is fit for any of the tasks chosen")
                yield _reject(record, nothing, "record", pages=here)
                return
            sample = _sample(name, dialogue, page, record, options, (number + 1, pages))
            yield Built(sample, (pdf.jpeg(raster, options.quality),))
    except pdf.PdfError as error:
        yield _reject(record, Verdict(error.rule, error.detail), "record", pages=here)


def _sample(
    name: str, dialogue: Dialogue, page: pdf.Page, record: Record, options: Options, place: tuple[int, int]
) -> Sample:
    renderer, version = pdf.renderer()
    number, pages = place
    size_pt = [round(page.width_pt, 2), round(page.height_pt, 2)]
    return Sample(
        id=name,
        source=options.source,
        license=options.license,
        domain="ocr",
        task=dialogue.tasks[0] if len(dialogue.tasks) == 1 else "multi-task",
        language=options.language,
        split=options.split,
        images=(Image(file="0.jpg", width=page.width, height=page.height),),
        regions=dialogue.regions,
        messages=dialogue.messages,
        meta={
            "pdf": {"page": number, "pages": pages, "size_pt": size_pt, "rotation": page.rotation},
            "route": "text-layer",
            "renderer": {"name": renderer, "version": version},
            "tasks": list(dialogue.tasks),
        },
        origin=Origin(file=record.file, record=f"page {number}"),
    )


def _without_text(raster: pdf.Raster, config: Clean) -> Verdict:
    if has_ink(raster, config):
        return Verdict("no-text-layer", "the page shows something but has no text layer")
    return Verdict("page-blank", "the page has no text layer and nothing is drawn on it")


def _read(path: Path, size: int) -> bytes:
    """The bytes of a document. Raises PdfError when they are not those that were planned."""
    if size == _NO_FILE:
        raise pdf.PdfError("file-unreadable", "a link to nowhere, or no regular file")
    if size == _NO_NAME:
        raise pdf.PdfError("name-not-utf8", "the file's name is not UTF-8")
    if size > _MOST_BYTES:
        raise pdf.PdfError("file-too-large", f"the file has {size:,} bytes, at most {_MOST_BYTES:,} are read")
    try:
        data = storage.read_bytes(path)
    except InputError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise pdf.PdfError("file-unreadable", f"the file cannot be read: {reason}") from None
    if len(data) != size:
        raise pdf.PdfError("file-changed", f"the file has {len(data):,} bytes, at planning it had {size:,}")
    return data


def _reject(record: Record, verdict: Verdict, level: str, pages: tuple[int, int] | None = None) -> Reject:
    where = None if pages is None else f"page {pages[0]}" if pages[0] == pages[1] else f"pages {pages[0]}-{pages[1]}"
    return Reject(input=record.file, record=where, level=level, rule=verdict.rule, detail=verdict.detail)  # type: ignore[arg-type]


def _sample_id(record: Record, options: Options, page: int) -> str:
    return f"{options.source}/{record.name}/p{page:04d}"


def _stem(file: str) -> str:
    """The name without ``.pdf``; ``.PDF`` stays, so that a.pdf and a.PDF in one folder keep apart."""
    return file.removesuffix(".pdf") or file


def _unique(name: str, taken: dict[str, int]) -> str:
    """The name, with ``~2``, ``~3`` ... where an earlier input has it."""
    taken[name] = taken.get(name, 0) + 1
    return name if taken[name] == 1 else f"{name}~{taken[name]}"
