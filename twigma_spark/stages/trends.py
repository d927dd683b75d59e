"""trends: how the themes of the posts move over months and strata, posts over time, and NSFW shares."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pyspark.sql import Column, DataFrame

from twigma_spark.config.settings import Config
from twigma_spark.io import arrow
from twigma_spark.stages import inputs, records, specs
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.stats import themes
from twigma_spark.stats.sensitivity import WITHOUT_REAL, sensitivity_results
from twigma_spark.stats.themes import Activity, Scored, TrendRule
from twigma_spark.stats.threads import few_threads
from twigma_spark.transforms import activity

# Edges of the bins of NSFW scores between 0 and 1.
SCORE_EDGES = tuple(round(0.05 * edge, 2) for edge in range(1, 20))


def run(
    cfg: Config,
    context: StageContext,
    images: DataFrame,
    posts: DataFrame,
    embeddings: DataFrame,
    duplicates: DataFrame,
    scores: DataFrame,
    clusters: DataFrame,
) -> Mapping[str, DataFrame]:
    """Return shares, trends, posts over time and NSFW shares, as results."""
    kept = inputs.kept_images(cfg, images, embeddings, duplicates)
    themed = inputs.clustering(clusters, inputs.theme_clustering(cfg))
    data, images_by_month = _activity(cfg, kept, images, posts, themed)
    size = f"{int(data.sizes.sum()):,} dated images of {len(data.month):,} {data.of}"
    context.log(f"trends: {size}, {len(data.strata)} strata")
    rule = TrendRule(cfg.trends.level, cfg.trends.least_change, cfg.trends.confidence, cfg.seed)
    with few_threads([]):
        results = list(themes.theme_results(data, rule))
    posts_by_month = {r["month"]: r["posts"] for r in activity.months_of_posts(posts, cfg.of_role("posts")).collect()}
    results += themes.activity_results(posts_by_month, images_by_month)
    words = activity.words_of_posts(posts, cfg.of_role("posts"), cfg.trends.words).collect()
    results += themes.word_results([(row["word"], row["posts"], row["of"]) for row in words])
    limits = cfg.trends.nsfw_thresholds
    every = (*limits, *SCORE_EDGES)
    scored = _read_scores(activity.nsfw_counts(kept, images, posts, scores, themed, every), len(every))
    names = [c.name for c in cfg.corpora]
    results += themes.nsfw_results(scored, limits, names, cfg.trends.confidence, SCORE_EDGES)
    if cfg.models.real is not None:
        generated = kept.join(inputs.likely_real(cfg, kept, scores), "image_id", "left_anti")
        data, _ = _activity(cfg, generated, images, posts, themed)
        scored = _read_scores(activity.nsfw_counts(generated, images, posts, scores, themed, limits), len(limits))
        with few_threads([]):
            without = [
                *themes.theme_headlines(data, rule),
                *themes.nsfw_results(scored, limits, names, cfg.trends.confidence),
            ]
        results += sensitivity_results(WITHOUT_REAL, results, without)
    return {"results": records.result_rows(context.spark, "trends", results)}


def _activity(
    cfg: Config, kept: DataFrame, images: DataFrame, posts: DataFrame, clusters: DataFrame
) -> tuple[Activity, dict[int, int]]:
    """Return the images by post and cluster, and how many there are by month."""
    strata = _strata(cfg, posts)
    rows = activity.theme_images(kept, images, clusters)
    table = arrow.table(activity.by_unit(rows, posts, strata))
    unit, month, cluster, count, bits, group = (table.column(i).to_numpy() for i in range(6))
    hits, months, first = themes.gather_units(unit, month, cluster, count)
    inside = {name: (bits[first] >> place & 1).astype(bool) for place, name in enumerate(strata)}
    totals = np.bincount(month, weights=count) if len(month) else np.zeros(0)
    by_month = {int(m): int(totals[m]) for m in np.flatnonzero(totals)}
    return Activity(hits, months, group[first], inside, activity.groups_of(posts)), by_month


def _strata(cfg: Config, posts: DataFrame) -> dict[tuple[str, str], Column]:
    rows = activity.top(posts, cfg.trends.hashtags, cfg.trends.sources).collect()
    kinds = {kind: [r["name"] for r in rows if r["kind"] == kind] for kind in ("hashtag", "source")}
    return activity.conditions(kinds["hashtag"], kinds["source"], cfg.trends.models)


def _read_scores(frame: DataFrame, thresholds: int) -> Scored:
    table = arrow.table(frame)
    corpus, unit, cluster, scored = (table.column(i).to_numpy() for i in range(4))
    above = np.stack([table.column(f"above_{i}").to_numpy() for i in range(thresholds)], axis=1)
    return Scored(corpus, unit, cluster, scored, above)


STAGE = Stage(
    name="trends",
    summary="shares of the themes by month, hashtag, source and model with their trends; NSFW shares",
    reads=("images", "posts", "embeddings", "duplicates", "scores", "clusters"),
    writes=("results",),
    config=("trends", "seed", "corpora", "cluster.clusterings", "models.real", *specs.IMAGE_ENCODER),
    run=run,
)
