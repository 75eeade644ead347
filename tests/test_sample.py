import datetime
import math
from pathlib import Path

import msgspec
import pytest
from samples import picture_sample, text_sample

from sphinx_data import sample
from sphinx_data.errors import InvalidSample

DOCS = Path(__file__).parents[1] / "docs"


def test_the_json_schema_in_the_docs_is_current():
    """Write it again with: python -m sphinx_data.sample > docs/sample.schema.json"""
    stored = msgspec.json.decode((DOCS / "sample.schema.json").read_bytes())
    assert stored == msgspec.json.decode(msgspec.json.encode(sample.json_schema()))


def test_every_task_and_domain_is_in_the_contracts():
    text = (DOCS / "contracts.md").read_text()
    section = text[text.index("**2.3**") : text.index("## 3.")]
    assert [task for task in sample.TASKS if task not in section.replace("|", ",").replace(" ", "").split(",")] == []
    assert all(domain in section for domain in sample.DOMAINS)


@pytest.mark.parametrize("made", [picture_sample("a", 3), text_sample("b", 4)])
def test_equal_samples_have_equal_bytes_however_they_were_made(made):
    data = sample.encode(made)
    assert sample.decode(data) == made
    assert sample.encode(sample.decode(data)) == data
    whole = msgspec.structs.replace(made, split="".join(["tr", "ain"]), meta=dict(reversed(made.meta.items())))
    assert sample.encode(whole) == data


def test_whole_numbers_and_floats_are_one_coordinate():
    made = picture_sample("a", 0)
    region = msgspec.structs.replace(made.regions[0], box=(1.0, 2.0, 5.5, 6.0))
    assert sample.encode(msgspec.structs.replace(made, regions=(region,))) == sample.encode(made)


def test_unknown_fields_are_ignored_by_readers_and_named_to_writers():
    raw = msgspec.json.decode(sample.encode(picture_sample("a", 0)))
    raw["messages"][1]["content"][1]["colour"] = "red"
    data = msgspec.json.encode(raw)
    assert sample.decode(data) == picture_sample("a", 0)
    with pytest.raises(InvalidSample, match=r"mine.jsonl:7: unknown field messages\[1\].content\[1\].colour"):
        sample.decode_strict(data, "mine.jsonl:7")
    with pytest.raises(InvalidSample, match=r"mine.jsonl:8: Object missing required field `id`"):
        sample.decode_strict(b"{}", "mine.jsonl:8")


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_that_json_lacks_are_refused_where_nobody_looks(number):
    """A key point that is absent may lie anywhere, but its place is a number."""
    made = picture_sample("a", 0)
    region = msgspec.structs.replace(made.regions[0], keypoints=((number, 1.0, 0), (2.0, 2.0, 2)))
    with pytest.raises(InvalidSample, match="keypoints"):
        sample.encode(msgspec.structs.replace(made, regions=(region,)))


def test_facts_are_kept_as_json_has_them():
    facts = {"b": [1, 2.5, None, (3, "null")], "a": {"b": b"12", "a": datetime.date(2024, 2, 3)}}
    data = sample.encode(msgspec.structs.replace(picture_sample("a", 0), meta=facts))
    assert sample.decode(data).meta == {"a": {"a": "2024-02-03", "b": "MTI="}, "b": [1, 2.5, None, [3, "null"]]}
    assert b'"meta":{"a":{"a":"2024-02-03"' in data
    with pytest.raises(InvalidSample, match="str keys"):
        sample.encode(msgspec.structs.replace(picture_sample("a", 0), meta={"a": {1: 2}}))
