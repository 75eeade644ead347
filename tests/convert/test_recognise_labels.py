"""Files of text, receipts, forms, tables and pages are known by what is in them, and no others are taken for them."""

import json
from pathlib import Path

import pytest

from sphinx_data.convert import Inputs, load
from sphinx_data.convert._recognise import Glimpse, recognise
from sphinx_data.errors import InputError, UsageError

DATA = Path(__file__).parents[1] / "data"
SHARED = Path(__file__).parents[3] / "shared" / "data"
OURS = (
    "cord", "ctw1500", "docbank", "funsd", "icdar", "im2latex", "mmocr", "omnidocbench", "pubtabnet", "sroie",
    "total_text", "wildreceipt",
)  # fmt: skip
EXCERPTS = {
    "im2latex": "im2latex", "im2latex/train.lst": "im2latex", "mmocr/labels.json": "mmocr",
    "mmocr/old_label.jsonl": "mmocr", "mmocr/old_label.txt": "mmocr", "mmocr/textdet_test.json": "mmocr",
    "omnidocbench": "omnidocbench", "omnidocbench/MDPBench_demo.json": "omnidocbench", "pubtabnet": "pubtabnet",
    "pubtabnet/PubTabNet_Examples.jsonl": "pubtabnet", "sroie": "sroie", "sroie/box": "sroie", "sroie/key": "sroie",
    "sroie/key/019.json": "sroie", "total_text": "total_text", "total_text/gt/poly_gt_img3.mat": "total_text",
    "wildreceipt": "wildreceipt", "wildreceipt/data.txt": "wildreceipt",
}  # fmt: skip
REAL = {
    "im2latex": "im2latex", "im2latex/train.lst": "im2latex", "mdpbench": "omnidocbench",
    "mdpbench/MDPBench_demo.json": "omnidocbench", "mmocr/det_toy_dataset/textdet_test.json": "mmocr",
    "mmocr/kie_toy_dataset/wildreceipt": "wildreceipt", "mmocr/kie_toy_dataset/wildreceipt/data.txt": "wildreceipt",
    "mmocr/rec_toy_dataset/labels.json": "mmocr", "mmocr/rec_toy_dataset/old_label.jsonl": "mmocr",
    "mmocr/rec_toy_dataset/old_label.txt": "mmocr", "pubtabnet": "pubtabnet", "sroie": "sroie", "sroie/box": "sroie",
    "sroie/box/000.csv": "sroie", "sroie/key/000.json": "sroie", "total_text": "total_text",
    "total_text/T3_Example": "total_text", "total_text/Evaluation_Examples/Groundtruth": "total_text",
}  # fmt: skip
RING = ",".join(["10,5,14,4,18,4,22,4"] * 3 + ["1,1,2,2"])
TOKEN = "A\t1\t2\t3\t4\t0\t0\t0\tCMR10\ttitle\n"
# Made after the published descriptions.
WRITTEN = {
    "gt_img_1.txt": ("1,2,3,4,5,6,7,8,A, B\n1,2,3,4,5,6,7,8,###\n", "icdar"),
    "gt_100.txt": ('38 43 60 55 "Tiredness"\n', "icdar"),
    "gt_img_2.txt": ("1,2,3,4,5,6,7,8,Latin,A\n", "icdar"),
    "art_labels.json": (json.dumps({"gt_0": [{"points": [[1, 2]], "transcription": "a"}], "gt_1": []}), "icdar"),
    "0001001.txt": (f"{RING},####A, B\n", "ctw1500"),
    "1001.txt": (f"{RING},1,2,3,4\n", "ctw1500"),
    "0001.xml": (f"<Annotations><image><box><segs>{RING}</segs></box></image></Annotations>", "ctw1500"),
    "poly_gt_img1.txt": ("x: [[1 2 2]], y: [[1 1 2]], ornt: [u'h'], transcriptions: [u'a']\n", "total_text"),
    "a_0.txt": (TOKEN, "docbank"),
    "form.json": (json.dumps({"form": [{"id": 0, "text": "a", "box": [1, 1, 2, 2], "linking": []}]}), "funsd"),
    "zh.train.json": (json.dumps({"lang": "zh", "documents": [{"id": 1, "document": [], "img": {}}]}), "funsd"),
    "metadata.jsonl": (json.dumps({"file_name": "a.png", "ground_truth": '{"gt_parse": {}}'}), "cord"),
    "receipt.json": (json.dumps({"meta": {}, "valid_line": [], "roi": {}}), "cord"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "expected"), EXCERPTS.items())
def test_excerpts(name, expected):
    assert recognise(Inputs((str(DATA / name),))) == expected


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the developers' real data")
@pytest.mark.parametrize(("name", "expected"), REAL.items())
def test_real_files(name, expected):
    assert recognise(Inputs((str(SHARED / name),))) == expected


@pytest.mark.parametrize(("name", "expected"), [(name, expected) for name, (_, expected) in WRITTEN.items()])
def test_written_files_and_their_folders(tmp_path, name, expected):
    (tmp_path / name).write_text(WRITTEN[name][0])
    assert recognise(Inputs((str(tmp_path / name),))) == expected
    if name != "art_labels.json":  # a file of its own
        assert recognise(Inputs((str(tmp_path),))) == expected


def _places(root: Path, ours: set[str]) -> list[Path]:
    binary = (".jpg", ".jpeg", ".png", ".pdf")
    found = [path for path in root.rglob("*") if path.suffix.lower() not in binary]
    return [path for path in found if path.relative_to(root).parts[0] not in ours]


def test_no_other_file_is_taken_for_one_of_these():
    others = _places(DATA, {name.split("/")[0] for name in EXCERPTS})
    others += _places(SHARED, {name.split("/")[0] for name in REAL})
    taken = []
    for path in others:
        glimpse = Glimpse(Inputs((str(path),)))
        for name in OURS:
            try:
                taken += [(name, path)] if load(name).recognise(glimpse) else []
            except InputError:
                continue
    assert len(others) > 20
    assert taken == []


def test_a_folder_of_several_sets_is_none_of_them(tmp_path):
    place = tmp_path / "toys" / "receipts" / "wildreceipt"
    place.mkdir(parents=True)
    box = {"box": [1, 1, 5, 1, 5, 5, 1, 5], "text": "A", "label": 1}
    (place / "data.txt").write_text(json.dumps({"file_name": "a.jpg", "height": 9, "width": 9, "annotations": [box]}))
    (place / "class_list.txt").write_text("0 Ignore\n1 Store_name_value\n")
    for folder in (place, place.parent):
        assert recognise(Inputs((str(folder),))) == "wildreceipt"
    with pytest.raises(UsageError):
        recognise(Inputs((str(tmp_path / "toys"),)))
