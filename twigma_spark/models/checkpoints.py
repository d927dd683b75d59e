"""State of a training that was interrupted: whole or not there, and only of the same model and settings."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twigma_spark.errors import ModelError

STATE = "state.json"
PREFIX = "epoch-"


@dataclass(frozen=True)
class Checkpoint:
    """What training goes on from after an epoch.

    Attributes:
        epoch: the last one that is done.
        tensors: of each file (weights, best, optimizer) torch tensors by name.
        facts: further numbers: losses, steps.
    """

    epoch: int
    tensors: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, of: Mapping[str, Any]) -> None:
    """Write a checkpoint, whole or not at all, and remove the one before.

    Args:
        folder: of the checkpoints of one training.
        checkpoint: what is written.
        of: the model and the settings that it belongs to; values as JSON has them.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    _remove(folder.glob(f".{PREFIX}*"))
    new = folder / f".{PREFIX}{checkpoint.epoch:04d}"
    new.mkdir()
    digests = {}
    for name, tensors in checkpoint.tensors.items():
        file = new / f"{name}.safetensors"
        save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, str(file))
        _flush(file)
        digests[name] = _digest(file)
    state = {"epoch": checkpoint.epoch, "of": dict(of), "sha256": digests, "facts": dict(checkpoint.facts)}
    (new / STATE).write_text(json.dumps(state, indent=1), encoding="utf-8")
    _flush(new / STATE)
    before = list(folder.glob(f"{PREFIX}*"))
    new.rename(folder / new.name.removeprefix("."))
    _remove(before)


def load_checkpoint(folder: Path, of: Mapping[str, Any]) -> Checkpoint | None:
    """Return the last checkpoint of a training, or None where there is none; one that was half written is none.

    Args:
        folder: of the checkpoints of one training.
        of: the model and the settings that it must belong to.

    Raises:
        ModelError: it belongs to others, or its files are not those that were written.
    """
    from safetensors.torch import load_file

    there = sorted(folder.glob(f"{PREFIX}*"))
    if not there:
        return None
    last = there[-1]
    try:
        state = json.loads((last / STATE).read_text(encoding="utf-8"))
        digests, subject = state["sha256"], state["of"]
        epoch, facts = int(state["epoch"]), state["facts"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"a checkpoint must have a whole {STATE}. Got {str(last)!r}: {error}; remove it.") from error
    wanted = json.loads(json.dumps(dict(of)))
    if subject != wanted:
        other = [key for key in wanted.keys() | subject.keys() if subject.get(key) != wanted.get(key)]
        differing = "; ".join(f"{key} {subject.get(key)!r} and not {wanted.get(key)!r}" for key in sorted(other))
        raise ModelError(
            f"a checkpoint must be of the same model and settings. Got {str(last)!r} with {differing}; remove the "
            "folder to begin anew, or set back what was changed."
        )
    files = {name: last / f"{name}.safetensors" for name in digests}
    for name, file in files.items():
        if not file.is_file() or _digest(file) != digests[name]:
            raise ModelError(
                f"{file.name} must be the file that was written. Got another or none in {str(last)!r}; remove it."
            )
    return Checkpoint(epoch, {name: load_file(str(file)) for name, file in files.items()}, facts)


def remove_checkpoints(folder: Path) -> None:
    """Remove what `save_checkpoint` wrote to a folder."""
    _remove([*folder.glob(f"{PREFIX}*"), *folder.glob(f".{PREFIX}*")])


def optimizer_tensors(optimizer: Any, names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the optimizer's state as tensors named by the weight and what they hold.

    Args:
        optimizer: torch's.
        names: the trained weights by name.
    """
    state = optimizer.state
    return {f"{key}/{name}": value for name, weight in names.items() for key, value in state.get(weight, {}).items()}


def restore_optimizer(optimizer: Any, names: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
    """Put the state of `optimizer_tensors` into an optimizer of the same weights."""
    for full, value in tensors.items():
        key, _, name = full.partition("/")
        weight = names[name]
        # Counts of steps stay on the CPU, as torch keeps them.
        optimizer.state[weight][key] = value if value.ndim == 0 else value.to(weight.device)


def _remove(folders: Any) -> None:
    for each in folders:
        shutil.rmtree(each, ignore_errors=True)


def _flush(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
