"""Training: the same for the same seed, the scores' arithmetic, and the whole recipe in miniature."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from twigma_spark.models import tiny, training_scores
from twigma_spark.models.base import file_digest
from twigma_spark.models.clip import ClipImage, ClipText
from twigma_spark.models.clip_source import ClipSource
from twigma_spark.models.training import Examples, Recipe, fit_logistic, train_captioner, train_clip
from twigma_spark.sample.models import CARD, Plan, train_sample_models

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}


def flags(count: int) -> Examples:
    """Plain pictures of three colours, each with its name."""
    dice = np.random.default_rng(0)
    names = [list(COLOURS)[at % 3] for at in range(count)]
    pixels = np.array([COLOURS[name] for name in names], float)[:, :, None, None]
    noisy = np.clip(pixels + dice.normal(0, 12, (count, 3, 64, 64)), 0, 255).astype(np.uint8)
    captions = tuple(f"a photo of a {name} flag" for name in names)
    return Examples(noisy, captions, tuple(names), ("photo",) * count)


WORDS = tiny.vocabulary(["a photo of a red green blue flag, ."])


def test_a_vocabulary_is_sorted_words_after_the_special_ones() -> None:
    assert tiny.vocabulary(["A dog, a cat."]) == (*tiny.SPECIAL_WORDS, ",", ".", "a", "cat", "dog")


def test_clip_learns_and_repeats(tmp_path: Path) -> None:
    recipe = Recipe(seed=1, steps=25, batch=24)
    for name in ("one", "two"):
        train_clip(flags(48), WORDS, recipe, tmp_path / name)
    one, two = (ClipSource(path=str(tmp_path / name)) for name in ("one", "two"))
    assert file_digest(one.weights_file()) == file_digest(two.weights_file())
    texts = ClipText(one).setup(threads=1)([f"a photo of a {name} flag" for name in COLOURS])
    images = ClipImage(one).setup(threads=1).forward(flags(3).pixels)
    assert (images @ texts.T).argmax(axis=1).tolist() == [0, 1, 2]


def test_the_captioner_repeats_and_another_seed_differs(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        train_captioner(flags(16), WORDS, Recipe(seed, steps=2, batch=8), tmp_path / name)
    digests = [file_digest(tmp_path / name / "model.safetensors") for name in ("one", "two", "three")]
    assert digests[0] == digests[1] != digests[2]


def test_logistic_regression_is_sklearn_s() -> None:
    dice = np.random.default_rng(3)
    rows = dice.normal(size=(300, 5)).astype(np.float32)
    labels = rows @ np.arange(5) + dice.normal(size=300) > 1
    weight, bias = fit_logistic(rows, labels, ridge=1e-2)
    theirs = LogisticRegression(C=1 / (1e-2 * 300), tol=1e-10, max_iter=1000).fit(rows.astype(float), labels)
    np.testing.assert_allclose(weight, theirs.coef_[0], atol=1e-4)
    assert bias == pytest.approx(theirs.intercept_[0], abs=1e-4)


def test_retrieval_scores() -> None:
    texts = np.eye(4, dtype=np.float32)
    images = texts[[0, 1, 3, 2]]
    assert training_scores.recall_at(images, texts, 1) == 0.5
    assert training_scores.recall_at(images, texts, 4) == 1.0
    groups = np.repeat(np.eye(3, dtype=np.float32), 6, axis=0)
    assert training_scores.neighbours_agree(groups, ["a"] * 6 + ["b"] * 6 + ["c"] * 6) == 1.0


def test_caption_scores() -> None:
    assert training_scores.word_f1(["a red dog"], ["a red dog"]) == 1.0
    assert training_scores.word_f1(["a red dog", ""], ["a blue dog", "a cat"]) == pytest.approx(1 / 3)
    captions = ["a red dog", "a dog", "a dog", "a red ship", "a ship", "the ship"]
    words = training_scores.theme_words(captions, ["animal"] * 3 + ["sea"] * 3)
    assert words == {"dog": "animal", "ship": "sea"}
    written = ["one dog", "a red thing", "a ship"]
    assert training_scores.theme_accuracy(written, ["animal", "sea", "sea"], words) == pytest.approx(2 / 3)


def test_area_under_roc_is_sklearn_s() -> None:
    dice = np.random.default_rng(4)
    scores, labels = dice.integers(0, 9, 200).astype(np.float32), dice.random(200) < 0.3
    assert training_scores.area_under_roc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))


@pytest.mark.slow
def test_the_whole_recipe_in_miniature(tmp_path: Path) -> None:
    plan = Plan(scenes=120, judged=48, clip_steps=3, blip_steps=3)
    card = train_sample_models(tmp_path / "weights", plan, threads=1)
    assert json.loads((tmp_path / "weights" / CARD).read_text()) == card
    assert set(card["files"]) >= {
        "clip/open_clip_model.safetensors",
        "blip/model.safetensors",
        "nsfw.safetensors",
    }
    assert all(0 <= score <= 1 for score in card["scores"].values())
