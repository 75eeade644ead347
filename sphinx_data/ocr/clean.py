"""Which lines and pages are good enough to learn from: every rule has a name, every threshold is in `Clean`."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sphinx_data.ocr.pdf_page import SYMBOL, Page, Raster
from sphinx_data.ocr.text import Line


class Clean(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds of the cleaning rules. Shares are of the characters of the page."""

    min_chars: int = 16  # `too-little-text`: fewer characters in visible lines
    min_picture_chars: int = 4  # ... of a photo or scan that is no page of a PDF: a sign says little
    # Of the shared PDFs, layers that lie have 10 to 22 % of such characters, pages of mathematics up to 5 %.
    max_unreadable: float = 0.08  # `unreadable-text`: private-use, control and replacement characters, stray accents
    max_symbols: float = 0.3  # `unknown-symbols`: signs of symbol fonts whose meaning is not told, as in formulas
    max_mixed_scripts: float = 0.02  # `mixed-scripts`: neighbours inside a word whose scripts never meet there
    max_right_to_left: float = 0.2  # `right-to-left`: letters whose order in a text layer cannot be trusted
    max_hidden: float = 0.5  # `hidden-text-layer`: text that is there but not painted, as OCR programs leave it
    max_without_ink: float = (
        0.25  # `text-not-drawn`: characters of lines that are not seen, as fonts not embedded leave
    )
    max_small: float = 0.3  # `text-too-small`: characters in lines lower than `min_line_height`
    min_line_height: float = 6.0  # pixels from ascent to descent that a reader needs
    min_inside: float = 0.9  # share of a line's box that must lie on the page
    min_contrast: int = 24  # darkest against lightest value (0-255) inside a line's box
    max_chars: int = 20_000  # `too-dense`: characters of a page
    max_aspect: float = 5.0  # `page-shape`: longer side of a page against the shorter one
    max_repeated: float = 0.5  # `repeated-text`: characters in lines that repeat another, words in one phrase of three
    max_boilerplate_chars: int = 600  # `boilerplate`: length up to which a page with a known placeholder is no more
    max_spam: float = 0.02  # ... and words of download and casino spam among all, at least three different ones
    languages: tuple[str, ...] = ()  # `language-unwanted`: ISO 639 codes of what is kept; empty: any
    personal_data: bool = False  # `personal-data`: reject pages with e-mail, telephone, account or card numbers
    duplicates: bool = True  # `duplicate-page`: the words of an earlier page of the document
    running: bool = True  # `running-lines-only`: nothing but headers, footers and page numbers


class Verdict(NamedTuple):
    """Why something was dropped."""

    rule: str
    detail: str


class Kept(NamedTuple):
    """What the line rules left of a page."""

    lines: list[Line]  # in the order given
    dropped: list[Verdict]  # one for each rule that dropped lines, with the count
    hidden: int  # lines dropped because they paint nothing
    unseen: int  # characters of lines dropped because they are painted and not seen
    complete: bool  # all readable text of the picture is in `lines`, so "read everything" has a true answer


# What fonts made up, and accents that stand beside the letter they belong on (old TeX fonts draw them apart).
_UNREADABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\ue000-\uf8ff\ufffd\ufffe\uffff\U000f0000-\U0010ffff]"
    r"|[\xa8\xb4\xb8\u02c6\u02c7\u02d8-\u02dd](?=[^\W\d_])|(?<=[^\W\d_])[\xa8\xb4\xb8\u02c6\u02c7\u02d8-\u02dd]"
)
_SIGN = chr(SYMBOL)
_SKIMMED = 6  # rows of a line that are looked at first
_COLOUR = 0x00FFFFFF  # of four bytes, blue first, without the last
_ROW = 64  # pixels; more than a line is moved to look bold
_WIDEST_GAP = 2.5  # em; lines are parted at gaps of 2 em, and side bearings add to that
_RIGHT_TO_LEFT = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe]")


