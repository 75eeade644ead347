"""A run as a person sees it: to its end, stopped anyhow and started again, and refused where it is not the same run."""

import random
import shutil
import signal
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from sphinx_model import optim, stepping
from sphinx_model import recipe as recipes
from sphinx_model.batching import collate
from sphinx_model.metrics import read_lines
from sphinx_model.objective import Objective
from sphinx_model.world import World


def numbers(out):
    """What a run computed: losses, norms and rates exactly, and the weights."""
    log = [[line[key] for key in ("step", "loss", "grad_norm", "lr")] for line in read_lines(out / "log.jsonl")]
    return log, load_file(out / "hf" / "model.safetensors")


def same(one, other):
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    assert all(torch.equal(value, other[1][name]) for name, value in one[1].items())


def stop_at(process, out, step, number):
    """Send a signal once the log has `step` lines and this process has written one of them; exit status and stderr."""
    log = out / "log.jsonl"
    before, known = log.stat().st_mtime_ns if log.exists() else 0, None
    while process.poll() is None:
        lines = len(read_lines(log))
        if known is None and log.exists() and log.stat().st_mtime_ns != before:
            known = lines  # cut to the checkpoint, or its first line
        if known is not None and lines >= max(step, known + 1):
            break
        time.sleep(0.005)
    process.send_signal(number)
    _, said = process.communicate(timeout=100)
    return process.returncode, said


