"""Training of a reward network on a feed of pairs: in one process or several, from where an interrupted one was."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from twigma_spark.errors import ModelError
from twigma_spark.models.checkpoints import (
    Checkpoint,
    keep_here,
    load_checkpoint,
    optimizer_tensors,
    remove_checkpoints,
    restore_optimizer,
    save_checkpoint,
)
from twigma_spark.models.pair_inputs import Columns, PairBatch, PairInputs
from twigma_spark.models.pair_losses import Epoch, TrainingSpec, pair_losses, rate_factor
from twigma_spark.models.processes import ALONE, Processes


class Feed(Protocol):
    """Where the pairs come from."""

    def rows(self, part: str) -> tuple[int, ...]:
        """Return how many rows of a part each process reads."""

    def batches(self, part: str, size: int, epoch: int | None = None) -> Iterator[Columns]:
        """Yield this process's rows of a part, `size` at a time and fewer at the end."""


@dataclass(frozen=True)
class Fitted:
    """How training went: the losses of the epochs, and the one whose weights the network now has."""

    epochs: tuple[Epoch, ...]
    best: int


@dataclass(frozen=True)
class Trainer:
    """What is trained, on what and how.

    Attributes:
        network: has image_vectors, text_vectors and sharpness; its weights that want gradients are trained.
        groups: of those weights, for AdamW.
        inputs: how columns become tensors.
        feed: this process's pairs: parts train and validation.
        spec: how; `batch_size` pairs of all processes together are a step.
        accumulate: parts that a process computes its pairs of a step in. A negative of InfoNCE is of the same part.
        processes: those that train.
        folder: of the checkpoints; all processes read it and the first one writes it. None for none.
        of: what a checkpoint must belong to, beside the settings above.
        progress: shows a line an epoch.
        every: seconds between two checkpoints at least; 0 for one after each epoch.
        saved: is given the folder when its checkpoints have changed.
    """

    network: Any
    groups: list[dict[str, Any]]
    inputs: PairInputs
    feed: Feed
    spec: TrainingSpec
    accumulate: int = 1
    processes: Processes = ALONE
    folder: Path | None = None
    of: Mapping[str, Any] | None = None
    progress: Callable[[str], None] = lambda text: None
    every: float = 0.0
    saved: Callable[[Path], None] = keep_here

    def fit(self) -> Fitted:
        """Return how training went; the network has the weights with the least loss of the validation pairs.

        Raises:
            ModelError: no pairs, a loss that is no number, or a checkpoint of another model or other settings.
        """
        import torch

        for part, name in (("train", "training"), ("validation", "validation")):
            if not sum(self.feed.rows(part)):
                raise ModelError(f"{name} pairs must be one at least. Got none.")
        trained = self.trained_weights()
        optimizer = torch.optim.AdamW(self.groups)
        highest = [group["lr"] for group in optimizer.param_groups]
        factor = rate_factor(self.steps() * self.spec.epochs, self.spec.warmup)
        epochs, kept = self._resume(optimizer, trained)
        written = time.monotonic()
        while not self._is_done(epochs):
            number = len(epochs)
            total = torch.zeros(2, dtype=torch.float64)
            batches = self._batches("train", number)
            for step in range(self.steps()):
                for group, rate in zip(optimizer.param_groups, highest, strict=True):
                    group["lr"] = rate * factor((number - 1) * self.steps() + step)
                total += self._step(optimizer, trained, islice(batches, self.accumulate), number)
            epochs.append(Epoch(number, float(total[0] / total[1]), self._validate()))
            self._check(epochs[-1].validation, number)
            self.progress(_line(epochs[-1], self.spec.epochs))
            if _best(epochs) == number:
                kept = _copy(trained)
            if time.monotonic() - written >= self.every:
                self._save(epochs, optimizer, trained, kept)
                written = time.monotonic()
        _restore(trained, kept)
        return Fitted(tuple(epochs), _best(epochs))

    def trained_weights(self) -> dict[str, Any]:
        """Return the trained weights by name."""
        return {name: value for name, value in self.network.named_parameters() if value.requires_grad}

    def steps(self) -> int:
        """Return the steps of an epoch: those of the process that has most pairs."""
        return math.ceil(math.ceil(max(self.feed.rows("train")) / self._size()) / self.accumulate)

    def margins(self, part: str, n: int) -> NDArray[np.float32]:
        """Return the score of the preferred image less that of the other one (n,), NaN of rows outside of the part.

        Args:
            part: of the feed.
            n: rows, one more than the highest number of a pair.
        """
        import torch

        found, known = torch.zeros(n), torch.zeros(n)
        with torch.no_grad():
            for batch in self._batches(part, None):
                anchor, preferred, other = self._vectors(batch)
                rows = torch.from_numpy(batch.row)
                found[rows], known[rows] = (anchor * (preferred - other)).sum(1).cpu(), 1.0
        self.processes.add(found, known)
        return np.where(known.numpy() > 0, found.numpy(), np.float32(np.nan))

    def _size(self) -> int:
        """Return the pairs of a forward pass."""
        return max(1, self.spec.batch_size // (self.processes.size * self.accumulate))

    def _batches(self, part: str, epoch: int | None) -> Iterator[PairBatch]:
        return self.inputs.stream(self.feed.batches(part, self._size(), epoch))

    def _vectors(self, batch: PairBatch) -> tuple[Any, Any, Any]:
        preferred, other = self.network.image_vectors(batch.images).chunk(2)
        return self.network.text_vectors(batch.texts), preferred, other

    def _losses(self, batch: PairBatch) -> Any:
        """Return the sum of the weighted losses of a batch."""
        return (pair_losses(*self._vectors(batch), self.network.sharpness(), self.spec) * batch.weight).sum()

    def _step(self, optimizer: Any, trained: Mapping[str, Any], batches: Iterator[PairBatch], epoch: int) -> Any:
        """Return the sums of weighted losses and of weights, after a step down the gradient of their ratio.

        A process that has no pairs left adds nothing: no pair is left out or counted twice for having several.
        """
        import torch

        total = torch.zeros(2, dtype=torch.float64)
        optimizer.zero_grad(set_to_none=False)
        for batch in batches:
            loss = self._losses(batch)
            loss.backward()
            total += torch.stack([loss.detach().double(), batch.weight.sum().double()]).cpu()
        gradients = [_gradient(weight) for weight in trained.values()]
        self.processes.add(*gradients)
        self.processes.add(total)
        self._check(float(total[0]), epoch)
        for gradient in gradients:
            gradient.div_(float(total[1]))
        optimizer.step()
        return total

    def _check(self, loss: float, epoch: int) -> None:
        """Raise an error where a loss is no number; the checkpoints go, which would come to it again."""
        if math.isfinite(loss):
            return
        if self.folder and not self.processes.rank:
            remove_checkpoints(self.folder)
            self.saved(self.folder)
        raise ModelError(
            f"loss must be a finite number. Got {loss} in epoch {epoch}; lower the learning rate of reward or of "
            "reward.fine_tune."
        )

    def _validate(self) -> float:
        """Return the mean loss of the validation pairs."""
        import torch

        total = torch.zeros(2, dtype=torch.float64)
        with torch.no_grad():
            for batch in self._batches("validation", None):
                total += torch.stack([self._losses(batch).double(), batch.weight.sum().double()]).cpu()
        self.processes.add(total)
        return float(total[0] / total[1])

    def _is_done(self, epochs: list[Epoch]) -> bool:
        last = epochs[-1].number
        return last >= self.spec.epochs or last - _best(epochs) >= self.spec.patience

    def _belongs_to(self) -> dict[str, Any]:
        settings = {"training": asdict(self.spec), "accumulate": self.accumulate, "processes": self.processes.size}
        return {
            **settings,
            "weights": {name: list(value.shape) for name, value in self.trained_weights().items()},
            **(self.of or {}),
        }

    def _resume(self, optimizer: Any, trained: Mapping[str, Any]) -> tuple[list[Epoch], dict[str, Any]]:
        """Return the epochs that are done and the best weights; weights and optimizer are as they were then."""
        checkpoint = load_checkpoint(self.folder, self._belongs_to()) if self.folder else None
        if checkpoint is None:
            return [Epoch(0, math.nan, self._validate())], _copy(trained)
        _restore(trained, checkpoint.tensors["weights"])
        restore_optimizer(optimizer, trained, checkpoint.tensors["optimizer"])
        losses = [(math.nan if train is None else train, held) for train, held in checkpoint.facts["losses"]]
        epochs = [Epoch(number, *both) for number, both in enumerate(losses)]
        self.progress(f"going on after epoch {checkpoint.epoch} of {self.spec.epochs}")
        return epochs, dict(checkpoint.tensors["best"])

    def _save(self, epochs: list[Epoch], optimizer: Any, trained: Mapping[str, Any], best: Mapping[str, Any]) -> None:
        if self.folder is None or self.processes.rank:
            return
        files = {"weights": trained, "best": best, "optimizer": optimizer_tensors(optimizer, trained)}
        losses = [[epoch.train if epoch.number else None, epoch.validation] for epoch in epochs]
        save_checkpoint(self.folder, Checkpoint(epochs[-1].number, files, {"losses": losses}), self._belongs_to())
        self.saved(self.folder)


def _gradient(weight: Any) -> Any:
    """Return the gradient of a weight; zeros where a process had no pairs to compute one from."""
    import torch

    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    return weight.grad


def _best(epochs: list[Epoch]) -> int:
    return min(epochs, key=lambda epoch: epoch.validation).number


def _copy(weights: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in weights.items()}


def _restore(weights: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    import torch

    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(values[name])


def _line(epoch: Epoch, epochs: int) -> str:
    return f"epoch {epoch.number} of {epochs}: loss {epoch.train:.4f}, held out {epoch.validation:.4f}"
