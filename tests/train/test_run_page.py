"""The page of a run says what the log says and shows what the model was fed; data cannot turn against its reader."""

import base64
import hashlib
import html
import io
import json
import re
import resource
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from PIL import Image as Pictures
from samples import picture_sample, png, text_sample

from sphinx_data import DatasetWriter, cli, open_dataset
from sphinx_data.dialects import dialect
from sphinx_data.errors import OutputError, UsageError
from sphinx_data.report.markup import text
from sphinx_data.sample import Image, ImagePart, Message, TextPart
from sphinx_model import lengths, packing, report
from sphinx_model import recipe as recipes
from sphinx_model.loader import BadSamples, PackDataset
from sphinx_model.loss import IGNORE
from sphinx_model.rendering import encode
from sphinx_model.report import answers, curves, fed, log
from sphinx_model.train import command

HOSTILE = "</script></style><|image|></s><img src=x onerror=alert(1)> 'quotes' https://example.org/x.js"
PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Tree(HTMLParser):
    """A page as nested (tag, attributes, children); children are nodes and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = ("", {}, [])
        self._open = [self.root]
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        node = (tag, dict(attrs), [])
        self._open[-1][2].append(node)
        if tag not in ("img", "meta", "br", "input"):
            self._open.append(node)

    def handle_endtag(self, tag):
        assert self._open[-1][0] == tag, (tag, self._open[-1][:2])
        self._open.pop()

    def handle_data(self, data):
        self._open[-1][2].append(data)


def nodes(node, tag=None, kind=None):
    """Nodes below one, in order, with this tag and class."""
    for child in node[2]:
        if not isinstance(child, str):
            if tag in (None, child[0]) and (kind is None or kind in (child[1].get("class") or "").split()):
                yield child
            yield from nodes(child, tag, kind)


def words(node):
    return "".join(child if isinstance(child, str) else words(child) for child in node[2])


def section(page, name):
    return next(node for node in nodes(page, "section") if node[1]["id"] == name)


def rows(node):
    return [[words(cell) for cell in nodes(row, "td")] for row in nodes(node, "tr")][1:]


def mixed(place, count, question):
    """Pictures that leave places of the grid empty, square ones, documents, and a sample that means harm."""
    with DatasetWriter(str(place), place.name) as writer:
        for number in range(count):
            width, height = (96, 24) if number % 2 else (64, 64)
            name = "wide" if number % 2 else "square"
            sample = picture_sample(name, number, question=question, answer=f"shade {number}")
            sample = replace(sample, images=(replace(sample.images[0], width=width, height=height),))
            writer.add(sample, [png((number * 5, 90, 200), width, height)])
            writer.add(text_sample("pages", number, "Ein Satz über Bäume, 木と森.\n\nEnd."), [])
        sample = picture_sample("hostile", 0, question=HOSTILE, answer=HOSTILE)
        writer.add(replace(sample, id=HOSTILE), [png((9, 9, 9))])
    return str(place)


@pytest.fixture(scope="module")
def made(model_dir, processor, tmp_path_factory):
    """A run of six steps with three evaluations: its recipe and its packs."""
    place = tmp_path_factory.mktemp("page")
    recipe = {
        "model": model_dir, "data": mixed(place / "train", 24, "What colour is it?"), "out": str(place / "run"),
        "holdout": mixed(place / "held", 6, HOSTILE), "steps": 6, "loss": "sqrt", "log": {"every": 1},
        "pack": {"tokens": 420, "views": 40, "batch": 2}, "optim": {"lr": 1e-3}, "checkpoint": {"every": 3},
        "evaluate": {"every": 2, "answers": 5},
    }  # fmt: skip
    (place / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert cli.run(command, [str(place / "recipe.yaml")], "sphinx-train") == 0
    dataset, form = open_dataset(recipe["data"]), dialect("sphinx")
    plan = packing.plan(dataset, lengths.measure(dataset, processor, form), 420, 40, str(place / "run/plans"))
    packs = PackDataset(dataset, plan, processor, form, 420, BadSamples(place / "bad_samples.jsonl", 0))
    return recipes.load(str(place / "recipe.yaml")), packs


@pytest.fixture
def run(made, tmp_path):
    """A copy of the run's folder, its recipe, its packs and its held-out set."""
    recipe, packs = made
    shutil.copytree(recipe.out, tmp_path / "run")
    return tmp_path / "run", recipe, packs, open_dataset(recipe.holdout)


def page_of(run, out=None):
    where, recipe, packs, held = run
    return report.Page(out or where, recipe, packs, held, 6, min(12, len(packs)))


