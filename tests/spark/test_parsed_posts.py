"""Posts from recorded pages."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from twigma_spark.config.data import Corpus
from twigma_spark.errors import CorpusError
from twigma_spark.io.collected import State, Window, keep_live, keep_page
from twigma_spark.io.pages import read_pages
from twigma_spark.io.sources import bluesky, jetstream, mastodon
from twigma_spark.io.sources.source import Page
from twigma_spark.transforms import parsed_posts, raw_posts

pytestmark = pytest.mark.spark4

USERS = [{"id": "9", "username": "nobody", "public_metrics": {"followers_count": 12}}]
PICTURES = [
    {"media_key": "3_1", "type": "photo", "width": 4, "height": 5},
    {"media_key": "3_2", "type": "video"},
]


def split_folder(spark: SparkSession, folder: Path) -> DataFrame:
    """Return the posts of the pages in a folder, with those that cannot be used."""
    corpus = Corpus(name="posts", role="posts", reader="posts", path=str(folder))
    return raw_posts.split_pages(read_pages(spark, corpus), "posts")


def parse(split: DataFrame) -> DataFrame:
    return parsed_posts.parse_posts(raw_posts.usable_raw_posts(split))


def post(number: object, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "text": "hi",
        "author_id": "9",
        "created_at": "2022-02-03T04:05:06.000Z",
        "attachments": {"media_keys": ["3_1", "3_2"]},
        "entities": {"hashtags": [{"tag": "AIart"}]},
        "public_metrics": {"like_count": 3, "retweet_count": 1, "reply_count": 0, "quote_count": 0},
        **more,
    }


def test_values_that_cannot_be_used_are_null_and_named(spark: SparkSession, tmp_path: Path) -> None:
    """Each of these once ended a run, or was null without a word."""
    future = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    metrics = {"like_count": "12", "retweet_count": -1, "reply_count": "many", "quote_count": 3.0}
    data = [
        post("1", attachments={"media_keys": [None, "3_1"]}, created_at="0000-01-01T00:00:00Z", public_metrics=metrics),
        post("2", created_at="12023-01-05T00:00:00Z", possibly_sensitive="maybe"),
        post("3", created_at="Wed Oct 10 20:19:24 +0000 2018", possibly_sensitive=True),
        post("4", created_at=1539202764, attachments=None),
        post("5", created_at=1539202764000, attachments=None, public_metrics=None),
        post("6", created_at=future, attachments=None),
        post(9007199254740993, created_at="1999-12-31T00:00:00Z", attachments=None),
        post(" ", attachments=None),
    ]
    (tmp_path / "p.json").write_text(
        json.dumps(
            {"data": data, "includes": {"users": USERS, "media": PICTURES}, "collected_at": "2023-01-02T03:04:05Z"}
        )
    )
    split = split_folder(spark, tmp_path)
    parsed = parse(split)
    used = {r.post_id: r for r in parsed_posts.posts_of(parsed).collect()}
    assert set(used) == {"1", "2", "3", "4", "5", "6", "9007199254740993"}
    assert {row.collected_at for row in used.values()} == {datetime(2023, 1, 2, 3, 4, 5)}
    times = {key: row.created_at and row.created_at.isoformat() for key, row in used.items()}
    assert {key for key, time in times.items() if time} == {"3", "4", "5"}
    assert {time for time in times.values() if time} == {"2018-10-10T20:19:24"}
    one = used["1"]
    assert (one.like_count, one.retweet_count, one.reply_count, one.quote_count) == (12, None, None, 3)
    assert (used["2"].possibly_sensitive, used["3"].possibly_sensitive) == (None, True)
    rows = parsed_posts.media_of(parsed).where("post_id = '1'").collect()
    assert [(r.media_key, r.position) for r in rows] == [("3_1", 1)]
    refused = {(r.key, r.detail) for r in parsed_posts.value_rejects(parsed).collect()}
    assert refused == {
        ("1", "created_at: 0000-01-01T00:00:00Z"), ("1", "retweet_count: -1"), ("1", "reply_count: many"),
        ("1", "media_keys: null"), ("2", "created_at: 12023-01-05T00:00:00Z"), ("2", "possibly_sensitive: maybe"),
        ("6", f"created_at: {future}"), ("9007199254740993", "created_at: 1999-12-31T00:00:00Z"),
    }  # fmt: skip


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Two pages and a file that is none."""
    without_id = post(2, created_at="yesterday")
    del without_id["id"]
    pages = [
        [post("1500000000000000001"), without_id],
        [post("1500000000000000001"), post(1500000000000000003)],
    ]
    for n, data in enumerate(pages):
        page = {"data": data, "includes": {"users": USERS, "media": PICTURES}, "meta": {}}
        (tmp_path / f"posts-{n}.json").write_text(json.dumps(page))
    (tmp_path / "posts-2.json").write_text("{broken")
    return Corpus(name="posts", role="posts", reader="posts", path=str(tmp_path))


