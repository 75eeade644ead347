"""The page in a real browser: filters, the address, regions that light up, narrow and dark screens."""

import shutil

import pytest
from browser import chromium
from pages import hostile_sample
from samples import picture_sample, png

from sphinx_data import DatasetWriter, open_dataset
from sphinx_data.report import report

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.heavy, pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed")]

SHOWN = "[...document.querySelectorAll('#cards > .card')].filter((card) => card.checkVisibility()).length"
HASHES = {
    "": 31, "#source=a": 20, "#source=b&task=vqa": 10, "#task=detection": 1, "#domain=vision": 1,
    "#q=what+number+17": 1, "#q=alert": 1, "#source=a&q=nowhere": 0, "#gallery": 31,
}  # fmt: skip


@pytest.fixture
def page(tmp_path):
    with DatasetWriter(str(tmp_path / "d"), "d") as writer:
        for number in range(30):
            source = "a" if number < 20 else "b"
            sample = picture_sample(source, number, question=f"What is number {number}?")
            writer.add(sample, [png((number, 50, 90), 12, 8)])
        writer.add(hostile_sample(), [png((9, 9, 9))])
    found = report(open_dataset(str(tmp_path / "d")))
    return f"file://{found.page}"


def test_the_page_works_in_a_browser(page, tmp_path):
    with chromium(str(PROGRAM), str(tmp_path / "profile")) as tab:
        for hash_, count in HASHES.items():
            tab.open(page + hash_)
            assert tab.run(SHOWN) == count, hash_
            assert tab.run("document.getElementById('shown').textContent") == f"{count} of 31 shown"
        filters_follow_the_controls(tab, page)
        phrases_light_up_regions(tab, page)
        narrow_and_dark_screens_fit(tab, page)
        assert tab.complaints == []
        assert {
            url.split("#")[0][:30]
            for url in tab.requests
            if not url.startswith(("file://", "data:image/jpeg", "about:"))
        } == set()


def choose(tab, control, value):
    tab.run(f"document.forms[0].{control}.value = '{value}'")
    tab.run(f"document.forms[0].{control}.dispatchEvent(new Event('input', {{bubbles: true}}))")


def filters_follow_the_controls(tab, page):
    tab.open(page)
    choose(tab, "source", "b")
    assert tab.run(SHOWN) == 10
    assert tab.run("location.hash") == "#source=b"
    choose(tab, "q", "NUMBER 21")
    assert tab.run(SHOWN) == 1
    tab.run("document.forms[0].reset(); new Promise((done) => setTimeout(done, 50))")
    assert tab.run(SHOWN) == 31
    tab.run("location.hash = '#source=a&regions=hover'; new Promise((done) => setTimeout(done, 50))")
    assert tab.run(SHOWN) == 20
    assert tab.run("getComputedStyle(document.querySelector('#cards g')).visibility") == "hidden"


def phrases_light_up_regions(tab, page):
    tab.open(page + "#source=a&regions=hover")
    tab.point(".card:not([hidden]) .chip[data-r]")
    assert tab.run("document.querySelectorAll('g.lit').length") == 1
    assert tab.run("getComputedStyle(document.querySelector('g.lit')).visibility") == "visible"
    assert tab.run("document.querySelector('.card:not([hidden]) output').textContent") == "thing"
    tab.point("h1")
    assert tab.run("document.querySelectorAll('.lit').length") == 0
    tab.open(page + "#source=a")
    tab.point(".card:not([hidden]) g rect")
    assert tab.run("document.querySelectorAll('.chip.lit').length") == 1
    inside = (
        "(() => { const box = (name) => document.querySelector('.card:not([hidden]) ' + name).getBoundingClientRect();"
        " const g = box('g rect'), i = box('img'), x = 12 / i.width, y = 8 / i.height;"
        " return [(g.x - i.x) * x, (g.y - i.y) * y, g.width * x, g.height * y]; })()"
    )
    assert tab.run(inside) == pytest.approx([1, 2, 4.5, 4], abs=0.15)  # the region of `picture_sample`


def narrow_and_dark_screens_fit(tab, page):
    for width in (320, 400, 1200):
        tab.open(page, width=width)
        assert tab.run("document.documentElement.scrollWidth") <= width
    light = tab.run("getComputedStyle(document.body).backgroundColor")
    tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert tab.run("getComputedStyle(document.body).backgroundColor") != light
