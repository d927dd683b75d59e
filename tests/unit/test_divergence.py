"""Quantised divergences: hand-worked numbers, scipy, invariants and planted differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy as relative_entropy

from twigma_spark.results import Result
from twigma_spark.stats.divergence import ANALYSIS, DIFFERENCES, DivergenceSpec, divergences
from twigma_spark.stats.histograms import HISTOGRAMS, entropy, frontier_integral, js, kl, kl_kt, mauve
from twigma_spark.stats.quantise import QuantiseSpec, quantise
from twigma_spark.stats.sample import Sample, of_equal_size

counts = arrays(np.float64, 6, elements=st.integers(0, 50)).filter(lambda c: c.sum() > 0)
SPEC = DivergenceSpec(clusters=4, bootstrap=60, seed=3, restarts=2)
# Of few resamples neither the bias nor the ends of an interval are known to the second digit.
FINE = replace(SPEC, bootstrap=600)


def test_numbers_worked_by_hand() -> None:
    p, q = np.array([1.0, 3.0]), np.array([2.0, 2.0])
    assert kl(p, q) == pytest.approx(0.25 * log(0.5) + 0.75 * log(1.5))
    assert kl(np.array([4.0, 0.0]), q) == pytest.approx(log(2))
    assert kl(q, np.array([4.0, 0.0])) == inf
    assert kl_kt(q, np.array([4.0, 0.0])) == pytest.approx(0.5 * log(0.5 / 0.9) + 0.5 * log(0.5 / 0.1))
    assert js(np.array([1.0, 0.0]), np.array([0.0, 7.0])) == pytest.approx(log(2))


@given(p=counts, q=counts)
def test_measures_equal_those_of_scipy(p: np.ndarray, q: np.ndarray) -> None:
    np.testing.assert_allclose(kl(p, q), relative_entropy(p, q), atol=1e-12)
    np.testing.assert_allclose(kl_kt(p, q), relative_entropy(p + 0.5, q + 0.5), atol=1e-12)
    np.testing.assert_allclose(js(p, q), jensenshannon(p, q) ** 2, atol=1e-12)


@given(p=counts, q=counts, order=st.permutations(range(6)), factor=st.integers(1, 9))
def test_what_measures_do_not_depend_on(p: np.ndarray, q: np.ndarray, order: list[int], factor: int) -> None:
    for measure in (kl, kl_kt, js):
        assert measure(p, q) >= 0 and measure(p, p) == pytest.approx(0, abs=1e-12)
        np.testing.assert_allclose(measure(p[order], q[order]), measure(p, q), atol=1e-12)
    np.testing.assert_allclose(kl(factor * p, q), kl(p, q), atol=1e-12)
    assert js(p, q) == pytest.approx(js(q, p)) and js(p, q) <= log(2) + 1e-12
    assert kl_kt(p, q) < inf


def test_frontier_integral_and_mauve_worked_by_hand() -> None:
    """Disjoint histograms: KL(p || r) = -log l, so that the MAUVE curve is ((1 - l)^5, l^5) and its area 5 B(6, 5)."""
    one, other = np.array([3.0, 0.0]), np.array([0.0, 2.0])
    assert frontier_integral(one, other) == pytest.approx(1.0)
    assert frontier_integral(np.array([1.0, 3.0]), np.array([2.0, 2.0])) == pytest.approx(
        (0.375 - 0.125 / -0.25 * log(0.5)) + (0.625 - 0.375 / 0.25 * log(1.5))
    )
    assert mauve(one, other) == pytest.approx(1 / 252, rel=0.15)
    assert mauve(one, one) == pytest.approx(1.0) and frontier_integral(one, one) == 0


@given(p=counts, q=counts)
def test_the_frontier_integral_is_the_integral_of_the_frontier(p: np.ndarray, q: np.ndarray) -> None:
    a, b = p / p.sum(), q / q.sum()
    mix = (np.arange(400) + 0.5) / 400
    r = mix[:, None] * a + (1 - mix[:, None]) * b
    losses = mix * relative_entropy(np.tile(a, (400, 1)), r, axis=1)
    losses += (1 - mix) * relative_entropy(np.tile(b, (400, 1)), r, axis=1)
    assert frontier_integral(p, q) == pytest.approx(2 * losses.mean(), abs=2e-3)


@given(p=counts, q=counts)
def test_stacks_of_histograms_equal_them_one_by_one(p: np.ndarray, q: np.ndarray) -> None:
    for how in HISTOGRAMS.values():
        both = how.measure(np.stack([p, q]), np.stack([q, q]))
        np.testing.assert_allclose(both, [how.measure(p, q), how.measure(q, q)], atol=1e-12)
    np.testing.assert_allclose(entropy(np.stack([p, q])), relative_entropy(np.stack([p, q]), axis=1), atol=1e-12)


def blobs(shares: list[float], n: int, seed: int, spread: float = 0.2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    label = rng.choice(len(shares), n, p=shares)
    return (5 * np.eye(len(shares), 7)[label] + spread * rng.normal(size=(n, 7))).astype(np.float32)


def by_key(found: list[Result]) -> dict[tuple[str, str, str], Result]:
    return {(s.metric, s.labels["p"], s.labels["q"]): s for s in found if s.analysis == ANALYSIS}


P, Q = [0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]


def test_planted_shares_are_recovered() -> None:
    found = by_key(divergences({"p": Sample(blobs(P, 4000, 1)), "q": Sample(blobs(Q, 3000, 2))}, FINE))
    assert list(found) == [
        ("kl", "p", "q"),
        ("kl", "q", "p"),
        ("kl_kt", "p", "q"),
        ("kl_kt", "q", "p"),
        ("js", "p", "q"),
        ("frontier_integral", "p", "q"),
        ("mauve", "p", "q"),
        ("p_same", "p", "q"),
    ]
    assert found.pop(("p_same", "p", "q")).estimate == 0.001
    truth = {"kl": relative_entropy(P, Q), "kl_kt": relative_entropy(P, Q), "js": jensenshannon(P, Q) ** 2}
    shares = np.array(P), np.array(Q)
    truth |= {"frontier_integral": float(frontier_integral(*shares)), "mauve": float(mauve(*shares))}
    for (metric, _, _), one in found.items():
        assert one.estimate == pytest.approx(truth[metric], abs=0.06)
        assert one.low is not None and one.high is not None and one.estimate is not None
        assert one.low < one.estimate < one.high and one.high - one.low < 0.12
        assert (one.n, one.unit) == (7000, "images")
        assert "over 4 k-means clusters of 3 joint principal components" in one.method
        assert "95% bootstrap interval, 600 resamples of images, clusters kept" in one.method
        assert "less its bootstrap bias, of 4,000 and 3,000 images" in one.method or metric == "kl"


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["kl_kt", "js", "frontier_integral", "mauve"])
@pytest.mark.parametrize("tilt", [0.0, 0.2, 0.7])
def test_intervals_cover_the_truth_also_where_corpora_are_nearly_alike(metric: str, tilt: float) -> None:
    """The percentile interval covers in 0% of worlds at no divergence, and in 8 to 10% at a KL of 0.02."""
    rng = np.random.default_rng(4)
    shares = [np.full(10, 0.1), np.exp(tilt * np.linspace(-1, 1, 10))]
    p, q = (share / share.sum() for share in shares)
    how, covered = HISTOGRAMS[metric], 0
    truth = float(how.measure(1e9 * p, 1e9 * q))
    for _ in range(200):
        a, b = (rng.multinomial(300, share).astype(float) for share in (p, q))
        drawn = rng.multinomial(300, a / 300, 200).astype(float), rng.multinomial(300, b / 300, 200).astype(float)
        _, low, high = how.estimate((a, b), drawn, 0.95)
        covered += low - 1e-9 <= truth <= high + 1e-9
    assert covered >= 186, covered


def test_sizes_do_not_decide_which_corpus_is_nearest() -> None:
    """Two corpora of one distribution and unlike sizes were ranked, with intervals that did not overlap."""
    ranked = 0
    for seed in range(25):
        draws = {"posts": (P, 900), "large": (Q, 3000), "small": (Q, 300)}
        samples = {name: Sample(blobs(s, n, 3 * seed + i)) for i, (name, (s, n)) in enumerate(draws.items())}
        equal, size = of_equal_size(samples, 60, seed)
        assert size == 300 and {len(each.vectors) for each in equal.values()} == {300}
        found = divergences(equal, DivergenceSpec(4, bootstrap=100, seed=seed, restarts=1))
        (gap,) = [r for r in found if r.analysis == DIFFERENCES and r.labels["p"] == "posts"]
        assert (gap.labels["q"], gap.labels["versus"]) == ("large", "small")
        ranked += not gap.low <= 0 <= gap.high  # type: ignore[operator]
    assert ranked <= 4, ranked


def test_a_corpus_that_is_nearer_is_found_to_be() -> None:
    samples = {"posts": Sample(blobs(P, 400, 1)), "near": Sample(blobs(P, 400, 2)), "far": Sample(blobs(Q, 400, 3))}
    found = divergences(samples, SPEC)
    (gap,) = [r for r in found if r.analysis == DIFFERENCES and r.labels["p"] == "posts"]
    assert gap.high is not None and gap.high < 0 and gap.labels["versus"] == "far"
    same = {r.labels["q"]: r.estimate for r in found if r.metric == "p_same" and r.labels["p"] == "posts"}
    assert same["near"] > 0.05 > same["far"]  # type: ignore[operator]


def test_a_small_corpus_does_not_set_the_size() -> None:
    samples = {name: Sample(blobs(P, n, n)) for name, n in {"a": 500, "b": 200, "few": 20}.items()}
    equal, size = of_equal_size(samples, 60, 1)
    assert size == 200 and [len(each.vectors) for each in equal.values()] == [200, 200, 20]
    assert of_equal_size({"few": samples["few"]}, 60, 1) == ({"few": samples["few"]}, 0)


def test_intervals_are_wider_where_images_come_in_groups() -> None:
    spec = DivergenceSpec(4, bootstrap=200, restarts=2)
    p, q = np.repeat(blobs(P, 150, 1), 8, axis=0), blobs(Q, 6000, 2)
    alone = by_key(divergences({"p": Sample(p), "q": Sample(q)}, spec))["kl", "p", "q"]
    posts = Sample(p, np.repeat(np.arange(150), 8), "posts")
    grouped = by_key(divergences({"p": posts, "q": Sample(q)}, spec))["kl", "p", "q"]
    assert grouped.estimate == pytest.approx(alone.estimate, abs=0.02)
    assert (grouped.n, grouped.unit) == (6150, "posts and images")
    widths = [one.high - one.low for one in (grouped, alone) if one.high is not None and one.low is not None]
    # The root of 8 where all the doubt is in p.
    assert 2 < widths[0] / widths[1] < 3.2


def test_samples_are_drawn_apart() -> None:
    """Equal corpora have distance 0; resamples of them have not, unless both are drawn alike."""
    same = Sample(blobs(P, 300, 1))
    one = by_key(divergences({"p": same, "q": same}, SPEC))["kl", "p", "q"]
    assert one.estimate == 0 and one.high is not None and one.high > 0.01


def test_an_empty_bin_is_infinitely_far_and_the_smoothed_measures_are_not() -> None:
    found = by_key(divergences({"p": Sample(blobs(P, 400, 1)), "q": Sample(blobs([0.5, 0.5, 0, 0], 400, 2))}, SPEC))
    one = found["kl", "p", "q"]
    assert (one.estimate, one.low, one.high) == (inf, inf, inf)
    other = found["kl", "q", "p"]
    assert other.estimate is not None and other.estimate < 1
    assert all(found["kl_kt", *pair].estimate < inf for pair in (("p", "q"), ("q", "p")))  # type: ignore[operator]


def test_order_of_rows_and_of_corpora_and_rotation_do_not_matter() -> None:
    p, q = blobs(P, 500, 1), blobs(Q, 400, 2)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(7, 7)))[0]
    first = by_key(divergences({"p": Sample(p), "q": Sample(q)}, FINE))
    for a, b in ((p[::-1], q[::-1]), (p @ turn, q @ turn), (3 * p + 1, 3 * q + 1)):
        again = by_key(divergences({"q": Sample(b.astype(np.float32)), "p": Sample(a.astype(np.float32))}, FINE))
        for key, one in first.items():
            other = again.get(key) or again[key[0], key[2], key[1]]
            # The bootstrap, which the bias is known from, takes other rows.
            assert other.estimate == pytest.approx(one.estimate, abs=0.01), key


def test_the_same_seed_gives_the_same_numbers() -> None:
    samples = {name: Sample(blobs(P, 200, n)) for n, name in enumerate("abc")}
    assert divergences(samples, SPEC) == divergences(samples, SPEC)
    assert len(divergences(samples, SPEC)) == 6 + 6 + 3 + 3 + 3 + 3 + 3


def test_little_and_equal_vectors_give_a_stated_result() -> None:
    few = by_key(divergences({"p": Sample(blobs(P, 1, 1)), "q": Sample(blobs(Q, 2, 2))}, SPEC))
    assert "over 3 k-means clusters" in few["js", "p", "q"].method
    same = Sample(np.ones((50, 3), np.float32))
    equal = by_key(divergences({"p": same, "q": same}, SPEC))
    zeros = {key: one for key, one in equal.items() if key[0] not in ("mauve", "p_same")}
    assert all(one.estimate == 0 and one.low == 0 == one.high for one in zeros.values())
    assert equal["mauve", "p", "q"].estimate == 1 == equal["p_same", "p", "q"].estimate
    assert "over 1 k-means clusters" in equal["kl", "p", "q"].method


def test_an_empty_corpus_is_said_and_does_not_harm_the_others() -> None:
    none = Sample(np.empty((0, 7), np.float32))
    found = by_key(divergences({"p": Sample(blobs(P, 90, 1)), "none": none, "q": Sample(blobs(Q, 90, 2))}, SPEC))
    for pair in (("p", "none"), ("none", "q")):
        one = found["kl", *pair]
        assert (one.estimate, one.low, one.high, one.n) == (None, None, None, 0)
        assert one.method == "not computed: no vectors of none"
    assert found["kl", "p", "q"].estimate is not None


def test_all_variance_keeps_all_components() -> None:
    _, how = quantise([blobs(P, 60, 1), blobs(Q, 60, 2)], QuantiseSpec(4, variance=1.0))
    assert "of 7 joint principal components (1 of the variance)" in how


@pytest.mark.parametrize("measure", [kl, js, frontier_integral, mauve])
@pytest.mark.parametrize("counts", [[0.0, 0.0], [1.0, np.nan], [2.0, -1.0], [np.inf, 1.0]])
def test_counts_that_are_none_are_refused(
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray], counts: list[float]
) -> None:
    for pair in ((counts, [1.0, 2.0]), ([1.0, 2.0], counts)):
        with pytest.raises(ValueError, match="counts must be finite, at least 0 and not all 0"):
            measure(np.array(pair[0]), np.array(pair[1]))


def test_the_entropy_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="counts must be finite"):
        entropy(np.array([[1.0, 2.0], [0.0, 0.0]]))
