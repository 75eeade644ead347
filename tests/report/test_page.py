"""The page is one file that nothing in the data can turn against its reader; the card is one that the hub can read."""

import os
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from pages import written
from PIL import Image as Pictures
from samples import picture_sample, png, text_sample

from sphinx_data import DatasetWriter, open_dataset
from sphinx_data.report import report
from sphinx_data.report.gallery import _fair, choose, load_cards
from sphinx_data.report.markup import el
from sphinx_data.report.pictures import thumbnail
from sphinx_data.report.stream import uses
from sphinx_data.sample import Image, ImagePart, Mask, Message, Region, RegionPart, Reject, TextPart


def test_hostile_text_stays_text(hostile):
    page, _ = written(hostile)
    assert page.text.count("onerror=alert(1)") >= 8
    names = {tag for tag, _ in page.elements}
    assert not names & {
        "iframe",
        "object",
        "embed",
        "link",
        "base",
        "audio",
        "video",
        "use",
        "foreignobject",
        "animate",
    }
    assert all(a.get("type") is None for tag, a in page.elements if tag == "script")
    assert sum(tag == "script" for tag, _ in page.elements) == 1
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "\u202e" not in page.text
    assert "\x00" not in page.text


def test_nothing_is_asked_for_from_outside(hostile, mixed):
    for place in (hostile, mixed.directory):
        page, found = written(place)
        for _, attributes in page.elements:
            for name in ("src", "href", "action", "data", "poster", "srcset", "xlink:href"):
                assert (attributes.get(name) or "#").startswith(("#", "data:image/jpeg;base64,"))
        style = re.search("<style>(.*?)</style>", Path(found.page).read_text("utf-8"), re.DOTALL)
        assert style
        assert not re.search(r"@import|url\(|http", style[1])
        policy = next(a["content"] for tag, a in page.elements if "http-equiv" in a)
        assert policy.startswith("default-src 'none'; img-src data:;")


def test_equal_datasets_give_equal_bytes(make_dataset, tmp_path):
    pages = []
    for folder in ("one", "two"):
        place = make_dataset("a", at=tmp_path / folder)
        found = report(open_dataset(place), examples=7)
        pages.append((Path(found.page).read_bytes(), Path(found.card).read_bytes()))
    assert pages[0] == pages[1]
    assert str(tmp_path).encode() not in pages[0][0] + pages[0][1]
    report(open_dataset(place), examples=7, seed=1)
    assert Path(f"{place}/report.html").read_bytes() != pages[0][0]


def test_the_gallery_covers_every_pair_while_it_lasts(tmp_path):
    with DatasetWriter(str(tmp_path / "a"), "a") as writer:
        for number in range(300):
            source = "common" if number % 30 else f"rare{number // 30 % 5}"
            task = ("text", "math", "code")[number % 3]
            writer.add(msgspec.structs.replace(text_sample("a", number), source=source, task=task))
    dataset = open_dataset(str(tmp_path / "a"))
    pairs = {(example.sample.source, example.sample.task) for example in dataset}
    for number in (len(pairs), 40, 400):
        chosen = choose(uses(dataset), number, seed=3)
        assert len(chosen) == len(set(chosen)) == min(number, 300)
        assert {(one.source, one.task) for one in chosen} == pairs
        assert chosen == choose(uses(dataset), number, seed=3)
    assert choose(uses(dataset), 400, 0) != choose(uses(dataset), 40, 0)
    few = choose(uses(dataset), 3, seed=3)
    assert {one.source for one in few} == {"common"}  # the largest pairs
    assert choose(uses(dataset), 0, seed=3) == []
    page, _ = written(tmp_path / "a", examples=40)
    assert {(a["data-source"], a["data-task"]) for a in page.classes("card")} == pairs


def test_a_mix_shows_each_row_once_and_how_often_it_is_seen(mixed):
    chosen = choose(uses(mixed), 1000, 0)
    assert len({(one.use, one.row) for one in chosen}) == len(chosen)
    assert sum(one.times for one in chosen) == len(mixed)
    page, _ = written(mixed.directory)
    assert "seen 3 times" in page.text
    assert "epochs 3" in page.text


