"""VisualMRC, after what public readers of the set expect; no real file was at hand."""

import json

from converting import Run, text_of

from sphinx_data.convert import Inputs
from sphinx_data.convert._recognise import recognise

BLOCKS = [
    {"id": 4, "structure": "Title", "shape": {"x": 5, "y": 5, "width": 40, "height": 10},
     "ocr_info": [{"word": "Opening", "confidence": 99}, {"word": "hours", "confidence": 99}]},
    {"id": 5, "structure": "Image", "shape": {"x": 500, "y": 5, "width": 40, "height": 10}, "ocr_info": []},
]  # fmt: skip
QUESTIONS = [
    {"question": {"text": "When does it open?"}, "answer": {"text": "It opens at nine.", "relevant": [4, 5, 9]}},
    {"question": {"text": "Who?"}, "answer": {"text": " "}},
    {"question": "none"},
]


def test_questions_and_blocks_of_a_page(tmp_path, photo):
    photo("images/a.png")
    lines = [
        {"image_filename": "web/a.png", "bounding_boxes": BLOCKS, "qa_data": QUESTIONS},
        {"image_filename": "a.png", "bounding_boxes": 3, "qa_data": []},
        {"image_filename": "b.png", "bounding_boxes": [], "qa_data": []},
        {"image_filename": None, "qa_data": []},
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert recognise(Inputs((str(tmp_path / "train.jsonl"),))) == "visualmrc"
    found = Run("visualmrc", tmp_path / "train.jsonl")
    (sample,) = found.samples
    assert text_of(sample) == ["<i0>When does it open?", "It opens at nine."]
    assert (sample.task, sample.meta) == ("document-vqa", {"relevant": [[0]]})
    (title,) = sample.regions
    assert (title.box, title.label, title.text) == ((5, 5, 45, 15), "Title", "Opening hours")
    assert found.rules() == [
        ("region", "box-outside"), ("turn", "text-empty"), ("turn", "question-invalid"), ("record", "record-invalid"),
        ("image", "image-missing"), ("record", "image-name-invalid"),
    ]  # fmt: skip
