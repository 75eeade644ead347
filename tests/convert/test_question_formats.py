"""Every format of questions: the dialogues of a small set, its rejects, licence, and that it is recognised."""

import pytest
from converting import Run, text_of
from question_sets import SETS, builder

from sphinx_data.convert import Inputs, load
from sphinx_data.convert._recognise import Glimpse, recognise

NAMES = [f"{chosen.name}-{number}" for number, chosen in enumerate(SETS)]


@pytest.mark.parametrize("chosen", SETS, ids=NAMES)
def test_a_set_becomes_these_dialogues(tmp_path, chosen):
    paths = builder(chosen)(tmp_path)
    found = Run(chosen.name, *paths, images=tmp_path)
    assert [text_of(s) for s in found.samples] == chosen.dialogues
    assert tuple(found.rules()) == chosen.rejects
    assert {s.license for s in found.samples} == {chosen.license}
    assert {s.task for s in found.samples} == {chosen.task}
    assert {s.domain for s in found.samples} <= {"vision-language", "language"}
    assert all((s.domain == "language") == (not s.images) for s in found.samples)


@pytest.mark.parametrize("chosen", SETS, ids=NAMES)
def test_a_set_is_recognised_by_its_own_format_only(tmp_path, chosen):
    paths = builder(chosen)(tmp_path)
    inputs = Inputs(tuple(map(str, paths)), str(tmp_path))
    assert recognise(inputs) == chosen.name
    others = {other.name for other in SETS} - {chosen.name}
    assert [name for name in sorted(others) if load(name).recognise(Glimpse(inputs))] == []


@pytest.mark.parametrize("chosen", SETS, ids=NAMES)
def test_every_question_is_a_turn_or_one_reject_without_pictures(tmp_path, chosen):
    paths = builder(chosen)(tmp_path)
    with_pictures = Run(chosen.name, *paths, images=tmp_path)
    turns = sum(message.role == "assistant" for s in with_pictures.samples for message in s.messages)
    empty = tmp_path / "empty"
    empty.mkdir()
    without = Run(chosen.name, *paths, images=empty)
    kept = sum(message.role == "assistant" for s in without.samples for message in s.messages)
    assert kept + len(without.rejects) == turns + len(with_pictures.rejects)
    assert all(not s.images for s in without.samples)


@pytest.mark.parametrize("name", ["gqa", "vqa", "clevr"])
def test_many_questions_on_a_picture_are_several_samples(tmp_path, name):
    chosen = next(found for found in SETS if found.name == name)
    paths = builder(chosen)(tmp_path)
    found = Run(name, *paths, images=tmp_path, max_turns=1)
    whole = [turn for dialogue in chosen.dialogues for turn in dialogue]
    said = [turn.removeprefix("<i0>") for s in found.samples for turn in text_of(s)]
    assert sorted(said) == sorted(turn.removeprefix("<i0>") for turn in whole)
    assert all(text_of(s)[0].startswith("<i0>") and len(s.messages) == 2 for s in found.samples)
    ids = [s.id for s in found.samples]
    assert len(set(ids)) == len(ids)
    if len(chosen.dialogues[0]) > 2:
        assert f"{ids[0]}~2" in ids


def test_splits_are_those_that_questions_state(tmp_path):
    chosen = next(found for found in SETS if found.name == "scienceqa")
    paths = builder(chosen)(tmp_path)
    for options in ({}, {"split": "own"}):
        assert [s.split for s in Run("scienceqa", *paths, images=tmp_path, **options).samples] == ["train", "val"]


def test_options_of_formats_change_what_is_asked(tmp_path):
    def first(name: str, folder: str, **options) -> list[str]:
        chosen = next(found for found in SETS if found.name == name)
        place = tmp_path / folder
        paths = builder(chosen)(place)
        return text_of(Run(name, *paths, images=place, **options).samples[0])

    assert first("gqa", "a", full=True)[:2] == ["<i0>Is the sky dark?", "Yes, the sky is dark."]
    assert first("aokvqa", "b", answers="direct")[1] == "dog"
    assert first("aokvqa", "c", rationale=True)[3] == "It barks."
    assert first("scienceqa", "d", explain=True)[3] == "Maps.\nLook."
    assert first("scienceqa", "e", only="val")[0].startswith("What is a verb?")
    assert first("docvqa", "f", pages="all")[0].startswith("<i0>what is the date?")
