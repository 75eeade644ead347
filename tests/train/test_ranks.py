"""Several processes train what one does: the same numbers for any number of them, however text and pictures fall."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import load_file
from train.conftest import mixtral

from sphinx_model.metrics import read_lines


@pytest.fixture
def start_ranks():
    """Starts the command on several ranks, as torchrun does, each in a process of its own."""
    started = []

    def start(ranks: int, *arguments: str) -> list[subprocess.Popen]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        world = {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1",
                 "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}  # fmt: skip
        for rank in range(ranks):
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "sphinx_model.train", *arguments],
                    env={**os.environ, **world, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                )
            )  # fmt: skip
        return started[-ranks:]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def finished(processes):
    """Exit statuses and what was said."""
    said = [process.communicate(timeout=250)[1] for process in processes]
    return [process.returncode for process in processes], said


def numbers(out):
    log = [
        (line["step"], line["loss"], line["grad_norm"], line["supervised_tokens"])
        for line in read_lines(out / "log.jsonl")
    ]
    return log, load_file(out / "hf" / "model.safetensors")


def close(one, other, weights=1e-4):
    """Sums over ranks are added in another order; Adam's first steps enlarge what rounding leaves of tiny gradients."""
    for mine, theirs in zip(one[0], other[0], strict=True):
        assert mine[0] == theirs[0]
        assert mine[1:3] == pytest.approx(theirs[1:3], rel=2e-5)
        assert mine[3] == theirs[3]
    assert one[1].keys() == other[1].keys()
    for name, value in one[1].items():
        assert (value - other[1][name]).abs().gt(weights).float().mean() < 0.002, name


def test_two_ranks_and_one_give_the_same_run_and_go_on_from_each_other(
    make_dataset, write_recipe, start_ranks, sphinx_train, tmp_path
):
    """Text alone fills some packs, so that ranks meet micro-batches with and without pictures."""
    recipe = write_recipe(
        make_dataset("a", 10, 60), steps=None, epochs=1, pack={"tokens": 256, "views": 15, "batch": 4},
        checkpoint={"every": 2, "keep": 9}, optim={"lr": 1e-3, "weight_decay": 0.1},
    )  # fmt: skip
    alone, two = tmp_path / "alone", tmp_path / "two"
    assert sphinx_train(recipe, f"out={alone}")[0] == 0
    assert finished(start_ranks(2, recipe, f"out={two}"))[0] == [0, 0]
    close(numbers(alone), numbers(two))
    log = read_lines(two / "log.jsonl")
    steps = len(log)
    assert steps >= 3
    for ours, theirs in zip(log, read_lines(alone / "log.jsonl"), strict=True):
        assert ours["by_source"].keys() == theirs["by_source"].keys()
        assert sum(count for _, count in ours["by_source"].values()) == ours["supervised_tokens"]
    # the checkpoint of one process is taken over by two, and that of two by one
    for place, ranks in ((alone, 2), (two, 1)):
        expected = numbers(place)
        for old in (place / "checkpoints").glob("[0-9]*"):
            if int(old.name) > 2:
                for file in old.iterdir():
                    file.unlink()
                old.rmdir()
        if ranks == 2:
            assert finished(start_ranks(2, recipe, f"out={place}"))[0] == [0, 0]
        else:
            assert sphinx_train(recipe, f"out={place}")[0] == 0
        close(expected, numbers(place))
        assert read_lines(place / "log.jsonl")[-1]["step"] == steps


def test_a_killed_rank_costs_what_was_not_saved(make_dataset, write_recipe, start_ranks, tmp_path):
    recipe = write_recipe(
        make_dataset("a", 20, 20), steps=None, epochs=6, pack={"tokens": 256, "views": 15, "batch": 2},
        checkpoint={"every": 3}, parallel={"timeout": 20, "replicate": 2},
    )  # fmt: skip
    whole, out = tmp_path / "whole", tmp_path / "run"
    assert finished(start_ranks(2, recipe, f"out={whole}"))[0] == [0, 0]
    first, second = start_ranks(2, recipe)
    while len(read_lines(out / "log.jsonl")) < 7 and second.poll() is None:
        time.sleep(0.01)
    second.kill()
    _, said = first.communicate(timeout=100)
    assert first.returncode == 1, said
    last = said.splitlines()[-1]
    assert "rank 0: not every rank came to the next step within 20 s" in last or "rank 0: lost another rank" in last
    # SIGTERM to one rank alone saves on all
    first, second = start_ranks(2, recipe)
    while len(read_lines(out / "log.jsonl")) < 12 and second.poll() is None:
        time.sleep(0.01)
    second.send_signal(signal.SIGTERM)
    statuses, said = finished([first, second])
    assert statuses == [143, 143], said
    assert finished(start_ranks(2, recipe))[0] == [0, 0]
    one, other = numbers(whole), numbers(out)
    assert one[0] == other[0]
    assert all(torch.equal(value, other[1][name]) for name, value in one[1].items())


