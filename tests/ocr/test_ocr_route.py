"""Which way a page is read and why: real pages, real engine."""

import io
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocr_pages import DOCUMENTS, PageSpec, pdf, produce_all, show
from PIL import Image

from sphinx_data import engines
from sphinx_data.ocr import build, route
from sphinx_data.ocr import pdf as reader
from sphinx_data.ocr.clean import Clean
from sphinx_data.ocr.compare import edit_distance, error_rate, folded
from sphinx_data.ocr.options import TaskOptions
from sphinx_data.ocr.order import reading_order_of_lines
from sphinx_data.sample import Built

SHARED = Path(__file__).parents[3] / "shared/data"
PAGE = DOCUMENTS / "crazyones-pdfa.pdf"

needs_engine = pytest.mark.skipif(not engines.installed("rapidocr"), reason="rapidocr is not installed")
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the larger set of real documents is not here")


@cache
def with_engine(mode: str = "auto", language: str | None = None) -> build.Options:
    return build.Options(ocr=build.with_engine(build.Ocr(mode=mode), build.Setup()), language=language)  # type: ignore[arg-type]


def rendered(side: int = 1344) -> Image.Image:
    with reader.open_document(PAGE.read_bytes()) as document, document.page(0, side) as page:
        return Image.fromarray(page.render().pixels[..., 2::-1])


def spoken(built: Built) -> str:
    """All texts of the regions that the answers name, in order of the page."""
    regions = sorted(built.sample.regions, key=lambda region: (region.box[1], region.box[0]))
    return " ".join(region.text or "" for region in regions)


@needs_engine
def test_picture_is_read_and_a_photo_keeps_its_bytes(tmp_path: Path) -> None:
    out = io.BytesIO()
    rendered().save(out, "JPEG", quality=93)
    (tmp_path / "photo.jpg").write_bytes(out.getvalue())
    (built,), rejects = produce_all(tmp_path, options=with_engine())
    assert not rejects
    assert built.media == (out.getvalue(),)
    meta = built.sample.meta
    assert (meta["route"], meta["reason"]) == ("ocr", "picture")
    assert meta["engine"] == {
        "name": "rapidocr", "version": with_engine().ocr.version, "models": with_engine().ocr.models
    }  # fmt: skip
    with reader.open_document(PAGE.read_bytes()) as document, document.page(0, 1344) as page:
        truth = folded("".join(chr(code) for code in page.characters().codes if code > 31))
    assert all(folded(region.text or "") in truth or len(region.text or "") < 4 for region in built.sample.regions)
    assert all(0.9 <= (region.score or 0) <= 1 for region in built.sample.regions)


@needs_engine
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_scan_is_turned_back(tmp_path: Path, degrees: int) -> None:
    rendered(900).rotate(degrees, expand=True).save(tmp_path / "scan.png")  # anticlockwise
    (built,), _ = produce_all(tmp_path, options=with_engine())
    assert built.sample.meta["turned"] == degrees
    assert built.sample.images[0].height > built.sample.images[0].width
    assert Image.open(io.BytesIO(built.media[0])).size == (built.sample.images[0].width, built.sample.images[0].height)


@needs_engine
def test_layer_that_lies_is_found_by_reading_some_lines(tmp_path: Path) -> None:
    sentences = ["The quick brown fox jumps over the lazy dog", "Pack my box with five dozen liquor jugs today"] * 4
    content = "".join(show(text, 20, 270 - 30 * n, size=13, font="F2") for n, text in enumerate(sentences))
    shifted = {ord(a): f"{ord('bcdfghjklmnpqrstvwxz'[n % 20]):04X}" for n, a in enumerate("aeioubcdfghjklmnpqrstvwxyz")}
    (tmp_path / "a.pdf").write_bytes(pdf(PageSpec(content, to_unicode=shifted)))
    (built,), _ = produce_all(tmp_path, options=with_engine())
    assert (built.sample.meta["route"], built.sample.meta["reason"]) == ("ocr", "text-layer-lies")
    assert any("quick brown" in (region.text or "") for region in built.sample.regions)
    (built,), _ = produce_all(tmp_path)  # nothing that could compare
    assert built.sample.meta["reason"] == "text-layer-not-compared"


