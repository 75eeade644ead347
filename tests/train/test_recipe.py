"""Mistakes: one line that names file, field, value and mend, the right exit status, nothing half done."""

import subprocess
import sys

import pytest
from msgspec.structs import replace
from samples import picture_sample, png

from sphinx_data import DatasetWriter
from sphinx_data.errors import UsageError
from sphinx_model import recipe as recipes


@pytest.mark.parametrize(
    ("changes", "overrides", "status", "message"),
    [
        ({"optim": {"lrr": 1}}, [], 2, "recipe.yaml: optim: Object contains unknown field `lrr` (one of lr, betas, "),
        ({"roots": {1: "x"}}, [], 2, "recipe.yaml: roots: a key is no text; put it in quotes"),
        ({}, ["pack={tokens: 512, tokens: 1024}"], 2, "tokens: 1024}: the value is not YAML; put it in quotes"),
        ({}, ["optim.lr=.inf"], 2, "recipe.yaml: optim.lr: got inf; Expected `float` <= "),
        ({}, ["epochs=.inf"], 2, "recipe.yaml: epochs: got inf; Expected `float` <= "),
        ({}, ["optim.betas=[0.9, 1]"], 2, "recipe.yaml: optim.betas[1]: Expected `float` < 1.0"),
        ({}, ["seed=-1"], 2, "recipe.yaml: seed: got -1; Expected `int` >= 0"),
        ({}, ["steps=many"], 2, "recipe.yaml: steps: got 'many'; Expected `int"),
        ({}, ["optim.lr=-1"], 2, "recipe.yaml: optim.lr: got -1; Expected `float` > 0.0"),
        ({}, ["optim"], 2, "optim: give key=value, e.g. optim.lr=1e-5"),
        ({}, ["steps.x=1"], 2, "steps.x=1: steps is a value in the recipe, not a group of keys"),
        ({}, ["steps=[1"], 2, "steps=[1: the value is not YAML"),
        ({"out": None}, [], 2, "recipe.yaml: Object missing required field `out`"),
        ({}, ["epochs=1", "steps=2"], 2, "give steps or epochs, one of them (steps=2, epochs=1.0)"),
        ({"steps": None}, [], 2, "give steps or epochs, one of them (steps=None, epochs=None)"),
        ({}, ["pack.micro_batch=3"], 2, "pack.batch: 2 packs cannot be cut into micro-batches of 3"),
        ({}, ["pack.too_long=cut"], 2, "pack.too_long: got 'cut'; Invalid enum value 'cut' (one of drop, split)"),
        ({}, ["optim.lr=fast"], 2, "optim.lr: got 'fast'; Invalid enum value 'fast' (one of mm1 or a number)"),
        ({}, ["log.wandb=mine"], 2, "log.wandb: wandb is not installed: pip install wandb"),
        ({}, ["parallel.replicate=2"], 2, "parallel.replicate: 1 ranks cannot be cut into 2 equal groups; give a"),
        ({}, ["model=sphinx-x-plus"], 2, "gradients and moments of sphinx-x-plus take "),
        ({}, ["modules={encoders: 0, connector: 0, language_model: 0}"], 2, "modules: every factor is 0, so nothing"),
        ({}, ["lora={targets: [nix]}"], 2, "lora.targets: Target modules {'nix'} not found in the base model"),
        ({}, ["model=nix"], 2, "model: 'nix' is neither a preset (sphinx, "),
        ({}, ["model={tmp}"], 3, "holds no model that can be read"),
        ({}, ["data={tmp}/nix"], 3, "nix"),
        ({}, ["holdout={tmp}/nix"], 3, "nix"),
        ({}, ["dialect=klingon"], 2, "dialect 'klingon' is not known; choose one of sphinx"),
        ({}, ["steps=1000"], 2, "1000 steps of 2 packs are more than the mix has (3); give epochs=333.33 instead"),
        ({}, ["pack.tokens=5"], 2, "with pack.tokens=5 and pack.views=40 (16 too-many-tokens); give larger packs"),
        ({}, ["pack.views=2"], 0, "12 too-many-views"),
    ],
)
def test_a_mistake_is_one_line_with_its_status(
    make_dataset, write_recipe, sphinx_train, tmp_path, changes, overrides, status, message
):
    recipe = write_recipe(make_dataset("a", 12, 4), **changes)
    if status == 0:
        overrides = [*overrides, "steps=1"]
    found, said = sphinx_train(recipe, *(item.replace("{tmp}", str(tmp_path)) for item in overrides))
    assert found == status, said
    assert message in said
    assert "Traceback" not in said
    if status:
        assert sum(line.startswith("sphinx-train: ") for line in said.splitlines()) == 1
        assert not (tmp_path / "run" / "log.jsonl").exists()


