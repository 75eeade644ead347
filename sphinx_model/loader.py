"""Packs as tensors, read and decoded ahead of the device by threads, in exact order.

`PackDataset` is a map-style dataset (`__len__`, `__getitem__`), so any PyTorch trainer can take our packs.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from sphinx_data.dataset.reader import Dataset
from sphinx_data.dialects import Dialect
from sphinx_data.errors import InputError
from sphinx_model.encoding import IGNORE, Encoded
from sphinx_model.metrics import read_lines, rewrite_lines
from sphinx_model.packing import Plan
from sphinx_model.rendering import encode, views


class Pack(NamedTuple):
    """One sequence of L positions that holds several documents."""

    input_ids: torch.Tensor  # int64 [L], padding at the end
    labels: torch.Tensor  # int64 [L], not shifted, -100 where nothing is learned
    position_ids: torch.Tensor  # int64 [L], from 0 in every document: the model derives the document mask from it
    pixel_values: torch.Tensor  # uint8 [V, S, S, 3]


class Batch(NamedTuple):
    """Packs of one micro-batch stacked: [B, L] each, views concatenated in reading order."""

    input_ids: torch.Tensor
    labels: torch.Tensor
    position_ids: torch.Tensor
    pixel_values: torch.Tensor


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
        message = " ".join(f"{type(error).__name__}: {error}".split())
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
    """Pack k of a plan as tensors; a torch map-style dataset."""

    def __init__(
        self, dataset: Dataset, plan: Plan, processor: Any, dialect: Dialect, tokens: int, bad: BadSamples
    ) -> None:
        self.dataset, self.plan, self.processor, self.dialect = dataset, plan, processor, dialect
        self.tokens, self.bad = tokens, bad
        pad = processor.tokenizer.pad_token_id
        self._pad = processor.tokenizer.eos_token_id if pad is None else pad

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, number: int) -> Pack:
        """Pack `number`. A sample that cannot be decoded leaves its slot empty and unsupervised."""
        ids = np.full(self.tokens, self._pad, dtype=np.int64)
        labels = np.full(self.tokens, IGNORE, dtype=np.int64)
        positions = np.zeros(self.tokens, dtype=np.int64)
        pixels: list[np.ndarray] = []
        start = 0
        for row in self.plan.pack(number):
            encoded, found = self._read(row)
            stop = start + len(encoded.input_ids)
            positions[start:stop] = np.arange(stop - start)
            if found is not None:
                ids[start:stop], labels[start:stop] = encoded.input_ids, encoded.labels
                pixels += found
            start = stop
        positions[start:] = np.arange(self.tokens - start)  # padding is a document of its own
        return Pack(*(torch.from_numpy(array) for array in (ids, labels, positions, self._stack(pixels))))

    def _read(self, row: int) -> tuple[Encoded, list[np.ndarray] | None]:
        """A sample and the views of its pictures in order; None where it cannot be read, without ids if not even that.

        Decoders raise whatever they like at damaged bytes, so everything is caught, written down and limited.
        """
        encoded, name = Encoded([], [], []), None
        try:
            example = self.dataset[row]
            name = example.sample.id
            encoded, layouts = encode(example.sample, self.processor, self.dialect)
            return encoded, [views(example, image, layouts[image], self.processor) for image in encoded.images]
        except Exception as error:
            self.bad.add(row, name, error)
            return encoded, None

    def empty(self) -> Pack:
        """A pack without samples, which fills the last global batch."""
        ids = torch.full((self.tokens,), self._pad)
        nothing = torch.full_like(ids, IGNORE)
        return Pack(ids, nothing, torch.arange(self.tokens), torch.from_numpy(self._stack([])))

    def _stack(self, views: list[np.ndarray]) -> np.ndarray:
        size = self.processor.rule.view_size
        return np.concatenate(views) if views else np.empty((0, size, size, 3), np.uint8)


def collate(packs: list[Pack]) -> Batch:
    """Stack packs to one micro-batch."""
    return Batch(
        torch.stack([pack.input_ids for pack in packs]),
        torch.stack([pack.labels for pack in packs]),
        torch.stack([pack.position_ids for pack in packs]),
        torch.cat([pack.pixel_values for pack in packs]),
    )


def read_ahead(read: Callable[[int], Pack], numbers: Iterator[int], threads: int, ahead: int) -> Generator[Pack]:
    """`read` applied by threads, results in the order of `numbers`, at most `ahead` waiting.

    An error is raised in its place of the order. Closing the iterator cancels what waits and ends the threads.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="packs")
    waiting: deque[Future[Pack]] = deque()
    try:
        for number in numbers:
            waiting.append(pool.submit(read, number))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
