"""What `sphinx-data convert` says where a conversion cannot go well."""

import json
import os

import pytest
from click.testing import CliRunner

from sphinx_data.cli.convert import command
from sphinx_data.errors import InputError, UsageError


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    arguments = [str(tmp_path / "a.json"), "--format", "coco", "--out", str(tmp_path / "out")]
    with pytest.raises(InputError, match="neither a file nor a folder"):
        command.main(arguments, standalone_mode=False)
    assert not (tmp_path / "out").exists()


def test_pictures_that_are_nowhere_lead_to_the_option(tmp_path):
    image = {"id": 1, "file_name": "a.jpg", "width": 4, "height": 4}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]}
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "cat"}]}))
    done = CliRunner().invoke(command, [str(file), "--out", str(tmp_path / "out"), "--workers", "1"])
    assert "1 image-missing" in done.output
    assert "--images DIR" in done.output


WRONG = {
    "min_area=-1": "--set min_area=-1: Expected `float` >= 0",
    "min_area=nan": "--set min_area=nan: Expected `float` >= 0",
    "min_area=large": "--set min_area=large: Expected `float`, got `str`",
    "max_objects=0": "--set max_objects=0: Expected `int` >= 1",
    "crowd=maybe": "--set crowd=maybe: Invalid enum value 'maybe'",
    "min-area=5": "--set min-area: is not known; choose one of classes, crowd, decode, ",
    "limit=-5": "--set limit=-5: Expected `int` >= 0",
    "classes.cat=3": "--set classes.cat=3: Expected `str | null`, got `int`",
    "classes.cow=ox": "--set classes.cow: there is no such class; there are cat, dog",
}


@pytest.mark.parametrize("setting", WRONG)
def test_a_wrong_value_is_named_with_its_option(tmp_path, setting):
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    (tmp_path / "a.json").write_text(json.dumps({"images": [], "annotations": [], "categories": categories}))
    with pytest.raises(UsageError) as refused:
        command.main([str(tmp_path / "a.json"), "--format", "coco", "--out", str(tmp_path / "out"), "--set", setting],
                     standalone_mode=False)  # fmt: skip
    assert str(refused.value).startswith(WRONG[setting])


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--language", "English", "--language English: is no BCP 47 code; give one such as en or zh-Hans"),
        ("--split", "", "--split : is empty; give a name such as train"),
    ],
)
def test_what_is_said_of_the_data_is_checked(tmp_path, option, value, said):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(UsageError) as refused:
        command.main([str(tmp_path / "a.json"), "--format", "coco", "--out", str(tmp_path / "out"), option, value],
                     standalone_mode=False)  # fmt: skip
    assert str(refused.value) == said


def test_a_folder_of_pictures_that_is_none_is_refused(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError, match=r"--images .*nowhere: is no folder that exists"):
        command.main([str(tmp_path / "a.json"), "--images", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")],
                     standalone_mode=False)  # fmt: skip
