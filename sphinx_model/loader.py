"""Packs as tensors: documents that share a sequence, apart from each other, as any PyTorch trainer can take them."""

import json
import re
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
import torch

from sphinx_data.dataset.reader import Dataset, open_dataset
from sphinx_data.dialects import Dialect
from sphinx_data.dialects import dialect as find_dialect
from sphinx_data.errors import InputError
from sphinx_model.encoding import Encoded
from sphinx_model.lengths import measure
from sphinx_model.loss import IGNORE
from sphinx_model.metrics import read_lines, rewrite_lines
from sphinx_model.packing import Entry, Plan
from sphinx_model.packing import plan as make_plan
from sphinx_model.rendering import encode, part, views

_ADDRESS = re.compile(r" <[\w.]+ object at 0x[0-9a-f]+>")  # what Pillow calls a picture that is no file


class Pack(NamedTuple):
    """One sequence of L positions that holds several documents."""

    input_ids: torch.Tensor  # int64 [L], padding at the end
    labels: torch.Tensor  # int64 [L], not shifted, -100 where nothing is learned
    position_ids: torch.Tensor  # int64 [L], from 0 in every document: the model derives the document mask from it
    pixel_values: torch.Tensor  # uint8 [V, S, S, 3]
    groups: torch.Tensor  # int64 [L], number of the source in `PackDataset.groups`
    shares: torch.Tensor  # float32 [L], one over the supervised tokens of the document
    lengths: torch.Tensor  # int32 [documents], the padding as the last one; they add up to L
    filled: int  # positions before the padding


class BadSamples:
    """Samples that could not be read: written down once each, however often a run starts, and fatal beyond `most`."""

    def __init__(self, path: Path, most: int) -> None:
        self.path, self.most = path, most
        written = read_lines(path)
        self.rows = {line["row"] for line in written}
        if path.exists():
            rewrite_lines(path, written)
        self._lock = threading.Lock()

    def add(self, row: int, sample_id: str | None, error: Exception) -> None:
        """Write one down. Raises InputError beyond the limit."""
        message = " ".join(_ADDRESS.sub("", f"{type(error).__name__}: {error}").split())
        with self._lock:
            if row not in self.rows:
                self.rows.add(row)
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"row": row, "id": sample_id, "error": message}) + "\n")
            count = len(self.rows)
        if count > self.most:
            raise InputError(
                f"{self.path}: {count} samples cannot be read, max_bad allows {self.most}; last: {message}"
            )


