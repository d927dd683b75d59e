"""deduplicate: within a corpus, the same media, the same bytes or the identical embedding is one image."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame, SparkSession

from twigma_spark.config import Config
from twigma_spark.estimators.duplicates import find_duplicates
from twigma_spark.stages import specs
from twigma_spark.stages.stage import Account, Frames, Stage, Work
from twigma_spark.transforms.vectors import of_model


def run(cfg: Config, work: Work, images: DataFrame, embeddings: DataFrame) -> Mapping[str, DataFrame]:
    """Return the images that repeat another; the survivor is the earliest, then the largest, then the least id."""
    return {"duplicates": find_duplicates(images, _vectors(cfg, embeddings), cfg.deduplicate.decimals)}


def account(cfg: Config, spark: SparkSession, frames: Frames) -> Account:
    """Return what became of the images that have a vector; a survivor must be one of the kept ones."""
    vectors = _vectors(cfg, frames["embeddings"]).join(frames["images"].select("image_id"), "image_id", "left_semi")
    repeats = frames["duplicates"]
    kept = vectors.join(repeats, "image_id", "left_anti").select("image_id")
    standing = repeats.join(kept.withColumnRenamed("image_id", "canonical_id"), "canonical_id", "left_semi")
    return Account(images=vectors.count(), kept=kept.count(), duplicates=standing.count(), rejects=0)


def _vectors(cfg: Config, embeddings: DataFrame) -> DataFrame:
    encoder = specs.image_encoder(cfg)
    return of_model(embeddings, encoder.model_id, encoder.preprocess_rev)


STAGE = Stage(
    name="deduplicate",
    summary="same media, same bytes, identical embedding: one survivor a group",
    reads=("images", "embeddings"),
    writes=("duplicates",),
    config=("deduplicate", "models.image", "models.device"),
    run=run,
    account=account,
)
