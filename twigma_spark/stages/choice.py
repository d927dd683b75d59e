"""How many clusters: silhouette and stability over a grid of k."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.engine import Clustering
from twigma_spark.config.settings import Config
from twigma_spark.estimators import kmeans
from twigma_spark.estimators.coreset import centres, gain, nearest
from twigma_spark.io import arrow
from twigma_spark.io.frames import union
from twigma_spark.results import Result
from twigma_spark.stats.clusters import distances, silhouette, stability

ANALYSIS = "choice_of_k"


def draw_samples(cfg: Config, vectors: DataFrame, members: Mapping[str, DataFrame]) -> dict[str, pa.Table]:
    """Return image_id and embedding of `cluster.sample` images of each clustering, in order of their ids.

    The vectors are read once for all clusterings, and not where `cluster.grid` is empty.

    Args:
        cfg: how many.
        vectors: image_id, embedding.
        members: image_id of what each clustering is fitted to, by its name.
    """
    least = F.xxhash64("image_id", F.lit(cfg.seed))
    chosen = [
        own.select("image_id").orderBy(least, "image_id").limit(cfg.cluster.sample).withColumn("of", F.lit(name))
        for name, own in members.items()
    ]
    if not chosen or not cfg.cluster.grid:
        return dict.fromkeys(members, pa.table({}))
    rows = vectors.join(F.broadcast(union(chosen)), "image_id").select("of", "image_id", "embedding")
    table = arrow.collect(rows).sort_by("image_id")
    return {name: table.filter(pa.compute.equal(table.column("of"), name)) for name in members}


def k_results(cfg: Config, clustering: Clustering, drawn: pa.Table, summary: kmeans.Summary) -> list[Result]:
    """Return silhouette and stability for each k of the grid that has enough images, and for the k in use.

    Every seed's clusters are fitted on the driver from the same summary of all images; the statistics are
    of a sample of the images, the same for a seed whatever the partitioning.
    """
    if not cfg.cluster.grid:
        return []
    checked = arrow.check_vectors(drawn.column("embedding").combine_chunks(), summary.dim)
    sample = checked.rows[checked.usable]
    apart = distances(sample, cfg.cluster.metric)
    wanted = sorted({k for k in (*cfg.cluster.grid, clustering.k) if k < len(sample)})
    return [r for k in wanted for r in _evaluate_k(cfg, clustering.id, k, sample, apart, summary)]


def _evaluate_k(
    cfg: Config,
    clustering: str,
    k: int,
    sample: NDArray[np.float32],
    apart: NDArray[np.float32],
    summary: kmeans.Summary,
) -> Iterator[Result]:
    settings, rng = cfg.cluster, np.random.default_rng(cfg.seed)
    seeds = range(cfg.seed, cfg.seed + settings.restarts)
    fits = [centres(summary.points, summary.weights, k, [seed], settings.metric) for seed in seeds]
    labelings = [nearest(sample, fit, settings.metric) for fit in fits]
    best = labelings[int(np.argmax([gain(summary.points, summary.weights, fit, settings.metric) for fit in fits]))]
    values = {
        "silhouette": silhouette(apart, best, rng, settings.bootstrap),
        "adjusted_rand": stability(labelings, rng, settings.bootstrap),
    }
    for metric, value in values.items():
        if value is not None:
            method = f"{value.method}, {settings.metric} distance; sample of {len(sample)} images"
            yield Result.of(ANALYSIS, metric, replace(value, method=method), clustering=clustering, k=k)