def readable(text: str) -> bool:
    """Whether a line may be a target: nothing a font made up, and nothing whose order is unsure."""
    return _is_plain(text) or (not _UNREADABLE.search(text) and not _RIGHT_TO_LEFT.search(text))


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def keep_lines(lines: Sequence[Line], page: Page, raster: Raster, config: Clean) -> Kept:
    """Drop lines that the picture does not show; boxes of the others are clipped to the page."""
    limits = (raster.width, raster.height)
    first = np.array([line.first for line in lines], np.int64)
    inside, whole = _inside(np.array([line.box for line in lines]), limits)
    shown = inside >= config.min_inside
    em = np.array([line.em for line in lines])
    seen, partly = _seen(lines, shown, raster.pixels, config.min_contrast)
    mirrored, on_head = page.turned(first)
    # rule, what is wrong with its lines, for which lines [N]; the first that holds counts
    tests = [
        ("hidden-text", "paint nothing (invisible text mode)", page.invisible(first)),
        ("text-off-page", "lie off the page or are cut by its edge", ~shown),
        ("mirrored-text", "are drawn as in a mirror", mirrored),
        ("upside-down-text", "are drawn upside down", on_head),
        ("text-too-small", f"are lower than {config.min_line_height:g} pixels", em < config.min_line_height),
        ("text-without-ink", "are not seen in the picture", ~seen),
    ]
    good = ~np.logical_or.reduce([fails for _, _, fails in tests])
    cuts = (~whole).tolist()
    kept = [_clipped(lines[n], limits) if cuts[n] else lines[n] for n in np.flatnonzero(good).tolist()]
    single = _without_overprint(kept)
    dropped, counted = [], np.zeros(len(lines), np.bool_)
    for rule, what, fails in tests if not good.all() else ():
        if count := int(np.count_nonzero(fails & ~counted)):
            dropped.append(Verdict(rule, f"{count} of {len(lines)} lines {what}"))
        counted |= fails
    if overprinted := len(kept) - len(single):
        dropped.append(Verdict("overprinted-text", f"{overprinted} of {len(lines)} lines repeat another in its place"))
    cut = ~shown & (inside > 0) | mirrored | on_head | partly
    complete = not cut.any() and all(readable(line.text) for line in single)
    hidden = tests[0][2]
    unseen = _characters([lines[n] for n in np.flatnonzero(~seen & ~hidden).tolist()])
    return Kept(single, dropped, int(np.count_nonzero(hidden)), unseen, complete)


def page_verdict(lines: Sequence[Line], kept: Kept, config: Clean) -> Verdict | None:
    """The first rule that the page breaks, or None; `lines` are all lines of its text layer."""
    text = "\n".join(line.text for line in kept.lines)
    count, signs = _characters(kept.lines), text.count(_SIGN)
    # only these lines can hold what the patterns below look for, and no pattern reaches over a line end
    strange = " ".join(line.text for line in kept.lines if not _is_plain(line.text))
    said = _said(lines)
    low = _said([line for line in lines if line.em < config.min_line_height])  # a rule of underscores says nothing
    # rule, what is wrong, the share found, the share allowed
    shares = [
        ("hidden-text-layer", "of the lines are invisible text, as OCR programs leave it",
         kept.hidden / max(1, len(lines)), config.max_hidden),
        ("text-not-drawn", "of the characters are in lines that the picture does not show, as with fonts not embedded",
         kept.unseen / max(1, _characters(lines)), config.max_without_ink),
        ("text-too-small", f"of the characters are in lines lower than {config.min_line_height:g} pixels",
         low / max(1, said), config.max_small),
        ("unreadable-text", "of the characters are made up by a font: private-use or control characters, stray accents",
         (len(_UNREADABLE.findall(strange)) - signs) / max(1, count), config.max_unreadable),
        ("unknown-symbols", "of the characters are signs of symbol fonts, whose meaning is not told",
         signs / max(1, count), config.max_symbols),
        ("right-to-left", "of the characters are right-to-left letters, whose stored order is unsure",
         len(_RIGHT_TO_LEFT.findall(strange)) / max(1, count), config.max_right_to_left),
        ("mixed-scripts", "of neighbouring letters belong to scripts that do not meet inside a word",
         mixed_scripts(text) if mixed_scripts(strange) else 0.0, config.max_mixed_scripts),
    ]  # fmt: skip
    broken = [Verdict(rule, f"{share:.1%} {what}") for rule, what, share, limit in shares if share > limit]
    if not broken and count < config.min_chars:
        facts = [f"{count} visible characters, {config.min_chars} are needed", *(drop.detail for drop in kept.dropped)]
        return Verdict("too-little-text", "; ".join(facts))
    return broken[0] if broken else None


