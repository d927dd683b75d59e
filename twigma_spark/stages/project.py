"""project: a map of all kept images, by UMAP of landmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.settings import Config
from twigma_spark.estimators import projection
from twigma_spark.estimators.coreset import Vectors
from twigma_spark.estimators.projection import Layout, Projection
from twigma_spark.io import arrow
from twigma_spark.io.artifacts import Artifact, folder, manifest, reusable
from twigma_spark.io.frames import count_rows
from twigma_spark.io.url_files import settings_of
from twigma_spark.results import Result
from twigma_spark.schemas import PROJECTION
from twigma_spark.stages import inputs, records, specs
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.stats import layouts
from twigma_spark.transforms.samples import sample_ids
from twigma_spark.transforms.vectors import vector_rejects
from twigma_spark.vectors import unit_rows

READS = ("images", "embeddings", "duplicates")
NAME, KIND, FILE = "project/umap", "umap_landmarks", "umap.npz"
DETAIL = "not on the map"


def run(
    cfg: Config,
    context: StageContext,
    images: DataFrame,
    embeddings: DataFrame,
    duplicates: DataFrame,
    artifacts: DataFrame,
) -> Mapping[str, DataFrame]:
    """Return a place for each kept image, the model as a file, and how well the map keeps neighbourhoods."""
    vectors = inputs.kept_vectors(cfg, images, embeddings, duplicates)
    drawn = _draw(cfg, vectors)
    if not arrow.check_vectors(drawn.column("embedding").combine_chunks()).usable.all():
        usable, _ = inputs.usable_vectors(vectors, context.materialize)
        drawn = _draw(cfg, usable)
    landmarks, sample = (_unit_vectors(drawn.filter(drawn.column(name))) for name in ("landmark", "sampled"))
    if len(landmarks) < projection.LEAST:
        context.log(f"project: no map of {len(landmarks)} images, it takes {projection.LEAST}")
        _, unusable = inputs.usable_vectors(vectors, context.materialize)
        return {"rejects": vector_rejects(unusable, "project", DETAIL)}
    known = records.artifacts_of(artifacts, "project")
    model, artifact = _model(cfg, context, landmarks, known)
    placed = context.materialize(projection.project(vectors, model))
    return {
        "projection": placed.where("reason IS NULL").select(*PROJECTION.column_names),
        "artifacts": records.artifact_rows(context.spark, "project", [artifact]),
        "results": records.result_rows(context.spark, "project", _results(cfg, model, sample)),
        "rejects": vector_rejects(placed, "project", DETAIL),
    }


def _draw(cfg: Config, vectors: DataFrame) -> pa.Table:
    """Return image_id, embedding, landmark and sampled of the images that are one or both, in order of their ids.

    Of each about as many as is configured, as many of each corpus where it has them. The vectors are read once.
    """
    corpora = max(1, count_rows(vectors.select("corpus").distinct()))
    settings, ids = cfg.project, []
    for name, wanted, seed in (("landmark", settings.landmarks, 0), ("sampled", settings.sample, 1)):
        some = sample_ids(vectors, -(-wanted // corpora), cfg.seed + seed)
        ids.append(some.withColumn(name, F.lit(True)))
    chosen = vectors.join(F.broadcast(ids[0].join(ids[1], "image_id", "full")), "image_id")
    marks = [F.col(name).isNotNull().alias(name) for name in ("landmark", "sampled")]
    return arrow.collect(chosen.select("image_id", "embedding", *marks)).sort_by("image_id")


def _unit_vectors(drawn: pa.Table) -> Vectors:
    return unit_rows(arrow.matrix(drawn.column("embedding").combine_chunks()))


def _layout(cfg: Config, further: int = 0) -> Layout:
    return Layout(cfg.project.neighbours, cfg.project.min_dist, cfg.seed + further)


def _model(
    cfg: Config, context: StageContext, landmarks: Vectors, known: Sequence[Artifact]
) -> tuple[Projection, Artifact]:
    """Return the model and its file; fitted only where what it was made from has changed."""
    encoder, layout = specs.image_encoder(cfg), _layout(cfg)
    facts = {
        "delta": {name: context.table_version(name) for name in READS},
        "model_id": encoder.model_id,
        "preprocess_rev": encoder.preprocess_rev,
        "landmarks": len(landmarks),
        "layout": astuple(layout),
        "corpora": [corpus.name for corpus in cfg.corpora],
    }
    text = manifest(facts)
    where = folder(cfg.store.root, cfg.store.artifacts, settings_of(context.spark))
    if artifact := reusable(known, NAME, text, where):
        context.log("project: map used again")
        return projection.load(where.open(artifact)), artifact
    model = projection.fit(landmarks, layout)
    path = where.local / FILE
    projection.save(model, path)
    context.log(f"project: UMAP of {len(landmarks):,} landmarks")
    return model, where.publish(NAME, KIND, path, text)


def _results(cfg: Config, model: Projection, sample: Vectors) -> list[Result]:
    """Return how well neighbourhoods are kept, on a sample of all images, and how far another seed's map differs."""
    settings, rng = cfg.project, np.random.default_rng(cfg.seed)
    places = projection.place(model, sample)
    k = min(settings.neighbours, (len(sample) - 1) // 2)
    kept = {
        "trustworthiness": layouts.trustworthiness(sample.astype(np.float64), places, k),
        "continuity": layouts.trustworthiness(places, sample.astype(np.float64), k),
    }
    basis = f"{k} neighbours on a sample of {len(sample)} images"
    results = []
    for metric, each in kept.items():
        value = layouts.mean(each, rng, settings.bootstrap)
        results.append(Result.of("projection", metric, replace(value, method=f"{basis}; {value.method}")))
    other = projection.fit(model.landmarks, _layout(cfg, 1))
    moved = layouts.drift(model.places.astype(np.float64), other.places.astype(np.float64), rng, settings.bootstrap)
    return [*results, Result.of("projection", "drift", moved, seed=cfg.seed, other_seed=cfg.seed + 1)]


STAGE = Stage(
    name="project",
    summary="a map of all images by UMAP of landmarks, and how well it keeps neighbourhoods",
    reads=(*READS, "artifacts"),
    writes=("projection", "artifacts", "results", "rejects"),
    config=("project", "seed", "store", "corpora", *specs.IMAGE_ENCODER),
    run=run,
)
