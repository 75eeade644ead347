"""What a recipe may ask of a run: what trains and how fast, adapters, splitting, looks on the way; what is refused."""

import fcntl
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from safetensors.torch import load_file
from samples import picture_sample
from train.conftest import mixtral
from transformers import AutoModelForImageTextToText

from sphinx_data import DatasetWriter, open_dataset
from sphinx_data.dialects import dialect
from sphinx_data.errors import UsageError
from sphinx_data.sample import Image, ImagePart, Message, TextPart
from sphinx_model import lengths, memory, optim, packing
from sphinx_model import recipe as recipes
from sphinx_model.batching import batches
from sphinx_model.loader import BadSamples, PackDataset
from sphinx_model.metrics import read_lines
from sphinx_model.packing import Entry
from sphinx_model.rendering import encode, part
from sphinx_model.splitting import Splitter
from sphinx_model.world import StuckError, World

ALONE = World(0, 1, torch.device("cpu"), 60)


def changed(out: Path, before: str) -> dict[str, bool]:
    """Which tensors of an exported model are not what the run started from."""
    one, other = load_file(Path(before) / "model.safetensors"), load_file(out / "hf" / "model.safetensors")
    assert one.keys() == other.keys()
    return {name: not torch.equal(value, other[name]) for name, value in one.items()}


@pytest.mark.parametrize(
    ("modules", "moved"),
    [
        ({"encoders": 0, "language_model": 0}, {"connector", "marks"}),  # SPHINX v1's and LLaVA's first stage
        ({"encoders": 0}, {"connector", "marks", "language_model", "lm_head"}),
        ({"connector": 0, "language_model": 0}, {"encoders"}),
    ],
)
def test_only_what_the_recipe_trains_changes(
    make_dataset, write_recipe, sphinx_train, model_dir, tmp_path, modules, moved
):
    status, said = sphinx_train(write_recipe(make_dataset("a", 12, 8), modules=modules))
    assert status == 0, said
    found = changed(tmp_path / "run", model_dir)
    parts = {name.removeprefix("model.").partition(".")[0] for name, yes in found.items() if yes}
    assert parts == moved


def test_rates_fall_by_module_and_by_layer_of_an_encoder(make_model):
    model = make_model(freeze_encoders=False)
    modules = recipes.ModulesRecipe(encoders=0.5, encoder_decay=0.1, connector=3.0)
    factors = optim.factors(model, modules)
    assert set(factors) == {name for name, p in model.named_parameters() if p.requires_grad}
    for name, factor in factors.items():
        if ".encoders." not in name:
            assert factor == (3.0 if "connector" in name or "marks" in name else 1.0)
    convnext = {name: f for name, f in factors.items() if name.startswith("model.encoders.bodies.0.")}
    depths = {
        "embeddings": 0.5 * 0.1**2, "encoder.stages.0": 0.5 * 0.1, "encoder.stages.1": 0.5, "layernorm": 0.5,
    }  # fmt: skip
    for name, factor in convnext.items():
        place = next(place for place in depths if name.startswith(f"model.encoders.bodies.0.{place}"))
        assert factor == pytest.approx(depths[place]), name


def test_the_law_of_mm1_gives_the_rates_of_its_paper():
    class Sized:
        def __init__(self, size):
            self.model = self
            self.language_model = self
            self.size = size

        def parameters(self):
            return [torch.empty(int(self.size), device="meta"), self.get_input_embeddings().weight]

        def get_input_embeddings(self):
            return torch.nn.Embedding(10, 10, device="meta")

    for size, rate in ((1.2e9, 8.58e-5), (3e9, 5.83e-5), (30e9, 2.21e-5)):
        assert optim.learning_rate(recipes.OptimRecipe(lr="mm1"), Sized(size)) == pytest.approx(rate, rel=0.01)


