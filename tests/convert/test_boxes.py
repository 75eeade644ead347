"""Formats of boxes, masks, key points and layout: answers, counts and reasons. Grounding: test_grounding.py."""

import base64
import io
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from converting import text_of
from PIL import Image

from sphinx_data import convert, rle
from sphinx_data.convert import Inputs
from sphinx_data.dialects import DIALECTS, Geometry
from sphinx_data.errors import InputError, UsageError
from sphinx_data.sample import RegionPart

DATA = Path(__file__).parents[1] / "data"
SHARED = Path(__file__).parents[3] / "shared" / "data"
shared = pytest.mark.skipif(not SHARED.exists(), reason="the shared files are not here")


def answered(sample) -> int:
    return sum(len(p.regions) for m in sample.messages for p in m.content if isinstance(p, RegionPart))


def coco(*annotations, names=("cup", "person", "dog"), image=(), **more) -> dict:
    """A file of one picture, a.jpg of 80x60."""
    numbered = [{"id": n, "image_id": 7, "category_id": 1} | a for n, a in enumerate(annotations)]
    entry = {"id": 7, "file_name": "a.jpg", "width": 80, "height": 60} | dict(image)
    categories = [name if isinstance(name, dict) else {"name": name} for name in names]
    listed = [{"id": n} | category for n, category in enumerate(categories, 1)]
    return {"images": [entry], "annotations": numbered, "categories": listed} | more


BOX = {"bbox": [10, 10, 20, 20]}
OTHER = {"bbox": [40, 10, 20, 20]}


# --- COCO: wording, layout, pose, LVIS ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotations", "options", "asked"),
    [
        ([BOX], {}, "every object|all objects|objects are in"),
        ([BOX, OTHER | {"category_id": 2}], {"max_objects": 1}, "all|the"),
        ([BOX, OTHER | {"iscrowd": 1}], {}, r"(Detect|Find|Locate|Look for) cups"),
        ([BOX, OTHER | {"category_id": 2, "iscrowd": 1}], {}, "(all|the) cups"),
    ],
)
def test_a_question_promises_no_more_than_the_annotation_holds(run, photo, write_json, annotations, options, asked):
    import re

    photo()
    file = write_json(coco(*annotations))
    for source in "abcdefghij":  # other wordings
        question = text_of(run("coco", file, source=source, **options).samples[0])[0]
        assert re.search(asked, question), question
        if "every" not in asked:
            assert "every object" not in question
            assert "all objects" not in question


@pytest.mark.parametrize(
    ("classes", "labels", "answer", "rules"),
    [
        ({"cup": "glass"}, {"glass", "person"}, "two glasses [", []),
        ({"cup": "thing", "person": "thing"}, {"thing"}, "three things [", []),
        ({"cup": None}, {"person"}, "a person [", ["class-left-out"] * 2),
        ({"cup": None, "person": None}, set(), "", ["class-left-out"] * 3 + ["no-objects"]),
    ],
)
def test_classes_get_other_names_or_are_left_out(run, photo, write_json, classes, labels, answer, rules):
    photo()
    place = write_json(coco(BOX, OTHER, {"bbox": [60, 10, 10, 20], "category_id": 2}))
    found = run("coco", place, classes=classes)
    assert [reject.rule for reject in found.rejects] == rules
    assert {region.label for sample in found.samples for region in sample.regions} == labels
    for sample in found.samples:
        question, said = text_of(sample)
        assert answer in said
        assert ("object" in question) == (None not in classes.values())


def test_classes_left_out_are_not_said_to_be_missing(run, photo, tmp_path):
    photo("set/train/images/a.jpg")
    yaml = {"names": ["cone", "cube", "ball"], "train": "train/images"}
    (tmp_path / "set" / "data.yaml").write_text(json.dumps(yaml))
    (tmp_path / "set" / "train" / "labels").mkdir()
    (tmp_path / "set" / "train" / "labels" / "a.txt").write_text("")
    (sample,) = run("yolo", tmp_path / "set", classes={"cone": None, "ball": "sphere"}).samples
    assert text_of(sample)[1] == "There are no cubes or spheres in the image."


def test_lvis_never_counts_what_is_not_exhaustive(run, photo, write_json):
    photo()
    image = {"neg_category_ids": [3], "not_exhaustive_category_ids": [1]}
    people = [{"bbox": [x, 40, 10, 10], "category_id": 2} for x in (1, 20)]
    (sample,) = run("coco", write_json(coco(BOX, OTHER, *people, image=image))).samples
    question, answer = text_of(sample)
    assert "There are two people [" in answer
    assert "cups [" in answer
    assert "two cups" not in answer
    assert "all" not in question


