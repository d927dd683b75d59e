"""pairs: of two images of one prompt, which is clearly liked more; from likes, or from files of human judgements."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.reward import PreferenceFile
from twigma_spark.config.settings import Config
from twigma_spark.estimators.prompt_groups import Nearness, group_prompts
from twigma_spark.io import arrow, url_files
from twigma_spark.io.frames import count_rows, union
from twigma_spark.io.preferences import read_preferences
from twigma_spark.io.url_files import settings_of
from twigma_spark.results import Result, Value
from twigma_spark.schemas import PAIRS
from twigma_spark.stages import inputs, records, specs
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.transforms import preferences
from twigma_spark.transforms.judgements import judged_pairs
from twigma_spark.transforms.preferences import Comparisons, Mined, PairRule
from twigma_spark.transforms.vectors import made_by

ANALYSIS = "pairs"
JUDGED = "prompt STRING, preferred STRING, other STRING, corpus STRING"


def run(
    cfg: Config,
    context: StageContext,
    images: DataFrame,
    posts: DataFrame,
    embeddings: DataFrame,
    duplicates: DataFrame,
    scores: DataFrame,
    clusters: DataFrame,
    text_embeddings: DataFrame,
) -> Mapping[str, DataFrame]:
    """Return the pairs, how many came of how many images as results, and judgements of unknown images as rejects."""
    rule = _rule(cfg)
    kept = inputs.kept_images(cfg, images, embeddings, duplicates)
    themed = inputs.clustering(clusters, _clustering(cfg))
    nsfw = scores.where("kind = 'nsfw'").select("image_id", "score")
    own = cfg.pairs
    posted = preferences.posted_images(kept, images, posts, themed, nsfw, own.nsfw_threshold, own.popularity)
    near = _near_prompts(cfg, context, text_embeddings)
    if near is not None:
        posted = preferences.with_near_prompts(posted, near)
    compared = context.materialize(preferences.compared_images(posted, rule))
    comparisons = preferences.count_comparisons(compared)
    mined = context.materialize(preferences.mine_pairs(compared, rule))
    counts = preferences.count_pairs(mined)
    frames, n_judged = {"pairs": mined.select(*PAIRS.column_names)}, 0
    if cfg.pairs.files:
        judged, frames["rejects"] = _judged_pairs(cfg, context, kept, images, near)
        # What people said of a pair that has likes too is left out: a pair is one row.
        judged = judged.join(mined.select(*PAIRS.key), list(PAIRS.key), "left_anti").select(*PAIRS.column_names)
        frames["pairs"], n_judged = frames["pairs"].unionByName(judged), count_rows(judged)
    values = {
        "images": (comparisons.images, "images", "kept images that share a prompt with another and have likes"),
        "images_not_drawn": (comparisons.not_drawn, "images", "more than pairs.images_per_prompt of a prompt"),
        "prompts": (comparisons.prompts, "prompts", "prompts with two such images or more"),
        "compared": (comparisons.pairs, "pairs", "pairs of those images within a prompt"),
        "clear": (counts.clear, "pairs", "of which one is clearly liked more"),
        "pairs_not_drawn": (counts.not_drawn, "pairs", "more than pairs.pairs_per_prompt of a prompt"),
        "matched": (counts.matched, "pairs", "and whose images were posted alike"),
        "judged": (n_judged, "pairs", "from files of human judgements"),
    }
    if near is not None:
        joined = count_rows(near.where("leader_id <> text_id"))
        values["joined"] = (joined, "prompts", "prompts that count as another one, which is near")
    context.log(_summary(comparisons, counts, n_judged if cfg.pairs.files else None))
    results = [
        Result.of(ANALYSIS, name, Value(float(n), None, None, n, unit, f"complete count: {what}"))
        for name, (n, unit, what) in values.items()
    ]
    return {**frames, "results": records.result_rows(context.spark, "pairs", results)}


def _summary(compared: Comparisons, mined: Mined, judged: int | None) -> str:
    """Return for example "pairs: 1,100 pairs of 730 images and 182 prompts: 786 clear, 245 matched"."""
    summary = f"pairs: {compared.pairs:,} pairs of {compared.images:,} images and {compared.prompts:,} prompts: "
    summary += f"{mined.clear:,} clear, {mined.matched:,} matched"
    if compared.not_drawn or mined.not_drawn:
        left = f"{compared.not_drawn:,} images and {mined.not_drawn:,} clear pairs"
        summary += f"; {left} of prompts with many are left out"
    return summary if judged is None else f"{summary}; {judged:,} judged by people"


def _rule(cfg: Config) -> PairRule:
    own, match = cfg.pairs, cfg.pairs.match
    return PairRule(
        minimum=own.minimum,
        ratio=own.ratio,
        images_per_prompt=own.images_per_prompt,
        pairs_per_prompt=own.pairs_per_prompt,
        followers=match.followers,
        days=match.days,
        hours=match.hours,
        clusters=match.clustering is not None,
        nsfw=match.nsfw,
        seed=cfg.seed,
    )


def _clustering(cfg: Config) -> str | None:
    """Return the clustering that a pair's cluster is of: that of `pairs.match`, else the first over all corpora."""
    roles = {corpus.role for corpus in cfg.corpora}
    over_all = (each.id for each in cfg.cluster.clusterings if roles <= set(each.roles))
    return cfg.pairs.match.clustering or next(over_all, None)


