"""Agreement, on Krippendorff's worked example, by hand, and against scikit-learn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from twigma_spark.stats import agreement

# Krippendorff 2011, section C: four observers, twelve units; "." is a missing value.
TEXTBOOK = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)


def units(rows: tuple[str, ...]) -> list[list[int]]:
    table = [row.split() for row in rows]
    return [[int(row[i]) for row in table if row[i] != "."] for i in range(len(table[0]))]


def test_krippendorffs_worked_example() -> None:
    nominal = agreement.krippendorff_alpha(units(TEXTBOOK))
    interval = agreement.krippendorff_alpha(units(TEXTBOOK), lambda a, b: float((a - b) ** 2))
    assert (nominal, interval) == pytest.approx((0.743, 0.849), abs=5e-4)


def test_alpha_of_two_observers_by_hand() -> None:
    # Coincidences of ab, aa, bb: 2 of 6 disagree; expected 2*3*3 / (6*5) = 0.6. 1 - (2/6) / 0.6.
    assert agreement.krippendorff_alpha([["a", "b"], ["a", "a"], ["b", "b"]]) == pytest.approx(1 - (2 / 6) / 0.6)


def test_alpha_of_what_all_agree_on_and_of_what_is_not_defined() -> None:
    assert agreement.krippendorff_alpha([[1, 1], [2, 2]]) == 1.0
    assert agreement.krippendorff_alpha([[1, 1], [1, 1]]) is None
    assert agreement.krippendorff_alpha([[1], [2]]) is None
    assert agreement.krippendorff_alpha([]) is None


def test_jaccard_by_hand() -> None:
    assert agreement.jaccard(frozenset("ab"), frozenset("bc")) == pytest.approx(2 / 3)
    assert agreement.jaccard(frozenset(), frozenset()) == 0.0


def test_groupings_agree_whatever_their_names() -> None:
    one = np.array(["x", "x", "y", "y", "z"], object)
    two = np.array([1, 1, 2, 2, 3], object)
    assert agreement.grouping_alpha([one, two]) == 1.0
    mixed = np.array([1, 2, 1, 2, 3], object)
    assert agreement.grouping_alpha([one, mixed]) < 0
    pairs = [[a, b] for a, b in zip(agreement.together(one), agreement.together(mixed), strict=True)]
    assert agreement.grouping_alpha([one, mixed]) == pytest.approx(agreement.krippendorff_alpha(pairs))


def test_items_without_a_group_are_left_out() -> None:
    one = np.array(["x", "x", "y", None], object)
    two = np.array(["a", "a", "b", "b"], object)
    assert agreement.grouping_alpha([one, two]) == 1.0
    assert agreement.grouping_alpha([one]) is None and agreement.grouping_alpha([]) is None


def test_the_indices_are_scikit_learns_and_know_no_names() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, 60), rng.integers(0, 5, 60)
    assert agreement.rand_index(a, b) == adjusted_rand_score(a, b)
    assert agreement.rand_index(a, 7 - a) == agreement.mutual_information(a, 7 - a) == pytest.approx(1.0)


@pytest.mark.parametrize("index", [agreement.rand_index, agreement.mutual_information])
@pytest.mark.parametrize("items", [0, 1])
def test_one_item_is_no_grouping(index: Callable[[np.ndarray, np.ndarray], float], items: int) -> None:
    with pytest.raises(ValueError, match="groupings must have at least 2 items"):
        index(np.zeros(items, np.int64), np.zeros(items, np.int64))


def test_half_samples_scatter_as_samples_do() -> None:
    rng = np.random.default_rng(4)
    values, strata = rng.normal(size=200), np.repeat(np.arange(10), 20)
    means = [values[half].mean() for half in agreement.half_samples(strata, 3000, rng)]
    within = np.mean([values[strata == s].var(ddof=1) for s in range(10)])
    assert np.var(means) == pytest.approx(within / 200, rel=0.1)


def test_halves_take_no_item_twice_and_half_of_each_stratum() -> None:
    strata = np.repeat([0, 1], [4, 6])
    for half in agreement.half_samples(strata, 20, np.random.default_rng(0)):
        assert len(set(half.tolist())) == len(half) == 5 and (strata[half] == 0).sum() == 2


def test_keyword_overlap_by_hand() -> None:
    said = [frozenset({"castle", "fog"}), frozenset(), frozenset({"robot"})]
    captions = [frozenset({"castle", "hill"}), frozenset({"sea"}), frozenset({"robot", "arm"})]
    assert agreement.keyword_overlap(said, captions).tolist() == [0.5, 0.0, 1.0]


def test_the_permutation_null_has_the_mean_over_all_pairings() -> None:
    said = [frozenset({w}) for w in "abcd"]
    null = agreement.permuted_overlaps(said, said, 4000, np.random.default_rng(0))
    assert null.mean() == pytest.approx(1 / 4, abs=0.02)
    assert agreement.permutation_p(1.0, null) == pytest.approx(1 / 24, abs=0.02)


@pytest.mark.slow
def test_keywords_that_have_nothing_to_do_with_captions_are_rejected_at_the_nominal_rate() -> None:
    rejected = 0
    for seed in range(400):
        rng = np.random.default_rng([3, seed])
        said = [frozenset(rng.choice(list("abcdefgh"), 3, replace=False)) for _ in range(30)]
        captions = [frozenset(rng.choice(list("abcdefgh"), 4, replace=False)) for _ in range(30)]
        found = agreement.keyword_overlap(said, captions).mean()
        null = agreement.permuted_overlaps(said, captions, 199, rng)
        rejected += agreement.permutation_p(float(found), null) <= 0.05
    assert 0.03 <= rejected / 400 <= 0.07, rejected / 400