def test_lvis_asks_for_classes_by_name(run, photo, write_json):
    photo()
    file = write_json(coco(BOX, image={"neg_category_ids": [], "not_exhaustive_category_ids": []}))
    for source in "abcdef":
        assert "cups" in text_of(run("coco", file, source=source).samples[0])[0]


def test_titles_become_words(run, photo, write_json):
    photo()
    file = write_json(coco(BOX, OTHER, names=("Cabinet/shelf", "Street Lights", "American Football")))
    (sample,) = run("coco", file).samples
    assert text_of(sample)[1].startswith("There are two cabinets/shelves [")
    module = convert.load("coco")
    assert list(module.class_names(Inputs((str(file),)))) == ["cabinet/shelf", "street lights", "American football"]


def test_pictures_of_objects365_are_found_by_their_patch(run, photo, write_json):
    photo("patch8/objects365_v1_1.jpg")
    file = write_json(coco(BOX, image={"file_name": "images/v1/patch8/objects365_v1_1.jpg"}))
    assert len(run("coco", file).samples) == 1


@pytest.mark.parametrize(
    "names",
    [
        ("text", "title", "list", "table", "figure"),  # PubLayNet
        ("Caption", "Footnote", "Formula", "List-item", "Picture", "Section-header", "Table", "Text", "Title"),
        ("DocTitle", "ParaTitle", "ParaText", "ListText", "Table", "Figure"),  # D4LA
        ("QR code", "chapter title", "paragraph", "table", "figure"),  # M6Doc
    ],
)
def test_classes_of_documents_are_asked_as_layout(run, photo, write_json, names):
    photo()
    file = coco(*({"bbox": [5, y, 60, 8]} for y in (20, 2)), OTHER | {"category_id": 2}, names=names)
    (sample,) = run("coco", write_json(file)).samples
    assert sample.task == "layout"
    first = sample.regions[0].label
    assert first == first.lower()
    assert text_of(sample)[1].startswith(f"There are two {first} [0.06, 0.15, 0.81, 0.25; 0.06, 0.38, 0.81, 0.48] and ")
    assert run("coco", write_json(file), task="detection").samples[0].task == "detection"


def test_layout_in_the_papers_form(run, photo, write_json):
    photo()
    kinds = (1, 1, 2, 3)
    boxes = [{"bbox": [5, 2 + 12 * n, 60, 8], "category_id": kind} for n, kind in enumerate(kinds)]
    file = write_json(coco(*boxes, names=("text", "title", "figure", "table")))
    (sample,) = run("coco", file, source="z").samples
    answer = text_of(sample)[1]
    assert answer == (
        "There are two text [0.06, 0.15, 0.81, 0.25; 0.06, 0.30, 0.81, 0.40], title [0.06, 0.45, 0.81, 0.55], "
        "and figure [0.06, 0.60, 0.81, 0.70] in the image."
    )
    questions = {text_of(run("coco", file, source=s).samples[0])[0] for s in "abcdefgh"}
    assert "<i0>Detect the layout of the document in the image." in questions


def pose(*points) -> dict:
    return {"keypoints": [v for point in points for v in point]}


def test_poses_in_the_papers_form(run, photo, write_json):
    photo()
    named = [{"name": "horse", "keypoints": ["nose", "tail"]}, {"name": "person", "keypoints": ["nose", "foot"]}]
    horse = BOX | pose((10, 12, 2), (20, 20, 1))
    people = [OTHER | {"category_id": 2} | pose((x, 12, 2), (0, 0, 0)) for x in (42, 44)]
    file = write_json(coco(horse, *people, names=named))
    (sample,) = run("coco_keypoints", file, source="z").samples
    assert sample.task == "pose"
    assert text_of(sample)[1] == (
        "The detected key points are horse keypoints [0.13, 0.28, 0.25, 0.38] "
        "and human keypoints [0.53, 0.28, 0.00, 0.00; 0.55, 0.28, 0.00, 0.00]."
    )
    assert "of the horse and people in" in text_of(sample)[0]
    assert sample.meta == {"keypoints": {"horse": ["nose", "tail"], "person": ["nose", "foot"]}} or sample.meta == {
        "keypoints": {"horse": ("nose", "tail"), "person": ("nose", "foot")}
    }
    assert run("coco", file).samples[0].task == "detection"


def test_instances_without_points_are_regions_and_rejects(run, photo, write_json):
    photo()
    named = [{"name": "person", "keypoints": ["nose"]}]
    file = write_json(coco(BOX | pose((12, 12, 2)), OTHER, names=named))
    found = run("coco_keypoints", file)
    assert found.rules() == [("region", "no-keypoints")]
    assert len(found.samples[0].regions) == 2
    assert "key points of people in" in text_of(found.samples[0])[0]


