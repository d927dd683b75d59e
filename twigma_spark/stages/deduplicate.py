"""deduplicate: within a corpus, the same media, bytes or embedding, and near-duplicates, are one image."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame, SparkSession

from twigma_spark.config.settings import Config
from twigma_spark.estimators.duplicates import DuplicateRule, find_duplicates
from twigma_spark.estimators.known_copies import known_copy_results
from twigma_spark.estimators.lookalikes import Likeness
from twigma_spark.estimators.near import Reach
from twigma_spark.estimators.shared_images import find_shared_images, shared_image_results
from twigma_spark.io.frames import count_rows
from twigma_spark.io.known_copies import fingerprint, read_known_copies
from twigma_spark.io.url_files import settings_of
from twigma_spark.results import Result
from twigma_spark.stages import inputs, records, specs
from twigma_spark.stages.stage import Account, Frames, Stage, StageContext
from twigma_spark.stats.funnel import funnel_results
from twigma_spark.transforms.summaries import count_steps
from twigma_spark.transforms.vectors import made_by


def run(
    cfg: Config,
    context: StageContext,
    images: DataFrame,
    embeddings: DataFrame,
    hashes: DataFrame,
    posts: DataFrame,
    media: DataFrame,
) -> Mapping[str, DataFrame]:
    """Return the images that repeat another; the survivor is the earliest, then the largest, then the least id.

    Copies across corpora stay in both, and are listed. As results: the paper's funnel of the posts, the
    thresholds of near-duplicates, the recall of the searches where they are not exact, how many images two corpora
    share, and where copies are known how many of them were found at which thresholds.
    """
    rule, known = _rule(cfg), cfg.deduplicate.known_copies
    copies = read_known_copies(known, settings_of(context.spark)) if known else []
    hasher = specs.hasher(cfg)
    own = made_by(hashes, hasher.model_id, hasher.preprocess_rev)
    vectors = inputs.own_vectors(cfg, embeddings)
    repeated = find_duplicates(images, vectors, own, rule, context.materialize)
    duplicates = context.materialize(repeated.duplicates)
    kept = inputs.kept_images(cfg, images, embeddings, duplicates)
    shared = context.materialize(find_shared_images(images, kept, duplicates, repeated.near))
    there = vectors.join(images.select("image_id"), "image_id", "left_semi")
    results = [
        *_funnel(cfg, posts, media, there, duplicates),
        *repeated.results,
        *shared_image_results(shared, kept),
        *known_copy_results(copies, images, duplicates, repeated.near),
    ]
    rows = records.result_rows(context.spark, "deduplicate", results)
    return {"duplicates": duplicates, "shared_images": shared, "results": rows}


def account(cfg: Config, spark: SparkSession, frames: Frames) -> Account:
    """Return what became of the images that have a vector; a survivor must be one of the kept ones."""
    vectors = inputs.own_vectors(cfg, frames["embeddings"]).join(
        frames["images"].select("image_id"), "image_id", "left_semi"
    )
    repeats = frames["duplicates"]
    kept = vectors.join(repeats, "image_id", "left_anti").select("image_id")
    standing = repeats.join(kept.withColumnRenamed("image_id", "canonical_id"), "canonical_id", "left_semi")
    return Account(images=count_rows(vectors), kept=count_rows(kept), duplicates=count_rows(standing), rejects=0)


def _rule(cfg: Config) -> DuplicateRule:
    rule = cfg.deduplicate
    tolerance = 0.0 if rule.decimals is None else 10.0**-rule.decimals
    return DuplicateRule(tolerance, _likeness(cfg), rule.driver_gb * 1e9)


def _funnel(cfg: Config, posts: DataFrame, media: DataFrame, vectors: DataFrame, duplicates: DataFrame) -> list[Result]:
    """Return how many posts, photos and images of each corpus of posts are left after each step of the paper."""
    counted = count_steps(posts, media, vectors, duplicates).collect()
    seen = {(row.corpus, row.step): row.n for row in counted}
    return [r for corpus in cfg.of_role("posts") for r in funnel_results(corpus, seen, cfg.deduplicate.decimals)]


def _likeness(cfg: Config) -> Likeness | None:
    near = cfg.deduplicate.near
    if near is None:
        return None
    pixels = Reach(near.pixels.similarity, cfg.seed, near.pixels.buckets, across=True)
    if near.embeddings is None:
        return Likeness(pixels, None, False, near.hash_bits, near.orientations)
    least = near.embeddings.similarity
    embeddings = Reach(1.0 if least is None else least, cfg.seed, near.embeddings.buckets)
    return Likeness(pixels, embeddings, least is None, near.hash_bits, near.orientations)


STAGE = Stage(
    name="deduplicate",
    summary="same media, same bytes, identical embedding, near-duplicate: one survivor a group",
    reads=("images", "embeddings", "hashes", "posts", "media"),
    writes=("duplicates", "shared_images", "results"),
    config=("deduplicate", "seed", "corpora", *specs.IMAGE_ENCODER),
    run=run,
    account=account,
    sources=lambda cfg, spark: fingerprint(cfg.deduplicate.known_copies, settings_of(spark)),
)
