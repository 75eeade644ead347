"""Files of boxes, masks, key points and grounding are recognised without --format, each as one format."""

import json
import pickle
from pathlib import Path

import pytest

from sphinx_data.convert import Inputs
from sphinx_data.convert._recognise import recognise
from sphinx_data.errors import UsageError

DATA = Path(__file__).parents[1] / "data"
SHARED = Path(__file__).parents[3] / "shared" / "data"
OPEN_IMAGES = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n"
SHIKRA = {"image_id": "1", "boxes": [], "sentence": "a", "boxes_seq": []}


def found(*places: Path) -> str:
    return recognise(Inputs(tuple(map(str, places))))


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("coco/person_keypoints.json", "coco_keypoints"),
        ("coco/segm_results.json", "coco"),
        ("animals/test_fly.json", "coco_keypoints"),
        ("voc", "voc"),
        ("voc/BCCD/Annotations/BloodImage_00055.xml", "voc"),
        ("yolo", "yolo"),
        ("yolo/data.yaml", "yolo"),
        ("imagefolder", "imagefolder"),
    ],
)
def test_small_files(place, name):
    assert found(DATA / place) == name


@pytest.mark.skipif(not SHARED.exists(), reason="the shared files are not here")
@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("coco_keypoints/person_keypoints_val2017.json", "coco_keypoints"),
        ("animal_keypoints/fly/test_fly.json", "coco_keypoints"),
        ("animal_keypoints/locust/test_locust.json", "coco_keypoints"),
        ("coco_panoptic/panoptic_examples.json", "coco_panoptic"),
        ("coco_panoptic/panoptic_coco_detection_format.json", "coco"),
        ("coco_results/instances_val2014_fakesegm100_results.json", "coco"),
        ("coco_results/instances_val2014_fakebbox100_results.json", "coco"),
        ("lvis/lvis_val.json", "coco"),
        ("publaynet/samples.json", "coco"),
        ("sahi_terrain/terrain1_coco.json", "coco"),
        ("sahi_terrain/terrain1.json", "labelme"),
        ("voc_bccd/BCCD", "voc"),
        ("voc_devkit/VOCdevkit", "voc"),
        ("yolo_cones", "yolo"),
        ("imagefolder_sign_digits", "imagefolder"),
        ("refcoco_expressions/sample_expressions_testA.json", "refcoco"),
    ],
)
def test_published_files(place, name):
    assert found(SHARED / place) == name


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("openimages", "boxes.csv", OPEN_IMAGES),
        ("refcoco", "refs(unc).p", pickle.dumps([]).decode("latin-1")),
        ("shikra", "rows.jsonl", f"{json.dumps(SHIKRA)}\n" * 2),
        ("shikra", "row.jsonl", json.dumps(SHIKRA)),
        ("grit", "rows.jsonl", json.dumps({"image": "a", "caption": "a", "noun_chunks": []}) + "\n"),
        ("visual_genome_regions", "r.json", json.dumps([{"id": 1, "regions": [{"phrase": "a"}]}])),
        ("coco", "lvis.json", '{"images": [], "annotations": [{"segmentation": []}], "categories": [{"id": 1}]}'),
    ],
)
def test_written_files(tmp_path, name, file, content):
    (tmp_path / file).write_bytes(content.encode("latin-1"))
    assert found(tmp_path / file) == name


def test_flickr30k_entities_is_no_voc(tmp_path):
    for folder, name in (("Annotations", "1.xml"), ("Sentences", "1.txt")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("<annotation/>")
    assert found(tmp_path) == "flickr30k_entities"


def test_lists_of_pictures_without_annotations_are_of_no_format(tmp_path):
    (tmp_path / "info.json").write_text('{"images": [{"id": 1}], "categories": []}')
    with pytest.raises(UsageError, match="is of no known format"):
        found(tmp_path / "info.json")


NOT_OURS = {
    "the XML of CVAT": {"annotations.xml": "<annotations>\n<version>1.1</version><image/></annotations>", "a.jpg": ""},
    "the XML of MIT's LabelMe": {
        "a.xml": "<annotation><object><polygon><pt><x>1</x></pt></polygon></object></annotation>", "a.jpg": "",
    },
    "a table of boxes": {"a.csv": "image_name,label_name,x1,y1,x2,y2\na.jpg,dog,0,1,1,2\n", "images/a.jpg": ""},
    "tables beside pictures": {"one/a.jpg": "", "one/b.jpg": "", "one/x.csv": "image,label", "two/c.jpg": ""},
    "masks beside pictures": {"abbey/1.jpg": "", "abbey/1_seg.png": "", "airport/2.jpg": ""},
    "a list of classes": {"classes.txt": "cat\ndog\n", "ann.txt": "a/1.jpg 0\n", "a/1.jpg": ""},
    "pictures of splits without classes": {"train/a.jpg": "", "val/b.jpg": ""},
}  # fmt: skip


@pytest.mark.parametrize("files", NOT_OURS.values(), ids=NOT_OURS)
def test_folders_that_only_look_like_one_of_ours_are_refused(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match="is of no known format"):
        found(tmp_path)


def test_the_xml_of_cvat_is_called_so(tmp_path):
    (tmp_path / "a.xml").write_text("<annotations>\n<version>1.1</version><image/></annotations>")
    for place in (tmp_path, tmp_path / "a.xml"):
        with pytest.raises(UsageError, match="CVAT's own XML; export it from CVAT as COCO or Pascal VOC"):
            found(place)
