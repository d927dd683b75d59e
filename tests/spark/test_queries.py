"""Questions to a store: which hashtags come with the current ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.data import Corpus
from twigma_spark.config.models import HeadSettings
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.io.arrow import local_frame
from twigma_spark.io.tables import Store
from twigma_spark.queries import hashtag_candidates_frame
from twigma_spark.transforms.hashtags import example_images, mark_current

POSTS = [
    ("1", "a", ["aiart", "dalle", "dalle"]), ("2", "a", ["aiart", "dalle"]), ("3", "b", ["aiart", "cat"]),
    ("4", "c", ["cat"]), ("5", None, ["cat", "dalle"]), ("6", "d", ["dog"]), ("7", "e", None),
]  # fmt: skip


@pytest.fixture
def cfg() -> Config:
    head = HeadSettings(kind="linear", path="head.safetensors")
    models = Config().models.model_validate({"scores": {"photo": head}, "real": {"score": "photo", "above": 0.5}})
    return Config(corpora=(Corpus(name="posts", role="posts", reader="posts", path="x"),), models=models)


def test_hashtags_that_come_with_the_current_ones(spark: SparkSession, cfg: Config) -> None:
    # Of the post 1 both images are accepted, of 2 one is a photo, of 5 one has no score.
    shown = [("1", "1", 0.1), ("2", "1", 0.5), ("3", "2", 0.2), ("4", "2", 0.9), ("5", "5", 0.1), ("6", "5", None)]
    tables = {
        "posts": local_frame(
            spark,
            [(*post, "posts") for post in POSTS],
            "post_id STRING, author_id STRING, hashtags ARRAY<STRING>, corpus STRING",
        ),
        "images": local_frame(spark, [each[:2] for each in shown], "image_id STRING, post_id STRING"),
        "scores": local_frame(
            spark,
            [(name, "photo", score) for name, _, score in shown if score is not None],
            "image_id STRING, kind STRING, score DOUBLE",
        ),
    }
    store = cast(Store, SimpleNamespace(read=lambda name: tables[name].coalesce(1)))
    rows = hashtag_candidates_frame(cfg, store, ["#AIart"], 1)
    assert list(rows["hashtag"]) == ["dalle", "cat"]
    one, two = rows.to_dict("records")
    assert (one["posts"], one["together"], one["authors"], two["together"], two["posts"]) == (3, 2, 1, 1, 3)
    # 6 posts have hashtags, 3 of them the current one.
    assert (one["lift"], two["lift"]) == (pytest.approx(2 * 6 / 9), pytest.approx(6 / 9))
    assert one["lift_low"] < one["lift"] < one["lift_high"]
    assert (one["judged"], one["accepted"], one["precision"], two["judged"]) == (2, 1, 0.5, 0)
    # Pictures of posts without a current hashtag come first, then those of the most liked.
    posts = mark_current(tables["posts"].withColumn("like_count", F.col("post_id").cast("int")), ["aiart"])
    examples = example_images(posts.coalesce(1), tables["images"].coalesce(1), ["dalle"], 3).collect()
    assert [row.image_id for row in sorted(examples, key=lambda row: row.place)] == ["5", "6", "3"]
    with pytest.raises(ConfigError, match=r"--hashtag must be in some posts and not in all.*Got none, in 0 of 6"):
        hashtag_candidates_frame(cfg, store, [], 1)
