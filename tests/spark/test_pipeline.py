"""The runner: stages are skipped, fail by name, resume, and keep their account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyspark
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tests.stores import copy_store
from tests.tables import table
from twigma_spark import pipeline
from twigma_spark.config.overlays import load
from twigma_spark.config.settings import Config, check_stages
from twigma_spark.errors import ConfigError, StageError
from twigma_spark.io.arrow import local_frame
from twigma_spark.io.staging import drop
from twigma_spark.io.tables import Store
from twigma_spark.runner import Outcome
from twigma_spark.schemas import TABLES
from twigma_spark.stages.stage import Account, Stage, StageContext


def captions(store: Store, *ids: str) -> DataFrame:
    return local_frame(store.spark, [(i, "m", "words") for i in ids], TABLES["captions"].schema)


def scores(cfg: Config, context: StageContext, captions: DataFrame) -> Mapping[str, DataFrame]:
    """A stage in one line: a score for every caption."""
    return {"scores": captions.select("image_id", "model_id", F.lit("nsfw").alias("kind"), F.lit(0.5).alias("score"))}


SCORE = Stage("score", "", ("captions",), ("scores", "rejects"), ("seed",), scores)


@pytest.fixture(scope="module")
def filled(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with two captions, which tests do not change."""
    store = Store(spark, str(tmp_path_factory.mktemp("filled")))
    store.write("captions", captions(store, "a", "b"), stage="caption")
    return store


@pytest.fixture(scope="module")
def scored(filled: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[Outcome], list[str]]:
    """The same after a run of SCORE, how that went and what it said."""
    store, said = copy_store(filled, tmp_path_factory.mktemp("scored") / "store"), []
    return store, runner(store, said)(SCORE), said


@pytest.fixture
def ready(filled: Store, tmp_path: Path) -> Store:
    """A store with two captions."""
    return copy_store(filled, tmp_path / "store")


@pytest.fixture
def ran(scored: tuple[Store, list[Outcome], list[str]], tmp_path: Path) -> Store:
    """A store with two captions after a run of SCORE."""
    return copy_store(scored[0], tmp_path / "store")


def runner(store: Store, said: list[str]) -> Callable[..., list[Outcome]]:
    def go(stage: Stage, cfg: Config | None = None) -> list[Outcome]:
        return pipeline.run(cfg or Config(), store, [stage], said.append)

    return go


@pytest.mark.spark4
def test_a_stage_runs_once_and_is_skipped_until_something_changes(
    ran: Store, scored: tuple[Store, list[Outcome], list[str]]
) -> None:
    _, first, said_first = scored
    said: list[str] = []
    go = runner(ran, said)
    assert (first[0].skipped, first[0].rows) == (False, {"scores": 2, "rejects": 0})
    assert go(SCORE)[0].skipped
    assert "2 scores" in said_first[0] and "skipped" in said[0]
    assert go(SCORE, load([], ["seed=1"]))[0].skipped is False
    assert go(SCORE, load([], ["seed=1", "report.title=other"]))[0].skipped
    ran.write("captions", captions(ran, "c"), stage="caption")
    assert go(SCORE, load([], ["seed=1"]))[0].rows["scores"] == 1


def test_force_runs_what_is_unchanged(ran: Store) -> None:
    assert not pipeline.run(Config(), ran, [SCORE], lambda text: None, force=True)[0].skipped


def test_a_table_that_was_made_anew_is_not_taken_for_the_old_one(ran: Store) -> None:
    version = ran.version("captions")
    drop(ran, "captions")
    ran.write("captions", captions(ran, "x", "y"), stage="caption")
    assert ran.version("captions") == version
    assert runner(ran, [])(SCORE)[0].rows["scores"] == 2


def test_what_lies_outside_the_tables_counts_too(ready: Store) -> None:
    go = runner(ready, [])
    go(replace(SCORE, sources=lambda cfg, spark: "one"))
    assert go(replace(SCORE, sources=lambda cfg, spark: "one"))[0].skipped
    assert not go(replace(SCORE, sources=lambda cfg, spark: "two"))[0].skipped


