"""Ranks of two encoders: equal, opposite and unrelated orders."""

from __future__ import annotations

from twigma_spark.metrics import CATALOGUE
from twigma_spark.results import Result, Value
from twigma_spark.stats.second_encoder import OF_CORPORA, OF_PAIRS, second_encoder_results


def results(values: dict[tuple[str, str], float | None], metric: str = "kl_kt") -> list[Result]:
    return [Result.of("distinctiveness", metric, Value(v, v, v, 9, "images", "made up"), p=p, q=q)
            for (p, q), v in values.items()]  # fmt: skip


FIRST = {("a", "b"): 0.1, ("a", "c"): 0.5, ("b", "c"): 0.9, ("c", "b"): None}


def agreement(second: dict[tuple[str, str], float | None]) -> Value:
    found = list(second_encoder_results(results(FIRST), results(second)))
    (row,) = [r for r in found if r.metric == "rank_agreement"]
    assert row.labels == {"measure": "kl_kt"} and {r.analysis for r in found} == {"second_encoder"}
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
    other = Result.of("variation", "share_explained", Value(1.0, None, None, 9, "images", "x"), corpus="a")
    assert list(second_encoder_results([], [within, other])) == []


def test_the_catalogue_has_what_is_compared() -> None:
    named = {m.name for m in CATALOGUE if m.analysis == "second_encoder"}
    assert named == {*OF_PAIRS, *OF_CORPORA, "rank_agreement"}
