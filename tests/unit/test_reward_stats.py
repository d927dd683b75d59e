"""Statistics of the reward model: known answers, an exact permutation test, Kendall's tau, what is not computed."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import kendalltau

from twigma_spark.metrics import describes
from twigma_spark.results import Result
from twigma_spark.stats import reward
from twigma_spark.stats.reward import HeldOut, Resampling, hits, mean_value, rank_results, sign_flip_test


def how(seed: int = 0, replicates: int = 400, fewest: int = 4) -> Resampling:
    return Resampling(replicates, 0.95, np.random.default_rng(seed), fewest)


def held_out(n: int = 400, seed: int = 0) -> HeldOut:
    """Return pairs of four a prompt, of which the reward model knows three quarters and CLIP a half."""
    rng = np.random.default_rng(seed)
    own = np.where(rng.random(n) < 0.75, 1, -1) * rng.exponential(size=n)
    side = rng.integers(-1, 2, n).astype(np.int8)
    margins = {reward.REWARD: own, reward.UNMATCHED: own + 3 * side, "CLIP score": rng.normal(size=n)}
    margins["aesthetic"] = np.where(np.arange(n) < n // 2, rng.normal(size=n), np.nan)
    ratio, days = rng.uniform(1.5, 20, n), rng.uniform(0, 20, n)
    return HeldOut(
        margins,
        np.arange(n) // 4,
        np.arange(n) % 5 > 0,
        side,
        ratio,
        days,
        np.arange(n) // 4 % 2,
        np.full(n, 2.0),
        rng.random(n),
    )


def by_labels(results: list[Result], metric: str) -> dict[tuple[str, ...], Result]:
    return {tuple(r.labels.values()): r for r in results if r.metric == metric}


def test_a_tie_is_half_a_hit() -> None:
    assert hits(np.array([2.0, 0.0, -1.0])).tolist() == [1.0, 0.5, 0.0]


def test_the_interval_is_that_of_a_cluster_bootstrap() -> None:
    rng = np.random.default_rng(1)
    prompt = np.repeat(np.arange(60), 5)
    values = np.repeat(rng.normal(size=60), 5)  # pairs of a prompt are all alike: 60 values and not 300
    value = mean_value(values, prompt, how(replicates=4000), "mean")
    error = values[::5].std() / np.sqrt(60)
    assert value.estimate == pytest.approx(values.mean())
    assert value.low is not None and value.high is not None
    assert (value.high - value.low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    assert value.n == 300 and "4000 resamples of prompts" in value.method


def test_weights_are_drawn_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values, prompt = np.random.default_rng(2).normal(size=200), np.arange(200) // 2
    monkeypatch.setattr(reward, "HELD", 700)
    blocks = mean_value(values, prompt, how(replicates=2000), "mean")
    monkeypatch.undo()
    whole = mean_value(values, prompt, how(replicates=2000), "mean")
    assert blocks.low == pytest.approx(whole.low, abs=0.03) and blocks.high == pytest.approx(whole.high, abs=0.03)


def test_few_pairs_are_not_computed() -> None:
    value = mean_value(np.ones(3), np.arange(3), how(), "mean")
    assert value.estimate is None and value.method == "not computed: 4 pairs at least are needed"


def test_the_flip_test_agrees_with_all_flips() -> None:
    margins, prompt = np.array([1, 2, -1, 3, 1, 1, -2, 4, 1, 2.0]), np.array([0, 0, 0, 1, 1, 2, 3, 3, 4, 5])
    by_prompt = np.array([hits(margins)[prompt == p].sum() - 0.5 * (prompt == p).sum() for p in range(6)])
    every = np.array([abs(np.dot(signs, by_prompt)) for signs in product((-1, 1), repeat=6)])
    exact = (every >= abs(by_prompt.sum()) - 1e-9).mean()
    found = sign_flip_test(margins, prompt, np.random.default_rng(0))
    assert found.estimate == pytest.approx(exact, abs=0.02)


def test_accuracies_gains_strata_and_checks() -> None:
    held = held_out()
    results = list(reward.reward_results(held, how()))
    assert all(describes(r) for r in results)
    accuracy, gain = by_labels(results, "accuracy"), by_labels(results, "gain")
    own = hits(held.margins[reward.REWARD][held.matched])
    assert accuracy[reward.REWARD,].estimate == pytest.approx(own.mean())
    assert accuracy["aesthetic",].n == int(held.matched[:200].sum())  # only where it has a score
    clip = hits(held.margins["CLIP score"][held.matched])
    assert gain["CLIP score",].estimate == pytest.approx(own.mean() - clip.mean())
    assert (gain["CLIP score",].low or 0) > 0
    strata = by_labels(results, "accuracy_within")
    for by, names in {"likes ratio": 4, "time apart": 3, "cluster": 2}.items():
        rows = [r for labels, r in strata.items() if labels[0] == by]
        assert len(rows) == names and sum(r.n for r in rows) == held.matched.sum()
    prefers = by_labels(results, "prefers_followers")
    assert prefers[reward.UNMATCHED,].estimate is not None and prefers[reward.UNMATCHED,].estimate > 0.9
    difference = by_labels(results, "prefers_followers_gain")[()]
    assert difference.estimate == pytest.approx(
        prefers[reward.UNMATCHED,].estimate - (prefers[reward.REWARD,].estimate or 0)
    )
    assert by_labels(results, "p_value")[()].estimate == pytest.approx(1e-4)


def test_a_calibrated_model_is_as_often_right_as_it_says() -> None:
    rng = np.random.default_rng(3)
    log_odds = np.abs(rng.normal(size=20_000) * 2)
    right = rng.random(len(log_odds)) < 1 / (1 + np.exp(-log_odds))
    held = held_out(20_000)
    margins = np.where(right, log_odds, -log_odds) / 2
    sure = HeldOut(
        {reward.REWARD: margins, reward.UNMATCHED: margins}, held.prompt, np.ones(20_000, bool), held.more_followers,
        held.ratio, held.days, held.cluster, held.sharpness, held.swapped,
    )  # fmt: skip
    results = list(reward.reward_results(sure, how(replicates=200)))
    stated, seen = by_labels(results, "stated_accuracy"), by_labels(results, "seen_accuracy")
    assert len(stated) == 5
    for name, value in stated.items():
        assert value.estimate == pytest.approx(seen[name].estimate, abs=0.02)
    assert [r.n for r in stated.values()] == [4000] * 5


def test_tau_is_scipys_within_each_prompt() -> None:
    rng = np.random.default_rng(4)
    prompt = np.repeat(np.arange(6), 5)[rng.permutation(30)]
    likes, scores = rng.integers(0, 4, 30), rng.normal(size=30)
    (found,) = rank_results({"CLIP score": scores}, likes, prompt, how())
    each = [kendalltau(scores[prompt == p], likes[prompt == p]).statistic for p in range(6)]
    assert found.estimate == pytest.approx(np.nanmean(each)) and found.n == np.isfinite(each).sum()
    assert describes(found)


def test_images_alone_in_their_prompt_have_no_tau() -> None:
    (found,) = rank_results({"CLIP score": np.ones(8)}, np.arange(8), np.arange(8), how())
    assert found.estimate is None and found.n == 0
