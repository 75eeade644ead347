"""ICDAR scene text (2013, 2015, MLT, ArT, LSVT): words with polygons or boxes -> text spotting.

Input: label files ``gt_img_1.txt`` or ``img_1.txt``, given or in a folder, in one of the published row forms, told
by the file: ``x1,y1,x2,y2,x3,y3,x4,y4,text`` (2015; commas belong to the text, nothing is quoted), the same with a
script before the text (MLT; it becomes the region's label), ``x0 y0 x1 y1 "text"`` with or without commas (2013).
UTF-8 with or without BOM. Or the one JSON file of ArT and LSVT, ``{"gt_1": [{points, transcription, language,
illegibility}]}``. Pictures by the label's name without ``gt_`` in the same folder, or anywhere below ``--images
DIR``; where names repeat between training and test, folders' names tell them apart. Words marked ``###`` or
illegible are rejects of level region, and the question then does not ask for all text. One sample a picture:
"Detect all regions in the image that contain text and identify their content." -> 'There are "EXIT [...]" and "WAY
[...]" in the image.' ICDAR 2015 is CC-BY-4.0 (`--license`); the others' terms are those of the Robust Reading
Competition. https://rrc.cvc.uab.es
"""

import os
from collections.abc import Iterator

from sphinx_data.convert import Inputs, _label_sets, _quads
from sphinx_data.convert._common import RejectedError, UniqueIds, clean_text, limited, short
from sphinx_data.convert._json_items import JsonFile, value
from sphinx_data.convert._label_files import LabelFile, Pictures
from sphinx_data.convert._label_sets import Record as Record
from sphinx_data.convert._objects import of_picture, reject
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._texts import About, TextOptions, Texts, box, legible, outline
from sphinx_data.sample import Built, Reject

_KEYS = {"key", "entities"}  # folders of SROIE, whose boxes have the same rows


class Options(TextOptions, frozen=True, kw_only=True):
    """Parameters of this format."""


def recognise(glimpse: Glimpse) -> bool:
    """Such a JSON file, or text files, the first of which has such rows only, without key information beside them."""
    if any(_KEYS & set(name.split("/")[:-1]) for name in glimpse.names):
        return False
    if any(key.startswith("gt_") for key in glimpse.keys):
        return any(isinstance(entry, dict) and "points" in entry for entry in glimpse.member(min(glimpse.keys)))
    lines = _label_sets.first_lines(glimpse, ".txt")
    return _quads.are_quads(lines) or _quads.are_quoted(lines)


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every label file, in order of its name; every picture of a JSON file."""
    if all(path.lower().endswith(".json") for path in inputs.annotations):
        return limited(lambda: _members(inputs, options), options)
    return limited(lambda: _label_sets.planned(inputs, options, (".txt",), _stems, _is_prose), options)


def _members(inputs: Inputs, options: Options) -> Iterator[Record]:
    """The pictures of JSON files (ArT, LSVT)."""
    unique, pictures = UniqueIds(options.source), Pictures(inputs)
    for path in inputs.annotations:
        name = clean_text(os.path.basename(path))
        with JsonFile(path) as file:
            for item in file.items():
                record = Record(input=name, record=item.place, id=unique(item.place))
                try:
                    media = pictures.of(name, item.place, item.place.removeprefix("gt_"))
                except RejectedError as error:
                    why = reject(record, "image", error.rule, error.detail)
                    yield Record(input=name, record=item.place, rejects=(why,))
                    continue
                yield Record(input=name, record=item.place, id=record.id, media=media, raw=item.raw)


def _stems(file: LabelFile, _: bytes) -> list[str]:
    return list(dict.fromkeys([file.stem.removeprefix("gt_"), file.stem]))


def _is_prose(file: LabelFile) -> bool:
    return file.stem.lower() in ("readme", "license", "lexicon", "genericvocabulary")


@of_picture
def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its texts, or the reject of the file or picture."""
    picture, texts = _label_sets.opened_texts(record, options, places)
    try:
        _add_entries(texts, record.raw) if record.record is not None else _add_rows(texts, record.raw)
    except RejectedError as error:
        yield reject(record, "record", error.rule, error.detail)
        return
    yield from texts.samples(picture, About())


def _add_rows(texts: Texts, raw: bytes) -> None:
    """Take every row of a label file."""
    lines = _quads.lines(raw)
    scripts = _quads.has_scripts(lines)
    for number, line in lines:
        with texts.one(f"Line {number}"):
            row = _quads.quoted(number, line) or _quads.quad(number, line, scripts)
            shape = box(*row.numbers) if len(row.numbers) == 4 else outline(row.numbers)
            texts.add(shape, legible(row.text), row.script)


def _add_entries(texts: Texts, raw: bytes) -> None:
    """Take every entry of a picture in a JSON file. Raises RejectedError where it is no list."""
    try:
        entries = value(raw)
    except ValueError:
        entries = None
    if not isinstance(entries, list):
        raise RejectedError("json-invalid", f"{short(raw[:60])} is no list of texts.")
    for number, entry in enumerate(entries):
        with texts.one(f"Entry {number}"):
            points = entry.get("points") if isinstance(entry, dict) else None
            if not isinstance(points, list) or not all(map(_is_point, points)):
                raise RejectedError("segmentation-invalid", f"points is {short(points)}, no list of points.")
            if entry.get("illegibility") is True:
                raise RejectedError("dont-care", "illegibility is true.")
            ring, language = [number for point in points for number in point], entry.get("language")
            texts.add(
                outline(ring), legible(entry.get("transcription")), language if isinstance(language, str) else None
            )


def _is_point(point: object) -> bool:
    return isinstance(point, list) and len(point) == 2 and all(type(number) in (int, float) for number in point)