@needs_engine
def test_hidden_text_layer_is_read_anew_and_never_without_an_engine(tmp_path: Path) -> None:
    content = "".join(show("A line that is painted as a picture would be", 20, 250 - 40 * n) for n in range(3))
    hidden = "".join(show("Somebody else's reading of these lines", 20, 245 - 25 * n, mode=3) for n in range(6))
    (tmp_path / "a.pdf").write_bytes(pdf(PageSpec(content + hidden)))
    (built,), _ = produce_all(tmp_path, options=with_engine())
    assert built.sample.meta["reason"] == "hidden-text-layer"
    assert all("painted" in (region.text or "") for region in built.sample.regions)
    for options, why in ((build.Options(), "no OCR engine is installed"), (with_engine("never"), "--ocr never")):
        samples, (reject,) = produce_all(tmp_path, options=options)
        assert not samples
        assert reject.rule == "hidden-text-layer"
        assert why in reject.detail


@needs_engine
def test_good_layer_is_used_and_always_overrules_it(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(PAGE.read_bytes())
    (built,), _ = produce_all(tmp_path, options=with_engine())
    assert (built.sample.meta["route"], built.sample.meta["reason"]) == ("text-layer", "text-layer-good")
    (built,), _ = produce_all(tmp_path, options=with_engine("always"))
    assert (built.sample.meta["route"], built.sample.meta["reason"]) == ("ocr", "asked-for")


@needs_engine
def test_language_that_the_engine_cannot_read_is_not_tried(tmp_path: Path) -> None:
    rendered(600).save(tmp_path / "a.png")
    _, (reject,) = produce_all(tmp_path, options=with_engine(language="ru"))
    assert reject.rule == "ocr-script-unknown"
    assert "Cyrl" in reject.detail


@needs_engine
@needs_shared
@pytest.mark.heavy
@pytest.mark.parametrize("name", ["ko_textbook_19.jpeg", "th_book_38.jpeg"])
def test_scripts_that_the_engine_cannot_read_are_rejects_not_garbage(name: str) -> None:
    (path,) = SHARED.rglob(name)
    samples, (reject,) = produce_all(path, options=with_engine())
    assert not samples
    assert reject.rule == "ocr-script-unknown"


@needs_engine
@needs_shared
@pytest.mark.heavy
def test_scan_turned_in_all_directions_gives_the_same_text(tmp_path: Path) -> None:
    """Some lines of a real scan: reading whole pages eight times takes minutes."""
    scan = (SHARED / "pdf_scans_ocrmypdf/cardinal.pdf").read_bytes()
    with reader.open_document(scan) as document, document.page(0, 1200) as page:
        lines = page.render().pixels[465:590, 120:460, 2::-1]
    square = np.pad(lines, ((60, 155), (0, 0), (0, 0)), constant_values=255)  # engines enlarge the shorter side
    for quarter in range(4):
        Image.fromarray(np.rot90(square, quarter)).save(tmp_path / f"{quarter}.png")
    only_reading = TaskOptions(
        region_reading=0, text_localisation=0, spotting=0, layout=0, reading_order=0, continuation=0
    )
    samples, rejects = produce_all(tmp_path, options=msgspec.structs.replace(with_engine(), tasks=only_reading))
    assert [built.sample.meta.get("turned", 0) for built in samples] == [0, 90, 180, 270]
    assert not rejects
    told = [built.sample.messages[1].content[0].text for built in samples]
    assert len(set(told)) == 1
    assert "then play your MIDI keyboard in time to the Sequencer" in told[0]


def test_always_without_an_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    assert build.with_engine(build.Ocr(), build.Setup()).engine is None
    with pytest.raises(build.UsageError, match="--ocr always: no OCR engine is installed"):
        build.with_engine(build.Ocr(mode="always"), build.Setup())


def line(text: str, width: float = 400, height: float = 20) -> engines.Line:
    quad = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
    return engines.Line(quad, text, 0.99)


def test_unknown_letters_leave_a_line_unfilled() -> None:
    assert route.filled(line("An ordinary line of text with many letters in it")) > 0.6
    assert route.filled(line(" ,   ,    .")) < 0.2
    assert route.filled(line("中文的一行字有这么多的汉字在里面")) > 0.5
    assert route.filled(line("7", width=30)) == 1.0  # too short to say


def test_doubt_is_about_letters_not_about_languages() -> None:
    assert route.doubtful("Ordinary English text. " * 20) is None
    assert route.doubtful("Žluťoučký kůň úpěl ďábelské ódy. Gżegżółka. Příliš " * 5) is None
    assert route.doubtful("中文的一行字有这么多的汉字在里面。日本語のテキスト。" * 5) is None
    assert "vowel" in (route.doubtful("Gshh bcdf mkjh plkj wxzt " * 10) or "")
    assert "blocks" in (route.doubtful("Some text ɐɑɒɓɔɕ ƀƁƂ and more words here") or "")


def test_columns_of_text_are_read_one_after_the_other_and_receipts_row_by_row() -> None:
    em = 10.0
    columns = [(x, 20.0 * n, x + 180.0, 20.0 * n + em) for n in range(5) for x in (0.0, 200.0)]
    order = reading_order_of_lines(np.array(columns), np.full(10, em))
    assert order.tolist() == [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    receipt = [(x, 20.0 * n, x + width, 20.0 * n + em) for n in range(5) for x, width in ((0.0, 120.0), (300.0, 40.0))]
    assert reading_order_of_lines(np.array(receipt), np.full(10, em)).tolist() == list(range(10))


@given(st.lists(st.tuples(st.floats(0, 900), st.floats(0, 900), st.floats(1, 300), st.floats(1, 60)), max_size=30))
def test_order_of_lines_is_a_permutation(places: list[tuple[float, float, float, float]]) -> None:
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in places]).reshape(-1, 4)
    assert sorted(reading_order_of_lines(boxes, boxes[:, 3] - boxes[:, 1]).tolist()) == list(range(len(places)))


