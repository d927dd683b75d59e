"""Which texts are embedded."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from twigma_spark.transforms.texts import cleaned, texts

POSTS = {
    "A cat #aiart #MidJourney https://t.co/x1 @someone made this": "A cat made this",
    "mail me@home.org, not @home": "mail me@home.org, not",
    "WWW.example.org/a?b=c&d  is\n\tgone": "is gone",
    "C# and number #1": "C# and number",
    "猫 #猫の日 ＃全角 ok": "猫 ok",
    "#only @noise http://x": "",
}


@pytest.mark.parametrize("post", POSTS, ids=range(len(POSTS)))
def test_posts_lose_links_mentions_and_hashtags(spark: SparkSession, post: str) -> None:
    seen = spark.createDataFrame([(post,)], "text STRING").select(cleaned(F.col("text"))).collect()[0][0]
    assert seen == POSTS[post]


def test_every_distinct_text_of_a_source_and_corpus_comes_once(spark: SparkSession) -> None:
    images = spark.createDataFrame(
        [("a", "gen", "a red fox"), ("b", "gen", " a red fox"), ("c", "art", None), ("d", "art", "...")],
        "image_id STRING, corpus STRING, prompt STRING",
    )
    tweets = spark.createDataFrame([("posts", "a red fox #ai"), ("posts", "#ai")], "corpus STRING, text STRING")
    captions = spark.createDataFrame([("c", "a red fox"), ("x", "of no image")], "image_id STRING, caption STRING")
    rows = texts(images, tweets, captions).orderBy("source").collect()
    assert [(r.source, r.corpus, r.text, r.n_words) for r in rows] == [
        ("caption", "art", "a red fox", 3), ("prompt", "gen", "a red fox", 3), ("tweet", "posts", "a red fox", 3),
    ]  # fmt: skip
    assert len({r.text_id for r in rows}) == 3 and all(len(r.text_id) == 32 for r in rows)
