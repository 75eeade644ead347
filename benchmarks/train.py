"""sphinx-train (packed) against the way of HF `Trainer`: padded, one sample a row, logits of every position.

    python benchmarks/train.py [DATASET] [--rounds 4] [--updates 6] [--tokens 1024]

Same model (nano), same data, same samples an update, both in one process in turns. `accelerate`, which HF `Trainer`
needs, is no dependency of ours: where it is missing, the rival is the plain loop below, which does what `Trainer` does
with its defaults (shuffled samples, padded to the longest of the batch, `model(**inputs, labels=...).loss`, AdamW,
clipping at 1.0). Its samples are encoded and decoded beforehand; ours are read, decoded and packed while training.
"""

import argparse
import os
import random
import tempfile
import time
from io import BytesIO
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as sphinx-train sets it

import torch
from PIL import Image as Pictures
from PIL import ImageDraw
from torch.nn.utils.rnn import pad_sequence
from transformers.utils import logging

from sphinx_data import DatasetWriter, Sample, open_dataset
from sphinx_data.dialects import dialect
from sphinx_data.sample import Image, ImagePart, Message, Origin, TextPart
from sphinx_model import lengths, packed_attention, packing, start, train
from sphinx_model.loader import BadSamples, PackDataset
from sphinx_model.metrics import Metrics
from sphinx_model.recipe import OptimRecipe, PackRecipe, TrainRecipe
from sphinx_model.rendering import encode, views

WORDS = [f"{a}{b}" for a in ("old", "small", "red", "stone", "tree", "bridge") for b in ("", "er", "s", "ing", "like")]
COLOURS = ("red", "green", "blue", "yellow", "black")


def synthetic(place: str, seed: int = 0) -> str:
    """300 pictures of many sizes with short answers, 60 with long ones, 100 pages of text."""
    rng = random.Random(seed)
    with DatasetWriter(place, "synthetic") as writer:
        for number in range(460):
            words = 5 if number < 300 else min(300, int(rng.lognormvariate(4, 0.7)))
            text = " ".join(rng.choices(WORDS, k=words))
            if number >= 360:
                writer.add(_sample(number, (), [Message(role="assistant", content=(TextPart(text=text),))]))
                continue
            size, colour = (rng.randrange(60, 400), rng.randrange(60, 400)), rng.choice(COLOURS)
            picture = Pictures.new("RGB", size, "white")
            ImageDraw.Draw(picture).ellipse((10, 10, 50, 50), fill=colour)
            file = BytesIO()
            picture.save(file, "JPEG")
            question = Message(role="user", content=(ImagePart(image=0), TextPart(text="Which colour is the circle?")))
            answer = Message(role="assistant", content=(TextPart(text=f"{colour}, {text}"),))
            image = Image(file="0.jpg", width=size[0], height=size[1])
            writer.add(_sample(number, (image,), [question, answer]), [file.getvalue()])
    return place


def _sample(number: int, images: tuple[Image, ...], messages: list[Message]) -> Sample:
    return Sample(
        id=f"synthetic/{number}", source="synthetic", license="MIT", domain="vision-language" if images else "language",
        task="vqa" if images else "text", language="en", split="train", images=images, messages=tuple(messages),
        origin=Origin(file="benchmark", record=str(number)),
    )  # fmt: skip


class Ours:
    """Packs through the trainer's own step."""

    def __init__(self, recipe: TrainRecipe, dataset, model, processor, folder: str) -> None:
        form = dialect(recipe.dialect)
        measured = lengths.measure(dataset, processor, form, f"{folder}/columns")
        self.plan = packing.plan(dataset, measured, recipe.pack.tokens, recipe.pack.views, f"{folder}/plans")
        packs = PackDataset(dataset, self.plan, processor, form, recipe.pack.tokens, BadSamples(Path(folder, "bad"), 0))
        model.model.language_model.set_attn_implementation(packed_attention.NAME)  # as `train` does on a CPU
        self.recipe, self.model, self.optimizer = recipe, model.train(), train._optimizer(recipe, model)
        self.metrics = Metrics(Path(folder, "log.jsonl"), 1, 0)
        self.batches = train._batches(recipe, packs, 0, 10**6, 10**9)

    def update(self) -> int:
        before = self.metrics._tokens
        train._step(self.recipe, self.model, self.optimizer, self.batches, 0, self.recipe.optim.lr, self.metrics)
        return self.metrics._tokens - before


