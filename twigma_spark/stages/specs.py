"""The models of a run: specs from the configuration, made on the driver, and how they are fed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config import Config, Head, Inference, OnnxClasses, Section
from twigma_spark.io.artifacts import Artifact
from twigma_spark.models import registry
from twigma_spark.models.base import Model
from twigma_spark.schemas import ARTIFACTS, RESULTS
from twigma_spark.stats.estimate import Named
from twigma_spark.transforms.inference import Feed
from twigma_spark.transforms.vectors import kept, of_model


def image_encoder(cfg: Config) -> Model:
    """Return the image encoder's spec."""
    return registry.image_encoder(_pixels(cfg, cfg.models.image), cfg.models.device)


def text_encoder(cfg: Config) -> Model | None:
    """Return the spec of the image encoder's text tower, or None where it has none."""
    if cfg.models.image.kind != "open_clip":
        return None
    return registry.text_encoder(_settings(cfg.models.image), cfg.models.device)


def captioner(cfg: Config) -> Model | None:
    """Return the captioner's spec, or None where none is configured."""
    if cfg.models.caption is None:
        return None
    return registry.captioner(_pixels(cfg, cfg.models.caption), cfg.models.device)


def scorers(cfg: Config) -> dict[str, registry.Scorer]:
    """Return the configured scorers by the kind of their score."""
    wanted = {"nsfw": cfg.models.nsfw, "aesthetic": cfg.models.aesthetic}
    return {kind: _scorer(cfg, model) for kind, model in wanted.items() if model is not None}


def _scorer(cfg: Config, model: Head | OnnxClasses) -> registry.Scorer:
    settings = _settings(model) if isinstance(model, Head) else _pixels(cfg, model)
    return registry.scorer(settings, cfg.models.device)


def feed(cfg: Config, how: Inference) -> Feed:
    """Return how a stage feeds its model."""
    return Feed(
        batch_size=how.batch_size,
        decode_threads=how.decode_threads,
        threads=how.threads,
        partitions=how.partitions,
        device=cfg.models.device,
    )


def kept_vectors(cfg: Config, images: DataFrame, embeddings: DataFrame, duplicates: DataFrame) -> DataFrame:
    """Return the configured encoder's vectors (image_id, corpus, embedding) of the images that are kept.

    Vectors of images that are no longer in the corpora stay in `embeddings` and are left out here.
    """
    encoder = image_encoder(cfg)
    own = of_model(embeddings, encoder.model_id, encoder.preprocess_rev)
    return kept(own.join(images.select("image_id"), "image_id", "left_semi"), duplicates)


def theme_clustering(cfg: Config) -> str | None:
    """Return the id of the first clustering that tells themes, or None where there is none."""
    return next((c.id for c in cfg.cluster.clusterings if c.themes), None)


def clustering(clusters: DataFrame, name: str | None) -> DataFrame:
    """Return image_id and cluster of one clustering; no rows where there is no name."""
    return clusters.where(F.lit(False) if name is None else F.col("clustering_id") == name).select(
        "image_id", "cluster"
    )


def artifacts_of(artifacts: DataFrame, stage: str) -> list[Artifact]:
    """Return the files that a stage has made so far."""
    names = [field.name for field in fields(Artifact)]
    return [Artifact(*row) for row in artifacts.where(F.col("stage") == stage).select(*names).collect()]


def artifact_rows(spark: SparkSession, stage: str, made: Iterable[Artifact]) -> DataFrame:
    """Return the files of a stage as rows of the table `artifacts`."""
    rows = [{"stage": stage, **asdict(artifact)} for artifact in made]
    return spark.createDataFrame([tuple(row[n] for n in ARTIFACTS.column_names) for row in rows], ARTIFACTS.schema)


def results(spark: SparkSession, stage: str, found: Iterable[Named]) -> DataFrame:
    """Return statistics as rows of the table `results`."""
    rows = [
        (stage, x.analysis, x.metric, x.group, v.estimate, v.low, v.high, v.n, v.unit, v.method)
        for x in found
        for v in (x.value,)
    ]
    return spark.createDataFrame(rows, RESULTS.schema)


def _pixels(cfg: Config, model: Section) -> dict[str, Any]:
    return {**_settings(model), "max_pixels": cfg.ingest.max_pixels}


def _settings(model: Section) -> dict[str, Any]:
    """Return a model's settings; a path that exists here is made absolute, since workers run elsewhere."""
    settings = model.model_dump()
    local = {
        key: str(Path(settings[key]).absolute())
        for key in ("path", "vocabulary", "name", "pretrained")
        if settings.get(key) and Path(settings[key]).exists()
    }
    return {**settings, **local}