def test_posts_are_flattened_and_the_unusable_refused(spark: SparkSession, corpus: Corpus) -> None:
    split = split_folder(spark, Path(corpus.path))
    used = {r.post_id: r for r in parsed_posts.posts_of(parse(split)).collect()}
    # A number that outgrows a double keeps its digits.
    assert set(used) == {"1500000000000000001", "1500000000000000003"}
    first = used["1500000000000000001"]
    assert (first.author_followers, first.like_count, first.hashtags) == (12, 3, ["aiart"])
    assert first.created_at.isoformat() == "2022-02-03T04:05:06"
    refused = raw_posts.page_rejects(split).collect()
    assert sorted((r.unit, r.key.split("#")[0], r.reason) for r in refused) == [
        ("metadata", "posts-0.json", "post_without_id"),
        ("metadata", "posts-2.json", "metadata_unreadable"),
        ("post", "1500000000000000001", "duplicate_key"),
    ]


def test_media_are_one_row_a_post_and_position(spark: SparkSession, corpus: Corpus) -> None:
    rows = parsed_posts.media_of(parse(split_folder(spark, Path(corpus.path)))).collect()
    assert sorted((r.post_id[-1], r.position, r.media_key, r.type) for r in rows) == [
        ("1", 0, "3_1", "photo"),
        ("1", 1, "3_2", "video"),
        ("3", 0, "3_1", "photo"),
        ("3", 1, "3_2", "video"),
    ]


def test_a_page_a_line_is_read_too(spark: SparkSession, tmp_path: Path) -> None:
    lines = [json.dumps({"data": [post(str(n))]}) for n in (1, 2)]
    (tmp_path / "posts.jsonl").write_text("\n".join(lines))
    rows = raw_posts.usable_raw_posts(split_folder(spark, tmp_path)).collect()
    assert sorted((r.post_id, r.file, r.position) for r in rows) == [("1", "posts.jsonl", 0), ("2", "posts.jsonl", 0)]
    assert len({r.page for r in rows}) == 2


