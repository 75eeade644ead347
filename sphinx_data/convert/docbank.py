"""DocBank: pages of arXiv papers, every token with a box and one of 12 classes -> document layout.

Input: label files ``NAME_0.txt``, given or in a folder (``DocBank_500K_txt``): a row a token, separated by tabs:
token, x0, y0, x1, y1 (thousandths of the page), R, G, B, font, class. Pictures ``NAME_0_ori.jpg`` anywhere below
``--images DIR`` or beside the labels. One sample a page, SPHINX's form: "Detect the layout of the document in the
image." -> "There are seven paragraph [...; ...], two section [...; ...], and title [...] in the image." A block is
a run of tokens of one class in one column; it ends where the next token is more than a line and a half below (so
paragraphs that touch are one block, as in the MSCOCO form of the set, which is read by the format coco). The files
list tokens line by line across both columns of a page: where lines leave the same gap free, columns are told apart.
Tokens of lines drawn (``##LTLine##``) belong to no block. Rows that are damaged are rejects of level region. Tested
on the repository's samples. Apache-2.0; the pages are under the terms of arXiv's authors.
https://github.com/doc-analysis/DocBank
"""

import math
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import msgspec

from sphinx_data.convert import Inputs, _label_sets
from sphinx_data.convert._common import RejectedError, clean_text, limited, short
from sphinx_data.convert._label_files import LabelFile
from sphinx_data.convert._label_sets import Record as Record
from sphinx_data.convert._objects import Asking, ObjectOptions, Objects, of_picture, opened, reject
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._regions import coco_region
from sphinx_data.sample import Built, Reject

_CLASSES = {
    "abstract", "author", "caption", "date", "equation", "figure", "footer", "list", "paragraph", "reference",
    "section", "table", "title",
}  # fmt: skip
_FIGURE, _LINE = "##LTFigure##", "##LTLine##"
_FIELDS = 10
_PAGE = 1000  # coordinates of its right and lower ends
_APART = 1.5  # heights of a line between two blocks
_GAP = 12  # least room between columns, thousandths of the page; spaces between words are narrower
_EVIDENCE, _SHARE = 5, 0.6  # columns: so many lines leave the gap free, and this share of those that could cross it
_WIDE = {"table", "figure", "title", "author"}  # may have gaps of their own


class Options(ObjectOptions, frozen=True, kw_only=True):
    """Parameters of this format."""


class _Token(NamedTuple):
    text: str
    box: tuple[float, float, float, float]
    label: str


def recognise(glimpse: Glimpse) -> bool:
    """Text files, the first of which has rows of ten fields with a class of DocBank at the end."""
    rows = [line.split("\t") for line in _label_sets.first_lines(glimpse, ".txt")]
    return bool(rows) and all(len(row) == _FIELDS and row[-1].strip() in _CLASSES for row in rows)


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every label file, in order of its name."""
    return limited(lambda: _label_sets.planned(inputs, options, (".txt",), _stems), options)


def _stems(file: LabelFile, _: bytes) -> list[str]:
    return [f"{file.stem}_ori", file.stem]


@of_picture
def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its rows, or the reject of the file or picture."""
    picture, frame = opened(record, options, places)
    objects = Objects(msgspec.structs.replace(record, annotated="Apache-2.0"), frame, options.min_area)
    tokens = []
    for number, line in enumerate(record.raw.decode("utf-8-sig", "replace").split("\n"), 1):
        if line.strip("\r\n "):
            try:
                tokens.append(_token(line.rstrip("\r")))
            except RejectedError as error:
                yield reject(record, "region", error.rule, f"Line {number}: {error.detail}")
    for block in _blocks(tokens):
        label = block[0].label
        with objects.one(label, f"{label}, {short(_text(block))}"):
            x0, y0, x1, y1 = _outline(block)
            wide, high = frame.width / _PAGE, frame.height / _PAGE
            box = [x0 * wide, y0 * high, (x1 - x0) * wide, (y1 - y0) * high]
            done = coco_region({"bbox": box}, label, frame.width, frame.height)
            text = _text(block) or None
            objects.add(done._replace(region=msgspec.structs.replace(done.region, text=text)), label)
    yield from objects.samples(options, picture, Asking("layout"))


