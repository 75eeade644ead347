"""Does the model use its eyes? Held-out loss with the right image against the same loss with another sample's image."""

import math
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch

from sphinx_data.dataset.reader import Dataset
from sphinx_data.dialects import Dialect
from sphinx_data.sample import Sample, Struct
from sphinx_model.encoding import Turn
from sphinx_model.loss import sum_and_count
from sphinx_model.rendering import encode, turns

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

    samples: int
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
        return (
            f"held-out loss {self.loss:.4f} over {self.samples} samples; right image {self.loss_right:.4f}, "
            f"swapped image {self.loss_swapped:.4f} over {self.pairs} pairs, right is better in {self.better:.0%}, "
            f"p = {self.p_value:.2g}"
        )


def evaluate(
    model: Any, processor: Any, dataset: Dataset, dialect: Dialect, place: Path, seed: int, answers: int = 12
) -> Evaluation:
    """Measure a model on a held-out dataset and write the result to `place`.

    Pictures are exchanged between samples of one source whose pictures differ and are laid out alike, so that text and
    number of tokens stay the same. The test is Student's paired t on the differences, with the normal distribution in
    place of t, which needs some 30 pairs.
    """
    rows = list(range(len(dataset)))
    partners = swapped(dataset, processor, seed)
    right = dict(_losses(model, processor, dataset, dialect, [(row, row) for row in rows]))
    wrong = dict(_losses(model, processor, dataset, dialect, list(partners.items())))
    pairs = [row for row in partners if right[row][1]]
    means = {row: (right[row][0] / right[row][1], wrong[row][0] / wrong[row][1]) for row in pairs}
    differences = [other - own for own, other in means.values()]
    by_source: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in pairs:
        by_source[dataset.sample(row).source].append(means[row])
    found = Evaluation(
        samples=len(rows),
        loss=sum(total for total, _ in right.values()) / max(1, sum(count for _, count in right.values())),
        pairs=len(pairs),
        loss_right=_mean([own for own, _ in means.values()]),
        loss_swapped=_mean([other for _, other in means.values()]),
        better=_mean([float(difference > 0) for difference in differences]),
        p_value=paired_p_value(differences),
        by_source={
            source: (len(values), _mean([own for own, _ in values]), _mean([other for _, other in values]))
            for source, values in sorted(by_source.items())
        },
        answers=tuple(_answers(model, processor, dataset, dialect, pairs, answers, seed)),
    )
    place.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    return found


def swapped(dataset: Dataset, processor: Any, seed: int) -> dict[int, int]:
    """Row -> row whose picture it gets instead: a shifted shuffle within groups of equal source and layout."""
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    table = dataset.table(["images"])["images"].to_pylist()
    for row, images in enumerate(table):
        if len(images) == 1:
            layout = processor.layout(images[0]["width"], images[0]["height"])
            groups[(dataset.sample(row).source, layout.views, layout.skips)].append(row)
    partners = {}
    for rows in groups.values():
        random.Random(seed).shuffle(rows)
        for row, other in zip(rows, rows[1:] + rows[:1], strict=True):
            if table[row][0]["xxh3"] != table[other][0]["xxh3"]:
                partners[row] = other
    return partners


def paired_p_value(differences: list[float]) -> float:
    """One-sided p that the mean of the differences is above zero; 1.0 for fewer than two."""
    if len(differences) < 2:
        return 1.0
    mean = _mean(differences)
    variance = sum((value - mean) ** 2 for value in differences) / (len(differences) - 1)
    if variance == 0:
        return 0.0 if mean > 0 else 1.0
    return 0.5 * math.erfc(mean / math.sqrt(variance / len(differences)) / math.sqrt(2))


@torch.inference_mode()
def _losses(
    model: Any, processor: Any, dataset: Dataset, dialect: Dialect, pairs: list[tuple[int, int]]
) -> Iterator[tuple[int, tuple[float, int]]]:
    """(row, (summed loss, supervised tokens)) of samples whose pictures come from another row."""
    device = model.device
    for start in range(0, len(pairs), BATCH):
        encoded, views = [], []
        for row, other in pairs[start : start + BATCH]:
            item, _ = encode(dataset.sample(row), processor, dialect)
            pictures = dataset[other]
            encoded.append(item)
            views += [torch.from_numpy(processor.views(pictures.image(image))[0]) for image in item.images]
        longest = max(len(item.input_ids) for item in encoded)
        ids = torch.zeros(len(encoded), longest, dtype=torch.int64)
        labels = torch.full_like(ids, -100)
        for number, item in enumerate(encoded):  # padded on the right: causal attention never sees it
            ids[number, : len(item.input_ids)] = torch.tensor(item.input_ids)
            labels[number, : len(item.labels)] = torch.tensor(item.labels)
        pixels = torch.cat(views).to(device) if views else None
        hidden = model.model(input_ids=ids.to(device), pixel_values=pixels).last_hidden_state
        for number, (row, _) in enumerate(pairs[start : start + BATCH]):
            one = slice(number, number + 1)
            total, count = sum_and_count(hidden[one], model.lm_head.weight, labels[one].to(device))
            yield row, (float(total), count)


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


@torch.inference_mode()
def _answer(model: Any, processor: Any, dataset: Dataset, dialect: Dialect, row: int) -> Answer:
    example = dataset[row]
    sample: Sample = example.sample
    layouts = [processor.layout(image.width, image.height) for image in sample.images]
    question, truth = turns(sample, layouts, dialect)[:2]
    prompt = processor.encode([Turn("user", question.parts)], layouts, add_generation_prompt=True)
    ids = torch.tensor([prompt.input_ids], device=model.device)
    views = [torch.from_numpy(processor.views(example.image(image))[0]) for image in prompt.images]
    pixels = torch.cat(views).to(model.device) if views else None
    mask = torch.ones_like(ids)
    made = model.generate(input_ids=ids, attention_mask=mask, pixel_values=pixels, do_sample=False, max_new_tokens=64)
    return Answer(
        row=row,
        id=sample.id,
        question=_text(question.parts),
        truth=_text(truth.parts),
        answer=processor.answer(made[0, ids.shape[1] :].tolist()),
    )


def _text(parts: Any) -> str:
    return "".join(part for part in parts if isinstance(part, str)).strip()


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