def test_poses_are_bounded_by_their_points(run, photo, write_json):
    photo()
    named = [{"name": "person", "keypoints": ["nose", "foot"]}]
    file = write_json(coco(*(BOX | pose((12, 12, 2), (13, 13, 2)) for _ in range(4)), names=named))
    assert run("coco_keypoints", file, max_objects=4).samples
    assert run("coco_keypoints", file, max_objects=3).rules()[-1] == ("image", "too-many-objects")


@shared
@pytest.mark.parametrize(
    ("file", "images", "annotations", "without"),
    [
        ("coco_keypoints/person_keypoints_val2017.json", "coco_keypoints/val2017", 4, 1),
        ("animal_keypoints/fly/test_fly.json", "animal_keypoints/fly", 2, 0),
        ("animal_keypoints/locust/test_locust.json", "animal_keypoints/locust", 2, 0),
    ],
)
def test_published_key_points_come_back(run, file, images, annotations, without):
    found = run("coco_keypoints", SHARED / file, images=SHARED / images)
    assert [rule for _, rule in found.rules()] == ["no-keypoints"] * without
    assert sum(map(answered, found.samples)) == annotations - without
    truth = {a["id"]: a for a in json.loads((SHARED / file).read_text())["annotations"]}
    flat = [np.reshape(a["keypoints"], (-1, 3)) for a in truth.values() if a["num_keypoints"]]
    for sample in found.samples:
        image = sample.images[0]
        for parsed in DIALECTS["sphinx"].parse(text_of(sample)[1], Geometry.padded(image.width, image.height)):
            points = np.array(parsed.keypoints)
            limit = max(image.width, image.height) / 200 + 0.5
            near = [
                np.abs(np.where(t[:, 2:] > 0, t[:, :2], 0) - points[:, :2]).max() for t in flat if len(t) == len(points)
            ]
            assert min(near) <= limit


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_results_of_a_model_are_refused(run, tmp_path, kind):
    (tmp_path / "results.json").write_text('[{"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2], "score": 0.9}]')
    with pytest.raises(InputError, match=r"results\.json: is a list of results of a model"):
        run("coco", tmp_path / "results.json")


# --- panoptic ----------------------------------------------------------------------------------------------------


def panoptic(tmp_path, photo, segments, **image) -> Path:
    photo()
    ids = np.zeros((60, 80), np.int64)
    ids[:30], ids[30:], ids[40:50, 10:20], ids[40:50, 40:50] = 300, 70000, 5, 6
    png = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
    (tmp_path / "pan").mkdir()
    Image.fromarray(png).save(tmp_path / "pan" / "a.png")
    categories = [
        {"id": 1, "name": "person", "isthing": 1}, {"id": 2, "name": "tree-merged", "isthing": 0},
        {"id": 3, "name": "grass-merged", "isthing": 0},
    ]  # fmt: skip
    value = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 80, "height": 60} | image],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": segments}], "categories": categories,
    }  # fmt: skip
    file = tmp_path / "pan.json"
    file.write_text(json.dumps(value))
    return file


SEGMENTS = [
    {"id": 300, "category_id": 2}, {"id": 70000, "category_id": 3}, {"id": 5, "category_id": 1},
    {"id": 6, "category_id": 1},
]  # fmt: skip


def test_things_and_stuff_are_masks(run, photo, tmp_path):
    (sample,) = run("coco_panoptic", panoptic(tmp_path, photo, SEGMENTS)).samples
    assert text_of(sample)[1] == (
        "There are trees [0.00, 0.13, 1.00, 0.50], grass [0.00, 0.50, 1.00, 0.88] "
        "and two people [0.13, 0.63, 0.25, 0.75; 0.50, 0.63, 0.63, 0.75] in the image."
    )
    assert [rle.area(rle.parse(region.mask.counts)) for region in sample.regions] == [2400, 2200, 100, 100]


@pytest.mark.parametrize(
    ("segment", "rule"),
    [
        ({"id": 6, "category_id": 1, "iscrowd": 1}, "crowd"),
        ({"id": 9, "category_id": 1}, "mask-empty"),
        ({"id": 6, "category_id": 9}, "category-unknown"),
        ({"id": -1, "category_id": 1}, "segment-invalid"),
        ("text", "category-unknown"),
    ],
)
def test_a_segment_that_cannot_be_used_is_one_reject(run, photo, tmp_path, segment, rule):
    found = run("coco_panoptic", panoptic(tmp_path, photo, [*SEGMENTS[:3], segment]))
    assert found.rules() == [("region", rule)]
    assert len(found.samples[0].regions) == 3


