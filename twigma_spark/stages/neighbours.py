"""neighbours: the nearest images of each reference corpus to each kept image of the posts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from scipy.stats import poisson

from twigma_spark.config.engine import Index, Neighbours
from twigma_spark.config.settings import Config
from twigma_spark.estimators import index_files, neighbour_search, recall
from twigma_spark.estimators.faiss_index import NeighbourIndex, ShardFile
from twigma_spark.estimators.index_types import Choice, choose
from twigma_spark.estimators.search_engines import COPIED, EngineChoice, choose_engine
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
from twigma_spark.transforms.vectors import vector_rejects

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


@dataclass(frozen=True)
class IndexedReference:
    """A reference with its index.

    Attributes:
        search: what is searched for.
        choice: the type of the index.
        files: of the index.
        elements: of all its vectors.
    """

    search: ReferenceSearch
    choice: Choice
    files: list[Artifact]
    elements: int


def run(
    cfg: Config,
    context: StageContext,
    images: DataFrame,
    embeddings: DataFrame,
    duplicates: DataFrame,
    artifacts: DataFrame,
) -> Iterator[Mapping[str, DataFrame]]:
    """Yield the index files of one reference after another, then neighbours, copies, results and rejects of all.

    An index may take hours: a run that fails later finds it again. Vectors that cannot be used come first.
    """
    kept = inputs.kept_vectors(cfg, images, embeddings, duplicates)
    vectors, unusable = inputs.usable_vectors(kept, context.materialize)
    searched = [*cfg.of_role("posts"), *cfg.of_role("generated", "natural", "art")]
    yield {"rejects": vector_rejects(unusable.where(F.col("corpus").isin(searched)), "neighbours", "not searched")}
    queries = vectors.where(F.col("corpus").isin(cfg.of_role("posts")))
    known = records.artifacts_of(artifacts, "neighbours")
    n_queries = count_rows(queries)
    indexed = []
    for reference in cfg.of_role("generated", "natural", "art"):
        search = ReferenceSearch(queries, n_queries, reference, vectors.where(F.col("corpus") == reference))
        index = _index(cfg, context, search, known)
        yield {"artifacts": records.artifact_rows(context.spark, "neighbours", index.files)}
        indexed.append(index)
    passes = in_passes(indexed, _memory(cfg), _element_bytes(cfg))
    yield together(part for those in passes for part in _search_references(cfg, context, those))


def in_passes(indexed: Iterable[IndexedReference], memory: float, element: float) -> Iterator[list[IndexedReference]]:
    """Yield the references that are searched in one pass over the queries: those that follow one another and fit.

    Args:
        indexed: the references.
        memory: bytes that the references of a pass may take; one that takes more has a pass of its own.
        element: bytes of an element.
    """
    those: list[IndexedReference] = []
    for each in indexed:
        if those and sum(one.elements for one in [*those, each]) * element > memory:
            yield those
            those = []
        those.append(each)
    if those:
        yield those


def _search_references(
    cfg: Config, context: StageContext, indexed: Sequence[IndexedReference]
) -> Iterator[Mapping[str, DataFrame]]:
    """Yield the neighbours in some references after their recall holds, then what is known of each."""
    ready, recalls = [], []
    for each in indexed:
        shards = index_files.shard_files(each.files, cfg.neighbours.search.nprobe, _folder(cfg, context))
        exact = each.choice.exact or not each.search.n_queries
        curve = {} if exact else _tune_nprobe(cfg, context, each.search, shards)
        ready.append((each.search, _with_nprobe(shards, curve)))
        recalls.append(_recall_results(cfg, each.search.reference, each.choice, curve))
    neighbours = context.materialize(_nearest(cfg, context, ready))
    yield {"neighbours": neighbours.select(*NEIGHBOURS.column_names)}
    for (search, shards), recall_results in zip(ready, recalls, strict=True):
        own = neighbours.where(F.col("reference") == search.reference)
        copies, copy_results = _copies(cfg, context, own, search, shards)
        rows = records.result_rows(context.spark, "neighbours", [*recall_results, *copy_results])
        yield {"copies": copies, "results": rows}


def _memory(cfg: Config) -> float:
    """Return the bytes that what is searched may take; on the executors every process has copies."""
    memory = cfg.neighbours.index.memory_gb * 1e9
    return min(memory, WORKER) if cfg.neighbours.search.where == "executors" else memory


def _element_bytes(cfg: Config) -> float:
    """Return the bytes of an element of an index; the executors map its file, and each process has a copy in bf16."""
    return COPIED if cfg.neighbours.search.where == "executors" else 4.0


def _index(cfg: Config, context: StageContext, search: ReferenceSearch, known: Sequence[Artifact]) -> IndexedReference:
    """Return the reference with the chosen type and the index's files, built where they are not there yet."""
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
    return IndexedReference(search, choice, made, rows * dim)


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


def _nearest(
    cfg: Config, context: StageContext, references: Sequence[tuple[ReferenceSearch, Sequence[ShardFile]]]
) -> DataFrame:
    """Return the neighbours of the posts' images in some references; says what searched."""
    settings, queries = cfg.neighbours, references[0][0].queries
    k, batch_rows, on_executors = settings.k, settings.search.batch_rows, settings.search.where == "executors"
    files: dict[str, list[ShardFile]] = {}
    indexes: dict[str, list[NeighbourIndex]] = {}
    choices: dict[str, EngineChoice] = {}
    for search, shards in references:
        opened, name = [shard.load() for shard in shards], search.reference
        choices[name] = choose_engine(settings.index.engine, opened, search.n_queries, _memory(cfg))
        if on_executors:
            files[name] = [replace(shard, bf16=choices[name].engine == "bf16") for shard in shards]
        else:
            indexes[name] = choices[name].prepare(opened)
    if on_executors:
        nearest = neighbour_search.search_references_on_executors(files, queries, k, batch_rows)
    else:
        nearest = neighbour_search.search_references(indexes, queries, k, batch_rows)
    for name, choice in choices.items():
        context.log(f"neighbours: '{name}' searched by {choice.describe(indexes.get(name, ()))}")
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
