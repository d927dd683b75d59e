"""likes: what the likes of the posts go with: means by quintile of similarity, regressions, a boosted model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.analyses import Boosting
from twigma_spark.config.settings import Config
from twigma_spark.estimators.likes import BoostingSpec, predict_boosted, unavailable
from twigma_spark.io import arrow
from twigma_spark.io.frames import count_rows
from twigma_spark.results import Result, not_computed
from twigma_spark.stages import inputs, records, specs
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.stats.held_out import ANALYSIS, held_out_results
from twigma_spark.stats.joint_likes import Engagement, joint_results
from twigma_spark.stats.likes import UNIT, Likes, likes_results
from twigma_spark.stats.sensitivity import AS_IT_IS, WITHOUT_REAL, nearest_shares, sensitivity_results
from twigma_spark.stats.threads import few_threads
from twigma_spark.transforms import activity, engagement

# Likes are learnt by authors, and this many must be left to learn from and to be asked.
FEWEST_AUTHORS = 4


def run(
    cfg: Config,
    context: StageContext,
    images: DataFrame,
    posts: DataFrame,
    embeddings: DataFrame,
    duplicates: DataFrame,
    neighbours: DataFrame,
    scores: DataFrame,
    clusters: DataFrame,
) -> Mapping[str, DataFrame]:
    """Return what is said of the likes, as results."""
    references = cfg.of_role("generated", "natural", "art")
    kept = inputs.kept_images(cfg, images, embeddings, duplicates).where(F.col("corpus").isin(cfg.of_role("posts")))
    plain = engagement.engagement(kept, images, posts)
    rows = engagement.with_similarity(plain, neighbours, references, cfg.likes.nearest)
    themed = inputs.clustering(clusters, inputs.theme_clustering(cfg))
    scored = engagement.with_scores(rows, scores, themed, cfg.models.scores)
    tags = [row["name"] for row in activity.top(posts, cfg.likes.hashtags, 0).collect()]
    joint = engagement.joint_columns(tags, "nsfw" in cfg.models.scores)
    if cfg.models.real is not None:
        above = F.col(engagement.score(cfg.models.real.score)) > cfg.models.real.above
        joint.append(F.coalesce(above, F.lit(False)).alias("real"))
        scored, place = engagement.with_nearest(scored, neighbours, references)
        joint.append(place)
    table = arrow.table(engagement.compact(scored, references, joint))
    data, missing = _with_likes(table, references)
    context.log(f"likes: {len(data.likes):,} images with likes, {missing:,} without")
    with few_threads([]):
        plain_results = likes_results(data, cfg.likes.nearest, cfg.likes.confidence, cfg.seed)
        results = list(_add_notes(plain_results, missing, bool(references)))
        if "real" in table.column_names:
            results += _without_real(cfg, table, data, results, references)
        results += joint_results(_engagement(table, references, tags), cfg.likes.confidence, cfg.seed)
    results += _boosting(cfg, context, scored, references)
    return {"results": records.result_rows(context.spark, "likes", results)}


def _without_real(
    cfg: Config, table: pa.Table, data: Likes, results: Sequence[Result], references: Sequence[str]
) -> Iterable[Result]:
    """Yield the likes' regressions and the nearest reference without the likely real images, beside all of them."""
    column = {name: table.column(name).to_numpy() for name in ("real", "likes", "nearest", "author")}
    generated, near = ~column["real"], column["nearest"] >= 0
    known = data.of(generated[column["likes"] >= 0])
    likes = likes_results(known, cfg.likes.nearest, cfg.likes.confidence, cfg.seed)
    shares = {
        variant: list(nearest_shares(column["nearest"][rows], column["author"][rows], references, cfg.likes.confidence))
        for variant, rows in ((AS_IT_IS, near), (WITHOUT_REAL, near & generated))
    }
    yield from (Result.of(r.analysis, r.metric, r.value, variant=AS_IT_IS, **r.labels) for r in shares[AS_IT_IS])
    yield from sensitivity_results(WITHOUT_REAL, [*results, *shares[AS_IT_IS]], [*likes, *shares[WITHOUT_REAL]])


def _with_likes(table: pa.Table, references: Sequence[str]) -> tuple[Likes, int]:
    """Return the images with likes, and how many have none."""
    data = _likes(table, references)
    known = data.likes >= 0
    return data.of(known), int((~known).sum())


def _likes(table: pa.Table, references: Sequence[str]) -> Likes:
    column = {name: table.column(name).to_numpy() for name in table.column_names}
    near = {name: column[engagement.similarity(name)] for name in references}
    return Likes(column["likes"], column["post"], column["author"], column["band"], column["log_age"], near)


