"""Questions about what a page says as a whole: reading it, going on with a paragraph, the order of its blocks."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sphinx_data.ocr.blocks import union
from sphinx_data.ocr.clean import Verdict, readable
from sphinx_data.ocr.order import inverted_share
from sphinx_data.ocr.text import Line, PageText, flowing, is_prose, same_row
from sphinx_data.ocr.turns import Subject, Turn, said
from sphinx_data.phrasing import choose
from sphinx_data.sample import Part, RegionPart, TextPart

_LETTERS = "ABCDE"
_FEWEST_BLOCKS = 3
_PARAGRAPH = 3  # lines from which a block can be continued
_PARAGRAPH_CHARS = 100  # ... and characters
_INDENTED = 6  # em by which a first line of a paragraph may be shorter
_BLOCK_CHARS = 40  # a block to be ordered is no label


def reading_turns(subject: Subject) -> list[Turn]:
    """The whole page, or all but its headers and footers; a long one in several turns."""
    body = bool(subject.running) and subject.chance("reading-body", 0.5)
    rows = _rows(subject.text, subject.running if body else frozenset())
    limit = subject.options.max_target_chars
    longest = max((len(row) for _, row in rows), default=0)
    if longest > limit:
        detail = f"page-reading: a line has {longest} characters, max_target_chars is {limit}"
        subject.dropped.append(Verdict("target-too-long", detail))
        return []
    parts = _split(rows, limit)
    if not parts:
        return []
    start = ("body-begin", "body") if body else ("begin", "whole")
    kinds = [start[0], *["continue"] * (len(parts) - 1)] if len(parts) > 1 else [start[1]]
    return [
        Turn("page-reading", subject.asked("page-reading", kind, turn), said(part))
        for turn, (kind, part) in enumerate(zip(kinds, parts, strict=True))
    ]


def continuation_turns(subject: Subject) -> Iterator[Turn]:
    """The rest of a paragraph whose first line is given."""
    text = subject.text
    gone = subject.used | subject.running
    fit = [
        n
        for n, (start, end) in enumerate(text.blocks)
        if end - start >= _PARAGRAPH
        and gone.isdisjoint(range(start, end))
        and all(readable(line.text) for line in text.lines[start:end])
        and not text.lines[start].hyphenated
        and _is_full(text.lines[start:end])
        and not text.lines[end - 1].hyphenated
        and subject.once(text.lines[start].text)
        and sum(len(line.text) for line in text.lines[start:end]) >= _PARAGRAPH_CHARS
        and is_prose(text.lines[start:end])
    ]
    for block in subject.draw.some(fit, 1, "continuation"):
        start, end = text.blocks[block]
        rest = flowing(text.lines[start + 1 : end])
        if len(rest) <= subject.options.max_target_chars:
            subject.used.update(range(start, end))
            beginning = TextPart(text=text.lines[start].text)
            yield Turn("continuation", subject.asked("continuation", "question", text=beginning), said(rest))


def _is_full(lines: Sequence[Line]) -> bool:
    """Whether the first line is no heading: as long as the others, but for what it is indented."""
    return lines[0].box[2] > max(line.box[2] for line in lines) - _INDENTED * lines[0].em


def order_turns(subject: Subject) -> Iterator[Turn]:
    """In which order some blocks are read; only where the document's own order and the columns agree."""
    text = subject.text
    long = [
        n
        for n, (start, end) in enumerate(text.blocks)
        if subject.running.isdisjoint(range(start, end))
        and sum([len(line.text) for line in text.lines[start:end]]) >= _BLOCK_CHARS
    ]
    if len(long) < _FEWEST_BLOCKS or any(line.score is not None for line in text.lines):
        return
    boxes = np.array([union(text.lines[start:end]) for start, end in text.blocks])
    if inverted_share(boxes) > 0:
        return
    overlapping = _overlapping(boxes)
    fit = [n for n in long if n not in overlapping]
    if len(fit) < _FEWEST_BLOCKS:
        return
    count = _FEWEST_BLOCKS + subject.draw.below(len(_LETTERS) - _FEWEST_BLOCKS + 1, "order-count")
    shown = subject.draw.some(fit, count, "reading-order")
    letters = dict(zip(shown, _LETTERS, strict=False))
    parts: list[Part] = [TextPart(text=choose("reading-order", "question", subject.name) + "\n")]
    for block, letter in letters.items():
        start, end = text.blocks[block]
        number = subject.regions.number(
            union(text.lines[start:end]), flowing(text.lines[start:end]), text.lines[start:end]
        )
        parts += (TextPart(text=f"{letter}: "), RegionPart(regions=(number,), form="box"), TextPart(text="\n"))
    yield Turn("reading-order", parts[:-1], said(", ".join(letters[block] for block in sorted(shown))))


def _overlapping(boxes: NDArray[np.float64]) -> set[int]:
    """Which of `boxes` [N, 4] overlap another one."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    one, other = np.nonzero(((low < boxes[:, 2:]) & (boxes[:, :2] < high)).all(axis=2))
    return set(one[one != other].tolist())


def _rows(text: PageText, without: frozenset[int]) -> list[tuple[str, str]]:
    """Rows of the page in reading order, each with the line ends before it: one in a block or table, else two."""
    starts = {start for start, _ in text.blocks}
    rows: list[list[int]] = []
    last: Line | None = None
    for n, line in enumerate(text.lines):
        if n in without:
            continue
        if last is not None and line.box[0] >= last.box[2] and same_row(last, line):
            rows[-1].append(n)
        else:
            rows.append([n])
        last = line
    told: list[tuple[str, str]] = []
    for k, row in enumerate(rows):
        table = k > 0 and len(row) > 1 and len(rows[k - 1]) > 1
        apart = row[0] in starts and not table
        told.append(("\n\n" if apart else "\n", " ".join(text.lines[n].text for n in row)))
    return told


def _split(rows: Sequence[tuple[str, str]], limit: int) -> list[str]:
    """Rows joined to texts of at most `limit` characters."""
    parts: list[str] = []
    for gap, row in rows:
        if parts and len(parts[-1]) + len(gap) + len(row) <= limit:
            parts[-1] += gap + row
        else:
            parts.append(row)
    return parts
