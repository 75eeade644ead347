"""Tiny models in a directory, small datasets, and runs in this process or in one of their own."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from model.conftest import make_config, make_model, processor, tokenizer  # noqa: F401 (fixtures)
from transformers import MixtralConfig

from sphinx_data import open_dataset
from sphinx_data.cli import run
from sphinx_data.dialects import dialect
from sphinx_model import lengths, packing
from sphinx_model.loader import BadSamples, PackDataset
from sphinx_model.train import command

logging.getLogger("torch.distributed").setLevel(logging.WARNING)  # a thousand lines a checkpoint
logging.getLogger("c10d-NullHandler-dcp_logger").setLevel(logging.WARNING)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Models this small are fastest on one thread; sums are then equal in every process, too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def model_dir(make_model, processor, tmp_path_factory):  # noqa: F811
    """A tiny model whose encoders train, in Hugging Face form."""
    place = tmp_path_factory.mktemp("model")
    make_model(freeze_encoders=False).save_pretrained(place)
    processor.save_pretrained(place)
    return str(place)


def mixtral(**changes) -> MixtralConfig:
    """A language model of four experts, as small as the fixtures' Llama."""
    return MixtralConfig(
        vocab_size=512, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2, max_position_embeddings=2048,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, **changes,
    )  # fmt: skip


@pytest.fixture
def make_packs(processor, tmp_path):  # noqa: F811
    """The packs of a dataset directory as the trainer reads them."""

    def make(directory: str, tokens: int = 512, views: int = 64, most: int = 10) -> PackDataset:
        dataset, form = open_dataset(directory), dialect("sphinx")
        plan = packing.plan(dataset, lengths.measure(dataset, processor, form), tokens, views, str(tmp_path / "plans"))
        return PackDataset(dataset, plan, processor, form, tokens, BadSamples(tmp_path / "bad_samples.jsonl", most))

    return make


@pytest.fixture
def write_recipe(model_dir, tmp_path):
    """Writes a recipe; keys given as None are left out."""

    def write(data: str, **changes) -> str:
        recipe = {
            "model": model_dir, "data": data, "out": str(tmp_path / "run"), "steps": 2,
            "pack": {"tokens": 512, "views": 40, "batch": 2}, "optim": {"lr": 1e-3}, "checkpoint": {"every": 5},
            "log": {"every": 1},
            **changes,
        }  # fmt: skip
        place = tmp_path / "recipe.yaml"
        place.write_text(yaml.safe_dump({key: value for key, value in recipe.items() if value is not None}))
        return str(place)

    return write


@pytest.fixture
def sphinx_train(capsys):
    """Runs the command in this process: (exit status, stderr)."""

    def call(*arguments: str) -> tuple[int, str]:
        status = run(command, list(arguments), "sphinx-train")
        return status, capsys.readouterr().err

    return call


@pytest.fixture
def start_process():
    """Starts the real command in a process of its own."""

    def start(*arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("sphinx-train")), *arguments],
            env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start
