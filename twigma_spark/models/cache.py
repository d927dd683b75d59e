"""One loaded model a process: a Python worker that Spark reuses loads weights once, not once a task."""

from __future__ import annotations

import logging
import threading
import time

from twigma_spark.models.base import Loaded, Model
from twigma_spark.models.device import free_memory

_log = logging.getLogger(__name__)
_lock = threading.Lock()
_held: dict[tuple[Model, str], Loaded] = {}


def load(model: Model, device: str = "cpu", threads: int | None = None) -> Loaded:
    """Return `model` loaded on `device`; the one loaded before is kept only if it is the same.

    Only one is kept: a worker goes from stage to stage, and the models of all of them would not fit a GPU
    that several tasks share.

    Args:
        model: A frozen spec; equal specs are the same model.
        device: "cpu" or "cuda:<index>".
        threads: CPU threads for the forward pass; None leaves them as they are.
    """
    key = (model, device)
    with _lock:
        if key not in _held:
            _clear_unlocked()
            started = time.perf_counter()
            _held[key] = model.setup(device, threads)
            _log.info("loaded %s on %s in %.1f s", model.model_id, device, time.perf_counter() - started)
        return _held[key]


def clear() -> None:
    """Forget the loaded model, and give its device memory back."""
    with _lock:
        _clear_unlocked()


def _clear_unlocked() -> None:
    devices = {device for _, device in _held}
    _held.clear()
    for device in devices:
        free_memory(device)