@given(st.text(max_size=12), st.text(max_size=12), st.text(max_size=12))
def test_edit_distance_is_a_metric(one: str, two: str, three: str) -> None:
    assert edit_distance(one, two) == edit_distance(two, one)
    assert (edit_distance(one, two) == 0) == (one == two)
    assert edit_distance(one, three) <= edit_distance(one, two) + edit_distance(two, three)
    assert abs(len(one) - len(two)) <= edit_distance(one, two) <= max(len(one), len(two))


def test_error_rate_folds_what_looks_the_same() -> None:
    assert error_rate("“a – b”", '"a-b"') == 0
    assert error_rate("abcd", "abxd") == 0.25
    assert (error_rate("", ""), error_rate("", "x")) == (0.0, 1.0)


@needs_engine
def test_sign_on_a_photo_is_enough_and_a_page_needs_more(tmp_path: Path) -> None:
    with reader.open_document(pdf(PageSpec(show("STOP", 60, 130, size=60)))) as document, document.page(0, 600) as page:
        Image.fromarray(page.render().pixels[..., 2::-1]).save(tmp_path / "sign.png")
    (built,), rejects = produce_all(tmp_path, options=with_engine())
    assert not rejects
    assert spoken(built) == "STOP"
    strict = msgspec.structs.replace(with_engine(), clean=Clean(min_picture_chars=5))
    samples, (reject,) = produce_all(tmp_path, options=strict)
    assert (samples, reject.rule) == ([], "too-little-text")


def test_vietnamese_is_not_read_without_its_letters() -> None:
    """What PP-OCRv6 makes of a page: letters with two marks are gone."""
    read = (
        "Theo đây có mt tp lnh trình bao là mu đon gin v phưong pháp cu hình máy tính nguồn như là cng ra Internet "
        "dùng ppp0. THÔNG TIN LINH TINH CÀI ĐÅT DEBIAN GNU/LINUX DÙNG PPP Thit lp nguồn"
    )
    verdict = route.unread_text(read)
    assert verdict is not None
    assert verdict.rule == "ocr-script-unknown"
    assert route.unread_language("vi", frozenset({"Latn"})) is not None
    assert route.unread_language("ro", frozenset({"Latn"})) is None
    assert route.unread_text("Din păcate, unele calculatoare pot conține versiuni BIOS/UEFI cu erori.") is None
