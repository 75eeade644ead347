"""Conversations and instruction sets: real files by their counts, published layouts by their rows."""

import base64
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from converting import text_of

OURS = Path(__file__).parents[1] / "data" / "conversations"
REAL = Path(__file__).parents[3] / "shared" / "data"
real = pytest.mark.skipif(not REAL.exists(), reason="the real files are not here")


@real
@pytest.mark.parametrize(
    ("name", "file", "samples", "rejects"),
    [
        ("alpaca", "dialogue_llamafactory/alpaca_en_demo.json", 400, []),
        ("alpaca", "dialogue_llamafactory/alpaca_zh_demo.json", 400, []),
        ("alpaca", "dialogue_llamafactory/identity.json", 91, []),
        ("alpaca", "llava_playground/coco2014_val_gpt4_qa_30x3.jsonl", 0, [("image", "image-missing")] * 90),
        ("sharegpt", "dialogue_llamafactory/glaive_toolcall_en_demo.json", 100, []),
        ("sharegpt", "dialogue_axolotl/conversation.json", 1, []),
        ("sharegpt", "dialogue_axolotl/conversation.missingturns.json", 0, [("record", "turn-empty")]),
        ("evol_code", "dialogue_gpteacher/codegen-instruct.json", 300, []),
        ("gsm8k", "gsm8k/train.jsonl", 400, []),
        ("llava_boxes", "llava_playground/caps_boxes_coco2014_val_80.jsonl", 0, [("image", "image-missing")] * 80),
        ("llava_bench", "llava_playground/qa90_questions.jsonl", 0, [("turn", "unanswered")] * 90),
        ("llava_bench", "llava_playground/qa90_gpt4_answer.jsonl", 0, [("turn", "question-missing")] * 90),
    ],
)
def test_every_record_of_a_real_file_is_a_sample_or_a_reject(run, name, file, samples, rejects):
    found = run(name, REAL / file)
    assert (len(found.samples), found.rules()) == (samples, rejects)
    assert len({sample.id for sample in found.samples}) == samples


@real
def test_text_of_real_files_is_kept(run):
    rows = json.loads((REAL / "dialogue_llamafactory/alpaca_zh_demo.json").read_text())
    for sample, row in zip(
        run("alpaca", REAL / "dialogue_llamafactory/alpaca_zh_demo.json").samples, rows, strict=True
    ):
        question = f"{row['instruction']}\n{row['input']}" if row["input"] else row["instruction"]
        assert text_of(sample) == [question, row["output"]]


@real
def test_tool_calls_alternate_and_keep_their_json(run):
    file = REAL / "dialogue_llamafactory/glaive_toolcall_en_demo.json"
    for sample, row in zip(run("sharegpt", file).samples, json.loads(file.read_text()), strict=True):
        said = text_of(sample)
        assert (sample.messages[0].role == "system") == (row["tools"] != "[]")
        calls = [turn["value"] for turn in row["conversations"] if turn["from"] == "function_call"]
        assert [text for text in said if text.startswith("<tool_call>")] == [
            f"<tool_call>\n{call}\n</tool_call>" for call in calls
        ]


def test_answers_as_they_are_trained(run):
    gsm8k = run("gsm8k", OURS / "gsm8k.jsonl").samples[0]
    assert text_of(gsm8k) == [
        "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips "
        "did Natalia sell altogether in April and May?",
        "Natalia sold 48/2 = 24 clips in May.\nNatalia sold 48+24 = 72 clips altogether in April and May.\n#### 72",
    ]
    assert (gsm8k.task, gsm8k.license, gsm8k.language) == ("math", "MIT", "en")
    kept = run("gsm8k", OURS / "gsm8k.jsonl", calculator=True).samples[0]
    assert "<<48/2=24>>24" in text_of(kept)[1]
    code = run("evol_code", OURS / "codegen-instruct.json").samples[0]
    assert code.task == "code"
    assert text_of(code)[0].endswith("given its width and height.\nwidth: 5, height: 8")


def test_questions_of_one_picture_are_one_dialogue(run, photo):
    for name in ("000000441147.jpg", "000000353536.jpg"):
        photo(name)
    found = run("llava_bench", OURS / "qa_questions.jsonl", OURS / "qa_answers.jsonl", images=photo("x.jpg").parent)
    assert [(s.id, s.meta["question_ids"]) for s in found.samples] == [
        ("test/000000441147", [0, 1, 2]), ("test/000000353536", [3, 4])
    ]  # fmt: skip
    assert text_of(found.samples[0])[:2] == [
        "<i0>What is the color of the two suitcases in the image?",
        "The colors of the two suitcases in the image are black and brown with yellow details.",
    ]
    assert found.rules() == [("turn", "unanswered")]


