"""Files of conversations, text, pairs and documents are known by what is in them."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sphinx_data.convert import Inputs, load
from sphinx_data.convert._recognise import recognise
from sphinx_data.errors import UsageError

OURS = Path(__file__).parents[1] / "data" / "conversations"
REAL = Path(__file__).parents[3] / "shared" / "data"

EXCERPTS = {
    "alpaca_en.json": "alpaca", "alpaca_zh.json": "alpaca", "codegen-instruct.json": "evol_code",
    "gsm8k.jsonl": "gsm8k", "toolcall.json": "sharegpt",
    "qa_questions.jsonl": "llava_bench", "qa_answers.jsonl": "llava_bench",
    "caps_boxes.jsonl": "llava_boxes", "c4.jsonl": "text", "demo-dataset.csv": "text", "demo-dataset.tsv": "text",
    "demo-dataset.jsonl": "text", "demo-dataset.parquet": "text", "digits.tar": "webdataset",
}  # fmt: skip
WHOLE = {
    "dialogue_llamafactory/alpaca_en_demo.json": "alpaca", "dialogue_llamafactory/alpaca_zh_demo.json": "alpaca",
    "dialogue_llamafactory/identity.json": "alpaca", "dialogue_llamafactory/glaive_toolcall_en_demo.json": "sharegpt",
    "dialogue_llamafactory/c4_demo.jsonl": "text", "dialogue_llamafactory/wiki_demo.txt": "text",
    "dialogue_gpteacher/codegen-instruct.json": "evol_code", "gsm8k/train.jsonl": "gsm8k",
    "dialogue_axolotl/conversation.json": "sharegpt", "dialogue_axolotl/conversation.missingturns.json": "sharegpt",
    "llava_playground/coco2014_val_gpt4_qa_30x3.jsonl": "alpaca", "llava_playground/prompts": "text",
    "llava_playground/qa90_questions.jsonl": "llava_bench", "llava_playground/qa90_gpt4_answer.jsonl": "llava_bench",
    "llava_playground/caps_boxes_coco2014_val_80.jsonl": "llava_boxes", "text_datajuicer": "text",
    "text_datajuicer/redpajama-pile-stackexchange-refined.jsonl": "text", "webdataset/sample.tgz": "webdataset",
    "webdataset": "webdataset",
}  # fmt: skip
TALK = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
PICTURE = {"bytes": b"x", "path": None}
# Made after the published descriptions, one row each.
ROWS = {
    "messages": {"messages": TALK},
    "ultrachat": {"id": "1", "data": ["a", "b"]},
    "orca": {"id": "1", "system_prompt": "", "question": "a", "response": "b"},
    "flan": {"inputs": "a", "targets": "b", "task_name": "c"},
    "metamath": {"query": "a", "response": "b", "type": "c", "original_question": "d"},
    "mathinstruct": {"source": "data/CoT/a.json", "instruction": "a", "output": "b"},
    "preferences": {"prompt": "a", "chosen": "b", "rejected": "c"},
    "mmc4": {"text_list": ["a"], "image_info": [{"image_name": "a.jpg", "matched_text_index": 0}], "url": "b"},
    "obelics": {"images": [None, "http://a"], "texts": ["a", None], "metadata": "[]", "general_metadata": "{}"},
    "own": {"image": "a.jpg", "question": "a", "answer": "b"},
    "alpaca": {"instruction": "a", "context": "", "response": "b", "category": "c"},
    "llava": {"id": 1, "image": "a.jpg", "conversations": [{"from": "human", "value": "a"}]},
    "sharegpt": {"source": "x", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
}  # fmt: skip
TABLES = {
    "cauldron": {"images": [PICTURE], "texts": [{"user": "a", "assistant": "b", "source": "c"}]},
    "image_parquet": {"image": PICTURE, "label": 1},
    "img2dataset": {"url": "http://a", "key": "000000000", "status": "success", "caption": "a", "error_message": None},
    "llava": {"id": "1", "image": PICTURE, "conversations": [{"from": "human", "value": "a"}], "data_source": "x"},
}  # fmt: skip


@pytest.mark.parametrize(("name", "expected"), EXCERPTS.items())
def test_excerpts(name, expected):
    assert recognise(Inputs((str(OURS / name),))) == expected


@pytest.mark.skipif(not REAL.exists(), reason="the real files are not here")
@pytest.mark.parametrize(("name", "expected"), WHOLE.items())
def test_real_files(name, expected):
    assert recognise(Inputs((str(REAL / name),))) == expected


@pytest.mark.parametrize("kind", ["json", "jsonl", "parquet"])
@pytest.mark.parametrize(("expected", "row"), ROWS.items())
def test_published_layouts(tmp_path, kind, expected, row):
    place = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist([row, row]), place)
    else:
        place.write_text(json.dumps([row, row]) if kind == "json" else f"{json.dumps(row)}\n{json.dumps(row)}\n")
    assert recognise(Inputs((str(place),))) == expected
    assert recognise(Inputs((str(tmp_path),))) == expected


@pytest.mark.parametrize(("expected", "row"), TABLES.items())
def test_tables_with_pictures(tmp_path, expected, row):
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    assert recognise(Inputs((str(tmp_path / "a.parquet"),))) == expected
    assert recognise(Inputs((str(tmp_path),))) == expected


@pytest.mark.skipif(not REAL.exists(), reason="the real files are not here")
@pytest.mark.parametrize("name", ["test_1000.txt", "test_1000.parquet"])
def test_a_list_of_addresses_is_refused_with_the_mend(name):
    inputs = Inputs((str(REAL / "url_lists" / name),))
    module = load(recognise(inputs))
    with pytest.raises(UsageError, match=r"list of addresses, .*download --urls .*img2dataset.*output folder"):
        next(iter(module.records(inputs, module.Options(source="a"))), None)


@pytest.mark.skipif(not REAL.exists(), reason="the real files are not here")
@pytest.mark.parametrize("name", ["dialogue_llamafactory/dataset_info.json", "url_lists/hashes.json"])
def test_what_is_no_data_set_is_refused(name):
    with pytest.raises(UsageError, match=r"is of no known format"):
        recognise(Inputs((str(REAL / name),)))


def test_a_folder_of_mme_is_no_prose(tmp_path):
    for name in ("OCR.txt", "existence.txt"):
        (tmp_path / name).write_text("a.jpg\tIs it red? Please answer yes or no.\tYes\n")
    assert recognise(Inputs((str(tmp_path),))) == "mme"
    for name in ("OCR.txt", "existence.txt"):
        (tmp_path / name).rename(tmp_path / f"of {name}")
        (tmp_path / f"of {name}").write_text("It is red.\n\tAnd blue.\n")
    assert recognise(Inputs((str(tmp_path),))) == "text"


def test_rows_that_hold_their_picture_are_not_ones_own(tmp_path):
    row = {"image": {"bytes": b"\xff\xd8\xff", "path": "a.jpg"}, "question": "What?", "answer": "A cat."}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    assert recognise(Inputs((str(tmp_path / "a.parquet"),))) == "image_parquet"
    pq.write_table(pa.Table.from_pylist([row | {"image": "a.jpg"}]), tmp_path / "b.parquet")
    assert recognise(Inputs((str(tmp_path / "b.parquet"),))) == "own"
