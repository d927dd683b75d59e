"""Pairs of small pictures for the tests of fine-tuning: the brighter of two is liked more."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from twigma_spark.estimators.fine_tuning import FineTuning
from twigma_spark.io.pair_snapshot import MANIFEST, write_files
from twigma_spark.models.clip import ClipImage
from twigma_spark.models.clip_source import ClipSource
from twigma_spark.models.pair_losses import TrainingSpec
from twigma_spark.models.reward_head import Head

ENCODER = ClipImage(ClipSource(path="sample:clip"))
PROMPTS = ("a castle at night", "a red flower", "a cat", "an oil painting of a ship")


def picture(rng: np.random.Generator, bright: bool) -> bytes:
    """Return a PNG of four by four blots, light or dark ones."""
    levels = rng.integers(90, 256, (4, 4, 3)) if bright else rng.integers(0, 166, (4, 4, 3))
    out = io.BytesIO()
    Image.fromarray(levels.astype(np.uint8)).resize((64, 64), Image.Resampling.BICUBIC).save(out, "PNG")
    return out.getvalue()


def write_pairs(folder: Path, pairs: int, tasks: int = 2) -> Path:
    """Return the folder of a snapshot: of five pairs one is for validation and one for the test."""
    rng = np.random.default_rng(0)
    for part in ("train", "validation", "test"):
        (folder / part).mkdir(parents=True)
    parts = [("validation", "test", "train", "train", "train")[row % 5] for row in range(pairs)]
    columns = {
        "part": parts,
        "row": pa.array(range(pairs), pa.int64()),
        "prompt": [PROMPTS[row % 4] for row in range(pairs)],
        "preferred": pa.array([picture(rng, True) for _ in range(pairs)], pa.binary()),
        "other": pa.array([picture(rng, False) for _ in range(pairs)], pa.binary()),
        "weight": pa.array([1 / (1 + row % 3) for row in range(pairs)], pa.float32()),
    }
    whole = pa.record_batch(list(map(pa.array, columns.values())), list(columns))
    files: dict[str, list[tuple[str, int]]] = {"train": [], "validation": [], "test": []}
    for task in range(tasks):
        own = whole.take(pa.array(range(task, pairs, tasks)))
        for part, name, rows in write_files([own], folder, task, most=60_000):
            files[part].append((name, rows))
    (folder / MANIFEST).write_text(json.dumps({"files": files, "facts": {"pairs": "1@2026"}}))
    return folder


def job(snapshot: Path, checkpoints: Path, **changed: object) -> FineTuning:
    """Return a fine-tuning of the sample's CLIP, with all pairs in one step unless told otherwise."""
    spec = TrainingSpec(loss="soft_label", epochs=3, patience=9, batch_size=1000, learning_rate=1e-3, warmup=0.2)
    given = {"spec": spec, "tower_rate": 1e-3, "buffer": 16, **changed}
    return FineTuning(ENCODER, Head.identity(ENCODER.dim), snapshot, checkpoints, **given)  # type: ignore[arg-type]
