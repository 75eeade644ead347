"""Variants of formats that published files have, found by converting them."""

import gzip
import io
import json

import pytest
from converting import Run, text_of
from PIL import Image

from sphinx_data.convert import Inputs, labelme
from sphinx_data.convert._recognise import recognise
from sphinx_data.errors import InputError, UsageError


@pytest.fixture
def picture():
    out = io.BytesIO()
    Image.new("RGB", (40, 20)).save(out, "PNG")
    return out.getvalue()


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def asked(text="What?", answer="That."):
    return [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]


def test_parts_with_a_value(tmp_path, picture):
    (tmp_path / "a.png").write_bytes(picture)
    question = [{"type": "image_url", "value": "a.png"}, {"type": "text", "value": "Who?"}]
    first = {"role": "assistant", "content": [{"type": "text", "value": "Nobody."}], "loss_weight": 0.0}
    last = {"role": "assistant", "content": "Sure.", "loss_weight": 1.0}
    turns = [{"role": "user", "content": question}, first, {"role": "user", "content": "Sure?"}, last]
    (built,) = Run("messages", lines(tmp_path / "a.jsonl", {"messages": turns})).samples
    assert text_of(built) == ["<i0>Who?", "Nobody.", "Sure?", "Sure."]
    assert [message.supervise for message in built.messages if message.role == "assistant"] == [False, True]


def test_an_undesired_answer_is_not_learnt(tmp_path):
    rows = [{"messages": asked(), "label": wanted} for wanted in (True, False)]
    found = Run("messages", lines(tmp_path / "kto.jsonl", *rows))
    assert len(found.samples) == 1
    assert found.rules() == [("record", "not-desired")]


@pytest.mark.parametrize("name", ["audios", "videos"])
def test_sound_and_film_are_not_lost_silently(tmp_path, name):
    found = Run("messages", lines(tmp_path / "a.jsonl", {"messages": asked(f"<{name[:-1]}>What?"), name: ["1.mp4"]}))
    assert found.rules() == [("record", "media-unsupported")]
    assert not found.samples