def has_ink(raster: Raster, config: Clean) -> bool:
    """Whether anything at all is drawn."""
    return bool((np.ptp(raster.pixels[..., :3], axis=(0, 1)) >= config.min_contrast).any())


# Starts of script ranges; 0 is what goes with everything (digits, punctuation, symbols). Families that meet inside
# words share a number: Latin with Greek (mathematics), kana with ideographs and bopomofo.
_SCRIPTS = (
    (0, 0), (0x41, 1), (0x5B, 0), (0x61, 1), (0x7B, 0), (0xAA, 1), (0xAB, 0), (0xBA, 1), (0xBB, 0), (0xC0, 1),
    (0x250, 2), (0x2B0, 0), (0x370, 1), (0x400, 3), (0x530, 4), (0x590, 5), (0x600, 6), (0x700, 7), (0x900, 8),
    (0x980, 9), (0xA00, 10), (0xA80, 11), (0xB00, 12), (0xB80, 13), (0xC00, 14), (0xC80, 15), (0xD00, 16), (0xD80, 17),
    (0xE00, 18), (0xE80, 19), (0xF00, 20), (0x1000, 21), (0x10A0, 22), (0x1100, 23), (0x1200, 24), (0x13A0, 25),
    (0x1D00, 1), (0x1DC0, 0), (0x1E00, 1), (0x2000, 0), (0x2E80, 26), (0x3000, 0), (0x3041, 26), (0x3130, 23),
    (0x3190, 26), (0x3200, 0), (0x3400, 26), (0xA000, 27), (0xAC00, 23), (0xD7B0, 0), (0xF900, 26), (0xFB00, 0),
)  # fmt: skip
_SCRIPT_STARTS = np.array([start for start, _ in _SCRIPTS])
_SCRIPT_NUMBERS = np.array([number for _, number in _SCRIPTS])
_EAST_ASIAN = (23, 26)  # Hangul and ideographs stand beside each other, and beside Latin, without blanks


def mixed_scripts(text: str) -> float:
    """Among pairs of neighbouring letters, the share of different scripts that never meet inside a word."""
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), "<u4")
    script = _SCRIPT_NUMBERS[np.searchsorted(_SCRIPT_STARTS, codes, "right") - 1]
    one, other = script[:-1], script[1:]
    letters = (one > 0) & (other > 0)
    fine = _meets(one) & _meets(other)
    odd = int(np.count_nonzero(letters & (one != other) & ~fine))
    return odd / max(1, int(np.count_nonzero(letters)))


