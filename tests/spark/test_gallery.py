import io
from typing import Any

import pytest
from PIL import Image
from pyspark.sql import SparkSession

from tests.tables import table
from twigma_spark.io.arrow import local_frame
from twigma_spark.schemas import COPIES
from twigma_spark.transforms.gallery import (
    closest_pairs,
    duplicate_groups,
    pictures,
    shared_pairs,
    surest_pairs,
    theme_examples,
    thumbnails,
    uncertain_copies,
)


def jpeg(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 60)).save(out, "JPEG")
    return out.getvalue()


def size_of(content: bytes) -> tuple[str | None, tuple[int, int]]:
    with Image.open(io.BytesIO(content)) as image:
        return image.format, image.size


def test_examples_are_the_nearest_and_ties_go_by_id(spark: SparkSession) -> None:
    rows = [
        ("b", "t", 0, 0.2),
        ("a", "t", 0, 0.2),
        ("c", "t", 0, 0.1),
        ("d", "t", 1, 0.9),
        ("e", "other", 0, 0.0),
    ]
    names = ("image_id", "clustering_id", "cluster", "distance")
    clusters = table(spark, "clusters", [dict(zip(names, r, strict=True)) for r in rows])
    found = theme_examples(clusters, ["t"], 2)
    assert found.columns == ["clustering_id", "cluster", "place", "image_id"]
    assert sorted(map(tuple, found.collect())) == [("t", 0, 1, "c"), ("t", 0, 2, "a"), ("t", 1, 1, "d")]


def test_pairs_are_the_most_similar_first_matches_of_each_reference(spark: SparkSession) -> None:
    rows = [
        ("p1", "art", 1, "x", 0.5), ("p2", "art", 1, "y", 0.9), ("p3", "art", 1, "z", 0.9),
        ("p1", "art", 2, "y", 0.99), ("p1", "photo", 1, "q", 0.1),
        ("p4", "art", 1, "y", 0.9), ("p5", "art", 1, "y", 0.8),
    ]  # fmt: skip
    names = ("image_id", "reference", "rank", "neighbour_id", "similarity")
    neighbours = table(spark, "neighbours", [dict(zip(names, r, strict=True)) for r in rows])
    copy = {"image_id": "p3", "reference": "art", "neighbour_id": "z", "threshold": 0.9, "false_match_rate": 0.01}
    found = closest_pairs(neighbours, table(spark, "copies", [copy]), 2)
    assert found.columns == ["reference", "place", "image_id", "neighbour_id", "similarity", "false_match_rate"]
    assert sorted(map(tuple, found.collect())) == [
        ("art", 1, "p2", "y", 0.9, None),
        ("art", 2, "p3", "z", 0.9, 0.01),
        ("photo", 1, "p1", "q", 0.1, None),
    ]


def test_groups_to_look_at_have_near_duplicates_first(spark: SparkSession) -> None:
    rows = [
        ("a", "k1", "bytes", 1.0), ("b", "k1", "bytes", 1.0), ("c", "k1", "bytes", 1.0),
        ("d", "k2", "near", 0.95), ("e", "k2", "embedding", 1.0), ("f", "k2", "near", 0.91),
        ("g", "k3", "media", None),
    ]  # fmt: skip
    names = ("image_id", "canonical_id", "tier", "similarity")
    duplicates = table(spark, "duplicates", [dict(zip(names, r, strict=True)) for r in rows])
    found = duplicate_groups(duplicates, 2, 2)
    assert sorted(map(tuple, found.collect())) == [
        (1, "k2", 3, 1, "f", "near", 0.91),
        (1, "k2", 3, 2, "d", "near", 0.95),
        (2, "k1", 3, 1, "a", "bytes", 1.0),
        (2, "k1", 3, 2, "b", "bytes", 1.0),
    ]


def test_shared_images_to_look_at_are_the_least_alike_of_each_two_corpora(spark: SparkSession) -> None:
    rows = [
        ("a", "art", "p1", "posts", "bytes", 0), ("b", "art", "p2", "posts", "near", 30),
        ("c", "art", "p3", "posts", "near", 7), ("d", "art", "q1", "photo", "near", 2),
    ]  # fmt: skip
    names = ("image_id", "corpus", "other_id", "other_corpus", "tier", "bits")
    shared = table(spark, "shared_images", [dict(zip(names, row, strict=True)) for row in rows])
    assert [row.image_id for row in shared_pairs(shared, 3).collect()] == ["d", "b", "c"]