def test_adapters_train_alone_and_are_merged_when_exported(
    make_dataset, write_recipe, sphinx_train, model_dir, tmp_path
):
    recipe = write_recipe(
        make_dataset("a", 30, 8), lora={"rank": 4, "alpha": 8}, modules={"encoders": 0, "connector": 0}, steps=4,
        optim={"lr": 1e-2}, checkpoint={"every": 2},
    )  # fmt: skip
    status, said = sphinx_train(recipe)
    assert status == 0, said
    out = tmp_path / "run"
    found = changed(out, model_dir)
    moved = {name for name, yes in found.items() if yes}
    linear = {name for name in found if "language_model.layers" in name and name.endswith("_proj.weight")}
    assert moved == linear
    before, after = load_file(Path(model_dir) / "model.safetensors"), load_file(out / "hf" / "model.safetensors")
    name = sorted(linear)[0]
    assert torch.linalg.matrix_rank(after[name] - before[name], rtol=1e-3) <= 4
    losses = [line["loss"] for line in read_lines(out / "log.jsonl")]
    # the exported model is the trained one: going on from the checkpoint gives the same export again
    (out / "hf" / "model.safetensors").unlink()
    assert sphinx_train(recipe)[0] == 0
    again = load_file(out / "hf" / "model.safetensors")
    assert all(torch.equal(value, again[name]) for name, value in after.items())
    assert len(losses) == 4


def test_a_mixture_of_experts_trains_with_its_balance_loss(
    make_dataset, write_recipe, sphinx_train, make_model, processor, tmp_path
):
    text = mixtral(output_router_logits=True, router_aux_loss_coef=0.5)
    place = tmp_path / "moe"
    make_model(text_config=text).save_pretrained(place)
    processor.save_pretrained(place)
    data = make_dataset("a", 12, 8)
    status, said = sphinx_train(write_recipe(data, model=str(place), steps=3))
    assert status == 0, said
    found = changed(tmp_path / "run", str(place))
    assert all(yes for name, yes in found.items() if "experts" in name or ".gate." in name)
    assert (
        AutoModelForImageTextToText.from_pretrained(tmp_path / "run" / "hf").config.text_config.num_local_experts == 4
    )


def dialogue(number: int, exchanges: int, words: int = 30) -> tuple:
    """A picture with many questions; the third answer alone is longer than any pack of the test."""
    sample = picture_sample("long", number)
    messages = [Message(role="system", content=(TextPart(text="Be brief."),))]
    for turn in range(exchanges):
        parts: tuple = (TextPart(text=f"Question {turn}?"),)
        if turn in (0, 1):
            parts = (ImagePart(image=turn), *parts)
        count = 600 if turn == 2 else words
        answer = " ".join(f"word{turn}" for _ in range(count))
        messages += [Message(role="user", content=parts), Message(role="assistant", content=(TextPart(text=answer),))]
    images = tuple(Image(file=f"{n}.png", width=32, height=32) for n in range(2))
    return replace(sample, images=images, regions=(), messages=tuple(messages)), [picture(n) for n in range(2)]


def picture(number: int) -> bytes:
    from io import BytesIO

    from PIL import Image as Pictures

    file = BytesIO()
    Pictures.new("RGB", (32, 32), (number * 90, 10, 200)).save(file, "PNG")
    return file.getvalue()


def test_long_dialogues_are_cut_at_turns_with_their_pictures_again(processor, tmp_path):
    place = str(tmp_path / "long")
    with DatasetWriter(place, "long") as writer:
        for number in range(3):
            writer.add(*dialogue(number, exchanges=9))
    dataset, form, budgets = open_dataset(place), dialect("sphinx"), (700, 40)
    split = Splitter(dataset, processor, form, *budgets)
    measured = lengths.measure(dataset, processor, form)
    assert all(length > budgets[0] for length in measured["tokens"].to_pylist())
    plan = packing.plan(dataset, measured, *budgets, str(tmp_path / "plans"), split=split)
    assert plan.split == 3
    assert plan.dropped == {"too-long-turns": 6}
    again = packing.plan(dataset, measured, *budgets, str(tmp_path / "plans"), split=split)
    assert (again.entries == plan.entries).all()
    whole = packing.plan(dataset, measured, 20_000, 40, str(tmp_path / "plans"))
    assert whole.fingerprint != plan.fingerprint
    by_row: dict[int, list[Entry]] = {}
    for entry in sorted(Entry(*entry) for entry in plan.entries.tolist()):
        by_row.setdefault(entry.row, []).append(entry)
    for row, entries in by_row.items():
        sample = dataset.sample(row)
        covered = [turn for entry in entries for turn in range(entry.first, entry.last)]
        assert covered == [turn for turn in range(len(sample.messages)) if turn not in (5, 6)]
        for entry in entries:
            piece = part(sample, entry.first, entry.last)
            assert [m.role for m in piece.messages[:2]] == ["system", "user"]
            shown = [p.image for m in piece.messages for p in m.content if isinstance(p, ImagePart)]
            assert shown == [0, 1]
            encoded, _ = encode(piece, processor, form)
            assert len(encoded.input_ids) <= budgets[0]
    packs = PackDataset(dataset, plan, processor, form, budgets[0], BadSamples(tmp_path / "bad.jsonl", 0))
    for number in range(len(packs)):
        pack = packs[number]
        patches = int((pack.input_ids == processor.encoder.placeholders.patch).sum())
        assert patches == len(pack.pixel_values) * processor.rule.view_tokens


