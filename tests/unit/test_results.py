"""A result's key, its labels for readers, and the tidy table of many."""

from __future__ import annotations

import math

import pytest
from made_results import result

from twigma_spark.results import Result, finite, not_computed, tidy


def test_the_key_does_not_depend_on_the_order_of_the_labels() -> None:
    one = result("grid", "kl", 1.0, p="posts", q="art", share=0.5)
    other = result("grid", "kl", 2.0, share=0.50, q="art", p="posts")
    assert one.key == other.key == '{"p": "posts", "q": "art", "share": "0.5"}'
    assert result("grid", "kl", 1.0, p="posts", q="a|b").key != result("grid", "kl", 1.0, p="posts|a", q="b").key


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({}, "all"), ({"reference": "art", "quintile": 1}, "art, quintile 1"), ({"cluster": 3}, "cluster 3"),
        ({"corpus": "posts", "within": "artists"}, "posts, within artists"), ({"month": "2022-01"}, "2022-01"),
    ],
)  # fmt: skip
def test_labels_for_readers(labels: dict[str, object], words: str) -> None:
    assert result("a", "m", 1.0, **labels).label_text == words


def test_a_label_that_is_none_is_left_out() -> None:
    assert Result.of("likes", "poisson", not_computed("why", 3, "images"), reference="art", level=None).labels == {
        "reference": "art"
    }


def test_the_tidy_table_has_a_column_for_each_label() -> None:
    names, rows = tidy([result("likes", "mean", 2.0, reference="art"), result("likes", "n", None, quintile=1)])
    assert names == ["analysis", "metric", "reference", "quintile", "estimate", "low", "high", "n", "unit", "method"]
    assert [row[2:5] for row in rows] == [["art", None, 2.0], [None, "1", None]]


def test_a_value_of_a_result_changes_and_the_rest_stays() -> None:
    changed = result("a", "m", 1.0, k=1).with_value(estimate=5.0, method="other")
    assert (changed.estimate, changed.method, changed.labels) == (5.0, "other", {"k": "1"})
    assert changed.has(k=1) and not changed.has(k=2)
    assert (finite(math.inf), finite(2)) == (None, 2.0)