def test_every_rule_is_shown_with_its_examples(tmp_path):
    with DatasetWriter(str(tmp_path / "a"), "a") as writer:
        writer.add(text_sample("a", 0))
        for number in range(7):
            writer.reject(Reject(input=f"in{number}", level="file", rule=f"rule-{number % 2}", detail=f"why {number}"))
    page, found = written(tmp_path / "a")
    for number in range(7):
        assert f"rule-{number % 2}" in page.text
        assert f"why {number}" in page.text
    card = Path(found.card).read_text("utf-8")
    assert "| rule-0 | a | file | 4 |" in card


def test_regions_lie_where_they_are_and_phrases_name_them(tmp_path):
    mask = np.zeros((80, 120), bool)
    mask[10:40, 20:70] = True
    from sphinx_data import rle

    regions = (
        Region(box=(20, 10, 70, 40), mask=Mask(size=(80, 120), counts=rle.write(rle.from_array(mask))), label="m"),
        Region(box=(0, 0, 30.5, 20), polygon=((0, 0, 30.5, 0, 30.5, 20),), label="p"),
        Region(box=(5, 5, 9, 9), point=(7, 7), mark="3"),
        Region(box=(1, 1, 3, 3), keypoints=((1, 1, 2), (3, 3, 1), (0, 0, 0))),
        Region(box=(50, 50, 60, 60)),
    )
    parts = (
        RegionPart(regions=(0,), form="box", text="mask"), RegionPart(regions=(1,), form="polygon"),
        RegionPart(regions=(2,), form="mark"), RegionPart(regions=(3,), form="keypoints"),
        RegionPart(regions=(0, 1), form="box", text="both"), RegionPart(regions=(2,), form="point"),
    )  # fmt: skip
    sample = msgspec.structs.replace(
        picture_sample("a", 0),
        images=(Image(file="0.png", width=120, height=80),),
        regions=regions,
        messages=(Message(role="user", content=(ImagePart(image=0),)), Message(role="assistant", content=parts)),
    )
    with DatasetWriter(str(tmp_path / "a"), "a") as writer:
        writer.add(sample, [png((1, 2, 3), 120, 80)])
    page, _ = written(tmp_path / "a")
    assert any(a.get("viewbox") == "0 0 120 80" for tag, a in page.elements if tag == "svg")
    boxes = [(a["x"], a["y"], a["width"], a["height"]) for tag, a in page.elements if tag == "rect" and "x" in a]
    assert ("20", "10", "50", "30") in boxes
    assert ("50", "50", "10", "10") in boxes
    paths = [a["d"] for tag, a in page.elements if tag == "path" and a.get("class") in ("area", "tint")]
    assert sorted(len(path.split("L")) for path in paths) == [3, 4]
    chips = {a["data-r"] for a in page.classes("chip") if "data-r" in a}
    assert chips == {"0", "1", "2", "3", "0 1"}
    assert len(page.classes("unused")) == 1
    assert "both x 2" in page.text
    assert "7, 7" in page.text


def test_answers_that_are_not_learned_look_different(tmp_path):
    sample = picture_sample("a", 0)
    silent = Message(role="assistant", content=(TextPart(text="Sure."),), supervise=False)
    with DatasetWriter(str(tmp_path / "a"), "a") as writer:
        writer.add(msgspec.structs.replace(sample, messages=(*sample.messages, silent)), [png((1, 2, 3))])
    page, _ = written(tmp_path / "a")
    assert len(page.classes("unlearned")) == 1
    assert len(page.classes("assistant")) == 2


