"""Questions that the document's own structure answers: layout, tables, title, author, headings."""

import re
from collections.abc import Iterator

from sphinx_data.ocr.blocks import layout
from sphinx_data.ocr.clean import Verdict, readable
from sphinx_data.ocr.compare import folded
from sphinx_data.ocr.tables import cells_of, markdown
from sphinx_data.ocr.turns import Subject, Turn, said
from sphinx_data.phrasing import choose, english
from sphinx_data.phrasing.detection import Group, layout_answer
from sphinx_data.sample import RegionPart, TextPart

_MOST_BLOCKS = 40
_SHORTEST = 4
_LONGEST = 200
_MOST_LINES = 3  # of a heading
_NUMBER = re.compile(r"(?:[a-z\u00a7]?[\d.:)-]{1,10})?")  # of a section, before its heading


def layout_turns(subject: Subject) -> Iterator[Turn]:
    """Kinds and places of all blocks; without figures where drawings may be some."""
    told = layout(subject.page, subject.text, subject.running)
    if told is None:
        return
    found, figures_known = told
    kept = [block for block in found if figures_known or block.kind != "figure"]
    if not 2 <= len(kept) <= _MOST_BLOCKS:
        return
    named: dict[str, list[int]] = {}
    for block in sorted(kept, key=lambda block: (block.box[1], block.box[0])):
        named.setdefault(block.kind, []).append(subject.regions.number(block.box, None, [], block.kind))
    groups = [Group(name, tuple(regions)) for name, regions in named.items()]
    question = choose("layout", "whole" if figures_known else "named", subject.name)
    question = question.replace("{objects}", english.joined(list(named)))
    yield Turn("layout", [TextPart(text=question)], list(layout_answer(groups)))


def table_turns(subject: Subject) -> Iterator[Turn]:
    """Ruled tables as Markdown; the page must say all that is in them."""
    asked = 0
    for n in subject.draw.some(range(len(subject.page.grids)), len(subject.page.grids), "table"):
        grid = subject.page.grids[n]
        cells = cells_of(grid, subject.text.lines)
        if asked >= subject.options.tables or cells is None or not subject.page.complete:
            continue
        text = markdown(cells)
        if not all(readable(cell) for row in cells for cell in row):
            continue
        if len(text) > subject.options.max_target_chars:
            detail = f"table-recognition: a table has {len(text)} characters, see max_target_chars"
            subject.dropped.append(Verdict("target-too-long", detail))
            continue
        part = RegionPart(regions=(subject.regions.number(grid.box, None, [], "table"),), form="box")
        question = subject.asked("table-recognition", "region-markdown", asked, region=part)
        asked += 1
        yield Turn("table-recognition", question, said(text))


def fact_turns(subject: Subject) -> Iterator[Turn]:
    """Title and author as the metadata tell and the first page shows, headings as outline and page both have them."""
    page = subject.page
    if page.number == 0:
        for kind, fact in (("title", page.title), ("author", page.author)):
            shown = _shown(subject, fact)
            if shown is not None and subject.chance(f"fact-{kind}", subject.options.facts):
                yield Turn("document-vqa", subject.asked("page-facts", kind), said(shown))
    headings = [shown for title in page.outline if (shown := _shown(subject, title)) is not None]
    if headings and len(headings) == len(page.outline) and subject.chance("fact-headings", subject.options.facts):
        kind = "heading" if len(headings) == 1 else "headings"
        yield Turn("document-vqa", subject.asked("page-facts", kind), said("\n".join(headings)))


def _shown(subject: Subject, fact: str | None) -> str | None:
    """A fact as the page spells it: whole lines that say it, with a number before it at most; None where none do."""
    if fact is None or not _SHORTEST <= len(fact) <= _LONGEST:
        return None
    wanted = folded(fact).casefold()
    lines = subject.text.lines
    for count in range(1, _MOST_LINES + 1):
        for end, told in enumerate(subject.folded[count - 1 :], start=count):
            if count > 1:
                if not wanted.endswith(told[1:]):  # its first letter may melt with the line before
                    continue
                told = folded("".join(line.text for line in lines[end - count : end])).casefold()
            if not told.endswith(wanted) or not subject.running.isdisjoint(range(end - count, end)):
                continue
            if _NUMBER.fullmatch(told.removesuffix(wanted)):
                return " ".join(line.text for line in lines[end - count : end])
    return None