def test_a_png_that_cannot_be_used_is_one_reject(run, photo, tmp_path):
    file = panoptic(tmp_path, photo, SEGMENTS)
    for change, rule in [
        (lambda png: png.write_bytes(b"no"), "panoptic-invalid"),
        (lambda png: Image.new("RGB", (8, 6)).save(png), "panoptic-size"),
        (lambda png: Image.new("L", (80, 60)).save(png), "panoptic-invalid"),
        (lambda png: png.unlink(), "panoptic-missing"),
    ]:
        change(tmp_path / "pan" / "a.png")
        assert run("coco_panoptic", file).rules() == [("image", rule)]


@shared
def test_published_panoptic_masks_are_those_of_the_detection_form(run):
    images = SHARED / "coco_panoptic" / "input_images"
    masks = run("coco_panoptic", SHARED / "coco_panoptic" / "panoptic_examples.json", images=images)
    boxes = run("coco", SHARED / "coco_panoptic" / "panoptic_coco_detection_format.json", images=images)
    assert masks.rules() == boxes.rules() == [("region", "crowd")]
    assert masks.samples[0].regions == boxes.samples[0].regions
    assert masks.samples[0].license == "CC-BY-4.0"  # by the file's info
    assert masks.samples[0].images[0].license == "CC-BY-NC-2.0"
    assert answered(masks.samples[0]) == 17


# --- Pascal VOC --------------------------------------------------------------------------------------------------


def voc(*objects: str, size: str = "<size><width>80</width><height>60</height></size>", name: str = "a.jpg") -> str:
    return f"<annotation><filename>{name}</filename>{size}{''.join(objects)}</annotation>"


def voc_object(name: str, box: tuple, extra: str = "") -> str:
    sides = "".join(f"<{key}>{side}</{key}>" for key, side in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return f"<object><name>{name}</name>{extra}<bndbox>{sides}</bndbox></object>"


def test_a_real_voc_picture(run):
    found = run("voc", DATA / "voc", image_set="train")
    assert not found.rejects
    (sample,) = found.samples
    assert text_of(sample)[1].startswith("There are ten RBCs [0.05, 0.14, 0.20, 0.29; ")
    assert answered(sample) == len(sample.regions) == 14


@pytest.mark.parametrize(
    ("xml", "picture"),
    [("annotations/a.xml", "images/a.jpg"), ("annotations/xmls/a.xml", "images/a.jpg"), ("train/a.xml", "train/a.jpg")],
)
def test_pictures_of_voc_are_found_beside_the_folder_of_xml(run, photo, tmp_path, xml, picture):
    photo(f"set/{picture}")
    (tmp_path / "set" / xml).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "set" / xml).write_text(voc(voc_object("dog", (1, 1, 20, 20))))
    assert len(run("voc", tmp_path / "set").samples) == 1


def test_splits_are_those_that_folders_are_named_after(run, photo, tmp_path):
    for folder in ("train", "valid", "test"):
        photo(f"set/{folder}/a.jpg")
        (tmp_path / "set" / folder / "a.xml").write_text(voc(voc_object("dog", (1, 1, 20, 20))))
    splits = {sample.id: sample.split for sample in run("voc", tmp_path / "set").samples}
    assert splits == {"test/test/a": "test", "test/train/a": "train", "test/valid/a": "val"}
    assert {sample.split for sample in run("voc", tmp_path / "set", split="own").samples} == {"own"}


def test_voc_counts_pixels_from_one(run, photo, tmp_path):
    photo()
    part = voc_object("head", (1, 1, 2, 2)).replace("object", "part")
    (tmp_path / "a.xml").write_text(voc(voc_object("diningtable", (1, 1, 80, 60), part)))
    (sample,) = run("voc", tmp_path).samples
    assert sample.regions[0].box == (0, 0, 80, 60)
    assert text_of(sample)[1] == "There is a dining table [0.00, 0.13, 1.00, 0.88] in the image."


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (voc(voc_object("cat", (5, 5, 5, 9)), voc_object("cat", (1, 1, 9, 9))), [("region", "box-empty")]),
        (voc(voc_object("cat", (5, "x", 7, 9)), voc_object("cat", (1, 1, 9, 9))), [("region", "box-invalid")]),
        (voc("<object><name>cat</name></object>", voc_object("cat", (1, 1, 9, 9))), [("region", "box-missing")]),
        (voc(voc_object("", (1, 1, 9, 9)), voc_object("cat", (1, 1, 9, 9))), [("region", "category-unknown")]),
        (voc(), [("image", "no-objects")]),
        (voc(voc_object("cat", (1, 1, 9, 9)), name="b.jpg", size="<size><width>5</width><height>5</height></size>"),
         [("image", "size-mismatch")]),
        ("<annotation>", [("file", "xml-invalid")]),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', [("file", "xml-invalid")]),
        ("<other/>", [("file", "xml-invalid")]),
    ],
)  # fmt: skip
def test_damaged_xml_is_a_reject(run, photo, tmp_path, text, rules):
    photo()
    (tmp_path / "a.xml").write_text(text)
    assert run("voc", tmp_path).rules() == rules


