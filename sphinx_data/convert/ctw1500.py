"""SCUT-CTW1500: curved lines of text with polygons of 14 points -> text spotting.

Input: a folder, or files. Training labels ``0001.xml``
(``<image><box><label>..</label><segs>x1,y1,..,x14,y14</segs>``), test labels ``0001001.txt``
(``x1,y1,..,x14,y14,####text``), and the first release without texts (32 numbers: a box, and 14 points relative to
its corner -> text localisation). Pictures by the same number, leading zeros aside, anywhere below ``--images DIR``
or beside the labels. Texts ``###`` are rejects of level region, and the question then does not ask for all. One
sample a picture, SPHINX's form: 'There are "OLATHE [...]" and "BANK [...]" in the image.' Boxes outline the
polygons, which are kept. No real file was at hand; made after the published description. For non-commercial
research. https://github.com/Yuliang-Liu/Curve-Text-Detector
"""

from collections.abc import Iterator
from xml.etree import ElementTree

from sphinx_data import storage
from sphinx_data.convert import Inputs, _label_sets, _quads
from sphinx_data.convert._common import RejectedError, limited, short
from sphinx_data.convert._label_files import LabelFile
from sphinx_data.convert._label_sets import Record as Record
from sphinx_data.convert._objects import of_picture, reject
from sphinx_data.convert._packed import head
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._texts import About, TextOptions, Texts, legible, outline
from sphinx_data.sample import Built, Reject

_LICENSE = "non-commercial-research"
_POINTS = 28  # numbers of 14 points
_MARK = "####"  # before a text


class Options(TextOptions, frozen=True, kw_only=True):
    """Parameters of this format."""


def recognise(glimpse: Glimpse) -> bool:
    """XML files with segs, or text files with rows of 28 numbers and a text, or of 32 numbers."""
    xml = [name for name in glimpse.names if name.lower().endswith(".xml")]
    if xml:
        path = storage.join(glimpse.path, xml[0]) if glimpse.is_folder else glimpse.path
        return b"<segs>" in head(path, 1 << 14)
    lines = _label_sets.first_lines(glimpse, ".txt")
    return bool(lines) and all(_is_row(line) for line in lines)


def _is_row(line: str) -> bool:
    try:
        _row(line)
    except RejectedError:
        return False
    return True


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every label file, in order of its name."""
    return limited(lambda: _label_sets.planned(inputs, options, (".xml", ".txt"), _stems, _is_list), options)


def _stems(file: LabelFile, _: bytes) -> list[str]:
    number = file.stem.removeprefix("gt_").lstrip("0") or file.stem
    return list(dict.fromkeys([file.stem, *(number.zfill(width) for width in (4, 1, 7, 9))]))


def _is_list(file: LabelFile) -> bool:
    """The lists of files that lie beside the labels."""
    return not any(character.isdigit() for character in file.stem)


@of_picture
def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its texts, or the reject of the file or picture."""
    picture, texts = _label_sets.opened_texts(record, options, places)
    if record.input.lower().endswith(".xml"):
        root = _parsed(record.raw)
        if root is None:
            yield reject(record, "file", "xml-invalid", "It is no XML of boxes with segs.")
            return
        _add_boxes(texts, root)
    else:
        for number, line in _quads.lines(record.raw):
            with texts.one(f"Line {number}"):
                points, text = _row(line)
                texts.add(outline(points), None if text is None else legible(text))
    yield from texts.samples(picture, About(_LICENSE))


def _row(line: str) -> tuple[tuple[float, ...], str | None]:
    """Points and text of a line. Raises RejectedError."""
    parts = line.split(",", _POINTS)
    if len(parts) == _POINTS + 1 and parts[-1].startswith(_MARK):
        return _quads.numbers(parts[:_POINTS], line), parts[-1].removeprefix(_MARK)
    values = _quads.numbers(line.split(","), line)
    if len(values) != _POINTS + 4:
        raise RejectedError("row-invalid", f"{short(line)} is neither 28 numbers and a text nor 32 numbers.")
    return tuple(value + values[index % 2] for index, value in enumerate(values[4:])), None


def _parsed(raw: bytes) -> ElementTree.Element | None:
    """The root; None where it is no such XML. Declared entities, which could grow, are refused."""
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
        return None
    try:
        root = ElementTree.fromstring(raw)
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
    return root if root.tag == "image" or root.find("image") is not None else None


def _add_boxes(texts: Texts, root: ElementTree.Element) -> None:
    for number, entry in enumerate(root.iter("box")):
        with texts.one(f"Box {number}"):
            segs = entry.findtext("segs") or ""
            points = _quads.numbers(segs.strip().strip(",").split(","), segs)
            texts.add(outline(points), legible(entry.findtext("label") or ""))
