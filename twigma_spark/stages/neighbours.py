"""neighbours: the nearest images of each reference corpus to each kept image of the posts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from scipy.stats import poisson

from twigma_spark.config.engine import Index, Neighbours
from twigma_spark.config.settings import Config
from twigma_spark.estimators import index_files, neighbour_search, recall
from twigma_spark.estimators.faiss_index import ShardFile
from twigma_spark.estimators.index_types import Choice, choose
from twigma_spark.estimators.search_engines import choose_engine
from twigma_spark.io import arrow
from twigma_spark.io.artifacts import Artifact, ArtifactFolder, folder
from twigma_spark.io.frames import count_rows
from twigma_spark.io.url_files import settings_of
from twigma_spark.results import Result, Value, not_computed
from twigma_spark.schemas import COPIES, NEIGHBOURS
from twigma_spark.stages import inputs, records, specs
from twigma_spark.stages.stage import Stage, StageContext, together
from twigma_spark.stats.copies import observed_rates, planted_worlds
from twigma_spark.stats.intervals import wilson_value
from twigma_spark.stats.tails import WIDTH, Tail, calibrate, threshold_interval
from twigma_spark.transforms.vectors import fault, vector_rejects

# Best matches that come to the driver to calibrate the threshold.
BACKGROUND = 1_000_000
# Bytes that the copies in bf16 of one process of an executor may take.
WORKER = 5e8
# What the result depends on: all but the engine.
RESULT = (
    *(f"neighbours.{key}" for key in Neighbours.model_fields if key != "index"),
    *(f"neighbours.index.{key}" for key in Index.model_fields if key != "engine"),
)
READS = ("images", "embeddings", "duplicates")


@dataclass(frozen=True)
class ReferenceSearch:
    """What is searched for, and in which reference."""

    queries: DataFrame
    n_queries: int
    reference: str
    vectors: DataFrame


def run(
    cfg: Config,
    context: StageContext,
    images: DataFrame,
    embeddings: DataFrame,
    duplicates: DataFrame,
    artifacts: DataFrame,
) -> Iterator[Mapping[str, DataFrame]]:
    """Yield the index files of one reference after another, then neighbours, copies, results and rejects of all.

    An index may take hours: a run that fails later finds it again.
    """
    kept = inputs.kept_vectors(cfg, images, embeddings, duplicates).withColumn("reason", fault(F.col("embedding")))
    vectors = kept.where("reason IS NULL").drop("reason")
    queries = vectors.where(F.col("corpus").isin(cfg.of_role("posts")))
    known = records.artifacts_of(artifacts, "neighbours")
    n_queries = count_rows(queries)
    indexed = []
    for reference in cfg.of_role("generated", "natural", "art"):
        search = ReferenceSearch(queries, n_queries, reference, vectors.where(F.col("corpus") == reference))
        choice, made = _index(cfg, context, search, known)
        yield {"artifacts": records.artifact_rows(context.spark, "neighbours", made)}
        indexed.append((search, choice, made))
    searched = [*cfg.of_role("posts"), *cfg.of_role("generated", "natural", "art")]
    rejects = {"rejects": vector_rejects(kept.where(F.col("corpus").isin(searched)), "neighbours", "not searched")}
    yield together([*(_search_reference(cfg, context, *each) for each in indexed), rejects])


def _search_reference(
    cfg: Config, context: StageContext, search: ReferenceSearch, choice: Choice, made: Sequence[Artifact]
) -> Mapping[str, DataFrame]:
    """Return what is known of one reference whose index is there, after its recall holds and it was searched."""
    shards = index_files.shard_files(made, cfg.neighbours.search.nprobe, _folder(cfg, context))
    curve = {} if choice.exact or not search.n_queries else _tune_nprobe(cfg, context, search, shards)
    shards = _with_nprobe(shards, curve)
    neighbours = context.materialize(_nearest(cfg, context, search, shards))
    copies, copy_results = _copies(cfg, context, neighbours, search, shards)
    recalls = _recall_results(cfg, search.reference, choice, curve)
    named = neighbours.withColumn("reference", F.lit(search.reference))
    return {
        "neighbours": named.select(*NEIGHBOURS.column_names),
        "copies": copies,
        "results": records.result_rows(context.spark, "neighbours", [*recalls, *copy_results]),
    }


def _index(
    cfg: Config, context: StageContext, search: ReferenceSearch, known: Sequence[Artifact]
) -> tuple[Choice, list[Artifact]]:
    """Return the chosen type and the index's files, built where they are not there yet."""
    settings, rows = cfg.neighbours.index, count_rows(search.vectors)
    first = search.vectors.select(F.size("embedding").alias("dim")).first()
    dim = int(first["dim"]) if first is not None else 1
    choice = choose(
        rows, dim, search.n_queries, settings.memory_gb * 1e9, settings.exact_minutes * 60, settings.factory
    )
    encoder = specs.image_encoder(cfg)
    facts = {
        "corpus": search.reference,
        "delta": {name: context.table_version(name) for name in READS},
        "model_id": encoder.model_id,
        "preprocess_rev": encoder.preprocess_rev,
        "metric": "cosine",
    }
    source = index_files.IndexSource(search.reference, search.vectors, rows, facts, cfg.seed)
    made, again = index_files.prepare_index(source, choice, _folder(cfg, context), known)
    what = "index used again" if again else f"indexed in {len(made)} file{'s' * (len(made) > 1)}"
    context.log(f"neighbours: {rows:,} vectors of '{search.reference}' {what}: {choice.factory} ({choice.reason})")
    return choice, made


