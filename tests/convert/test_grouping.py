"""Grouping items of large files: the same groups whether they fit into memory or wait in a file."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sphinx_data.convert._common import UniqueIds
from sphinx_data.convert._groups import Groups
from sphinx_data.convert._json_items import JsonFile
from sphinx_data.convert._sorted_rows import ROW, SortedRows

GAPS = st.sampled_from([", ", ",", ",\n  ", " ,\n", ",\n\n"])


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6000), st.integers(1, 4000), st.sampled_from([1, 64, 1000]), st.integers(0, 2**32))
def test_rows_that_do_not_fit_are_the_same_as_those_that_do(count, keys, at_once, seed):
    rows = np.zeros(count, ROW)
    rows["key"] = np.random.default_rng(seed).integers(0, keys, count) ** 2 % keys
    rows["number"] = np.arange(count)
    in_file, in_memory = SortedRows(held=50), SortedRows()
    for start in range(0, count, at_once):
        in_file.add(rows[start : start + at_once])
        in_memory.add(rows[start : start + at_once])
    expected = rows[np.lexsort((rows["number"], rows["key"]))]
    for sorted_rows in (in_file, in_memory):
        assert np.array_equal(np.concatenate(list(sorted_rows.blocks())), expected)
        for key in (0, keys // 2, keys - 1, keys):
            place, found = sorted_rows.find(key)
            assert np.array_equal(found["number"], rows["number"][rows["key"] == key])
            assert not len(found) or np.array_equal(expected[place : place + len(found)], found)


@pytest.mark.parametrize("held", [3, 1000])
@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(st.none(), st.integers(0, 9), st.sampled_from(["7", "07", "a", "é"]))), st.data())
def test_groups_are_those_of_a_dictionary(tmp_path_factory, held, keys, data):
    path = tmp_path_factory.mktemp("groups") / "a.json"
    path.write_text(json.dumps([{"key": key, "n": n} for n, key in enumerate(keys)]))
    expected: dict = {}
    for number, key in enumerate(keys):
        expected.setdefault(None if key is None else str(key), []).append(number)
    with JsonFile(str(path)) as file:
        items = list(file.items())
        both = Groups(file, held), Groups(file, held)
        for item, key in zip(items, keys, strict=True):
            both[0].add(None if key is None else str(key), item)
        sizes = np.array([len(item.raw) for item in items], np.int64)
        both[1].extend(keys, np.array([item.offset for item in items], np.int64), sizes, [0] * len(keys))
        wanted = data.draw(st.lists(st.sampled_from([*expected, "no such"]), unique=True))
        for groups in both:
            assert [[number for number, _ in group] for group in groups.by_key()] == list(expected.values())
            for key in wanted:
                assert [json.loads(raw)["n"] for _, raw in groups.take(key)] == expected.get(key, [])
                assert groups.take(key) == []
            left = [number for number, key in enumerate(keys) if (None if key is None else str(key)) not in wanted]
            assert [json.loads(raw)["n"] for _, raw in groups.rest()] == left


VALUES = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(st.sampled_from('ab{}[]",\\ é'), max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=4)),
    max_leaves=6,
)


@settings(deadline=None, max_examples=200)
@given(st.lists(VALUES, max_size=40), st.lists(GAPS, min_size=1, max_size=3), st.integers(1, 12))
def test_items_of_a_list_are_those_that_json_reads(tmp_path_factory, values, gaps, change):
    """Whatever stands between them, and wherever that changes."""
    text = "["
    for number, item in enumerate(values):
        text += (gaps[number // change % len(gaps)] if number else " ") + json.dumps(item, ensure_ascii=False)
    path = tmp_path_factory.mktemp("items") / "a.json"
    path.write_text(f'{{"list": {text}\n]}}', "utf-8")
    with JsonFile(str(path)) as file:
        member = file.members()["list"]
        found = list(file.children(member))
        assert [json.loads(item.raw) for item in found] == values
        assert [item.place for item in found] == [str(number) for number in range(len(values))]
        assert [file.read(item.offset, len(item.raw)) for item in found] == [item.raw for item in found]
        at_once = [span for run in file.runs(member) for span in run.spans()]
        assert [span.raw for span in at_once] == [item.raw for item in found]


def test_ids_stay_unique_beyond_those_held_as_they_came():
    unique = UniqueIds("s")
    names = [*range(150_000), 3, 70_000, 3, "3~2"]
    found = [unique(name) for name in names]
    assert len(set(found)) == len(names)
    assert found[-4:] == ["s/3~2", "s/70000~2", "s/3~3", "s/3~2~2"]