@pytest.mark.heavy
def test_groups_of_ranks_that_each_hold_the_model_train_what_one_process_does(
    make_dataset, write_recipe, start_ranks, sphinx_train, tmp_path
):
    recipe = write_recipe(
        make_dataset("a", 10, 60), steps=3, pack={"tokens": 256, "views": 15, "batch": 4}, checkpoint={"every": 2},
        optim={"lr": 1e-3, "states": "bfloat16"},
    )  # fmt: skip
    alone = tmp_path / "alone"
    assert sphinx_train(recipe, f"out={alone}")[0] == 0
    assert finished(start_ranks(4, recipe, "parallel.replicate=2", "parallel.recompute=full"))[0] == [0] * 4
    close(numbers(alone), numbers(tmp_path / "run"))


@pytest.mark.heavy
@pytest.mark.parametrize("lora", [None, {"rank": 4}], ids=["whole", "adapters"])
def test_sharded_experts_train_what_one_process_does(
    make_dataset, write_recipe, start_ranks, sphinx_train, make_model, processor, tmp_path, lora
):
    text = mixtral(output_router_logits=True, router_aux_loss_coef=0.1)
    place = tmp_path / "moe"
    make_model(text_config=text).save_pretrained(place)
    processor.save_pretrained(place)
    recipe = write_recipe(
        make_dataset("a", 10, 60), model=str(place), steps=3, pack={"tokens": 256, "views": 15, "batch": 4}, lora=lora,
    )  # fmt: skip
    alone = tmp_path / "alone"
    assert sphinx_train(recipe, f"out={alone}")[0] == 0
    statuses, said = finished(start_ranks(2, recipe))
    assert statuses == [0, 0], said
    close(numbers(alone), numbers(tmp_path / "run"))


def test_ranks_that_cannot_share_a_batch_are_refused(make_dataset, write_recipe, start_ranks):
    recipe = write_recipe(make_dataset("a", 12, 4), pack={"tokens": 256, "views": 15, "batch": 3})
    statuses, said = finished(start_ranks(2, recipe))
    assert statuses == [2, 2]
    assert "pack.batch: 3 packs cannot be shared by 2 ranks with micro-batches of 1; give a multiple of 2" in said[0]


def test_frozen_encoders_stay_whole_and_tied_embeddings_tied(
    make_dataset, write_recipe, make_model, processor, start_ranks, tmp_path
):
    place = tmp_path / "frozen"
    text = make_model().config.text_config
    text.tie_word_embeddings = True
    make_model(freeze_encoders=True, text_config=text).save_pretrained(place)
    processor.save_pretrained(place)
    recipe = write_recipe(
        make_dataset("a", 12, 12), model=str(place), steps=2, holdout=make_dataset("held", 8, 2),
        evaluate={"every": 1, "samples": 6, "answers": 2}, checkpoint={"every": 1, "export_every": 1},
    )  # fmt: skip
    statuses, said = finished(start_ranks(2, recipe))
    assert statuses == [0, 0], said
    looks = sorted((tmp_path / "run" / "evaluations").iterdir())
    assert [look.stem for look in looks] == ["00000001", "00000002"]
    assert all(json.loads(look.read_text())["answers"] for look in looks)
    folders = (place, tmp_path / "run" / "hf-1", tmp_path / "run" / "hf")
    before, between, after = (load_file(folder / "model.safetensors") for folder in folders)
    assert before.keys() == between.keys() == after.keys()
    same = {name: torch.equal(value, after[name]) for name, value in before.items()}
    assert all(equal for name, equal in same.items() if ".encoders." in name)
    assert not all(equal for name, equal in same.items() if ".encoders." not in name)
    stored = dcp.FileSystemReader(tmp_path / "run" / "checkpoints" / "00000002").read_metadata().state_dict_metadata
    assert not [name for name in stored if ".encoders." in name]
    assert not [name for name in after if "lm_head" in name]
    json.loads((tmp_path / "run" / "hf" / "config.json").read_text())
