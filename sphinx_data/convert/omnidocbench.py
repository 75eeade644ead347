"""OmniDocBench and MDPBench: document pages with blocks, tables, formulas and reading order -> layout and page reading.

Input: ``OmniDocBench.json``, a list of ``{layout_dets: [{category_type, poly, order, text, html, latex, ignore}],
page_info: {image_path, width, height, page_attribute}, extra}``; pictures by ``image_path`` below `--images DIR`,
in ``images`` or in the folder with the file's name. One sample a page, short turns first: up to `region_turns` each
of texts, tables ("Convert the table in the region [...] to HTML.") and formulas to be read; SPHINX's layout,
"Detect the layout of the document in the image."; and the blocks that have a place in the reading order, tables as
HTML and formulas as LaTeX, an empty line between them, a block that goes on in another column joined with it.
Answers are cut at blocks after `max_target_chars`. Blocks that are ignored or have no readable content are rejects;
the layout then asks for classes by name, and a page with a block that cannot be written is not read as a whole. Of
a picture whose blocks lie outside it, and of MDPBench's photographs of pages (``_indoor_``, ``_outdoor_``), whose
blocks have the places of the scan, only the text is used. Licences differ (`--license`): OmniDocBench is for
research, MDPBench MIT. https://github.com/opendatalab/OmniDocBench
"""

import os
import re
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

from sphinx_data.convert import Inputs, _row_files, _rows
from sphinx_data.convert._blocks import FORMULAS, Block, layout_turn, reading_turns, region_turns
from sphinx_data.convert._coco_file import length
from sphinx_data.convert._common import RejectedError, clean_text, short
from sphinx_data.convert._frame import Frame, frame_of
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._rows import Record as Record
from sphinx_data.convert._rows import Row
from sphinx_data.convert._table_form import read_table
from sphinx_data.convert._text_rows import record_of, tails
from sphinx_data.convert._texts import About, TextOptions, Texts, Turn, outline
from sphinx_data.media import Prepared
from sphinx_data.phrasing import english
from sphinx_data.sample import Built, Reject

_CLASSES = {
    "text_block": "text", "equation_isolated": "formula", "equation_semantic": "formula", "code_txt": "code",
    "code_txt_caption": "code caption", "equation_caption": "formula caption",
    "list_group": "list", "page_number": "page number",
}  # fmt: skip
_NO_BLOCKS = {
    "abandon", "text_mask", "table_mask", "organic_chemical_formula_mask", "algorithm_mask", "unknown_mask",
    "need_mask",
}  # fmt: skip
_SLACK = 1.02  # of a side: a block beyond it is of another picture
_PHOTOGRAPH = re.compile(r"_(?:indoor|outdoor)(?:_|$)")  # of MDPBench; the others of its pages are scans
_LANGUAGES = {
    "english": "en", "simplified chinese": "zh", "traditional chinese": "zh", "chinese": "zh", "arabic": "ar",
    "german": "de", "spanish": "es", "french": "fr", "hindi": "hi", "indonesian": "id", "italian": "it",
    "japanese": "ja", "korean": "ko", "dutch": "nl", "portuguese": "pt", "russian": "ru", "thai": "th",
    "vietnamese": "vi",
}  # fmt: skip


class Options(TextOptions, frozen=True, kw_only=True):
    """Parameters of this format; `max_texts` bounds the blocks of a layout."""

    region_turns: Annotated[int, msgspec.Meta(ge=0)] = 2  # texts, tables and formulas that are asked for by place, each
    max_target_chars: Annotated[int, msgspec.Meta(ge=1)] = 4096  # longer answers go on in the next turn


def recognise(glimpse: Glimpse) -> bool:
    """Items with layout_dets and page_info, or their folder."""
    return {"layout_dets", "page_info"} <= glimpse.keys or glimpse.row_has("layout_dets", "page_info")


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every page of every file, in file order."""
    stems = [os.path.splitext(os.path.basename(file.path))[0] for file in _row_files.files(inputs)]
    return _rows.records(inputs, options, lambda fields: [tails(_image(fields), "images", *stems)], one="layout_dets")


def _image(fields: dict[str, Any]) -> Any:
    page = fields.get("page_info")
    return page.get("image_path") if isinstance(page, dict) else None


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its blocks, or the reject of the page."""
    yield from _rows.produce(record, options, places, lambda row: _sampled(row, options))


