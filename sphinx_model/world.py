"""The processes of a run: one alone, or as many as ``torchrun`` started, on one machine or several."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from sphinx_data.errors import SphinxError, UsageError

_PREPARATION = timedelta(days=2)  # lengths of a hundred million samples take long
Result = TypeVar("Result")


class StuckError(SphinxError):
    """A rank or a reading thread that made no progress in time."""


class World:
    """Which of how many processes this is, and what they tell each other without asking a device."""

    def __init__(self, rank: int, size: int, device: torch.device, timeout: float) -> None:
        self.rank, self.size, self.device = rank, size, device
        self._timeout = timedelta(seconds=timeout)
        self._host = dist.new_group(backend="gloo", timeout=self._timeout) if size > 1 else None
        # of its own, since a thread writes checkpoints while steps go on
        self.saving = dist.new_group(backend="gloo", timeout=self._timeout) if size > 1 else None

    @property
    def first(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def total(self, values: Sequence[float]) -> list[float]:
        """Sums over all ranks, float64; every rank must call.

        Raises StuckError where ranks do not come within the time-out; on rank 0 it names them.
        """
        if self._host is None:
            return [float(value) for value in values]
        self.wait()
        numbers = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(numbers, group=self._host)
        return numbers.tolist()

    def once(self, make: Callable[[], Result]) -> Result:
        """`make()` of the first rank, then of the others, who find what it left on disk."""
        made = make() if self.first else None
        self.wait(_PREPARATION)
        return make() if made is None else made

    def wait(self, timeout: timedelta | None = None) -> None:
        """Return when every rank is here. Raises StuckError as `total` does."""
        if self._host is None:
            return
        limit = timeout or self._timeout
        try:
            dist.monitored_barrier(group=self._host, timeout=limit, wait_all_ranks=True)
        except RuntimeError as error:
            waited = f"within {limit.total_seconds():g} s (parallel.timeout)"
            said = " ".join(str(error).split())
            raise StuckError(f"rank {self.rank}: not every rank came to the next step {waited}: {said}") from None


@contextmanager
def contact(world: World) -> Iterator[None]:
    """Errors of a broken connection in a sentence: another rank died, and its own message says why."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo/transport" not in str(error):
            raise
        why = " ".join(str(error).split())[:200]
        raise StuckError(
            f"rank {world.rank}: lost another rank, whose own message says why ({why}); "
            "start the same command again to go on"
        ) from None


@contextmanager
def start(timeout: float) -> Iterator[World]:
    """The world that ``torchrun`` describes in the environment, or this process alone; taken down at the end.

    On a GPU a process alone is a group of one, so that sharding and mixed precision are the same code as on many.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    device = _device(int(os.environ.get("LOCAL_RANK", "0")))
    if size == 1 and device.type == "cpu":
        yield World(0, 1, device, timeout)
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    store = dist.HashStore() if size == 1 else None
    limit = timedelta(seconds=timeout)
    if store is not None:
        dist.init_process_group(backend, store=store, rank=0, world_size=1, timeout=limit)
    else:
        dist.init_process_group(backend, timeout=limit)
    try:
        yield World(rank, size, device, timeout)
    finally:
        dist.destroy_process_group()


def _device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise UsageError(
            f"torchrun: rank {local_rank} of this machine has no GPU, there are {torch.cuda.device_count()}; "
            "give --nproc-per-node that many"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)
