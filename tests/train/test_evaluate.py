"""Does the model use its eyes? The pairs, the test, a model that learned to look, and the page that shows it."""

import json
import math
import random

import numpy as np
import pytest
from msgspec.structs import replace
from samples import picture_sample, png, text_sample

from sphinx_data import DatasetWriter, open_dataset
from sphinx_data.dialects import dialect
from sphinx_model.evaluate import evaluate, paired_p_value, swapped, t_tail

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "grey": (128, 128, 128)}
NASTY = '<script>alert(1)</script> & "quotes" https://example.org/x.js'


def colours(place, count, seed, question="What colour is it?"):
    """Pictures of four colours, no two alike, and the question for them."""
    rng = random.Random(seed)
    with DatasetWriter(str(place), place.name) as writer:
        for number in range(count):
            name = list(COLOURS)[number % 4]
            shade = tuple(value + rng.randrange(-20, 20) for value in COLOURS[name])
            writer.add(picture_sample(place.name, number, question=question, answer=name), [png(shade)])
        writer.add(text_sample(place.name, count), [])
    return str(place)


@pytest.fixture
def seeing(write_recipe, sphinx_train, tmp_path):
    """A run that learned colours, with its held-out set."""
    data, held = (
        colours(tmp_path / "train", 240, 0),
        colours(tmp_path / "held", 60, 1, question=f"{NASTY} What colour?"),
    )
    recipe = write_recipe(
        data, holdout=held, steps=None, epochs=4, pack={"tokens": 512, "views": 64, "batch": 4, "micro_batch": 4},
        optim={"lr": 4e-3, "warmup": 0.1},
    )  # fmt: skip
    status, said = sphinx_train(recipe)
    assert status == 0, said
    return tmp_path / "run", held, said


def test_a_model_that_looks_loses_by_a_swapped_picture(seeing):
    out, _, said = seeing
    found = json.loads((out / "evaluation.json").read_text())
    assert found["samples"] == 61
    assert found["pairs"] == 60
    assert found["loss_right"] < found["loss_swapped"]
    assert found["p_value"] < 0.01
    assert found["better"] > 0.5
    assert found["by_source"] == {"held": [60, found["loss_right"], found["loss_swapped"]]}
    assert "right image" in said
    assert len(found["answers"]) == 12
    assert {answer["truth"].split()[0] for answer in found["answers"]} <= set(COLOURS)
    page = (out / "report.html").read_text()
    assert page.count("<script") == 1
    assert "&lt;script&gt;alert(1)" in page
    assert page.count('class="card asked"') == 12


def test_a_model_that_has_not_learned_to_look_does_not_pass(make_model, processor, tmp_path):
    held = open_dataset(colours(tmp_path / "held", 40, 1))
    model = make_model()
    model.model.connector.requires_grad_(False)
    for parameter in model.model.connector.parameters():
        parameter.data.zero_()
    found = evaluate(model, processor, held, dialect("sphinx"), range(41), tmp_path / "e.json", 0, answers=1)
    assert found.pairs == 40
    assert found.loss_right == found.loss_swapped
    assert found.p_value == 1.0


def test_pairs_never_exchange_equal_pictures_or_other_layouts(processor, make_dataset, tmp_path):
    shared = open_dataset(make_dataset("shared", 40, 3, shared=4))  # four questions about every picture
    partners = swapped(shared, range(43), processor, 0)
    hashes = [[image["xxh3"] for image in images] for images in shared.table(["images"])["images"].to_pylist()]
    assert 20 <= len(partners) <= 40
    assert all(hashes[row] != hashes[other] for row, other in partners.items())
    assert not set(partners) & {40, 41, 42}
    assert swapped(open_dataset(make_dataset("one", 6, 0, shared=6)), range(6), processor, 0) == {}
    few = swapped(shared, range(0, 43, 5), processor, 0)
    assert {*few, *few.values()} <= set(range(0, 43, 5))


def test_a_damaged_picture_is_counted_and_left_out(make_model, processor, tmp_path):
    with DatasetWriter(str(tmp_path / "held"), "held") as writer:
        for number in range(8):
            data = png((number, 100, 50), 96, 64)
            sample = picture_sample("held", number)

            sample = replace(sample, images=(replace(sample.images[0], width=96, height=64),))
            writer.add(sample, [data[:60] if number == 3 else data])
    held = open_dataset(str(tmp_path / "held"))
    found = evaluate(make_model(), processor, held, dialect("sphinx"), range(8), tmp_path / "e.json", 0, answers=2)
    assert (found.samples, found.unreadable) == (7, 1)
    assert 5 <= found.pairs <= 6
    assert "1 samples cannot be read" in found.sentence()


def test_where_no_pictures_can_be_exchanged_the_sentence_says_so(make_model, processor, tmp_path):
    with DatasetWriter(str(tmp_path / "held"), "held") as writer:
        for number in range(3):
            writer.add(text_sample("held", number), [])
    held = open_dataset(str(tmp_path / "held"))
    found = evaluate(make_model(), processor, held, dialect("sphinx"), range(3), tmp_path / "e.json", 0, answers=2)
    assert found.sentence().endswith("over 3 samples; no two samples whose single pictures could be exchanged")
    assert json.loads((tmp_path / "e.json").read_text())["loss_right"] is None


@pytest.mark.parametrize(
    ("t", "freedom", "expected"),
    [  # tables of Student's distribution
        (6.314, 1, 0.05), (2.920, 2, 0.05), (2.262, 9, 0.025), (2.764, 10, 0.01), (2.660, 60, 0.005),
        (3.174, 100, 0.001), (1.645, 1_000_000, 0.05),
    ],
)  # fmt: skip
def test_tails_are_those_of_the_tables(t, freedom, expected):
    assert t_tail(t, freedom) == pytest.approx(expected, rel=2e-3)
    assert t_tail(-t, freedom) == pytest.approx(1 - t_tail(t, freedom))


@pytest.mark.parametrize("t", [0.0, 0.3, 1.7, 12.0, 400.0])
def test_tails_are_those_of_the_closed_forms(t):
    assert t_tail(t, 1) == pytest.approx(math.atan2(1, t) / math.pi, rel=1e-6)
    assert t_tail(t, 2) == pytest.approx(1 / ((2 + t * t) * (1 + t / math.sqrt(2 + t * t))), rel=1e-6)


def test_p_values_are_the_share_of_chance():
    """Under no difference, p below 0.05 happens in one of twenty experiments, however small they are."""
    rng = np.random.default_rng(0)
    for size in (3, 10, 40):
        found = [paired_p_value(rng.normal(0, 2, size).tolist()) for _ in range(200)]
        assert 0.01 < np.mean(np.array(found) < 0.05) < 0.1
    assert paired_p_value([]) == paired_p_value([1.0]) == paired_p_value([0.0, 0.0]) == 1.0
    assert paired_p_value([1.0, 1.0]) == 0.0
    assert paired_p_value([1.0, 1.1] * 500) < 1e-100