def test_a_run_is_recorded(ready: Store) -> None:
    runner(ready, [])(replace(SCORE, versions=lambda cfg: {"nsfw_model": "tiny@1"}))
    row = ready.read("runs").collect()[0]
    assert (row.stage, row.status, row.rows_in, row.rows_out["scores"]) == ("score", "ok", {"captions": 2}, 2)
    assert row.input_versions["captions"] == ready.version("captions")
    assert row.versions["nsfw_model"] == "tiny@1" and row.versions["pyspark"] == pyspark.__version__
    assert row.seconds > 0 and row.error is None


@pytest.mark.spark4
def test_a_failure_names_the_stage_and_the_table_and_is_resumed(ready: Store) -> None:
    def wrong(cfg: Config, context: StageContext, captions: DataFrame) -> Mapping[str, DataFrame]:
        return {"scores": captions}

    go = runner(ready, [])
    with pytest.raises(StageError, match=r"stage 'score' failed at table 'scores': SchemaError"):
        go(replace(SCORE, run=wrong))
    row = ready.read("runs").collect()[0]
    assert (row.status, "column 'score'" in row.error) == ("failed", True)
    assert not go(SCORE)[0].skipped
    assert ready.count("scores") == 2


def test_what_fails_inside_spark_is_told_in_a_few_lines(ready: Store) -> None:
    def broken(cfg: Config, context: StageContext, captions: DataFrame) -> Mapping[str, DataFrame]:
        def burst(batches: object) -> object:
            raise ValueError("the kettle is empty")

        return {"scores": captions.mapInArrow(burst, TABLES["scores"].schema)}  # type: ignore[arg-type]

    with pytest.raises(StageError, match="the kettle is empty") as caught:
        runner(ready, [])(replace(SCORE, run=broken))
    assert len(str(caught.value)) < 1700
    assert "\n" not in str(caught.value)


def test_parts_are_added_and_what_is_left_out_is_emptied(ready: Store) -> None:
    def parts(cfg: Config, context: StageContext, captions: DataFrame) -> object:
        for name in ("a", "b"):
            picked = captions.where(F.col("image_id") == name).drop("caption")
            once = context.materialize(picked.withColumn("score", F.rand(1)).withColumn("kind", F.lit("nsfw")))
            reject = once.select(
                F.lit("score").alias("stage"), F.lit("image").alias("unit"), F.lit("p").alias("corpus"),
                F.col("image_id").alias("key"), F.lit("undecodable").alias("reason"), F.lit("").alias("detail"),
            )  # fmt: skip
            yield {"scores": once, "rejects": reject} if name == "b" else {"scores": once}

    outcome = runner(ready, [])(replace(SCORE, run=parts))[0]
    assert (outcome.rows, outcome.rejects) == ({"scores": 2, "rejects": 1}, {"undecodable": 1})
    assert runner(ready, [])(SCORE, load([], ["seed=3"]))[0].rejects == {}
    assert ready.count("rejects") == 0


def test_a_lost_image_fails_the_stage(ready: Store) -> None:
    lost = replace(SCORE, account=lambda cfg, spark, frames: Account(images=3, kept=2, duplicates=0, rejects=0))
    with pytest.raises(StageError, match="images in must be"):
        runner(ready, [])(lost)
    assert ready.read("runs").where("status = 'ok'").count() == 0


def test_files_that_came_while_they_were_read_are_no_lost_images(ready: Store) -> None:
    """The account counts one file more than the run had listed; the next run reads it."""
    listings, said = iter(["2 files", "3 files", "3 files", "3 files"]), []
    came = replace(
        SCORE,
        account=lambda cfg, spark, frames: Account(images=3, kept=2, duplicates=0, rejects=0),
        sources=lambda cfg, spark: next(listings),
    )
    go = runner(ready, said)
    assert not go(came)[0].skipped
    assert any("1 image is not counted; the next run reads them again" in line for line in said), said
    with pytest.raises(StageError, match="images in must be"):
        go(came)