def test_captions_and_boxes(run, photo):
    photo("000000296284.jpg", 640, 480)
    photo("000000151358.jpg", 640, 480)
    sample = run("llava_boxes", OURS / "caps_boxes.jsonl", images=photo("x.jpg").parent).samples[0]
    assert len(sample.regions) == 10
    assert sample.regions[0].box == (236.8, 280.32, 322.56, 340.32)
    caption, boxes = text_of(sample)[1], text_of(sample)[3]
    assert caption == "A donut shop is full of different flavors of donuts."
    assert boxes.startswith("There are donuts [0.37, 0.56, 0.50, 0.66; ")


def turn(speaker, value):
    return {"from": speaker, "value": value}


USER, ASSISTANT = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}


@pytest.mark.parametrize(
    ("name", "row", "said", "task"),
    [
        ("sharegpt", {"conversations": [turn("chatgpt", "b")]}, "wrong-alternation", None),
        ("sharegpt", {"conversations": [turn("user", "a"), turn("bard", "b")]}, ["a", "b"], "instruction"),
        ("sharegpt", {"conversations": [USER, ASSISTANT, USER, ASSISTANT]}, ["a", "b", "a", "b"], "dialogue"),
        ("sharegpt", {"conversations": [turn("human", "a"), turn("human", "a")]}, "wrong-alternation", None),
        ("sharegpt", {"image": "a.jpg", "conversations": [turn("human", "a"), turn("gpt", "b")]}, "has-pictures", None),
        ("sharegpt", {"tools": "[{", "conversations": [turn("human", "a"), turn("gpt", "b")]}, "tools-invalid", None),
        (
            "sharegpt",
            {"conversations": [turn("human", "a"), turn("function_call", '[{"name": "f"}, {"name": "g"}]'),
                               turn("observation", "1"), turn("observation", "2"), turn("gpt", "b")]},
            ["a", '<tool_call>\n{"name": "f"}\n</tool_call>\n<tool_call>\n{"name": "g"}\n</tool_call>',
             "<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response>", "b"],
            "tool-use",
        ),
        ("ultrachat", {"data": ["a", "b", "c", "d"]}, ["a", "b", "c", "d"], "dialogue"),
        ("ultrachat", {"data": "a"}, "not-a-conversation", None),
        ("orca", {"id": "1", "system_prompt": "s", "question": "a", "response": "b"}, ["s", "a", "b"], "instruction"),
        ("orca", {"system_prompt": "", "question": "a", "response": " "}, "answer-empty", None),
        ("orca", {"system_prompt": "", "response": "b"}, "field-missing", None),
        ("flan", {"inputs": "a\n", "targets": "b"}, ["a\n", "b"], "instruction"),
        ("metamath", {"query": "a", "response": "b", "type": "t", "original_question": "o"}, ["a", "b"], "math"),
        ("mathinstruct", {"source": "data/a", "instruction": "a", "output": "b"}, ["a", "b"], "math"),
        ("alpaca", {"instruction": "a", "output": 5}, "field-invalid", None),
        ("alpaca", {"instruction": "", "input": "", "output": "b"}, "question-empty", None),
        ("alpaca", {"instruction": "a", "output": "b", "system": "s", "history": [["c", "d"]]},
         ["s", "c", "d", "a", "b"], "dialogue"),
        ("alpaca", {"instruction": "a", "output": "b", "history": [["c"]]}, "history-invalid", None),
        ("preferences", {"prompt": "a", "chosen": "b", "rejected": "c"}, ["a", "b"], "instruction"),
        ("preferences", {"prompt": "a", "chosen": [USER, ASSISTANT], "rejected": []}, ["a", "b"], "instruction"),
        ("preferences", {"prompt": [USER], "chosen": [ASSISTANT], "rejected": []}, ["a", "b"], "instruction"),
        ("preferences", {"conversations": [turn("human", "a")], "chosen": turn("gpt", "b"), "rejected": {}},
         ["a", "b"], "instruction"),
        ("preferences", {"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d", "rejected": ""},
         ["a", "b", "c", "d"], "dialogue"),
        ("preferences", {"chosen": "\n\nHuman: \n\nAssistant: b", "rejected": ""}, "turn-empty", None),
        ("preferences", {"prompt": "\n\nHuman: a\n\nAssistant:", "chosen": "b", "rejected": ""}, ["a", "b"],
         "instruction"),
        ("preferences", {"system": "s", "question": "a", "chosen": "b", "rejected": "c"}, ["s", "a", "b"],
         "instruction"),
        ("preferences", {"instruction": "a", "input": "i", "output": ["b", "c"]}, ["a\ni", "b"], "instruction"),
        ("preferences", {"prompt": "a", "chosen": None, "rejected": "c"}, "turn-invalid", None),
        ("messages", {"messages": [USER, ASSISTANT | {"content": None}]}, "turn-empty", None),
        ("messages", {"prompt": [USER], "completion": [ASSISTANT]}, ["a", "b"], "instruction"),
        ("messages", {"messages": [{"role": "developer", "content": "s"}, USER, ASSISTANT]}, ["s", "a", "b"],
         "instruction"),
        ("messages", {"messages": [USER, {"role": "assistant", "content": [
            {"type": "reasoning", "value": "Let me look."}, {"type": "tool_call", "value": '{"name": "f"}'},
            {"type": "tool_call", "value": '{"name": "g"}'}]},
            {"role": "tool", "content": [{"type": "text", "value": "4"}]},
            {"role": "assistant", "content": "It is 4."}]},
         ["a", '<think>\nLet me look.\n</think>\n\n<tool_call>\n{"name": "f"}\n</tool_call>\n'
               '<tool_call>\n{"name": "g"}\n</tool_call>', "<tool_response>\n4\n</tool_response>", "It is 4."],
         "tool-use"),
        ("messages", {"messages": [USER, {"role": "assistant", "content": "b", "reasoning_content": "Hm."}]},
         ["a", "<think>\nHm.\n</think>\n\nb"], "instruction"),
        ("preferences", {"chosen_messages": [USER, {"role": "assistant", "content": [{"type": "text", "value": "b"}]}],
                         "rejected_messages": [USER, {"role": "assistant", "content": "c"}]}, ["a", "b"],
         "instruction"),
        ("messages", {"messages": [USER, {"role": "assistant", "content": "b", "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}}]},
            {"role": "tool", "content": "2"}, ASSISTANT]},
         ["a", 'b\n<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>',
          "<tool_response>\n2\n</tool_response>", "b"], "tool-use"),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {
            "url": "https://a.b/c.jpg"}}]}, ASSISTANT]}, "image-remote", None),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "audio"}]}, ASSISTANT]}, "part-invalid", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_published_rows(run, tmp_path, name, row, said, task, kind):
    place = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        place.write_text(f"{json.dumps(row)}\n{json.dumps(row)}\n")
    else:
        try:
            pq.write_table(pa.Table.from_pylist([row, row]), place)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pytest.skip("a table cannot hold this row")
    found = run(name, place)
    if isinstance(said, str):
        assert [reject.rule for reject in found.rejects] == [said] * 2
        assert not found.samples
    else:
        assert [text_of(sample) for sample in found.samples] == [said] * 2
        assert [sample.task for sample in found.samples] == [task] * 2
        assert not found.rejects


