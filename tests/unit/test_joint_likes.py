"""The joint model of likes: planted curves and levels are found while others are confounded with them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import statsmodels.api as sm

from twigma_spark.results import Value
from twigma_spark.stats import joint_likes
from twigma_spark.stats.joint_likes import Engagement, joint_results


def world(n: int = 4000, effect: float = 1.0, seed: int = 0) -> Engagement:
    """Followers raise likes and similarity; similarity itself adds `effect`, retweets follow nothing."""
    rng = np.random.default_rng(seed)
    author = rng.integers(0, n // 4, n)
    followers = rng.normal(6, 1.5, n // 4)[author]
    similarity = 0.5 + 0.05 * (followers - 6) + 0.1 * rng.normal(size=n)
    theme = rng.integers(0, 5, n)
    rate = np.exp(0.3 * followers + effect * similarity + 0.5 * (theme == 2) + 0.3 * rng.normal(size=n // 4)[author])
    outcomes = {"likes": rng.poisson(rate), "retweets": rng.poisson(2.0, n), "replies": np.full(n, -1)}
    flags = {"#aiart": rng.random(n) < 0.3}
    return Engagement(
        outcomes, {"log followers": followers, "similarity to art": similarity}, {"theme": theme}, flags, author
    )


def found(data: Engagement) -> dict[tuple[str, ...], Value]:
    return {(r.metric, r.labels["outcome"], r.labels.get("term", ""), *([r.labels["at"]] if "at" in r.labels else [])):
            r.value for r in joint_results(data)}  # fmt: skip


def test_a_planted_effect_is_found_beside_a_confounder() -> None:
    data = world()
    values = found(data)
    low, high = np.quantile(data.smooth["similarity to art"], [0.1, 0.9])
    change = values["change", "likes", "similarity to art"]
    assert change.low < 100 * np.expm1(high - low) < change.high and change.low > 0
    assert change.high - change.low < 60
    assert values["p_value", "likes", "theme"].estimate < 0.002
    assert values["p_value", "retweets", "theme"].estimate > 0.002
    tag = values["change", "likes", "#aiart"]
    assert tag.low < 0 < tag.high


def test_without_an_effect_the_interval_holds_none_in_19_of_20_worlds() -> None:
    covered = 0
    for seed in range(20):
        change = found(world(1200, 0.0, seed))["change", "likes", "similarity to art"]
        covered += change.low < 0 < change.high
    assert covered >= 17


def test_the_fit_is_statsmodels_where_every_term_is_a_flag() -> None:
    data = world(900)
    flags = {"a": data.flags["#aiart"], "b": data.smooth["log followers"] > 6}
    values = found(Engagement({"likes": data.outcomes["likes"]}, {}, {}, flags, data.author))
    x = sm.add_constant(np.column_stack([flags["a"], flags["b"]]).astype(float))
    fit = sm.GLM(data.outcomes["likes"], x, family=sm.families.Poisson()).fit(
        cov_type="cluster", cov_kwds={"groups": data.author}, tol=1e-12, use_t=True
    )
    for place, name in ((1, "a"), (2, "b")):
        value = values["change", "likes", name]
        expected = 100 * np.expm1([fit.params[place], *fit.conf_int()[place]])
        assert value.estimate == pytest.approx(expected[0], rel=1e-6)
        # Score tests do not give Wald's ends, but near them where authors are many.
        assert (value.low, value.high) == pytest.approx(expected[1:], rel=0.15)


def test_the_curve_rises_from_the_tenth_percentile_and_ends_with_the_change() -> None:
    data = world()
    values = found(data)
    curve = sorted((float(key[3]), v) for key, v in values.items() if key[:3] == ("curve", "likes", "log followers"))
    assert len(curve) == 4
    assert curve[0][1].estimate > 0 and all(a.estimate < b.estimate for (_, a), (_, b) in pairwise(curve))
    assert curve[-1][1] == values["change", "likes", "log followers"]


def test_of_many_images_whole_authors_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joint_likes, "MOST", 1500)
    data = world(2000)
    value = found(data)["change", "likes", "similarity to art"]
    assert 1400 < value.n <= 1500


def test_what_cannot_be_fitted_says_why() -> None:
    data = world(600)
    values = found(data)
    assert "has replies" in values["change", "replies", ""].method
    one = Engagement(data.outcomes, data.smooth, data.levels, data.flags, np.zeros(600, int))
    assert "authors, there are 1" in found(one)["change", "likes", ""].method
    twice = dict(data.smooth) | {"again": 2 * data.smooth["log followers"]}
    same = Engagement(data.outcomes, twice, data.levels, data.flags, data.author)
    values = found(same)
    assert "explain 100.0% of its variance" in values["change", "likes", "log followers"].method
    assert values["change", "likes", "again"].estimate is not None
    tags = {"#a": data.flags["#aiart"], "#b": data.flags["#aiart"]}
    equal = Engagement(data.outcomes, data.smooth, data.levels, tags, data.author)
    assert "in other words" in found(equal)["change", "likes", ""].method
    unknown = dict(data.smooth) | {"NSFW score": np.full(600, np.nan), "constant": np.ones(600)}
    values = found(Engagement(data.outcomes, unknown, data.levels, data.flags, data.author))
    assert values["change", "likes", "NSFW score"].method == "not computed: no image has it"
    assert values["change", "likes", "similarity to art"].estimate is not None
