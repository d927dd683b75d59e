"""The sample's models, trained on scenes of the sample world: weights and a card that says how good they are."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twigma_spark.models import tiny, training_scores
from twigma_spark.models.blip import BlipCaptioner
from twigma_spark.models.clip import ClipImage, ClipText
from twigma_spark.models.clip_source import ClipSource
from twigma_spark.models.device import limit_threads
from twigma_spark.models.heads import HeadSpec, save_linear
from twigma_spark.models.pixels import Preparation, prepare
from twigma_spark.models.training import Examples, Recipe, fit_logistic, train_captioner, train_clip
from twigma_spark.sample.captions import vocabulary
from twigma_spark.sample.scenes import Scene
from twigma_spark.sample.themes import THEMES
from twigma_spark.sample.world import iter_scenes

CARD = "MODEL_CARD.json"
LONGEST_CAPTION = 26


@dataclass(frozen=True)
class Plan:
    """What to train on and for how long; the three seeds of a project are those of training, of the sample
    world that users see, and of the scenes that judge.

    Attributes:
        seed: Draws the scenes to learn from, and all chance of the training.
        judge_seed: Draws the scenes of the scores.
        scenes: How many to learn from.
        judged: How many to judge by.
        clip_steps: Batches that CLIP sees.
        blip_steps: Batches that the captioner sees.
    """

    seed: int = 101
    judge_seed: int = 303
    scenes: int = 8000
    judged: int = 256
    clip_steps: int = 800
    blip_steps: int = 1800


def train_sample_models(out: Path, plan: Plan, threads: int = 1) -> dict[str, Any]:
    """Return the model card; `clip/`, `blip/`, `nsfw.safetensors` and the card are written under `out`.

    Args:
        out: A folder; what it held of the same names is replaced.
        plan: See `Plan`.
        threads: CPU threads; the weights are the same for the same number. Models this small gain little
            from a second one, and lose much where cores are shared.
    """
    limit_threads(threads)
    started = time.perf_counter()
    lesson = [shown(scene) for scene in iter_scenes(plan.scenes, plan.seed)]
    words = tiny.vocabulary([" ".join(vocabulary()), " ".join(THEMES), ", ."])
    drawn = time.perf_counter()
    train_clip(_examples(lesson, "shortest"), words, Recipe(plan.seed, plan.clip_steps), out / "clip")
    clip_done = time.perf_counter()
    recipe = Recipe(plan.seed, plan.blip_steps, rate=1.5e-3)
    train_captioner(_examples(lesson, "squash"), words, recipe, out / "blip")
    blip_done = time.perf_counter()
    _train_nsfw(lesson, out)
    card = {
        "about": "Tiny models of the sample world, trained on pictures that the package draws itself.",
        "licence": "as the package",
        "recipe": {
            **plan.__dict__,
            "threads": threads,
            "words": len(words),
            "trained_by": "jobs/train_sample_models.py",
        },
        "seconds": {
            "scenes": round(drawn - started),
            "clip": round(clip_done - drawn),
            "blip": round(blip_done - clip_done),
        },
        "scores": judge_sample_models(out, plan, lesson),
        "files": _files(out),
    }
    (out / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return card


def judge_sample_models(out: Path, plan: Plan, lesson: Sequence[ShownScenes]) -> dict[str, float]:
    """Return scores from 0 to 1 on scenes that no training saw, through the code that the stages use.

    Args:
        out: Where the weights are.
        plan: Says which scenes.
        lesson: Scenes of the training, which say what words stand for what theme.
    """
    scenes = [shown(scene) for scene in iter_scenes(plan.judged, plan.judge_seed)]
    captions, themes = [each.caption for each in scenes], [each.theme for each in scenes]
    source = ClipSource(path=str(out / "clip"))
    files = [each.file for each in scenes]
    images, texts = ClipImage(source).setup()(files), ClipText(source).setup()(captions)
    written = BlipCaptioner(str(out / "blip"), max_length=LONGEST_CAPTION).setup()(files)
    words = training_scores.theme_words([each.caption for each in lesson], [each.theme for each in lesson])
    head = HeadSpec("linear", str(out / "nsfw.safetensors")).setup()
    sensitive = np.array([each.sensitive for each in scenes])
    scores = {
        "clip_recall_at_1": training_scores.recall_at(images, texts, 1),
        "clip_recall_at_5": training_scores.recall_at(images, texts, 5),
        "clip_neighbours_share_theme": training_scores.neighbours_agree(images, themes),
        "clip_neighbours_share_style": training_scores.neighbours_agree(images, [each.style for each in scenes]),
        "caption_theme": training_scores.theme_accuracy(written, themes, words),
        "caption_word_f1": training_scores.word_f1(written, captions),
        "caption_exact": float(np.mean([a == b for a, b in zip(written, captions, strict=True)])),
        "nsfw_auc": training_scores.area_under_roc(head(images, source.model_id), sensitive),
        "nsfw_accuracy_at_half": float(((head(images) > 0.5) == sensitive).mean()),
    }
    return {name: round(score, 4) for name, score in scores.items()}


@dataclass(frozen=True)
class ShownScenes:
    """A scene as the pipeline meets it, a JPEG file, and what is true of it."""

    file: bytes
    caption: str
    theme: str
    style: str
    medium: str
    sensitive: bool


def shown(scene: Scene) -> ShownScenes:
    """Return a scene as a JPEG file and its facts."""
    buffer = io.BytesIO()
    scene.image.save(buffer, "JPEG", quality=90)
    return ShownScenes(buffer.getvalue(), scene.caption, scene.theme, scene.style, scene.medium, scene.sensitive)


def _examples(lesson: Sequence[ShownScenes], fit: str) -> Examples:
    preparation = Preparation(tiny.IMAGE_SIZE, tiny.IMAGE_SIZE, fit)
    return Examples(
        np.stack([prepare(shown.file, preparation) for shown in lesson]),
        tuple(each.caption for each in lesson),
        tuple(each.theme for each in lesson),
        tuple(each.medium for each in lesson),
    )


def _train_nsfw(lesson: Sequence[ShownScenes], out: Path) -> None:
    """Write the head that tells the world's sensitive pictures from the others by their embeddings."""
    encoder = ClipImage(ClipSource(path=str(out / "clip")))
    vectors = encoder.setup()([each.file for each in lesson])
    weight, bias = fit_logistic(vectors, np.array([each.sensitive for each in lesson]))
    meta = {"embedding_model": encoder.model_id, "link": "sigmoid", "about": "sensitive, in the sample world"}
    save_linear(out / "nsfw.safetensors", weight, bias, meta)


def _files(out: Path) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of every file but the card."""
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.name != CARD)
    return {
        path.relative_to(out).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in files
    }
