"""Measures in another way: equal and opposite orders, and what is not compared."""

from __future__ import annotations

import numpy as np

from twigma_spark.metrics import CATALOGUE
from twigma_spark.results import Result, Value
from twigma_spark.stats.likes import Likes, likes_results
from twigma_spark.stats.sensitivity import UNITS, nearest_shares, sensitivity_results


def results(values: dict[tuple[str, str], float | None], metric: str = "kl_kt") -> list[Result]:
    return [Result.of("distinctiveness", metric, Value(v, v, v, 9, "images", "made up"), p=p, q=q)
            for (p, q), v in values.items()]  # fmt: skip


FIRST = {("a", "b"): 0.1, ("a", "c"): 0.5, ("b", "c"): 0.9, ("c", "b"): None}


def agreement(second: dict[tuple[str, str], float | None]) -> Value:
    found = list(sensitivity_results("other", results(FIRST), results(second)))
    (row,) = [r for r in found if r.metric == "rank_agreement"]
    assert row.labels == {"measure": "kl_kt", "variant": "other"} and {r.analysis for r in found} == {"sensitivity"}
    assert sum(r.metric == "kl_kt" for r in found) == len(second)
    return row.value


def test_the_same_and_the_opposite_order() -> None:
    same = agreement({("a", "b"): 3.0, ("a", "c"): 4.0, ("b", "c"): 9.0, ("c", "b"): 1.0})
    assert (same.estimate, same.n, same.unit) == (1.0, 3, "pairs of corpora")
    assert agreement({("a", "b"): 9.0, ("a", "c"): 4.0, ("b", "c"): 1.0}).estimate == -1.0


def test_too_few_and_equal_values_are_sentences() -> None:
    assert "fewer than three" in agreement({("a", "b"): 9.0, ("a", "c"): 4.0}).method
    assert "all the same value" in agreement({("a", "b"): 1.0, ("a", "c"): 1.0, ("b", "c"): 1.0}).method


def test_measures_within_groups_and_others_are_left_out() -> None:
    within = Result.of(
        "variation", "pair_distance", Value(1.0, None, None, 9, "images", "x"), corpus="a", within="posts"
    )
    other = Result.of("variation", "block_size", Value(1.0, None, None, 9, "images", "x"), corpus="a")
    assert list(sensitivity_results("other", [], [within, other])) == []


def test_the_catalogue_has_what_is_compared() -> None:
    named = {m.name for m in CATALOGUE if m.analysis == "sensitivity"}
    assert named == {metric for _, metrics in UNITS.values() for metric in metrics} | {"rank_agreement", "left_out"}


def test_the_nearest_reference_is_counted_by_author() -> None:
    """One author posts 60 images of one kind: they count as one author in the interval, not as 60 images."""
    nearest, author = np.array([0] * 60 + [1] * 20 + [0] * 20), np.array([0] * 60 + list(range(1, 41)))
    art, photo = nearest_shares(nearest, author, ["art", "photo"], 0.95)
    assert (art.estimate, photo.estimate, art.value.n) == (0.8, 0.2, 100)
    alone, _ = nearest_shares(nearest, np.arange(100), ["art", "photo"], 0.95)
    width = [r.value.high - r.value.low for r in (art, alone) if r.value.high is not None and r.value.low is not None]
    assert width[0] > 2 * width[1]
    assert all(r.estimate is None for r in nearest_shares(nearest[:0], author[:0], ["art", "photo"], 0.95))


def test_the_recommended_coefficients_of_the_likes_are_compared() -> None:
    rng = np.random.default_rng(0)
    author = rng.integers(0, 150, 600)
    data = Likes(rng.poisson(5, 600), np.arange(600), author, author % 3, np.zeros(600), {"art": rng.random(600)})
    first, second = (list(likes_results(part, 5)) for part in (data, data.of(rng.random(600) < 0.8)))
    found = list(sensitivity_results("other", first, second))
    values = [r for r in found if r.metric == "poisson_score"]
    assert {r.labels["level"] for r in values} >= {f"quintile {k}" for k in (1, 2, 3, 4)}
    assert {r.metric for r in found} == {"poisson_score", "rank_agreement"}
    (agreement,) = [r.value for r in found if r.metric == "rank_agreement"]
    assert agreement.unit == "coefficients" and agreement.n == len(values)
