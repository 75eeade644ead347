"""Packs on their way to the device: read ahead by threads in exact order, shared by ranks, stacked, copied."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from itertools import chain, count, islice, repeat
from typing import NamedTuple

import torch
import torch.nn.functional as F

from sphinx_model.loader import Pack, PackDataset
from sphinx_model.loss import supervised
from sphinx_model.packing import pack_at
from sphinx_model.recipe import TrainRecipe
from sphinx_model.world import StuckError, World


class Counts(NamedTuple):
    """What a micro-batch holds, known without asking a device."""

    tokens: int  # positions of documents, without padding
    pairs: int  # (position, earlier or same position of its document)
    views: int
    supervised: int
    weight: float  # of all supervised tokens


class Batch(NamedTuple):
    """Packs of one micro-batch stacked, [B, L] each; views concatenated in reading order."""

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    pixel_values: torch.Tensor  # uint8 [V, S, S, 3]
    places: torch.Tensor  # int64 [S] of supervised positions, flat in B * L: of the states that predict them
    targets: torch.Tensor  # int64 [S]
    groups: torch.Tensor  # int64 [S]
    weights: torch.Tensor  # float32 [S], of the losses
    boundaries: torch.Tensor  # int32 [documents + 1], where documents begin in B * L, and the end
    counts: Counts

    def to(self, device: torch.device) -> "Batch":
        """The tensors on a device, copied from pinned memory without waiting where that is a GPU."""
        if device.type != "cuda":
            return self
        tensors = {name: value for name, value in self._asdict().items() if name != "counts"}
        return self._replace(**{
            name: tensor.pin_memory().to(device, non_blocking=True) for name, tensor in tensors.items()
        })  # fmt: skip


WEIGHTS = {"token": 0.0, "sqrt": 0.5, "sample": 1.0}  # power of one over the supervised tokens of a document


def collate(packs: list[Pack], loss: str = "token") -> Batch:
    """Stack packs to one micro-batch; `loss` says what weighs the same, tokens or samples (see `WEIGHTS`)."""
    ids, labels, positions, groups, shares = (
        torch.stack([getattr(pack, name) for pack in packs])
        for name in ("input_ids", "labels", "position_ids", "groups", "shares")
    )
    pixels, lengths = (torch.cat([getattr(pack, name) for pack in packs]) for name in ("pixel_values", "lengths"))
    places, targets = supervised(labels)
    boundaries = F.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
    groups, weights = groups.flatten()[places + 1], shares.flatten()[places + 1] ** WEIGHTS[loss]
    filled, weight = sum(pack.filled for pack in packs), float(weights.sum(dtype=torch.float64))
    counts = Counts(filled, _pairs(packs), len(pixels), len(targets), weight)
    return Batch(ids, positions, pixels, places, targets, groups, weights, boundaries, counts)


def _pairs(packs: list[Pack]) -> int:
    """(position, earlier or same position of its document) in packs, without their padding."""
    pairs = 0
    for pack in packs:
        lengths = pack.lengths.to(torch.int64)
        padding = len(pack.input_ids) - pack.filled
        pairs += int((lengths * (lengths + 1) // 2).sum()) - padding * (padding + 1) // 2
    return pairs


def read_ahead(
    read: Callable[[int], Pack], numbers: Iterator[int], threads: int, ahead: int, timeout: float | None = None
) -> Generator[Pack]:
    """`read` applied by threads, results in the order of `numbers`, at most `ahead` waiting.

    An error is raised in its place of the order; TimeoutError, with the number, where a result takes longer than
    `timeout` seconds. Closing the iterator cancels what waits and ends the threads.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="packs")
    waiting: deque[tuple[int, Future[Pack]]] = deque()
    stuck = False
    try:
        for number in chain(numbers, repeat(None)):
            if number is not None:
                waiting.append((number, pool.submit(read, number)))
            if number is None and not waiting:
                return
            if number is None or len(waiting) >= ahead:
                oldest, result = waiting.popleft()
                done, _ = wait([result], timeout)
                if not done:
                    stuck = True
                    raise TimeoutError(oldest)
                yield result.result()
    finally:
        pool.shutdown(wait=not stuck, cancel_futures=True)


def batches(packs: PackDataset, recipe: TrainRecipe, world: World, first: int, packs_in_all: int) -> Generator[Batch]:
    """Micro-batches of this rank from position `first` of the run's packs on; beyond `packs_in_all` packs are empty.

    Rank r of W takes position r of every W, so that a global batch is the same for any number of ranks. Raises
    StuckError, naming the pack and its samples, where reading one takes longer than `parallel.timeout`.
    """

    def read(position: int) -> Pack:
        return packs[pack_at(position, len(packs), recipe.seed)] if position < packs_in_all else packs.empty()

    per_rank = recipe.pack.batch // world.size
    ready = read_ahead(
        read, count(first + world.rank, world.size), recipe.threads, 2 * per_rank, recipe.parallel.timeout
    )
    with closing(ready):
        try:
            while True:
                yield collate(list(islice(ready, recipe.pack.micro_batch)), recipe.loss)
        except TimeoutError as error:
            number = pack_at(error.args[0], len(packs), recipe.seed)
            names = ", ".join(packs.dataset.sample(entry.row).id for entry in packs.plan.pack(number)[:3])
            raise StuckError(
                f"rank {world.rank}: pack {number} ({names}, ...) was not read within {recipe.parallel.timeout:g} s "
                "(parallel.timeout); is its storage still there?"
            ) from None


def on_device(ready: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """Batches on a device, each copied while the one before is computed."""
    if device.type != "cuda":
        yield from ready
        return
    copies, waiting = torch.cuda.Stream(device), None
    for batch in ready:
        with torch.cuda.stream(copies):
            copied = batch.to(device)
        if waiting is not None:
            yield _arrived(waiting, copies)
        waiting = copied


def _arrived(batch: Batch, copies: torch.cuda.Stream) -> Batch:
    """Make the computing stream wait for a copy, and the allocator know that it uses it."""
    now = torch.cuda.current_stream()
    now.wait_stream(copies)
    for tensor in batch[:-1]:
        tensor.record_stream(now)
    return batch
