"""Fine-tuning in the stage `reward`: pairs with their images into files, the training, and the state of it on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.settings import Config
from twigma_spark.errors import ModelError
from twigma_spark.estimators.fine_tuning import FineTuned, FineTuning, fine_tune
from twigma_spark.estimators.pair_table import Split, split
from twigma_spark.estimators.reward import HeadTrainer
from twigma_spark.estimators.reward_data import RewardData
from twigma_spark.estimators.vector_file import look_up
from twigma_spark.io import arrow
from twigma_spark.io.pair_snapshot import read_snapshot, write_snapshot
from twigma_spark.io.session import picture_batches
from twigma_spark.models.clip import ClipImage
from twigma_spark.models.pair_losses import TrainingSpec
from twigma_spark.models.reward_head import Head
from twigma_spark.stages.stage import Frames, StageContext

# The fold that the fine-tuned model is tested on, and the one that its training is stopped by.
TEST, VALIDATION = 0, 1
# Pairs of images that travel to Python at once.
BATCH = 64


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned model, and the pairs that it was tested on.

    Attributes:
        model: the model.
        tested: rows of the pairs (m,).
        margins: of those pairs (m,) the score of the preferred image less that of the other.
    """

    model: FineTuned
    tested: NDArray[np.int64]
    margins: NDArray[np.float64]

    def margins_of(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the margins of some rows of the pairs (n,); NaN of those that it was not tested on."""
        return np.asarray(look_up(self.tested, self.margins, rows, np.nan), np.float64)


def tune(
    cfg: Config,
    context: StageContext,
    data: RewardData,
    trainer: HeadTrainer,
    encoder: ClipImage,
    place: Path,
    tables: Frames,
    saved: Callable[[Path], None],
) -> Tuned:
    """Return the model whose encoder was trained too, from the head that is trained on the same pairs first.

    Source of the order, first the head and then the encoder: Kumar et al. 2022, "Fine-Tuning can Distort Pretrained
    Features and Underperform Out-of-Distribution".

    Args:
        cfg: the configuration.
        context: of the stage.
        data: the pairs and the vectors.
        trainer: how the head is trained.
        encoder: which CLIP.
        place: folder of the training: of the pairs with their images, and of its state.
        tables: `pairs`, `images`, and `text_embeddings` by the encoder's text tower.
        saved: is given the folder of the checkpoints when they have changed.

    Raises:
        ModelError: no pairs in one of the three parts, or the training failed; its state stays for the next run.
    """
    own = split(data.table, TEST, VALIDATION).without(~data.table.matched)
    for name, rows in (("train on", own.train), ("stop by", own.validation), ("test", own.test)):
        if not rows.any():
            raise ModelError(f"pairs to {name} must be one at least whose authors differ from the others'. Got none.")
    head = trainer.train(data.table.pairs_of(own.train), data.table.pairs_of(own.validation), "to be fine-tuned").head
    _write_pairs(cfg, context, data, own, place / "pairs", tables)
    settings = cfg.reward.fine_tune
    job = replace(_job(cfg, trainer.spec, encoder, head, place), saved=saved)
    model = fine_tune(job, len(data.table), settings.processes, settings.local, context.progress)
    tested = np.flatnonzero(own.test)
    return Tuned(model, tested, model.margins[tested].astype(np.float64))


def _write_pairs(cfg: Config, context: StageContext, data: RewardData, own: Split, place: Path, tables: Frames) -> None:
    """Write the pairs of a split with their images, unless an interrupted run has."""
    n = int((own.train | own.validation | own.test).sum())
    if read_snapshot(place) is None:
        context.log("reward: writing the pairs with their images")
        facts = {name: context.table_version(name) for name in tables}
        facts |= {"folds": str(cfg.reward.folds), "seed": str(cfg.seed)}
        frame = _rows_with_images(context, data, own, tables)
        with picture_batches(context.spark, BATCH):
            write_snapshot(frame, place, facts, n, max(cfg.reward.fine_tune.processes, 1), cfg.seed)
    if (snapshot := read_snapshot(place)) is not None and snapshot.rows < n:
        context.log(f"reward: {n - snapshot.rows:,} pairs are left out of the fine-tuning: their images are not stored")


def _rows_with_images(context: StageContext, data: RewardData, own: Split, tables: Frames) -> DataFrame:
    """Return part, row, weight, prompt and the bytes of both images of the pairs of a split."""
    named = (("train", own.train), ("validation", own.validation), ("test", own.test))
    batches = []
    for name, chosen in named:
        rows = np.flatnonzero(chosen)
        columns = {
            "part": np.full(len(rows), name),
            "row": rows.astype(np.int64),
            "weight": data.table.pairs_of(chosen).weight,
            "preferred_key": data.columns["preferred_id"][rows],
            "other_key": data.columns["other_id"][rows],
        }
        batches.append(pa.RecordBatch.from_pydict(columns))
    schema = "part STRING, row BIGINT, weight FLOAT, preferred_key BIGINT, other_key BIGINT"
    frame = arrow.frame_of(context.spark, batches, schema)
    ids = (
        tables["pairs"]
        .where("matched")
        .select(
            "text_id",
            "preferred_image_id",
            "other_image_id",
            F.xxhash64("preferred_image_id").alias("preferred_key"),
            F.xxhash64("other_image_id").alias("other_key"),
        )
    )
    joined = frame.join(ids, ["preferred_key", "other_key"])
    joined = joined.join(tables["text_embeddings"].select("text_id", F.col("text").alias("prompt")), "text_id")
    for side in ("preferred", "other"):
        wanted = F.col("image_id").alias(f"{side}_image_id"), F.col("content").alias(side)
        content = tables["images"].where("content IS NOT NULL").select(*wanted)
        joined = joined.join(content, f"{side}_image_id")
    return joined.select("part", "row", "weight", "prompt", "preferred", "other")


def _job(cfg: Config, spec: TrainingSpec, encoder: ClipImage, head: Head, place: Path) -> FineTuning:
    settings = cfg.reward.fine_tune
    return FineTuning(
        encoder,
        head,
        place / "pairs",
        place / "checkpoints",
        replace(spec, epochs=settings.epochs, patience=settings.patience, batch_size=settings.batch_size),
        tower_rate=settings.learning_rate,
        blocks=settings.blocks,
        accumulate=settings.accumulate,
        precision=settings.precision,
        feed=settings.feed,
        buffer=settings.buffer,
        device=cfg.models.device,
        decode_threads=settings.decode_threads,
    )
