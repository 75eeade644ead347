"""ReCTS: Chinese signboards, lines and characters with four corners -> text spotting.

Input: the folder ``gt`` (or ``gt_unicode``, the same texts) with a JSON file a picture, ``{chars: [{points: [x1, y1,
..., x4, y4], transcription, ignore}], lines: [the same]}``; pictures by the file's name anywhere below ``--images
DIR``. One sample a picture over its lines, or over its characters with ``--set level=chars``: "Detect all regions in
the image that contain text and identify their content." -> 'There are "..." and "..." in the image.' Texts with
``ignore`` 1 or ``###`` are rejects of level region, and the question then does not ask for all text. No real file was
at hand; made after the published description. The terms are those of the Robust Reading Competition.
https://rrc.cvc.uab.es/?ch=12
"""

from collections.abc import Iterator
from typing import Any, Literal

from sphinx_data import storage
from sphinx_data.convert import Inputs, _label_sets, _rows
from sphinx_data.convert._common import RejectedError, limited, short
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._rows import Record as Record
from sphinx_data.convert._rows import Row
from sphinx_data.convert._text_rows import opened_row
from sphinx_data.convert._texts import About, TextOptions, Texts, legible, outline
from sphinx_data.sample import Built, Reject


class Options(TextOptions, frozen=True, kw_only=True):
    """Parameters of this format."""

    level: Literal["lines", "chars"] = "lines"  # what is read and located


def recognise(glimpse: Glimpse) -> bool:
    """JSON files, or a folder of them, with chars and lines."""
    if not glimpse.is_folder:
        return {"chars", "lines"} <= glimpse.keys
    name = next((name for name in glimpse.names if name.lower().endswith(".json")), None)
    return name is not None and recognise(Glimpse(Inputs((storage.join(glimpse.path, name),))))


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every picture, in order of its file's name."""
    return limited(lambda: _label_sets.planned_objects(inputs, options, lambda file: [file.stem]), options)


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its texts, or the reject of the picture."""
    yield from _rows.produce(record, options, places, lambda row: _sampled(row, options))


def _sampled(row: Row, options: Options) -> Iterator[Built | Reject]:
    picture, texts = opened_row(row, "")
    entries = row.fields.get(options.level)
    if not isinstance(entries, list):
        raise RejectedError("texts-invalid", f"{options.level} is {short(entries)}, no list of texts.")
    for number, entry in enumerate(entries):
        with texts.one(f"{options.level}[{number}]"):
            _add(texts, entry)
    yield from texts.samples(picture, About())


def _add(texts: Texts, entry: Any) -> None:
    points = entry.get("points") if isinstance(entry, dict) else None
    if not isinstance(points, list) or len(points) != 8 or not all(type(n) in (int, float) for n in points):
        raise RejectedError("segmentation-invalid", f"points is {short(points)}, not four corners.")
    if entry.get("ignore") in (1, "1", True):
        raise RejectedError("dont-care", "ignore is 1.")
    texts.add(outline(points), legible(entry.get("transcription")))
