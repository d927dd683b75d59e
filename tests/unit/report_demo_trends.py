"""Made-up results on likes and trends for the page of report_demo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from made_results import result

from twigma_spark.results import Result

LEVELS = {"quintile 1": 42.0, "quintile 2": 30.0, "quintile 3": 11.0, "followers >5000 vs <500": 910.0}
MODELS = {
    "poisson_score": 28.0,
    "poisson": 4.0, "poisson_post": 15.0, "poisson_author": 25.0, "quasi_poisson": 18.0, "negative_binomial": 22.0,
    "poisson_offset": 26.0, "poisson_age": 27.0, "ppml_author": 40.0,
}  # fmt: skip
GAP = 8


def of(
    analysis: str, metric: str, value: float | None, reach: float | None = None, n: int = 1800, **labels: object
) -> Result:
    """Return a row with a symmetric interval, or none."""
    low, high = (None, None) if value is None or reach is None else (value - reach, value + reach)
    return result(analysis, metric, value, low, high, n, **labels)


def likes(references: Sequence[str]) -> Iterator[Result]:
    """Yield likes that fall with similarity, and the regressions of them."""
    for i, name in enumerate(references):
        for quintile in range(1, 6):
            labels: dict[str, object] = {"reference": name, "quintile": quintile}
            yield of("likes", "mean_likes", 20.0 - 2 * quintile + i, 2.0, 360, **labels)
            yield of("likes", "mean_similarity", 0.2 + 0.1 * quintile, 0.01, 360, **labels)
        for model, reach in MODELS.items():
            for level, value in LEVELS.items():
                yield of("likes_regression", model, value, reach, reference=name, level=level)
    yield of("likes_regression", "overdispersion", 0.8, 0.3, reference="art")
    yield of("likes_regression", "pearson_dispersion", 21.0, reference="art")
    yield of("likes_regression", "negative_binomial_alpha", 1.2, reference="art")
    yield of("likes", "without_likes", None, n=12)
    for model, value in (("mean", 33.9), ("boosting", 20.9)):
        yield of("likes_boosting", "held_out_deviance", value, 4.0, model=model)
    for i, outcome in enumerate(("likes", "retweets")):
        for term in ("similarity to art", "log followers", "theme"):
            yield of("likes_joint", "p_value", 0.03, None, outcome=outcome, term=term)
            if term != "theme":
                yield of("likes_joint", "change", -12.0 + i, 6.0, outcome=outcome, term=term)
                for at in range(1, 5) if outcome == "likes" else ():
                    yield of("likes_joint", "curve", 4.0 * at, 3.0, outcome=outcome, term=term, at=at, against=0)
    yield of("likes_boosting", "deviance_explained", 0.38, 0.1, model="boosting")
    yield of("likes_boosting", "mean_abs_shap", 0.7, 0.1, feature="log_followers")


def trends(months: Sequence[str]) -> Iterator[Result]:
    """Yield trends of ten themes, shares by month with a gap, strata, posts by month and NSFW shares."""
    for cluster in range(10):
        sign = cluster % 3 - 1
        yield of("trends", "arrow", float(sign), cluster=cluster)
        yield of("trends", "change_point", 4.0 * sign, 1.0, cluster=cluster, month=months[12])
        yield of("trends", "change_point_q", 0.01 if sign else 0.6, None, cluster=cluster, month=months[12])
        yield of("trends", "relative_change", 1.1 ** (9 * sign) - 1, 0.3, cluster=cluster)
        for i, month in enumerate(months):
            if i != GAP:
                yield of("trends", "month_share", 0.1 + sign * 0.003 * (i - 13), 0.03, 66, cluster=cluster, month=month)
        for kind, name in (("model", "Midjourney"), ("hashtag", "aiart"), ("source", "Web <b>App")):
            labels: dict[str, object] = {"kind": kind, "stratum": name, "cluster": cluster}
            yield of("trends_by_stratum", "share", 0.1, 0.05, 400, **labels)
            yield of("trends_by_stratum", "arrow", float(sign), **labels)
            yield of("trends_by_stratum", "relative_change", 0.2 * sign, 0.1, **labels)
    yield of("trends", "month_share", None, n=0, month=months[GAP])
    for i, month in enumerate(months):
        posts = None if i == GAP else 20.0 + 2 * i
        yield of("activity", "posts", posts, n=int(posts or 0), month=month)
        yield of("activity", "images", posts and 2 * posts, month=month)
    for i, word in enumerate(("new", "art", "prompt", "dream <b>", "colour")):
        yield of("activity", "word", 0.4 / (i + 1), 0.01, 900, word=word)
    yield of("activity", "growth", 4.1, 1.1, 27)
    posts_cluster = {"corpus": "posts", "cluster": "1"}
    for limit in (0.3, 0.5, 0.9):
        for part, share in ({"corpus": "posts"}, 0.06), ({"corpus": "diffusion"}, 0.01), (posts_cluster, 0.2):
            yield of("nsfw", "share_above", share * (1 - limit), 0.001, threshold=limit, **part)
    for corpus in ("posts", "diffusion"):
        for score in (0.0, 0.05, 0.1):
            yield of("nsfw", "share_between", 1 - 9 * score, 0.01, score=score, corpus=corpus)