def _sampled(row: Row, options: Options) -> Iterator[Built | Reject]:
    page, found = row.fields.get("page_info"), row.fields.get("layout_dets")
    if not isinstance(page, dict):
        raise RejectedError("page-invalid", f"page_info is {short(page)}, no object.")
    if not isinstance(found, list):
        raise RejectedError("layout-invalid", f"layout_dets is {short(found)}, no list.")
    picture = row.picture("", 0)
    frame, why = _frame(picture, page, found)
    texts = Texts(record_of(row), frame, options)
    texts.list_nothing()
    if why:
        texts.refuse("turn", *why)
    blocks, is_whole, is_read = [], True, True
    for number, entry in enumerate(found):
        kept = len(texts.rejects)
        with texts.one(f"layout_dets[{number}]"):
            blocks.append(_block(texts, entry, has_place=not why))
        if len(texts.rejects) > kept and not _is_no_block(entry):
            is_whole = False
            is_read = is_read and isinstance(entry, dict) and entry.get("order") is None
    turns: list[Turn] = []
    if not why:
        turns += region_turns(blocks, row.id, options.region_turns, options.max_target_chars)
        turns += layout_turn(texts, blocks, row.id, len(turns), whole=is_whole)
    turns += reading_turns(texts, blocks if is_read else [], _goes_on(row), len(turns), options.max_target_chars)
    given = page.get("page_attribute")
    attribute = given if isinstance(given, dict) else {}
    said = str(attribute.get("language", "")).lower().replace("_", " ")
    yield from texts.samples(picture, About(language=_LANGUAGES.get(said)), turns, {"page": attribute})


def _frame(picture: Prepared, page: dict[str, Any], found: list[Any]) -> tuple[Frame, tuple[str, str] | None]:
    """The frame of the blocks, and why their places are not those of this picture, where they are not."""
    whole = Frame(picture.width, picture.height, (picture.width, picture.height))
    stem = os.path.splitext(str(page.get("image_path")))[0]
    if _PHOTOGRAPH.search(stem):
        return whole, ("places-elsewhere", "A photograph of a page, whose blocks have the places of the scan.")
    try:
        frame = frame_of(picture, length(page.get("width")), length(page.get("height")))
    except RejectedError as error:
        return whole, (error.rule, f"{error.detail} Only the text is read.")
    for entry in found:
        ring = entry.get("poly") if isinstance(entry, dict) else None
        if not isinstance(ring, list) or len(ring) < 6 or not all(type(n) in (int, float) for n in ring):
            continue
        if max(ring[::2]) > _SLACK * frame.width or max(ring[1::2]) > _SLACK * frame.height:
            detail = f"A block lies at {short(ring)} of a {frame.width}x{frame.height} picture."
            return whole, ("places-elsewhere", f"{detail} Only the text is read.")
    return frame, None


def _is_no_block(entry: Any) -> bool:
    """Whether it is a mask or a mark of what has no meaning, which no layout needs."""
    kind = entry.get("category_type") if isinstance(entry, dict) else None
    return isinstance(kind, str) and kind in _NO_BLOCKS and entry.get("order") is None


def _block(texts: Texts, entry: Any, has_place: bool) -> Block:
    """Take a block. Raises RejectedError."""
    if not isinstance(entry, dict) or not isinstance(entry.get("category_type"), str):
        raise RejectedError("block-invalid", f"{short(entry)} is no object with a category_type.")
    kind, ring, order = entry["category_type"], entry.get("poly"), entry.get("order")
    if entry.get("ignore") is True or kind in _NO_BLOCKS:
        raise RejectedError("ignored", f"{clean_text(kind)}: it is to be ignored.")
    content, region = _content(kind, entry), -1
    if has_place:
        if not isinstance(ring, list) or len(ring) < 6 or not all(type(n) in (int, float) for n in ring):
            raise RejectedError("segmentation-invalid", f"poly {short(ring)} is no polygon.")
        name = _CLASSES.get(kind) or english.readable(clean_text(kind))
        region = texts.add(outline(ring), content or None, name)
    place = float(order) if isinstance(order, (int, float)) and not isinstance(order, bool) else None
    return Block(kind, region, content, place, entry.get("anno_id"))


def _content(kind: str, entry: dict[str, Any]) -> str:
    """What a block says, its table as HTML, its formula as LaTeX. Raises RejectedError."""
    if kind == "table":
        return read_table(entry.get("html")).text
    said = entry.get("latex") if kind in FORMULAS else entry.get("text")
    if said is None or (isinstance(said, str) and not said.strip()):
        if kind == "figure" or entry.get("order") is None:
            return ""
        raise RejectedError("text-empty", f"{clean_text(kind)}: it has a place in the reading order, and says nothing.")
    if not isinstance(said, str):
        raise RejectedError("text-invalid", f"{clean_text(kind)}: {short(said)} is no text.")
    return clean_text(said).strip()


def _goes_on(row: Row) -> set[tuple[int, int]]:
    """(anno_id of a block, that of the block where it goes on)."""
    extra = row.fields.get("extra")
    relations = extra.get("relation") if isinstance(extra, dict) else None
    pairs = (
        (entry.get("source_anno_id"), entry.get("target_anno_id"))
        for entry in (relations if isinstance(relations, list) else ())
        if isinstance(entry, dict) and entry.get("relation_type") == "truncated"
    )
    return {(source, target) for source, target in pairs if type(source) is int and type(target) is int}