def _engagement(table: pa.Table, references: Sequence[str], tags: Sequence[str]) -> Engagement:
    """Return the images with all that the joint model takes."""
    column = {name: table.column(name).to_numpy() for name in table.column_names}
    smooth = {f"similarity to {name}": column[engagement.similarity(name)] for name in references}
    smooth |= {
        "log followers": column["log_followers"],
        "log age": column["log_age"],
        "NSFW score": column["nsfw"],
        "month": _months(column["month"]),
    }
    return Engagement(
        outcomes={name: column[name] for name in ("likes", "retweets", "replies")},
        smooth=smooth,
        levels={"theme": column["cluster"]},
        flags={f"#{tag}": column[f"tag_{place}"] for place, tag in enumerate(tags)},
        author=column["author"],
    )


def _months(months: NDArray[Any]) -> NDArray[np.float32]:
    """Return months counted from the first one, NaN where they are not known."""
    known = months >= 0
    first = months[known].min(initial=np.iinfo(np.int32).max)
    return np.where(known, months - first, np.nan).astype(np.float32)


def _add_notes(results: Iterable[Result], missing: int, any_reference: bool) -> Iterable[Result]:
    """Yield the results; how many images have no likes is one of them, and so is that there is no reference."""
    yield from results
    if missing:
        reason = f"{missing:,} images of posts whose likes are not known are left out"
        yield Result.of("likes", "without_likes", not_computed(reason, missing, UNIT))
    if not any_reference:
        yield Result.of("likes", "mean_likes", not_computed("no reference corpus is configured", 0, UNIT))


def _boosting(cfg: Config, context: StageContext, rows: DataFrame, references: Sequence[str]) -> list[Result]:
    """Return the boosted model's results, or the one that says why there are none."""
    settings = cfg.likes.boosting
    reason = "likes.boosting is null" if settings is None else unavailable(context.spark.version)
    if settings is None or reason:
        context.log(f"likes: no boosted model: {reason}")
        return [Result.of(ANALYSIS, "held_out_deviance", not_computed(str(reason), 0, UNIT), model="boosting")]
    return _fit_boosted(cfg, settings, context, rows, references)


def _fit_boosted(
    cfg: Config, settings: Boosting, context: StageContext, rows: DataFrame, references: Sequence[str]
) -> list[Result]:
    near = [engagement.similarity(name) for name in references]
    features = ["log_followers", "posted", "age_days", *near, *map(engagement.score, cfg.models.scores), "cluster"]
    held = F.pmod(F.xxhash64("author_id", F.lit(cfg.seed)), F.lit(1000)) < int(settings.held_out * 1000)
    # Read once: the join is asked for twice below, and LightGBM reads its rows several times.
    known = context.materialize(
        rows.where("likes IS NOT NULL")
        .withColumn("log_followers", F.log1p("followers"))
        .withColumn("posted", F.unix_timestamp("created_at") / engagement.DAY)
        .withColumn("held", held)
    )
    train = _likes(arrow.table(engagement.compact(known.where("NOT held"), references)), references)
    authors = count_rows(known.where("held").select("author_id").distinct())
    if len(np.unique(train.author)) < FEWEST_AUTHORS or authors < FEWEST_AUTHORS or not train.likes.sum():
        reason = f"a split by author needs {FEWEST_AUTHORS} authors on both sides, and likes"
        context.log(f"likes: no boosted model: {reason}")
        return [
            Result.of(ANALYSIS, "held_out_deviance", not_computed(reason, len(train.likes), UNIT), model="boosting")
        ]
    used, empty = _with_values(known, features)
    spec = BoostingSpec(settings.iterations, settings.leaves, settings.learning_rate, settings.smallest_leaf, cfg.seed)
    predicted = predict_boosted(known, used, "held", spec)
    extra = [F.col("prediction").cast("float"), F.col("shap").cast("array<float>")]
    table = arrow.table(engagement.compact(predicted, references, extra))
    test, shap = _likes(table, references), arrow.matrix(table.column("shap").combine_chunks())
    prediction = table.column("prediction").to_numpy().astype(np.float64)
    context.log(f"likes: boosted on {len(train.likes):,} images, asked about {len(test.likes):,}")
    results = list(held_out_results(train, test, prediction, shap[:, :-1].astype(np.float64), used))
    absent = not_computed("no image has it", 0, UNIT)
    return [*results, *(Result.of(ANALYSIS, "mean_abs_shap", absent, feature=name) for name in empty)]


def _with_values(rows: DataFrame, features: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the features that some image has, and those that none has, such as a score without a model."""
    seen = rows.agg(*[F.count(name).alias(name) for name in features]).collect()[0]
    return [f for f in features if seen[f]], [f for f in features if not seen[f]]


STAGE = Stage(
    name="likes",
    summary="likes by quintile of similarity, count regressions, and where asked for a boosted model",
    reads=("images", "posts", "embeddings", "duplicates", "neighbours", "scores", "clusters"),
    writes=("results",),
    config=("likes", "seed", "corpora", "cluster.clusterings", "models.scores", "models.real", *specs.IMAGE_ENCODER),
    run=run,
)
