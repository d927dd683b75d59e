"""Which machines a stage needs, how long it may take, and how much memory its Python workers are given."""

from __future__ import annotations

import math
from typing import Literal

from twigma_spark.config.settings import Config

Kind = Literal["cpu", "gpu", "driver_gpu"]

# Models that run in the tasks of executors.
MODELS = ("embed", "score", "caption", "embed_text")
# What the driver computes alone: the search of the nearest images, the training of the reward.
ON_DRIVER = ("neighbours", "reward")

# Eight cores an executor: on a GPU two tasks of four threads share it (docs/inference.md, "Sizing").
CORES, TASKS_PER_GPU = 8, 2
GPU_TASKS = {
    "spark.task.cpus": str(CORES // TASKS_PER_GPU),
    "spark.task.resource.gpu.amount": str(1 / TASKS_PER_GPU),
}
# What the JVM of an executor is given, of 64 GB and of 32 GB.
HEAP = {"cpu": "24g", "gpu": "4g"}
# ViT-L/14, the default encoder and the largest of the default models: text and image tower (docs/inference.md).
PARAMETERS = 428_000_000
SIDE = 224
MEAN_FILE = 500_000
GB = 1_000_000_000


def kind(cfg: Config, stage: str) -> Kind:
    """Return the kind of machines that a stage runs on.

    "cpu" is a cluster without GPUs, "gpu" one whose executors have one each, "driver_gpu" a single machine with one.
    """
    if _runs_models(cfg, stage):
        return "gpu"
    return "driver_gpu" if stage in ON_DRIVER else "cpu"


def limit_hours(cfg: Config, stage: str) -> int:
    """Return after how many hours a stage is stopped; what it committed stays, and the next run goes on from there."""
    return 12 if _runs_models(cfg, stage) else 6


def _runs_models(cfg: Config, stage: str) -> bool:
    # Without published models to compare with, that stage has nothing to do and no machine waits for it.
    return stage in MODELS or (stage == "baselines" and bool(cfg.baselines.models))


def worker_bytes(
    parameters: int, decode_threads: int, max_pixels: int, arrow_batch: int, batch_size: int, mean_file: int = MEAN_FILE
) -> int:
    """Return about how many bytes one Python worker takes, by the formula of docs/inference.md, "Memory of a worker".

    Args:
        parameters: of the whole model; 0 where the stage runs none.
        decode_threads: images that are decoded at once.
        max_pixels: of the largest image; 10 bytes each are the most that the default path takes for one.
        arrow_batch: images a batch in Arrow.
        batch_size: images a forward pass; 0 where the stage runs none.
        mean_file: bytes of a file.
    """
    base = 800_000_000
    loading = 4 * parameters
    decoding = decode_threads * 10 * max_pixels
    batch = 3 * arrow_batch * mean_file
    prepared = 8 * batch_size * 3 * SIDE**2
    return base + loading + decoding + batch + prepared


def executor_memory(cfg: Config, kind: Kind) -> dict[str, str]:
    """Return Spark's settings of an executor's memory: the JVM's, and the Python workers' beside it.

    Args:
        cfg: gives the sizes of the batches and the largest image that is taken.
        kind: "gpu" for workers that run the encoder; others decode one image at a time, one worker a core.
    """
    model, section = kind == "gpu", cfg.embed
    size = worker_bytes(
        PARAMETERS if model else 0,
        section.decode_threads if model else 1,
        cfg.ingest.max_pixels,
        section.arrow_batch,
        section.batch_size if model else 0,
    )
    tasks = TASKS_PER_GPU if model else CORES
    return {
        "spark.executor.memory": HEAP["gpu" if model else "cpu"],
        "spark.executor.memoryOverhead": f"{math.ceil(tasks * size / GB)}g",
    }
