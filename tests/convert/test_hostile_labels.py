"""Whatever stands in a label file: a sample or a reject, never another exception, and every record is accounted for."""

import contextlib
import json
import struct
import zlib
from pathlib import Path

import pytest
from converting import Run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_hostile_annotations import VALUES, entry

from sphinx_data.convert._mat import arrays
from sphinx_data.errors import InputError

LOOSE = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MAT = Path(__file__).parents[1] / "data" / "total_text" / "gt" / "poly_gt_img2.mat"
NUMBERS = st.integers(-5, 60) | st.floats(width=32) | st.sampled_from(["", "a", " 7 ", "nan", "1e999"])
ROW = st.lists(NUMBERS, min_size=3, max_size=33).map(lambda row: ",".join(map(str, row)))
LINE = st.builds(lambda row, text: f"{row},{text}", ROW, st.text(max_size=9)) | st.text(max_size=20) | ROW
FOLDERS = {
    "icdar": "gt_a.txt", "ctw1500": "a1.txt", "total_text": "gt_a.txt", "docbank": "a.txt", "sroie": "a.csv",
    "mmocr": "m.txt", "wildreceipt": "w.txt", "funsd": "a.json", "cord": "a.json", "pubtabnet": "p.jsonl",
    "omnidocbench": "o.json", "rects": "a.json", "icdar_words": "gt.txt",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "a1.png"):
        Image.new("RGB", (40, 30)).save(tmp_path / name)
    return tmp_path


def levels(found: Run, *names: str) -> int:
    return sum(reject.level in names for reject in found.rejects)


@LOOSE
@given(st.lists(LINE, max_size=4))
@pytest.mark.parametrize("name", ["icdar", "ctw1500", "docbank", "total_text", "sroie"])
def test_any_lines(folder, name, lines):
    file = folder / FOLDERS[name]
    file.write_text("\n".join(lines), "utf-8", errors="replace")
    found = Run(name, file)
    assert len(found.samples) + levels(found, "image", "file") == 1
    if name in ("icdar", "sroie") and found.samples:
        written = [
            line for line in file.read_text("utf-8").replace("\r", "\n").split("\n") if line.strip("\ufeff \t\0")
        ]
        assert len(found.samples[0].regions) + levels(found, "region") == len(written)


@LOOSE
@given(st.binary(max_size=200))
@pytest.mark.parametrize("name", FOLDERS)
def test_any_bytes(folder, name, data):
    file = folder / FOLDERS[name]
    file.write_bytes(data)
    try:
        found = Run(name, file)
    except InputError as error:
        message = str(error)
    else:
        message = ""
        assert not found.samples or name in ("icdar", "ctw1500", "sroie", "docbank", "mmocr", "icdar_words")
    assert "\n" not in message


@LOOSE
@given(st.binary(max_size=120), st.integers(0, 560), st.booleans())
def test_any_mat_file(folder, noise, place, packed):
    whole = bytearray(MAT.read_bytes())
    whole[place : place + len(noise)] = noise
    if packed:
        body = zlib.compress(noise)
        whole = bytearray(MAT.read_bytes()[:128] + struct.pack("<II", 15, len(body)) + body)
    with contextlib.suppress(ValueError):
        assert isinstance(arrays(bytes(whole)), dict)
    (folder / "gt_a.mat").write_bytes(bytes(whole))
    found = Run("total_text", folder / "gt_a.mat")
    assert len(found.samples) + levels(found, "image", "file") == 1


INSTANCE = entry({"polygon": [1, 1, 20, 1, 20, 20], "bbox": [1, 1, 20, 20], "text": "x", "ignore": False},
                 ["polygon", "bbox", "text", "ignore"])  # fmt: skip
PICTURE = entry({"img_path": "a.png", "width": 40, "height": 30}, ["img_path", "width", "height", "filename"])
WORD = entry({"box": [1, 1, 20, 1, 20, 9, 1, 9], "text": "x", "label": 23}, ["box", "text", "label"])
BLOCK = entry({"category_type": "text_block", "poly": [1, 1, 20, 1, 20, 9, 1, 9], "order": 1, "text": "x"},
              ["category_type", "poly", "order", "text", "html", "latex", "ignore", "anno_id"])  # fmt: skip
