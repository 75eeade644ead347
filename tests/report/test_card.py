"""The data card reads on the hub, and neither it nor the command overwrites what is not theirs."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from pages import written

from sphinx_data import open_dataset
from sphinx_data.cli.report import command
from sphinx_data.errors import UsageError
from sphinx_data.report import report
from sphinx_data.report.card import MARK


def test_the_card_is_one_the_hub_reads(hostile, mixed):
    for place in (hostile, mixed.directory):
        _, found = written(place)
        text = Path(found.card).read_text("utf-8")
        _, front, body = text.split("---\n", 2)
        facts = yaml.safe_load(front)
        assert facts["pretty_name"] == open_dataset(str(place)).name
        assert facts["size_categories"] == ["n<1K"]
        assert set(facts["task_categories"]) <= {"object-detection", "visual-question-answering", "text-generation"}
        assert facts["language"] == ["en"]
        assert open_dataset(str(place)).fingerprint in body
    assert facts["license"] == ["cc0-1.0", "mit"]
    assert "| a | weight 1 |" in body


def test_a_card_that_somebody_wrote_is_left_alone(make_dataset, tmp_path):
    place = make_dataset("a")
    (tmp_path / "a/README.md").write_text("mine")
    assert report(open_dataset(place)).card is None
    assert (tmp_path / "a/README.md").read_text() == "mine"
    found = report(open_dataset(place), out=str(tmp_path / "else/where.html"))
    assert (found.page, found.card) == (str(tmp_path / "else/where.html"), str(tmp_path / "else/where.md"))
    assert MARK in Path(found.card).read_text("utf-8")


def test_a_folder_that_cannot_be_written_is_said_with_the_mend(make_dataset, tmp_path):
    place = make_dataset("a")
    with pytest.raises(UsageError, match="cannot be written"):
        report(open_dataset(place), out=f"{place}/dataset.json/report.html")


def test_the_command_writes_both_files(make_dataset, tmp_path):
    place = make_dataset("a")
    done = CliRunner().invoke(command, [place, "--examples", "3", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["summary"]["total"]["samples"] == 25
    assert Path(found["page"]).read_text("utf-8").startswith("<!doctype html>")
    assert CliRunner().invoke(command, [place]).output.count(place) == 2
