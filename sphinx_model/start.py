"""What a run starts from and what it leaves: a model and its processor in Hugging Face form."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

import sphinx_model.auto  # noqa: F401 (registers our classes)
from sphinx_data.dataset.reader import Dataset
from sphinx_data.errors import InputError, UsageError
from sphinx_data.sample import RegionPart, TextPart
from sphinx_model.checkpoint import whole_folder
from sphinx_model.presets import PRESETS, build
from sphinx_model.tokenizer import train_tokenizer

_TEXTS = 20_000  # samples that a small tokenizer learns from


def load(name: str, dataset: Dataset, seed: int, out: Path) -> tuple[Any, Any]:
    """The model, in float32, and the processor of a directory or a preset.

    A preset is built once for its data and seed, and kept in ``OUT/init-...`` for the next start. Raises UsageError
    where `name` is neither, InputError for a directory without a model that can be trained.
    """
    place = Path(name)
    if name in PRESETS:
        place = out / f"init-{name}-{seed}-{dataset.fingerprint[:16]}"
        if not place.exists():
            export(*build(name, train_tokenizer(_texts(dataset)), seed=seed), place)
    if not place.is_dir():
        raise UsageError(f"model: {name!r} is neither a preset ({', '.join(PRESETS)}) nor a directory")
    try:
        model = AutoModelForImageTextToText.from_pretrained(place, dtype=torch.float32)
        return model, AutoProcessor.from_pretrained(place)
    except (OSError, ValueError) as error:
        problem = str(error).partition("\n")[0]
        raise InputError(f"{place}: holds no model that can be trained ({problem})") from None


def export(model: Any, processor: Any, place: Path) -> None:
    """Save in Hugging Face form, atomically."""
    with whole_folder(place) as folder:
        model.save_pretrained(folder)
        processor.save_pretrained(folder)


def _texts(dataset: Dataset) -> Iterator[str]:
    """Texts of samples spread evenly over a dataset."""
    for row in range(0, len(dataset), max(1, len(dataset) // _TEXTS)):
        for message in dataset.sample(row).messages:
            for part in message.content:
                if isinstance(part, TextPart | RegionPart):
                    yield part.text or ""