def test_pictures_in_parts_stand_where_they_are_named(run, photo, write_json):
    path = photo()
    uri = "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()
    content = [
        {"type": "text", "text": "First "}, {"type": "image", "image": "a.jpg"}, {"type": "text", "text": " then "},
        {"type": "image_url", "image_url": {"url": uri}},
    ]  # fmt: skip
    found = run("messages", write_json([{"messages": [{"role": "user", "content": content}, ASSISTANT]}]))
    assert text_of(found.samples[0]) == ["First <i0> then <i1>", "b"]
    assert found.built[0].media == (path.read_bytes(),) * 2
    assert found.samples[0].task == "multi-image"


@pytest.mark.parametrize(
    ("content", "images", "expected"),
    [
        ([{"type": "image"}, {"type": "text", "text": "a"}], ["a.jpg"], ["<i0>a", "b"]),
        ("a\n<image>", ["a.jpg"], ["a<i0>", "b"]),
        ("a", ["a.jpg"], ["<i0>a", "b"]),
        ([{"type": "image"}], [], "image-not-named"),
        ([{"type": "image"}], ["a.jpg", "a.jpg"], "placeholder-count"),
        ("<image><image>", ["a.jpg"], "placeholder-count"),
    ],
)
def test_pictures_of_the_row_fill_the_parts(run, photo, write_json, content, images, expected):
    photo()
    found = run(
        "messages", write_json([{"messages": [{"role": "user", "content": content}, ASSISTANT], "images": images}])
    )
    said = [text_of(sample) for sample in found.samples] + [reject.rule for reject in found.rejects]
    assert said == [expected]


def test_an_answer_of_weight_0_is_not_learned(run, write_json):
    talk = [USER, ASSISTANT | {"weight": 0}, USER, ASSISTANT | {"weight": 1}]
    sample = run("messages", write_json([{"messages": talk}])).samples[0]
    assert [m.supervise for m in sample.messages if m.role == "assistant"] == [False, True]


def test_a_table_that_names_pictures_knows_them_in_the_plan(run, photo, tmp_path):
    photo()
    row = {"id": "x", "image": "a.jpg", "conversations": [turn("human", "<image>\na"), turn("gpt", "b")]}
    pq.write_table(pa.Table.from_pylist([row, row | {"image": "gone.jpg"}]), tmp_path / "a.parquet")
    found = run("llava", tmp_path / "a.parquet", images=tmp_path)
    assert [record.media[0].size > 0 for record in found.records] == [True, False]
    assert [s.id for s in found.samples] == ["test/x"]
    assert found.rules() == [("image", "image-missing")]
