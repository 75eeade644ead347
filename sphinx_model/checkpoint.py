"""Checkpoints: weights, moments and the run's state in a folder that appears whole or not at all.

Every rank writes its part (torch.distributed.checkpoint) from a copy, while training goes on; any number of ranks reads
it. The state of the data is one integer, the packs that were consumed; fingerprints say of which data.
"""

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch
import torch.distributed.checkpoint as dcp
from safetensors import SafetensorError
from torch.distributed.checkpoint.api import CheckpointException

from sphinx_data.errors import InputError, OutputError, UsageError
from sphinx_data.sample import Struct
from sphinx_model.optim import Optimizer
from sphinx_model.world import World

STATE = "state.json"
warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # a process alone needs no group


class RunState(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Where a run is; everything needed to go on as if it had never stopped."""

    step: int
    packs: int  # consumed
    dataset: str  # fingerprint
    plan: str  # fingerprint
    settings: dict[str, Any]  # of the recipe, those that change the numbers


class Checkpoints:
    """The checkpoints of a run, ``folder/STEP``."""

    def __init__(self, folder: Path, keep: int, world: World) -> None:
        self._folder, self._keep, self._world = folder, keep, world
        self._pending: tuple[int, Any] | None = None
        if world.first:
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob(".tmp-*/"):  # of a killed process: a run has one at a time
                shutil.rmtree(leftover)
        world.wait()

    def save(self, state: RunState, optimizer: Optimizer) -> None:
        """Begin to write ``folder/STEP``: returns when the tensors are copied, a thread writes them.

        One is written at a time. Raises OutputError where the one before could not be written.
        """
        self.finish()
        temporary = self._folder / f".tmp-{state.step:08d}"
        if self._world.first:
            temporary.mkdir()
            (temporary / STATE).write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1))
        self._world.wait()
        self._pending = (
            state.step,
            dcp.async_save(
                dict(optimizer.tensors()),
                checkpoint_id=temporary,
                process_group=self._world.saving,
                no_dist=self._world.size == 1,
            ),
        )

    def finish(self) -> None:
        """Wait until what was begun is under its final name; then delete all but the newest.

        Raises OutputError where it could not be written: the checkpoints before it are still there.
        """
        if self._pending is None:
            return
        (step, written), self._pending = self._pending, None
        problem = None
        try:
            written.result()
        except (Exception, CheckpointException) as error:  # the latter is none of the former
            problem = _cause(error)
        failed = self._world.total([float(problem is not None)])[0]
        temporary, final = self._folder / f".tmp-{step:08d}", self._folder / f"{step:08d}"
        if failed:
            shutil.rmtree(temporary, ignore_errors=True)
            why = problem or "another rank failed"
            raise OutputError(f"{final}: cannot be written ({why}); make room and run the same command again to go on")
        if self._world.first:
            _sync(temporary / STATE)
            _sync(temporary)
            if final.exists():
                _delete(final)
            temporary.replace(final)
            _sync(self._folder)
            for old in sorted(_steps(self._folder))[: -self._keep]:
                _delete(self._folder / f"{old:08d}")
        self._world.wait()

    def load(self, now: RunState, optimizer: Optimizer) -> int:
        """Restore the newest checkpoint and return its step; 0 where there is none.

        Raises UsageError naming the first thing in which it is not of the run `now`, InputError when it is damaged.
        """
        steps = _steps(self._folder)
        if not steps:
            return 0
        place = self._folder / f"{max(steps):08d}"
        tensors = dict(optimizer.tensors())
        try:
            state = msgspec.json.decode((place / STATE).read_bytes(), type=RunState)
            stored = dcp.FileSystemReader(place).read_metadata().state_dict_metadata
        except Exception as error:  # pickle, JSON and files raise what they like when damaged
            raise _damaged(place, error) from None
        _refuse_difference(state, now, place)
        shapes = {name: getattr(found, "size", None) for name, found in stored.items()}
        odd = sorted(name for name in shapes.keys() | tensors.keys() if not _fits(name, shapes, tensors))
        if odd:
            more = f"{odd[0]} and {len(odd) - 1} more tensors do not match"
            raise UsageError(f"{place}: was saved by another model; {more}")
        try:
            dcp.load(tensors, checkpoint_id=place, no_dist=self._world.size == 1)
        except (Exception, CheckpointException) as error:
            raise _damaged(place, error) from None
        return state.step


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """A temporary folder that becomes `final`, synced and in place of an older one, when the block ends well.

    Raises OutputError, with nothing changed, where there is no room.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    for leftover in final.parent.glob(".tmp-*/"):  # of a killed process: a run has one at a time
        shutil.rmtree(leftover)
    temporary = final.with_name(f".tmp-{final.name}-{os.getpid()}")
    temporary.mkdir()
    try:
        yield temporary
        for path in [*temporary.rglob("*"), temporary]:
            _sync(path)
        if final.exists():
            _delete(final)
        temporary.replace(final)
        _sync(final.parent)
    except (OSError, SafetensorError) as error:  # safetensors has an error of its own for a full disk
        raise OutputError(f"{final}: cannot be written ({error}); make room and run the same command again") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _delete(folder: Path) -> None:
    """Delete a folder; a kill on the way leaves no half of it under its name."""
    doomed = folder.with_name(f".tmp-{folder.name}-old")
    folder.replace(doomed)
    shutil.rmtree(doomed)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cause(error: BaseException) -> str:
    """What went wrong first, in a line: the library wraps the errors of ranks."""
    failures = getattr(error, "failures", {})
    inner = next((failure[0] for _, failure in sorted(failures.items())), error)
    return " ".join(str(inner).split()) or type(inner).__name__


def _damaged(place: Path, error: BaseException) -> InputError:
    return InputError(f"{place}: is damaged ({_cause(error)[:200]}); delete it to go on from the one before")


def _refuse_difference(saved: RunState, now: RunState, place: Path) -> None:
    before = {"data": saved.dataset, **saved.settings, "plan": saved.plan}
    after = {"data": now.dataset, **now.settings, "plan": now.plan}
    last = ("steps", "packs", "plan")  # others change them and say why
    for key in sorted(before | after, key=lambda key: key in last):
        if before.get(key) != after.get(key):
            raise UsageError(
                f"{place}: the run was started with {key} = {before.get(key)}, now it is {after.get(key)}; "
                "use the same, or another out"
            )


def _fits(name: str, stored: dict[str, Any], tensors: dict[str, torch.Tensor]) -> bool:
    return name in stored and name in tensors and stored[name] == tensors[name].shape


def _steps(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit()]