def _near_prompts(cfg: Config, context: StageContext, text_embeddings: DataFrame) -> DataFrame | None:
    """Return which prompts count as which, and what is split together; None where only equal prompts do."""
    encoder = specs.text_encoder(cfg)
    if cfg.pairs.prompts == "exact" or encoder is None:
        return None
    prompts = made_by(text_embeddings, encoder.model_id, encoder.preprocess_rev).where("source = 'prompt'")
    near = Nearness(cfg.pairs.prompt_similarity, cfg.seed)
    groups = group_prompts(prompts, near, context.materialize)
    return context.materialize(preferences.prompt_keys(groups, prompts))


def _judged_pairs(
    cfg: Config, context: StageContext, kept: DataFrame, images: DataFrame, near: DataFrame | None
) -> tuple[DataFrame, DataFrame]:
    """Return the pairs of the files as rows of `pairs`, and the judgements of images that are not there as rejects."""
    judged = union([_read(context.spark, file) for file in cfg.pairs.files])
    pairs, rejects = judged_pairs(judged, kept, images, PAIRS.schema)
    if near is not None:
        # Judged for its own prompt, and split with those that are near to it.
        joined = pairs.join(near.select("text_id", "group_key"), "text_id", "left")
        pairs = joined.withColumn("split_key", F.coalesce("group_key", "split_key")).select(*PAIRS.column_names)
    return pairs, rejects


def _read(spark: SparkSession, file: PreferenceFile) -> DataFrame:
    settings = settings_of(spark)
    rows = [(*preference, file.corpus) for preference in read_preferences(file.path, file.format, settings)]
    columns = dict(zip(("prompt", "preferred", "other", "corpus"), map(list, zip(*rows, strict=True)), strict=False))
    return arrow.frame_of(spark, [pa.RecordBatch.from_pydict(columns)] if rows else [], JUDGED)


def _sources(cfg: Config, spark: SparkSession) -> str:
    settings = settings_of(spark)
    return "; ".join(url_files.fingerprint(file.path, settings) for file in cfg.pairs.files)


STAGE = Stage(
    name="pairs",
    summary="pairs of images of one prompt of which one is clearly liked more, matched on author, time and NSFW",
    reads=("images", "posts", "embeddings", "duplicates", "scores", "clusters", "text_embeddings"),
    writes=("pairs", "results", "rejects"),
    config=("pairs", "seed", "corpora", "cluster.clusterings", *specs.IMAGE_ENCODER),
    run=run,
    sources=_sources,
)
