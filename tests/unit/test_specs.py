"""The models of a run, as the configuration names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from twigma_spark.config.overlays import load
from twigma_spark.stages import specs

CONF = Path(__file__).resolve().parents[2] / "conf" / "sample.yaml"


def test_a_heads_score_says_which_vectors_it_was_made_from() -> None:
    cfg, other = load([CONF]), load([CONF], ["models.image.decode=pillow"])
    (one,) = (specs.scorer_id(cfg, model) for model in specs.scorers(cfg).values())
    (two,) = (specs.scorer_id(other, model) for model in specs.scorers(other).values())
    encoder = specs.image_encoder(cfg)
    assert one.endswith(f"/{encoder.model_id}/{encoder.preprocess_rev}") and one != two


def test_a_folder_with_the_name_of_a_tag_is_not_taken_for_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = load([], ["models.image={kind: open_clip, name: ViT-L-14, pretrained: openai}"])
    before = specs.image_encoder(cfg)
    monkeypatch.chdir(tmp_path)
    for name in ("openai", "ViT-L-14"):
        (tmp_path / name).mkdir()
    assert specs.image_encoder(cfg) == before


def test_what_is_a_path_and_what_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pt").touch()
    (tmp_path / "models" / "blip").mkdir(parents=True)
    (tmp_path / "models" / "blip" / "config.json").touch()
    texts = ("weights.pt", "./weights.pt", "models/blip")
    assert all(specs.is_path(text) for text in texts)
    assert not any(specs.is_path(text) for text in ("openai", "Salesforce/blip-image-captioning-base", "laion2b"))
