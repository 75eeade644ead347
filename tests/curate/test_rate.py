"""Ratings by a real server on loopback that misbehaves; killed and gone on with; built again from the record."""

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from model_server import ModelServer, Reply
from msgspec.structs import replace
from photos import damaged_png, encoded, photo
from PIL import Image as Pictures
from samples import picture_sample, text_sample

from sphinx_data import open_dataset
from sphinx_data.cli import group
from sphinx_data.cli import run as cli
from sphinx_data.curate import prompt as prompts
from sphinx_data.curate.prompt import Unrated, dialogue
from sphinx_data.dataset import columns
from sphinx_data.dataset.verify import verify
from sphinx_data.errors import UsageError
from sphinx_data.mix import build, recipe
from sphinx_data.sample import RegionPart

PROMPT = """
system: You rate.
question: "How good is this?\\n{dialogue}"
fields:
  relevance: {type: integer, minimum: 1, maximum: 5}
  why: {type: string}
"""
KEY = "sk-very-secret"


def number_of(body) -> int:
    """Which sample is asked about: the tests' answers end in its number."""
    user = next(message for message in body["messages"] if message["role"] == "user")["content"]
    text = user if isinstance(user, str) else user[0]["text"]
    return int(re.findall(r"(?:red|text\.) (\d+)", text)[-1])


def good(number: int) -> str:
    return json.dumps({"relevance": 1 + number % 5, "why": f"n{number}"})


@pytest.fixture
def serve(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (tmp_path / "p.yaml").write_text(PROMPT)
    servers = []

    def serve(reply=lambda body: Reply(good(number_of(body)))):
        servers.append(ModelServer(lambda _, body: reply(body)))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


def rate(place, server, *more, prompt="p.yaml") -> list[str]:
    endpoint = ["--endpoint", server.url] if server else []
    file = str(Path(place).parent / prompt)
    return ["measure", place, "--model", "m", "--prompt", file, "--name", "quality", *endpoint, *more]


def files(folder) -> dict[str, bytes]:
    """The column's files, without the record."""
    found = (p for p in sorted(Path(folder).rglob("*")) if p.is_file() and p.suffix != ".jsonl")
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


def values(place, field="relevance"):
    return columns.read(open_dataset(place), "quality")[field].to_pylist()


def test_a_rating_is_a_column_that_a_mix_weighs_by(many, serve, tmp_path, capfd):
    server = serve()
    assert cli(group, rate(many, server, "--json"), "x") == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["answers"] == {"asked": 40, "recorded": 0, "prompt_tokens": 400, "completion_tokens": 120}
    assert values(many) == [1 + n % 5 for n in range(40)]
    assert list(verify(open_dataset(many))) == []
    assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]
    ratings = {"column": "quality", "field": "relevance", "table": {1: 0, 2: 0, 3: 1, 4: 1, 5: 2}}
    made = recipe.check({"name": "m", "sources": [{"dataset": "many", "epochs": 1, "ratings": ratings}]}, "r.yaml")
    build.build(made, str(tmp_path / "m"), {"": str(tmp_path)}, "r.yaml")
    assert len(open_dataset(str(tmp_path / "m"))) == 8 + 8 + 16


@pytest.mark.parametrize("rows", [1, 40])
def test_requests_go_out_in_parallel_whatever_the_parts(write, serve, rows):
    place = write("texts", [None] * 40, rows)
    server = serve(lambda body: Reply(good(number_of(body)), stall=0.1))
    assert cli(group, rate(place, server, "--parallel", "10"), "x") == 0
    assert min(late - early for early, late in zip(server.times, server.times[3:], strict=False)) < 0.1
    assert values(place) == [1 + n % 5 for n in range(40)]


def test_what_is_asked(many, serve):
    server = serve()
    assert cli(group, rate(many, server, "--parallel", "1"), "x") == 0
    first, text = json.loads(server.bodies[0]), json.loads(server.bodies[3])
    assert first["messages"][0] == {"role": "system", "content": "You rate."}
    asked, shown = first["messages"][1]["content"]
    dialogue = "User: [picture 1]\nWhat colour is it?\n\nAssistant: red 0 thing [0.05, 0.12, 0.28, 0.38]"
    assert asked["text"] == f"How good is this?\n{dialogue}"
    assert base64.b64decode(shown["image_url"]["url"].partition(",")[2]) == open_dataset(many)[0].images[0]
    assert first["response_format"]["json_schema"]["schema"] == {
        "type": "object", "required": ["relevance", "why"], "additionalProperties": False,
        "properties": {"relevance": {"type": "integer", "minimum": 1, "maximum": 5}, "why": {"type": "string"}},
    }  # fmt: skip
    assert text["messages"][1]["content"].endswith("Assistant: A page of text. 3")