def _meets(script: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (script == 1) | (script == _EAST_ASIAN[0]) | (script == _EAST_ASIAN[1])


def _characters(lines: Sequence[Line]) -> int:
    return sum(len(line.text) for line in lines)


def _said(lines: Sequence[Line]) -> int:
    """Letters and digits."""
    return sum(sum(map(str.isalnum, line.text)) for line in lines)


def _inside(boxes: NDArray[np.float64], limits: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """[N] share of each box [N, 4] that lies on the page, and whether all of it does."""
    clipped = np.minimum(np.maximum(boxes, 0), [*limits, *limits])
    sides, left = boxes[:, 2:] - boxes[:, :2], clipped[:, 2:] - clipped[:, :2]
    return np.maximum(left, 0).prod(1) / np.maximum(sides, 1e-6).prod(1), (clipped == boxes).all(1)


def _clipped(line: Line, limits: tuple[int, int]) -> Line:
    box = _clip(line.box, limits)
    return line if box == line.box else line._replace(box=box)


def _clip(box: tuple[float, float, float, float], limits: tuple[int, int]) -> tuple[float, float, float, float]:
    width, height = limits
    x0, y0, x1, y1 = box
    return min(max(x0, 0.0), width), min(max(y0, 0.0), height), min(max(x1, 0.0), width), min(max(y1, 0.0), height)


def _seen(
    lines: Sequence[Line], shown: NDArray[np.bool_], pixels: NDArray[np.uint8], least: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """[N]: whether ink runs through the whole box of a line, with no gap wider than lines may have; or only in parts.

    Text that is covered, clipped or painted in the colour of its ground fails, also where a part of a picture or of
    other text reaches into its box.
    """
    seen = np.ones(len(lines), np.bool_)  # those off the page have a rule of their own
    partly = np.zeros(len(lines), np.bool_)
    if not len(lines):
        return seen, partly
    height, width = pixels.shape[:2]
    boxes = np.array([line.box for line in lines]).astype(np.int64) + np.array([0, -1, 1, 2])
    places = np.clip(boxes, 0, (width, height, width, height)).tolist()
    gaps = [bytes(int(_WIDEST_GAP * line.em) + 1) for line in lines]
    left = np.flatnonzero(shown).tolist()
    for place in _not_skimmed(lines, places, gaps, left, pixels, least):
        x0, y0, x1, y1 = places[place]
        inked = _inked(pixels[y0:y1, x0:x1], int(lines[place].vertical), least)
        partly[place] = b"\1" in inked and gaps[place] in inked
        seen[place] = b"\1" in inked and gaps[place] not in inked
    return seen, partly


def _not_skimmed(
    lines: Sequence[Line],
    places: Sequence[list[int]],
    gaps: Sequence[bytes],
    wanted: Sequence[int],
    pixels: NDArray[np.uint8],
    least: int,
) -> list[int]:
    """Which lines do not show their ink in a few of their rows, as nearly all do; all are looked at in one go."""
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, 4 * width)
    skimmed, crops = [], []
    for place in wanted:
        x0, y0, x1, y1 = places[place]
        step = (y1 - y0) // _SKIMMED
        if step and x1 > x0 and not lines[place].vertical:
            skimmed.append(place)
            crops.append(rows[y0 : y0 + step * _SKIMMED : step, 4 * x0 : 4 * x1])
    if not skimmed:
        return list(wanted)
    inked = _inked(np.concatenate(crops, axis=1), 0, least)
    good, end = set(), 0
    for place, crop in zip(skimmed, crops, strict=True):
        start, end = end, end + crop.shape[1] // 4
        own = inked[start:end]
        if gaps[place] not in own and b"\1" in own:
            good.add(place)
    return [place for place in wanted if place not in good]


def _inked(crop: NDArray[np.uint8], across: int, least: int) -> bytes:
    """A byte for each pixel along a line: 1 where any colour differs by `least` across it.

    `crop` holds pixels of four bytes; `across` is the axis to look along.
    """
    if not crop.size:
        return b""
    differs = np.maximum.reduce(crop, across) - np.minimum.reduce(crop, across) >= least
    return (differs.view(np.uint32) & _COLOUR != 0).tobytes()


def _without_overprint(lines: Sequence[Line]) -> list[Line]:
    """Lines without those printed a second time at the same place, as programs do for a bold look."""
    seen: dict[tuple[str, int], list[Line]] = {}  # by text and height on the page: tables repeat their cells
    single = []
    counts = Counter(line.text for line in lines)
    for line in lines:
        if counts[line.text] == 1:
            single.append(line)
            continue
        row = int(line.box[1] // _ROW)
        twins = [twin for near in (row - 1, row, row + 1) for twin in seen.get((line.text, near), ())]
        if not any(max(abs(a - b) for a, b in zip(line.box, twin.box, strict=True)) < line.em / 4 for twin in twins):
            seen.setdefault((line.text, row), []).append(line)
            single.append(line)
    return single
