"""How a store stands after a good and a failed run: what is stale and why, events, jobs by name, and no secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark import pipeline
from twigma_spark.config.overlays import load
from twigma_spark.config.settings import Config
from twigma_spark.errors import ExitCode, StageError
from twigma_spark.io import arrow
from twigma_spark.io.lease import hold, this_process
from twigma_spark.io.lease_files import LocalLeases
from twigma_spark.io.store import find_holder
from twigma_spark.io.tables import Store
from twigma_spark.schemas import TABLES
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.status import as_json, as_text, find_stale, read_status

PLANTED = "kept-from-all-eyes"
groups: list[str | None] = []


def write_captions(store: Store, *ids: str) -> None:
    rows = [(i, "m", "words") for i in ids]
    store.write("captions", arrow.local_frame(store.spark, rows, TABLES["captions"].schema), stage="caption")


def score(cfg: Config, context: StageContext, captions: DataFrame) -> Mapping[str, DataFrame]:
    groups.append(context.spark.sparkContext.getLocalProperty("spark.jobGroup.id"))
    return {"scores": captions.select("image_id", "model_id", F.lit("nsfw").alias("kind"), F.lit(0.5).alias("score"))}


def refuse(cfg: Config, context: StageContext, scores: DataFrame) -> Mapping[str, DataFrame]:
    raise ValueError(f"images must be there. Got none at s3a://me:{PLANTED}@bucket/a?X-Amz-Signature={PLANTED}")


SCORE = Stage("score", "", ("captions",), ("scores",), ("seed",), score)
LATER = Stage("cluster", "", ("scores",), ("clusters",), (), refuse)


def test_a_store_says_how_it_stands(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_BEARER_TOKEN", PLANTED)
    said, events = [], tmp_path / "events.jsonl"
    cfg = load([], [f"run.events={events}", f"spark.conf={{spark.hadoop.fs.s3a.secret.key: {PLANTED}}}"])

    def run(cfg: Config, *stages: Stage) -> None:
        pipeline.run(cfg, store, stages, said.append)

    write_captions(store, "a", "b")
    with hold(lambda: LocalLeases(store.root), store.root, this_process("first", "run"), 0, said.append) as store.lease:
        run(cfg, SCORE)
        held = find_holder(store)
        assert held is not None and not held.free and held.describe().startswith("run first (twigma run) on ")
    store.lease = None
    assert groups == ["first score"]
    with pytest.raises(StageError) as caught:
        run(cfg, LATER)
    assert caught.value.exit_code == ExitCode.DATA
    left = [str(caught.value), events.read_text(), *said, *(str(row) for row in store.read("runs").collect())]
    assert not [text for text in left if PLANTED in text] and "s3a://***@bucket" in left[0]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10 and not [path for path in files if PLANTED.encode() in path.read_bytes()]

    found = read_status(cfg, store, [SCORE, LATER])
    assert found.stale == {"score": [], "cluster": ["no run of it has ended well"]}
    assert [(run.ended_well, list(run.failed)) for run in found.runs] == [(0, ["cluster"]), (1, [])]
    assert [(t.name, t.rows, list(t.written)) for t in found.tables if t.name == "scores"] == [("scores", 2, [2])]
    lease = json.loads(as_json(found))["lease"]
    assert lease["free"] and lease["holder"]["run_id"] == "first" and lease["holder"]["released"]
    assert "held      by nobody; last by run first" in as_text(found) and PLANTED not in as_text(found)

    write_captions(store, "c")
    version = store.version("captions")
    assert find_stale(load([], ["seed=5"]), store, [SCORE]) == {
        "score": [
            "its part of the configuration has changed",
            f"captions has changed (version {version - 1} -> {version})",
        ]
    }