def test_a_run_looks_at_the_held_out_set_and_exports_on_the_way(make_dataset, write_recipe, sphinx_train, tmp_path):
    recipe = write_recipe(
        make_dataset("a", 30, 10), holdout=make_dataset("held", 12, 2), steps=5,
        checkpoint={"every": 2, "export_every": 2}, evaluate={"every": 2, "samples": 8, "answers": 2}, log={"every": 3},
    )  # fmt: skip
    assert sphinx_train(recipe)[0] == 0
    out = tmp_path / "run"
    looks = {path.stem: json.loads(path.read_text()) for path in (out / "evaluations").iterdir()}
    assert sorted(looks) == ["00000002", "00000004", "00000005"]
    assert all(look["samples"] == 8 and len(look["answers"]) <= 2 for look in looks.values())
    assert len({look["loss"] for look in looks.values()}) == 3
    assert json.loads((out / "evaluation.json").read_text()) == looks["00000005"]
    assert [line["step"] for line in read_lines(out / "log.jsonl")] == [1, 2, 3, 4, 5]
    models = [load_file(out / name / "model.safetensors") for name in ("hf-2", "hf-4", "hf")]
    assert not torch.equal(models[0]["lm_head.weight"], models[1]["lm_head.weight"])
    # looking changes nothing: the same run without looks
    plain = tmp_path / "plain"
    assert sphinx_train(recipe, f"out={plain}", "evaluate={}", "checkpoint={}", "holdout=null")[0] == 0
    alone = load_file(plain / "hf" / "model.safetensors")
    assert all(torch.equal(value, alone[name]) for name, value in models[2].items())


@pytest.mark.parametrize("recompute", ["selective", "full"])
def test_activations_computed_twice_are_the_same(make_dataset, write_recipe, sphinx_train, tmp_path, recompute):
    recipe = write_recipe(make_dataset("a", 12, 8), steps=3)
    assert sphinx_train(recipe, f"out={tmp_path / 'kept'}")[0] == 0
    assert sphinx_train(recipe, f"parallel.recompute={recompute}")[0] == 0
    kept, again = (load_file(tmp_path / name / "hf" / "model.safetensors") for name in ("kept", "run"))
    assert all(torch.allclose(value, again[name], rtol=1e-5, atol=1e-6) for name, value in kept.items())


@pytest.mark.heavy
def test_compiled_layers_train_like_plain_ones(make_dataset, write_recipe, sphinx_train, tmp_path):
    recipe = write_recipe(make_dataset("a", 12, 8), steps=3)
    assert sphinx_train(recipe, f"out={tmp_path / 'plain'}")[0] == 0
    assert sphinx_train(recipe, "parallel.compile=true", "modules.encoders=0", f"out={tmp_path / 'frozen'}")[0] == 0
    status, said = sphinx_train(recipe, "parallel.compile=true", "parallel.recompute=selective")
    assert status == 0, said
    plain, compiled = (read_lines(tmp_path / name / "log.jsonl") for name in ("plain", "run"))
    assert [line["loss"] for line in compiled] == pytest.approx([line["loss"] for line in plain], rel=1e-4)