def test_damage_is_said_on_the_card(make_dataset):
    place = make_dataset("a", pictures=4, texts=0)
    shard = f"{place}/shards/000000-00.tar"
    data = bytearray(Path(shard).read_bytes())
    start = data.index(b"\x89PNG")
    data[start : start + 40] = bytes(40)
    start = data.index(b'{"id":"a/2"')
    data[start : start + 5] = b"xxxxx"
    Path(shard).write_bytes(data)
    page, _ = written(place)
    assert "cannot be decoded" in page.text
    assert "cannot be read: JSON" in page.text
    assert len(page.classes("card")) == 4
    os.truncate(shard, 4000)
    page, _ = written(place)
    assert "the index needs" in page.text
    assert place not in page.text


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "1", "CMYK", "I;16", "F"])
def test_pictures_of_every_mode_become_small(mode, tmp_path):
    place = tmp_path / ("x.tif" if mode in ("CMYK", "I;16", "F") else "x.png")
    Pictures.new(mode, (2000, 900)).save(place)
    found = thumbnail(place.read_bytes(), 30_000)
    assert (found.width, found.height, found.problem) == (2000, 900, "")
    assert 100 < len(found.data) < 40_000


def test_a_picture_keeps_to_its_bytes():
    noise = Pictures.fromarray(np.random.default_rng(0).integers(0, 255, (900, 900, 3), dtype=np.uint8))
    from io import BytesIO

    file = BytesIO()
    noise.save(file, "PNG")
    assert len(thumbnail(file.getvalue(), 20_000).data) <= 20_000 * 4 / 3 + 4


def test_text_is_cut_with_a_count(tmp_path):
    with DatasetWriter(str(tmp_path / "a"), "a") as writer:
        writer.add(text_sample("a", 0, "x" * 50_000))
    page, found = written(tmp_path / "a")
    assert "more characters" in page.text
    assert found.page_bytes < 100_000
    (card,) = load_cards(uses(open_dataset(str(tmp_path / "a"))), choose(uses(open_dataset(str(tmp_path / "a"))), 1, 0))
    assert page.text.count("x") < card.text_limit + 5000


def test_elements_escape_by_construction():
    assert el("p", "<b>", el("i", "&"), title='"') == '<p title="&quot;">&lt;b&gt;<i>&amp;</i></p>'
    assert el("input", disabled=True, value=None) == "<input disabled>"


def test_large_samples_keep_to_the_budgets(tmp_path, monkeypatch):
    for name, value in {"PICTURE_BYTES": 60_000, "TEXT_CHARACTERS": 9_000, "REGIONS": 60}.items():
        monkeypatch.setattr(f"sphinx_data.report.gallery.{name}", value)
    random = np.random.default_rng(0)
    noise = Pictures.fromarray(random.integers(0, 255, (300, 400, 3), dtype=np.uint8))
    noise.save(tmp_path / "noise.jpg", quality=95)
    with DatasetWriter(str(tmp_path / "a"), "a") as writer:
        for number in range(20):
            corners = [[(x, y), (x + 20, y + 20)] for x, y in random.integers(0, 250, (50, 2)).tolist()]
            sample = msgspec.structs.replace(
                picture_sample("a", number, answer="word " * 2000),
                images=(Image(file="0.jpg", width=400, height=300),),
                regions=tuple(Region(box=(*low, *high)) for low, high in corners),
            )
            writer.add(sample, [(tmp_path / "noise.jpg").read_bytes()])
        for number in range(20, 24):
            writer.add(picture_sample("a", number), [png((1, 2, 3))])
    page, found = written(tmp_path / "a")
    assert sum(len(a["src"]) for tag, a in page.elements if tag == "img") < 60_000 * 4 / 3 + 24 * 30
    assert sum(tag == "g" and "data-r" in a for tag, a in page.elements) <= 60 + 24
    assert "more regions are not drawn" in page.text
    assert found.page_bytes < 200_000


@pytest.mark.parametrize(("amounts", "budget"), [([10, 10, 900], 60), ([5] * 100, 40), ([1, 2], 100), ([], 5)])
def test_small_ones_leave_their_part_to_the_others(amounts, budget):
    most = _fair(amounts, budget, 1000)
    assert sum(min(amount, most) for amount in amounts) <= max(budget, len(amounts))
    assert most > 25 or len(amounts) != 3
