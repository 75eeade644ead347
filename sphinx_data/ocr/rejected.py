"""Pictures of what build-ocr dropped, by rule: pages are drawn anew from the documents, so these must be at hand."""

import base64
import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sphinx_data import storage
from sphinx_data.dataset import layout, tables
from sphinx_data.dataset.reader import Dataset
from sphinx_data.errors import InputError
from sphinx_data.media import DamagedImage, page_picture
from sphinx_data.ocr import inputs, isolation, pdf
from sphinx_data.ocr.pages import is_picture
from sphinx_data.ocr.pdf_page import PdfError, jpeg

_SIDE = 480  # pixels of the longer side
_WORK = "sphinx_data.ocr.rejected:perform"
_MEMORY = 2048  # MiB for one page
_STYLE = (
    "body{font:14px sans-serif;margin:2em}figure{display:inline-block;width:30em;margin:.5em;vertical-align:top}"
    "img{max-width:100%;border:1px solid #aaa}figcaption{overflow-wrap:anywhere}.none{color:#777}"
)


class _Row(NamedTuple):
    """A reject."""

    input: str
    record: str | None
    level: str
    detail: str


class _Task(NamedTuple):
    """One page to draw."""

    record: inputs.Record
    places: dict[str, str]
    number: int  # from 0
    passwords: tuple[str, ...]


def write_sheet(
    dataset: Dataset,
    inputs_: Sequence[str],
    out: Path,
    per_rule: int = 6,
    seconds: int = 20,
    passwords: tuple[str, ...] = (),
) -> dict[str, int]:
    """An HTML page with the first `per_rule` pages of every rule that dropped something; returns the counts by rule.

    `inputs_` are those of the build, in the same order. Raises InputError where they hold none of the documents.
    """
    rules = _rules(dataset)
    known = {record.shown: record for record in inputs.records(inputs_)}
    if rules and not any(row.input in known for rows in rules.values() for row in rows):
        raise InputError(
            f"{', '.join(inputs_)}: holds none of the documents with rejects; give the inputs of the build"
        )
    places = inputs.places(inputs_)
    parts = [f"<!doctype html><meta charset=utf-8><title>Rejects of {html.escape(dataset.name)}</title>"]
    parts.append(f"<style>{_STYLE}</style><h1>Rejects of {html.escape(dataset.name)}</h1>")
    for rule, rows in sorted(rules.items(), key=lambda item: (-len(item[1]), item[0])):
        parts.append(f"<h2>{html.escape(rule)} <small>{len(rows):,}</small></h2>")
        for row in rows[:per_rule]:
            record = known.get(row.input)
            shown = (
                _picture(record, places, row, seconds, passwords) if record is not None else "the document is not here"
            )
            parts.append(_figure(row, shown))
    out.write_text("\n".join(parts), "utf-8", "backslashreplace")
    return {rule: len(rows) for rule, rows in sorted(rules.items())}


def _rules(dataset: Dataset) -> dict[str, list[_Row]]:
    found: dict[str, list[_Row]] = {}
    for part in dataset.description.parts:
        if part.rejects:
            table = tables.read(storage.join(dataset.directory, layout.rejects(part.part)))
            for row in table.to_pylist():
                told = _Row(row["input"], row["record"], row["level"], row["detail"] or "")
                found.setdefault(row["rule"], []).append(told)
    return found


def _figure(row: _Row, shown: bytes | str) -> str:
    where = html.escape(f"{row.input}, {row.record}" if row.record else row.input)
    caption = f"<figcaption><b>{where}</b> ({row.level})<br>{html.escape(row.detail)}</figcaption>"
    if isinstance(shown, bytes):
        return f"<figure><img src='data:image/jpeg;base64,{base64.b64encode(shown).decode()}'>{caption}</figure>"
    return f"<figure><p class=none>No picture: {html.escape(shown)}.</p>{caption}</figure>"


def _picture(
    record: inputs.Record, places: dict[str, str], row: _Row, seconds: int, passwords: tuple[str, ...]
) -> bytes | str:
    """The page of a reject as JPEG, or why there is none. It is drawn in a process of its own."""
    number = (row.record or "page 1").split()[-1].split("-")[0]
    task = _Task(record, places, int(number) - 1 if number.isdigit() else 0, passwords)
    for item in isolation.run(_WORK, task, isolation.Limits(seconds, _MEMORY)):
        if isinstance(item, bytes | str):
            return item
        if isinstance(item, isolation.Died):
            return item.detail
    return "nothing was drawn"


def perform(job: isolation.Job, unlimited: Any) -> Iterator[tuple[Any, Any]]:
    """The work of the drawing process: one page."""
    task: _Task = job.task
    yield "open", 1
    try:
        yield 0, [_drawn(task)]
    except (PdfError, inputs.Unreadable, DamagedImage) as error:
        yield 0, [str(error)]


def _drawn(task: _Task) -> bytes:
    data = inputs.read(task.record, task.places)
    if not is_picture(task.record, data):
        with pdf.open_document(data, task.passwords) as document, document.page(task.number, _SIDE) as page:
            return jpeg(page.render(), 80)
    pixels = np.asarray(page_picture(data, task.number).convert("RGB"))[..., ::-1]
    scale = min(1.0, _SIDE / max(pixels.shape[:2]))
    small: NDArray[Any] = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
