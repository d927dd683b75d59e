"""Engagement and activity: one row an image, with its post's likes; the stages on small and on empty tables."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tests import tables as declared
from tests.unit.made_results import joined
from twigma_spark.config.data import Corpus
from twigma_spark.config.settings import Config
from twigma_spark.io.arrow import local_frame
from twigma_spark.io.spark_versions import has_synapseml
from twigma_spark.stages import likes, trends
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.transforms import activity, engagement

Make = Callable[[str, list[dict[str, Any]]], DataFrame]


@pytest.fixture(scope="module")
def make(spark: SparkSession) -> Make:
    """Make rows of a declared table."""
    return partial(declared.table, spark)


def post(number: int, **more: Any) -> dict[str, Any]:
    base = {"post_id": f"t{number}", "corpus": "posts", "author_id": f"a{number}", "author_followers": 100}
    return {**base, "created_at": datetime(2022, 1, 1), "like_count": number, "hashtags": [], **more}


def image(number: int, post: int | None, **more: Any) -> dict[str, Any]:
    base = {"image_id": f"{number:032x}", "corpus": "posts", "source_key": str(number)}
    return {**base, "post_id": f"t{post}" if post else None, "created_at": datetime(2022, 1, 1), **more}


def test_one_row_an_image_with_its_posts_likes(make: Make) -> None:
    posts = make("posts", [
        post(1, author_followers=499, collected_at=datetime(2022, 1, 11)),
        post(2, author_followers=5000, author_id=None, created_at=datetime(2022, 1, 31)),
        post(3, author_followers=None, like_count=None),
        post(4, author_followers=5001),
    ])  # fmt: skip
    images = make("images", [image(1, 1), image(2, 1), image(3, 2), image(4, 3), image(5, None), image(6, 4)])
    found = {r["image_id"][-1]: r for r in engagement.engagement(images, images, posts).collect()}
    assert sorted(found) == ["1", "2", "3", "4", "6"]
    assert [found[k]["band"] for k in "1346"] == [0, 1, None, 2]
    assert [found[k]["likes"] for k in "1234"] == [1, 1, 2, None]
    assert [found[k]["age_days"] for k in "136"] == [10.0, 1.0, 30.0]  # collected; the last post; to the last post
    assert found["3"]["author_id"] == "t2"


def test_similarity_is_the_mean_of_the_nearest_and_null_without(make: Make) -> None:
    near = [(1, "art", 1, 0.9), (1, "art", 2, 0.7), (1, "art", 3, 0.1), (2, "photo", 1, 0.5)]
    fields = ("image_id", "reference", "rank", "similarity")
    given = [{**dict(zip(fields, n, strict=True)), "image_id": f"{n[0]:032x}", "neighbour_id": "n"} for n in near]
    neighbours = make("neighbours", given)
    images = make("images", [image(1, 1), image(2, 1), image(3, 1)])
    rows = engagement.with_similarity(images.select("image_id"), neighbours, ["art", "photo"], 2)
    found = {r["image_id"][-1]: (r["similarity_art"], r["similarity_photo"]) for r in rows.collect()}
    assert found == {"1": (pytest.approx(0.8), None), "2": (None, 0.5), "3": (None, None)}


def test_hashtags_sources_and_models_are_strata(make: Make) -> None:
    posts = make("posts", [
        post(1, hashtags=["midjourney", "aiart", "aiart"], source="Web"), post(2, hashtags=["aiart"], source=None),
        post(3, hashtags=None, source="Web"),
    ])  # fmt: skip
    top = [(r["kind"], r["name"], r["posts"]) for r in activity.top(posts, 1, 2).collect()]
    assert top == [("hashtag", "aiart", 2), ("source", "Web", 2)]
    images = make("images", [image(1, 1), image(2, 2), image(3, 3), image(4, 3, created_at=None)])
    clusters = make("clusters", [
        {"image_id": f"{i:032x}", "clustering_id": "themes", "corpus": "posts", "cluster": 0} for i in (1, 2, 3, 4)
    ])  # fmt: skip
    strata = activity.conditions(["aiart"], ["Web"], {"Midjourney": ["Midjourney"]})
    rows = activity.by_unit(activity.theme_images(images, images, clusters), posts, strata).collect()
    assert sorted(r["strata"] for r in rows) == [2, 4, 7] and {r["month"] for r in rows} == {2022 * 12}


def test_units_are_alike_by_author_where_one_is_known(make: Make) -> None:
    authors = {1: "a", 2: "a", 3: None}
    posts = make("posts", [post(n, author_id=author) for n, author in authors.items()])
    images = make("images", [image(n, n) for n in authors])
    clusters = make("clusters", [
        {"image_id": f"{n:032x}", "clustering_id": "themes", "corpus": "posts", "cluster": n} for n in authors
    ])  # fmt: skip
    rows = activity.by_unit(activity.theme_images(images, images, clusters), posts, {}).collect()
    group = {r["cluster"]: r["group"] for r in rows}
    assert group[1] == group[2] != group[3]
    scores = make("scores", [{"image_id": f"{n:032x}", "kind": "nsfw", "model_id": "m", "score": 0.9} for n in authors])
    counted = activity.nsfw_counts(images, images, posts, scores, clusters, [0.5]).collect()
    assert len({r["unit"] for r in counted}) == 2 and sum(r["above_0"] for r in counted) == 3
    assert activity.groups_of(posts) == "authors, or posts without one"
    assert activity.groups_of(posts.where("author_id IS NOT NULL")) == "authors"


def test_too_many_strata_are_refused(make: Make) -> None:
    strata = {str(i): F.lit(True) for i in range(63)}
    with pytest.raises(ValueError, match=r"strata must be 62 or fewer\. Got 63"):
        activity.by_unit(make("images", []), make("posts", []), strata)


CFG = Config(corpora=(Corpus(name="posts", role="posts", path="x"), Corpus(name="art", role="art", path="y")))


def results(spark: SparkSession, make: Make, stage: Stage, cfg: Config, **rows: list[dict[str, Any]]) -> list[Any]:
    said: list[str] = []
    context = StageContext(spark=spark, materialize=lambda frame: frame, log=said.append)
    frames = {name: make(name, rows.get(name, [])) for name in stage.reads}
    found = stage.run(cfg, context, **frames)
    assert said and isinstance(found, dict)
    made = found["results"].collect()
    assert all(r["method"] and r["n"] >= 0 for r in made)
    keys = [(r["stage"], r["analysis"], r["metric"], joined(r)) for r in made]
    assert len(set(keys)) == len(keys)
    return made


@pytest.mark.parametrize("stage", [likes.STAGE, trends.STAGE], ids=lambda stage: stage.name)
def test_empty_tables_and_no_posts_corpus_give_sentences(spark: SparkSession, make: Make, stage: Stage) -> None:
    for cfg in (CFG, Config(corpora=(Corpus(name="art", role="art", path="y"),)), Config()):
        found = results(spark, make, stage, cfg)
        assert found and all(r["estimate"] is None and r["method"].startswith("not computed: ") for r in found)


def test_images_of_posts_without_likes_are_counted_and_left_out(spark: SparkSession, make: Make) -> None:
    near = [
        {"image_id": f"{i:032x}", "reference": "art", "rank": 1, "neighbour_id": "n", "similarity": i / 10}
        for i in range(1, 8)
    ]
    rows = {
        "images": [image(i, i) for i in range(1, 8)], "neighbours": near,
        "embeddings": [declared.vector(i) for i in range(1, 8)],
        "posts": [post(i, like_count=None if i > 5 else i) for i in range(1, 8)],
    }  # fmt: skip
    found = {(r["metric"], joined(r)): r for r in results(spark, make, likes.STAGE, CFG, **rows)}
    assert found["without_likes", ""]["n"] == 2
    assert found["mean_likes", "art|1"]["estimate"] == 1.0
    assert "likes.boosting is null" in found["held_out_deviance", "boosting"]["method"]


def test_headlines_follow_without_likely_real_images(spark: SparkSession, make: Make) -> None:
    """Posts 1 to 3 look like art and post 4 like a photo; 3 and 4 are likely real."""
    photo = Corpus(name="photo", role="natural", path="z")
    real = {"scores": {"real": {"kind": "linear", "path": "head.safetensors"}}, "real": {"score": "real"}}
    models = CFG.models.model_validate(real)
    cfg = CFG.model_copy(update={"corpora": (*CFG.corpora, photo), "models": models})
    pairs = [(i, name, 0.9 if (name == "art") == (i < 4) else 0.1) for i in range(1, 5) for name in ("art", "photo")]
    rows: dict[str, list[dict[str, Any]]] = {
        "images": [image(i, i) for i in range(1, 5)], "posts": [post(i) for i in range(1, 5)],
        "embeddings": [declared.vector(i) for i in range(1, 5)],
        "neighbours": [{"image_id": f"{i:032x}", "reference": name, "rank": 1, "neighbour_id": "n", "similarity": s}
                       for i, name, s in pairs],
        "scores": [{"image_id": f"{i:032x}", "model_id": "m", "kind": "real", "score": 0.8} for i in (3, 4)],
        "clusters": [{"image_id": f"{i:032x}", "clustering_id": "themes", "corpus": "posts", "cluster": int(i > 2)}
                     for i in range(1, 5)],
    }  # fmt: skip
    found = {(r["metric"], joined(r)): r for r in results(spark, make, likes.STAGE, cfg, **rows)}
    assert found["nearest_share", "as it is|art"]["estimate"] == 0.75
    without = found["nearest_share", "without likely real images|art"]
    assert (without["estimate"], without["n"]) == (1.0, 2)
    shares = {
        joined(r): r["estimate"] for r in results(spark, make, trends.STAGE, cfg, **rows) if r["metric"] == "share"
    }
    assert (shares["0"], shares["1"], shares["without likely real images|0"]) == (0.5, 0.5, 1.0)


def test_a_boosted_model_without_its_jar_says_so(spark: SparkSession, make: Make) -> None:
    cfg = CFG.model_copy(update={"likes": CFG.likes.model_validate({"boosting": {}})})
    found = {(r["metric"], joined(r)): r for r in results(spark, make, likes.STAGE, cfg)}
    said = "synapseml-lightgbm_2.12:1.1.3" if has_synapseml(spark.version) else f"this is Spark {spark.version}"
    assert said in found["held_out_deviance", "boosting"]["method"]


def test_words_of_posts_count_once_a_post_without_links_tags_and_flagged_posts(spark: SparkSession) -> None:
    texts = [("1", "posts", "New dragons, new DRAGON! https://t.co/new #dragon @new", None),
             ("2", "posts", "a dragon and the picture of it", False), ("3", "posts", "dragon explicit", True),
             ("4", "photo", "dragon", False), ("5", "posts", "#only", False)]  # fmt: skip
    posts = local_frame(spark, texts, "post_id string, corpus string, text string, possibly_sensitive boolean")
    found = [tuple(r) for r in activity.words_of_posts(posts, ["posts"], 2).collect()]
    assert found == [("dragon", 2, 3), ("dragons", 1, 3)]
