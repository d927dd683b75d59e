"""Duplicates found in tables, and components found on Spark."""

from __future__ import annotations

import io
from datetime import datetime

import networkx
import numpy as np
import pytest
from PIL import Image
from pyspark.sql import DataFrame, SparkSession

from twigma_spark.errors import ModelError
from twigma_spark.estimators import components, near, near_recall
from twigma_spark.estimators.duplicates import DuplicateRule, find_duplicates
from twigma_spark.estimators.lookalikes import Likeness
from twigma_spark.estimators.near import Reach, close_pairs, exact_pairs

IMAGES = (
    "image_id STRING, corpus STRING, media_key STRING, sha256 STRING, created_at TIMESTAMP, width INT, height INT, "
    "content BINARY"
)
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
    return spark.createDataFrame([(*row, None) for row in rows], IMAGES)


def once(frame: DataFrame) -> DataFrame:
    """Return the frame as computed now."""
    return frame.sparkSession.createDataFrame(frame.collect(), frame.schema)


def vectors(spark: SparkSession) -> DataFrame:
    rows = [(i, "posts", [3.0, 4.0]) for i in "abc"] + [(i, "art", [3.0, 4.0]) for i in "fg"]
    rows += [("d", "posts", [3.00001, 4.0]), ("e", "posts", [4.0, 3.0])]
    return spark.createDataFrame(rows, VECTORS)


def found(spark: SparkSession, rule: DuplicateRule) -> dict[str, tuple[str, str, float]]:
    made = find_duplicates(images(spark), vectors(spark), rule, once).duplicates
    assert made.columns == ["image_id", "canonical_id", "tier", "similarity"]
    return {r.image_id: (r.canonical_id, r.tier, r.similarity) for r in made.collect()}


@pytest.mark.parametrize("driver_bytes", [1e9, 0])
def test_duplicates_of_every_tier(spark: SparkSession, driver_bytes: float) -> None:
    """On the driver, and on Spark where the driver's memory is said to be too small."""
    rows = found(spark, DuplicateRule(1e-4, Likeness(Reach(0.9)), driver_bytes))
    assert {i: r[:2] for i, r in rows.items()} == {
        "b": ("a", "media"),
        "c": ("a", "bytes"),
        "d": ("a", "embedding"),
        "e": ("a", "near"),
        "f": ("g", "bytes"),
    }
    assert all(rows[i][2] == pytest.approx(1, abs=1e-6) for i in "bcdf")
    assert rows["e"][2] == pytest.approx(0.96)


def test_the_tolerance_and_the_reach_are_kept(spark: SparkSession) -> None:
    assert set(found(spark, DuplicateRule(1e-6, Likeness(Reach(0.97))))) == {"b", "c", "d", "f"}
    assert found(spark, DuplicateRule(1e-6, Likeness(Reach(0.97))))["d"][1] == "near"
    assert set(found(spark, DuplicateRule(1e-6))) == {"b", "c", "f"}


def test_no_duplicates_give_an_empty_table(spark: SparkSession) -> None:
    lonely, rule = images(spark).where("image_id IN ('a', 'e')"), DuplicateRule(1e-4, Likeness(Reach(0.97)))
    own = vectors(spark).join(lonely, "image_id", "left_semi")
    assert find_duplicates(lonely, own, rule, once).duplicates.count() == 0
    assert find_duplicates(images(spark), own.limit(0), rule, once).duplicates.count() == 0


def picture(seed: int, size: int) -> bytes:
    """Return a PNG of soft blocks."""
    soft = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(soft).resize((size, size), Image.Resampling.BICUBIC).save(out, "PNG")
    return out.getvalue()