def test_a_run_stopped_in_any_way_gives_the_numbers_of_an_undisturbed_one(
    make_dataset, write_recipe, start_process, sphinx_train, tmp_path
):
    recipe = write_recipe(
        make_dataset("a", 30, 10), steps=None, epochs=8, pack={"tokens": 512, "views": 40, "batch": 2}
    )
    whole, out = tmp_path / "whole", tmp_path / "run"
    assert sphinx_train(recipe, f"out={whole}")[0] == 0
    steps = len(read_lines(whole / "log.jsonl"))
    assert steps > 20
    chance = random.Random(time.time_ns())
    # in the first half, so that a slow machine still hits a running process
    first, second, third = sorted(chance.sample(range(2, steps // 2), 3))
    print(f"stopped at steps {first}, {second}, {third} of {steps}")
    assert stop_at(start_process(recipe), out, first, signal.SIGKILL)[0] == -signal.SIGKILL
    status, said = stop_at(start_process(recipe), out, second, signal.SIGTERM)
    assert status == 143, said
    saved = max(int(path.name) for path in (out / "checkpoints").glob("[0-9]*"))
    assert read_lines(out / "log.jsonl")[-1]["step"] == saved >= second
    if saved < third:
        status, said = stop_at(start_process(recipe), out, third, signal.SIGINT)
        assert status == 130
        assert said.splitlines()[-1] == "sphinx-train: interrupted; run the same command again to go on"
        assert "Traceback" not in said
    status, said = sphinx_train(recipe)
    assert status == 0
    assert "resumed at step" in said
    same(numbers(out), numbers(whole))
    assert not list(out.rglob(".tmp-*"))


def test_a_run_killed_before_its_end_was_told_tells_it_again(make_dataset, write_recipe, sphinx_train, tmp_path):
    """A kill after the last checkpoint: the model is there, its export, evaluation and page are not."""
    data, out = make_dataset("a", 12, 4), tmp_path / "run"
    recipe = write_recipe(data, holdout=make_dataset("held", 12, 2))
    assert sphinx_train(recipe)[0] == 0
    made = ("hf/model.safetensors", "evaluation.json", "report.html", "log.jsonl")
    before = [(out / name).read_bytes() for name in made]
    (out / "hf" / "model.safetensors").unlink()
    (out / "evaluation.json").unlink()
    (out / "report.html").write_text("half a pa")
    assert sphinx_train(recipe)[0] == 0
    assert [(out / name).read_bytes() for name in made] == before


def test_a_preset_killed_while_it_is_built_is_built_again(make_dataset, write_recipe, sphinx_train, tmp_path):
    recipe = write_recipe(make_dataset("a", 6, 4), model="nano", steps=1)
    assert sphinx_train(recipe, f"out={tmp_path / 'whole'}")[0] == 0
    built = next((tmp_path / "whole").glob("init-*")).name
    half = tmp_path / "run" / f".tmp-{built}-1"
    half.mkdir(parents=True)
    (half / "model.safetensors").write_bytes(b"half a model")
    assert sphinx_train(recipe)[0] == 0
    same(numbers(tmp_path / "run"), numbers(tmp_path / "whole"))
    assert not half.exists()


def test_the_exported_directory_is_the_trained_model(make_dataset, write_recipe, sphinx_train, model_dir, tmp_path):
    assert sphinx_train(write_recipe(make_dataset("a", 16, 4), steps=3))[0] == 0
    out = tmp_path / "run"
    exported = AutoModelForImageTextToText.from_pretrained(out / "hf").eval()
    trained = AutoModelForImageTextToText.from_pretrained(model_dir).eval()
    start = {name: value.clone() for name, value in trained.named_parameters()}
    optimizer = optim.Optimizer(trained, recipes.OptimRecipe(), optim.factors(trained, recipes.ModulesRecipe()))
    dcp.load(dict(optimizer.tensors()), checkpoint_id=out / "checkpoints" / "00000003", no_dist=True)
    assert any(not torch.equal(value, start[name]) for name, value in trained.named_parameters())
    processor = AutoProcessor.from_pretrained(out / "hf")
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What colour is it?"}]}]
    picture = np.full((20, 30, 3), 90, np.uint8)
    inputs = processor.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_tensors="pt", images=[picture], add_generation_prompt=True
    )
    with torch.no_grad():
        assert torch.equal(exported(**inputs).logits, trained(**inputs).logits)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (["optim.lr=0.002"], "optim.lr = 0.001, now it is 0.002"),
        (["pack.batch=4"], "pack.batch = 2, now it is 4"),
        (["seed=3"], "seed = 0, now it is 3"),
        (["dialect=plain"], "dialect = sphinx, now it is plain"),
        (["steps=3"], "steps = 2, now it is 3"),
        (["pack.too_long=split"], "pack.too_long = None, now it is split"),
        (["lora.rank=4"], "lora.rank = None, now it is 4"),
        (["data={other}"], "data = "),
    ],
)
def test_another_run_in_the_same_place_is_refused_by_name(
    make_dataset, write_recipe, sphinx_train, tmp_path, change, named
):
    recipe = write_recipe(make_dataset("a", 12, 4))
    assert sphinx_train(recipe)[0] == 0
    log = (tmp_path / "run" / "log.jsonl").read_bytes()
    other = make_dataset("b", 12, 4)
    status, said = sphinx_train(recipe, *(item.format(other=other) for item in change))
    assert status == 2
    assert "the run was started with " + named in said.splitlines()[-1]
    assert (tmp_path / "run" / "log.jsonl").read_bytes() == log


def test_epochs_that_end_in_the_same_step_with_more_packs_are_another_run(make_dataset, write_recipe, sphinx_train):
    recipe = write_recipe(make_dataset("a", 20, 8), pack={"tokens": 512, "views": 40, "batch": 16})
    for epochs, expected in ((1, 0), (1.3, 2)):
        status, said = sphinx_train(recipe, f"epochs={epochs}")
        assert status == expected, said
    assert "train for 1 steps" in said
    assert "the run was started with packs = " in said


