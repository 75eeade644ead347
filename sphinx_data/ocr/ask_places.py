"""Questions that pair a text with its place, of words, lines and blocks: reading a region, finding a text, spotting."""

import re
from collections.abc import Iterator, Sequence

from sphinx_data.ocr.blocks import union
from sphinx_data.ocr.clean import Verdict, readable
from sphinx_data.ocr.text import Line, flowing, is_prose
from sphinx_data.ocr.turns import Box, Subject, Turn, is_phrase, said
from sphinx_data.phrasing.spotting import spotting_answer
from sphinx_data.sample import Part, RegionPart, TextPart

_SPOT_CHARS = 30  # what a box costs in a target, e.g. ``" [0.10, 0.20, 0.30, 0.40], "``
_LONGEST_PHRASE = 120  # a text to be found should be a phrase, not a paragraph
_SHORTEST_PHRASE = 4
_REGION_LINES = 6  # most lines of a region to be read
_MOST_PARTS = 4  # turns that one page is spotted in
_PLAIN_WORD = re.compile(r"\w+(?:[-'\u2019./@]\w+)*")  # no punctuation around it, no code
_OPENING = 60  # characters of a block that name it


def region_turns(subject: Subject) -> Iterator[Turn]:
    """Reading what stands at a place: a word, some lines of a block, or a whole block."""
    text, draw, options = subject.text, subject.draw, subject.options
    asked = 0
    for block in draw.some(range(len(text.blocks)), len(text.blocks), "region-reading"):
        if asked >= options.region_reading:
            return
        turn = _region_turn(subject, block, asked) if _is_told(subject, block) else None
        if turn is not None:
            asked += 1
            yield turn


def _is_told(subject: Subject, block: int) -> bool:
    """Whether a block has text that can be asked for."""
    start, end = subject.text.blocks[block]
    texts = [line.text for line in subject.text.lines[start:end]]
    return (
        sum(map(len, texts)) >= _SHORTEST_PHRASE
        and subject.running.isdisjoint(range(start, end))
        and all(map(readable, texts))
    )


def _region_turn(subject: Subject, block: int, turn: int) -> Turn | None:
    draw, lines = subject.draw, subject.text.lines
    start, end = subject.text.blocks[block]
    level = _level(subject, f"region-level/{block}")
    if level == "word":
        n = start + draw.below(end - start, f"region-word-line/{block}")
        found = _word(subject, n, f"region-word/{block}")
        if found is not None:
            subject.used.add(n)
            part = RegionPart(regions=(subject.regions.number(found[1], found[0], [lines[n]]),), form="box")
            return Turn("region-reading", subject.asked("region-reading", "word", turn, region=part), said(found[0]))
    count = 1 + draw.below(min(end - start, _REGION_LINES), f"region-lines/{block}")
    first = start + draw.below(end - start - count + 1, f"region-first/{block}")
    if level == "block":
        first, count = start, end - start
    if not is_prose(lines[first : first + count]):
        count = 1  # lines of code, of verse or of a table of contents do not run on
    chosen = lines[first : first + count]
    text = flowing(chosen)
    inside_word = chosen[-1].hyphenated or (first > start and lines[first - 1].hyphenated)
    # no answer in whole words, none short enough, or a sign that draws something
    if inside_word or len(text) > subject.options.max_target_chars or not any(map(str.isalnum, text)):
        return None
    subject.used.update(range(first, first + count))
    part = RegionPart(regions=(subject.regions.number(union(chosen), text, chosen),), form="box")
    return Turn("region-reading", subject.asked("region-reading", "question", turn, region=part), said(text))


def localisation_turns(subject: Subject) -> Iterator[Turn]:
    """Finding a text that stands on the page once: a word, a line, or a block by how it begins."""
    asked = 0
    lines = subject.text.lines
    for n in subject.draw.some(range(len(lines)), len(lines), "text-localisation"):
        if asked >= subject.options.text_localisation:
            return
        if n in subject.used or n in subject.running:
            continue
        turn = _find(subject, n, asked)
        if turn is not None:
            subject.used.add(n)
            asked += 1
            yield turn


