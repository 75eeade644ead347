"""What all questions about a page share: seeded choices, numbered regions, wordings with slots."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import xxhash

from sphinx_data.ocr.clean import Verdict, readable
from sphinx_data.ocr.compare import folded
from sphinx_data.ocr.options import TaskOptions
from sphinx_data.ocr.page import Page
from sphinx_data.ocr.text import Line, PageText
from sphinx_data.phrasing import choose
from sphinx_data.sample import Part, Region, Task, TextPart

Box = tuple[float, float, float, float]


class Turn(NamedTuple):
    """A question and its answer."""

    task: Task
    question: list[Part]
    answer: list[Part]


class Draw:
    """Choices that depend on the sample id and a purpose only, never on what was drawn before."""

    def __init__(self, sample_id: str, seed: int) -> None:
        self._key = f"{seed}/{sample_id}"

    def unit(self, purpose: str) -> float:
        """From 0 to 1, excluding 1."""
        return xxhash.xxh3_64_intdigest(f"{self._key}/{purpose}".encode()) / 2**64

    def below(self, count: int, purpose: str) -> int:
        """From 0 to count - 1."""
        return int(self.unit(purpose) * count)

    def some(self, things: Sequence[int], count: int, purpose: str) -> list[int]:
        """`count` different ones, or all there are, in drawn order."""
        before, digest = f"{self._key}/{purpose}/", xxhash.xxh3_64_intdigest
        return sorted(things, key=lambda thing: digest(f"{before}{thing}".encode()))[:count]


class Regions:
    """Numbers the regions of a sample; the same place with the same text is one region."""

    def __init__(self, found: list[Region] | None = None, image: int = 0) -> None:
        self.list: list[Region] = [] if found is None else found
        self.image = image
        self._numbers: dict[tuple[Box, str | None, str | None], int] = {}

    def number(self, box: Box, text: str | None, lines: Sequence[Line], label: str | None = None) -> int:
        """The number of a place that shows `text`, read from `lines`; its score is that of the least sure one."""
        box = (round(box[0], 1), round(box[1], 1), round(box[2], 1), round(box[3], 1))
        number = self._numbers.setdefault((box, text, label), len(self.list))
        if number == len(self.list):
            score = min([line.score for line in lines if line.score is not None], default=None)
            self.list.append(Region(image=self.image, box=box, text=text, label=label, score=score))
        return number


@dataclass(frozen=True)
class Subject:
    """One page under questions."""

    page: Page
    text: PageText
    running: frozenset[int]  # lines that are headers, footers or page numbers
    draw: Draw
    regions: Regions
    name: str  # id of the sample
    options: TaskOptions
    used: set[int] = field(default_factory=set)  # lines that earlier turns gave away
    dropped: list[Verdict] = field(default_factory=list)  # turns that are left out, and why

    def chance(self, purpose: str, share: float) -> bool:
        """Whether a task that is asked of this share of the pages is asked of this one."""
        return self.draw.unit(purpose) < share

    def asked(self, task: str, kind: str, turn: int = 0, **slots: Part) -> list[Part]:
        """A wording as parts, its ``{slot}`` replaced by the part of that name."""
        wording = choose(task, kind, self.name, turn)
        for slot, part in slots.items():
            before, found, after = wording.partition("{" + slot + "}")
            if found:
                return [*_text(before), part, *_text(after)]
        return [TextPart(text=wording)]

    @cached_property
    def folded(self) -> list[str]:
        """The lines as `compare.folded`, without case."""
        return [folded(line.text).casefold() for line in self.text.lines]

    def once(self, text: str) -> bool:
        """Whether the page says this once, in whatever case."""
        return self._everything.count(text.casefold()) == 1

    def says(self, text: str) -> bool:
        """Whether the page says this at all, in whatever case."""
        return text.casefold() in self._everything

    @cached_property
    def _everything(self) -> str:
        return "\n".join(line.text for line in self.text.lines).casefold()


def is_phrase(text: str, shortest: int, longest: int) -> bool:
    """Whether a person could be asked to find this text."""
    if not shortest <= len(text) <= longest or not readable(text):
        return False
    return sum(letter.isalnum() for letter in text) >= shortest - 1


def said(text: str) -> list[Part]:
    """A text as an answer."""
    return [TextPart(text=text)]


def _text(text: str) -> list[Part]:
    return [TextPart(text=text)] if text else []