def test_what_a_stopped_run_had_no_time_to_show_is_made_when_it_goes_on(
    make_dataset, write_recipe, sphinx_train, start_process, tmp_path
):
    recipe = write_recipe(
        make_dataset("a", 24, 8), holdout=make_dataset("held", 6, 2), steps=None, epochs=4,
        checkpoint={"every": 1, "keep": 100, "export_every": 2}, evaluate={"every": 2},
    )  # fmt: skip
    assert stop_at(start_process(recipe), tmp_path / "run", 4, signal.SIGTERM)[0] == 143
    out = tmp_path / "run"
    saved = max(int(path.name) for path in (out / "checkpoints").glob("[0-9]*"))
    for later in range(saved - saved % 2 + 1, saved + 1):
        shutil.rmtree(out / "checkpoints" / f"{later:08d}")  # go on from an even step
    saved -= saved % 2
    shutil.rmtree(out / f"hf-{saved}", ignore_errors=True)
    (out / "evaluations" / f"{saved:08d}.json").unlink(missing_ok=True)
    assert sphinx_train(recipe)[0] == 0
    assert (out / f"hf-{saved}" / "model.safetensors").exists()
    assert (out / "evaluations" / f"{saved:08d}.json").exists()


def test_a_folder_that_is_read_from_is_never_the_folder_of_a_run(
    make_dataset, write_recipe, sphinx_train, model_dir, tmp_path
):
    data = make_dataset("a", 6, 4)
    recipe = write_recipe(data)
    for place, kind in ((data, "dataset"), (model_dir, "model")):
        before = sorted(Path(place).rglob("*"))
        status, said = sphinx_train(recipe, f"out={place}")
        assert status == 2
        assert f"out: {place} holds a {kind}, which is left as it is" in said
        assert sorted(Path(place).rglob("*")) == before
    (tmp_path / "file").write_text("")
    status, said = sphinx_train(recipe, f"out={tmp_path / 'file' / 'run'}")
    assert status == 1
    assert "cannot be written (Not a directory); name another folder" in said


def test_what_does_not_change_the_numbers_may_change(make_dataset, write_recipe, sphinx_train):
    recipe = write_recipe(make_dataset("a", 12, 4))
    assert sphinx_train(recipe)[0] == 0
    assert sphinx_train(recipe, "threads=1", "max_bad=7", "checkpoint.every=1", "pack.micro_batch=2")[0] == 0


def test_a_damaged_checkpoint_is_named(make_dataset, write_recipe, sphinx_train, tmp_path):
    recipe = write_recipe(make_dataset("a", 12, 4))
    assert sphinx_train(recipe)[0] == 0
    for name in ("__0_0.distcp", ".metadata", "state.json"):
        place = tmp_path / "run" / "checkpoints" / "00000002" / name
        place.write_bytes(place.read_bytes()[:40])
        status, said = sphinx_train(recipe)
        assert status == 3
        assert "00000002: is damaged (" in said.splitlines()[-1]


def test_sixteen_samples_are_learned_by_heart(make_dataset, write_recipe, sphinx_train, tmp_path):
    recipe = write_recipe(
        make_dataset("a", 8, 8), steps=None, epochs=120, pack={"tokens": 1024, "views": 40, "batch": 2},
        optim={"lr": 1e-2, "warmup": 0.05}, checkpoint={"every": 1000}, log={"every": 50},
    )  # fmt: skip
    assert sphinx_train(recipe)[0] == 0
    losses = [line["loss"] for line in read_lines(tmp_path / "run" / "log.jsonl")]
    assert losses[0] > 4
    assert max(losses[-3:]) < 0.05


