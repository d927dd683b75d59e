"""The weights that come with the package: small, as their card says, and good enough for the sample world."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from twigma_spark.models.base import local_path
from twigma_spark.models.registry import captioner, image_encoder, scorer, text_encoder
from twigma_spark.sample.models import CARD, Plan, judge_sample_models, shown
from twigma_spark.sample.world import iter_scenes

WEIGHTS = local_path("sample:")


@pytest.fixture(scope="module")
def card() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads((WEIGHTS / CARD).read_text(encoding="utf-8"))
    return found


def test_the_files_are_those_of_the_card(card: dict[str, dict[str, dict[str, object]]]) -> None:
    for name, told in card["files"].items():
        content = (WEIGHTS / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (told["bytes"], told["sha256"]), name
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) < 8_000_000


def test_the_card_tells_of_models_that_are_good_enough(card: dict[str, dict[str, float]]) -> None:
    scores = card["scores"]
    assert scores["caption_theme"] >= 0.8
    assert scores["clip_recall_at_1"] >= 0.7
    assert scores["clip_neighbours_share_theme"] >= 0.8
    assert scores["nsfw_auc"] >= 0.95


@pytest.mark.slow
def test_the_scores_are_those_of_the_weights(card: dict[str, dict[str, float]]) -> None:
    # The card's own scenes; but fewer of the lesson, which only says what words stand for what theme.
    lesson = [shown(scene) for scene in iter_scenes(600, Plan.seed)]
    for name, score in judge_sample_models(WEIGHTS, Plan(), lesson).items():
        assert score == pytest.approx(card["scores"][name], abs=0.03), name


def test_they_load_as_the_large_ones_do() -> None:
    files = [shown(scene).file for scene in iter_scenes(6, 404)]
    settings = {"kind": "open_clip", "path": "sample:clip"}
    encoder, texts = image_encoder(settings), text_encoder(settings)
    vectors = encoder.setup(threads=1)(files)
    assert vectors.shape == texts.setup(threads=1)(["a photo of a cat"] * 6).shape
    head = scorer({"kind": "linear", "path": "sample:nsfw.safetensors"}).setup()
    assert head(vectors, encoder.model_id).shape == (6,)
    written = captioner({"kind": "blip", "name": "sample:blip"}).setup(threads=1)(files)
    assert all(" of " in text for text in written)


def test_a_prompt_finds_its_theme_despite_strange_words() -> None:
    texts = text_encoder({"kind": "open_clip", "path": "sample:clip"}).setup(threads=1)
    plain = texts(["a photo of a cat", "a photo of a castle by a lake", "an oil painting of a rocket"])
    prompts = texts(
        [
            "white cat, highly detailed, trending on artstation, 8k",
            "castle by a lake, volumetric fog, cinematic mood",
            "rocket near a comet, masterpiece, award winning",
        ]
    )
    assert (np.asarray(prompts) @ np.asarray(plain).T).argmax(axis=1).tolist() == [0, 1, 2]