def _folder(cfg: Config, context: StageContext) -> ArtifactFolder:
    return folder(cfg.store.root, cfg.store.artifacts, settings_of(context.spark), cfg.neighbours.search.cache)


def _tune_nprobe(
    cfg: Config, context: StageContext, search: ReferenceSearch, shards: Sequence[ShardFile]
) -> dict[int, Value]:
    """Return the recall at each nprobe that was tried; the last one holds."""
    settings, sample = cfg.neighbours.search, _sample(cfg, search.queries)
    curve = recall.tune_nprobe(shards, sample, search.vectors, cfg.neighbours.k, settings.min_recall)
    nprobe, last = list(curve.items())[-1]
    interval = f"[{last.low:.3f}, {last.high:.3f}]"
    context.log(f"neighbours: recall@{cfg.neighbours.k} {last.estimate:.3f} {interval} at nprobe {nprobe}")
    return curve


def _sample(cfg: Config, vectors: DataFrame) -> DataFrame:
    """Return `neighbours.search.sample` of the vectors."""
    order = F.xxhash64("image_id", F.lit(cfg.seed))
    chosen = vectors.select("image_id").orderBy(order, "image_id").limit(cfg.neighbours.search.sample)
    return vectors.join(F.broadcast(chosen), "image_id", "left_semi")


def _with_nprobe(shards: Sequence[ShardFile], curve: Mapping[int, Value]) -> list[ShardFile]:
    nprobe = list(curve)[-1] if curve else shards[0].nprobe
    return [replace(shard, nprobe=nprobe) for shard in shards]


def _nearest(cfg: Config, context: StageContext, search: ReferenceSearch, shards: Sequence[ShardFile]) -> DataFrame:
    """Return the neighbours of the posts' images in a reference; says what searched."""
    settings, indexes = cfg.neighbours, [shard.load() for shard in shards]
    on_executors = settings.search.where == "executors"
    # On the executors every process has a copy.
    memory = min(settings.index.memory_gb * 1e9, WORKER if on_executors else np.inf)
    choice = choose_engine(settings.index.engine, indexes, search.n_queries, memory)
    if on_executors:
        files = [replace(shard, bf16=choice.engine == "bf16") for shard in shards]
        nearest = neighbour_search.search_on_executors(files, search.queries, settings.k, settings.search.batch_rows)
    else:
        indexes = choice.prepare(indexes)
        nearest = neighbour_search.search(indexes, search.queries, settings.k, settings.search.batch_rows)
    context.log(f"neighbours: '{search.reference}' searched by {choice.describe(indexes)}")
    return nearest


def _neighbours(cfg: Config, queries: DataFrame, shards: Sequence[ShardFile], k: int) -> DataFrame:
    settings = cfg.neighbours.search
    if settings.where == "executors":
        return neighbour_search.search_on_executors(shards, queries, k, settings.batch_rows)
    return neighbour_search.search([shard.load() for shard in shards], queries, k, settings.batch_rows)


