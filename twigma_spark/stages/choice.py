"""How many clusters: silhouette and stability over a grid of k, as rows of `results`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.engine import Clustering
from twigma_spark.config.settings import Config
from twigma_spark.estimators import kmeans
from twigma_spark.estimators.coreset import centres, nearest
from twigma_spark.io import arrow
from twigma_spark.stats.clusters import distances, silhouette, stability
from twigma_spark.stats.intervals import Interval

ANALYSIS = "choice_of_k"
Row = tuple[object, ...]


def rows(cfg: Config, clustering: Clustering, members: DataFrame, found: kmeans.Summary) -> list[Row]:
    """Return rows of `results` for each k of the grid that has enough images, and for the k in use.

    Every seed's clusters are fitted on the driver from the same summary of all images; the statistics are
    of a sample of the images, the same for a seed whatever the partitioning.
    """
    if not cfg.cluster.grid:
        return []
    sample = _sample(cfg, members, found.dim)
    apart = distances(sample, cfg.cluster.metric)
    wanted = sorted({k for k in (*cfg.cluster.grid, clustering.k) if k < len(sample)})
    return [row for k in wanted for row in _of_k(cfg, f"{clustering.id}|{k}", k, sample, apart, found)]


def _of_k(
    cfg: Config,
    group: str,
    k: int,
    sample: NDArray[np.float32],
    apart: NDArray[np.float32],
    found: kmeans.Summary,
) -> Iterator[Row]:
    how, rng = cfg.cluster, np.random.default_rng(cfg.seed)
    seeds = range(cfg.seed, cfg.seed + how.restarts)
    fits = [centres(found.points, found.weights, k, [seed], how.metric) for seed in seeds]
    labelings = [nearest(sample, fit, how.metric) for fit in fits]
    best = nearest(sample, centres(found.points, found.weights, k, seeds, how.metric), how.metric)
    resampled = f"percentile bootstrap of {how.bootstrap} resamples of images, 95%"
    basis = f"sample of {len(sample)} images; {resampled}"
    shape = silhouette(apart, best, rng, how.bootstrap)
    agreement = stability(labelings, rng, how.bootstrap)
    yield from _row("silhouette", group, shape, f"mean {how.metric} silhouette; {basis}")
    yield from _row("adjusted_rand", group, agreement, f"mean over all pairs of {how.restarts} seeds; {basis}")


def _row(metric: str, group: str, found: Interval | None, method: str) -> Iterator[Row]:
    if found is not None:
        yield ("cluster", ANALYSIS, metric, group, found.value, found.low, found.high, found.n, "images", method)


def _sample(cfg: Config, members: DataFrame, dim: int) -> NDArray[np.float32]:
    """Return vectors of `cluster.sample` images, in order of their ids."""
    least = F.xxhash64("image_id", F.lit(cfg.seed))
    chosen = members.select("image_id").orderBy(least, "image_id").limit(cfg.cluster.sample)
    vectors = members.join(F.broadcast(chosen), "image_id", "left_semi").select("image_id", "embedding")
    table = arrow.collect(vectors).sort_by("image_id")
    found = arrow.checked(table.column("embedding").combine_chunks(), dim)
    return found.rows[found.usable]