def test_pictures_are_made_smaller_or_left_out(write, serve):
    wide = photo("coffee.jpg").resize((1800, 900))
    place = write("some", [encoded(wide, "JPEG"), damaged_png(), encoded(wide.convert("RGBA"))])
    server = serve()
    assert cli(group, rate(place, server, "--parallel", "1"), "x") == 0
    sent = [json.loads(body)["messages"][1]["content"][1]["image_url"]["url"] for body in server.bodies]
    sizes = [Pictures.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size for url in sent]
    assert sizes == [(768, 384), (12, 8), (768, 384)]  # a small one goes as it is, whatever its pixels are
    server.bodies.clear()
    assert cli(group, rate(place, server, "--no-images", "--force"), "x") == 0
    assert all(isinstance(json.loads(body)["messages"][1]["content"], str) for body in server.bodies)


def test_wrong_answers_are_asked_again_twice_then_null_and_counted(many, serve, capfd):
    bad = {
        0: "It is good.", 1: '{"relevance": 3}', 2: '{"relevance": 3, "why": "", "more": 1}',
        3: '{"relevance": 6, "why": ""}', 4: '{"relevance": "3", "why": ""}', 5: "[1]",
        6: '{"relevance": true, "why": ""}', 7: '{"relevance": 3.5, "why": ""}', 8: "",
    }  # fmt: skip
    seen = Counter()

    def reply(body):
        number = number_of(body)
        seen[number] += 1
        if number == 9:
            return Reply('{"relevance": ', finish="length")
        if number == 10:
            return Reply(status=400, body=b'{"error": {"message": "too many tokens"}}')
        if number == 11 and len(body["messages"]) < 6:
            return Reply("Let me think")
        return Reply(bad.get(number, f"```json\n{good(number)}\n```"))

    server = serve(reply)
    assert cli(group, rate(many, server), "x") == 0
    assert seen == Counter(range(40)) + Counter(dict.fromkeys((*range(10), 11), 2))
    err = capfd.readouterr().err
    failed = columns.info(open_dataset(many), "quality").failed
    assert failed == {
        "not-json": 3, "missing-field": 1, "extra-field": 1, "wrong-value": 4, "too-long": 1, "refused": 1,
    }  # fmt: skip
    assert values(many)[:13] == [None] * 11 + [2, 3]
    assert "quality is null for sample 'many/0'" in err
    last = max((json.loads(body)["messages"] for body in server.bodies if number_of(json.loads(body)) == 3), key=len)
    assert last[-1]["content"].startswith("The field relevance must be at most 5. Answer again, with one JSON object")
    before = files(Path(many) / "columns")
    server.close()
    assert cli(group, rate(many, None, "--force"), "x") == 0  # refusals and wrong answers lie in the record too
    assert files(Path(many) / "columns") == before


def test_a_default_stands_where_there_is_no_rating(many, serve, tmp_path):
    (tmp_path / "d.yaml").write_text(PROMPT.replace("maximum: 5", "maximum: 5, default: 0"))
    server = serve(lambda body: Reply("no" if number_of(body) == 1 else good(number_of(body))))
    assert cli(group, rate(many, server, prompt="d.yaml"), "x") == 0
    assert values(many)[:3] == [1, 0, 3]
    assert columns.info(open_dataset(many), "quality").failed == {"not-json": 1}


def test_killed_and_resumed_asks_nothing_twice_and_gives_the_same_bytes(many, serve, tmp_path):
    server = serve(lambda body: Reply(good(number_of(body)), stall=0.03))
    run = "import sys; from sphinx_data.cli import main; main()"
    command = [sys.executable, "-c", run, *rate(many, server, "--parallel", "2")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=dict(os.environ))
    record = Path(many) / "columns/quality.answers.jsonl"
    while process.poll() is None and not (record.exists() and record.read_bytes().count(b"\n") >= 15):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = record.read_bytes()
    done = kept.count(b"\n")
    assert 15 <= done < 40
    time.sleep(0.1)
    before = len(server.bodies)
    assert before <= done + 2  # what was under way
    record.write_bytes(kept + b'{"key":"00')  # cut by a kill in the middle of a line
    assert cli(group, rate(many, server, "--parallel", "8"), "x") == 0
    assert len(server.bodies) - before == 40 - done
    assert len(set(server.bodies[before:])) == 40 - done
    assert record.read_bytes().startswith(kept)
    assert cli(group, rate(many, server, "--columns", str(tmp_path / "whole")), "x") == 0
    assert files(Path(many) / "columns") == files(tmp_path / "whole")


