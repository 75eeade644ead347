"""DoclingDocument JSON, after its published schema; no published file was at hand."""

import base64
import io
import json

import pytest
from converting import Run, text_of
from PIL import Image

from sphinx_data.convert import Inputs
from sphinx_data.convert._recognise import recognise


def embedded(width: int, height: int) -> dict:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(out, "PNG")
    uri = f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
    return {"mimetype": "image/png", "dpi": 144, "size": {"width": width, "height": height}, "uri": uri}


def block(number: int, label: str, text: str, page: int, box: dict) -> dict:
    return {"self_ref": f"#/texts/{number}", "label": label, "text": text, "prov": [{"page_no": page, "bbox": box}]}


def document(**more) -> dict:
    up = {"coord_origin": "BOTTOMLEFT"}
    return {
        "schema_name": "DoclingDocument", "version": "1.8.0", "name": "a",
        "body": {"self_ref": "#/body", "children": []},
        "texts": [
            block(0, "section_header", "Results", 1, {"l": 10, "t": 190, "r": 60, "b": 180} | up),
            block(1, "text", "We found 3.", 1, {"l": 10, "t": 30, "r": 90, "b": 60, "coord_origin": "TOPLEFT"}),
            block(2, "text", "lost", 1, {"l": 10}),
            block(3, "text", "elsewhere", 2, {"l": 1, "t": 1, "r": 5, "b": 5}),
        ],
        "tables": [{"self_ref": "#/tables/0", "label": "table", "data": {},
                    "prov": [{"page_no": 1, "bbox": {"l": 10, "t": 120, "r": 90, "b": 20} | up}]}],
        "pictures": [],
        "pages": {
            "1": {"page_no": 1, "size": {"width": 100, "height": 200}, "image": embedded(200, 400)},
            "2": {"page_no": 2, "size": {"width": 100, "height": 200}, "image": None},
        },
    } | more  # fmt: skip


def test_pages_become_layout(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(document()))
    assert recognise(Inputs((str(tmp_path / "a.json"),))) == recognise(Inputs((str(tmp_path),))) == "docling"
    found = Run("docling", tmp_path)
    (sample,) = found.samples
    assert found.rules() == [("region", "block-invalid"), ("image", "no-page-image")]
    assert [(region.label, region.text, region.box) for region in sample.regions] == [
        ("section header", "Results", (20, 20, 120, 40)),
        ("text", "We found 3.", (20, 60, 180, 120)),
        ("table", None, (20, 160, 180, 360)),
    ]
    assert (sample.id, sample.task) == ("test/a/1", "layout")
    assert text_of(sample)[1].startswith("There is a section header [")


def test_pictures_of_pages_as_files(tmp_path, photo):
    photo("a_artifacts/page_1.png", 100, 200)
    image = embedded(1, 1) | {"uri": "a_artifacts/page_1.png"}
    pages = {"1": {"page_no": 1, "size": {"width": 100, "height": 200}, "image": image}}
    (tmp_path / "a.json").write_text(json.dumps(document(pages=pages)))
    (sample,) = Run("docling", tmp_path / "a.json").samples
    assert sample.regions[0].box == (10, 10, 60, 20)


@pytest.mark.parametrize("image", [None, {"uri": ""}, {"uri": None}, "a.png"])
def test_a_page_without_picture_says_so(tmp_path, image):
    pages = {"1": {"page_no": 1, "size": {"width": 100, "height": 200}, "image": image}}
    (tmp_path / "a.json").write_text(json.dumps(document(pages=pages)))
    assert Run("docling", tmp_path).rules() == [("image", "no-page-image")]


def test_damaged_files_and_pictures_cost_themselves(tmp_path):
    image = embedded(1, 1) | {"uri": "data:image/png;base64,!!"}
    pages = {"1": {"page_no": 1, "size": {"width": 100, "height": 200}, "image": image},
             "2": {"page_no": 2, "size": 3, "image": image}}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(document(pages=pages)))
    (tmp_path / "b.json").write_text('{"pages": ')
    found = Run("docling", tmp_path)
    rules = [
        ("region", "block-invalid"),
        ("image", "image-damaged"),
        ("image", "page-invalid"),
        ("file", "file-damaged"),
    ]
    assert (found.samples, found.rules()) == ([], rules)