def test_darknet_as_cvat_exports_it(tmp_path, picture):
    (tmp_path / "obj.data").write_text(
        "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n"
    )
    (tmp_path / "obj.names").write_text("cat\ndog\n")
    (tmp_path / "train.txt").write_text("data/obj_train_data/1.png\n")
    (tmp_path / "obj_train_data").mkdir()
    (tmp_path / "obj_train_data" / "1.png").write_bytes(picture)
    (tmp_path / "obj_train_data" / "1.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    for place in (tmp_path, tmp_path / "obj.data"):
        assert recognise(Inputs((str(place),))) == "yolo"
        found = Run("yolo", place)
        assert not found.rejects
        assert found.samples[0].regions[0].label == "dog"
        assert found.samples[0].regions[0].box == (10.0, 5.0, 30.0, 15.0)
    (tmp_path / "obj.names").unlink()
    with pytest.raises(InputError, match=r"obj\.names"):
        Run("yolo", tmp_path / "obj.data")


@pytest.mark.parametrize("entry", [["images/train/1.png"], "list.txt"])
def test_lists_of_yolo_pictures(tmp_path, picture, entry):
    for kind in ("images", "labels"):
        (tmp_path / kind / "train").mkdir(parents=True)
    (tmp_path / "images" / "train" / "1.png").write_bytes(picture)
    (tmp_path / "labels" / "train" / "1.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "list.txt").write_text("data/images/train/1.png\n")
    (tmp_path / "data.yaml").write_text(json.dumps({"path": ".", "train": entry, "names": ["cat"]}))
    found = Run("yolo", tmp_path)
    assert len(found.samples) == 1
    assert not found.rejects


def test_a_folder_of_pictures_is_no_class(tmp_path, picture):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(picture)
    (tmp_path / "SegmentationClass").mkdir()
    (tmp_path / "SegmentationClass" / "1.png").write_bytes(picture)
    with pytest.raises(UsageError, match="no known format"):
        recognise(Inputs((str(tmp_path),)))
    (tmp_path / "images").rename(tmp_path / "cat")
    (tmp_path / "SegmentationClass").rename(tmp_path / "dog")
    assert recognise(Inputs((str(tmp_path),))) == "imagefolder"
    (tmp_path / "dog").rename(tmp_path / "train")
    with pytest.raises(UsageError, match="no known format"):
        recognise(Inputs((str(tmp_path),)))
    (tmp_path / "cat").rename(tmp_path / "test")
    with pytest.raises(UsageError, match="no known format"):
        recognise(Inputs((str(tmp_path),)))
    for split in ("train", "test"):
        (tmp_path / split / "cat").mkdir()
        (tmp_path / split / "1.png").rename(tmp_path / split / "cat" / "1.png")
    with pytest.raises(UsageError, match="which are no classes; give one of them"):
        Run(recognise(Inputs((str(tmp_path),))), tmp_path)


def test_lists_of_classes_are_no_text(tmp_path, picture):
    (tmp_path / "a.png").write_bytes(picture)
    for name, text in (
        ("val.txt", "a.png 65\n"),
        ("ann.json", '{"metainfo": {}, "data_list": [{"img_path": "a.png"}]}'),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError, match="no known format"):
            recognise(Inputs((str(tmp_path / name),)))
    (tmp_path / "label.txt").write_text("a.png 65\na.png STOP\n")
    assert recognise(Inputs((str(tmp_path / "label.txt"),))) == "mmocr"


def test_a_folder_around_a_coco_file(tmp_path, picture):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.png").write_bytes(picture)
    boxes = {"image_id": 1, "category_id": 1, "id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0}
    image = {"id": 1, "file_name": "a.png", "width": 40, "height": 20}
    file = tmp_path / "train" / "_annotations.coco.json"
    file.write_text(json.dumps({"images": [image], "annotations": [boxes], "categories": [{"id": 1, "name": "cat"}]}))
    with pytest.raises(UsageError, match=r"give one of its files, train/_annotations\.coco\.json \(coco\)"):
        recognise(Inputs((str(tmp_path),)))
    with pytest.raises(InputError, match="is a folder; give the file of annotations"):
        Run("coco", tmp_path)
    assert len(Run("coco", file).samples) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (json.dumps({f"v{number}": {"a": 1} for number in range(900)}).encode(), r"JSON, 900 members with a\)"),
        (json.dumps({f"k{number:03}": number for number in range(30)}).encode(), "k007 and 22 more"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a picture, not its annotations"),
        ("x".encode("utf-16"), "save it as UTF-8"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b"", "an empty file"),
        (b"\0\1\2\3" * 9, "neither text, JSON nor a table"),
    ],
)
def test_what_is_said_of_an_unknown_file(tmp_path, content, said):
    file = tmp_path / "thing.json"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=said) as caught:
        recognise(Inputs((str(file),)))
    assert len(str(caught.value)) < 300


def test_textcaps(tmp_path, picture):
    (tmp_path / "train_images").mkdir()
    (tmp_path / "train_images" / "caef.jpg").write_bytes(picture)
    said = ["A book about CEOs is on a box.", "a book called CEO"]
    data = [{"image_id": "caef", "caption_id": number, "caption_str": text} for number, text in enumerate(said)]
    file = tmp_path / "TextCaps_0.1_val.json"
    file.write_text(json.dumps({"dataset_type": "val", "dataset_name": "textcaps", "data": [*data, {"image_id": 3}]}))
    assert recognise(Inputs((str(file),))) == "captions"
    found = Run("captions", file)
    assert found.rules() == [("record", "image-entry-invalid")]
    assert text_of(found.samples[0])[1::2] == said
    assert found.samples[0].license == "CC-BY-4.0"


@pytest.mark.parametrize("name", ["a.json.gz", "a.token.gz"])
def test_packed_captions(tmp_path, picture, name):
    (tmp_path / "a.jpg").write_bytes(picture)
    coco = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "caption": "A box."}]}
    text = json.dumps(coco) if "json" in name else "a.jpg#0\tA box.\n"
    (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    assert text_of(Run("captions", tmp_path / name).samples[0])[1] == "A box."


def test_tables_lie_around_the_file(tmp_path):
    for folder in ("data", "csv/204-csv", "tokenized_data", "data/all_csv"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "csv/204-csv/1.csv").write_text('"Year","City"\n"1896","Athens"\n')
    (tmp_path / "data/training.tsv").write_text(
        "id\tutterance\tcontext\ttargetValue\nnt-0\twhere?\tcsv/204-csv/1.csv\tAthens\n"
    )
    (tmp_path / "data/all_csv/1.html.csv").write_text("year#city\n1896#athens\n")
    statements = {"1.html.csv": [["athens be first"], [1], "games"]}
    (tmp_path / "tokenized_data/test_examples.json").write_text(json.dumps(statements))
    for name, file in (("wtq", "data/training.tsv"), ("tabfact", "tokenized_data/test_examples.json")):
        found = Run(name, tmp_path / file)
        assert not found.rejects
        assert "1896" in text_of(found.samples[0])[0]


@pytest.mark.parametrize("name", ["cord", "evol_code", "image_parquet", "mmocr", "omnidocbench", "wildreceipt"])
def test_rows_of_another_format(tmp_path, name):
    row = {
        "image": "a.jpg",
        "images": ["a.jpg"],
        "question": "Is it?",
        "answer": "yes",
        "instruction": "a",
        "output": "b",
    }
    found = Run(name, lines(tmp_path / "a.jsonl", row))
    assert not found.samples
    assert len(found.rejects) == 1


@pytest.mark.parametrize(("content", "said"), [(b"", "is empty"), ("{}".encode("utf-16"), "save it as UTF-8")])
def test_empty_and_utf16_files(tmp_path, content, said):
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(InputError, match=said):
        Run("docvqa", file)


def test_what_labelme_ignores_is_no_object(tmp_path, picture):
    (tmp_path / "a.png").write_bytes(picture)
    corners = [[1, 1], [9, 9]]
    shapes = [{"label": label, "shape_type": "rectangle", "points": corners} for label in ("cat", "__ignore__")]
    said = {"imagePath": "a.png", "imageData": None, "imageWidth": 40, "imageHeight": 20, "shapes": shapes}
    (tmp_path / "a.json").write_text(json.dumps(said))
    found = Run("labelme", tmp_path)
    assert found.rules() == [("region", "ignored")]
    assert [region.label for region in found.samples[0].regions] == ["cat"]
    assert list(labelme.class_names(Inputs((str(tmp_path),)))) == ["cat"]