def _find(subject: Subject, n: int, turn: int) -> Turn | None:
    """The question for line `n`, or for a word in it, or for the block that it begins."""
    line, level = subject.text.lines[n], _level(subject, f"localisation-level/{n}")
    kind, text, box, lines = "question", line.text, line.frame, [line]
    found = _word(subject, n, f"localisation-word/{n}") if level == "word" else None
    block = next(((start, end) for start, end in subject.text.blocks if start == n and end - start > 1), None)
    if found is not None:
        kind, (text, box) = "word", found
    elif level == "block" and block is not None and not line.hyphenated:
        kind, text = "block", _opening(line.text)
        lines = list(subject.text.lines[block[0] : block[1]])
        box = union(lines)
        subject.used.update(range(*block))
    if not is_phrase(text, _SHORTEST_PHRASE, min(_LONGEST_PHRASE, subject.options.max_target_chars)):
        return None
    if not subject.once(text):
        return None
    label = flowing(lines) if kind == "block" else text
    part = RegionPart(regions=(subject.regions.number(box, label, lines),), form="box")
    return Turn("text-localisation", subject.asked("text-localisation", kind, turn, text=TextPart(text=text)), [part])


def _opening(text: str) -> str:
    """The first words of a line."""
    if len(text) <= _OPENING:
        return text
    cut = text[:_OPENING].rpartition(" ")[0]
    return cut or text


def _level(subject: Subject, purpose: str) -> str:
    share, options = subject.draw.unit(purpose), subject.options
    if share < options.word_level:
        return "word"
    return "block" if share < options.word_level + options.block_level else "line"


def _word(subject: Subject, n: int, purpose: str) -> tuple[str, Box] | None:
    """A word of line `n` that stands on the page once, with its box."""
    line = subject.text.lines[n]
    words = line.text.split()
    if len(words) != len(line.words):
        return None
    fit = [
        k
        for k, word in enumerate(words)
        if _PLAIN_WORD.fullmatch(word) and is_phrase(word, _SHORTEST_PHRASE, 40)
        and not (line.hyphenated and k == len(words) - 1)
        and subject.once(word)
        and not (k == 0 and n > 0 and subject.text.lines[n - 1].hyphenated)
    ]  # fmt: skip
    if not fit:
        return None
    k = subject.draw.some(fit, 1, purpose)[0]
    return words[k], line.words[k]


def spotting_turns(subject: Subject) -> list[Turn]:
    """The text and place of everything: words of a page with few, else lines; long lists in several turns."""
    lines = subject.text.lines
    units: list[tuple[str, Box, list[Line]]] = [(line.text, line.frame, [line]) for line in lines]
    kind = "question"
    if subject.chance("spotting-words", subject.options.word_level) and all(line.words for line in lines):
        words = [(w, box, [line]) for line in lines for w, box in zip(line.text.split(), line.words, strict=True)]
        if sum(len(word) + _SPOT_CHARS for word, _, _ in words) <= subject.options.max_target_chars:
            units, kind = words, "words"
    parts = _portions([len(text) + _SPOT_CHARS for text, _, _ in units], subject.options.max_target_chars)
    if not parts or len(parts) > _MOST_PARTS:
        detail = f"{len(units)} texts with boxes do not fit into {_MOST_PARTS} answers of max_target_chars each"
        subject.dropped.append(Verdict("target-too-long", f"spotting: {detail}"))
        return []
    kinds = ["begin", *["continue"] * (len(parts) - 1)] if len(parts) > 1 else [kind]
    turns = []
    for turn, (asked, (first, end)) in enumerate(zip(kinds, parts, strict=True)):
        texts = [(subject.regions.number(box, text, own), text) for text, box, own in units[first:end]]
        answer: list[Part] = list(spotting_answer(texts))
        turns.append(Turn("spotting", subject.asked("spotting", asked, turn), answer))
    return turns


def _portions(costs: Sequence[int], limit: int) -> list[tuple[int, int]]:
    """Ranges of things whose costs stay within the limit; none where a single one is above it."""
    parts: list[tuple[int, int]] = []
    first, spent = 0, 0
    for n, cost in enumerate(costs):
        if cost > limit:
            return []
        if spent + cost > limit:
            parts.append((first, n))
            first, spent = n, 0
        spent += cost
    return [*parts, (first, len(costs))] if costs else []
