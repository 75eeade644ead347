"""The recipes of recipes/train: every one can be read, and fits on the machines that its first lines name."""

import re
from pathlib import Path

import pytest

from sphinx_model import memory, optim
from sphinx_model import recipe as recipes
from sphinx_model.info import meta_model
from sphinx_model.presets import PRESETS, configuration

FOLDER = Path(__file__).parents[2] / "recipes" / "train"
MACHINES = {  # GPUs and GiB of each; models that are no preset's directory are SPHINX's
    "sphinx-x-tiny": (8, 80), "sphinx-x-intern2": (8, 80), "sphinx-x-plus": (8, 80), "sphinx-x-moe": (16, 141),
    "sphinx-v1-stage1": (8, 80), "sphinx-v1-stage2": (8, 80), "mm1": (8, 80), "lora": (1, 80),
}  # fmt: skip


def test_every_recipe_is_known_here():
    assert {path.stem for path in FOLDER.iterdir()} == set(MACHINES)


@pytest.mark.parametrize("name", MACHINES)
def test_a_recipe_fits_where_it_says(name):
    recipe = recipes.load(str(FOLDER / f"{name}.yaml"))
    ranks, gib = MACHINES[name]
    assert recipe.pack.batch % (recipe.pack.micro_batch * ranks) == 0
    preset = Path(recipe.model).name
    model = meta_model(configuration(PRESETS[preset if preset in PRESETS else "sphinx"]))
    optim.freeze(model, recipe.modules)
    if recipe.lora is not None:
        model.model.language_model.requires_grad_(False)
        model.lm_head.requires_grad_(False)
    fixed, activations = memory.needed(recipe, model, ranks, "cuda")
    assert fixed + activations < gib * 2**30, f"{fixed / 2**30:.0f} + {activations / 2**30:.0f} GiB"
    assert optim.learning_rate(recipe.optim, model) < 1e-3


def test_the_commands_in_recipes_name_their_own_file():
    for path in FOLDER.iterdir():
        named = re.findall(r"recipes/train/([\w-]+)\.yaml", path.read_text())
        assert set(named) <= {path.stem}