def test_difficult_objects_are_kept_unless_asked(run, photo, tmp_path):
    photo()
    (tmp_path / "a.xml").write_text(
        voc(voc_object("cat", (1, 1, 9, 9)), voc_object("cat", (20, 20, 40, 40), "<difficult>1</difficult>"))
    )
    assert "two cats" in text_of(run("voc", tmp_path).samples[0])[1]
    found = run("voc", tmp_path, difficult="drop")
    assert found.rules() == [("region", "difficult")]
    assert text_of(found.samples[0])[1].startswith("There is a cat [")


def test_what_an_image_set_lists_without_xml_is_a_reject(run, tmp_path):
    shutil.copytree(DATA / "voc", tmp_path / "v")
    (tmp_path / "v" / "BCCD" / "ImageSets" / "Main" / "train.txt").write_text("BloodImage_00055 1\ngone -1\n")
    found = run("voc", tmp_path / "v", image_set="train")
    assert len(found.samples) == 1
    assert found.rules() == [("record", "annotation-missing")]
    with pytest.raises(UsageError, match="image_set=none"):
        run("voc", tmp_path / "v", image_set="none")


@shared
def test_published_voc_sets_convert_completely(run):
    blood = run("voc", SHARED / "voc_bccd" / "BCCD")
    assert (len(blood.samples), blood.rejects) == (60, [])
    objects = sum(p.read_text().count("<object>") for p in (SHARED / "voc_bccd").rglob("*.xml"))
    assert sum(map(answered, blood.samples)) == objects
    kit = run("voc", SHARED / "voc_devkit" / "VOCdevkit")
    assert len(kit.samples) + len(kit.rejects) == 2
    assert text_of(kit.samples[0])[1].endswith("a dog [0.24, 0.48, 0.54, 0.74] in the image.")
    parts = [len(run("voc", SHARED / "voc_bccd" / "BCCD", image_set=name).samples) for name in ("train", "val", "test")]
    assert sum(parts) == 60


# --- YOLO --------------------------------------------------------------------------------------------------------


def yolo(tmp_path, rows: str, **said) -> Path:
    names = {"names": ["cone", "cube"], "train": "../train/images"} | said
    (tmp_path / "train" / "labels").mkdir(parents=True, exist_ok=True)
    (tmp_path / "train" / "labels" / "a.txt").write_text(rows)
    (tmp_path / "data.yaml").write_text(json.dumps(names))
    return tmp_path / "data.yaml"


def test_a_real_yolo_export(run):
    (sample,) = run("yolo", DATA / "yolo").samples
    assert sample.license == "CC-BY-4.0"
    assert text_of(sample)[1] == (
        "There is a cube [0.47, 0.33, 0.68, 0.66] and a cone [0.64, 0.58, 0.90, 1.00] in the image."
    )


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ("2 0.5 0.5 0.1 0.1", "category-unknown"),
        ("-1 0.5 0.5 0.1 0.1", "category-unknown"),
        ("x 0.5 0.5 0.1 0.1", "category-unknown"),
        ("0 0.5 0.5 0.1", "row-invalid"),
        ("0 0.5 0.5 0.1 y", "row-invalid"),
        ("0 0.5 0.5 0.1 0.1 0.9", "row-invalid"),
        ("0 0.5 0.5 nan 0.1", "box-invalid"),
        ("0 0.5 0.5 0 0.1", "box-empty"),
        ("0 1.5 0.5 0.1 0.1", "box-outside"),
    ],
)
def test_a_broken_row_is_one_reject(run, photo, tmp_path, row, rule):
    photo("train/images/a.jpg")
    found = run("yolo", yolo(tmp_path, f"1 0.5 0.5 0.25 0.5\n{row}\n"))
    assert found.rules() == [("region", rule)]
    assert found.samples[0].regions[0].box == (30, 15, 50, 45)


