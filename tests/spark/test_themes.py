"""Words of clusters by class-based TF-IDF."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from pyspark.sql import SparkSession
from sklearn.feature_extraction.text import CountVectorizer

from twigma_spark.io.arrow import local_frame
from twigma_spark.transforms.themes import STOP_WORDS, theme_words

SCHEMA = "cluster INT, caption STRING"


def words(spark: SparkSession, rows: list[tuple[int, str | None]], n: int) -> dict[int, list[tuple[str, float]]]:
    found = theme_words(local_frame(spark, rows, SCHEMA), n)
    assert found.columns == ["cluster", "rank", "term", "weight"]
    answer: dict[int, list[tuple[str, float]]] = {}
    for row in found.orderBy("cluster", "rank").collect():
        answer.setdefault(row.cluster, []).append((row.term, row.weight))
        assert row["rank"] == len(answer[row.cluster])
    return answer


def test_weights_are_those_of_the_formula_worked_by_hand(spark: SparkSession) -> None:
    """Cluster 0 has cat cat dog, cluster 1 dog tree tree tree: 7 words in 2 clusters, A = 3.5."""
    found = words(spark, [(0, "a cat, a CAT"), (0, "the dog"), (1, "dog tree"), (1, "tree: tree!"), (1, None)], 5)
    assert found[0] == [("cat", pytest.approx(2 / 3 * log(1 + 3.5 / 2))), ("dog", pytest.approx(log(1 + 3.5 / 2) / 3))]
    assert found[1] == [("tree", pytest.approx(3 / 4 * log(1 + 3.5 / 3))), ("dog", pytest.approx(log(1 + 3.5 / 2) / 4))]


def test_weights_equal_those_of_a_dense_computation(spark: SparkSession) -> None:
    rng = np.random.default_rng(0)
    terms = np.array([f"w{chr(97 + n)}{chr(97 + n)}" for n in range(12)])
    rows = [(int(n % 3), " ".join(rng.choice(terms, 5, p=rng.dirichlet(np.ones(12))))) for n in range(40)]
    text = [" ".join(caption for cluster, caption in rows if cluster == c) for c in range(3)]
    vectorizer = CountVectorizer().fit(text)
    counts = vectorizer.transform(text).toarray()
    weight = counts / counts.sum(axis=1, keepdims=True) * np.log1p(counts.sum() / 3 / counts.sum(axis=0))
    names = vectorizer.get_feature_names_out()
    for cluster, found in words(spark, rows, 4).items():
        expected = sorted(zip(names, weight[cluster], strict=True), key=lambda pair: (-round(pair[1], 12), pair[0]))
        assert [term for term, _ in found] == [term for term, _ in expected[:4]]
        np.testing.assert_allclose([w for _, w in found], [w for _, w in expected[:4]])


def test_words_without_meaning_are_left_out_and_ties_are_in_order(spark: SparkSession) -> None:
    found = words(spark, [(3, "a photo of the woman's zebra, an image of fire 4k x"), (3, "arafed été")], 9)
    assert [term for term, _ in found[3]] == ["fire", "woman", "zebra", "été"]


def test_words_of_most_texts_of_every_cluster_are_left_out(spark: SparkSession) -> None:
    """Style is in two of three texts of both clusters; castle in all of one cluster and in none of the other."""
    rows = [
        (0, "castle style, style"),
        (0, "castle style"),
        (0, "castle"),
        (1, "style river"),
        (1, "style"),
        (1, "sea"),
    ]
    found = words(spark, rows, 9)
    assert [term for term, _ in found[0]] == ["castle"] and [term for term, _ in found[1]] == ["river", "sea"]
    # Half of the texts of one cluster are not most of them, and of a single cluster words are told as they are.
    assert {term for term, _ in words(spark, [*rows, (1, None), (1, "hill")], 9)[1]} >= {"style", "river"}
    assert [term for term, _ in words(spark, rows[:3], 9)[0]] == ["castle", "style"]


def test_a_cluster_without_words_has_no_rows(spark: SparkSession) -> None:
    assert words(spark, [(0, None), (1, "a photo of the"), (2, "castle")], 2).keys() == {2}
    assert words(spark, [(0, None)], 2) == {}


def test_the_stop_list_keeps_what_can_be_seen() -> None:
    assert {"the", "photo", "images", "arafed"} <= STOP_WORDS
    assert not {"fire", "painting", "cat", "woman"} & STOP_WORDS
