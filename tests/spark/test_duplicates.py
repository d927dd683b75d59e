"""Duplicates found in tables, and components found on Spark."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import datetime

import networkx
import numpy as np
import pytest
from PIL import Image, ImageOps
from pyspark.sql import DataFrame, SparkSession

from twigma_spark.errors import ModelError
from twigma_spark.estimators import components, near, near_recall
from twigma_spark.estimators.duplicates import DuplicateRule, find_duplicates
from twigma_spark.estimators.identical import edges_by_vector
from twigma_spark.estimators.lookalikes import Likeness
from twigma_spark.estimators.near import Reach, close_pairs, exact_pairs
from twigma_spark.estimators.shared_images import find_shared_images, shared_image_results
from twigma_spark.io.arrow import local_frame
from twigma_spark.models.hashes import compute_hash
from twigma_spark.results import Result

IMAGES = "image_id STRING, corpus STRING, media_key STRING, sha256 STRING, created_at TIMESTAMP, width INT, height INT"
HASHES = "image_id STRING, vector BINARY, windows BINARY"
VECTORS = "image_id STRING, corpus STRING, embedding ARRAY<FLOAT>"
DAY = [datetime(2022, 1, day) for day in range(1, 9)]


def images(spark: SparkSession) -> DataFrame:
    rows = [
        ("a", "posts", "m1", "s1", DAY[0], 8, 8),
        ("b", "posts", "m1", "s1", DAY[1], 8, 8),  # a's media
        ("c", "posts", "m2", "s1", DAY[2], 8, 8),  # a's bytes
        ("d", "posts", "m3", "s2", DAY[3], 9, 9),  # a's embedding to four decimals
        ("e", "posts", "m4", "s3", None, 8, 8),  # like nothing
        ("f", "art", None, "s1", DAY[0], 8, 8),  # a's bytes, in another corpus
        ("g", "art", None, "s1", DAY[0], 8, 9),  # f's bytes, and larger
        ("h", "posts", "m1", "s1", DAY[0], 8, 8),  # a's media, without a vector
    ]
    return local_frame(spark, rows, IMAGES)


def once(frame: DataFrame) -> DataFrame:
    """Return the frame as computed now."""
    return local_frame(frame.sparkSession, frame.collect(), frame.schema)


def vectors(spark: SparkSession) -> DataFrame:
    rows = [(i, "posts", [3.0, 4.0]) for i in "abc"] + [(i, "art", [3.0, 4.0]) for i in "fg"]
    rows += [("d", "posts", [3.00001, 4.0]), ("e", "posts", [4.0, 3.0])]
    return local_frame(spark, rows, VECTORS)


def drawn(seed: int, size: int = 200) -> Image.Image:
    """Return a picture of soft blocks."""
    soft = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(soft).resize((size, size), Image.Resampling.BICUBIC)


def hash_row(name: str, picture: Image.Image) -> tuple[str, bytes, bytes]:
    """Return a row of HASHES."""
    out = io.BytesIO()
    picture.save(out, "PNG")
    own = compute_hash(out.getvalue())
    return name, own.vector.tobytes(), own.windows.tobytes()


def hashes(spark: SparkSession, **pictures: Image.Image) -> DataFrame:
    return local_frame(spark, [hash_row(*item) for item in pictures.items()], HASHES)


def like_a_and_e(spark: SparkSession) -> DataFrame:
    """Return hashes by which only a and e are the same picture."""
    return hashes(spark, **{name: drawn(1 if name in "ae" else ord(name)) for name in "abcdefg"})


def found(spark: SparkSession, rule: DuplicateRule) -> dict[str, tuple[str, str, float]]:
    made = find_duplicates(images(spark), vectors(spark), like_a_and_e(spark), rule, once).duplicates
    assert made.columns == ["image_id", "canonical_id", "tier", "similarity"]
    return {r.image_id: (r.canonical_id, r.tier, r.similarity) for r in made.collect()}


@pytest.mark.parametrize("driver_bytes", [1e9, 0])
def test_duplicates_of_every_tier(spark: SparkSession, driver_bytes: float) -> None:
    """On the driver, and on Spark where the driver's memory is said to be too small."""
    rows = found(spark, DuplicateRule(1e-4, Likeness(bits=8), driver_bytes))
    assert {i: r[:2] for i, r in rows.items()} == {
        "b": ("a", "media"),
        "c": ("a", "bytes"),
        "d": ("a", "embedding"),
        "e": ("a", "near"),
        "f": ("g", "bytes"),
    }
    assert all(rows[i][2] == pytest.approx(1, abs=1e-6) for i in "bcdf")
    assert rows["e"][2] == pytest.approx(0.96)


def test_the_tolerance_is_kept_and_near_is_left_out_where_there_is_no_rule(spark: SparkSession) -> None:
    assert set(found(spark, DuplicateRule(1e-6))) == {"b", "c", "f"}


