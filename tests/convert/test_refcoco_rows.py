"""Tables of referring expressions, after the columns that their publishers describe; no published table was at hand."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from converting import Run, text_of
from PIL import Image

from sphinx_data.convert import Inputs
from sphinx_data.convert._recognise import recognise
from sphinx_data.errors import InputError


def picture(color: str) -> dict:
    out = io.BytesIO()
    Image.new("RGB", (80, 60), color).save(out, "PNG")
    return {"bytes": out.getvalue(), "path": None}


def lmms(path, rows: list[tuple]) -> None:
    """(color, number of the picture, sentences, box)"""
    table = pa.table({
        "question_id": [str(number) for number in range(len(rows))],
        "image": [picture(color) for color, *_ in rows],
        "question": ["Please carefully observe the area"] * len(rows),
        "answer": [sentences for _, _, sentences, _ in rows],
        "segmentation": pa.array([[x, y, x + w, y, x + w, y + h] for *_, (x, y, w, h) in rows], pa.list_(pa.float32())),
        "bbox": pa.array([box for *_, box in rows], pa.list_(pa.float32())),
        "iscrowd": pa.array([0] * len(rows), pa.int8()),
        "file_name": [f"COCO_train2014_{number:012d}_{place}.jpg" for place, (_, number, *_) in enumerate(rows)],
    })  # fmt: skip
    pq.write_table(table, path, row_group_size=2)


def test_rows_that_hold_their_picture(tmp_path):
    lmms(tmp_path / "val-00000-of-00001.parquet", [
        ("red", 1, ["left man", "man in hat"], (1.1, 2.2, 10.3, 20.4)),
        ("blue", 2, ["the dog"], (30, 30, 20, 20)),
        ("red", 1, ["right man", "man in hat"], (40, 2, 10, 20)),
        ("red", 3, [], (40, 2, 10, 20)),
    ])  # fmt: skip
    assert recognise(Inputs((str(tmp_path),))) == "refcoco_rows"
    found = Run("refcoco_rows", tmp_path)
    assert found.rules() == [("turn", "ambiguous"), ("turn", "ambiguous"), ("record", "no-sentence")]
    rec, reg, dog, _ = found.built
    assert [b.sample.id for b in found.built] == [
        f"test/COCO_train2014_{number:012d}/{task}" for number in (1, 2) for task in ("rec", "reg")
    ]
    assert [region.box for region in rec.sample.regions] == [(1.1, 2.2, 11.4, 22.6), (40, 2, 50, 22)]
    assert "left man" in text_of(rec.sample)[0]
    assert text_of(rec.sample)[1] == "[0.01, 0.15, 0.14, 0.41]"
    assert text_of(reg.sample)[1] in ("left man", "man in hat")
    assert {b.sample.split for b in found.built} == {"val"}
    assert rec.media == reg.media == (picture("red")["bytes"],)
    assert dog.media == (picture("blue")["bytes"],)


def test_rows_that_name_their_picture(tmp_path):
    (tmp_path / "train2014").mkdir()
    name = "COCO_train2014_000000000007.jpg"
    Image.new("RGB", (80, 60)).save(tmp_path / "train2014" / name)
    row = {
        "sent_ids": [1, 2], "file_name": name.replace(".jpg", "_3.jpg"), "ann_id": 3, "ref_id": 9, "image_id": 7,
        "split": "train", "category_id": 1, "bbox": [5.0, 5.0, 25.0, 15.0],
        "sentences": [{"raw": "The cup.", "sent": "the cup", "sent_id": 1, "tokens": ["the", "cup"]}],
        "raw_anns": json.dumps({"id": 3, "image_id": 7, "bbox": [5, 5, 20, 10], "category_id": 1, "area": 200}),
        "raw_image_info": json.dumps({"id": 7, "file_name": name, "width": 80, "height": 60}),
        "raw_sentences": "[]", "image_path": f"coco/train2014/{name}", "captions": ["the cup"],
        "global_image_id": "coco.7", "anns_id": "3",
    }  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "train.parquet")
    assert recognise(Inputs((str(tmp_path / "train.parquet"),))) == "refcoco_rows"
    found = Run("refcoco_rows", tmp_path / "train.parquet", images=tmp_path, task="rec")
    (sample,) = found.samples
    assert (found.rejects, [region.box for region in sample.regions]) == ([], [(5, 5, 25, 15)])
    (tmp_path / "train2014" / name).unlink()
    missing = Run("refcoco_rows", tmp_path / "train.parquet", images=tmp_path, task="rec")
    assert missing.rules() == [("image", "image-missing")]


def test_another_table_is_refused(tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="neither the columns"):
        Run("refcoco_rows", tmp_path / "a.parquet")
