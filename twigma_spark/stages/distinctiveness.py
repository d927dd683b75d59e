"""distinctiveness: how far the corpora are from one another, by several measures, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.settings import Config
from twigma_spark.results import Result, Value
from twigma_spark.stages import inputs, records, specs
from twigma_spark.stages.corpora import collect_samples
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.stats.comparison import ComparisonSpec, comparisons
from twigma_spark.stats.divergence import DivergenceSpec, divergences
from twigma_spark.stats.grid import GridSpec, cell_results, grid, ranking_changes, spread
from twigma_spark.stats.intervals import wilson_value
from twigma_spark.stats.sample import Sample, of_equal_size
from twigma_spark.stats.sensitivity import WITHOUT_REAL, sensitivity_results
from twigma_spark.stats.shares import ShareSums, clustered_share
from twigma_spark.stats.threads import few_threads
from twigma_spark.transforms.clusters import share_sums
from twigma_spark.transforms.samples import sample_vectors

NAME = "distinctiveness"
# Images that a corpus needs to set the size at which all are compared.
FEWEST = 60


def run(
    cfg: Config,
    context: StageContext,
    images: DataFrame,
    embeddings: DataFrame,
    duplicates: DataFrame,
    clusters: DataFrame,
    scores: DataFrame,
) -> Mapping[str, DataFrame]:
    """Return the divergences of every ordered pair of corpora, the grid, and the origin clusters as results."""
    samples, size = _samples(cfg, inputs.kept_vectors(cfg, images, embeddings, duplicates), images)
    context.log(f"distinctiveness: {size:,} images of each corpus" + _small(samples))
    with few_threads(samples.values()):
        main = divergences(samples, _divergence(cfg))
        measured = [*main, *comparisons(samples, _comparison(cfg))]
        results = [*measured, *_robustness(cfg, samples, main)]
    for variant, vectors in inputs.variants(cfg, images, embeddings, duplicates, scores):
        samples, size = _samples(cfg, vectors, images)
        context.log(f"distinctiveness: {variant}, {size:,} images of each corpus")
        with few_threads(samples.values()):
            again = [*divergences(samples, _divergence(cfg)), *comparisons(samples, _comparison(cfg))]
        results += sensitivity_results(variant, measured, again)
    results += _left_out(cfg, inputs.kept_vectors(cfg, images, embeddings, duplicates), scores)
    results += _origins(clusters, images, cfg.distinctiveness.confidence)
    return {"results": records.result_rows(context.spark, NAME, results)}


def _left_out(cfg: Config, kept: DataFrame, scores: DataFrame) -> list[Result]:
    """Return the share of each corpus' images that are likely not generated; none where nothing says so."""
    if cfg.models.real is None:
        return []
    real = {
        row["corpus"]: row["count"] for row in inputs.likely_real(cfg, kept, scores).groupBy("corpus").count().collect()
    }
    of = kept.where(F.col("corpus").isin(cfg.of_role("posts", "generated"))).groupBy("corpus").count().collect()
    method = f"images with a score {cfg.models.real.score} above {cfg.models.real.above:g}; Wilson, 95%"
    return [
        Result.of(
            "sensitivity", "left_out", wilson_value(real.get(row["corpus"], 0), row["count"], "images", method),
            variant=WITHOUT_REAL, corpus=row["corpus"],
        )
        for row in of
    ]  # fmt: skip


def _samples(cfg: Config, vectors: DataFrame, images: DataFrame) -> tuple[dict[str, Sample], int]:
    """Return a sample of each corpus, of equal size where they are large enough, and the size."""
    drawn = collect_samples(cfg, sample_vectors(vectors, images, cfg.distinctiveness.max_images, cfg.seed))
    return of_equal_size({name: each.sample() for name, each in drawn.items()}, FEWEST, cfg.seed)


def _small(samples: Mapping[str, Sample]) -> str:
    """Return which corpora have too few images to set the size of the samples, in words."""
    small = [f"{len(s.vectors)} of '{name}'" for name, s in samples.items() if len(s.vectors) < FEWEST]
    return f", {', '.join(small)}: comparisons with so few are of unequal size" if small else ""


def _robustness(cfg: Config, samples: Mapping[str, Sample], main: list[Result]) -> list[Result]:
    """Return every cell of the grid, the spread of the pairs over it, and how often the ranking changes."""
    spec = _grid(cfg)
    cells = grid(samples, spec)
    # The smoothed measure always has an order; the plug-in one may be infinite for all.
    values = {
        (r.labels["p"], r.labels["q"]): r.estimate for r in main if r.metric == "kl_kt" and r.estimate is not None
    }
    return [*cell_results(cells, spec), *spread(cells), *ranking_changes(cells, values, spec)]


def _origins(clusters: DataFrame, images: DataFrame, confidence: float) -> list[Result]:
    """Return the share of each corpus in each cluster."""
    results = []
    for row in share_sums(clusters, images).collect():
        names = ("hits", "total", "groups", "hits_squared", "hits_total", "total_squared")
        share = clustered_share(ShareSums(**{name: row[name] for name in names}), confidence)
        if share is None:
            continue
        labels = {"clustering": row["clustering_id"], "cluster": row["cluster"], "corpus": row["corpus"]}
        method = (
            f"share of {row['total']} images; {confidence:.0%} Wilson interval at the effective size of "
            f"{share.effective:.0f} over {row['unit']}"
        )
        value = Value(share.estimate, share.low, share.high, row["groups"], row["unit"], method)
        results.append(Result.of("origins", "share", value, **labels))
    return results


def _divergence(cfg: Config) -> DivergenceSpec:
    settings = cfg.distinctiveness
    return DivergenceSpec(settings.clusters, settings.variance, settings.bootstrap, settings.confidence, cfg.seed)


def _comparison(cfg: Config) -> ComparisonSpec:
    settings = cfg.distinctiveness
    return ComparisonSpec(
        settings.compared, settings.k, settings.variance, settings.bootstrap, settings.confidence, cfg.seed
    )


def _grid(cfg: Config) -> GridSpec:
    settings = cfg.distinctiveness
    return GridSpec(
        clusters=settings.grid.clusters,
        seeds=settings.grid.seeds,
        shares=settings.grid.shares,
        images=settings.grid.max_images,
        variance=settings.variance,
        bootstrap=settings.grid.bootstrap,
        confidence=settings.confidence,
        seed=cfg.seed,
    )


STAGE = Stage(
    name=NAME,
    summary="divergences between all pairs of corpora by several measures, a grid of settings, origin clusters",
    reads=("images", "embeddings", "duplicates", "clusters", "scores"),
    writes=("results",),
    config=(NAME, "seed", "corpora", *specs.IMAGE_ENCODER, *specs.VARIANTS),
    run=run,
)