def test_polygons_and_poses(run, photo, tmp_path):
    photo("train/images/a.jpg")
    (sample,) = run("yolo", yolo(tmp_path, "0 0.1 0.1 0.5 0.1 0.5 0.5\n")).samples
    assert sample.regions[0].polygon == ((8, 6, 40, 6, 40, 30),)
    assert sample.regions[0].box == (8, 6, 40, 30)
    found = run("yolo", yolo(tmp_path, "0 0.5 0.5 0.25 0.5 0.5 0.5 2 0 0 0\n", kpt_shape=[2, 3]))
    (sample,) = found.samples
    assert sample.task == "pose"
    assert sample.regions[0].keypoints == ((40, 30, 2), (0, 0, 0))
    found = run("yolo", yolo(tmp_path, "0 0.5 0.5 0.25 0.5 0.5 0.5 0 0\n", kpt_shape=[2, 2]), task="detection")
    assert found.samples[0].task == "detection"


def test_an_empty_label_file_says_that_nothing_is_there(run, photo, tmp_path):
    photo("train/images/a.jpg")
    photo("train/images/b.jpg")
    file = yolo(tmp_path, "\n")
    (tmp_path / "train" / "labels" / "c.txt").write_text("")
    found = run("yolo", file)
    (sample,) = found.samples
    assert text_of(sample)[1] == "There are no cones or cubes in the image."
    assert found.rules() == [("record", "label-missing"), ("record", "image-missing")]
    assert ("image", "no-objects") in run("yolo", file, background="drop").rules()


def test_splits_of_a_yaml(run, photo, tmp_path):
    photo("images/val/a.jpg")
    (tmp_path / "labels" / "val").mkdir(parents=True)
    (tmp_path / "labels" / "val" / "a.txt").write_text("1 0.5 0.5 0.25 0.5\n")
    (tmp_path / "list.txt").write_text("./images/val/a.jpg\n")
    for said in ("images/val", ["images/val"], "list.txt"):
        file = tmp_path / "data.yaml"
        file.write_text(json.dumps({"names": {0: "cone", 1: "cube"}, "path": "../nowhere", "val": said}))
        (sample,) = run("yolo", file, split="val").samples
        assert (sample.split, sample.regions[0].label) == ("val", "cube")
        with pytest.raises(UsageError, match="no split 'train'"):
            run("yolo", file)
    file.write_text(json.dumps({"names": ["cone"], "train": "gone/images"}))
    with pytest.raises(InputError, match="is not below"):
        run("yolo", file)


def test_a_folder_with_classes_and_no_yaml(run, photo, tmp_path):
    photo()
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    (tmp_path / "a.txt").write_text("1 0.5 0.5 0.25 0.5\n")
    found = run("yolo", tmp_path)
    assert not found.rejects
    assert text_of(found.samples[0])[1] == "There is a cat [0.38, 0.31, 0.63, 0.69] in the image."


@shared
def test_the_published_yolo_set_converts_completely(run):
    found = run("yolo", SHARED / "yolo_cones")
    rows = [p.read_text().split("\n") for p in (SHARED / "yolo_cones" / "train" / "labels").iterdir()]
    assert (len(found.samples), found.rejects) == (48, [])
    assert sum(map(answered, found.samples)) == sum(bool(line.strip()) for lines in rows for line in lines)


# --- labelme -----------------------------------------------------------------------------------------------------


def labelme(tmp_path, *shapes, **more) -> Path:
    value = {"shapes": list(shapes), "imagePath": "..\\photos\\a.jpg", "imageWidth": 80, "imageHeight": 60} | more
    (tmp_path / "a.json").write_text(json.dumps(value))
    return tmp_path


def test_shapes_become_regions(run, photo, tmp_path):
    photo()
    mask = io.BytesIO()
    Image.fromarray(np.full((10, 20), 255, np.uint8)).save(mask, "PNG")
    shapes = [
        {"label": "cat", "points": [[1, 1], [21, 1], [21, 21]], "shape_type": "polygon", "group_id": 1},
        {"label": "cat", "points": [[31, 1], [41, 1], [41, 21]], "shape_type": "polygon", "group_id": 1},
        {"label": "dog", "points": [[70, 50], [60, 40]], "shape_type": "rectangle", "group_id": None},
        {"label": "sun", "points": [[40, 30], [50, 30]], "shape_type": "circle"},
        {"label": "leaf", "points": [[5, 40], [25, 50]], "shape_type": "mask",
         "mask": base64.b64encode(mask.getvalue()).decode()},
        {"label": "tip", "points": [[5, 40]], "shape_type": "point"},
        {"label": "dog", "points": "none"},
    ]  # fmt: skip
    found = run("labelme", labelme(tmp_path, *shapes))
    assert found.rules() == [("region", "shape-unsupported"), ("region", "points-invalid")]
    (sample,) = found.samples
    cat, dog, sun, leaf = sample.regions
    assert (cat.box, len(cat.polygon)) == ((1, 1, 41, 21), 2)
    assert dog.box == (60, 40, 70, 50)
    assert sun.box == pytest.approx((30, 20, 50, 40), abs=0.1)
    assert (leaf.box, rle.area(rle.parse(leaf.mask.counts))) == ((5, 40, 25, 50), 200)
    assert answered(sample) == 4


