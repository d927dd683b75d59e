"""deduplicate: within a corpus, the same media, bytes or embedding, and near-duplicates, are one image."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame, SparkSession

from twigma_spark.config.settings import Config
from twigma_spark.estimators import near_recall
from twigma_spark.estimators.duplicates import DuplicateRule, find_duplicates
from twigma_spark.estimators.known_copies import known_copy_results
from twigma_spark.estimators.lookalikes import Likeness
from twigma_spark.estimators.near import Reach
from twigma_spark.io.known_copies import fingerprint, read_known_copies
from twigma_spark.stages import inputs, records, specs
from twigma_spark.stages.stage import Account, Frames, Stage, StageContext


def run(cfg: Config, context: StageContext, images: DataFrame, embeddings: DataFrame) -> Mapping[str, DataFrame]:
    """Return the images that repeat another; the survivor is the earliest, then the largest, then the least id.

    As results: the recall of the search for close pairs where it is not exact, and where copies are known how many of
    them were found at which thresholds.
    """
    rule, known = _rule(cfg), cfg.deduplicate.known_copies
    copies = read_known_copies(known) if known else []
    found = find_duplicates(images, inputs.own_vectors(cfg, embeddings), rule, context.materialize)
    duplicates = context.materialize(found.duplicates)
    results = near_recall.recall_results(found.searched, found.near, rule.near.reach) if rule.near else []
    results += known_copy_results(copies, images, duplicates, found.near)
    return {"duplicates": duplicates, "results": records.result_rows(context.spark, "deduplicate", results)}


def account(cfg: Config, spark: SparkSession, frames: Frames) -> Account:
    """Return what became of the images that have a vector; a survivor must be one of the kept ones."""
    vectors = inputs.own_vectors(cfg, frames["embeddings"]).join(
        frames["images"].select("image_id"), "image_id", "left_semi"
    )
    repeats = frames["duplicates"]
    kept = vectors.join(repeats, "image_id", "left_anti").select("image_id")
    standing = repeats.join(kept.withColumnRenamed("image_id", "canonical_id"), "canonical_id", "left_semi")
    return Account(images=vectors.count(), kept=kept.count(), duplicates=standing.count(), rejects=0)


def _rule(cfg: Config) -> DuplicateRule:
    how, near = cfg.deduplicate, cfg.deduplicate.near
    likeness = None
    if near is not None:
        reach = Reach(near.similarity, cfg.seed, near.buckets)
        likeness = Likeness(reach, near.hash_bits, cfg.ingest.max_pixels)
    return DuplicateRule(10.0**-how.decimals, likeness, how.driver_gb * 1e9)


STAGE = Stage(
    name="deduplicate",
    summary="same media, same bytes, identical embedding, near-duplicate: one survivor a group",
    reads=("images", "embeddings"),
    writes=("duplicates", "results"),
    config=("deduplicate", "seed", *specs.IMAGE_ENCODER),
    run=run,
    account=account,
    sources=lambda cfg, spark: fingerprint(cfg.deduplicate.known_copies),
)