def _copies(
    cfg: Config, context: StageContext, neighbours: DataFrame, search: ReferenceSearch, shards: Sequence[ShardFile]
) -> tuple[DataFrame, list[Result]]:
    """Return the candidates for copies, and statistics of the threshold; none where it cannot be calibrated."""
    best, settings, reference = neighbours.where("rank = 1"), cfg.neighbours.copies, search.reference
    order = F.xxhash64("image_id", F.lit(cfg.seed))
    drawn = best.orderBy(order, "image_id").limit(BACKGROUND).select("similarity").toPandas()
    similarities = drawn["similarity"].to_numpy(np.float64)
    calibration = calibrate(similarities, settings.false_match_rate)
    tail = calibration.tail
    if tail is None:
        context.log(f"neighbours: no threshold for copies in '{reference}': {calibration.why}")
        none = not_computed(calibration.why, len(similarities), "images")
        return arrow.local_frame(context.spark, [], COPIES.schema), [
            Result.of("copies", "threshold", none, reference=reference)
        ]
    threshold = tail.threshold(settings.false_match_rate)
    candidates = best.where(F.col("similarity") >= threshold).withColumns(
        {"reference": F.lit(reference), "threshold": F.lit(threshold), "false_match_rate": _rate(tail)}
    )
    n, total = count_rows(candidates), count_rows(best)
    interval = threshold_interval(
        similarities, settings.false_match_rate, np.random.default_rng(cfg.seed), settings.bootstrap
    )
    results = _copy_results(cfg, reference, tail, (threshold, *(interval or (threshold, threshold))), n, total)
    results += observed_rates(similarities, tail, settings.false_match_rate, reference)
    results += planted_worlds(similarities, tail, settings.false_match_rate, reference, np.random.default_rng(cfg.seed))
    results.append(_reference_rate(cfg, search, shards, threshold))
    context.log(f"neighbours: {n:,} candidates for copies in '{reference}', similarity at least {threshold:.4f}")
    return candidates.select(*COPIES.column_names), results


def _reference_rate(cfg: Config, search: ReferenceSearch, shards: Sequence[ShardFile], threshold: float) -> Result:
    """Return how often an image of the reference has another image of it at the threshold: no posts are in it."""
    pairs = _neighbours(cfg, _sample(cfg, search.vectors), shards, 2).toPandas()
    others = pairs[pairs["neighbour_id"] != pairs["image_id"]].groupby("image_id")["similarity"].max()
    near, n = int((others >= threshold).sum()), pairs["image_id"].nunique()
    method = "images of the reference whose nearest other image of it reaches the threshold; Wilson, 95%"
    value = wilson_value(near, n, "images", method) if len(others) else not_computed("it has one image", n, "images")
    return Result.of("copies", "reference_rate", value, reference=search.reference)


def _rate(tail: Tail) -> Column:
    """Return `tail.rate` of the column `similarity`."""
    far = F.greatest(F.lit(1.0) - F.col("similarity"), F.lit(1e-6)) / F.lit(tail.distance)
    return F.least(F.lit(tail.share) * F.pow(far, F.lit(tail.dimension)), F.lit(1.0))


def _copy_results(
    cfg: Config, reference: str, tail: Tail, threshold: tuple[float, float, float], n: int, total: int
) -> list[Result]:
    rate = cfg.neighbours.copies.false_match_rate
    fitted = (
        f"power law of the cosine distance to the best match, fitted to {tail.n} images between the "
        f"{100 * (tail.upper - WIDTH):.0f}th and the {100 * tail.upper:.0f}th percentile, below any excess "
        f"of close matches (exponent {tail.dimension:.2f}); extrapolated to a false-match rate of {rate:g}"
    )
    values = {
        "threshold": Value(*threshold, total, "images", f"{fitted}; percentile bootstrap of images, 95%"),
        "candidates": wilson_value(n, total, "images", f"{fitted}; Wilson, 95%"),
    }
    if n:
        # What chance alone would give, of what was found.
        counts = (rate * total, *poisson.interval(0.95, rate * total))
        false = [min(1.0, float(count) / n) for count in counts]
        method = f"images that chance brings there, Poisson, 95%, of the candidates; {fitted}"
        values["false_share"] = Value(false[0], false[1], false[2], n, "candidates", method)
    return [Result.of("copies", metric, value, reference=reference) for metric, value in values.items()]


def _recall_results(cfg: Config, reference: str, choice: Choice, curve: Mapping[int, Value]) -> list[Result]:
    return [
        Result.of("recall", "recall_at_k", value, reference=reference, k=cfg.neighbours.k, nprobe=nprobe).with_value(
            method=f"{choice.factory}, {value.method}"
        )
        for nprobe, value in curve.items()
    ]


STAGE = Stage(
    name="neighbours",
    summary="the five nearest images of each reference by FAISS, and which of them may be copies",
    reads=(*READS, "artifacts"),
    writes=("neighbours", "copies", "artifacts", "results", "rejects"),
    config=(*RESULT, "seed", "store", "corpora", *specs.IMAGE_ENCODER),
    run=run,
    tuning=("neighbours.index.engine",),
)
