"""Which images get a score: those of a head come from vectors and are had of duplicates too, a reward's of prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from tests.tables import table
from tests.tuning import ENCODER, picture
from twigma_spark.config.settings import Config
from twigma_spark.errors import ModelError
from twigma_spark.models.clip_source import load_clip
from twigma_spark.models.heads import save_linear
from twigma_spark.models.reward import Reward, encoder_settings
from twigma_spark.models.reward_files import save_head
from twigma_spark.models.reward_head import Head
from twigma_spark.stages import score
from twigma_spark.stages.stage import StageContext

# Number of the image, its prompt, whether it repeats the first image.
IMAGES = ((1, "a castle at night ", False), (2, "a red flower", True), (3, None, False), (4, "...", False))


@pytest.fixture
def tables(spark: SparkSession) -> dict[str, DataFrame]:
    rng = np.random.default_rng(0)
    by = {"model_id": ENCODER.model_id, "preprocess_rev": ENCODER.preprocess_rev, "corpus": "posts"}
    files = {n: picture(rng, bool(n % 2)) for n, *_ in IMAGES}
    vectors = {**dict(zip(files, ENCODER.setup()(list(files.values())), strict=True)), 5: np.ones(ENCODER.dim)}
    rows: dict[str, list[dict[str, Any]]] = {
        "images": [
            {
                "image_id": f"{n:032x}",
                "corpus": "posts",
                "source_key": f"{n}.png",
                "content": files[n],
                "n_bytes": len(files[n]),
                "prompt": prompt,
            }
            for n, prompt, _ in IMAGES
        ],
        # The last one's file is gone.
        "embeddings": [{**by, "image_id": f"{n:032x}", "embedding": v.tolist()} for n, v in vectors.items()],
        "duplicates": [{"image_id": f"{n:032x}", "canonical_id": f"{1:032x}"} for n, _, repeats in IMAGES if repeats],
        "scores": [],
    }
    return {name: table(spark, name, of) for name, of in rows.items()}


def config(scores: dict[str, Any]) -> Config:
    image = {"kind": "open_clip", "path": "sample:clip", "precision": "fp32"}
    return Config.model_validate({"models": {"image": image, "scores": scores}})


def run(
    spark: SparkSession, cfg: Config, tables: dict[str, DataFrame]
) -> tuple[dict[str, dict[int, float]], list[str]]:
    """Return the score of each image by kind, and what was said."""
    said: list[str] = []
    found: dict[str, dict[int, float]] = {}
    for part in score.run(cfg, StageContext(spark, DataFrame.cache, said.append), **tables):
        for row in part["scores"].collect():
            found.setdefault(row.kind, {})[int(row.image_id, 16)] = row.score
    return found, said


@pytest.mark.spark4
def test_a_head_scores_duplicates_and_no_image_that_is_gone(
    spark: SparkSession, tables: dict[str, DataFrame], tmp_path: Path
) -> None:
    head = tmp_path / "head.safetensors"
    weight = np.zeros(ENCODER.dim, np.float32)
    save_linear(head, weight, 0.0, {"embedding_model": ENCODER.model_id, "link": "sigmoid"})
    found, _ = run(spark, config({"nsfw": {"kind": "linear", "path": str(head)}}), tables)
    assert found == {"nsfw": {1: 0.5, 2: 0.5, 3: 0.5, 4: 0.5}}


def save_reward(folder: Path, tuned: bool) -> Path:
    rng, plain = np.random.default_rng(1), Head.identity(ENCODER.dim)
    offset = rng.normal(size=ENCODER.dim).astype(np.float32)
    head = Head(plain.image, offset, plain.text, plain.text_offset, plain.sharpness)
    projection = load_clip(ENCODER.source).state_dict()["text_projection"].numpy()
    trained = {"text_projection": projection[:, ::-1]}
    by = (ENCODER.model_id, ENCODER.preprocess_rev, encoder_settings(ENCODER), "# Card\n")
    return save_head(folder, head, *by, trained if tuned else None)


def test_a_saved_reward_model_scores_kept_images_for_their_own_prompts(
    spark: SparkSession, tables: dict[str, DataFrame], tmp_path: Path
) -> None:
    plain, tuned = save_reward(tmp_path / "plain", False), save_reward(tmp_path / "tuned", True)
    cfg = config({
        "liked": {"kind": "reward", "path": str(plain)},
        "tuned": {"kind": "reward", "path": str(tuned), "prompt": "a cat"},
    })  # fmt: skip
    found, said = run(spark, cfg, tables)
    content = {int(row.image_id, 16): bytes(row.content) for row in tables["images"].collect()}
    for kind, folder, prompts in (
        ("liked", plain, {1: "a castle at night"}),
        ("tuned", tuned, {1: "a castle at night", 3: "a cat", 4: "a cat"}),
    ):
        files = [content[n] for n in prompts]
        expected = Reward.from_pretrained(folder).score(images=files, prompts=list(prompts.values())).tolist()
        assert found[kind] == pytest.approx(dict(zip(prompts, expected, strict=True)), abs=1e-5)
    assert found["liked"][1] != pytest.approx(found["tuned"][1], abs=1e-3)
    (line,) = [line for line in said if "no prompt" in line]
    assert line == "score: 2 images have no prompt and get no liked; models.scores.liked.prompt gives them one"
    other = cfg.model_copy(update={"models": Config().models.model_copy(update={"scores": cfg.models.scores})})
    with pytest.raises(
        ModelError,
        match=r"must be of 'open_clip/.*', which it was trained on\. Got those of 'open_clip/ViT-L-14/openai'",
    ):
        run(spark, other, tables)
