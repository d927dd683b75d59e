"""Which vectors the stages after embed read."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from tests import moto_server
from tests.tables import table
from twigma_spark.config.overlays import load
from twigma_spark.config.settings import Config
from twigma_spark.io.arrow import local_frame
from twigma_spark.io.url_files import write_url
from twigma_spark.stages import concordance, inputs, pairs, specs
from twigma_spark.stages.stage import StageContext

EMBEDDINGS = "image_id STRING, model_id STRING, preprocess_rev STRING, corpus STRING, dim INT, embedding ARRAY<FLOAT>"


@pytest.mark.parametrize("few", [0, 1, 2, 100], ids=["all joined", "joined", "sent", "sent too"])
def test_vectors_of_duplicates_and_of_images_that_are_gone_are_left_out(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(inputs, "FEW", few)
    model = specs.image_encoder(Config())
    rows = [(name, model.model_id, model.preprocess_rev, "c", 1, [1.0]) for name in "abcd"]
    other = ("a", "another", model.preprocess_rev, "c", 1, [2.0])
    embeddings = local_frame(spark, [*rows, other], EMBEDDINGS)
    images = local_frame(spark, [(name,) for name in "abcx"], "image_id STRING")
    duplicates = local_frame(spark, [("b", "a")], "image_id STRING, canonical_id STRING")
    found = inputs.kept_vectors(Config(), images, embeddings, duplicates)
    assert found.columns == ["image_id", "corpus", "embedding"]
    assert sorted((r.image_id, r.embedding) for r in found.collect()) == [("a", [1.0]), ("c", [1.0])]


def test_themes_are_told_by_captions_and_else_by_what_came_with_the_images(spark: SparkSession) -> None:
    images = local_frame(
        spark,
        [
            ("a", "a prompt", "a title", None, 9),
            ("b", None, "a title", "its own", 9),
            ("c", None, None, "its own", None),
        ],
        "image_id STRING, prompt STRING, title STRING, caption STRING, n_bytes BIGINT",
    )
    cfg = load([], ["models.caption=null"])
    captioner = specs.captioner(Config())
    assert captioner
    captions = local_frame(
        spark,
        [("a", captioner.model_id, "made"), ("b", "another", "older")],
        "image_id STRING, model_id STRING, caption STRING",
    )
    # The last one came as a vector, and cannot be captioned.
    assert sorted(inputs.theme_texts(Config(), images, captions).collect()) == [("a", "made"), ("c", "its own")]
    found = dict(map(tuple, inputs.theme_texts(cfg, images, captions).collect()))
    assert found == {"a": "a prompt", "b": "a title", "c": "its own"}


def test_where_nothing_is_left_out_the_vectors_are_read_as_they_are(spark: SparkSession) -> None:
    model = specs.image_encoder(Config())
    rows = [(name, model.model_id, model.preprocess_rev, "c", 1, [1.0]) for name in "ab"]
    images = local_frame(spark, [("a",), ("b",)], "image_id STRING")
    none = local_frame(spark, [], "image_id STRING, canonical_id STRING")
    found = inputs.kept_vectors(Config(), images, local_frame(spark, rows, EMBEDDINGS), none)
    assert sorted(r.image_id for r in found.collect()) == ["a", "b"]
    assert "Join" not in found._jdf.queryExecution().optimizedPlan().toString()


@pytest.fixture
def s3(spark: SparkSession) -> Iterator[moto_server.Server]:
    """S3, of which the session knows the address and the keys."""
    with moto_server.serving() as server:
        for key, value in server.settings:
            spark.conf.set(key, value)
        yield server
        for key, _ in server.settings:
            spark.conf.unset(key)


def test_stages_read_judgements_and_answers_in_s3_as_the_session_reaches_it(
    spark: SparkSession, s3: moto_server.Server
) -> None:
    place = f"s3a://{moto_server.BUCKET}/inputs"
    judged = {"format": "imagereward", "path": f"{place}/judged.json", "corpus": "own"}
    cfg = Config.model_validate({
        "corpora": [{"name": "own", "role": "posts", "path": "p"}],
        "pairs": {"files": [judged]}, "concordance": {"answers": f"{place}/answers"},
    })  # fmt: skip

    def sources() -> list[str]:
        return [stage.sources(cfg, spark) for stage in (pairs.STAGE, concordance.STAGE) if stage.sources]

    before = sources()
    item = {"prompt": "p", "generations": ["a", "b"], "ranking": [1, 2]}
    write_url(judged["path"], json.dumps([item]).encode(), s3.settings)
    saved = {"annotator": "ann", "answers": [{"item": "x", "keywords": ["castle"], "group": "g"}]}
    write_url(f"{place}/answers/ann.json", json.dumps(saved).encode(), s3.settings)
    assert not set(before) & set(sources()) and sources() == sources()
    (row,) = pairs._read(spark, cfg.pairs.files[0]).collect()
    assert tuple(row) == ("p", "a", "b", "own")
    context = StageContext(spark, lambda frame: frame, lambda text: None)
    empty = [table(spark, name, []) for name in ("clusters", "captions")]
    results = concordance.run(cfg, context, *empty)["results"].collect()
    assert [(r.metric, r.n) for r in results if r.metric == "unknown_answers"] == [("unknown_answers", 1)]