def test_the_page_says_what_the_log_says(run):
    page = Tree((run[0] / "report.html").read_text()).root
    lines = [json.loads(line) for line in (run[0] / "log.jsonl").read_text().splitlines()]
    head = {words(node[2][1]): words(node[2][0]) for node in nodes(next(nodes(page, None, "tiles")), "div")}
    assert "finished: 6 steps" in words(page)
    assert head["loss of the last step"] == f"{lines[-1]['loss']:.4f}"
    assert head["tokens learned"] == f"{sum(line['supervised_tokens'] for line in lines):,}"
    assert head["held-out loss at step 6"] == f"{json.loads((run[0] / 'evaluation.json').read_text())['loss']:.4f}"
    table = {row[0]: row for row in rows(section(page, "sources"))}
    for name in {name for line in lines for name in line["by_source"]}:
        mine = [line["by_source"][name] for line in lines if name in line["by_source"]]
        assert table[name][2:4] == [str(sum(tokens for _, tokens in mine)), str(len(mine))]
        assert table[name][5] == f"{mine[-1][0]:.4f}"
    assert {name.partition("/")[2] for name in table} == {"wide", "square", "pages", "hostile"}
    drawn = next(node for node in nodes(section(page, "speed"), "path") if "data-x" in node[1])
    assert drawn[1]["data-x"] == "1 2 3 4 5 6"
    rate = next(node for node in nodes(section(page, "loss"), "figure") if "Learning rate" in words(node))
    points = next(node for node in nodes(rate, "path") if "data-y" in node[1])[1]["data-y"]
    assert [float(y) for y in points.split()] == pytest.approx([line["lr"] for line in lines], rel=1e-4)


def test_documents_are_shown_as_the_trainer_feeds_them(run):
    out, recipe, packs, _ = run
    page = Tree((out / "report.html").read_text()).root
    shown = list(fed.documents(packs, min(12, len(packs)), 2, recipe.loss))
    cards = list(nodes(section(page, "fed"), "article"))
    assert len(cards) == len(shown) >= 6
    assert {document.group for document in shown} == set(packs.groups)
    skips = set()
    for card, document in zip(cards, shown, strict=True):
        entry = packs.plan.pack(document.pack)[document.number]
        encoded, layouts = encode(packs.dataset.sample(entry.row), packs.processor, packs.dialect)
        pack = packs[document.pack]
        assert pack.input_ids[document.begin : document.end].tolist() == encoded.input_ids
        assert document.position_ids == (0, len(encoded.input_ids) - 1)
        learned = [label for label in encoded.labels if label != IGNORE]
        assert document.learned == len(learned)
        assert document.weight == pytest.approx(len(learned) ** -0.5)
        (sequence,) = nodes(card, None, "sequence")
        marked = "".join(words(node) for node in nodes(sequence, "span", "l"))
        assert marked == packs.processor.tokenizer.decode(learned)
        assert sum(part.positions for part in document.parts) == len(encoded.input_ids)
        views = list(nodes(sequence, "img"))
        assert len(views) == len(document.views) == sum(len(layout.views) for layout in layouts)
        for node, pixels in zip(in_order(views), document.views, strict=True):
            decoded = Pictures.open(io.BytesIO(base64.b64decode(node[1]["src"].partition(",")[2])))
            assert np.asarray(decoded).mean((0, 1)) == pytest.approx(pixels.mean((0, 1)), abs=3)
        drawn = sum(1 for _ in nodes(next(nodes(sequence, "figure"), ("", {}, [])), "span", "skip")) // 2
        assert drawn == sum(len(layout.skips) for layout in layouts)
        skips.add((document.group.partition("/")[2], drawn))
        said = words(card)
        assert f"places {document.begin:,} to {document.end - 1:,} of 420" in said
    assert ("wide", 2) in skips
    assert ("square", 0) in skips
    first = {}
    for number in range(min(12, len(packs))):
        for entry in packs.plan.pack(number):
            first.setdefault(packs.groups[packs.group[entry.row]], (number, entry.row))
    assert {(group, pack) for group, (pack, _) in first.items()} <= {(d.group, d.pack) for d in shown}


def in_order(views):
    return sorted(views, key=lambda node: int(node[1]["alt"].removeprefix("view ")))


def test_hostile_text_stays_text_and_nothing_is_asked_for_from_outside(run):
    source = (run[0] / "report.html").read_text()
    page = Tree(source).root
    assert words(section(page, "fed")).count(HOSTILE) >= 3  # the id, the question, the answer
    assert HOSTILE in words(section(page, "answers"))
    assert source.count("<script") == source.count("</script") == 1
    policy = next(node[1]["content"] for node in nodes(page, "meta") if "http-equiv" in node[1])
    script = words(next(nodes(page, "script")))
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert not re.search(r"@import|url\(|http", words(next(nodes(page, "style"))))
    for tag, attributes, _ in nodes(page):
        assert tag not in ("iframe", "object", "embed", "link", "base", "use", "foreignobject", "animate")
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/jpeg;base64,"))
    assert run[1].out not in source