def test_posts_of_all_platforms_are_read_alike(spark: SparkSession, tmp_path: Path) -> None:
    """Their ids are never the same; what a platform does not say is null."""
    at = "2025-03-01T10:00:00.5Z"
    embed = {"images": [{"alt": "", "image": {"ref": {"$link": "bafk1"}}, "aspectRatio": {"width": 4, "height": 3}}]}
    blue = {
        "uri": "at://did:plc:1/app.bsky.feed.post/1", "author": {"did": "did:plc:1"}, "likeCount": 5,
        "labels": [{"val": "porn"}], "record": {"text": "blue", "createdAt": at, "langs": ["en"], "embed": embed},
    }  # fmt: skip
    toot = {
        "uri": "https://one.test/users/a/statuses/1", "account": {"uri": "https://one.test/users/a"},
        "content": "<p>toot</p>", "created_at": at, "favourites_count": "many", "tags": [{"name": "AIart"}],
        "media_attachments": [{"type": "image", "url": "https://one.test/1.png", "description": "alt"}],
    }  # fmt: skip
    pages = [
        {"data": [post("1")], "includes": {"users": USERS, "media": PICTURES}},
        {"platform": "bluesky", "data": [bluesky.post_of(blue, ["bafk1"])],
         "includes": {"users": [], "media": list(bluesky.pictures_of(blue))}},
        {"platform": "mastodon", "data": [mastodon.post_of(toot), mastodon.post_of({})],
         "includes": {"users": [mastodon.author_of(toot)], "media": list(mastodon.media_of(toot))}},
    ]  # fmt: skip
    for n, page in enumerate(pages):
        (tmp_path / f"page-{n}.json").write_text(json.dumps(page))
    split = split_folder(spark, tmp_path).localCheckpoint()
    parsed = parse(split)
    used = {row.platform: row for row in parsed_posts.posts_of(parsed).collect()}
    assert {name: row.post_id for name, row in used.items()} == {
        "x": "1",
        "bluesky": blue["uri"],
        "mastodon": toot["uri"],
    }
    one, two = used["bluesky"], used["mastodon"]
    assert (one.like_count, one.possibly_sensitive, one.lang, one.author_followers) == (5, True, "en", None)
    assert (two.text, two.hashtags, two.like_count, two.possibly_sensitive) == ("toot", ["aiart"], None, None)
    assert one.created_at == two.created_at == datetime(2025, 3, 1, 10, 0, 0, 500000)
    rejects = raw_posts.page_rejects(split).unionByName(parsed_posts.value_rejects(parsed))
    refused = {(row.key, row.reason) for row in rejects.collect()}
    assert refused == {(toot["uri"], "value_unusable"), ("page-2.json#1", "post_without_id")}
    shown = {row.post_id: row for row in parsed_posts.media_of(parsed).collect()}
    assert (shown[blue["uri"]].url[-19:], shown[blue["uri"]].width) == ("did:plc:1/bafk1@jpeg"[-19:], 4)
    assert (shown[toot["uri"]].alt_text, shown[toot["uri"]].type) == ("alt", "photo")


def test_of_a_post_that_came_live_and_by_the_search_the_one_with_counts_is_taken(
    spark: SparkSession, tmp_path: Path
) -> None:
    uri = "at://did:plc:1/app.bsky.feed.post/1"
    record = {"text": "blue #aiart", "createdAt": "2025-03-01T10:00:00Z", "tags": ["aiart"]}
    record["embed"] = {"images": [{"alt": "", "image": {"ref": {"$link": "bafk1"}}}]}
    event = {
        "did": "did:plc:1", "time_us": 1740823200000000, "kind": "commit",
        "commit": {"operation": "create", "collection": "app.bsky.feed.post", "rkey": "1", "record": record},
    }  # fmt: skip
    live = jetstream.read_event(json.dumps(event), frozenset({"aiart"}))
    state = keep_live(tmp_path, State(source="bluesky"), [live.post], live.media, "2025-03-01T10:00:05Z")
    assert live.post and live.post["id"] == uri
    (one,) = parsed_posts.posts_of(parse(split_folder(spark, tmp_path))).collect()
    assert (one.post_id, one.text, one.like_count, one.author_followers) == (uri, "blue #aiart", None, None)
    counted = bluesky.post_of({"uri": uri, "author": {"did": "did:plc:1"}, "record": record, "likeCount": 7}, ["bafk1"])
    window = Window("#aiart", "2025-03-01T00:00:00Z", "2025-04-01T00:00:00Z")
    page = Page((counted,), (), live.media, None, 1, None)
    keep_page(tmp_path, state, window, page, None, "2025-03-20T00:00:00Z")
    split = split_folder(spark, tmp_path).localCheckpoint()
    (one,) = parsed_posts.posts_of(parse(split)).collect()
    assert one.like_count == 7
    assert [(row.key, row.reason) for row in raw_posts.page_rejects(split).collect()] == [(uri, "duplicate_key")]


