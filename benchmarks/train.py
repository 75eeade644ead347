"""sphinx-train (packed) against HF `Trainer` and TRL's `SFTTrainer` (padded, one sample a row, logits everywhere).

    python benchmarks/train.py [DATASET] [--rounds 3] [--updates 4] [--tokens 2048] [--frozen] [--gpu PRESET]

Same model (nano), same data, the same number of samples an update, in one process in turns. All read and decode their
pictures while they train: the rivals in their data loader, as a user's dataset class does, we in our threads. A round
is a `train()` of one warm update and `--updates` timed ones. Without DATASET the data are made up after the kinds of
SPHINX-X's Table 9: short answers, descriptions, pages of text, instructions without a picture; lengths are log-normal.

`--gpu PRESET` is for a GPU: the speed of sphinx-train alone with random weights of a preset at real size, and what each
measure buys (see `ladder`).
"""

import argparse
import gc
import json
import os
import random
import shutil
import statistics
import tempfile
import time
from io import BytesIO
from itertools import islice
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as sphinx-train sets it

import torch
from PIL import Image as Pictures
from PIL import ImageDraw
from torch.nn.utils.rnn import pad_sequence
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.utils import logging

from sphinx_data import DatasetWriter, Sample, open_dataset
from sphinx_data.sample import Image, ImagePart, Message, Origin, TextPart
from sphinx_model import optim, parallel, start, stepping, train
from sphinx_model.batching import batches
from sphinx_model.loader import open_packs
from sphinx_model.metrics import Totals
from sphinx_model.objective import Objective
from sphinx_model.recipe import OptimRecipe, PackRecipe, TrainRecipe, load
from sphinx_model.rendering import encode, views
from sphinx_model.world import World

WORDS = [f"{a}{b}" for a in ("old", "small", "red", "stone", "tree", "bridge") for b in ("", "er", "s", "ing", "like")]
# share of the samples, median and sigma of the log-normal number of words in the answer, whether there is a picture
KINDS = {
    "vqa": (0.35, 3, 0.5, True),
    "description": (0.2, 90, 0.5, True),
    "page": (0.15, 220, 0.6, True),
    "instruction": (0.3, 120, 1.0, False),
}


def synthetic(place: str, samples: int = 1500, kinds: dict = KINDS, seed: int = 0) -> str:
    """Samples of `kinds` in random order; texts are cut at 900 words."""
    rng = random.Random(seed)
    with DatasetWriter(place, "synthetic") as writer:
        for number in range(samples):
            kind = rng.choices(list(kinds), [share for share, *_ in kinds.values()])[0]
            _, median, sigma, pictured = kinds[kind]
            words = min(900, max(1, round(median * rng.lognormvariate(0, sigma))))
            answer = Message(role="assistant", content=(TextPart(text=" ".join(rng.choices(WORDS, k=words))),))
            size = (rng.randrange(200, 900), rng.randrange(200, 900))
            asked = (TextPart(text=f"What about the {rng.choice(WORDS)}?"),)
            if not pictured:
                writer.add(_sample(number, kind, (), [Message(role="user", content=asked), answer]))
                continue
            question = Message(role="user", content=(ImagePart(image=0), *asked))
            image = Image(file="0.jpg", width=size[0], height=size[1])
            writer.add(_sample(number, kind, (image,), [question, answer]), [_picture(size, rng)])
    return place