def test_answers_of_every_evaluation_stand_beside_their_picture(run):
    page = Tree((run[0] / "report.html").read_text()).root
    found = {step: json.loads((run[0] / f"evaluations/{step:08d}.json").read_text()) for step in (2, 4, 6)}
    cards = list(nodes(section(page, "answers"), "article"))
    assert len(cards) == len(found[6]["answers"]) == 5
    for number, card in enumerate(cards):
        told = []
        for item in nodes(card, "li"):
            first, _, last = (
                words(next(nodes(item, "b"))).removeprefix("steps ").removeprefix("step ").partition(" to ")
            )
            answer = words(next(nodes(item, "span")))
            told += [answer] * len([step for step in found if int(first) <= step <= int(last or first)])
        answers = [found[step]["answers"][number] for step in found]
        assert told == [html.unescape(text(answer["answer"])) or "(nothing)" for answer in answers]
        assert answers[0]["truth"] in words(card)
        assert len(list(nodes(card, "img"))) == 1
    table = {row[0]: row for row in rows(section(page, "held"))}
    for source, (pairs, right, wrong) in found[6]["by_source"].items():
        assert table[source][1:] == [str(pairs), f"{right:.4f}", f"{wrong:.4f}", f"{wrong - right:+.4f}"]
    curve = next(node for node in nodes(section(page, "held"), "path") if "data-x" in node[1])[1]
    assert curve["data-x"] == "2 4 6"
    shown = [float(value) for value in curve["data-y"].split()]
    assert shown == pytest.approx([one["loss_right"] for one in found.values()], rel=1e-4)


def test_a_run_under_way_is_shown_as_far_as_it_came(run):
    page = page_of(run)
    tree = Tree(page.write(3).read_text()).root
    assert "under way: step 3 of 6" in words(tree)
    assert next(node for node in nodes(section(tree, "loss"), "path") if "data-x" in node[1])[1]["data-x"] == "1 2 3"
    assert "at step 2" in words(section(tree, "answers"))
    assert "step 4" not in words(section(tree, "answers"))
    begun = Tree(page.write(0).read_text()).root
    assert "under way: step 0 of 6" in words(begun)
    assert len(list(nodes(section(begun, "fed"), "article"))) >= 6
    assert "held" not in [node[1]["id"] for node in nodes(begun, "section")]


def test_equal_folders_give_equal_bytes(run, tmp_path):
    made = (run[0] / "report.html").read_bytes()
    other = tmp_path / "elsewhere" / "run"
    shutil.copytree(run[0], other)
    (other / "report.html").unlink()
    assert page_of(run, other).write(6).read_bytes() == made


def test_a_page_that_cannot_be_written_ends_no_run(run, capsys):
    page = page_of(run)
    (run[0] / "report.html").unlink()
    (run[0] / "report.html").mkdir()
    page.renew(4)
    assert "report.html: not renewed at step 4" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"report\.html"):
        page.write(6)