class Padded:
    """Rows of single samples, as HF `Trainer` takes them."""

    def __init__(self, recipe: TrainRecipe, dataset, model, processor, rows: list[int], batch: int) -> None:
        self.samples, self.batch, self.rng = [], batch, random.Random(0)
        for row in rows:
            example = dataset[row]
            item, layouts = encode(example.sample, processor, dialect(recipe.dialect))
            pixels = [torch.from_numpy(views(example, image, layouts[image], processor)) for image in item.images]
            self.samples.append((torch.tensor(item.input_ids), torch.tensor(item.labels), pixels))
        model.model.language_model.set_attn_implementation(packed_attention.NAME)  # as `train` does on a CPU
        self.recipe, self.model, self.optimizer = recipe, model.train(), train._optimizer(recipe, model)
        self.waiting: list = []
        self.places = self.used = 0

    def update(self) -> int:
        if len(self.waiting) < self.batch:
            self.waiting = self.rng.sample(self.samples, len(self.samples))
        chosen, self.waiting = self.waiting[: self.batch], self.waiting[self.batch :]
        ids = pad_sequence([ids for ids, _, _ in chosen], batch_first=True)
        labels = pad_sequence([labels for _, labels, _ in chosen], batch_first=True, padding_value=-100)
        mask = pad_sequence([torch.ones_like(ids) for ids, _, _ in chosen], batch_first=True)
        pixels = [view for _, _, pictures in chosen for view in pictures]
        inputs = {"input_ids": ids, "attention_mask": mask, "pixel_values": torch.cat(pixels) if pixels else None}
        self.model(**inputs, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.places, self.used = self.places + ids.numel(), self.used + int(mask.sum())
        return int((labels >= 0).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", help="a dataset directory; made up where none is given")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--updates", type=int, default=6, help="of each trainer in a round")
    parser.add_argument("--tokens", type=int, default=1024, help="of a pack")
    options = parser.parse_args()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        dataset = open_dataset(options.dataset or synthetic(f"{folder}/data"))
        recipe = TrainRecipe(
            model="nano", data=dataset.directory, out=folder, epochs=1, optim=OptimRecipe(lr=1e-4),
            pack=PackRecipe(tokens=options.tokens, views=40, batch=2, micro_batch=2),
        )  # fmt: skip
        model, processor = start.load(recipe.model, dataset, 0, Path(folder))
        ours = Ours(recipe, dataset, model, processor, folder)
        batch = max(1, round(len(ours.plan.rows) / len(ours.plan) * recipe.pack.batch))
        twin, _ = start.load(recipe.model, dataset, 0, Path(folder))
        padded = Padded(recipe, dataset, twin, processor, ours.plan.rows.tolist(), batch)
        compare(ours, padded, options.rounds, options.updates)
    print(f"samples an update: {batch}; packs {ours.plan.fill:.0%} full; padded rows {padded.used / padded.places:.0%}")
    print("rival: a plain loop in the way of HF Trainer (accelerate is not a dependency), its samples decoded before")


def compare(ours: Ours, padded: Padded, rounds: int, updates: int) -> None:
    """Print supervised tokens a second of both and the ratio, round by round and in all."""
    runs = {"packed (ours)": ours, "padded, unpacked": padded}
    totals = {name: [0, 0.0] for name in runs}
    for run in runs.values():
        run.update()  # warm
    for number in range(rounds):
        speeds = []
        for name, run in runs.items():
            started = time.perf_counter()
            tokens = sum(run.update() for _ in range(updates))
            seconds = time.perf_counter() - started
            totals[name][0] += tokens
            totals[name][1] += seconds
            speeds.append(tokens / seconds)
        print(
            f"round {number + 1}: {speeds[0]:8.0f} {speeds[1]:8.0f} supervised tokens/s, {speeds[0] / speeds[1]:.2f} x"
        )
    first, second = (tokens / seconds for tokens, seconds in totals.values())
    for name, speed in zip(runs, (first, second), strict=True):
        print(f"{name:<18}{speed:>10,.0f} supervised tokens/s")
    print(f"ratio             {first / second:>10.2f}")


if __name__ == "__main__":
    main()