@pytest.mark.parametrize("cut", [0, 200])
def test_a_damaged_output_is_named_and_not_skipped(ran: Store, cut: int) -> None:
    go = runner(ran, [])
    (newest,) = sorted(Path(ran.path("scores"), "_delta_log").glob("*.json"))[-1:]
    newest.write_bytes(newest.read_bytes()[:cut])
    with pytest.raises(StageError, match="newest commit of table 'scores' must be whole"):
        go(SCORE)
    for path in (newest, newest.with_name(f".{newest.name}.crc")):  # as the message says
        path.unlink()
    ran.spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()  # type: ignore[union-attr] # a run of its own
    assert go(SCORE)[0].rows["scores"] == 2
    assert ran.read("scores").count() == 2 and go(SCORE)[0].skipped


def test_publish_is_repeated_where_the_stage_is_skipped(ready: Store) -> None:
    published: list[int] = []
    stage = replace(SCORE, publish=lambda cfg, frames: str(published.append(frames["scores"].count())))
    go = runner(ready, [])
    go(stage)
    assert go(stage)[0].skipped
    assert published == [2, 2]


def test_a_table_that_is_not_declared_is_refused(ready: Store) -> None:
    with pytest.raises(StageError, match="must be declared"):
        runner(ready, [])(replace(SCORE, writes=("rejects",)))


def test_stages_are_selected_by_name_and_range() -> None:
    names = [stage.name for stage in pipeline.STAGES]
    assert [s.name for s in pipeline.select()] == names
    assert [s.name for s in pipeline.select(only=["report", "embed"])] == ["embed", "report"]
    assert [s.name for s in pipeline.select(first="caption", last="embed_text")] == ["caption", "embed_text"]
    with pytest.raises(ConfigError, match="must be one of fetch, ingest, embed"):
        check_stages(["embed", None, "embedd"])


def images_of(store: Store, corpus: str, number: int) -> DataFrame:
    size = {"width": 1, "height": 1}
    rows = [{"image_id": f"{n:032x}", "corpus": corpus, "source_key": f"{n}.png", **size} for n in range(number)]
    return table(store.spark, "images", rows)


def refusing(store: Store, *rejects: tuple[str, str]) -> Stage:
    """A stage that refuses files by (corpus, key)."""
    rows = [("score", "image", corpus, key, "gone", "") for corpus, key in rejects]
    frame = local_frame(store.spark, rows, TABLES["rejects"].schema)
    return replace(SCORE, reads=(), run=lambda cfg, context: {"rejects": frame})


def test_a_corpus_with_many_rejects_is_said_and_ends_a_strict_run(store: Store) -> None:
    store.write("images", images_of(store, "few", 1), stage="ingest")
    stage, said = refusing(store, ("few", "1"), ("none", "1"), ("none", "2")), []
    pipeline.run(Config(), store, [stage], said.append)
    assert [line.split("] ")[1] for line in said[1:]] == [
        "warning: corpus 'few' has 1 image and 1 reject (gone 1): twigma rejects",
        "warning: corpus 'none' has 0 images and 2 rejects (gone 2): twigma rejects",
    ]
    # What is skipped now was refused before.
    with pytest.raises(
        StageError, match=r"corpus 'none' has 0 images and 2 rejects .* without --strict the run goes on"
    ):
        pipeline.run(Config(), store, [stage], said.append, strict=True)


def test_a_tenth_of_rejects_is_not_worth_a_word(store: Store) -> None:
    store.write("images", images_of(store, "own", 9), stage="ingest")
    said: list[str] = []
    pipeline.run(Config(), store, [refusing(store, ("own", "9"))], said.append, strict=True)
    assert len(said) == 1


def test_an_output_that_was_made_anew_is_computed_again(ran: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twigma_spark.io.runs.CLOCKS", timedelta(0))
    go = runner(ran, [])
    assert go(SCORE)[0].skipped
    state = ran.state("scores")
    drop(ran, "scores")
    other = local_frame(ran.spark, [("z", "m", "nsfw", 0.5)], TABLES["scores"].schema)
    ran.write("scores", other, stage="score")
    assert (ran.version("scores"), ran.count("scores")) == (state.version, 1)
    assert go(SCORE)[0].rows["scores"] == 2
    assert go(SCORE)[0].skipped
