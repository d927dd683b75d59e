"""cluster: k-means over the corpora and over the posts, the words of each theme, and how k was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
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
    return together(_cluster(cfg, context, clustering, vectors, texts) for clustering in cfg.cluster.clusterings)


def _cluster(
    cfg: Config, context: StageContext, clustering: Clustering, vectors: DataFrame, texts: DataFrame
) -> Mapping[str, DataFrame]:
    members = vectors.where(F.col("corpus").isin(cfg.of_role(*clustering.roles)))
    fitted = drawing.draw_evenly(members, FEWEST, cfg.seed) if clustering.balanced else members
    model, about_k = _fit(cfg, clustering, fitted)
    labelled = context.materialize(kmeans.assign_clusters(members, model))
    assigned = labelled.where("reason IS NULL").drop("reason")
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


def _fit(cfg: Config, clustering: Clustering, members: DataFrame) -> tuple[kmeans.KMeansModel, list[Result]]:
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
    return refined, choice.k_results(cfg, clustering, members, summary)


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
