"""Checkpoints: weights, optimizer and the run's state in a folder that appears whole or not at all.

The state of the data is one integer, the packs that were consumed; fingerprints say of which data.
"""

import os
import shutil
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
    final, temporary = folder / f"{state.step:08d}", folder / f".tmp-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    weights = {name: value.detach().contiguous() for name, value in _trained(model).items()}
    save_file(weights, temporary / "model.safetensors")
    torch.save({"optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}, temporary / "optimizer.pt")
    (temporary / STATE).write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1))
    for path in [*temporary.iterdir(), temporary]:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    shutil.rmtree(final, ignore_errors=True)
    temporary.replace(final)
    for old in sorted(_steps(folder))[:-keep]:
        shutil.rmtree(folder / f"{old:08d}")


def load(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> RunState | None:
    """Restore the newest checkpoint, or return None where there is none. Raises InputError when it is damaged."""
    steps = _steps(folder)
    if not steps:
        return None
    place = folder / f"{max(steps):08d}"
    try:
        state = msgspec.json.decode((place / STATE).read_bytes(), type=RunState)
        weights = load_file(place / "model.safetensors")
        extra = torch.load(place / "optimizer.pt", weights_only=True)
    except (OSError, ValueError, RuntimeError, msgspec.MsgspecError) as error:
        raise InputError(
            f"{place}: the checkpoint is damaged ({error}); delete it to go on from the one before"
        ) from None
    expected = _trained(model)
    if weights.keys() != expected.keys():
        odd = sorted(weights.keys() ^ expected.keys())
        raise UsageError(f"{place}: was saved by another model; {odd[0]} and {len(odd) - 1} more tensors do not match")
    with torch.no_grad():
        for name, value in expected.items():
            value.copy_(weights[name])
    optimizer.load_state_dict(extra["optimizer"])
    torch.set_rng_state(extra["rng"])
    return state


def refuse_difference(saved: RunState, now: RunState, place: str) -> None:
    """Raise UsageError naming the first thing in which a run is not the one that was saved."""
    for field in ("dataset", "plan"):
        if getattr(saved, field) != getattr(now, field):
            raise UsageError(
                f"{place}: was trained on {field} {getattr(saved, field)}, this run has {getattr(now, field)}; "
                "use the same data, or another out"
            )
    for key in saved.settings.keys() | now.settings.keys():
        if saved.settings.get(key) != now.settings.get(key):
            raise UsageError(
                f"{place}: was started with {key} = {saved.settings.get(key)}, this run has {now.settings.get(key)}; "
                "use the same, or another out"
            )


def _trained(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters that train; frozen encoders stay where they came from."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _steps(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit()] if folder.exists() else []
