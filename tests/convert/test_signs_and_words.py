"""ReCTS and word pictures of ICDAR, after their published descriptions; no real file was at hand."""

import json

import pytest
from converting import Run, text_of

from sphinx_data.convert import Inputs
from sphinx_data.convert._recognise import recognise


@pytest.fixture
def signs(tmp_path, photo):
    photo("img/train_ReCTS_000001.jpg")
    text = {"points": [5, 5, 45, 6, 45, 20, 5, 19], "transcription": "老城砂锅", "ignore": 0}
    ignored = {"points": [5, 30, 45, 30, 45, 44, 5, 44], "transcription": "###", "ignore": 1}
    char = {"points": [5, 5, 15, 5, 15, 19, 5, 19], "transcription": "老", "ignore": 0}
    broken = {"points": [5, 5], "transcription": "城", "ignore": 0}
    (tmp_path / "gt").mkdir()
    said = {"chars": [char, broken], "lines": [text, ignored]}
    (tmp_path / "gt" / "train_ReCTS_000001.json").write_text(json.dumps(said, ensure_ascii=False), "utf-8")
    (tmp_path / "gt" / "train_ReCTS_000002.json").write_text('{"chars": [], "lines": 3}')
    return tmp_path


def test_lines_of_a_signboard(signs):
    assert recognise(Inputs((str(signs / "gt"),))) == "rects"
    found = Run("rects", signs / "gt", images=signs / "img")
    (sample,) = found.samples
    assert found.rules() == [("region", "dont-care"), ("image", "image-missing")]
    assert sample.task == "spotting"
    assert [(region.box, region.text) for region in sample.regions] == [((5, 5, 45, 20), "老城砂锅")]
    assert "all" not in text_of(sample)[0]


def test_characters_of_a_signboard(signs):
    found = Run("rects", signs / "gt", images=signs / "img", level="chars")
    (sample,) = found.samples
    assert found.rules() == [("region", "segmentation-invalid"), ("image", "image-missing")]
    assert [region.text for region in sample.regions] == ["老"]


WORDS = """\ufeffword_1.png, "Tiredness"
word_2.png, "say \\"no\\", ok"
word_3.png, "###"
word_4.png, "gone"
nothing
word_5.jpg,plain
"""


def test_pictures_of_words(tmp_path, photo):
    for name in ("word_1.png", "word_2.png", "word_3.png", "word_5.jpg"):
        photo(name)
    (tmp_path / "gt.txt").write_text(WORDS, "utf-8")
    (tmp_path / "coords.txt").write_text("word_1.png,1,2,3,4,5,6,7,8\n")
    found = Run("icdar_words", tmp_path)
    assert [text_of(sample)[1] for sample in found.samples] == ["Tiredness", 'say "no", ok', "plain"]
    assert [sample.task for sample in found.samples] == ["region-reading"] * 3
    assert found.rules() == [("record", "dont-care"), ("image", "image-missing"), ("record", "row-invalid")]


def test_lists_of_words_are_recognised_and_lists_of_corners_are_not(tmp_path, photo):
    photo("word_1.png")
    (tmp_path / "gt.txt").write_text('word_1.png, "Tiredness"\n')
    (tmp_path / "coords.txt").write_text("word_1.png,1,2,3,4,5,6,7,8\n")
    assert recognise(Inputs((str(tmp_path),))) == "icdar_words"
    assert recognise(Inputs((str(tmp_path / "gt.txt"),))) == "icdar_words"
    with pytest.raises(Exception, match=r"coords\.txt"):
        recognise(Inputs((str(tmp_path / "coords.txt"),)))