PAGE = entry({"image_path": "a.png"}, ["image_path", "width", "height", "page_attribute"])
FIELD = entry({"id": 1, "text": "x", "box": [1, 1, 20, 9], "label": "question", "linking": [[1, 2]]},
              ["id", "text", "box", "label", "linking"])  # fmt: skip
TOKENS = entry(
    {"words": [{"text": "x", "quad": {}, "is_key": 0}], "category": "total.total_price"}, ["words", "category"]
)
CELL = entry({"tokens": ["a"], "bbox": [1, 1, 20, 9]}, ["tokens", "bbox"])
TAGS = ["<tr>", "<td>", "</td>", "</tr>", "<td", ' colspan="2"', ">", "<table>"]
STRUCTURE = st.lists(st.sampled_from(TAGS), max_size=9)


@LOOSE
@given(PICTURE, st.lists(INSTANCE | VALUES, max_size=3) | VALUES)
def test_mmocr(folder, picture, instances):
    file = folder / "m.json"
    file.write_text(json.dumps({"data_list": [picture | {"instances": instances}, 7]}))
    found = Run("mmocr", file)
    assert len(found.samples) + levels(found, "image", "record") == 2


@LOOSE
@given(PICTURE, st.lists(WORD | VALUES, max_size=3) | VALUES)
def test_wildreceipt(folder, picture, annotations):
    file = folder / "w.txt"
    record = {"file_name": "a.png"} | picture | {"annotations": annotations}
    file.write_text(json.dumps(record) + "\n" + json.dumps({"file_name": 1}))
    found = Run("wildreceipt", file)
    assert len(found.samples) + levels(found, "image", "record") == 2


@LOOSE
@given(PAGE | VALUES, st.lists(BLOCK | VALUES, max_size=3) | VALUES, VALUES)
def test_omnidocbench(folder, page, blocks, extra):
    file = folder / "o.json"
    file.write_text(json.dumps([{"layout_dets": blocks, "page_info": page, "extra": extra}]))
    found = Run("omnidocbench", file)
    assert len(found.samples) + levels(found, "image", "record") == 1


@LOOSE
@given(st.lists(FIELD | VALUES, max_size=4) | VALUES)
def test_funsd(folder, form):
    (folder / "a.json").write_text(json.dumps({"form": form}))
    found = Run("funsd", folder / "a.json")
    assert len(found.samples) + levels(found, "image", "record", "file") == 1
    if found.samples and isinstance(form, list):
        assert len(found.samples[0].regions) + levels(found, "region") == len(form)


@LOOSE
@given(st.lists(TOKENS | VALUES, max_size=3) | VALUES, VALUES, VALUES)
def test_cord(folder, lines, parse, meta):
    truth = json.dumps({"valid_line": lines, "gt_parse": parse, "meta": meta})
    (folder / "m.jsonl").write_text(json.dumps({"file_name": "a.png", "ground_truth": truth}))
    found = Run("cord", folder / "m.jsonl")
    assert len(found.samples) + levels(found, "image", "record") == 1


@LOOSE
@given(
    STRUCTURE | VALUES, st.lists(CELL | VALUES, max_size=3) | VALUES, st.sampled_from(["either", "html", "markdown"])
)
def test_pubtabnet(folder, structure, cells, form):
    row = {"filename": "a.png", "html": {"structure": {"tokens": structure}, "cells": cells}}
    (folder / "p.jsonl").write_text(json.dumps(row))
    found = Run("pubtabnet", folder / "p.jsonl", form=form)
    assert len(found.samples) + levels(found, "image", "record") == 1


@LOOSE
@given(
    st.lists(st.sampled_from(["0 a basic", "1 a basic", "a.png 0", "7 a basic", "x"]) | st.text(max_size=9), max_size=4)
)
def test_im2latex(folder, rows):
    rows = [row for row in rows if row.split() == row.strip().split()]
    (folder / "formulas.lst").write_bytes(b"x\n\xff\xfe")
    (folder / "train.lst").write_text("\n".join(rows), "utf-8", errors="replace", newline="\n")
    found = Run("im2latex", folder / "train.lst")
    assert len(found.samples) + len(found.rejects) == len(found.records)