def test_the_surest_pairs_right_and_wrong_have_an_image_once_as_preferred(spark: SparkSession) -> None:
    margins = [("a", "b", 0.9), ("a", "c", 0.8), ("d", "e", 0.5), ("f", "g", 0.1), ("h", "i", -0.4), ("j", "k", 0.0)]
    ids = ("preferred_image_id", "other_image_id")
    held_out = table(spark, "held_out_pairs", [dict(zip((*ids, "margin"), m, strict=True)) for m in margins])
    likes = [{ids[0]: m[0], ids[1]: m[1], "preferred_likes": 9, "other_likes": n} for n, m in enumerate(margins)]
    found = surest_pairs(held_out, table(spark, "pairs", likes), 2)
    assert sorted(map(tuple, found.collect())) == [
        ("a", "b", 9, 0, 0.9),
        ("d", "e", 9, 2, 0.5),
        ("h", "i", 9, 4, -0.4),
    ]


@pytest.fixture(scope="module")
def shown(spark: SparkSession) -> dict[str, Any]:
    """The pictures of a little world, by id; "left" is not chosen."""
    images = [
        {
            "image_id": "titled",
            "corpus": "art",
            "title": "Haystacks",
            "artist": "M",
            "caption": "c",
            "content": jpeg(400, 200),
        },
        {
            "image_id": "prompted",
            "corpus": "gen",
            "prompt": "a castle",
            "content": jpeg(60, 30),
            "sensitive": True,
        },
        {"image_id": "posted", "corpus": "posts", "content": jpeg(30, 900), "sensitive": False},
        {"image_id": "broken", "corpus": "posts", "content": b"\xff\xd8\xff nothing"},
        {"image_id": "gone", "corpus": "posts", "content": None},
        {"image_id": "large", "corpus": "posts", "content": jpeg(600, 600)},
        {"image_id": "left", "corpus": "posts", "content": jpeg(9, 9)},
    ]
    scores = [
        ("posted", "m1", "nsfw", 0.2),
        ("posted", "m2", "nsfw", 0.7),
        ("posted", "m3", "aesthetic", 9.0),
    ]
    captions = [("posted", "m1", "older"), ("posted", "m2", "a red strip"), ("titled", "m1", "unused")]
    chosen = local_frame(
        spark,
        [(i["image_id"], 40 if i["image_id"] == "prompted" else 160) for i in images[:-1]]
        + [("posted", 160), ("no such", 160)],
        "image_id string, side int",
    )
    found = pictures(
        table(spark, "images", images),
        table(
            spark,
            "scores",
            [dict(zip(("image_id", "model_id", "kind", "score"), s, strict=True)) for s in scores],
        ),
        table(
            spark,
            "captions",
            [dict(zip(("image_id", "model_id", "caption"), c, strict=True)) for c in captions],
        ),
        chosen,
    )
    rows = thumbnails(found, max_pixels=300_000).collect()
    assert len(rows) == len({r["image_id"] for r in rows})
    return {r["image_id"]: r for r in rows}


def test_only_chosen_images_are_shown_and_each_once(shown: dict[str, Any]) -> None:
    assert set(shown) == {"titled", "prompted", "posted", "broken", "gone", "large"}


def test_the_text_is_the_best_that_is_known(shown: dict[str, Any]) -> None:
    texts = {i: shown[i]["text"] for i in ("titled", "prompted", "posted", "broken")}
    assert texts == {"titled": "Haystacks, M", "prompted": "a castle", "posted": "a red strip", "broken": ""}


def test_the_highest_nsfw_score_counts_and_flags_stay(shown: dict[str, Any]) -> None:
    assert {i: (r["score"], r["sensitive"]) for i, r in shown.items() if i in ("titled", "prompted", "posted")} == {
        "titled": (None, None),
        "prompted": (None, True),
        "posted": (0.7, False),
    }


def test_thumbnails_fit_and_are_not_enlarged(shown: dict[str, Any]) -> None:
    assert size_of(shown["titled"]["thumbnail"]) == ("WEBP", (160, 80))
    assert size_of(shown["prompted"]["thumbnail"]) == ("WEBP", (40, 20))
    assert size_of(shown["posted"]["thumbnail"])[1][1] == 160
    assert max(size_of(shown["posted"]["preview"])[1]) == 10


@pytest.mark.parametrize("image_id", ["broken", "gone", "large"])
def test_an_image_that_cannot_be_drawn_has_no_thumbnail(shown: dict[str, Any], image_id: str) -> None:
    assert (shown[image_id]["thumbnail"], shown[image_id]["preview"]) == (None, None)


def test_the_candidates_nearest_to_the_threshold_come_first(spark: SparkSession) -> None:
    rows = [("a", "art", "x", 0.99, 0.9, 1e-5), ("b", "art", "y", 0.91, 0.9, 1e-3), ("c", "art", "z", 0.95, 0.9, 1e-4),
            ("a", "photo", "w", 0.97, 0.9, 1e-4)]  # fmt: skip
    copies = local_frame(spark, rows, COPIES.schema)
    found = sorted(tuple(r) for r in uncertain_copies(copies, 2).collect())
    assert found == [("art", 1, "b", "y", 0.91, 1e-3), ("art", 2, "c", "z", 0.95, 1e-4),
                     ("photo", 1, "a", "w", 0.97, 1e-4)]  # fmt: skip
