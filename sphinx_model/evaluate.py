"""Does the model use its eyes? Held-out loss with the right image against the same loss with another sample's image."""

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from sphinx_data import storage
from sphinx_data.dataset.reader import Dataset
from sphinx_data.dialects import Dialect
from sphinx_data.sample import Sample, Struct
from sphinx_model.encoding import Turn
from sphinx_model.loss import IGNORE, supervised, token_losses
from sphinx_model.rendering import encode, turns, views

BATCH = 16  # samples of one forward pass


class Answer(Struct, frozen=True, kw_only=True):
    """One held-out question with what the model says and what is right."""

    row: int
    id: str
    question: str
    truth: str
    answer: str


class Evaluation(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """What was measured on held-out samples; losses are means over supervised tokens of each sample."""

    samples: int  # that could be read
    unreadable: int
    loss: float  # over all supervised tokens
    pairs: int  # samples with one image whose picture could be exchanged
    loss_right: float  # mean over the pairs, with their own picture
    loss_swapped: float  # with the picture of another sample
    better: float  # share of the pairs whose own picture gives the lower loss
    p_value: float  # one-sided paired test that the right picture gives the lower loss
    by_source: dict[str, tuple[int, float, float]]  # pairs, loss with the right and with a swapped picture
    answers: tuple[Answer, ...]

    def sentence(self) -> str:
        """The result in a line."""
        loss = f"loss {self.loss:.4f} over {self.samples} samples" if self.samples else "no sample to look at"
        pairs = (
            f"right image {self.loss_right:.4f}, swapped image {self.loss_swapped:.4f} over {self.pairs} pairs, "
            f"right is better in {self.better:.0%}, p = {self.p_value:.2g}"
            if self.pairs
            else "no two samples whose single pictures could be exchanged"
        )
        return f"held-out {loss}; {pairs}" + (f"; {self.unreadable} samples cannot be read" if self.unreadable else "")

    def write(self, place: Path) -> None:
        """As JSON, atomically."""
        place.parent.mkdir(parents=True, exist_ok=True)
        storage.write_atomic(place, msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def evaluate(
    model: Any,
    processor: Any,
    dataset: Dataset,
    dialect: Dialect,
    rows: Sequence[int],
    place: Path | None,
    seed: int,
    answers: int = 12,
) -> Evaluation:
    """Measure a model on `rows` of a held-out dataset and write the result to `place`, if one is given.

    Pictures are exchanged between samples of one source whose pictures differ and are laid out alike, so that text and
    number of tokens stay the same; the test is Student's paired t on the differences of the losses.
    """
    partners = swapped(dataset, rows, processor, seed)
    right = dict(_losses(model, processor, dataset, dialect, [(row, row) for row in rows]))
    wrong = dict(_losses(model, processor, dataset, dialect, list(partners.items())))
    means = {row: (_mean(right[row]), _mean(wrong[row])) for row in partners if row in right and row in wrong}
    differences = [other - own for own, other in means.values()]
    by_source: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row, pair in means.items():
        by_source[dataset.sample(row).source].append(pair)
    found = Evaluation(
        samples=len(right),
        unreadable=len(rows) - len(right),
        loss=_mean([loss for losses in right.values() for loss in losses]),
        pairs=len(means),
        loss_right=_mean([own for own, _ in means.values()]),
        loss_swapped=_mean([other for _, other in means.values()]),
        better=_mean([float(difference > 0) for difference in differences]),
        p_value=paired_p_value(differences),
        by_source={
            source: (len(values), _mean([own for own, _ in values]), _mean([other for _, other in values]))
            for source, values in sorted(by_source.items())
        },
        answers=tuple(_answers(model, processor, dataset, dialect, sorted(right), answers, seed)),
    )
    if place is not None:
        found.write(place)
    return found


def swapped(dataset: Dataset, rows: Sequence[int], processor: Any, seed: int) -> dict[int, int]:
    """Row -> row whose picture it gets instead: a shifted shuffle within groups of equal source and layout."""
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    table = dataset.table(["images", "source"])
    images, sources = table["images"].to_pylist(), table["source"].to_pylist()
    for row in rows:
        if len(images[row]) == 1:
            layout = processor.layout(images[row][0]["width"], images[row][0]["height"])
            groups[(sources[row], layout.views, layout.skips)].append(row)
    partners = {}
    for group in groups.values():
        random.Random(seed).shuffle(group)
        for row, other in zip(group, group[1:] + group[:1], strict=True):
            if images[row][0]["xxh3"] != images[other][0]["xxh3"]:
                partners[row] = other
    return partners


def paired_p_value(differences: Sequence[float]) -> float:
    """One-sided p of Student's paired t that the mean of the differences is above zero; 1.0 for fewer than two."""
    if len(differences) < 2:
        return 1.0
    values = np.asarray(differences, dtype=np.float64)
    error = values.std(ddof=1) / math.sqrt(len(values))
    if error == 0:
        return 0.0 if values.mean() > 0 else 1.0
    return t_tail(values.mean() / error, len(values) - 1)


def t_tail(t: float, freedom: int) -> float:
    """P(T > t) of Student's distribution: with x = sqrt(freedom) tan(a) its density is C cos(a)^(freedom - 1) da."""
    if t < 0:
        return 1.0 - t_tail(-t, freedom)
    constant = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    angles = np.linspace(math.atan(t / math.sqrt(freedom)), math.pi / 2, 200_001)
    density = np.cos(angles) ** (freedom - 1)
    return float(constant * (density.sum() - (density[0] + density[-1]) / 2) * (angles[1] - angles[0]))


@torch.no_grad()  # sharded layers must not gather into inference tensors
def _losses(
    model: Any, processor: Any, dataset: Dataset, dialect: Dialect, pairs: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, list[float]]]:
    """(row, losses of its supervised tokens) of samples whose pictures come from another row; unreadable are left out.

    Samples are padded on the right, where causal attention never looks from.
    """
    for start in range(0, len(pairs), BATCH):
        rows, encoded, pixels = [], [], []
        for row, other in pairs[start : start + BATCH]:
            item, _ = encode(dataset.sample(row), processor, dialect)
            try:
                example = dataset[other]
                layouts = [processor.layout(image.width, image.height) for image in example.sample.images]
                pixels += [torch.from_numpy(views(example, i, layouts[i], processor)) for i in item.images]
            except Exception:  # decoders of damaged pictures raise what they like; counted as unreadable
                continue
            rows.append(row)
            encoded.append(item)
        if not rows:
            continue
        ids, labels = (
            pad_sequence([torch.tensor(values) for values in sequences], batch_first=True, padding_value=filler)
            for sequences, filler in (
                ([item.input_ids for item in encoded], 0),
                ([item.labels for item in encoded], IGNORE),
            )
        )
        ids, labels = ids.to(model.device), labels.to(model.device)
        hidden = model.model(input_ids=ids, pixel_values=_stack(pixels, model)).last_hidden_state
        for number, row in enumerate(rows):
            one = slice(number, number + 1)
            yield row, token_losses(hidden[one], model.lm_head.weight, *supervised(labels[one])).tolist()


def _answers(
    model: Any, processor: Any, dataset: Dataset, dialect: Dialect, rows: list[int], most: int, seed: int
) -> Iterator[Answer]:
    """Held-out first questions and what the model answers, from each source in turn."""
    by_source: dict[str, list[int]] = defaultdict(list)
    for row in random.Random(seed).sample(rows, len(rows)):
        sample = dataset.sample(row)
        if [message.role for message in sample.messages[:2]] == ["user", "assistant"]:
            by_source[sample.source].append(row)
    chosen: list[int] = []
    while len(chosen) < most and any(by_source.values()):
        chosen += [waiting.pop() for waiting in by_source.values() if waiting]
    for row in chosen[:most]:
        yield _answer(model, processor, dataset, dialect, row)


@torch.no_grad()  # sharded layers must not gather into inference tensors
def _answer(model: Any, processor: Any, dataset: Dataset, dialect: Dialect, row: int) -> Answer:
    example = dataset[row]
    sample: Sample = example.sample
    layouts = [processor.layout(image.width, image.height) for image in sample.images]
    question, truth = turns(sample, layouts, dialect)[:2]
    prompt = processor.encode([Turn("user", question.parts)], layouts, add_generation_prompt=True)
    ids = torch.tensor([prompt.input_ids], device=model.device)
    pictures = [torch.from_numpy(views(example, image, layouts[image], processor)) for image in prompt.images]
    pixels = _stack(pictures, model)
    mask = torch.ones_like(ids)
    made = model.generate(input_ids=ids, attention_mask=mask, pixel_values=pixels, do_sample=False, max_new_tokens=64)
    return Answer(
        row=row,
        id=sample.id,
        question=_text(question.parts),
        truth=_text(truth.parts),
        answer=processor.answer(made[0, ids.shape[1] :].tolist()),
    )


def _stack(pictures: list[torch.Tensor], model: Any) -> torch.Tensor | None:
    return torch.cat(pictures).to(model.device) if pictures else None


def _text(parts: Any) -> str:
    return "".join(part for part in parts if isinstance(part, str)).strip()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
