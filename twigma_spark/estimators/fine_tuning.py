"""Fine-tuning of a reward model's encoder on images: on the driver, or in processes of Spark's TorchDistributor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twigma_spark.errors import ModelError
from twigma_spark.io.pair_feed import PairFeed, choose_reader
from twigma_spark.io.pair_snapshot import read_snapshot
from twigma_spark.models.checkpoints import keep_here
from twigma_spark.models.clip import ClipImage
from twigma_spark.models.clip_source import load_clip
from twigma_spark.models.device import cuda_count, limit_threads
from twigma_spark.models.pair_inputs import ImagePairs
from twigma_spark.models.pair_losses import Epoch, TrainingSpec
from twigma_spark.models.processes import Processes, join_processes
from twigma_spark.models.reward_fit import Trainer
from twigma_spark.models.reward_head import Head
from twigma_spark.models.reward_tower import new_tuned, tower_weights

ERROR = "error.txt"


@dataclass(frozen=True)
class FineTuning:
    """What is fine-tuned, on what and how; a process that trains is given this and nothing else.

    Attributes:
        encoder: which CLIP.
        head: that training starts from.
        snapshot: folder of the pairs; the training, validation and test parts.
        checkpoints: folder of the state after each epoch.
        spec: loss, epochs, pairs of a step and learning rate of the head.
        tower_rate: highest learning rate of the encoder's weights.
        blocks: of each tower, from its end, that are trained with the projections.
        accumulate: parts that a process computes its pairs of a step in.
        precision: fp32 or bf16, of the towers' arithmetic.
        feed: auto, petastorm or arrow.
        buffer: rows that a batch is drawn from.
        device: "cpu" or "cuda".
        decode_threads: threads that decode images, a process.
        threads: CPU threads of the network; None leaves them.
        saved: is given the folder of the checkpoints when they have changed.
    """

    encoder: ClipImage
    head: Head
    snapshot: Path
    checkpoints: Path
    spec: TrainingSpec
    tower_rate: float = 1e-5
    blocks: int = 1
    accumulate: int = 1
    precision: str = "fp32"
    feed: str = "arrow"
    buffer: int = 1024
    device: str = "cpu"
    decode_threads: int = 1
    threads: int | None = None
    saved: Callable[[Path], None] = keep_here


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned reward model.

    Attributes:
        head: its head.
        encoder: the weights of the encoder that were trained, by open_clip's names, NumPy float32.
        epochs: the losses.
        best: the epoch whose weights these are.
        margins: by number of the pair, the score of the preferred image less that of the other; NaN where not tested.
    """

    head: Head
    encoder: dict[str, NDArray[np.float32]]
    epochs: tuple[Epoch, ...]
    best: int
    margins: NDArray[np.float32]


def fine_tune(
    job: FineTuning,
    pairs: int,
    processes: int = 0,
    local: bool = True,
    progress: Callable[[str], None] = lambda text: None,
) -> FineTuned:
    """Return the model with the least loss of the validation pairs, the one that training starts from among them.

    Args:
        job: what and how.
        pairs: one more than the highest number of a pair.
        processes: that train together, started by TorchDistributor; 0 trains in this process.
        local: whether they run on the driver, or as tasks on the workers.
        progress: shows a line an epoch; only of a training in this process.

    Raises:
        ModelError: no pairs, a loss that is no number, an image that cannot be used, a checkpoint of another model, or
            a missing package.
    """
    choose_reader(job.feed)
    gpu = job.device == "cuda"
    # Workers have GPUs of their own.
    if gpu and local and cuda_count() < max(processes, 1):
        got = f"{max(processes, 1)} processes and {cuda_count()} GPUs"
        raise ModelError(f"models.device must be cpu where the driver has fewer GPUs than processes. Got {got}.")
    if processes == 0:
        device = "cuda:0" if gpu else "cpu"
        return _train(job, pairs, Processes(), device, progress)
    from pyspark.ml.torch.distributor import TorchDistributor

    error = job.checkpoints / ERROR
    error.unlink(missing_ok=True)
    try:
        fitted = TorchDistributor(num_processes=processes, local_mode=local, use_gpu=gpu).run(_train_as_one, job, pairs)
    except Exception as failure:  # what a process failed of is in the log of the distributor only
        if error.is_file():
            raise ModelError(error.read_text(encoding="utf-8")) from failure
        raise
    if not isinstance(fitted, FineTuned):
        raise ModelError("a process of the training must return a model. Got none; see the log of the processes.")
    return fitted


def _train_as_one(job: FineTuning, pairs: int) -> FineTuned:
    """Return the model, in one of several processes; all of them have the same at the end."""
    try:
        with join_processes(job.device == "cuda") as (processes, device):
            return _train(job, pairs, processes, device, lambda text: None)
    except ModelError as error:
        job.checkpoints.mkdir(parents=True, exist_ok=True)
        (job.checkpoints / ERROR).write_text(str(error), encoding="utf-8")
        raise


def _train(
    job: FineTuning, pairs: int, processes: Processes, device: str, progress: Callable[[str], None]
) -> FineTuned:
    limit_threads(job.threads)
    snapshot = read_snapshot(job.snapshot)
    if snapshot is None:
        raise ModelError(f"pairs to train on must be a whole snapshot. Got none in {str(job.snapshot)!r}.")
    clip = load_clip(job.encoder.source)
    network = new_tuned(clip, job.head.network(), job.blocks, job.precision).to(device)
    trainer = Trainer(
        network,
        network.parameter_groups(job.tower_rate, job.spec.learning_rate, job.spec.weight_decay),
        ImagePairs(job.encoder, clip, device, job.decode_threads),
        PairFeed(snapshot, choose_reader(job.feed), job.buffer, job.spec.seed, processes.rank, processes.size),
        job.spec,
        job.accumulate,
        processes,
        job.checkpoints,
        _belongs_to(job, snapshot.digest),
        progress,
        saved=job.saved,
    )
    fitted = trainer.fit()
    margins = trainer.margins("test", pairs)
    weights = tower_weights(trainer.trained_weights())
    arrays = {name: value.detach().float().cpu().numpy() for name, value in weights.items()}
    return FineTuned(Head.of_network(network.head.cpu()), arrays, fitted.epochs, fitted.best, margins)


def _belongs_to(job: FineTuning, pairs: str) -> dict[str, Any]:
    """Return what a checkpoint must be of, beside the settings of the training."""
    return {
        "encoder": job.encoder.model_id,
        "preprocess_rev": job.encoder.preprocess_rev,
        "pairs": pairs,
        "tower_rate": job.tower_rate,
        "blocks": job.blocks,
        "precision": job.precision,
        "buffer": job.buffer,
    }
