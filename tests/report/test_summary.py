"""The promise: numbers are exact, whatever points at what."""

import shutil
from collections import Counter

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from samples import picture_sample, png, text_sample

from sphinx_data import DatasetWriter, open_dataset
from sphinx_data.dataset import columns
from sphinx_data.errors import InputError, UsageError
from sphinx_data.licenses import combine
from sphinx_data.mix import build, recipe
from sphinx_data.report.shares import LOCK
from sphinx_data.report.summary import FIELDS, summarise
from sphinx_data.report.tally import Tally
from sphinx_data.sample import Reject, TextPart


def characters(sample, targets=False):
    return sum(
        len(part.text)
        for message in sample.messages
        for part in message.content
        if isinstance(part, TextPart) and (not targets or (message.role == "assistant" and message.supervise))
    )


def agrees(dataset):
    """Compare a summary with a count over every sample."""
    found = summarise(dataset)
    samples = [example.sample for example in dataset]
    images = [image for sample in samples for image in sample.images]
    assert found.total.samples == len(samples)
    assert found.total.images == len(images)
    assert found.total.chars == sum(map(characters, samples))
    assert found.total.target_chars == sum(characters(sample, True) for sample in samples)
    for field in FIELDS:
        values = Counter(getattr(sample, field) or "unknown" for sample in samples)
        assert {value: amounts.samples for value, amounts in found.fields[field].items()} == values
        assert sum(amounts.images for amounts in found.fields[field].values()) == len(images)
    assert found.crossed == Counter((sample.source, sample.task) for sample in samples)
    flags = {True: "yes", False: "no", None: "unknown"}
    licences = Counter(
        (s.license, flags[combine([s.license, *(i.license for i in s.images)]).commercial]) for s in samples
    )
    assert Counter({(x.license, x.commercial): x.samples for x in found.licences}) == licences
    by_name = {distribution.name: distribution for distribution in found.distributions}
    for name, values in {
        "Characters a sample": [characters(sample) for sample in samples],
        "Images a sample": [len(sample.images) for sample in samples],
        "Regions a sample": [len(sample.regions) for sample in samples],
        "Image width, pixels": [image.width for image in images],
    }.items():
        assert by_name[name].count == len(values)
        assert by_name[name].total == sum(values)
        assert sum(item.count for item in by_name[name].bins) == len(values)
        if values:
            assert by_name[name].percentiles[50] == np.percentile(values, 50, method="inverted_cdf")
            assert (by_name[name].smallest, by_name[name].largest) == (min(values), max(values))
    assert sum(found.sizes.values()) == len(images)
    return found


def test_a_physical_dataset_agrees_with_a_count_over_its_samples(make_dataset):
    agrees(open_dataset(make_dataset("a")))


def test_an_empty_dataset_has_a_summary(make_dataset):
    assert agrees(open_dataset(make_dataset("a", pictures=0, texts=0))).total.samples == 0


def test_a_mix_counts_every_sample_as_often_as_it_is_used(mixed):
    found = agrees(mixed)
    ids = Counter(example.sample.id for example in mixed)
    a, b = found.shares
    assert sum(times * rows for times, rows in a.repeats.items()) == a.amounts.samples
    for share, rows in ((a, 42), (b, 13)):
        uses = Counter(ids[f"{share.name}/{number}"] for number in range(rows))
        assert share.repeats == uses
    assert (a.asked, b.asked) == ("weight 1", "epochs 3")
    assert a.requested == a.realised == pytest.approx(a.amounts.samples / 61)
    assert b.requested is None
    assert a.dropped["holdout"] == a.rows - a.selected


def test_a_mix_of_a_mix_is_followed_to_the_samples(mixed, make_dataset, tmp_path):
    other = open_dataset(make_dataset("c", pictures=4, texts=1))
    made = recipe.check({"name": "deep", "sources": [{"dataset": "m", "epochs": 2}, {"dataset": "c"}]}, "r.yaml")
    build.build(made, str(tmp_path / "deep"), {"": str(tmp_path)}, "r.yaml")
    found = agrees(open_dataset(str(tmp_path / "deep")))
    assert [share.amounts.samples for share in found.shares] == [2 * len(mixed), len(other)]


def test_rows_are_counted_alike_in_many_pieces(mixed, monkeypatch):
    whole = summarise(mixed)
    monkeypatch.setattr("sphinx_data.report.stream._ROWS", 7)
    assert summarise(mixed) == whole


def test_rules_have_levels_counts_and_the_first_five(tmp_path):
    with DatasetWriter(str(tmp_path / "a"), "a") as writer:
        writer.add(text_sample("a", 0))
        for number in range(9):
            level = "image" if number % 3 else "region"
            writer.reject(Reject(input="f", record=str(number), level=level, rule="too-small", detail="It is small."))
        writer.reject(Reject(input="g", level="file", rule="unreadable"))
    small, unreadable = summarise(open_dataset(str(tmp_path / "a"))).rules
    assert (small.rule, small.levels) == ("too-small", {"image": 6, "region": 3})
    assert [example.record for example in small.examples] == ["0", "1", "2", "3", "4"]
    assert (unreadable.rule, unreadable.count, unreadable.dataset) == ("unreadable", 1, "a")


