"""The protocol that every model answers to, and the helpers that name model files."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from twigma_spark.errors import ModelError
from twigma_spark.models.decode import ImageError

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[Any]

PRECISIONS = ("fp32", "bf16", "fp16")
SAMPLE_PREFIX = "sample:"
_SAMPLE_WEIGHTS = Path(__file__).resolve().parent.parent / "sample" / "weights"


class Loaded(ABC):
    """A model whose weights are in memory, bound to one device.

    `prepare` turns one item (image bytes, a text) into the array that the network takes and may run in
    many threads at once; `forward` takes a stack of those and runs in one thread.

    Attributes:
        in_flight: batches that may be begun before the values of the first are taken; 2 where a device
            computes one while the next is brought to it.
    """

    in_flight: int = 1

    @abstractmethod
    def prepare(self, item: Any) -> Any:
        """Return one item as the network's input, an array without the batch axis, or what `begin` makes one of.

        Raises:
            ImageError: The item is an image that cannot be used.
        """

    @abstractmethod
    def forward(self, batch: Array) -> Sequence[Any] | Array:
        """Return one value for each row of `batch`, in order."""

    def begin(self, prepared: Sequence[Any]) -> Callable[[], Sequence[Any] | Array]:
        """Return a call that waits for the values of the prepared items, one for each, in order.

        Where an item turns out only here to be unusable, its value is an ImageError.
        """
        values = self.forward(np.stack(prepared))
        return lambda: values

    @abstractmethod
    def empty(self) -> Sequence[Any] | Array:
        """Return what `forward` would for a batch of nothing."""

    def __call__(self, items: Sequence[Any]) -> Any:
        """Return one value for each item, in order; the whole list is one batch.

        Raises:
            ImageError: One of the items cannot be used (`runner.run_batches` reports it beside the others).
        """
        if len(items) == 0:
            return self.empty()
        values = self.begin([self.prepare(item) for item in items])()
        for value in values:
            if isinstance(value, ImageError):
                raise value
        return values

    def release(self) -> None:  # noqa: B027 - a CPU model has nothing to give back
        """Give cached device memory back; called after an out-of-memory error."""


class Model(Protocol):
    """A model's frozen specification: pickles in bytes, costs nothing until `setup` loads the weights."""

    @property
    def model_id(self) -> str:
        """Which weights, pinned: by tag, by revision, or by the digest of the file."""

    @property
    def preprocess_rev(self) -> str:
        """All else that changes a value: decode path and its version, precision, input size."""

    def setup(self, device: str = "cpu", threads: int | None = None) -> Loaded:
        """Load the weights onto `device` ("cpu", "cuda:0") with `threads` CPU threads (None: as they are)."""


def local_path(text: str) -> Path:
    """Return the path that `text` names; "sample:clip" is the folder `clip` of the weights in the package.

    Resolved at each use, not in the spec: a spec is pickled on one machine and used on another.

    Raises:
        ModelError: Nothing is there.
    """
    inside = text.startswith(SAMPLE_PREFIX)
    path = _SAMPLE_WEIGHTS / text.removeprefix(SAMPLE_PREFIX) if inside else Path(text)
    if not path.exists():
        raise ModelError(
            f"model path must be an existing file or folder. Got {text!r} ({path}). "
            "Copy the weights to where every worker can read them, or correct the path."
        )
    return path


def file_digest(path: Path) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of a file; read again only if it changed."""
    stat = path.stat()
    return _digest(str(path), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(path: str, size: int, changed: int) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:12]


def check_choice(what: str, value: str, choices: Sequence[str]) -> None:
    """Return nothing where `value` is one of `choices`.

    Raises:
        ModelError: It is not.
    """
    if value not in choices:
        raise ModelError(f"{what} must be one of {', '.join(choices)}. Got {value!r}.")