def _token(line: str) -> _Token:
    """A row. Raises RejectedError."""
    fields = line.split("\t")
    if len(fields) != _FIELDS:
        raise RejectedError("row-invalid", f"{short(line)} has {len(fields)} fields instead of {_FIELDS}.")
    label = fields[-1].strip()
    if label not in _CLASSES:
        raise RejectedError("category-unknown", f"{short(label)} is no class of DocBank.")
    try:
        x0, y0, x1, y1 = (float(field) for field in fields[1:5])
    except ValueError:
        raise RejectedError("box-invalid", f"{short(fields[1:5])} are not four numbers.") from None
    return _Token(clean_text(fields[0]), (x0, y0, x1, y1), label)


def _blocks(tokens: list[_Token]) -> list[list[_Token]]:
    """Runs of tokens of one class in one column; every figure is one block."""
    blocks: list[list[_Token]] = []
    open_: dict[int, list[_Token]] = {}  # the last block of each column
    for column, token in _by_column([token for token in tokens if token.text != _LINE]):
        block = open_.get(column)
        last = block[-1] if block else None
        if last and last.label == token.label and _FIGURE not in (last.text, token.text) and _goes_on(last, token):
            open_[column].append(token)
        else:
            open_[column] = [token]
            blocks.append(open_[column])
    return blocks


def _by_column(tokens: list[_Token]) -> Iterator[tuple[int, _Token]]:
    """Tokens with their column: 1 left and 2 right of the gap between two, 0 across it or where there is none."""
    lines = _lines(tokens)
    gutter = _gutter(lines)
    for line in lines:
        cut = gutter is not None and _is_free(line, gutter)
        for token in line:
            apart = cut and gutter is not None and token.label not in _WIDE
            yield (1 + (token.box[0] >= gutter) if apart and gutter is not None else 0), token


def _lines(tokens: list[_Token]) -> list[list[_Token]]:
    """Tokens that follow each other to the right at one height."""
    lines: list[list[_Token]] = []
    for token in tokens:
        last = lines[-1][-1] if lines else None
        middle = (token.box[1] + token.box[3]) / 2
        if last and last.box[1] <= middle <= last.box[3] and token.box[0] >= last.box[0]:
            lines[-1].append(token)
        else:
            lines.append([token])
    return lines


def _gutter(lines: list[list[_Token]]) -> float | None:
    """Where the gap between two columns is, from the lines with words on both sides; None on a page of one column."""
    free: dict[int, list[float]] = {}  # heights of the lines that leave a place free
    for line in lines:
        for left, right in pairwise(line):
            for x in _middle(left.box[2], right.box[0]) if _is_gap(left, right) else ():
                free.setdefault(x, []).append(left.box[1])
    most = max(map(len, free.values()), default=0)
    best = [x for x in sorted(free) if len(free[x]) == most]
    if most < _EVIDENCE:
        return None
    gutter = best[len(best) // 2]
    begin, end = min(free[gutter]), max(free[gutter])
    both = [
        line for line in lines
        if begin <= line[0].box[1] <= end and line[0].box[0] < gutter < line[-1].box[2]
        and not any(token.label in _WIDE for token in line)
    ]  # fmt: skip
    return gutter if most >= _SHARE * len(both) else None


def _is_gap(left: _Token, right: _Token) -> bool:
    """Whether the room between two tokens may be that between columns: not that of a table or before a number."""
    labels = {left.label, right.label}
    return right.box[0] - left.box[2] >= _GAP and not labels & _WIDE and labels != {"equation"}


def _middle(start: float, end: float) -> range:
    return range(max(math.ceil(start), _PAGE // 4), min(math.floor(end), 3 * _PAGE // 4) + 1)


def _is_free(line: list[_Token], gutter: float) -> bool:
    """Whether a line has no token, and no usual space between two, where the gap of the columns is."""
    left = max((token.box[2] for token in line if token.box[0] < gutter), default=0.0)
    right = min((token.box[0] for token in line if token.box[0] >= gutter), default=float(_PAGE))
    return left <= gutter and right - left >= _GAP


def _goes_on(last: _Token, token: _Token) -> bool:
    """Whether a token stands in the same line as the one before it, or in the next line of the column."""
    height = max(last.box[3] - last.box[1], token.box[3] - token.box[1])
    below = token.box[1] - last.box[1]
    if below < -height:  # it begins higher up
        return False
    return token.box[1] - last.box[3] <= _APART * height


def _outline(block: list[_Token]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = zip(*(token.box for token in block), strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def _text(block: list[_Token]) -> str:
    return re.sub(r"\s+", " ", " ".join(token.text for token in block if token.text != _FIGURE)).strip()
