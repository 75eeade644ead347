"""Which way a page is read, and why: its own text layer where that can be believed, else an OCR engine.

A scan that carries the invisible text of somebody's OCR run is read anew: nobody knows which engine wrote that text or
how sure it was, while ours gives a score for every line.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sphinx_data import engines
from sphinx_data.engines import Engine, Pixels
from sphinx_data.engines.scripts import script_of
from sphinx_data.language import identify
from sphinx_data.ocr.clean import Clean, Verdict, readable
from sphinx_data.ocr.compare import error_rate
from sphinx_data.ocr.options import Ocr
from sphinx_data.ocr.order import reading_order_of_lines
from sphinx_data.ocr.text import LEADERS, Line

GetEngine = Callable[[], Engine]

# Rules of a text layer for which the picture may still be read.
TO_OCR = frozenset({"hidden-text-layer", "unreadable-text", "mixed-scripts", "too-little-text", "unknown-symbols"})
_LARGEST = 2000  # pixels of the longer side that an engine is given
_TALL = 1.5  # height against width from which a line runs along y
_SURE = 0.85  # mean confidence below which another orientation is tried
_PROBES = 5  # lines that are read in both directions to find the orientation
# PP-OCR flattens formulas and takes their rarer signs for letters that look alike; one such sign gives a line away.
_FORMULA = re.compile(
    "[\u0370-\u03a8\u03aa-\u03bb\u03bd-\u03ff\u2061-\u2064\u2070-\u209f\u2102\u210a-\u2115\u2118-\u211d\u2124\u2128"
    "\u212c-\u2138\u2200-\u2211\u2213\u2214\u2216-\u2218\u221a-\u22ff\u27c0-\u27ef\u2a00-\u2aff]"
)
# PP-OCR's dictionaries lack most of its letters with two marks: of four pages 5 to 14 % of the letters were lost.
_WITHOUT_LETTERS = "vi"
_LANGUAGE_CHARS, _CERTAIN = 1000, 0.9
_ALIKE = 0.02  # difference of confidence that tells nothing
_MARGIN = 0.15  # mean confidence by which the other direction must win


class Found(NamedTuple):
    """What an engine read on a picture."""

    lines: list[Line]  # in reading order, boxes in pixels of the picture after turning
    dropped: list[Verdict]  # one for each rule that dropped lines
    complete: bool  # all text of the picture is in `lines`
    pixels: Pixels  # the picture, turned upright
    turned: int  # degrees clockwise by which it was turned


def unread_language(language: str | None, scripts: frozenset[str]) -> Verdict | None:
    """Why an engine of these scripts cannot read a language; None where it can, or none is given."""
    if language and language.lower().split("-")[0] == _WITHOUT_LETTERS:
        return Verdict("ocr-script-unknown", "the language vi is written with letters that the engine lacks")
    script = script_of(language) if language else None
    if script is None or script in scripts:
        return None
    detail = f"the language {language} is written in {script}, the engine reads {', '.join(sorted(scripts))}"
    return Verdict("ocr-script-unknown", detail)


def unread_text(text: str) -> Verdict | None:
    """Why what an engine read cannot be right: a language of Latin script whose letters it does not have."""
    found = identify(text[:_LANGUAGE_CHARS])
    if found is None or found.language != _WITHOUT_LETTERS or found.confidence < _CERTAIN:
        return None
    return Verdict("ocr-script-unknown", "the text is Vietnamese, which is written with letters that the engine lacks")


def read_picture(pixels: Pixels, engine: Engine, ocr: Ocr, clean: Clean, fewest: int) -> Found | Verdict:
    """Lines of a picture, or why it gives none that can be trusted.

    `pixels` is [height, width, 3] RGB; `fewest` characters must be read.
    """
    lines, turned = _upright(pixels, engine)
    if turned:
        pixels = np.ascontiguousarray(np.rot90(pixels, -turned // 90))
    if not lines:
        return Verdict("ocr-no-text", "the engine finds no line of text")
    area = np.array([_area(line) for line in lines])
    strange = np.array([filled(line) < ocr.min_filled or "  " in line.text.strip() for line in lines])
    unfilled = float(area[strange].sum() / max(area.sum(), 1e-9))
    if unfilled > ocr.max_unfilled:
        return Verdict("ocr-script-unknown", f"{unfilled:.0%} of the text has ink that the engine has no letters for")
    unsure = float(area[[line.score < ocr.min_line_score for line in lines]].sum() / max(area.sum(), 1e-9))
    if unsure > ocr.max_unsure:
        return Verdict("ocr-unsure", f"{unsure:.0%} of the text has a confidence below {ocr.min_line_score:g}")
    verdict = unread_text("\n".join(line.text for line in lines))
    return verdict or _kept(lines, strange, pixels, turned, ocr, clean, fewest)


def _kept(
    lines: Sequence[engines.Line],
    strange: NDArray[np.bool_],
    pixels: Pixels,
    turned: int,
    ocr: Ocr,
    clean: Clean,
    fewest: int,
) -> Found | Verdict:
    height, width = pixels.shape[:2]
    made = [_line(line, width, height) for line in lines]
    # rule, what is wrong with its lines, for which; the first that holds counts
    tests = [
        ("ocr-script-unknown", "have ink that the engine has no letters for", strange),
        ("ocr-unsure-line", f"have a confidence below {ocr.min_line_score:g}",
         np.array([line.score < ocr.min_line_score for line in lines])),
        ("text-too-small", f"are lower than {clean.min_line_height:g} pixels",
         np.array([line.em < clean.min_line_height for line in made])),
        ("ocr-formula", "hold mathematical symbols or Greek letters, which engines for text misread",
         np.array([bool(_FORMULA.search(line.text)) for line in made])),
        ("dot-leaders", "have dots that lead to a number, which engines count wrongly",
         np.array([bool(LEADERS.search(line.text)) for line in made])),
        ("unreadable-text", "have characters that no text has", np.array([not readable(line.text) for line in made])),
    ]  # fmt: skip
    gone = np.zeros(len(made), np.bool_)
    dropped = []
    for rule, what, fails in tests:
        if count := int(np.count_nonzero(fails & ~gone)):
            dropped.append(Verdict(rule, f"{count} of {len(made)} lines {what}"))
        gone |= fails
    kept = [line for line, out in zip(made, gone.tolist(), strict=True) if not out]
    count = sum(len(line.text) for line in kept)
    if count < fewest:
        facts = [f"{count} readable characters, {fewest} are needed", *(drop.detail for drop in dropped)]
        return Verdict("too-little-text", "; ".join(facts))
    order = reading_order_of_lines(np.array([line.box for line in kept]), np.array([line.em for line in kept]))
    return Found([kept[n] for n in order.tolist()], dropped, not dropped, pixels, turned)


def filled(line: engines.Line) -> float:
    """The width that a line's letters usually take, against the width of its box, 0 to 1.

    PP-OCR writes letters that it does not know as blanks, with high confidence: a Russian line comes as a few commas
    in a long box. Short lines and lines along y are not judged.
    """
    width, height = _sides(line)
    if width < 3 * height:
        return 1.0
    letters = [letter for letter in line.text if not letter.isspace()]
    usual = sum(0.75 if unicodedata.east_asian_width(letter) in "WF" else 0.33 for letter in letters)
    return min(1.0, usual * height / max(width, 1e-6))


def lying_layer(lines: Sequence[Line], pixels: Pixels, engine: Engine, ocr: Ocr) -> Verdict | None:
    """Whether what an engine reads in some lines is something else than the text layer tells there.

    Only lines are taken whose letters the engine knows. `pixels` is [height, width, 3] RGB.
    """
    fit = [line for line in lines if not line.vertical and 8 <= len(line.text) <= 120 and _known(line.text, engine)]
    if not fit:
        return None
    step = max(1, len(fit) // ocr.sampled_lines)
    sample = fit[step // 2 :: step][: ocr.sampled_lines]
    crops = [_crop(pixels, line.box, line.em) for line in sample]
    rates = [error_rate(line.text, text) for line, (text, _) in zip(sample, engine.recognise(crops), strict=True)]
    rate = float(np.median(rates))
    if rate <= ocr.max_sampled_cer:
        return None
    return Verdict("text-layer-lies", f"{len(rates)} sampled lines differ from the picture, median CER {rate:.0%}")


def doubtful(text: str) -> str | None:
    """Why a text layer that passed the rules may still be wrong; None where nothing points to it."""
    if not text.isascii() and (odd := sum(letter.isalpha() for letter in _ODD.findall(text))):
        letters = sum(map(str.isalpha, text))
        if odd > 0.005 * letters:
            return f"{odd / letters:.1%} of the letters are of blocks that are hardly used"
    words = _LONGER_WORD.findall(text)
    mute = sum(1 for word in words if not _VOWEL.search(word) and not word.isupper())
    if len(words) >= 20 and mute > 0.15 * len(words):
        return f"{mute / len(words):.0%} of the longer words have no vowel"
    return None


_LONGER_WORD = re.compile(r"(?<!\S)[A-Za-z]{4,}(?!\S)")
_VOWEL = re.compile("[aeiouyAEIOUY]")
# Blocks whose letters hardly any document uses, and wrong maps to Unicode often give.
_ODD = re.compile(
    "[\u0180-\u02af\u1100-\u177f\u1800-\u1cff\u1d00-\u1dbf\u2c00-\u2dff\u3400-\u4dbf\ua000-\uabff\ud7b0-\ud7ff"
    "\U00010000-\U0001d3ff\U0001d800-\U0001efff\U00020000-\U0003ffff]"
)
_SCRIPTS_OF_NAMES = {"LATIN": "Latn", "CJK": "Hani", "HIRAGANA": "Jpan", "KATAKANA": "Jpan"}


def _known(text: str, engine: Engine) -> bool:
    """Whether all letters of a text are of scripts that the engine reads."""
    names = {unicodedata.name(letter, "?").split()[0] for letter in text if letter.isalpha()}
    return bool(names) and all(_SCRIPTS_OF_NAMES.get(name) in engine.scripts for name in names)


def _upright(pixels: Pixels, engine: Engine) -> tuple[list[engines.Line], int]:
    """What an engine reads once the picture stands upright, and by how many degrees clockwise it had to be turned."""
    lines = _read(pixels, engine)
    turned = _orientation(pixels, lines, engine)
    if not turned:
        return lines, 0
    again = _read(np.ascontiguousarray(np.rot90(pixels, -turned // 90)), engine)
    # engines turn single lines back themselves, so a page that lies on its side may be read no worse, but out of order
    return (again, turned) if _confidence(again) > _confidence(lines) - _ALIKE else (lines, 0)


def _read(pixels: Pixels, engine: Engine) -> list[engines.Line]:
    height, width = pixels.shape[:2]
    scale = min(1.0, _LARGEST / max(height, width))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return [line._replace(quad=line.quad / scale) for line in engine.read(pixels) if line.text.strip()]


def _orientation(pixels: Pixels, lines: Sequence[engines.Line], engine: Engine) -> int:
    """0, 90, 180 or 270: degrees clockwise that bring the text upright; 0 unless the engine is clearly surer then."""
    if not lines:
        return 0
    tall = np.array([_is_tall(line) for line in lines])
    area = np.array([_area(line) for line in lines])
    sideways = float(area[tall].sum()) > 0.5 * float(area.sum())
    if not sideways and _confidence(lines) >= _SURE:
        return 0
    candidates = [n for n in np.argsort(-area, kind="stable").tolist() if tall[n] == sideways][:_PROBES]
    crops = [_crop(pixels, _box(lines[n]), 0.0) for n in candidates]
    # sideways text read from top to bottom stands upright after a quarter turn back
    ways = {90: 1, 270: -1} if sideways else {0: 0, 180: 2}
    scores = {}
    for degrees in ways:
        turned = [np.ascontiguousarray(np.rot90(crop, -degrees // 90)) for crop in crops]
        scores[degrees] = float(np.mean([score for _, score in engine.recognise(turned)] or [0.0]))
    first, second = sorted(scores, key=lambda degrees: -scores[degrees])
    return first if scores[first] - scores[second] > _MARGIN else 0


def _confidence(lines: Sequence[engines.Line]) -> float:
    """Mean score, by the letters of each line."""
    weights = np.array([len(line.text) for line in lines], np.float64)
    scores = np.array([line.score for line in lines])
    return float((weights * scores).sum() / max(weights.sum(), 1.0))


def _line(line: engines.Line, width: int, height: int) -> Line:
    x0, y0, x1, y1 = _box(line)
    box = (min(max(x0, 0.0), width), min(max(y0, 0.0), height), min(max(x1, 0.0), width), min(max(y1, 0.0), height))
    text = " ".join(line.text.split())
    broken = len(text) > 1 and text[-1] in "-‐" and text[-2].isalpha()
    return Line(
        text=text, box=box, frame=box, em=min(_sides(line)), vertical=_is_tall(line), rtl=False, hyphenated=broken,
        first=0, score=round(line.score, 3),
    )  # fmt: skip


def _crop(pixels: Pixels, box: tuple[float, float, float, float], margin: float) -> Pixels:
    """A line with a little air around it: `margin` is its em, or 0 for boxes that have air already."""
    height, width = pixels.shape[:2]
    air = 0.15 * margin
    x0, y0 = max(0, int(box[0] - air)), max(0, int(box[1] - air))
    x1, y1 = min(width, int(np.ceil(box[2] + air))), min(height, int(np.ceil(box[3] + air)))
    return np.ascontiguousarray(pixels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)])


def _box(line: engines.Line) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = line.quad.min(0).tolist(), line.quad.max(0).tolist()
    return x0, y0, x1, y1


def _sides(line: engines.Line) -> tuple[float, float]:
    """Length along the text and across it."""
    quad = line.quad
    return float(np.linalg.norm(quad[1] - quad[0])), float(np.linalg.norm(quad[3] - quad[0]))


def _area(line: engines.Line) -> float:
    width, height = _sides(line)
    return width * height


def _is_tall(line: engines.Line) -> bool:
    width, height = _sides(line)
    return height > _TALL * width and len(line.text) > 1
