"""The models of a run, as the configuration names them."""

from __future__ import annotations

from pathlib import Path

from twigma_spark.config.overlays import load
from twigma_spark.stages import specs

CONF = Path(__file__).resolve().parents[2] / "conf" / "sample.yaml"


def test_a_heads_score_says_which_vectors_it_was_made_from() -> None:
    cfg, other = load([CONF]), load([CONF], ["models.image.decode=pillow"])
    (one,) = (specs.scorer_id(cfg, model) for model in specs.scorers(cfg).values())
    (two,) = (specs.scorer_id(other, model) for model in specs.scorers(other).values())
    encoder = specs.image_encoder(cfg)
    assert one.endswith(f"/{encoder.model_id}/{encoder.preprocess_rev}") and one != two