def test_the_last_batch_may_be_nearly_empty(make_dataset, write_recipe, sphinx_train, tmp_path):
    data = make_dataset("a", 12, 4)
    recipe = write_recipe(data, steps=None, epochs=1, pack={"tokens": 256, "views": 10, "batch": 5})
    status, said = sphinx_train(recipe)
    packs = int(said.partition(" samples in ")[2].split()[0])
    assert status == 0
    assert packs % 5
    log = read_lines(tmp_path / "run" / "log.jsonl")
    assert len(log) == -(-packs // 5)
    assert all(np.isfinite(line["loss"]) and line["supervised_tokens"] for line in log)


def test_an_epoch_takes_every_sample_once(make_dataset, write_recipe, sphinx_train, make_packs, tmp_path):
    data = make_dataset("a", 12, 4)
    packs = make_packs(data, tokens=256, views=10)
    supervised = sum(int((packs[number].labels >= 0).sum()) for number in range(len(packs)))
    for epochs in (1, 3):
        pack = {"tokens": 256, "views": 10, "batch": 3}
        recipe = write_recipe(data, steps=None, epochs=epochs, pack=pack, out=str(tmp_path / f"run{epochs}"))
        assert sphinx_train(recipe)[0] == 0
        log = read_lines(tmp_path / f"run{epochs}" / "log.jsonl")
        assert sum(line["supervised_tokens"] for line in log) == epochs * supervised


def update(model, batches, recipe=None, lr=1e-3):
    """One step of training on micro-batches: (loss, norm, whether it was left out, losses by source)."""
    recipe = recipe or recipes.OptimRecipe(clip=None)
    objective = Objective(model.train())
    optimizer = optim.Optimizer(model, recipe, optim.factors(model, recipes.ModulesRecipe()))
    micro = stepping.Micro(batches, 0.0)
    here = World(0, 1, torch.device("cpu"), 60)
    totals = stepping.totals_of(micro, False, here)
    groups = 1 + max(int(batch.groups.max()) for batch in batches)
    sums = stepping.update(objective, optimizer, micro, totals, lr, groups, here)
    return sums[0].item(), sums[-2].item(), sums[-1].item(), sums[1 : 1 + groups] / sums[1 + groups : 1 + 2 * groups]


@pytest.mark.parametrize("loss", ["token", "sqrt", "sample"])
def test_one_global_batch_gives_one_update_however_it_is_cut(make_model, make_packs, make_dataset, loss):
    packs = make_packs(make_dataset("a", 9, 20), tokens=256, views=15)
    assert len(packs) >= 4
    found = []
    for micro in (1, 2, 4):
        model = make_model(freeze_encoders=False)
        batches = [collate([packs[n] for n in range(s, s + micro)], loss) for s in range(0, 4, micro)]
        value, norm, bad, _ = update(model, batches)
        assert not bad
        found.append((value, norm, torch.cat([p.detach().flatten() for p in model.parameters()])))
    for value, norm, weights in found[1:]:
        assert value == pytest.approx(found[0][0], rel=1e-6)
        assert norm == pytest.approx(found[0][1], rel=1e-5)
        # the first step of Adam is the sign of the gradient, so a gradient near zero may move a weight either way
        assert (weights - found[0][2]).abs().gt(1e-5).float().mean() < 1e-3


def test_the_loss_of_a_step_is_what_its_weighting_says(make_model, make_packs, make_dataset):
    packs = make_packs(make_dataset("a", 9, 20), tokens=256, views=15)
    pack = next(packs[n] for n in range(len(packs)) if len(packs.plan.pack(n)) > 2)
    model = make_model(freeze_encoders=False)
    batch = collate([pack])
    objective = Objective(model)
    losses, _ = objective(batch.input_ids, batch.position_ids, batch.pixel_values, batch.places, batch.targets,
                          batch.boundaries)  # fmt: skip
    ends = pack.lengths.cumsum(0)
    documents = torch.searchsorted(ends, batch.places + 1, right=True)
    alone = [losses[documents == document] for document in documents.unique()]
    assert len({len(found) for found in alone}) > 1
    expected = {
        "token": losses.mean(),
        "sample": torch.stack([found.mean() for found in alone]).mean(),
        "sqrt": sum(found.sum() / len(found) ** 0.5 for found in alone) / sum(len(found) ** 0.5 for found in alone),
    }
    for loss, value in expected.items():
        found, *_ = update(make_model(freeze_encoders=False), [collate([pack], loss)])
        assert found == pytest.approx(float(value.detach()), rel=1e-5), loss


def test_the_rate_warms_up_and_falls_as_a_function_of_the_step():
    recipe = recipes.OptimRecipe(warmup=0.1, final=0.25)
    rates = [optim.scheduled(2.0, recipe, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[10] == 2.0
    assert all(later <= sooner for sooner, later in pairwise(rates[10:]))
    assert optim.scheduled(2.0, recipe, 100, 100) == pytest.approx(0.5)
    assert optim.scheduled(2.0, recipes.OptimRecipe(warmup=0), 0, 1) == 2.0


@pytest.mark.parametrize("states", ["float32", "bfloat16"])
def test_a_step_that_is_no_number_changes_nothing(make_model, make_packs, make_dataset, states):
    model = make_model()
    with torch.no_grad():
        model.lm_head.weight[300, 3] = float("inf")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    packs = make_packs(make_dataset("a", 4, 4))
    *_, bad, _ = update(model, [collate([packs[0]])], recipes.OptimRecipe(states=states))
    assert bad == 1.0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_run_of_steps_that_are_no_numbers_ends_with_one_sentence(
    make_dataset, write_recipe, sphinx_train, model_dir, tmp_path
):
    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    weights = load_file(broken / "model.safetensors")
    weights["lm_head.weight"][300, 3] = float("inf")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    recipe = write_recipe(make_dataset("a", 30, 10), model=str(broken), steps=4)
    status, said = sphinx_train(recipe, "optim.max_skipped=2")
    assert status == 2
    assert "step 3: the gradient of 3 steps in a row was no number (optim.max_skipped is 2); lower" in said
    log = read_lines(tmp_path / "run" / "log.jsonl")
    assert [line.get("skipped") for line in log] == [True] * 3
    assert sphinx_train(recipe, "optim.max_skipped=9")[0] == 0


def test_halved_moments_follow_whole_ones(make_model, make_packs, make_dataset):
    packs = make_packs(make_dataset("a", 12, 12), tokens=256, views=15)
    found = {}
    for states in ("float32", "bfloat16"):
        model = make_model(freeze_encoders=False).train()
        objective, recipe = Objective(model), recipes.OptimRecipe(states=states, weight_decay=0.1)
        optimizer = optim.Optimizer(model, recipe, optim.factors(model, recipes.ModulesRecipe()))
        start = torch.cat([p.detach().flatten() for p in model.parameters()])
        for number in range(6):
            batch = collate([packs[number % len(packs)]])
            losses, _ = objective(batch.input_ids, batch.position_ids, batch.pixel_values, batch.places, batch.targets,
                                  batch.boundaries)  # fmt: skip
            losses.mean().backward()
            optimizer.step(1e-3)
        found[states] = torch.cat([p.detach().flatten() for p in model.parameters()]) - start
        kinds = {value.dtype for name, value in optimizer.tensors() if name.startswith("exp_")}
        assert kinds == {getattr(torch, states)}
    difference = torch.linalg.norm(found["float32"] - found["bfloat16"]) / torch.linalg.norm(found["float32"])
    assert difference < 0.05


def test_too_many_bad_samples_stop_the_run_and_more_may_be_allowed(make_dataset, write_recipe, sphinx_train, tmp_path):
    data = make_dataset("a", 12, 4)
    (shard,) = (tmp_path / "a" / "shards").iterdir()
    content = bytearray(shard.read_bytes())
    place = 0
    for _ in range(3):  # the pixels of three pictures; their headers stay whole
        place = content.index(b"IDAT", place + 1)
        content[place + 6 : place + 12] = b"\xff" * 6
    shard.write_bytes(content)
    recipe = write_recipe(data, steps=None, epochs=2)
    status, said = sphinx_train(recipe, "max_bad=2")
    assert status == 3
    assert "3 samples cannot be read, max_bad allows 2" in said.splitlines()[-1]
    assert sphinx_train(recipe, "max_bad=3")[0] == 0
    assert len(read_lines(tmp_path / "run" / "bad_samples.jsonl")) == 3