def test_columns_beside_a_dataset_are_described(make_dataset):
    dataset = open_dataset(make_dataset("a", pictures=6, texts=0))
    verdict = {"keep": [True, True, True, False, False, False], "rule": [None, None, None, "same", "same", "blank"]}
    columns.write(dataset, "dedup", pa.table(verdict), {})
    columns.write(dataset, "lengths-k1", pa.table({"tokens": [0, 5, 6, 7, 8, 9], "views": [0, 1, 1, 1, 1, 5]}), {})
    columns.write(dataset, "lengths-k2", pa.table({"tokens": [1] * 6, "views": [1] * 6}), {})
    columns.write(
        dataset, "score", pa.table({"blur": [0.5, 1.5, None, float("nan"), 2.5, 3.5], "word": list("aabbbb")}), {}
    )
    dedup, first, second, score = summarise(dataset).columns
    assert (dedup.kept, dedup.dropped) == (3, {"same": 2, "blank": 1})
    assert (first.kind, first.refused, first.numbers[0].largest, second.refused) == ("lengths", 1, 9, 0)
    assert (score.numbers[0].count, score.numbers[0].mean) == (4, 2)
    assert score.words == {"word": {"b": 4, "a": 2}}
    assert [c.name for c in summarise(dataset, "k2").columns] == ["dedup", "lengths-k2", "score"]
    with pytest.raises(UsageError, match="lengths-k1, lengths-k2"):
        summarise(dataset, "k3")


def test_a_column_made_for_other_data_is_named_not_shown(make_dataset, tmp_path):
    other = open_dataset(make_dataset("b"))
    dataset = open_dataset(make_dataset("a"))
    columns.write(other, "dedup", pa.table({"keep": [True] * 25}), {}, str(tmp_path / "a/columns"))
    (column,) = summarise(dataset).columns
    assert column.kind == "unusable"
    assert "another" in column.problem or "was made for" in column.problem
    assert str(tmp_path) not in column.problem


def test_unknown_licences_stay_unknown(tmp_path):
    with DatasetWriter(str(tmp_path / "a"), "a") as writer:
        for number, licence in enumerate(["unknown", "CC-BY-NC-4.0", "MIT"]):
            sample = msgspec.structs.replace(picture_sample("a", number), license=licence)
            writer.add(sample, [png((1, 2, 3))])
    found = {x.license: (x.commercial, x.redistribute) for x in summarise(open_dataset(str(tmp_path / "a"))).licences}
    assert found == {"unknown": ("unknown", "unknown"), "CC-BY-NC-4.0": ("no", "yes"), "MIT": ("yes", "yes")}


@pytest.mark.parametrize("values", [[3], [0, 0, 1], list(range(100)), [1] * 50 + [10**6], [70_000, 3, 3, 2**31]])
def test_percentiles_and_bins_are_exact(values):
    tally = Tally("x")
    for start in range(0, len(values), 3):
        some = np.array(values[start : start + 3])
        tally.add(some, np.full(len(some), 2))
    found = tally.distribution()
    doubled = sorted(values * 2)
    assert (found.count, found.total) == (len(doubled), sum(doubled))
    for percent, value in found.percentiles.items():
        assert value == np.percentile(doubled, percent, method="inverted_cdf")
    assert [item.count for item in found.bins] == [sum(b.low <= v < b.high for v in doubled) for b in found.bins]
    assert sum(item.count for item in found.bins) == len(doubled)


def test_groups_and_units_are_told_as_the_recipe_tells_them(make_dataset, tmp_path):
    for name in "abc":
        make_dataset(name, pictures=10, texts=5)
    groups = {"talk": {"weight": 1, "sources": [{"dataset": "b", "weight": 3}, {"dataset": "c", "weight": 1}]}}
    sources = [{"dataset": "a", "weight": 1}]
    raw = {"name": "g", "sources": sources, "groups": groups, "unit": "target_chars", "total": 100}
    build.build(recipe.check(raw, "r.yaml"), str(tmp_path / "g"), {"": str(tmp_path)}, "r.yaml")
    found = agrees(open_dataset(str(tmp_path / "g")))
    assert [share.asked for share in found.shares] == ["weight 1", "weight 3 in talk", "weight 1 in talk"]
    assert {share.unit for share in found.shares} == {"target_chars"}
    for share, wanted in zip(found.shares, (0.5, 0.375, 0.125), strict=True):
        assert share.requested == pytest.approx(wanted, abs=1e-6)
        assert share.realised == pytest.approx(share.amounts.target_chars / found.total.target_chars)


def test_shards_made_of_a_mix_tell_its_shares(mixed, make_dataset, tmp_path):
    place = make_dataset("shards")
    shutil.copy(f"{mixed.directory}/{LOCK}", place)
    of_shards, of_mix = summarise(open_dataset(place)), summarise(mixed)
    assert [share.name for share in of_shards.shares] == ["a", "b"]
    for here, there in zip(of_shards.shares, of_mix.shares, strict=True):
        assert msgspec.structs.replace(there, repeats={}) == here
    (tmp_path / "shards" / LOCK).write_text("{")
    with pytest.raises(InputError, match="is not a mix lock"):
        summarise(open_dataset(place))
