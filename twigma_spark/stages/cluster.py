"""cluster: k-means over the corpora and over the posts, the words of each theme, and how k was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from twigma_spark.config.engine import Clustering
from twigma_spark.config.settings import Config
from twigma_spark.estimators import drawing, kmeans
from twigma_spark.estimators.engines import ENGINES
from twigma_spark.io import arrow
from twigma_spark.results import Result
from twigma_spark.schemas import CENTROIDS, CLUSTERS, THEMES
from twigma_spark.stages import choice, inputs, records, specs
from twigma_spark.stages.stage import Stage, StageContext, together
from twigma_spark.transforms.clusters import renumber, sizes
from twigma_spark.transforms.themes import theme_words
from twigma_spark.transforms.vectors import vector_rejects

# Images that a corpus needs to set how many of each corpus a clustering is fitted to.
FEWEST = 100


def run(
    cfg: Config,
    context: StageContext,
    images: DataFrame,
    embeddings: DataFrame,
    duplicates: DataFrame,
    captions: DataFrame,
) -> Mapping[str, DataFrame]:
    """Return centroids, clusters, themes, results and rejects of all clusterings."""
    vectors = inputs.kept_vectors(cfg, images, embeddings, duplicates)
    texts = inputs.theme_texts(cfg, images, captions)
    corpora = {each.id: cfg.of_role(*each.roles) for each in cfg.cluster.clusterings}
    members = {name: vectors.where(F.col("corpus").isin(own)) for name, own in corpora.items()}
    fitted = {
        each.id: drawing.draw_evenly(members[each.id], FEWEST, cfg.seed) if each.balanced else members[each.id]
        for each in cfg.cluster.clusterings
    }
    samples = choice.draw_samples(cfg, vectors, fitted)
    fits = {each.id: _fit(cfg, each, fitted[each.id], samples[each.id]) for each in cfg.cluster.clusterings}
    of_all = vectors.where(F.col("corpus").isin(sorted({corpus for own in corpora.values() for corpus in own})))
    models = {name: (model, corpora[name]) for name, (model, _) in fits.items()}
    labelled = context.materialize(kmeans.assign_clusterings(of_all, models))
    return together(
        _describe(cfg, context, each, labelled.where(F.col("clustering_id") == each.id), texts, *fits[each.id])
        for each in cfg.cluster.clusterings
    )


def _describe(
    cfg: Config,
    context: StageContext,
    clustering: Clustering,
    labelled: DataFrame,
    texts: DataFrame,
    model: kmeans.KMeansModel,
    about_k: Sequence[Result],
) -> Mapping[str, DataFrame]:
    """Return the tables of one clustering, whose images are labelled; the largest cluster is the first."""
    assigned = labelled.where("reason IS NULL").drop("reason", "clustering_id")
    largest_first = sizes(assigned).collect()
    numbered = renumber(assigned, [row["cluster"] for row in largest_first])
    context.log(f"cluster: '{clustering.id}' has {len(largest_first)} clusters")
    words = theme_words(texts.join(numbered, "image_id"), cfg.cluster.words if clustering.themes else 0)
    named = F.lit(clustering.id)
    return {
        "centroids": _centroids(context, clustering.id, largest_first, model.centroids),
        "clusters": numbered.withColumn("clustering_id", named).select(*CLUSTERS.column_names),
        "themes": words.withColumn("clustering_id", named).select(*THEMES.column_names),
        "results": records.result_rows(context.spark, "cluster", about_k),
        "rejects": vector_rejects(labelled, "cluster", f"not in clustering '{clustering.id}'"),
    }


def _fit(
    cfg: Config, clustering: Clustering, members: DataFrame, sample: pa.Table
) -> tuple[kmeans.KMeansModel, list[Result]]:
    """Return the model, and results of the choice of k; one summary of the table serves both, where it is needed."""
    settings = cfg.cluster
    spec = kmeans.KMeansSpec(
        k=clustering.k,
        seed=cfg.seed,
        metric=settings.metric,
        rows_a_cluster=settings.rows_a_cluster,
        summaries=settings.summaries,
        restarts=settings.restarts,
        refine=settings.refine,
        tol=settings.tol,
    )
    of_all = replace(spec, refine=settings.refine or 0)  # the other engines fit all rows
    if settings.engine != "native" and not settings.grid:
        return kmeans.refine(members, ENGINES[settings.engine](members, spec), of_all), []
    summary = kmeans.summarise(members, spec)
    is_own = settings.engine == "native"
    model = kmeans.of_summary(summary, spec) if is_own else ENGINES[settings.engine](members, spec)
    refined = kmeans.refine(members, model, spec if is_own else of_all)
    return refined, choice.k_results(cfg, clustering, sample, summary)


def _centroids(
    context: StageContext, name: str, largest_first: Sequence[Row], centroids: NDArray[np.float32]
) -> DataFrame:
    rows = [
        (name, number, row["size"], row["mean_distance"], centroids[row["cluster"]].tolist())
        for number, row in enumerate(largest_first)
    ]
    return arrow.local_frame(context.spark, rows, CENTROIDS.schema)


STAGE = Stage(
    name="cluster",
    summary="k-means over the corpora (k=4) and the posts (k=10), the words of each theme, and how k was chosen",
    reads=("images", "embeddings", "duplicates", "captions"),
    writes=("centroids", "clusters", "themes", "results", "rejects"),
    config=("cluster", "seed", "corpora", *specs.IMAGE_ENCODER, *specs.CAPTIONER),
    run=run,
)