def test_a_raw_post_is_what_the_page_has(spark: SparkSession, tmp_path: Path) -> None:
    """Fields that nothing reads today are there too, and nothing of the others of the page."""
    given = {**post(9007199254740993), "edit_controls": {"editable": True, "edits": [1, 2]}, "text": 'é "q" \n'}
    others = [post("2", author_id="8", attachments={"media_keys": ["3_2"]}), post("3", author_id="7", attachments=None)]
    pictures = [{**PICTURES[0], "alt_text": "of one", "variants": [{"bit_rate": 5}]}, PICTURES[1]]
    page = {"data": [given, *others], "includes": {"users": [*USERS, {"id": "8", "name": "other"}], "media": pictures}}
    (tmp_path / "a.json").write_text(json.dumps(page))
    rows = raw_posts.usable_raw_posts(split_folder(spark, tmp_path)).collect()
    one, two, three = sorted(rows, key=lambda row: row.position)
    assert json.loads(one.json) == given and (one.file, one.position) == ("a.json", 0)
    assert {**one.author, "public_metrics": json.loads(one.author["public_metrics"])} == {
        "id": "9", "username": "nobody", "public_metrics": {"followers_count": 12},
    }  # fmt: skip
    assert [each["media_key"] for each in one.media] == ["3_1", "3_2"]
    assert json.loads(one.media[0]["variants"]) == [{"bit_rate": 5}]
    assert (two.author["name"], [each["media_key"] for each in two.media]) == ("other", ["3_2"])
    assert (three.author, three.media) == (None, None)


def test_a_post_of_another_form_spoils_no_other(spark: SparkSession, tmp_path: Path) -> None:
    pages = [
        {"data": [post("1", public_metrics=5), None, "no post", 7, post("2")], "includes": {"media": PICTURES}},
        {"platform": "elsewhere", "data": [post("3")]},
        {"data": [], "includes": []},
        {"data": [post("4", attachments={"media_keys": ["3_1"]})],
         "includes": {"media": [{"media_key": "3_1", "width": "wide", "height": 2**40}]}},
    ]  # fmt: skip
    for n, page in enumerate(pages):
        (tmp_path / f"{n}.json").write_text(json.dumps(page))
    split = split_folder(spark, tmp_path).localCheckpoint()
    parsed = parse(split)
    assert {row.post_id: row.like_count for row in parsed_posts.posts_of(parsed).collect()} == {
        "1": None,
        "2": 3,
        "4": 3,
    }
    refused = sorted((row.unit, row.key, row.reason) for row in raw_posts.page_rejects(split).collect())
    assert refused == [
        ("metadata", "0.json#1", "post_without_id"), ("metadata", "0.json#2", "post_without_id"),
        ("metadata", "0.json#3", "post_without_id"), ("post", "3", "unknown_platform"),
    ]  # fmt: skip
    (value,) = parsed_posts.value_rejects(parsed).collect()
    # Spark 3.5 writes the text of an object anew, 4.1 leaves it as it was.
    assert value.key == "1" and value.detail.replace(" ", "").startswith('json:{"id":"1"')
    (picture,) = parsed_posts.media_of(parsed).where("post_id = '4'").collect()
    assert (picture.width, picture.height, picture.type) == (None, None, None)


def test_a_folder_without_pages_is_told(spark: SparkSession, tmp_path: Path) -> None:
    corpus = Corpus(name="posts", role="posts", reader="posts", path=str(tmp_path))
    with pytest.raises(CorpusError, match=r"pages of posts as \.json or \.jsonl"):
        read_pages(spark, corpus)
    with pytest.raises(CorpusError, match="existing folder"):
        read_pages(spark, corpus.model_copy(update={"path": str(tmp_path / "none")}))
