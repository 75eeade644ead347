"""Checkpoints: weights, optimizer and the run's state in a folder that appears whole or not at all.

The state of the data is one integer, the packs that were consumed; fingerprints say of which data.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load_file, save_file

from sphinx_data.errors import InputError, UsageError
from sphinx_data.sample import Struct

STATE = "state.json"


class RunState(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Where a run is; everything needed to go on as if it had never stopped."""

    step: int
    packs: int  # consumed
    dataset: str  # fingerprint
    plan: str  # fingerprint
    settings: dict[str, Any]  # of the recipe, those that change the numbers


def save(folder: Path, state: RunState, model: torch.nn.Module, optimizer: torch.optim.Optimizer, keep: int) -> None:
    """Write ``folder/STEP`` atomically, then delete all but the newest `keep`."""
    with whole_folder(folder / f"{state.step:08d}") as place:
        weights = {name: value.detach().contiguous() for name, value in _trained(model).items()}
        save_file(weights, place / "model.safetensors")
        torch.save({"optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}, place / "optimizer.pt")
        (place / STATE).write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1))
    for old in sorted(_steps(folder))[:-keep]:
        _delete(folder / f"{old:08d}")


def load(folder: Path, now: RunState, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Restore the newest checkpoint and return its step; 0 where there is none.

    Raises UsageError naming the first thing in which it is not of the run `now`, InputError when it is damaged.
    """
    steps = _steps(folder)
    if not steps:
        return 0
    place = folder / f"{max(steps):08d}"
    try:
        state = msgspec.json.decode((place / STATE).read_bytes(), type=RunState)
        weights = load_file(place / "model.safetensors")
        extra = torch.load(place / "optimizer.pt", weights_only=True)
    except Exception as error:  # safetensors, pickle and zip raise what they like at damaged files
        problem = str(error).partition("\n")[0]
        raise InputError(f"{place}: is damaged ({problem}); delete it to go on from the one before") from None
    _refuse_difference(state, now, place)
    trained = _trained(model)
    shapes = {name: value.shape for name, value in weights.items()}
    if shapes != {name: value.shape for name, value in trained.items()}:
        odd = sorted(name for name in shapes.keys() | trained.keys() if not _fits(weights, trained, name))
        raise UsageError(f"{place}: was saved by another model; {odd[0]} and {len(odd) - 1} more tensors do not match")
    with torch.no_grad():
        for name, value in trained.items():
            value.copy_(weights[name])
    optimizer.load_state_dict(extra["optimizer"])
    torch.set_rng_state(extra["rng"])
    return state.step


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """A temporary folder that becomes `final`, synced and in place of an older one, when the block ends well."""
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


def _refuse_difference(saved: RunState, now: RunState, place: Path) -> None:
    before = {"data": saved.dataset, **saved.settings, "plan": saved.plan}
    after = {"data": now.dataset, **now.settings, "plan": now.plan}
    for key in before | after:
        if before.get(key) != after.get(key):
            raise UsageError(
                f"{place}: the run was started with {key} = {before.get(key)}, now it is {after.get(key)}; "
                "use the same, or another out"
            )


def _trained(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters that train; frozen encoders stay where they came from."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _fits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], name: str) -> bool:
    return name in one and name in other and one[name].shape == other[name].shape


def _steps(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit()]