def _picture(size: tuple[int, int], rng: random.Random) -> bytes:
    picture = Pictures.effect_noise((size[0] // 8, size[1] // 8), 60).resize(size).convert("RGB")
    ImageDraw.Draw(picture).ellipse((10, 10, 90, 90), fill=tuple(rng.randrange(256) for _ in range(3)))
    file = BytesIO()
    picture.save(file, "JPEG")
    return file.getvalue()


def _sample(number: int, kind: str, images: tuple[Image, ...], messages: list[Message]) -> Sample:
    return Sample(
        id=f"{kind}/{number}", source=kind, license="MIT", domain="vision-language" if images else "language",
        task="vqa" if images else "text", language="en", split="train", images=images, messages=tuple(messages),
        origin=Origin(file="benchmark", record=str(number)),
    )  # fmt: skip


class Ours:
    """Packs through the trainer's own step."""

    def __init__(self, recipe: TrainRecipe, model, processor, folder: str) -> None:
        self.packs = open_packs(recipe.data, processor, recipe.pack.tokens, recipe.pack.views, folder, max_bad=0)
        self.recipe, self.world = recipe, World(0, 1, torch.device("cpu"), 600)
        self.objective = Objective(model.train())
        parallel.parallelise(self.objective, recipe.parallel, self.world)
        self.optimizer = optim.Optimizer(model, recipe.optim, optim.factors(model, recipe.modules))
        self.seen = 0

    def round(self, updates: int) -> tuple[int, float, float]:
        """Supervised tokens, seconds and CPU seconds of `updates` updates, after a warm one."""
        ready = batches(self.packs, self.recipe, self.world, self.seen, 10**9)
        self._update(ready)
        started, cpu = time.perf_counter(), time.process_time()
        tokens = sum(self._update(ready) for _ in range(updates))
        spent = time.perf_counter() - started, time.process_time() - cpu
        self.seen += (updates + 1) * self.recipe.pack.batch
        ready.close()
        return tokens, *spent

    def _update(self, ready) -> int:
        micro = stepping.Micro(list(islice(ready, self.recipe.pack.batch // self.recipe.pack.micro_batch)), 0.0)
        counts = [batch.counts for batch in micro.batches]
        totals = Totals(*[sum(getattr(c, name) for c in counts) for name in Totals._fields[:5]], 0.0, 0.0)
        lr = self.recipe.optim.lr
        stepping.update(self.objective, self.optimizer, micro, totals, lr, len(self.packs.groups), self.world)
        return sum(count.supervised for count in counts)


class Rows(torch.utils.data.Dataset):
    """Single samples as a user's dataset class gives them: ids, labels and views, read when asked for."""

    def __init__(self, packs, rows: list[int]) -> None:
        self.packs, self.rows = packs, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict:
        packs = self.packs
        example = packs.dataset[self.rows[number]]
        item, layouts = encode(example.sample, packs.processor, packs.dialect)
        pixels = [torch.from_numpy(views(example, image, layouts[image], packs.processor)) for image in item.images]
        return {"ids": torch.tensor(item.input_ids), "labels": torch.tensor(item.labels), "pixels": pixels}


class Padded:
    """HF `Trainer`, or TRL's, with its defaults: shuffled rows, padded to the longest of the batch."""

    def __init__(self, kind: str, recipe: TrainRecipe, model, rows: Rows, batch: int, folder: str) -> None:
        self.kind, self.rows, self.folder, self.tokens, self.places = kind, rows, folder, 0, [0, 0]
        self.model, self.processor = model, rows.packs.processor
        self.options = {
            "output_dir": folder, "per_device_train_batch_size": batch, "learning_rate": recipe.optim.lr,
            "adam_beta2": 0.95, "report_to": "none", "save_strategy": "no", "logging_strategy": "no",
            "remove_unused_columns": False, "dataloader_pin_memory": False, "disable_tqdm": True,
        }  # fmt: skip

    def collate(self, items: list[dict]) -> dict:
        items = [item.get("row", item) for item in items]
        ids = pad_sequence([item["ids"] for item in items], batch_first=True)
        labels = pad_sequence([item["labels"] for item in items], batch_first=True, padding_value=-100)
        mask = pad_sequence([torch.ones_like(item["ids"]) for item in items], batch_first=True)
        pixels = [view for item in items for view in item["pixels"]]
        self.tokens += int((labels[:, 1:] >= 0).sum())
        self.places = [self.places[0] + int(mask.sum()), self.places[1] + mask.numel()]
        inputs = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        return {**inputs, "pixel_values": torch.cat(pixels)} if pixels else inputs

    def round(self, updates: int) -> tuple[int, float, float]:
        clock = _Clock(self)
        options = {**self.options, "max_steps": updates + 1, "seed": random.randrange(10**6)}
        if self.kind == "trl":
            from datasets import Dataset
            from trl import SFTConfig, SFTTrainer

            numbers = Dataset.from_dict({"row": range(len(self.rows))})
            numbers.set_transform(lambda chosen: {"row": [self.rows[number] for number in chosen["row"]]})
            arguments = SFTConfig(
                **options, dataset_kwargs={"skip_prepare_dataset": True}, max_length=None, loss_type="nll", bf16=False,
                activation_checkpointing=False,
            )  # fmt: skip
            trainer = SFTTrainer(
                model=self.model, args=arguments, train_dataset=numbers, data_collator=self.collate,
                processing_class=self.processor, callbacks=[clock],
            )  # fmt: skip
        else:
            trainer = Trainer(
                model=self.model, args=TrainingArguments(**options), train_dataset=self.rows,
                data_collator=self.collate, callbacks=[clock],
            )  # fmt: skip
        trainer.train()
        return clock.tokens, clock.seconds, clock.cpu


class _Clock(TrainerCallback):
    """From the end of the first step to the end of the last: what the data loader does between them is in it."""

    def __init__(self, run: Padded) -> None:
        self.run, self.tokens, self.seconds, self.cpu = run, 0, 0.0, 0.0

    def on_step_end(self, args, state, control, **kwargs) -> None:
        now = self.run.tokens, time.perf_counter(), time.process_time()
        if state.global_step == 1:
            self.began = now
        self.tokens, self.seconds, self.cpu = (after - before for after, before in zip(now, self.began, strict=True))


def compare(options: argparse.Namespace, folder: str) -> None:
    """Print supervised tokens a second of all, and the ratios, by wall clock and by CPU time."""
    recipe = TrainRecipe(
        model="nano", data=options.dataset or synthetic(f"{folder}/data"), out=folder, epochs=1,
        optim=OptimRecipe(lr=1e-4), pack=PackRecipe(tokens=options.tokens, views=80, batch=2, micro_batch=2),
    )  # fmt: skip
    dataset, alone = open_dataset(recipe.data), World(0, 1, torch.device("cpu"), 600)
    place = start.directory("nano", dataset, 0, Path(folder))

    def model():
        made, processor = start.load(place, alone)
        if options.frozen:
            made.freeze_encoders()
        return made, processor

    ours = Ours(recipe, *model(), folder)
    plan = ours.packs.plan
    rows = Rows(ours.packs, plan.entries[:, 0].tolist())
    batch = max(1, round(len(plan.entries) / len(plan) * recipe.pack.batch))
    rivals = {kind: Padded(kind, recipe, model()[0], rows, batch, f"{folder}/{kind}") for kind in ("hf", "trl")}
    runs = {"sphinx-train, packed": ours, "HF Trainer, padded": rivals["hf"], "TRL SFT, padded": rivals["trl"]}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            tokens, seconds, cpu = run.round(options.updates)
            found[name].append((tokens / seconds, tokens / cpu))
    padding = rivals["hf"].places
    print(f"samples an update: {batch}; packs {plan.fill:.0%} full; padded rows {padding[0] / padding[1]:.0%} full")
    medians = {
        name: [statistics.median(values) for values in zip(*speeds, strict=True)] for name, speeds in found.items()
    }
    base = medians["sphinx-train, packed"]
    for name, (wall, cpu) in medians.items():
        ratios = f"ours is {base[0] / wall:5.2f} x, {base[1] / cpu:5.2f} x a CPU second"
        print(f"{name:<22}{wall:>8,.0f} supervised tokens/s{cpu:>8,.0f} a CPU second   {ratios}")


def ladder(preset: str, folder: str) -> None:
    """On a GPU: MFU of sphinx-train at real size with random weights, and what each measure buys.

    Runs the command itself for some steps a rung, from everything on to single measures off, and prints the median of
    the second half of its log. Weights are made once.
    """
    mixed = synthetic(f"{folder}/data", samples=4000)
    texts = synthetic(f"{folder}/texts", samples=4000, kinds={"instruction": (1.0, 400, 1.0, False)})
    model = start.directory(preset, open_dataset(mixed), 0, Path(folder))
    full = {"model": str(model), "data": mixed, "pack.tokens": 4096, "pack.views": 16, "pack.batch": 8,
            "pack.micro_batch": 4, "parallel.compile": True, "parallel.reshard": False, "threads": 12, "steps": 30,
            "log.every": 5, "checkpoint.every": 10**6, "optim.lr": 1e-5}  # fmt: skip
    rungs = {
        "all": {},
        "texts only": {"data": texts},
        "without compile": {"parallel.compile": False},
        "micro-batches of one pack": {"pack.micro_batch": 1},
        "layers gathered twice": {"parallel.reshard": True},
        "activations: selective": {"parallel.recompute": "selective"},
        "activations: full": {"parallel.recompute": "full"},
        "bfloat16 moments": {"optim.states": "bfloat16"},
    }
    print(f"{preset}: MFU of the language model, of the encoders, supervised tokens/s, GiB")
    Path(folder, "empty.yaml").write_text("{}\n")
    for number, (name, change) in enumerate(rungs.items()):
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        out = Path(folder, f"rung-{number}")
        overrides = {**full, **change, "out": str(out)}
        recipe = load(f"{folder}/empty.yaml", tuple(f"{key}={json.dumps(value)}" for key, value in overrides.items()))
        try:
            train.train(recipe)
        except Exception as error:  # too little memory for a rung is a result
            print(f"{name:<28} {type(error).__name__}: {str(error)[:80]}", flush=True)
            continue
        lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        shutil.rmtree(out)
        last = lines[len(lines) // 2 :]
        values = [statistics.median(line.get(key, 0.0) for line in last)
                  for key in ("mfu_llm", "mfu_encoders", "supervised_tokens_per_s", "memory_gib")]  # fmt: skip
        print(f"{name:<28} {values[0]:6.1%} {values[1]:6.1%} {values[2]:10,.0f} {values[3]:8.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", help="a dataset directory; made up where none is given")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=4, help="of each trainer in a round")
    parser.add_argument("--tokens", type=int, default=2048, help="of a pack")
    parser.add_argument("--frozen", action="store_true", help="freeze the encoders, as SPHINX-X does")
    parser.add_argument("--gpu", metavar="PRESET", help="the ladder of measures instead, on a GPU")
    options = parser.parse_args()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        if options.gpu:
            ladder(options.gpu, folder)
        else:
            compare(options, folder)


if __name__ == "__main__":
    main()
