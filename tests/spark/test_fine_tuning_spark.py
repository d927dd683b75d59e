"""Fine-tuning with Spark: pairs with their images into files, the stage, and processes that train together."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from tests import moto_server
from tests import tables as declared
from tests.tuning import ENCODER, job, picture, write_pairs
from twigma_spark.config.settings import Config
from twigma_spark.estimators.fine_tuning import fine_tune
from twigma_spark.estimators.training_state import TRAINING
from twigma_spark.io.arrow import local_frame
from twigma_spark.io.artifacts import ArtifactFolder
from twigma_spark.io.artifacts import folder as artifact_folder
from twigma_spark.io.pair_snapshot import read_snapshot, write_snapshot
from twigma_spark.io.url_files import download, list_url
from twigma_spark.models.clip import ClipText
from twigma_spark.models.reward import Reward
from twigma_spark.stages import reward, specs
from twigma_spark.stages.stage import StageContext
from twigma_spark.stats.reward import FINE_TUNED

PAIRS = 20


def test_a_snapshot_is_the_same_each_time_and_whole_or_none(spark: SparkSession, tmp_path: Path) -> None:
    rows = [(("train", "validation", "test")[n % 3], n, f"prompt {n}", bytes([n])) for n in range(10)]
    frame = local_frame(spark, rows, "part STRING, row BIGINT, prompt STRING, preferred BINARY")
    found = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        write_snapshot(frame.repartition(3), folder, {"pairs": "7@2026"}, 10, tasks=2, seed=1)
        snapshot = read_snapshot(folder)
        assert snapshot is not None and snapshot.facts == {"pairs": "7@2026"}
        assert sorted(sum(n for _, n in files) for files in snapshot.files.values()) == [3, 3, 4]
        found.append((snapshot.digest, [(folder / name).read_bytes() for name, _ in snapshot.files["train"]]))
    assert found[0] == found[1]
    (tmp_path / "one" / "snapshot.json").unlink()
    assert read_snapshot(tmp_path / "one") is None


@pytest.mark.slow
def test_processes_train_what_one_does(spark: SparkSession, tmp_path: Path) -> None:
    import torch

    torch.set_num_threads(1)
    pairs = write_pairs(tmp_path / "pairs", PAIRS)
    spec = replace(job(pairs, tmp_path).spec, epochs=1)
    alone = fine_tune(job(pairs, tmp_path / "0", spec=spec), PAIRS)
    together = fine_tune(job(pairs, tmp_path / "2", spec=spec), PAIRS, 2)
    # All pairs are one step: two halves of it add up to the same gradient. Half of the margins are of the second
    # process's weights.
    assert together.margins == pytest.approx(alone.margins, abs=1e-5, nan_ok=True)
    assert all(np.isfinite(value).all() for value in together.encoder.values())
    # An offset of all keys changes no attention: its gradient is rounding alone, which AdamW makes steps of.
    names = [name for name in alone.encoder if not name.endswith(("k_proj.bias", "in_proj_bias"))]
    assert max(np.abs(together.encoder[name] - alone.encoder[name]).max() for name in names) < 2e-5
    assert together.epochs[1].validation == pytest.approx(alone.epochs[1].validation, abs=1e-5)


@pytest.fixture(params=["folder", "s3a"])
def kept(
    request: pytest.FixtureRequest, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ArtifactFolder]:
    """Where the stage keeps its files: beside the tables, or in S3, which Spark is told of."""
    if request.param == "folder":
        yield artifact_folder(str(tmp_path), None)
        return
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    with moto_server.serving() as server, ExitStack() as stack:
        for key, value in server.settings:
            spark.conf.set(key, value)
            stack.callback(spark.conf.unset, key)
        yield artifact_folder(str(tmp_path), f"s3a://{moto_server.BUCKET}/artifacts", server.settings)


def test_the_stage_fine_tunes_and_writes_the_model(spark: SparkSession, tmp_path: Path, kept: ArtifactFolder) -> None:
    # A published model of which the stage needs the scores alone.
    pick = tmp_path / "pick"
    pick.mkdir()
    (pick / "config.json").write_text('{"model_type": "clip"}')
    (pick / "model.safetensors").write_bytes(b"weights")
    rng, prompts = np.random.default_rng(0), {"b": "a cat", "c": "a castle at night", "a": "a red flower"}
    ids = {p: hashlib.md5(f"prompt\x1fmade\x1f{text}".encode()).hexdigest() for p, text in prompts.items()}  # noqa: S324
    names = [(prompt, n, f"{place}{n}".zfill(32)) for place, prompt in enumerate(prompts) for n in range(3)]
    pictures = [picture(rng, n == 0) for _, n, _ in names]
    made = {"model_id": ENCODER.model_id, "preprocess_rev": ENCODER.preprocess_rev, "corpus": "made"}
    vectors = ENCODER.setup()(pictures)
    of_texts = ClipText(ENCODER.source)
    texts = of_texts.setup()(list(prompts.values()))
    pairs = [
        {"corpus": "made", "prompt_key": prompt, "split_key": prompt, "text_id": ids[prompt], "matched": True,
         "preferred_image_id": one[2], "other_image_id": two[2],
         "preferred_author_id": one[2], "other_author_id": two[2], "preferred_likes": 9, "other_likes": 1}
        for prompt in prompts
        for one, two in permutations([each for each in names if each[0] == prompt], 2) if one[1] < two[1]
    ]  # fmt: skip
    rows: dict[str, list[dict[str, Any]]] = {
        "pairs": pairs,
        "images": [
            {"image_id": i, "content": p, "corpus": "made", "prompt": prompts[name]}
            for (name, _, i), p in zip(names, pictures, strict=True)
        ],
        "embeddings": [
            {**made, "image_id": i, "embedding": v.tolist()} for (_, _, i), v in zip(names, vectors, strict=True)
        ],
        "text_embeddings": [
            {
                **made,
                "preprocess_rev": of_texts.preprocess_rev,
                "text_id": ids[p],
                "text": prompts[p],
                "embedding": v.tolist(),
            }
            for p, v in zip(prompts, texts, strict=True)
        ],
        # A score that images have for themselves: it says the contrary of what is liked.
        "scores": [{"image_id": i, "model_id": "plain", "kind": "beauty", "score": float(n)} for _, n, i in names],
        **{name: [] for name in ("duplicates", "captions")},
    }
    tune = {"enabled": True, "epochs": 1, "batch_size": 4, "feed": "auto", "learning_rate": 1e-3}
    own = {"folds": 3, "fewest": 2, "bootstrap": 100, "epochs": 2, "fine_tune": tune}
    cfg = Config.model_validate({
        "baselines": {"models": {"pick": {"kind": "pickscore", "path": str(pick)}}},
        "reward": own, "store": {"root": str(tmp_path), "artifacts": kept.place}, "seed": 3,
        "models": {"image": {"kind": "open_clip", "path": "sample:clip", "precision": "fp32"},
                   "scores": {"beauty": {"kind": "linear", "path": "beauty.safetensors"}}},
    })  # fmt: skip
    scored = {"kind": "pick", "model_id": specs.baselines(cfg)["pick"].model_id}
    # It knows what is liked, but for the pairs of an image that it could not score.
    rows["baseline_scores"] = [
        {**scored, "text_id": ids[prompt], "image_id": i, "score": -float(n)}
        for prompt, n, i in names
        if (prompt, n) != ("a", 0)
    ]
    said: list[str] = []
    context = StageContext(spark, lambda frame: frame, said.append, table_version=lambda name: f"{name}@1")
    frames = {name: declared.table(spark, name, of) for name, of in rows.items()}
    found = reward.run(cfg, context, **frames)
    results = found["results"].collect()
    accuracy = {r["labels"]["scorer"]: r for r in results if r["metric"] == "accuracy"}
    assert accuracy[FINE_TUNED]["n"] == 3 and accuracy["reward"]["n"] == 9
    assert (accuracy["pick"]["n"], accuracy["pick"]["estimate"]) == (7, 1.0)
    assert (accuracy["beauty"]["n"], accuracy["beauty"]["estimate"]) == (9, 0.0)
    # Likes are 9 and 1 by the pair: an image in the middle has those of the pair that comes first.
    assert {r["labels"]["scorer"]: r["n"] for r in results if r["metric"] == "tau"} == {
        "reward": 3, "CLIP score": 3, "pick": 2, "beauty": 3,
    }  # fmt: skip
    assert (accuracy["random"]["n"], accuracy["random"]["estimate"]) == (9, 0.5)
    losses = [r["labels"] for r in results if r["metric"] == "loss"]
    assert [(each["epoch"], each["part"]) for each in losses] == [
        ("0", "held out"), ("1", "training"), ("1", "held out")
    ]  # fmt: skip
    artifacts = tmp_path / "_artifacts"
    if kept.is_remote:
        assert [line.partition(" in ")[0] for line in said if "checkpoint" in line] == ["reward: no checkpoint"]
        assert not list(kept.local.rglob("*.*"))
        (artifacts / "reward").mkdir(parents=True)
        for file in list_url(kept.place, kept.settings):  # the model, and nothing of the training
            download(f"{kept.place}/{file}", artifacts / file, kept.settings)
    model = Reward.from_pretrained(artifacts / "reward")
    # All kept images were read again and scored for their own prompts, by the model that was written.
    scores = {row["image_id"]: row["score"] for row in found["reward_scores"].collect()}
    expected = model.score(images=pictures, prompts=[prompts[name] for name, _, _ in names]).tolist()
    assert scores == pytest.approx(dict(zip([i for _, _, i in names], expected, strict=True)), abs=1e-5)
    assert found["rejects"].count() == 0
    assert not any("left out" in line for line in said)
    card = (artifacts / "reward" / "README.md").read_text()
    for part in (
        "whose last blocks were trained too",
        "9 pairs (9 matched) of 9 images by 9 authors for 3 prompts; corpora made; table `pairs`, version pairs@1.",
        "has a like count of 3 or more, and 2 times that of the other image or more",
        "3 of 3 parts of the prompts are held out in turn",
        "accuracy pick | 1 |",
        "## Intended use, and limits",
        "forbid training foundation models",
    ):
        assert part in card
    # Nobody's images stay behind.
    assert not (artifacts / TRAINING).exists()