def test_a_busy_server_costs_time_only(many, serve):
    seen = Counter()

    def reply(body):
        number = number_of(body)
        seen[number] += 1
        if seen[number] == 1 and number % 10 == 0:
            return [Reply(status=429, headers={"Retry-After": "0.05"}), Reply(cut=30), Reply("x", stall=1),
                    Reply(status=500, headers={"Retry-After": "0"})][number // 10]  # fmt: skip
        return Reply(good(number))

    assert cli(group, rate(many, serve(reply), "--timeout", "0.3"), "x") == 0
    assert values(many) == [1 + n % 5 for n in range(40)]


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        (["--endpoint", "ftp://x"], 2, "give an address that begins with http"),
        (["--endpoint", "http://127.0.0.1:9/v1"], 3, "not reachable"),
        ([], 3, "holds no answer to one of the requests; give --endpoint URL"),
        (["--name", "answer"], 2, "is a measure of this package"),
        (["--function", "hooks:digits"], 2, "--function and --prompt"),
        (["--prompt", "nowhere.yaml"], 3, "No such file"),
        (["--model", ""], 2, "--model NAME"),
    ],
)
def test_refusals(many, serve, more, status, message, capfd):
    serve()
    assert cli(group, [*rate(many, None), *more], "x") == status
    err = capfd.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_a_wrong_key_ends_the_run_in_one_line(many, serve, capfd):
    server = serve(lambda body: Reply(status=401))
    assert cli(group, rate(many, server), "x") == 2
    err = capfd.readouterr().err
    assert len(err.splitlines()) == 1
    assert "refuses the key in OPENAI_API_KEY" in err
    assert len(server.bodies) <= 16
    assert KEY not in err
    assert cli(group, ["measure", many, "--endpoint", server.url], "x") == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("question:", "questions:", "questions"),
        ("integer", "int", "fields"),
        ("minimum: 1", "minimum: 9", "its minimum 9 is above its maximum 5"),
        ("type: string", "type: string, minimum: 1", "a string has no minimum"),
        ("relevance:", "Re-levance:", "use small letters"),
        ("maximum: 5", "maximum: 5, default: good", "fields.relevance.default: must be of type integer"),
        ("{dialogue}", "", "is the same for every sample"),
        ("fields:", "fields: {}\nextra:", "is empty; name what the answer holds"),
        ("system: ", "system: [", "is not YAML"),
    ],
)
def test_prompts_that_are_none(tmp_path, old, new, message):
    (tmp_path / "p.yaml").write_text(PROMPT.replace(old, new))
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        prompts.load(str(tmp_path / "p.yaml"), images=False)
    assert str(caught.value).startswith(str(tmp_path / "p.yaml"))


def test_values_of_every_type(tmp_path):
    fields = "{a: {type: number}, b: {type: boolean}, c: {type: string, enum: [x, y]}}"
    (tmp_path / "p.yaml").write_text(f"question: q\nfields: {fields}")
    prompt = prompts.load(str(tmp_path / "p.yaml"), images=True)
    assert prompt.values('{"c": "x", "a": 2, "b": false}') == {"a": 2.0, "b": False, "c": "x"}
    for wrong in ('{"a": 1e999, "b": true, "c": "x"}', '{"a": 1, "b": 1, "c": "x"}', '{"a": 1, "b": true, "c": "z"}'):
        with pytest.raises(Unrated):
            prompt.values(wrong)


def test_dialogues_as_text():
    sample = picture_sample("p", 0)
    marked = replace(sample, regions=(replace(sample.regions[0], mark="7"),))
    part = RegionPart(regions=(0,), form="mark")
    marked = replace(marked, messages=(replace(sample.messages[1], content=(part,)),))
    assert dialogue(marked) == "Assistant: <Mark 7>"
    assert dialogue(text_sample("t", 4)) == "Assistant: A page of text. 4"