def test_near_duplicates_need_hashes_that_agree(spark: SparkSession) -> None:
    """All three vectors are close; one picture is another one, and one file cannot be decoded."""
    files = {"a": picture(1, 200), "b": picture(1, 150), "c": picture(2, 200), "d": b"broken"}
    rows = [(name, "posts", None, name, DAY[0], 8, 8, content) for name, content in files.items()]
    own = [(name, "posts", [1.0, n / 100]) for n, name in enumerate(files)]
    rule = DuplicateRule(1e-4, Likeness(Reach(0.99), 24))
    made = find_duplicates(spark.createDataFrame(rows, IMAGES), spark.createDataFrame(own, VECTORS), rule, once)
    assert [(r.image_id, r.canonical_id, r.tier) for r in made.duplicates.collect()] == [("b", "a", "near")]
    assert {(r.a, r.b): r.near for r in made.near.collect()} == {("a", "b"): True, ("a", "c"): False, ("b", "c"): False}


@pytest.mark.parametrize("partitions", [1, 3])
def test_close_pairs_are_those_of_all_pairs(
    spark: SparkSession, partitions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted pairs around many centres, in two corpora that must not mix."""
    monkeypatch.setattr(near, "FEW", 50)
    rng = np.random.default_rng(3)
    base = rng.standard_normal((300, 16))
    rows = np.concatenate([base, base[:60] + 0.05 * rng.standard_normal((60, 16))])
    data = [(f"{n:04d}", "pq"[n % 2], row.tolist()) for n, row in enumerate(rows)]
    table = spark.createDataFrame(data, VECTORS).repartition(partitions)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    a, b = np.nonzero(np.triu(unit @ unit.T >= 0.95, 1))
    wanted = {(f"{i:04d}", f"{j:04d}") for i, j in zip(a, b, strict=True) if i % 2 == j % 2}
    reach = Reach(0.95, buckets=3)
    pairs = {(r.a, r.b): r.similarity for r in close_pairs(table, len(rows), reach).collect()}
    assert len(wanted) >= 60 and pairs.keys() == wanted
    assert all(s == pytest.approx(unit[int(i)] @ unit[int(j)], abs=1e-3) for (i, j), s in pairs.items())
    exact = {(r.a, r.b) for r in exact_pairs(table.where("image_id < '0010'"), table, reach).collect()}
    assert exact == {pair for pair in wanted if pair[0] < "0010"}


def test_the_recall_of_the_search_is_measured(spark: SparkSession) -> None:
    """Three images point the same way; one of their three pairs was not found."""
    rows = [(name, "p", [1.0, n / 1000]) for n, name in enumerate("abc")] + [("d", "p", [0.0, 1.0])]
    found = spark.createDataFrame([("a", "b"), ("b", "c")], "a STRING, b STRING")
    (row,) = near_recall.recall_results(spark.createDataFrame(rows, VECTORS), found, Reach(0.99), few=3)
    assert row.metric == "recall_of_search" and row.estimate == pytest.approx(2 / 3) and row.n == 3
    assert near_recall.recall_results(spark.createDataFrame(rows, VECTORS), found, Reach(0.99), few=4) == []
    assert near_recall.recall_results(spark.createDataFrame(rows[2:], VECTORS), found, Reach(0.99), few=1) == []


def test_components_on_spark_are_those_of_networkx(spark: SparkSession) -> None:
    """A long path, a clique, a random graph and a loop, all from one frame."""
    rng = np.random.default_rng(5)
    path = [(f"p{n:03d}", f"p{n + 1:03d}") for n in rng.permutation(60)]
    clique = [(f"q{a}", f"q{b}") for a in range(5) for b in range(5) if a != b]
    random = [(f"r{a:02d}", f"r{b:02d}") for a, b in rng.integers(0, 40, (25, 2))]
    edges = [*path, *clique, *random, ("z", "z")]
    made = components.on_spark(spark.createDataFrame(edges, "a STRING, b STRING"), once).collect()
    graph = networkx.Graph([(a, b) for a, b in edges if a != b])
    wanted = {node: min(group) for group in networkx.connected_components(graph) for node in group}
    assert {r.node: r.group for r in made} == wanted and len(made) == len(wanted)


def test_components_that_do_not_settle_are_an_error(spark: SparkSession) -> None:
    path = spark.createDataFrame([(str(n), str(n + 1)) for n in range(9)], "a STRING, b STRING")
    with pytest.raises(ModelError, match="within 1 rounds"):
        components.on_spark(path, once, rounds=1)
