from pathlib import Path

import pytest
from converting import Run, text_of
from question_sets import write

from sphinx_data.convert import Inputs
from sphinx_data.convert._recognise import recognise

DATA = Path(__file__).parents[1] / "data" / "questions"
SHARED = Path(__file__).parents[3] / "shared" / "data"
ASK = "<i0>Provide a one-sentence caption for the provided image."
COCO = {
    "images": [
        {"id": 1, "file_name": "a.jpg", "license": 4}, {"id": 2, "file_name": "b.jpg"}, {"id": 3, "file_name": "c.jpg"},
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "caption": "A man with a red helmet rides a moped. "},
        {"id": 2, "image_id": 2, "caption": "Two dogs run over the wet grass of a park."},
        {"id": 3, "image_id": 1, "caption": None},
        {"id": 4, "image_id": 9, "caption": "Nothing."},
    ],
    "licenses": [{"id": 4, "url": "http://creativecommons.org/licenses/by/2.0/", "name": "Attribution License"}],
}  # fmt: skip
TOKENS = (
    "a.jpg#0\tA man rides a moped .\na.jpg#1\tA moped , red .\nbroken\nb.jpg#0\tTwo dogs run over the wet grass .\n"
)
SENTENCES = [{"raw": "A man with a helmet rides a red moped.", "tokens": []}, {"raw": "A moped."}]
KARPATHY = {
    "images": [
        {"filename": "a.jpg", "filepath": "val2014", "split": "test", "sentences": SENTENCES},
        {"filename": "b.jpg", "split": "restval", "sentences": [{"raw": "Two dogs run over the grass."}]},
    ],
    "dataset": "coco",
}
LISTED = [{"url": "", "image_id": "a.jpg", "caption": ["一个男人骑着摩托车", "一辆红色的摩托车"]}]
CSV = 'image,caption\na.jpg,"A man, on a moped ."\na.jpg,A moped .\nb.jpg,Two dogs run over the wet grass .\n'
BARS = "image_name| comment_number| comment\na.jpg| 0| A man | a moped .\nb.jpg| 0| Two dogs run over the wet grass .\n"


def converted(folder, name, content, **options):
    write(folder, {name: content, "a.jpg": None, "b.jpg": None})
    path = folder / name
    assert recognise(Inputs((str(path),))) == "captions"
    return Run("captions", path, **options)


def test_coco_captions_are_asked_for_and_keep_the_photo_s_licence(tmp_path):
    found = converted(tmp_path, "captions_val2014.json", COCO)
    assert text_of(found.samples[0])[1:] == ["A man with a red helmet rides a moped."]
    assert [text_of(s)[1] for s in found.samples[1:]] == ["Two dogs run over the wet grass of a park."]
    assert [s.images[0].license for s in found.samples] == ["CC-BY-2.0", "unknown"]
    assert {(s.license, s.language, s.domain, s.task) for s in found.samples} == {
        ("CC-BY-4.0", "en", "vision-language", "caption")
    }
    assert sorted(found.rules()) == [("image", "no-captions"), ("turn", "caption-missing"), ("turn", "image-unknown")]


@pytest.mark.parametrize(
    ("name", "content", "captions", "rejects"),
    [
        ("results.token", TOKENS, [["A man rides a moped .", "A moped , red ."],
                                   ["Two dogs run over the wet grass ."]], 1),
        ("dataset_coco.json", KARPATHY, [["A man with a helmet rides a red moped.", "A moped."],
                                         ["Two dogs run over the grass."]], 0),
        ("captions.txt", CSV, [["A man, on a moped .", "A moped ."], ["Two dogs run over the wet grass ."]], 0),
        ("results.csv", BARS, [["A man | a moped ."], ["Two dogs run over the wet grass ."]], 0),
        ("caption_train.json", LISTED, [["一个男人骑着摩托车", "一辆红色的摩托车"]], 0),
    ],
)  # fmt: skip
def test_every_form_gives_its_captions_in_order(tmp_path, name, content, captions, rejects):
    found = converted(tmp_path, name, content)
    assert [text_of(s)[1::2] for s in found.samples] == captions
    assert [s.meta.get("captions", said) for s, said in zip(found.samples, captions, strict=True)] == captions
    assert len(found.rejects) == rejects


def test_captions_beyond_the_bound_stay_in_meta_and_equal_ones_are_one_turn(tmp_path):
    said = [f"Caption number {number} of the very same picture." for number in range(7)] + ["Caption number 1."] * 2
    content = [{"image_id": "a.jpg", "caption": said}]
    found = converted(tmp_path, "caption_train.json", content, max_turns=3)
    turns = text_of(found.samples[0])[1::2]
    assert len(turns) == 3
    assert turns == [caption for caption in dict.fromkeys(said) if caption in turns]
    assert found.samples[0].meta["captions"] == said
    assert len(text_of(converted(tmp_path, "caption_train.json", content, max_turns=20).samples[0])) == 16


def test_a_pair_is_a_document_without_a_question(tmp_path):
    found = converted(tmp_path, "captions.txt", CSV, form="pair")
    assert [[message.role for message in s.messages] for s in found.samples] == [["assistant"]] * 2
    assert text_of(found.samples[1]) == ["<i0>Two dogs run over the wet grass ."]


def test_a_split_of_karpathy_s(tmp_path):
    found = converted(tmp_path, "dataset_coco.json", KARPATHY, only="restval")
    assert [(s.id, s.split) for s in found.samples] == [("test/b", "restval")]
    assert text_of(found.samples[0])[0].startswith("<i0>")


def test_captions_are_asked_for_in_their_language(tmp_path):
    def asked(*captions):
        content = [{"image_id": "a.jpg", "caption": list(captions)}]
        sample = converted(tmp_path, "caption_train.json", content).samples[0]
        return sample.language, text_of(sample)[0]

    language, question = asked("一个男人骑着摩托车", "一辆红色的摩托车")
    assert language == "zh"
    assert question.endswith(("图片。", "说明。", "回答。"))
    language, question = asked("Ein Mann mit einem roten Helm fährt auf einem kleinen Moped über eine Landstraße.")
    assert language == "de"
    assert "in German" in question
    assert asked("丘の上でバイクに乗っている男の人")[0] == "ja"


def test_chinese_captions_in_the_layout_of_coco_cn(tmp_path):
    write(tmp_path, {"COCO_train2014_000000573854.jpg": None, "val2014/COCO_val2014_000000412975.jpg": None})
    found = Run("captions", DATA / "captions_coco_cn.json", images=tmp_path)
    assert [text_of(s)[1] for s in found.samples] == ["跑道上停着一架飞机。", "一个女孩正在下楼梯。"]
    assert {s.language for s in found.samples} == {"zh"}
    assert found.rules() == [("image", "image-missing")]


@pytest.mark.skipif(not SHARED.exists(), reason="the shared files are not here")
def test_the_published_file_without_photos_is_one_reject_a_picture():
    found = Run("captions", SHARED / "captions_coco_cn" / "coco-cn_test.json")
    assert set(found.rules()) == {("image", "image-missing")}
    assert len(found.rejects) == 1000