def test_a_picture_inside_the_json_is_read(run, photo, tmp_path):
    photo()
    inside = base64.b64encode((tmp_path / "a.jpg").read_bytes()).decode()
    (tmp_path / "a.jpg").unlink()
    shape = {"label": "cat", "points": [[1, 1], [9, 9]], "shape_type": "rectangle", "flags": {"hidden": True}}
    found = run("labelme", labelme(tmp_path, shape, imageData=inside, flags={"night": True, "rain": False}))
    (sample,) = found.samples
    assert base64.b64encode(found.built[0].media[0]).decode() == inside
    assert (sample.regions[0].box, sample.meta) == (
        (1, 1, 9, 9),
        {"flags": ["night"], "region_flags": {"0": ["hidden"]}},
    )
    for broken in ("no base64!", inside[:400]):
        found = run("labelme", labelme(tmp_path, shape, imageData=broken))
        assert (found.samples, [level for level, _ in found.rules()]) == ([], ["image"])
    missing = run("labelme", labelme(tmp_path, shape, imagePath="a.jpg", imageData=None))
    assert missing.rules() == [("image", "image-missing")]


def test_flags_without_shapes_classify(run, photo, tmp_path):
    photo()
    (sample,) = run("labelme", labelme(tmp_path, flags={"traffic_light": True, "dog": False})).samples
    assert (sample.task, text_of(sample)[1]) == ("classification", "This is a traffic light.")
    (sample,) = run("labelme", labelme(tmp_path, flags={"cat": True, "dog": True})).samples
    assert text_of(sample)[1].endswith("a cat and a dog.")


