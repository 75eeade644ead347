"""Every answer made from an annotation is evaluated again, from the dialogue's text and the annotation's geometry."""

import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import msgspec
import numpy as np
import pytest
from test_som_build import marked, source, texts

from sphinx_data import rle
from sphinx_data.sample import Mask, Region

SIDE = 400
NAMES = ("cat", "dog", "person", "traffic light", "sheep", "grass", "bus")
PLURAL = {"cats": "cat", "dogs": "dog", "people": "person", "traffic lights": "traffic light", "sheep": "sheep",
          "grass": "grass", "buses": "bus", "zebras": "zebra", "giraffes": "giraffe"}  # fmt: skip
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven")
M = r"Mark (\w+)"
BOX = r"\[([\d., ]+)\]"
T = r"(?:object|region|element|text|block)"
LEFT, ABOVE = ("to the left of", "to the right of"), ("above", "below")
WAY = r"(to the left of|to the right of|above|below)"
SHARED = Path(__file__).parents[3] / "shared" / "data"


class Truth:
    """What the annotation says of one picture, by mark."""

    def __init__(self, sample):
        self.regions = {r.mark: r for r in sample.regions if r.mark}
        self.others = [r for r in sample.regions if not r.mark]
        self.size = np.array([sample.images[0].width, sample.images[0].height], float)
        self.panels = sample.meta.get("panels", [])

    def name(self, mark):
        return self.regions[mark].label

    def point(self, mark):
        return np.array(self.regions[mark].point)

    def box(self, mark):
        return np.array(self.regions[mark].box)

    def middle(self, mark):
        x0, y0, x1, y1 = self.regions[mark].box
        return np.array([(x0 + x1) / 2, (y0 + y1) / 2])

    def raster(self, mark):
        """The region's pixels, bool [H, W]."""
        region = self.regions[mark]
        out = np.zeros((int(self.size[1]), int(self.size[0])), bool)
        if region.mask is not None:
            return rle.to_array(region.mask)
        x0, y0, x1, y1 = region.box
        out[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
        return out

    def lies(self, a, way, b):
        """True, False, or None where mark and middle of the box disagree."""
        axis = 0 if way in LEFT else 1
        sign = -1 if way in ("to the left of", "above") else 1
        found = {bool(sign * (at(a)[axis] - at(b)[axis]) > 0) for at in (self.point, self.middle)}
        return found.pop() if len(found) == 1 else None

    def iou(self, box, mark=None, region=None):
        other = np.array(region.box) if region is not None else self.box(mark)
        cut = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
        both = float(np.prod(np.maximum(cut, 0)))
        areas = [float((b[2] - b[0]) * (b[3] - b[1])) for b in (box, other)]
        return both / (sum(areas) - both)

    def panel(self, mark):
        x, y = self.middle(mark)
        (name,) = [p["name"] for p in self.panels
                   if p["box"][0] <= x <= p["box"][2] and p["box"][1] <= y <= p["box"][3]]  # fmt: skip
        return name

    def written(self, numbers):
        """A box as the sphinx dialect wrote it, in pixels: shares of the padded square."""
        edge = self.size.max()
        pad = (edge - self.size) / 2
        return np.array([float(n) for n in numbers.split(",")]) * edge - np.tile(pad, 2)


def marks_in(answer):
    return set(re.findall(M, answer))


def is_yes(answer):
    assert answer in ("Yes.", "No.")
    return answer == "Yes."


def gap(a, b):
    return float(np.hypot(*np.maximum(np.maximum(a[:2] - b[2:], b[:2] - a[2:]), 0)))


def judge(question: str, answer: str, t: Truth) -> str:
    """Check an answer; returns the kind of the question. Anything that is not understood is an error."""

    def asks(pattern):
        return re.fullmatch(pattern, question)

    if m := asks(rf"What (?:is at|does) {M}(?: show)?\?|What is {M} on\?"):
        mark = m[1] or m[2]
        assert re.fullmatch(rf"(?:{M} shows )?(?:an? )?{re.escape(t.name(mark))}\.", answer, re.IGNORECASE)
        return "name"
    if m := asks(rf"(?:Does|Is) {M}(?: lie)? {WAY} {M}\?"):
        assert t.lies(m[1], m[2], m[3]) is is_yes(answer)
        return "side"
    if m := asks(rf"Where is {M} in relation to {M}\?"):
        return judge_where(m[1], m[2], answer, t)
    if m := asks(rf"On which side of {M} is {M}\?"):
        return judge_where(m[2], m[1], answer, t)
    if m := asks(rf"(?:Which marks are|List all marks that lie) {WAY} {M}[?.]"):
        for other in t.regions.keys() - {m[2]}:
            assert t.lies(other, m[1], m[2]) is (other in marks_in(answer))
        assert (answer == "None of the marks.") == (not marks_in(answer))
        return "on-side"
    if m := asks(r"(?:Which mark is|Of all marks in the image, which lies) (?:farthest|nearest) to the (\w+)\?"):
        axis, sign = {"left": (0, 1), "right": (0, -1), "top": (1, 1), "bottom": (1, -1)}[m[1]]
        for at in (t.point, t.middle):
            assert marks_in(answer) == {min(t.regions, key=lambda one: sign * at(one)[axis])}
        return "outermost"
    if m := asks(rf"Which (?:mark is closest to|of the other marks is nearest to) {M}\?"):
        rest = t.regions.keys() - {m[1]}
        (found,) = marks_in(answer)
        assert found == min(rest, key=lambda one: float(np.linalg.norm(t.point(one) - t.point(m[1]))))
        assert gap(t.box(found), t.box(m[1])) == min(gap(t.box(one), t.box(m[1])) for one in rest)
        return "nearest"
    if m := asks(
        rf"(?:Which mark is on the {T} that takes up the (\w+) area of the image, {M} or {M}\?"
        rf"|Of {M} and {M}, which is on the {T} that looks (\w+) in the image\?)"
    ):
        a, b, size = (m[2], m[3], m[1]) if m[1] else (m[4], m[5], m[6])
        (found,) = marks_in(answer)
        judge_size(found, [a, b], size == "larger", t)
        return "larger"
    if m := asks(
        rf"(?:Of all marks, which is on the {T} that takes up the|Which of the marks is on the {T} that looks) "
        r"(largest|smallest) (?:area of|in) the image\?"
    ):
        (found,) = marks_in(answer)
        judge_size(found, list(t.regions), m[1] == "largest", t)
        return "largest"
    if m := asks(rf"(?:Are {M} and {M} on {T}s of the same kind|Do {M} and {M} show the same kind of {T})\?"):
        a, b = [one for one in m.groups() if one]
        assert (t.name(a) == t.name(b)) is is_yes(answer)
        return "same"
    if m := asks(
        rf"(?:Do the bounding boxes of the {T}s at {M} and {M} overlap"
        rf"|Does the bounding box of the {T} at {M} overlap with that of the {T} at {M})\?"
    ):
        a, b = [one for one in m.groups() if one]
        assert (t.iou(t.box(a), b) > 0) is is_yes(answer)
        return "overlap"
    if m := asks(rf"Is the bounding box of the {T} at {M} inside that of the {T} at {M}\?"):
        return judge_inside(m[1], m[2], answer, t)
    if m := asks(rf"Does the bounding box of the {T} at {M} contain the whole bounding box of the {T} at {M}\?"):
        return judge_inside(m[2], m[1], answer, t)
    if m := asks(
        rf"(?:Give the bounding box of the {T} at {M}\.|What is the bounding box of the {T} that {M} is on\?"
        rf"|Where is the {T} at {M}\? Give its bounding box\.)"
    ):
        (mark,) = [one for one in m.groups() if one]
        written = t.written(re.fullmatch(BOX, answer)[1])
        assert np.abs(written - t.box(mark)).max() <= 0.0051 * t.size.max()
        return "box-of"
    if m := asks(
        rf"(?:Which mark is on the {T} in|Which of the marks belongs to the {T} with the bounding box"
        rf"|Name the mark on the {T} in the box) {BOX}[?.]"
    ):
        box = t.written(m[1])
        close = {one for one in t.regions if np.abs(t.box(one) - box).max() <= 0.0051 * t.size.max()}
        assert close == marks_in(answer)
        assert len(close) == (answer != "None of the marks.")
        return "mark-of-box"
    if m := asks(rf"(?:What is written at|What does the text at|Read the text at) {M}(?: say)?[?.]"):
        assert answer == t.regions[m[1]].text
        return "text-of"
    if m := asks(r'(?:Which mark is at the text|Where does the image say) "(.+)"\?(?: Answer with the mark\.)?'):
        assert marks_in(answer) == {one for one, region in t.regions.items() if region.text == m[1]}
        assert (answer == "None of the marks.") == (not marks_in(answer))
        return "mark-of-text"
    if m := asks(rf"(?:Which panel is|In which panel of the image is) {M}(?: in)?\?"):
        assert answer == f"The {t.panel(m[1])} panel."
        return "which-panel"
    if m := asks(r"(?:How many marks are|Count the marks) in the ([\w ]+) panel[?.]"):
        assert m[1] in [panel["name"] for panel in t.panels]
        assert int(answer) == sum(t.panel(one) == m[1] for one in t.regions)
        return "panel-count"
    if m := asks(rf"(?:Are|Do) {M} and {M}(?: lie)? in the same panel\?"):
        assert (t.panel(m[1]) == t.panel(m[2])) is is_yes(answer)
        return "same-panel"
    if asks(
        r"(?:What are the marks on, and how many are there of each\?|List what is marked, with the number of each\.)"
    ):
        words = {"a": 1, "an": 1, **{w: n for n, w in enumerate(NUMBERS)}}
        found = {}
        for piece in re.split(r", | and ", answer.rstrip(".")):
            first, _, rest = piece.lower().partition(" ")
            count, label = (words[first], rest) if first in words and rest else (1, piece.lower())
            found[PLURAL.get(label, label)] = count
        assert found == Counter(t.name(one).lower() for one in t.regions)
        return "kinds"
    if m := asks(r"(?:How many of the marks are on|Count the marks that are on|How many marks show) ([\w ]+)[?.]"):
        assert int(answer) == sum(t.name(one) == PLURAL[m[1]] for one in t.regions)
        return "how-many"
    if m := asks(r"(?:Which marks are on|List the marks that show|Which of the marks belong to) ([\w ]+)[?.]"):
        return judge_which(PLURAL[m[1]], answer, t)
    m = asks(r"(?:Which mark is on|Which of the marks shows|Where is) the ([\w ]+)(?:\?|\? Answer with its mark\.)")
    assert m, question
    return judge_which(m[1], answer, t)


def judge_where(a, b, answer, t):
    m = re.fullmatch(rf"{M} is {WAY}(?: and {WAY})? {M}\.", answer)
    assert (m[1], m[4]) == (a, b)
    for way in filter(None, (m[2], m[3])):
        assert t.lies(a, way, b)
    away = np.abs(t.point(a) - t.point(b))
    if m[3]:
        assert away.max() <= 2 * away.min()
    else:
        assert away[1 if m[2] in LEFT else 0] * 3 <= away.max()
    return "where"


def judge_size(found, among, most, t):
    sign = 1 if most else -1
    for measure in (lambda one: t.raster(one).sum(), lambda one: np.prod(t.box(one)[2:] - t.box(one)[:2])):
        values = {one: sign * float(measure(one)) for one in among}
        assert found in among
        assert all(values[found] > value for one, value in values.items() if one != found)


def judge_inside(a, b, answer, t):
    whole = bool((t.box(b)[:2] <= t.box(a)[:2]).all() and (t.box(a)[2:] <= t.box(b)[2:]).all())
    assert whole is is_yes(answer)
    return "inside"


def judge_which(name, answer, t):
    fitting = {one for one in t.regions if t.name(one) == name}
    assert marks_in(answer) == fitting
    assert (answer == "None of the marks.") == (not fitting)
    return "which"


def random_source(number: int, words: bool = False):
    """Boxes and masks of several sizes that may overlap; with `words` texts instead of classes."""
    rng = np.random.default_rng(number)
    regions = []
    for n in range(int(rng.integers(1, 9))):
        width, height = rng.integers(24, 200, 2)
        x, y = rng.integers(0, SIDE - width), rng.integers(0, SIDE - height)
        box = tuple(float(v) for v in (x, y, x + width, y + height))
        mask = None
        if rng.random() < 0.4:
            pixels = np.zeros((SIDE, SIDE), bool)
            rows, columns = np.mgrid[:SIDE, :SIDE]
            pixels[((columns - x - width / 2) / width) ** 2 + ((rows - y - height / 2) / height) ** 2 <= 0.25] = True
            mask = Mask(size=(SIDE, SIDE), counts=rle.write(rle.from_array(pixels)))
        label = None if words else str(rng.choice(NAMES[: int(rng.integers(2, len(NAMES)))]))
        regions.append(Region(box=box, mask=mask, label=label, text=f"word {n} of {number}" if words else None))
    return source(*regions, width=SIDE, height=SIDE, name=f"s/{number}")


def turns_of(sample):
    lines = texts(sample)
    assert lines[1] == "Sure, please ask your questions."
    assert sample.messages[1].supervise is False
    return list(zip(lines[2::2], lines[3::2], strict=True))


def test_every_answer_agrees_with_the_annotation_and_none_is_likelier_than_others():
    kinds, answers = Counter(), defaultdict(Counter)
    for number in range(900):
        found, _ = marked(random_source(number), dialogue="questions", turns=8, max_marks=6,
                          vocabulary=("zebra", "giraffe", *NAMES))  # fmt: skip
        for sample in found:
            truth, asked = Truth(sample), []
            for question, answer in turns_of(sample):
                kind = judge(question, answer, truth)
                asked.append(kind)
                if kind in ("side", "same", "overlap", "inside", "which", "mark-of-box"):
                    answers[kind][answer if answer in ("Yes.", "No.", "None of the marks.") else "some"] += 1
            assert asked == [kind for kind, _ in sample.meta["asked"]]
            assert len(asked) == len(set(asked))
            kinds.update(asked)
    assert kinds.keys() == {
        "name", "which", "how-many", "kinds", "side", "where", "on-side", "outermost", "nearest", "larger", "largest",
        "same", "overlap", "inside", "box-of", "mark-of-box",
    }  # fmt: skip
    assert min(kinds.values()) > 15
    for kind in ("side", "same", "overlap", "inside"):
        assert 0.38 < answers[kind]["Yes."] / sum(answers[kind].values()) < 0.62, answers[kind]
    assert 0.15 < answers["which"]["None of the marks."] / sum(answers["which"].values()) < 0.35
    assert answers["mark-of-box"]["None of the marks."] > 10


def test_every_answer_about_texts_agrees_with_the_annotation():
    kinds = Counter()
    for number in range(150):
        found, _ = marked(random_source(number, words=True), dialogue="questions", turns=12, max_marks=4)
        for sample in found:
            assert sample.meta["kind"] == "ocr"
            kinds.update(judge(question, answer, Truth(sample)) for question, answer in turns_of(sample))
    assert {"text-of", "mark-of-text", "side", "box-of"} <= kinds.keys()
    assert not {"name", "which", "how-many", "kinds", "same"} & kinds.keys()


def without_names(built):
    regions = tuple(msgspec.structs.replace(region, label=None) for region in built.sample.regions)
    return built._replace(sample=msgspec.structs.replace(built.sample, regions=regions))


def test_of_regions_without_a_name_only_places_and_sizes_are_asked_about():
    kinds = Counter()
    for number in range(150):
        found, rejects = marked(without_names(random_source(number)), dialogue="both", turns=12, max_marks=6)
        assert not {reject.rule for reject in rejects} & {"no-label", "no-text"}
        for sample in found:
            assert (sample.task, sample.meta["kind"]) == ("som-vqa", "natural")
            assert not re.search(r"object|\bNone\b(?! of)|: *$", "\n".join(texts(sample)))
            kinds.update(judge(question, answer, Truth(sample)) for question, answer in turns_of(sample))
    assert kinds.keys() == {
        "side", "where", "on-side", "outermost", "nearest", "larger", "largest", "overlap", "inside", "box-of",
        "mark-of-box",
    }  # fmt: skip


def test_regions_without_a_name_cannot_be_named():
    found, rejects = marked(without_names(random_source(3)), dialogue="naming")
    assert not found
    assert "no-names" in {reject.rule for reject in rejects}


@pytest.mark.skipif(not SHARED.exists(), reason="the shared files are not here")
def test_every_answer_about_real_masks_agrees_with_the_annotation():
    categories = {c["id"]: c["name"] for c in json.loads((SHARED / "lvis/lvis_val.json").read_text())["categories"]}
    pictures = defaultdict(list)
    for found in json.loads((SHARED / "coco_results/instances_val2014_fakesegm100_results.json").read_text()):
        height, width = found["segmentation"]["size"]
        mask = Mask(size=(height, width), counts=found["segmentation"]["counts"])
        box = rle.bounds(rle.parse(mask.counts), height)
        label = categories.get(found["category_id"], "thing").replace("_", " ").split("(")[0].strip()
        pictures[found["image_id"], width, height].append(Region(box=tuple(map(float, box)), mask=mask, label=label))
    checked = 0
    for (name, width, height), regions in pictures.items():
        PLURAL.update({plural_of(r.label): r.label for r in regions})
        built = source(*regions, width=width, height=height, name=f"r/{name}")
        for sample in marked(built, dialogue="questions", turns=12, vocabulary=("zebra",))[0]:
            for question, answer in turns_of(sample):
                if not question.startswith(("What are the marks", "List what is")):  # the parser knows few plurals
                    judge(question, answer, Truth(sample))
                    checked += 1
    assert checked > 300


def plural_of(label):
    from sphinx_data.phrasing import english

    return english.plural(label)