def test_a_missing_recipe_and_one_that_is_no_recipe(sphinx_train, tmp_path):
    assert sphinx_train(str(tmp_path / "nix.yaml"))[0] == 3
    for text, message in [("- a list", "holds no keys"), ("a: [", "is not YAML")]:
        place = tmp_path / "recipe.yaml"
        place.write_text(text)
        status, said = sphinx_train(str(place))
        assert status == 2
        assert message in said
        assert said.count("\n") == 1


def test_a_form_that_the_dialect_lacks_is_refused_before_the_first_step(write_recipe, sphinx_train, tmp_path):
    with DatasetWriter(str(tmp_path / "points"), "points") as writer:
        sample = picture_sample("points", 0)
        part = sample.messages[1].content[1]

        content = (sample.messages[1].content[0], replace(part, form="polygon"))
        region = replace(sample.regions[0], polygon=((1.0, 2.0, 5.0, 2.0, 5.0, 6.0),))
        answer = replace(sample.messages[1], content=content)
        writer.add(replace(sample, regions=(region,), messages=(sample.messages[0], answer)), [png((1, 2, 3))])
    status, said = sphinx_train(write_recipe(str(tmp_path / "points"), steps=1), "dialect=paligemma")
    assert status == 2
    assert "dialect 'paligemma' cannot write polygon; these can: sphinx" in said


def test_overrides_reach_nested_keys_and_yaml_numbers_are_numbers(tmp_path):
    place = tmp_path / "recipe.yaml"
    place.write_text("model: nano\ndata: d\nout: o\nsteps: 3\n")
    found = recipes.load(str(place), ("optim.lr=1e-5", "optim.clip=null", "roots.a=/x", "checkpoint.keep=3"))
    assert found.optim.lr == 1e-5
    assert found.optim.clip is None
    assert found.roots == {"a": "/x"}
    assert found.checkpoint.keep == 3
    with pytest.raises(UsageError, match="unknown field `clips`"):
        recipes.load(str(place), ("optim.clips=1",))


def test_help_is_light_and_debug_shows_the_traceback(write_recipe, tmp_path):
    code = (
        "import sys; from sphinx_model import train\n"
        "sys.argv = ['sphinx-train', '--help']\n"
        "try: train.main()\nexcept SystemExit: pass\n"
        "import os; assert os.environ['OMP_WAIT_POLICY'] == 'PASSIVE'\n"
        "sys.exit(', '.join({'torch', 'numpy', 'transformers', 'pyarrow'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "KEY=VALUE" in done.stdout
    code = "import sys; from sphinx_model import train; train.main()"
    command = [sys.executable, "-c", code, str(tmp_path / "nix.yaml"), "--debug"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" in done.stderr


def test_a_key_that_comes_twice_is_refused_not_overruled(write_recipe, sphinx_train, tmp_path):
    recipe = write_recipe("a")
    with open(recipe, "a") as file:
        file.write("steps: 3\n")
    status, said = sphinx_train(recipe)
    assert status == 2
    assert "recipe.yaml: is not YAML (the key 'steps' comes twice" in said


def test_an_override_reaches_into_a_group_that_the_recipe_leaves_out(write_recipe, tmp_path):
    place = write_recipe("a")
    with open(place, "a") as file:
        file.write("lora: null\n")
    assert recipes.load(place).lora is None
    found = recipes.load(place, ("lora.rank=4",)).lora
    assert found is not None
    assert found.rank == 4
    assert found.alpha == 32