def test_a_damaged_json_of_a_folder_costs_that_file(run, photo, tmp_path):
    photo()
    labelme(tmp_path, {"label": "cat", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"})
    (tmp_path / "b.json").write_text('{"shapes": [')
    (tmp_path / "c.json").write_text('{"shapes": 3, "imagePath": "a.jpg"}')
    found = run("labelme", tmp_path)
    assert len(found.samples) == 1
    assert found.rules() == [("file", "file-damaged"), ("file", "shapes-invalid")]


@shared
def test_the_published_labelme_file_has_the_boxes_of_its_coco_form(run):
    (one,) = run("labelme", SHARED / "sahi_terrain" / "terrain1.json").samples
    (two,) = run("coco", SHARED / "sahi_terrain" / "terrain1_coco.json").samples
    assert answered(one) == answered(two) == 7
    for a, b in zip(sorted(r.box for r in one.regions), sorted(r.box for r in two.regions), strict=True):
        assert a == pytest.approx(b, abs=1.01)


# --- OpenImages --------------------------------------------------------------------------------------------------

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"


def openimages(tmp_path, *rows: str) -> Path:
    (tmp_path / "class-descriptions-boxable.csv").write_text('/m/1,Human face\n/m/2,"Dog, small"\n/m/3,Cat\n')
    (tmp_path / "train-annotations-bbox.csv").write_text("\n".join((HEADER, *rows)) + "\n")
    return tmp_path


def test_pictures_lie_where_the_published_archives_unpack(run, photo, tmp_path):
    for name in ("train_a/a1.jpg", "validation/b1.jpg"):
        photo(name)
    rows = [f"{image},xclick,/m/3,1,0.1,0.5,0.5,1.0,0,0,0,0,0" for image in ("a1", "b1", "c1")]
    found = run("openimages", openimages(tmp_path, *rows))
    assert len(found.samples) == 2
    assert found.rules() == [("image", "image-missing")]


def test_boxes_are_shares_and_groups_are_dropped(run, photo, tmp_path):
    photo("train/a.jpg")
    rows = [
        "a,xclick,/m/1,1,0.1,0.5,0.5,1.0,0,0,0,0,0",
        "b,xclick,/m/3,1,0.1,0.5,0.5,1.0,0,0,0,0,0",
        "a,xclick,/m/3,1,0.5,0.75,0,0.5,0,0,1,0,0",
        "a,xclick,/m/3,1,0.5,0.75,0,0.5,0,0,0,1,0",
        "a,xclick,/m/9,1,0.5,0.75,0,0.5,0,0,0,0,0",
        "a,xclick,/m/3,1,x,0.75,0,0.5,0,0,0,0,0",
        ",xclick,/m/3",
    ]
    found = run("openimages", openimages(tmp_path, *rows))
    (sample,) = found.samples
    assert (sample.license, sample.images[0].license) == ("CC-BY-4.0", "CC-BY-2.0")
    answer = "There is a human face [0.10, 0.50, 0.50, 0.88] and a cat [0.50, 0.13, 0.75, 0.50] in the image."
    assert text_of(sample)[1] == answer
    assert "all objects" not in text_of(sample)[0]
    assert Counter(found.rules()) == Counter({
        ("region", "crowd"): 1, ("region", "category-unknown"): 1, ("region", "box-invalid"): 1,
        ("image", "image-missing"): 1, ("record", "row-invalid"): 1,
    })  # fmt: skip
    assert ("region", "depiction") in run("openimages", tmp_path, depictions="drop").rules()
    assert "group of cats" in text_of(run("openimages", tmp_path, crowd="keep").samples[0])[1]


def test_masks_belong_to_boxes_or_stand_alone(run, photo, tmp_path):
    photo("a.jpg")
    photo("b.jpg")
    (tmp_path / "masks").mkdir()
    half = np.zeros((30, 40), np.uint8)  # half the picture's size
    half[10:20, 10:20] = 255
    Image.fromarray(half).convert("1").save(tmp_path / "masks" / "a_1.png")
    openimages(tmp_path, "a,xclick,/m/1,1,0.25,0.5,0.33333,0.66667,0,0,0,0,0", "a,xclick,/m/3,1,0.5,1,0,1,0,0,0,0,0")
    (tmp_path / "train-annotations-object-segmentation.csv").write_text(
        "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks\n"
        "a_1.png,a,/m/1,1,0.250000,0.500000,0.333330,0.666670,0.8,0.1 0.2 1\n"
        "a_2.png,a,/m/3,2,0.1,0.2,0.1,0.2,0.8,\n"
        "a_1.png,b,/m/3,3,0.25,0.5,0.33333,0.66667,0.8,\n"
    )
    found = run("openimages", tmp_path)
    first, second = found.samples
    assert found.rules() == [("region", "mask-missing")]
    assert [region.label for region in first.regions] == ["human face", "cat", "cat"]
    assert [region.mask is not None for region in first.regions] == [True, False, False]
    inside = rle.to_array(first.regions[0].mask)
    assert inside[20:40, 20:40].all()
    assert inside.sum() == 400
    assert (second.id, second.regions[0].mask) == ("test/b", first.regions[0].mask)


def test_image_labels_are_classes(run, photo, tmp_path):
    photo()
    openimages(tmp_path)
    file = tmp_path / "labels.csv"
    file.write_text("ImageID,Source,LabelName,Confidence\na,v,/m/1,1\na,v,/m/3,1\na,v,/m/2,0\n")
    found = run("openimages", file, tmp_path / "class-descriptions-boxable.csv")
    assert found.rules() == [("turn", "not-confirmed")]
    assert text_of(found.samples[0])[1] == "The image shows a human face and a cat."


def test_openimages_says_what_is_missing(run, tmp_path):
    folder = openimages(tmp_path)
    with pytest.raises(InputError, match=r"class-descriptions-boxable\.csv"):
        run("openimages", folder / "train-annotations-bbox.csv")
    with pytest.raises(InputError, match="no CSV of boxes"):
        run("openimages", folder / "class-descriptions-boxable.csv")


# --- ImageNet ----------------------------------------------------------------------------------------------------


def test_imagenets_validation_pictures_have_a_file_of_labels(run, photo, tmp_path):
    for name in ("val_1", "val_2", "val_3"):
        photo(f"val/{name}.JPEG", format="JPEG")
    names = tmp_path / "LOC_synset_mapping.txt"
    names.write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\n")
    solution = tmp_path / "LOC_val_solution.csv"
    solution.write_text(
        "ImageId,PredictionString\nval_1,n01443537 1 2 3 4 \nval_2,n01440764 1 2 3 4 n01440764 5 6 7 8\n"
    )
    found = run("imagefolder", tmp_path / "val", solution, names)
    assert [sample.meta["class"] for sample in found.samples] == ["goldfish", "tench"]
    assert found.rules() == [("file", "no-class")]
    numbered = tmp_path / "val.txt"
    numbered.write_text("val_1.JPEG 1\nval_9.JPEG 0\n")
    found = run("imagefolder", tmp_path / "val", names, numbered)
    assert [sample.meta["class"] for sample in found.samples] == ["goldfish"]
    assert ("file", "image-missing") in found.rules()
    with pytest.raises(InputError, match=r"val\.txt:1"):
        run("imagefolder", tmp_path / "val", numbered)


def test_folders_of_splits_are_no_classes(run, photo, tmp_path):
    photo("train/cat/a.jpg")
    photo("val/cat/a.jpg")
    with pytest.raises(UsageError, match="give one of them"):
        run("imagefolder", tmp_path)