class PackDataset:
    """Pack k of a plan as tensors; a map-style dataset (`__len__`, `__getitem__`)."""

    def __init__(
        self, dataset: Dataset, plan: Plan, processor: Any, dialect: Dialect, tokens: int, bad: BadSamples
    ) -> None:
        self.dataset, self.plan, self.processor, self.dialect = dataset, plan, processor, dialect
        self.tokens, self.bad = tokens, bad
        pad = processor.tokenizer.pad_token_id
        self._pad = processor.tokenizer.eos_token_id if pad is None else pad
        self.groups, self.group = _groups(dataset)  # names of sources, and the number of each row's, [N]

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, number: int) -> Pack:
        """Pack `number`. A sample that cannot be decoded leaves its slot empty and unsupervised."""
        ids = np.full(self.tokens, self._pad, dtype=np.int64)
        labels = np.full(self.tokens, IGNORE, dtype=np.int64)
        positions, groups = np.zeros(self.tokens, dtype=np.int64), np.zeros(self.tokens, dtype=np.int64)
        shares = np.zeros(self.tokens, dtype=np.float32)
        pixels: list[np.ndarray] = []
        start, lengths = 0, []
        for entry in self.plan.pack(number):
            encoded, found = self._read(entry)
            stop = start + len(encoded.input_ids)
            positions[start:stop] = np.arange(stop - start)
            if found is not None:
                ids[start:stop], labels[start:stop] = encoded.input_ids, encoded.labels
                groups[start:stop] = self.group[entry.row]
                shares[start:stop] = 1.0 / max(1, sum(label != IGNORE for label in encoded.labels))
                pixels += found
            lengths.append(stop - start)
            start = stop
        positions[start:] = np.arange(self.tokens - start)  # padding is a document of its own
        lengths += [self.tokens - start] if start < self.tokens else []
        arrays = (ids, labels, positions, self._stack(pixels), groups, shares, np.array(lengths, dtype=np.int32))
        return Pack._make([*map(torch.from_numpy, arrays), start])

    def _read(self, entry: Entry) -> tuple[Encoded, list[np.ndarray] | None]:
        """A sample, or a part of one, and the views of its pictures in order; None where it cannot be read, then
        without ids if not even that.

        Decoders raise whatever they like at damaged bytes, so everything is caught, written down and limited.
        """
        encoded, name = Encoded([], [], []), None
        try:
            example = self.dataset[entry.row]
            name = example.sample.id
            encoded, layouts = encode(part(example.sample, entry.first, entry.last), self.processor, self.dialect)
            return encoded, [views(example, image, layouts[image], self.processor) for image in encoded.images]
        except Exception as error:
            self.bad.add(entry.row, name, error)
            return encoded, None

    def empty(self) -> Pack:
        """A pack without samples, which fills the last global batch."""
        ids = torch.full((self.tokens,), self._pad)
        nothing, zeros = torch.full_like(ids, IGNORE), torch.zeros_like(ids)
        views = torch.from_numpy(self._stack([]))
        one = torch.tensor([self.tokens], dtype=torch.int32)
        return Pack(ids, nothing, torch.arange(self.tokens), views, zeros, zeros.float(), one, 0)

    def _stack(self, views: list[np.ndarray]) -> np.ndarray:
        size = self.processor.rule.view_size
        return np.concatenate(views) if views else np.empty((0, size, size, 3), np.uint8)


def open_packs(
    data: str,
    processor: Any,
    tokens: int,
    views: int,
    folder: str,
    dialect: str = "sphinx",
    seed: int = 0,
    max_bad: int = 100,
) -> PackDataset:
    """The packs of a dataset directory for a model's processor, for any trainer; see recipes/elsewhere.

    Args:
        data: a dataset directory, usually a mix.
        processor: of the model.
        tokens: positions of a pack.
        views: most encoded views of a pack.
        folder: where plans and ``bad_samples.jsonl`` are kept.
        dialect: how regions are written.
        seed: of the order of packs.
        max_bad: samples that may be unreadable before InputError is raised.

    Raises UsageError where nothing fits into such packs.
    """
    dataset, form = open_dataset(data), find_dialect(dialect)
    plan = make_plan(dataset, measure(dataset, processor, form), tokens, views, folder, seed)
    return PackDataset(dataset, plan, processor, form, tokens, BadSamples(Path(folder, "bad_samples.jsonl"), max_bad))


def as_inputs(packs: list[Pack]) -> dict[str, torch.Tensor]:
    """Packs as keyword arguments of `SphinxForConditionalGeneration`: what a `data_collator` returns.

    There is no attention mask: `transformers` keeps documents apart by their restarting `position_ids`.
    """
    stacked = {name: torch.stack([getattr(pack, name) for pack in packs])
               for name in ("input_ids", "labels", "position_ids")}  # fmt: skip
    pixels = torch.cat([pack.pixel_values for pack in packs])
    return {**stacked, "pixel_values": pixels} if len(pixels) else stacked


def _groups(dataset: Dataset) -> tuple[list[str], np.ndarray]:
    """Names ``DOMAIN/SOURCE`` in alphabetical order, and the number of each row's, [N]."""
    table = dataset.table(["domain", "source"])
    names = pc.binary_join_element_wise(table["domain"].cast("string"), table["source"].cast("string"), "/")
    coded = names.combine_chunks().dictionary_encode()
    found = coded.dictionary.to_pylist()
    ordered = sorted(found)
    rank = np.array([ordered.index(name) for name in found], dtype=np.int64)
    return ordered, rank[coded.indices.to_numpy()]
