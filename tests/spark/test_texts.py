"""Which texts are embedded."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.data import Texts
from twigma_spark.errors import CorpusError
from twigma_spark.io import plain_texts
from twigma_spark.io.arrow import local_frame
from twigma_spark.transforms.texts import clean_text, text_rejects, texts

POSTS = {
    "A cat #aiart #MidJourney https://t.co/x1 @someone made this": "A cat @someone made this",
    "mail me@home.org, not @home": "mail me@home.org, not @home",
    "WWW.example.org/a?b=c&d  is\n\tgone": "is gone",
    "C# and number #1": "C# and number",
    "猫 #猫の日 ＃全角 ok": "猫 ok",
    "#only http://x": "",
}


@pytest.mark.parametrize("post", POSTS, ids=range(len(POSTS)))
def test_posts_lose_links_and_hashtags(spark: SparkSession, post: str) -> None:
    seen = local_frame(spark, [(post,)], "text STRING").select(clean_text(F.col("text"))).collect()[0][0]
    assert seen == POSTS[post]


def test_mentions_go_where_that_is_asked_for(spark: SparkSession) -> None:
    posts = local_frame(spark, [("A cat #ai by @someone, me@home.org ＠全角",)], "text STRING")
    assert posts.select(clean_text(F.col("text"), "drop")).collect()[0][0] == "A cat by , me@home.org"


def test_every_distinct_text_of_a_source_and_corpus_comes_once(spark: SparkSession) -> None:
    images = local_frame(
        spark,
        [
            ("a", "gen", "a red fox", None),
            ("b", "gen", " a red fox", None),
            ("c", "art", None, "by a person"),
            ("d", "art", "...", None),
        ],
        "image_id STRING, corpus STRING, prompt STRING, caption STRING",
    )
    posts = local_frame(spark, [("posts", "a red fox #ai"), ("posts", "#ai")], "corpus STRING, text STRING")
    captions = local_frame(spark, [("c", "a red fox"), ("x", "of no image")], "image_id STRING, caption STRING")
    rows = texts(images, posts, captions).orderBy("source").collect()
    assert [(r.source, r.corpus, r.text, r.n_words) for r in rows] == [
        ("caption", "art", "a red fox", 3), ("human caption", "art", "by a person", 3),
        ("post", "posts", "a red fox", 3), ("prompt", "gen", "a red fox", 3),
    ]  # fmt: skip
    assert len({r.text_id for r in rows}) == 4 and all(len(r.text_id) == 32 for r in rows)


def test_other_texts_are_the_lines_of_files(spark: SparkSession, tmp_path: Path) -> None:
    haiku = tmp_path / "haiku.txt"
    haiku.write_bytes(b"an old pond\n\n  a frog leaps in \n***\n" + b"b\xffd\n")
    others = plain_texts.read_texts(spark, [Texts(name="haiku", path=str(haiku))])
    images = local_frame(spark, [], "image_id STRING, corpus STRING, prompt STRING, caption STRING")
    posts = local_frame(spark, [], "corpus STRING, text STRING")
    captions = local_frame(spark, [], "image_id STRING, caption STRING")
    rows = texts(images, posts, captions, others).orderBy("text").collect()
    assert [(r.source, r.corpus, r.text, r.n_words) for r in rows] == [
        ("text", "haiku", "a frog leaps in", 4), ("text", "haiku", "an old pond", 3),
    ]  # fmt: skip
    (refused,) = text_rejects(others).collect()
    assert (refused.unit, refused.corpus, refused.reason) == ("text", "haiku", "not_utf8")


def test_a_change_of_the_files_is_seen_and_a_missing_one_told(spark: SparkSession, tmp_path: Path) -> None:
    file = tmp_path / "news.txt"
    file.write_text("one")
    named = [Texts(name="news", path=str(file))]
    before = plain_texts.fingerprint(spark, named)
    file.write_text("one and more")
    assert plain_texts.fingerprint(spark, named) != before and plain_texts.fingerprint(spark, []) == ""
    with pytest.raises(CorpusError, match="texts 'gone': path must be an existing file or folder of text"):
        plain_texts.read_texts(spark, [Texts(name="gone", path=str(tmp_path / "gone"))])
