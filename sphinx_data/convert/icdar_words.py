r"""ICDAR word recognition (2013, 2015, born-digital): pictures of one word each -> reading.

Input: ``gt.txt`` with lines ``word_1.png, "Tiredness"`` (``\"`` and ``\\`` stand for a quote and a backslash), given
or in a folder; files of lines without quotes, ``word_1.png,Tiredness`` as in MLT, too. Pictures by their name below
``--images DIR``, by default the folder. One sample a word: "What does the text in the image say?" -> "Tiredness". Words
``###`` are rejects. No real file was at hand; made after the published description. ICDAR 2015 is CC-BY-4.0
(``--license``); the others' terms are those of the Robust Reading Competition. https://rrc.cvc.uab.es/?ch=4&com=tasks
"""

import re
from collections.abc import Iterator

import msgspec

from sphinx_data import storage
from sphinx_data.convert import Inputs, _quads, _row_files, _rows
from sphinx_data.convert._common import UniqueIds, find_media, short
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._rows import Record as Record
from sphinx_data.convert._rows import Row
from sphinx_data.convert._text_rows import record_of, tails
from sphinx_data.convert._texts import About, TextOptions, Turn, legible, sampled
from sphinx_data.phrasing import choose
from sphinx_data.sample import Built, Reject

_LINE = re.compile(r"\s*(\S[^,]*\.(?:png|jpe?g|bmp|tiff?|gif))\s*,\s*(.*\S)\s*", re.IGNORECASE)
_NUMBERS = re.compile(r"[\d\s,.-]+")


class Options(TextOptions, frozen=True, kw_only=True):
    """Parameters of this format."""


def recognise(glimpse: Glimpse) -> bool:
    """A list of pictures with a word behind each, or a folder with such a ``gt.txt``."""
    if glimpse.is_folder:
        names = (name for name in glimpse.names if name.rpartition("/")[2].lower() == "gt.txt")
        name = next(names, None)
        return name is not None and recognise(Glimpse(Inputs((storage.join(glimpse.path, name),))))
    found = [_LINE.fullmatch(line) for line in glimpse.lines if line.strip()]
    said = [match[2] for match in found if match]
    # lists of corners (coords.txt) have the same form
    return glimpse.path.lower().endswith(".txt") and bool(said) and all(found) and not all(map(_are_numbers, said))


def _are_numbers(text: str) -> bool:
    return "," in text and _NUMBERS.fullmatch(text) is not None


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every word of every file, in file order; of a folder, those of its files ``gt.txt``."""
    root, unique = inputs.places()["images"], UniqueIds(options.source)

    def ranged(file: _row_files.File, stem: str) -> Iterator[Record]:
        folder = file.name.rpartition("/")[0]
        for number, line in _quads.lines(storage.read_bytes(file.path)):
            place, match = f"line {number}", _LINE.fullmatch(line)
            if match is None:
                detail = f"{short(line)} is not the name of a picture and a word."
                why = Reject(input=file.label, record=place, level="record", rule="row-invalid", detail=detail)
                yield Record(input=file.label, record=place, reject=why)
                continue
            beside = [f"{folder}/{match[1]}", f"{folder}/images/{match[1]}"] if folder else []
            media = find_media(root, *beside, *tails(match[1], "images"))
            raw = msgspec.json.encode({"text": _unquoted(match[2])})
            yield Record(input=file.label, record=place, id=unique(f"{stem}/{place}"), media=(media,), raw=raw)

    return _rows.records(inputs, options, ranged=ranged, extensions=("gt.txt",))


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r'\\(["\\])', r"\1", text[1:-1])
    return text


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample, or the reject of the word."""
    yield from _rows.produce(record, options, places, lambda row: _sampled(row, options))


def _sampled(row: Row, options: Options) -> Iterator[Built | Reject]:
    said = legible(row.fields.get("text"))
    turn = Turn("region-reading", choose("region-reading", "crop", row.id), said)
    yield sampled(record_of(row), options, row.picture("", 0), [turn], About(), said=said)