def test_vectors_are_not_shuffled_to_find_equal_ones(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a hint Spark joins so that each vector is written, whether it shares a cell or not."""
    spark.conf.set("spark.sql.autoBroadcastJoinThreshold", "-1")
    try:
        edges = edges_by_vector(vectors(spark), 1e-4, once)
        edges.explain()
        assert {row.a for row in edges.collect()} == {"b", "c", "d", "g"}
    finally:
        spark.conf.unset("spark.sql.autoBroadcastJoinThreshold")
    plan = capsys.readouterr().out
    assert "BroadcastHashJoin" in plan and "SortMergeJoin" not in plan


def test_no_duplicates_give_an_empty_table(spark: SparkSession) -> None:
    lonely, rule = images(spark).where("image_id IN ('a', 'b')"), DuplicateRule(1e-4, Likeness())
    own, pictures = vectors(spark).where("image_id = 'b'"), hashes(spark, b=drawn(2))
    assert find_duplicates(lonely, own, pictures, rule, once).duplicates.count() == 0
    assert find_duplicates(images(spark), own.limit(0), pictures, rule, once).duplicates.count() == 0


def test_candidates_come_from_pixels_and_from_embeddings_and_hashes_decide(spark: SparkSession) -> None:
    """b is a small a; c has another picture and a's embedding; d is a in a frame, which embeddings find; art has e."""
    framed = ImageOps.expand(drawn(1), 8, "black")
    pictures = {"a": drawn(1), "b": drawn(1, 90), "c": drawn(2), "d": framed, "e": drawn(1, 150)}
    rows = [(name, "art" if name == "e" else "posts", None, name, DAY[0], 8, 8) for name in pictures]
    own = [
        (name, row[1], [1.0, {"b": 9.0}.get(name, n / 100)])
        for n, (name, row) in enumerate(zip(pictures, rows, strict=True))
    ]
    rule = DuplicateRule(1e-6, Likeness(embeddings=Reach(0.99), bits=40))
    made = find_duplicates(
        local_frame(spark, rows, IMAGES), local_frame(spark, own, VECTORS), hashes(spark, **pictures), rule, once
    )
    assert {(r.image_id, r.canonical_id, r.tier) for r in made.duplicates.collect()} == {
        ("b", "a", "near"), ("d", "a", "near"),
    }  # fmt: skip
    pairs = {(r.a, r.b): r for r in made.near.collect()}
    assert pairs["a", "b"].near and pairs["a", "b"].similarity is None and pairs["a", "b"].pixels > 0.95
    assert pairs["a", "d"].near and pairs["a", "d"].similarity > 0.99 and pairs["a", "d"].pixels is None
    assert not pairs["a", "c"].near and pairs["a", "c"].bits > 60
    assert pairs["a", "e"].near and pairs["a", "e"].across and not pairs["a", "b"].across
    by_name = {row.metric: row for row in made.results}
    assert by_name["hash_bits"].estimate == 40 and by_name["false_pairs"].estimate == 0
    assert by_name["false_pairs"].n == by_name["hash_bits"].n == 4


@pytest.mark.parametrize(("orientations", "wanted"), [("mirrored", {"b", "c"}), ("all", {"b", "c", "d"})])
def test_mirrored_and_rotated_copies_are_found_where_they_are_asked_for(
    spark: SparkSession, orientations: str, wanted: set[str]
) -> None:
    pictures = {"a": drawn(1), "b": drawn(1, 90), "c": ImageOps.mirror(drawn(1)), "d": drawn(1).rotate(90)}
    rows = [(name, "posts", None, name, DAY[0], 8, 8) for name in pictures]
    own = local_frame(spark, [(name, "posts", [1.0, float(n)]) for n, name in enumerate(pictures)], VECTORS)
    rule = DuplicateRule(1e-6, Likeness(bits=24, orientations=orientations))
    made = find_duplicates(local_frame(spark, rows, IMAGES), own, hashes(spark, **pictures), rule, once)
    assert {r.image_id for r in made.duplicates.collect()} == wanted


def test_flat_pictures_and_images_without_a_hash_are_near_to_none(spark: SparkSession) -> None:
    pictures = {"a": Image.new("RGB", (20, 20), (9, 9, 9)), "b": Image.new("RGB", (30, 30), (200, 9, 9))}
    rows = [(name, "posts", None, name, DAY[0], 8, 8) for name in "abc"]
    own = local_frame(spark, [(name, "posts", [1.0, float(n)]) for n, name in enumerate("abc")], VECTORS)
    made = find_duplicates(
        local_frame(spark, rows, IMAGES), own, hashes(spark, **pictures), DuplicateRule(1e-6, Likeness()), once
    )
    assert made.duplicates.count() == made.near.count() == 0


def test_images_that_two_corpora_share(spark: SparkSession) -> None:
    """a (posts) repeats b, which looks like c and has d's bytes; c and d are in art, e is alone."""
    rows = [("a", "posts", "1"), ("b", "posts", "2"), ("c", "art", "3"), ("d", "art", "2"), ("e", "art", "4")]
    pictures = local_frame(spark, rows, "image_id STRING, corpus STRING, sha256 STRING")
    kept = pictures.where("image_id <> 'a'").select("image_id", "corpus")
    duplicates = local_frame(spark, [("a", "b")], "image_id STRING, canonical_id STRING")
    near = [
        ("a", "c", 7, True, True),
        ("b", "d", 3, True, True),
        ("b", "e", 90, True, False),
        ("a", "b", 2, False, True),
    ]
    pairs = local_frame(spark, near, "a STRING, b STRING, bits INT, across BOOLEAN, near BOOLEAN")
    shared = find_shared_images(pictures, kept, duplicates, pairs)
    assert {tuple(row) for row in shared.collect()} == {
        ("c", "art", "b", "posts", "near", 7), ("d", "art", "b", "posts", "bytes", 0),
    }  # fmt: skip
    found = {tuple(row.labels.values()): (row.estimate, row.n) for row in shared_image_results(shared, kept)}
    assert found == {("art", "posts"): (2 / 3, 3), ("posts", "art"): (1.0, 1)}
    assert shared_image_results(shared.limit(0), kept) == []


@pytest.mark.parametrize("partitions", [1, 3])
def test_close_pairs_are_those_of_all_pairs(
    spark: SparkSession, partitions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted pairs around many centres, in two corpora that must not mix."""
    monkeypatch.setattr(near, "FEW", 50)
    rng = np.random.default_rng(3)
    base = rng.standard_normal((300, 16))
    rows = np.concatenate([base, base[:60] + 0.05 * rng.standard_normal((60, 16))])
    data = [(f"{n:04d}", "pq"[n % 2], row.tolist(), 0) for n, row in enumerate(rows)]
    table = local_frame(spark, data, f"{VECTORS}, turn INT").repartition(partitions)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    a, b = np.nonzero(np.triu(unit @ unit.T >= 0.95, 1))
    wanted = {(f"{i:04d}", f"{j:04d}") for i, j in zip(a, b, strict=True) if i % 2 == j % 2}
    reach = Reach(0.95, buckets=3)
    pairs = {(r.a, r.b): r.similarity for r in close_pairs(table, len(rows), reach).collect()}
    assert len(wanted) >= 60 and pairs.keys() == wanted
    assert all(s == pytest.approx(unit[int(i)] @ unit[int(j)], abs=1e-3) for (i, j), s in pairs.items())
    exact = {(r.a, r.b) for r in exact_pairs(table.where("image_id < '0010'"), table, reach).collect()}
    assert exact == {pair for pair in wanted if pair[0] < "0010"}
    every = {(f"{i:04d}", f"{j:04d}") for i, j in zip(a, b, strict=True)}
    both = close_pairs(table, len(rows), replace(reach, across=True)).collect()
    assert {(r.a, r.b) for r in both} == every and {(r.a, r.b) for r in both if not r.across} == wanted


def test_the_recall_of_the_search_is_measured(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three images point the same way; one of their three pairs was not found, and one is not near."""
    rows = [(name, "p", [1.0, n / 1000], 0) for n, name in enumerate("abc")] + [("d", "p", [0.0, 1.0], 0)]
    table = local_frame(spark, rows, f"{VECTORS}, turn INT")
    pairs = local_frame(spark, [("a", "b", 0), ("b", "c", 0)], "a STRING, b STRING, turn INT")

    def recall(rows: DataFrame, few: int, near: str = "true") -> list[Result]:
        monkeypatch.setattr("twigma_spark.estimators.near.FEW", few)
        return near_recall.recall_results(
            "pixels", rows, rows.count(), pairs, Reach(0.99), lambda true: true.where(near)
        )

    (row,) = recall(table, 3)
    assert row.metric == "recall_of_search" and row.estimate == pytest.approx(2 / 3) and row.n == 3
    assert row.labels == {"candidates": "pixels"}
    (row,) = recall(table, 3, "NOT (a = 'a' AND b = 'c')")
    assert row.estimate == 1 and row.n == 2
    assert recall(table, 4) == [] == recall(table.where("image_id > 'b'"), 1)


def test_components_on_spark_are_those_of_networkx(spark: SparkSession) -> None:
    """A long path, a clique, a random graph and a loop, all from one frame."""
    rng = np.random.default_rng(5)
    path = [(f"p{n:03d}", f"p{n + 1:03d}") for n in rng.permutation(60)]
    clique = [(f"q{a}", f"q{b}") for a in range(5) for b in range(5) if a != b]
    random = [(f"r{a:02d}", f"r{b:02d}") for a, b in rng.integers(0, 40, (25, 2))]
    edges = [*path, *clique, *random, ("z", "z")]
    made = components.on_spark(local_frame(spark, edges, "a STRING, b STRING"), once).collect()
    graph = networkx.Graph([(a, b) for a, b in edges if a != b])
    wanted = {node: min(group) for group in networkx.connected_components(graph) for node in group}
    assert {r.node: r.group for r in made} == wanted and len(made) == len(wanted)


def test_components_that_do_not_settle_are_an_error(spark: SparkSession) -> None:
    path = local_frame(spark, [(str(n), str(n + 1)) for n in range(9)], "a STRING, b STRING")
    with pytest.raises(ModelError, match="within 1 rounds"):
        components.on_spark(path, once, rounds=1)