def test_dropout_goes_on_as_if_it_had_not_stopped(
    make_dataset, write_recipe, sphinx_train, make_model, processor, tmp_path
):
    text = make_model().config.text_config
    text.attention_dropout = 0.2
    place = tmp_path / "dropout"
    make_model(text_config=text).save_pretrained(place)
    processor.save_pretrained(place)
    recipe = write_recipe(make_dataset("a", 30, 10), model=str(place), steps=5, checkpoint={"every": 3, "keep": 5})
    whole = tmp_path / "whole"
    assert sphinx_train(recipe, f"out={whole}")[0] == 0
    assert sphinx_train(recipe)[0] == 0
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "00000005")
    status, said = sphinx_train(recipe)
    assert (status, "resumed at step 3 of 5" in said) == (0, True)
    one, other = (load_file(folder / "hf" / "model.safetensors") for folder in (whole, tmp_path / "run"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    text.attention_dropout = 0.0
    make_model(text_config=text).save_pretrained(tmp_path / "kept")
    processor.save_pretrained(tmp_path / "kept")
    assert sphinx_train(recipe, f"model={tmp_path / 'kept'}", f"out={tmp_path / 'other'}")[0] == 0
    dropped, all_kept = (read_lines(folder / "log.jsonl")[0]["loss"] for folder in (whole, tmp_path / "other"))
    assert dropped != all_kept


def test_two_processes_do_not_train_in_one_folder(make_dataset, write_recipe, sphinx_train, tmp_path):
    recipe = write_recipe(make_dataset("a", 12, 4))
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, said = sphinx_train(recipe)
    assert status == 2
    assert f"out: another process trains in {tmp_path / 'run'}; wait for it or name another folder" in said
    assert sphinx_train(recipe)[0] == 0


def test_a_full_disk_at_a_save_is_one_sentence_and_the_checkpoint_before_stays(
    make_dataset, write_recipe, sphinx_train, start_process, tmp_path
):
    """Files may not grow beyond a limit, which the second checkpoint does: it holds more, as the disk holds less."""
    recipe = write_recipe(make_dataset("a", 30, 10), steps=6, checkpoint={"every": 2})
    out = tmp_path / "run"
    script = (
        "import resource, signal, sys; from sphinx_model import checkpoint, report, train; "
        "report.Page.renew = lambda self, step: None; "  # the page would be the first not to fit
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); whole = checkpoint.Checkpoints.save\n"
        "def save(self, state, optimizer):\n"
        "    self.finish()\n"
        "    if state.step == 4: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))\n"
        "    whole(self, state, optimizer)\n"
        "checkpoint.Checkpoints.save = save; train.main()"
    )
    process = subprocess.run(
        [sys.executable, "-c", script, recipe], check=False, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    last = process.stderr.splitlines()[-1]
    assert process.returncode == 1, process.stderr
    assert "00000004: cannot be written (" in last
    assert last.endswith("make room and run the same command again to go on")
    assert "Traceback" not in process.stderr
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == ["00000002"]
    status, said = sphinx_train(recipe)
    assert (status, "resumed at step 2 of 6" in said) == (0, True)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_reading_thread_that_hangs_is_named(make_packs, make_dataset, tmp_path):
    packs = make_packs(make_dataset("a", 20, 5), tokens=256, views=10)
    release, read = threading.Event(), packs._read
    stuck = packs.plan.pack(1)[0]

    def hanging(entry):
        if entry == stuck:
            release.wait(30)
        return read(entry)

    packs._read = hanging
    recipe = recipes.TrainRecipe(
        model="", data="", out="", pack=recipes.PackRecipe(batch=1), parallel=recipes.ParallelRecipe(timeout=1.0)
    )
    ready = batches(packs, recipe, ALONE, 0, len(packs))
    next(ready)
    try:
        name = packs.dataset.sample(stuck.row).id
        with pytest.raises(StuckError, match=rf"rank 0: pack 1 \({name}.* was not read within 1 s"):
            next(ready)
    finally:
        release.set()
    started = time.monotonic()
    while any(thread.name.startswith("packs") for thread in threading.enumerate()):
        assert time.monotonic() - started < 20
        time.sleep(0.01)


def test_a_preset_that_cannot_fit_is_refused_before_its_weights_are_read():
    from sphinx_model.info import meta_model
    from sphinx_model.presets import PRESETS, configuration

    model = meta_model(configuration(PRESETS["sphinx-x-moe"]))
    recipe = recipes.TrainRecipe(model="sphinx-x-moe", data="", out="")
    with pytest.raises(
        UsageError, match=r"model: weights, gradients and moments of sphinx-x-moe take 7\d\d\.\d GiB on "
    ):
        memory.check(recipe, model, ALONE)
    halved = replace(recipe, optim=recipes.OptimRecipe(states="bfloat16"))
    fixed = [memory.needed(one, model, ranks, "cuda")[0] for one, ranks in ((recipe, 1), (halved, 1), (recipe, 8))]
    assert fixed[0] > fixed[1] > fixed[2]
