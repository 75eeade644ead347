"""Whatever a row holds: a sample or a reject, never another exception, and every row is accounted for."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from converting import Run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sphinx_data.errors import InputError, UsageError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["a.png"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
LOOSE = settings(max_examples=25, deadline=None, suppress_health_check=SLOW)
USER, ASSISTANT = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
PARTS = [{"type": "image", "image": "a.png"}, {"type": "text", "text": "a"}]
TURNS = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
GOOD = {
    "alpaca": {"instruction": "a", "input": "b", "output": "c", "history": [["a", "b"]], "image": "a.png"},
    "evol_code": {"instruction": "a", "output": "c"},
    "orca": {"id": "1", "system_prompt": "s", "question": "a", "response": "b"},
    "flan": {"inputs": "a", "targets": "b", "task_name": "c"},
    "gsm8k": {"question": "a", "answer": "b\n#### 1"},
    "metamath": {"query": "a", "response": "b", "type": "c", "original_question": "d"},
    "mathinstruct": {"source": "data/a", "instruction": "a", "output": "b"},
    "ultrachat": {"id": "1", "data": ["a", "b"]},
    "sharegpt": {"conversations": TURNS, "system": "s", "tools": "[]"},
    "messages": {"messages": [{"role": "user", "content": PARTS}, ASSISTANT], "tools": [], "images": []},
    "preferences": {"prompt": "a", "chosen": [ASSISTANT], "rejected": "c", "conversations": TURNS, "image": "a.png"},
    "cauldron": {"images": ["a.png"], "texts": [{"user": "a", "assistant": "b", "source": "c"}], "x_ratings": [1]},
    "llava": {"image": "a.png", "conversations": TURNS, "system": "s"},
    "llava_bench": {"question_id": 1, "image": "a.png", "text": "a", "category": "b"},
    "llava_boxes": {"image": "a.png", "captions": ["a"], "instances": [{"category": "a", "bbox": [0, 0, 0.5, 1]}]},
    "mmc4": {"text_list": ["a"], "image_info": [{"image_name": "a.png", "matched_text_index": 0, "matched_sim": 0.1}]},
    "obelics": {"images": ["http://a", None], "texts": [None, "a"], "general_metadata": "{}"},
    "own": {"image": "a.png", "question": "a", "answer": "b", "boxes": [[1, 1, 9, 9]], "width": 40, "height": 30,
            "meta": {}, "messages": None, "images": None, "domain": None, "regions": None},
    "text": {"text": "a", "meta": {}},
    "visualmrc": {
        "image_filename": "a.png", "qa_data": [{"question": {"text": "a"}, "answer": {"text": "b", "relevant": [1]}}],
        "bounding_boxes": [{"id": 1, "structure": "a", "shape": {"x": 1, "y": 1, "width": 5, "height": 5},
                            "ocr_info": [{"word": "a"}]}],
    },
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    out = io.BytesIO()
    Image.new("RGB", (40, 30)).save(out, "PNG")
    (tmp_path / "a.png").write_bytes(out.getvalue())
    return tmp_path


def accounted(found: Run) -> int:
    return len(found.samples) + len([r for r in found.rejects if r.level in ("record", "file")])


@pytest.mark.parametrize("name", sorted(GOOD))
@LOOSE
@given(st.data())
def test_any_values_in_the_fields(folder, name, data):
    keys = st.sampled_from(sorted(GOOD[name]))
    changed = st.dictionaries(keys, VALUES, max_size=2)
    rows = [GOOD[name], *data.draw(st.lists(st.builds(lambda c: GOOD[name] | c, changed) | VALUES, max_size=3))]
    rows.append(GOOD[name])
    place = folder / "a.jsonl"
    try:
        place.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        found = Run(name, place)
    except InputError as error:  # no line is an object, so the file is none of lines
        message = str(error)
        assert "a.jsonl" in message
        return
    lone = len([r for r in found.rejects if r.level in ("image", "turn", "region")])
    assert accounted(found) <= len(rows) <= accounted(found) + lone


@pytest.mark.parametrize("name", sorted({*GOOD, "img2dataset", "image_parquet"}))
@pytest.mark.parametrize("kind", ["jsonl", "parquet", "json", "csv", "txt"])
@settings(max_examples=8, deadline=None, suppress_health_check=SLOW)
@given(st.binary(max_size=200) | st.text(alphabet=' {}[]":,a1\n', max_size=60).map(str.encode))
def test_any_bytes(folder, name, kind, data):
    file = folder / f"c.{kind}"
    file.write_bytes(data)
    try:
        Run(name, file)
    except (InputError, UsageError) as error:
        message = str(error)
        assert f"c.{kind}" in message
        assert "\n" not in message


CELLS = st.sampled_from([None, b"x", {"bytes": b"x", "path": "y"}, {"bytes": None, "path": None}])


@LOOSE
@given(st.lists(st.tuples(CELLS, st.none() | st.text(max_size=3), st.none() | st.integers(-3, 3)), max_size=3))
def test_any_cells_of_a_table(folder, rows):
    made = [{"image": image, "text": text, "label": label} for image, text, label in rows]
    try:
        pq.write_table(pa.Table.from_pylist(made), folder / "a.parquet")
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # bytes and structs in one column
        return
    found = Run("image_parquet", folder / "a.parquet")
    assert len(found.samples) + len(found.rejects) == len(rows)
