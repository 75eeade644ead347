"""MMOCR's annotation files: text detection, text spotting and text recognition.

Input, one of: ``{metainfo, data_list: [{img_path, height, width, instances: [{polygon, bbox, ignore, text}]}]}``
(MMOCR 1.x: textdet, textspotting, textrecog), or lists of word pictures of MMOCR 0.x: JSON lines ``{filename,
text}`` and lines ``filename text``. Pictures by their path or its end below `--images DIR`, by default the file's
folder. With texts and places: SPHINX's text spotting; without texts: "Detect all regions in the image that contain
text." -> 'There is text [...; ...] in the image.'; pictures of one word: "What does the text in the image say?"
(region reading). Instances with ``ignore`` are rejects of level region, and the question then does not ask for all
text. MMOCR's toolbox is Apache-2.0; licences of the data are those of the sets that were prepared with it
(`--license`). https://github.com/open-mmlab/mmocr
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from sphinx_data import storage
from sphinx_data.convert import Inputs, _quads, _row_files, _rows
from sphinx_data.convert._common import RejectedError, UniqueIds, find_media, short
from sphinx_data.convert._packed import head
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._rows import Record as Record
from sphinx_data.convert._rows import Row
from sphinx_data.convert._text_rows import opened_row, record_of, tails
from sphinx_data.convert._texts import About, TextOptions, Texts, Turn, legible, outline, sampled, written
from sphinx_data.phrasing import choose
from sphinx_data.sample import Built, Reject

_PICTURE = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


class Options(TextOptions, frozen=True, kw_only=True):
    """Parameters of this format."""


def recognise(glimpse: Glimpse) -> bool:
    """metainfo and a data_list, JSON lines of filename and text, or lines that begin with a picture's name."""
    if "data_list" in glimpse.keys:
        return any(
            isinstance(entry, dict) and {"img_path", "instances"} <= set(entry) for entry in glimpse.member("data_list")
        )
    if glimpse.is_folder:
        return False
    if glimpse.keys == {"filename", "text"}:  # a file of one line
        return True
    if glimpse.row_has("filename", "text"):
        return all(set(row) == {"filename", "text"} for row in glimpse.rows)
    lines = [line for line in glimpse.lines if line.strip()]
    numbered = all(line.rpartition(" ")[2].isdigit() for line in lines)  # classes, as lists of ImageNet have them
    return glimpse.path.lower().endswith(".txt") and bool(lines) and not numbered and all(map(_is_pair, lines))


def _is_pair(line: str) -> bool:
    name, _, text = line.partition(" ")
    return name.lower().endswith(_PICTURE) and bool(text.strip())


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every picture of every file, in file order."""
    plain = any(_is_plain(path) for path in inputs.annotations)
    make = _Lines(inputs, options)
    return _rows.records(
        inputs, options, _names, fields=("data_list",), one="filename", ranged=make.records if plain else None
    )


def _names(fields: dict[str, Any]) -> list[str | list[str]]:
    return [tails(fields.get("img_path", fields.get("filename")), "imgs", "images")]


def _is_plain(path: str) -> bool:
    """Whether a file has lines of name and text, not JSON."""
    is_text = not storage.local(path).is_dir() and path.lower().endswith(".txt")
    return is_text and head(path, 64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"[")


class _Lines:
    """Records of lines ``filename text``."""

    def __init__(self, inputs: Inputs, options: Options) -> None:
        self._root, self._source = inputs.places()["images"], options.source

    def records(self, file: _row_files.File, stem: str) -> Iterator[Record]:
        unique = UniqueIds(self._source)
        for number, line in _quads.lines(storage.read_bytes(file.path)):
            name, _, text = line.strip().partition(" ")
            record = Record(input=file.label, record=f"line {number}")
            if not text.strip():
                detail = f"{short(line)} is not the name of a picture and a text."
                why = Reject(input=file.label, record=record.record, level="record", rule="row-invalid", detail=detail)
                yield msgspec.structs.replace(record, reject=why)
                continue
            media = find_media(self._root, *tails(name, "imgs", "images"))
            raw = msgspec.json.encode({"filename": name, "text": text})
            yield msgspec.structs.replace(record, id=unique(f"{stem}/{record.record}"), media=(media,), raw=raw)


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its instances, or the reject of the picture."""
    yield from _rows.produce(record, options, places, lambda row: _sampled(row, options))


def _sampled(row: Row, options: Options) -> Iterator[Built | Reject]:
    fields = row.fields
    instances = fields.get("instances", [{"text": fields.get("text")}])
    if not isinstance(instances, list):
        raise RejectedError("instances-invalid", f"instances is {short(instances)}, no list.")
    if len(instances) == 1 and isinstance(instances[0], dict) and not {"polygon", "bbox"} & set(instances[0]):
        said = written(instances[0].get("text"))
        turn = Turn("region-reading", choose("region-reading", "crop", row.id), said)
        yield sampled(record_of(row), options, row.picture("", 0), [turn], About(), said=said)
        return
    picture, texts = opened_row(row, "", fields.get("width"), fields.get("height"))
    for number, entry in enumerate(instances):
        with texts.one(f"instances[{number}]"):
            _add(texts, entry)
    yield from texts.samples(picture, About())


def _add(texts: Texts, entry: Any) -> None:
    if not isinstance(entry, dict):
        raise RejectedError("instance-invalid", f"{short(entry)} is no object.")
    if entry.get("ignore") in (True, 1):
        raise RejectedError("dont-care", "ignore is true.")
    text = legible(entry["text"]) if entry.get("text") is not None else None
    polygon, corners = entry.get("polygon"), entry.get("bbox")
    if polygon:
        numbers = polygon if isinstance(polygon, list) and all(type(n) in (int, float) for n in polygon) else None
        if numbers is None:
            raise RejectedError("segmentation-invalid", f"polygon {short(polygon)} is no list of numbers.")
        texts.add(outline(numbers), text)
    elif isinstance(corners, list) and len(corners) == 4 and all(type(n) in (int, float) for n in corners):
        x0, y0, x1, y1 = corners
        texts.add({"bbox": [x0, y0, x1 - x0, y1 - y0]}, text)
    else:
        raise RejectedError("box-invalid", f"bbox {short(corners)} is not four numbers, and there is no polygon.")
