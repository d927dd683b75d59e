"""Which images get a score: those of a head come from vectors and are had of duplicates too."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
from pyspark.sql import SparkSession

from tests.tables import table, vector
from twigma_spark.config.models import HeadSettings, Models
from twigma_spark.config.settings import Config
from twigma_spark.models.heads import save_linear
from twigma_spark.stages import score, specs
from twigma_spark.stages.stage import StageContext


def test_a_head_scores_duplicates_and_no_image_that_is_gone(spark: SparkSession, tmp_path: Path) -> None:
    head = tmp_path / "head.safetensors"
    encoder = specs.image_encoder(Config()).model_id
    save_linear(head, np.array([2.0], dtype=np.float32), -2.0, {"embedding_model": encoder, "link": "sigmoid"})
    cfg = Config(models=Models(scores={"nsfw": HeadSettings(kind="linear", path=str(head))}))
    images = [{"image_id": f"{n:032x}", "corpus": "posts", "source_key": f"{n}.jpg"} for n in (1, 2)]
    tables = {
        "images": table(spark, "images", images),
        "embeddings": table(spark, "embeddings", [vector(n) for n in (1, 2, 3)]),  # the third's file is gone
        "duplicates": table(spark, "duplicates", [{"image_id": f"{2:032x}", "canonical_id": f"{1:032x}"}]),
        "scores": table(spark, "scores", []),
    }
    context = cast("StageContext", None)  # nothing is materialized or said where every score is a head's
    (made,) = score.run(cfg, context, **tables)
    assert sorted((row.image_id, row.score) for row in made["scores"].collect()) == [
        (f"{1:032x}", 0.5),
        (f"{2:032x}", 0.5),
    ]