def test_a_full_disk_is_told(run):
    page = page_of(run)
    before, most = page.write(6).read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, most[1]))  # as a full disk
    try:
        with pytest.raises(OutputError, match="make room"):
            page.renew(4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert (run[0] / "report.html").read_bytes() == before


def test_what_went_wrong_is_on_the_page(write_recipe, sphinx_train, tmp_path):
    with DatasetWriter(str(tmp_path / "data"), "data") as writer:
        for number in range(8):
            data = png((number, 100, 50), 96, 64)
            sample = picture_sample("broken" if number == 3 else "whole", number)
            sample = replace(sample, images=(replace(sample.images[0], width=96, height=64),))
            writer.add(sample, [data[:60] if number == 3 else data])
    place = write_recipe(str(tmp_path / "data"), pack={"tokens": 512, "views": 40, "batch": 1}, steps=None, epochs=1)
    assert sphinx_train(place)[0] == 0
    out = tmp_path / "run"
    page = Tree((out / "report.html").read_text()).root
    assert [row[:2] for row in rows(section(page, "bad"))] == [["3", "broken/3"]]
    card = next(node for node in nodes(section(page, "fed"), "article") if "broken/3" in words(node))
    assert "This sample could not be read" in words(card)
    assert not list(nodes(card, "img"))


def test_skipped_steps_are_marked(run):
    path = run[0] / "log.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[3] |= {"loss": float("nan"), "grad_norm": float("inf"), "skipped": True}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = Tree(page_of(run).write(6).read_text()).root
    first = next(nodes(section(page, "loss"), "figure"))
    assert [words(node) for node in nodes(first, "path", "skipped")] == ["step 4 was skipped"]
    assert "steps 4." in words(section(page, "loss"))
    assert next(node for node in nodes(first, "path", "raw"))[1]["d"].count("M") == 2  # the line has a gap
    assert "nan" not in words(page).lower().replace("nano", "")


def test_a_run_without_a_held_out_set_has_a_page_too(make_dataset, write_recipe, sphinx_train, tmp_path):
    assert sphinx_train(write_recipe(make_dataset("a", 12, 4)))[0] == 0
    page = Tree((tmp_path / "run" / "report.html").read_text()).root
    assert [node[1]["id"] for node in nodes(page, "section")] == ["loss", "sources", "fed", "speed", "recipe"]


numbers = st.lists(st.floats(-1e3, 1e3) | st.just(float("nan")), min_size=1, max_size=60)


@given(numbers, st.integers(0, 9), st.data())
def test_smooth_is_the_weighted_mean_of_the_values_around(values, reach, data):
    weights = np.array(data.draw(st.lists(st.integers(0, 9), min_size=len(values), max_size=len(values))), float)
    values = np.array(values)
    found = log.smooth(values, weights, reach)
    for place in range(len(values)):
        around = slice(max(0, place - reach), place + reach + 1)
        known = np.isfinite(values[around])
        total = weights[around][known].sum()
        if total:
            expected = (values[around][known] * weights[around][known]).sum() / total
            assert found[place] == pytest.approx(expected, abs=1e-6)
        else:
            assert np.isnan(found[place])


def test_a_growing_log_is_read_as_a_whole_one(run):
    lines = (run[0] / "log.jsonl").read_bytes().splitlines(keepends=True)
    path = run[0] / "growing.jsonl"
    growing = log.LogFile(path)
    for step in range(len(lines)):
        path.write_bytes(b"".join(lines[:step]) + lines[step][:-1])  # the newest line is being written
        assert growing.read(6).steps.tolist() == list(range(1, step + 1))
    path.write_bytes(b"".join(lines))
    found, whole = growing.read(6), log.LogFile(run[0] / "log.jsonl").read(6)
    assert found.steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert {name: column.tolist() for name, column in found.columns.items()} == {
        name: column.tolist() for name, column in whole.columns.items()
    }
    assert list(found.sources) == list(whole.sources)
    for name, source in found.sources.items():
        assert [part.tolist() for part in source] == [part.tolist() for part in whole.sources[name]]
    assert growing.read(2).steps.tolist() == [1, 2]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5000), st.floats(1e-6, 1e6))
def test_long_lines_keep_their_extremes_and_axes_hold_them(values, span):
    values = np.array(values)
    steps, kept = curves._envelope(np.arange(len(values)), values)
    assert (np.diff(steps) > 0).all()
    assert (kept.min(), kept.max()) == (values.min(), values.max())
    assert len(kept) <= 1000
    low, high, ticks = curves._axis(float(values[0]), float(values[0]) + span)
    assert low <= values[0] + span * 1e-6
    assert high >= values[0] + span * (1 - 1e-6)
    assert 2 <= len(ticks) <= 8


@pytest.mark.heavy
@pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed")
def test_the_page_works_in_a_browser(run, tmp_path):
    from report.browser import chromium

    with chromium(str(PROGRAM), str(tmp_path / "profile")) as tab:
        for width in (320, 400, 1200):
            tab.open(f"file://{run[0] / 'report.html'}", width=width)
            assert tab.run("document.documentElement.scrollWidth") <= width
        tab.point("#loss svg")
        said = tab.run("document.querySelector('#loss output').textContent")
        assert re.fullmatch(r"step [34]: [0-9.]+", said)
        assert tab.run("[...document.images].every((one) => one.complete && one.naturalWidth > 0)")
        light = tab.run("getComputedStyle(document.body).backgroundColor")
        tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        assert tab.run("getComputedStyle(document.body).backgroundColor") != light
        assert tab.complaints == []
        assert {url[:15] for url in tab.requests if not url.startswith(("file://", "about:"))} <= {"data:image/jpeg"}


def test_a_question_shows_the_pictures_that_it_has(tmp_path):
    """None, one or two, in a row of their own; a text alone was once shown as a picture that cannot be read."""
    answer = Message(role="assistant", content=(TextPart(text="yes"),))
    with DatasetWriter(str(tmp_path / "held"), "held") as writer:
        for number, count in enumerate((0, 1, 2)):
            images = tuple(Image(file=f"{image}.png", width=8, height=8) for image in range(count))
            asked = (*(ImagePart(image=image) for image in range(count)), TextPart(text="Is it?"))
            sample = replace(picture_sample("held", number), images=images, regions=(),
                             messages=(Message(role="user", content=asked), answer))  # fmt: skip
            writer.add(sample, [png((9, 9, 9), 8, 8)] * count)
    held = open_dataset(str(tmp_path / "held"))
    shown = [answers._pictures(held, row) for row in range(3)]
    assert [str(part).count("<img") for part in shown] == [0, 1, 2]
    assert "cannot be read" not in "".join(map(str, shown))
