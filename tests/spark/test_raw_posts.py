"""Posts as their platforms gave them, in a store: parsed again without the pages, and made anew in an older store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from tests import tables as declared
from tests.hosts import png
from twigma_spark import pipeline
from twigma_spark.config.data import Corpus
from twigma_spark.config.settings import Config
from twigma_spark.errors import SchemaError
from twigma_spark.io.arrow import local_frame
from twigma_spark.io.tables import Store
from twigma_spark.purging import Request, purge
from twigma_spark.stages import ingest
from twigma_spark.transforms import parsed_posts

OLD_TEXTS = "text_id STRING, source STRING, corpus STRING, text STRING, dim INT, embedding ARRAY<FLOAT>"


@pytest.fixture(scope="module")
def cfg(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Two pages of two platforms, the second with a post of the first, and one of two pictures."""
    folder = tmp_path_factory.mktemp("pages") / "posts"
    (folder / "media").mkdir(parents=True)

    def post(name: str) -> dict[str, object]:
        keys = [f"3_{name}"]
        return {"id": name, "author_id": f"author{name}", "text": f"words {name} #AIart", "created_at": "2022-02-03",
                "attachments": {"media_keys": keys}, "public_metrics": {"like_count": name}}  # fmt: skip

    def included(*names: str) -> dict[str, object]:
        return {"users": [{"id": f"author{name}", "username": f"name of {name}",
                           "public_metrics": {"followers_count": 10}} for name in names],
                "media": [{"media_key": f"3_{name}", "type": "photo", "alt_text": f"alt {name}"}
                          for name in names]}  # fmt: skip

    pages = [
        {"data": [post("10")], "includes": included("10")},
        {"platform": "bluesky", "data": [post("10"), post("11")], "includes": included("10", "11")},
    ]
    for n, page in enumerate(pages):
        (folder / f"page-{n}.json").write_text(json.dumps(page))
    (folder / "media" / "3_10.png").write_bytes(png(1))
    return Config(corpora=(Corpus(name="posts", role="posts", reader="posts", path=str(folder)),))


def run_ingest(store: Store, cfg: Config) -> dict[str, int]:
    """Run ingest and return the rows that it wrote."""
    (outcome,) = pipeline.run(cfg, store, [ingest.STAGE], lambda text: None)
    return dict(outcome.rows)


@pytest.fixture(scope="module")
def filled(spark: SparkSession, cfg: Config, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store after ingest, in which others have a table of an older name of ours."""
    store = Store(spark, str(tmp_path_factory.mktemp("filled")))
    local_frame(spark, [("1", "mine")], "id STRING, text STRING").write.format("delta").save(store.path("tweets"))
    assert store.read("posts").count() == 0
    assert run_ingest(store, cfg) == {"images": 1, "raw_posts": 2, "posts": 2, "media": 2, "rejects": 2}
    return store


def rows(frame: DataFrame) -> list[str]:
    return sorted(str(row) for row in frame.collect())


def test_posts_and_media_are_parsed_from_raw_posts_alone(filled: Store) -> None:
    parsed = parsed_posts.parse_posts(filled.read("raw_posts"))
    for name, frame in (("posts", parsed_posts.posts_of(parsed)), ("media", parsed_posts.media_of(parsed))):
        assert rows(frame) == rows(filled.read(name)), name
    found = {r.post_id: (r.platform, r.author_followers, r.like_count) for r in filled.read("posts").collect()}
    assert found == {"10": ("x", 10, 10), "11": ("bluesky", 10, 11)}


def test_a_table_of_others_is_left_alone(filled: Store) -> None:
    assert Path(filled.path("tweets")).exists()


def older(store: Store) -> None:
    """Write the tables of posts as an older version did."""
    frames = {
        "tweets": local_frame(
            store.spark, [("10", "posts", "words 10")], "tweet_id STRING, corpus STRING, text STRING"
        ),
        "media": local_frame(store.spark, [("3_10", "10", 0)], "media_key STRING, tweet_id STRING, position INT"),
        "text_embeddings": local_frame(
            store.spark, [(name, name, "posts", "words", 1, [1.0]) for name in ("tweet", "prompt")], OLD_TEXTS
        ),
    }
    for name, frame in frames.items():
        frame.write.format("delta").save(store.path(name))
    where = store.location("text_embeddings")
    store.spark.sql(f"ALTER TABLE {where} ADD CONSTRAINT source_known CHECK (source IN ('tweet', 'prompt'))")


def test_a_store_of_an_older_version_is_refused_until_ingest_has_run(store: Store, cfg: Config) -> None:
    older(store)
    with pytest.raises(SchemaError, match=r"'posts'\. Got 'tweets'.*twigma stage ingest"):
        store.read("posts")
    with pytest.raises(SchemaError, match="twigma stage ingest"):
        purge(cfg, store, Request(posts=("10",)), lambda text: None, files=False, dry_run=False)
    assert [row.post_id for row in store.read("media").collect()] == ["10"]
    run_ingest(store, cfg)
    assert sorted(row.post_id for row in store.read("posts").collect()) == ["10", "11"]
    assert sorted(row.post_id for row in store.read("media").collect()) == ["10", "11"]
    assert not Path(store.path("tweets")).exists()
    assert [row.text_id for row in store.read("text_embeddings").collect()] == ["prompt"]
    text = {"text_id": "c", "model_id": "m", "preprocess_rev": "r", "source": "post", "dim": 1, "embedding": [1.0]}
    assert store.write("text_embeddings", declared.table(store.spark, "text_embeddings", [text]), stage="x") == 1


def test_the_platform_of_a_post_is_one_that_is_known(store: Store) -> None:
    for name in ("raw_posts", "posts"):
        for platform in (None, "elsewhere"):
            row = {"post_id": "1", "corpus": "posts", "platform": platform}
            with pytest.raises(Exception, match=r"DELTA_(VIOLATE_CONSTRAINT|NOT_NULL_CONSTRAINT)"):
                frame = declared.table(store.spark, name, [{**row, "platform": "x"}])
                value = local_frame(store.spark, [(platform,)], "platform STRING")
                store.write(name, frame.drop("platform").crossJoin(value), stage="ingest")
