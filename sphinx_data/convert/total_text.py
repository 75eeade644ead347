"""Total-Text: words with polygons, many of them curved -> text spotting.

Input: ground truth files, given or in a folder (``Groundtruth/Polygon/Train``): ``poly_gt_img11.mat`` (a cell array
``polygt``, or ``gt`` as the authors' tool T3 writes it: x, y, text, orientation) or ``poly_gt_img11.txt`` (``x:
[[..]], y: [[..]], ornt: [u'c'], transcriptions: [u'text']``). MAT-files are read without scipy. Pictures
``img11.jpg`` beside the labels or anywhere below ``--images DIR``. Words ``#`` are rejects of level region, and the
question then does not ask for all. One sample a picture, SPHINX's form: 'There are "KELUAR [...]" and "EXIT [...]"
in the image.' Boxes outline the polygons, which are kept; the orientation is the region's label. BSD-3-Clause, as
the authors' repository. https://github.com/cs-chan/Total-Text-Dataset
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from sphinx_data import storage
from sphinx_data.convert import Inputs, _label_sets
from sphinx_data.convert._common import RejectedError, limited, short
from sphinx_data.convert._label_files import LabelFile
from sphinx_data.convert._label_sets import Record as Record
from sphinx_data.convert._mat import arrays
from sphinx_data.convert._objects import of_picture, reject
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._texts import About, TextOptions, legible, outline
from sphinx_data.sample import Built, Reject

_ORIENTATIONS = {"c": "curved", "h": "horizontal", "m": "multi-oriented"}
_PREFIXES = ("poly_gt_", "gt_")
_ENTRY = re.compile(
    r"x:\s*\[\[(?P<x>[^\]]*)\]\],\s*y:\s*\[\[(?P<y>[^\]]*)\]\],\s*ornt:\s*\[(?:u?'(?P<ornt>[^']*)')?\],"
    r"\s*transcriptions:\s*\[(?:u?(?P<quote>['\"])(?P<text>.*?)(?P=quote))?\]\s*(?=x:|\Z)",
    re.DOTALL,
)


class Options(TextOptions, frozen=True, kw_only=True):
    """Parameters of this format."""


class _Word(NamedTuple):
    place: str
    xs: list[float]
    ys: list[float]
    text: Any
    orientation: Any


def recognise(glimpse: Glimpse) -> bool:
    """MAT-files with polygons as ground truth, or text files that begin with ``x: [[``."""
    names = [name for name in glimpse.names if name.lower().endswith(".mat")]
    for name in names[:20]:
        path = storage.join(glimpse.path, name) if glimpse.is_folder else glimpse.path
        if storage.size(path) > 1 << 22:
            continue
        try:
            if _truth(arrays(storage.read_bytes(path))) is not None:
                return True
        except ValueError:
            continue
    lines = _label_sets.first_lines(glimpse, ".txt")
    return bool(lines) and lines[0].startswith("x: [[")


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every ground truth file, in order of its name."""
    return limited(lambda: _label_sets.planned(inputs, options, (".mat", ".txt"), _stems, _is_other), options)


def _stems(file: LabelFile, _: bytes) -> list[str]:
    stem = file.stem
    for prefix in _PREFIXES:
        stem = stem.removeprefix(prefix)
    return list(dict.fromkeys([stem, file.stem]))


def _is_other(file: LabelFile) -> bool:
    """Texts that are no ground truth: the results of an evaluation, what T3 suggests."""
    is_text = file.path.lower().endswith(".txt")
    return is_text and not any(file.stem.startswith(prefix) for prefix in (*_PREFIXES, "img"))


@of_picture
def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its texts, or the reject of the file or picture."""
    try:
        words = _words_of_mat(record.raw) if record.input.lower().endswith(".mat") else _words_of_text(record.raw)
    except RejectedError as error:
        yield reject(record, "file", error.rule, error.detail)
        return
    picture, texts = _label_sets.opened_texts(record, options, places)
    for word in words:
        with texts.one(word.place, word.text):
            if len(word.xs) != len(word.ys):
                detail = f"It has {len(word.xs)} numbers in x and {len(word.ys)} in y."
                raise RejectedError("segmentation-invalid", detail)
            ring = [value for pair in zip(word.xs, word.ys, strict=True) for value in pair]
            texts.add(outline(ring), legible(word.text), _ORIENTATIONS.get(str(word.orientation).strip()))
    yield from texts.samples(picture, About("BSD-3-Clause"))


def _truth(found: dict[str, Any]) -> list[list[Any]] | None:
    """The rows of a ground truth, the marks ``x:`` and ``y:`` left out."""
    rows = next((found[name] for name in ("polygt", "gt") if isinstance(found.get(name), list)), None)
    if rows is None or any(len(row) < 5 for row in rows):
        return None
    return [[cell for cell in row if not (isinstance(cell, str) and cell in ("x:", "y:"))] for row in rows]


def _words_of_mat(raw: bytes) -> list[_Word]:
    try:
        rows = _truth(arrays(raw))
    except ValueError as error:
        raise RejectedError("mat-invalid", f"It cannot be read: {error}.") from None
    if rows is None:
        raise RejectedError("no-ground-truth", "It holds no cell array polygt or gt of polygons.")
    words = []
    for number, row in enumerate(rows):
        xs, ys, text, *more = [*row, None, None, None, None][: max(len(row), 4)]
        words.append(_Word(f"Row {number}", _flat(xs), _flat(ys), text, more[0]))
    return words


def _flat(cell: Any) -> list[float]:
    return [float(value) for value in cell.ravel().tolist()] if hasattr(cell, "ravel") else []


def _words_of_text(raw: bytes) -> list[_Word]:
    text = raw.decode("utf-8-sig", "replace")
    words, end = [], 0
    for number, match in enumerate(_ENTRY.finditer(text)):
        if text[end : match.start()].strip():
            break
        xs, ys = _floats(match["x"]), _floats(match["y"])
        words.append(_Word(f"Entry {number}", xs, ys, match["text"] or "", match["ornt"] or ""))
        end = match.end()
    if text[end:].strip():
        raise RejectedError(
            "text-invalid", f"It is not x, y, ornt and transcriptions at {short(text[end : end + 40])}."
        )
    return words


def _floats(listed: str) -> list[float]:
    try:
        return [float(value) for value in listed.replace(",", " ").split()]
    except ValueError:
        return []
