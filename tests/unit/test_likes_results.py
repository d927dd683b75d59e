"""The rows on likes: what is yielded, and that bad input gives a number or a sentence, never NaN."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_results import joined

from twigma_spark.results import Result
from twigma_spark.stats import held_out, likes
from twigma_spark.stats.likes import MODELS, Likes, likes_results


def images(n: int = 900, seed: int = 0) -> Likes:
    """Return images whose likes fall with similarity: exp(0.3) a step of the quintile's fifth."""
    rng = np.random.default_rng(seed)
    author, similar = rng.integers(0, n // 4, n), rng.random(n)
    band = (author % 3).astype(np.int8)
    mean = np.exp(1 + 0.9 * band - 1.2 * similar)
    return Likes(
        rng.poisson(mean * rng.gamma(2, 0.5, n)), np.arange(n) // 2, author, band,
        rng.normal(5, 1, n).astype(np.float32), {"art": similar.astype(np.float32)},
    )  # fmt: skip


def rows(data: Likes) -> list[Result]:
    found = list(likes_results(data, 5))
    for row in found:
        ends = (row.value.estimate, row.value.low, row.value.high)
        assert all(end is None or np.isfinite(end) for end in ends)
        assert row.value.method and row.value.unit == "images"
        assert row.value.estimate is not None or row.value.method.startswith("not computed: ")
        if row.value.low is not None and row.value.high is not None:
            assert row.value.low <= row.value.estimate <= row.value.high
    keys = [(row.analysis, row.metric, joined(row)) for row in found]
    assert len(set(keys)) == len(keys)
    return found


def said(found: list[Result], metric: str) -> str:
    return " | ".join(row.value.method for row in found if row.metric == metric)


def value(found: list[Result], metric: str, group: str) -> float | None:
    return next(row.value.estimate for row in found if (row.metric, joined(row)) == (metric, group))


def test_every_model_tells_every_level_with_its_errors() -> None:
    found = rows(images())
    for model in MODELS:
        quintiles = [r for r in found if r.metric == model and "quintile" in joined(r)]
        assert [joined(r) for r in quintiles] == [f"art|quintile {k}" for k in (1, 2, 3, 4)], model
        assert all(r.value.low is not None and "share its likes" in r.value.method for r in quintiles)
    assert value(found, "negative_binomial", "art|quintile 1") > 50
    assert "authors" in said(found, "poisson_author") and "posts" in said(found, "poisson_post")
    assert value(found, "overdispersion", "art") > 0.1


def test_the_means_of_the_quintiles_are_those_of_the_images() -> None:
    data = images()
    found = rows(data)
    order = np.argsort(data.similarity["art"])
    assert value(found, "mean_likes", "art|1") == pytest.approx(data.likes[order[:180]].mean())
    assert value(found, "mean_likes", "art|5") == pytest.approx(data.likes[order[-180:]].mean())


def test_the_order_of_the_images_and_the_names_of_posts_do_not_matter() -> None:
    data = images(400)
    turned = data.of(np.random.default_rng(1).permutation(400))  # type: ignore[arg-type]
    turned = replace(turned, post=turned.post * 7 - 3)
    for one, other in zip(rows(data), rows(turned), strict=True):
        assert (one.metric, joined(one)) == (other.metric, joined(other))
        assert one.value.estimate == pytest.approx(other.value.estimate, rel=1e-5)
        assert (one.value.low or 0) == pytest.approx(other.value.low or 0, rel=1e-5)


def test_all_likes_zero() -> None:
    data = images(100)
    found = rows(replace(data, likes=np.zeros(100, int)))
    assert value(found, "mean_likes", "art|1") == 0
    assert "all likes of the 100 images are 0" in said(found, "poisson")


def test_one_author() -> None:
    data = images(200)
    found = rows(replace(data, author=np.zeros(200, int), band=np.zeros(200, np.int8)))
    assert "more authors" in said(found, "poisson_author")
    assert value(found, "poisson_post", "art|quintile 1") is not None
    assert not [r for r in found if "followers" in joined(r)]


def test_one_image() -> None:
    found = rows(images(100).of(np.arange(100) == 0))
    assert "all images are of one of the authors" in said(found, "mean_likes")
    assert "quintiles [2, 3, 4, 5] have no images" in said(found, "poisson") or "likes" in said(found, "poisson")


def test_no_images_and_no_neighbours() -> None:
    data = images(50)
    assert "no image has likes" in said(rows(data.of(np.zeros(50, bool))), "mean_likes")
    nowhere = {"art": np.full(50, np.nan, np.float32)}
    assert "no image has both" in said(rows(replace(data, similarity=nowhere)), "mean_likes")


def test_images_that_are_all_equally_similar() -> None:
    found = rows(replace(images(60), similarity={"art": np.ones(60, np.float32)}))
    assert "the quintile is empty" in said(found, "mean_likes") and "equally similar" in said(found, "poisson")


def test_followers_that_nobody_knows() -> None:
    assert "no author's followers" in said(rows(replace(images(60), band=np.full(60, -1, np.int8))), "poisson")


def test_a_quintile_without_likes_is_minus_100_percent_and_the_rest_stands() -> None:
    data = images()
    low = data.similarity["art"] <= np.quantile(data.similarity["art"], 0.2)
    found = rows(replace(data, likes=np.where(low, 0, data.likes)))
    assert value(found, "poisson", "art|quintile 1") == -100
    assert value(found, "negative_binomial", "art|quintile 2") is not None
    top = data.similarity["art"] > np.quantile(data.similarity["art"], 0.8)
    assert "quintile 5, the reference, has no likes" in said(
        rows(replace(data, likes=np.where(top, 0, data.likes))), "poisson"
    )


def test_posts_that_are_all_of_one_age() -> None:
    found = rows(replace(images(), log_age=np.zeros(900, np.float32)))
    assert "of the same age" in said(found, "poisson_offset")


def test_deviance_by_hand_and_against_scikit_learn() -> None:
    from sklearn.metrics import mean_poisson_deviance

    y, mu = np.array([0.0, 2.0, 5.0]), np.array([1.0, 2.0, 3.0])
    assert held_out.deviance(y, mu)[:2].tolist() == [2.0, 0.0]
    assert held_out.deviance(y, mu).mean() == pytest.approx(mean_poisson_deviance(y, mu))


def test_held_out_authors_tell_a_good_prediction_from_a_bad_one() -> None:
    data = images(2000)
    held = data.author % 4 == 0
    train, test = data.of(~held), data.of(held)
    truth = np.exp(1 + 0.9 * test.band - 1.2 * test.similarity["art"].astype(float))
    shap = np.stack([np.ones(len(truth)), -3 * np.ones(len(truth))], axis=1)
    found = {(r.metric, joined(r)): r.value for r in held_out.held_out_results(train, test, truth, shap, ["a", "b"])}
    base, regression, best = (found["held_out_deviance", name].estimate for name in ("mean", "regression", "boosting"))
    assert best < base and regression < base
    explained = found["deviance_explained", "boosting"]
    assert explained.estimate == pytest.approx(1 - best / base) and explained.low < explained.estimate < explained.high
    assert (found["mean_abs_shap", "a"].estimate, found["mean_abs_shap", "b"].estimate) == (1.0, 3.0)


def test_names_of_models_are_told() -> None:
    assert {r.metric for r in rows(images()) if r.analysis == "likes_regression"} >= set(likes.MODELS)
