"""UMAP of landmarks, and the place of every other vector among them.

UMAP lays the landmarks out (McInnes, Healy & Melville 2018). Any other vector is put where its nearest landmarks
are, weighted by UMAP's own membership strengths: the first step of UMAP's transform. Its second step, which moves
the new points once more, depends on which others are in the batch and on chance; a table would then change with its
partitioning. The model is two small arrays, and the workers need neither umap-learn nor its compiler.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from twigma_spark.estimators.coreset import Vectors
from twigma_spark.estimators.products import inner_products
from twigma_spark.io import arrow
from twigma_spark.vectors import unit_rows

SCHEMA = "image_id STRING, corpus STRING, x DOUBLE, y DOUBLE, reason STRING"
# With fewer landmarks there is no layout to speak of.
LEAST = 20
# Rows compared with all landmarks at once.
CHUNK = 1024
# Halvings in the search for a scale; 2^-40 of the widest one is exact to float32.
HALVINGS = 40
# A landmark is found again at the distance that two computations of one vector leave.
SAME = 1e-6


@dataclass(frozen=True)
class Layout:
    """How landmarks are laid out.

    Attributes:
        neighbours: landmarks that a vector is placed by.
        min_dist: how close points may come.
        seed: of the layout.
    """

    neighbours: int
    min_dist: float
    seed: int


@dataclass(frozen=True)
class Projection:
    """Unit vectors of landmarks (n, d) float32, their places (n, 2) float32, and how many place a vector."""

    landmarks: Vectors
    places: Vectors
    neighbours: int


def fit(landmarks: Vectors, how: Layout) -> Projection:
    """Return the landmarks laid out by UMAP with the cosine metric; the same for a seed on one kind of machine.

    Args:
        landmarks: unit vectors (n, d), at least `LEAST`.
        how: neighbours, closeness and seed.
    """
    # Imported here: it compiles for ten seconds, which no other stage should wait for.
    from umap import UMAP

    neighbours = min(how.neighbours, len(landmarks) - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        layout = UMAP(
            n_neighbors=neighbours, min_dist=how.min_dist, metric="cosine", random_state=how.seed, n_jobs=1
        ).fit_transform(landmarks)
    return Projection(landmarks, np.ascontiguousarray(layout, np.float32), neighbours)


def place(model: Projection, rows: Vectors) -> NDArray[np.float64]:
    """Return the places (n, 2) of unit vectors (n, d); a landmark's own vector is at the landmark's place."""
    parts = [_place_rows(model, rows[at : at + CHUNK]) for at in range(0, len(rows), CHUNK)]
    return np.concatenate(parts) if parts else np.empty((0, 2))


def project(vectors: DataFrame, model: Projection) -> DataFrame:
    """Return image_id, corpus, x, y and reason of vectors (image_id, corpus, embedding).

    A vector that cannot be used, or is of another length than the landmarks, has only a reason.
    """
    columns = vectors.select("image_id", "corpus", "embedding")
    return columns.mapInArrow(partial(_project_batches, model=model), SCHEMA)


def save(model: Projection, path: Path) -> None:
    """Write a model; a reader never sees half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"part-{path.name}")
    np.savez(part, landmarks=model.landmarks, places=model.places, neighbours=model.neighbours)
    part.replace(path)


def load(path: Path) -> Projection:
    """Return the model of a file that `save` wrote."""
    with np.load(path, allow_pickle=False) as held:
        return Projection(held["landmarks"], held["places"], int(held["neighbours"]))


def _project_batches(batches: Iterable[pa.RecordBatch], model: Projection) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if not batch.num_rows:
            continue
        checked = arrow.check_vectors(batch.column(2), model.landmarks.shape[1])
        places, bad = np.zeros((batch.num_rows, 2)), ~checked.usable
        places[checked.usable] = place(model, unit_rows(checked.rows[checked.usable]))
        columns = [
            batch.column(0), batch.column(1), pa.array(places[:, 0], mask=bad), pa.array(places[:, 1], mask=bad),
            pa.array(checked.reasons, pa.string()),
        ]  # fmt: skip
        yield pa.record_batch(columns, ["image_id", "corpus", "x", "y", "reason"])


def _place_rows(model: Projection, rows: Vectors) -> NDArray[np.float64]:
    apart = np.maximum(1.0 - inner_products(rows, model.landmarks).astype(np.float64), 0.0)
    k = model.neighbours
    near = np.argpartition(apart, k - 1, axis=1)[:, :k]
    near = np.take_along_axis(near, np.argsort(np.take_along_axis(apart, near, axis=1), axis=1, kind="stable"), axis=1)
    distance = np.take_along_axis(apart, near, axis=1)
    strength = strengths(distance)
    places = np.einsum("ij,ijk->ik", strength / strength.sum(axis=1, keepdims=True), model.places[near])
    own = distance[:, 0] <= SAME
    places[own] = model.places[near[own, 0]]
    return np.asarray(places, np.float64)


def strengths(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return UMAP's membership strengths of distances (n, k), nearest first: they sum to log2(k) in each row.

    exp(-(d - rho) / sigma), where rho is the least distance and sigma is found by halving. Where all are equally
    near, all weigh the same. Source: McInnes, Healy & Melville 2018, algorithm 3 (smooth kNN distance).
    """
    beyond, k = distance - distance[:, :1], distance.shape[1]
    wanted = np.log2(k)
    low, high = np.zeros(len(distance)), np.maximum(beyond[:, -1], 1e-12) * k
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = np.exp(-beyond / np.maximum(middle, 1e-300)[:, None]).sum(axis=1) > wanted
        high, low = np.where(above, middle, high), np.where(above, low, middle)
    return np.asarray(np.exp(-beyond / np.maximum(high, 1e-300)[:, None]), np.float64)
