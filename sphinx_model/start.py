"""What a run starts from and what it leaves: a model and its processor in Hugging Face form."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import AutoProcessor
from transformers.initialization import no_init_weights

from sphinx_data.dataset.reader import Dataset
from sphinx_data.sample import RegionPart, TextPart
from sphinx_model import loading, lora
from sphinx_model.checkpoint import whole_folder
from sphinx_model.configuration_sphinx import SphinxConfig
from sphinx_model.modeling_sphinx import SphinxForConditionalGeneration
from sphinx_model.presets import PRESETS
from sphinx_model.recipe import LoraRecipe
from sphinx_model.weights import starting_point
from sphinx_model.world import World

_TEXTS = 20_000  # samples that a small tokenizer learns from


def directory(name: str, dataset: Dataset, seed: int, out: Path) -> Path:
    """Where the model of that name lies: a directory, or a preset that is built once for its data and seed.

    A preset is kept in ``OUT/init-...`` for the next start.
    """
    place = Path(name)
    if name in PRESETS:
        place = out / f"init-{name}-{seed}-{dataset.fingerprint[:16]}"
        if not place.exists():
            model, processor, origins = starting_point(PRESETS[name], _texts(dataset), seed)
            print(f"{name}: " + ", ".join(f"{part}: {origin}" for part, origin in origins.items()), file=sys.stderr)
            export(model, processor, place)
    return place


def load(place: Path, world: World) -> tuple[Any, Any]:
    """The model, in float32 on the CPU, and the processor of a directory.

    Only the first rank reads the weights; the others' are storage that nobody has touched, for `Weights.give`. Raises
    InputError for a directory without a model that can be trained.
    """
    if world.first:
        return loading.load(place, torch.float32)
    config: Any = SphinxConfig.from_pretrained(place)
    with no_init_weights():
        model = SphinxForConditionalGeneration(config)
    model.tie_weights()  # part of the initialisation that was left out
    model.freeze_encoders(config.freeze_encoders)
    return model, AutoProcessor.from_pretrained(place)


def export(model: Any, processor: Any, place: Path, tensors: dict[str, torch.Tensor] | None = None) -> None:
    """Save in Hugging Face form, atomically; `tensors` instead of the model's own where they are given."""
    with whole_folder(place) as folder:
        model.save_pretrained(folder, state_dict=tensors)
        processor.save_pretrained(folder)


class Weights:
    """The weights of a model across sharding: from the first rank to all, and back to one Hugging Face directory."""

    def __init__(self, model: Any, world: World) -> None:
        """Before the model is sharded."""
        self._model, self._world = model, world
        self._read = {name: tensor.detach() for name, tensor in model.state_dict().items()} if world.first else {}

    def give(self) -> None:
        """After the model is sharded: every rank gets its part of what the first one read."""
        if self._world.size > 1:
            with torch.no_grad():
                for name, tensor in self._model.state_dict().items():
                    self._scatter(name, tensor)
        # frozen encoders may be rounded on a device; what was read is what is exported
        frozen = {name for name, parameter in self._model.named_parameters() if not parameter.requires_grad}
        self._read = {
            name: self._read[name] for name in frozen & self._read.keys() if name.startswith("model.encoders.")
        }

    def _scatter(self, name: str, tensor: torch.Tensor) -> None:
        device = self._world.device
        full = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
        if self._world.first:
            full.copy_(self._read[name])
        dist.broadcast(full, src=0)
        if isinstance(tensor, DTensor):
            full = distribute_tensor(full, tensor.device_mesh, tensor.placements, src_data_rank=None).to_local()
            tensor = tensor.to_local()
        tensor.copy_(full)

    def export(self, processor: Any, place: Path, adapters: LoraRecipe | None) -> None:
        """Save in Hugging Face form, atomically; every rank must call, the first one writes.

        Raises OutputError where there is no room; what lay there before is still whole.
        """
        tied = set(self._model._tied_weights_keys) if self._model.config.tie_word_embeddings else set()
        tensors: dict[str, torch.Tensor] = {}
        for name, tensor in self._model.state_dict().items():
            full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            if self._world.first and name not in tied:
                tensors[name] = self._read.get(name, full.detach().cpu())
        if self._world.first:
            export(self._model, processor, place, tensors if adapters is None else lora.merged(tensors, adapters))
        self._world.wait()


def _texts(dataset: Dataset) -> Iterator[str]:
    """Texts of samples spread evenly over a dataset."""
    for row in range(0, len(dataset), max(1, len(dataset) // _TEXTS)):
        for message in dataset.sample(row).messages:
            for part in message.content:
                if isinstance(part, TextPart | RegionPart):
                    yield part.text or ""
