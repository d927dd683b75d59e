"""Made-up results on likes and trends for the page of report_demo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twigma_spark.report.data import Result

LEVELS = {"quintile 1": 42.0, "quintile 2": 30.0, "quintile 3": 11.0, "followers >5000 vs <500": 910.0}
MODELS = {
    "poisson": 4.0, "poisson_tweet": 15.0, "poisson_author": 25.0, "quasi_poisson": 18.0, "negative_binomial": 22.0,
    "poisson_offset": 26.0, "poisson_age": 27.0, "ppml_author": 40.0,
}  # fmt: skip
GAP = 8


def of(
    analysis: str, metric: str, group: str, value: float | None, reach: float | None = None, n: int = 1800
) -> Result:
    """Return a row with a symmetric interval, or none."""
    low, high = (None, None) if value is None or reach is None else (value - reach, value + reach)
    stage = "likes" if analysis.startswith("likes") else "trends"
    return Result(stage, analysis, metric, group, value, low, high, n, "images", "a method")


def likes(references: Sequence[str]) -> Iterator[Result]:
    """Yield likes that fall with similarity, and the regressions of them."""
    for i, name in enumerate(references):
        for quintile in range(1, 6):
            yield of("likes", "mean_likes", f"{name}|quintile {quintile}", 20.0 - 2 * quintile + i, 2.0, 360)
            yield of("likes", "mean_similarity", f"{name}|quintile {quintile}", 0.2 + 0.1 * quintile, 0.01, 360)
        for model, reach in MODELS.items():
            for level, value in LEVELS.items():
                yield of("likes_regression", model, f"{name}|{level}", value, reach)
    yield of("likes_regression", "overdispersion", "art|all", 0.8, 0.3)
    yield of("likes_regression", "pearson_dispersion", "art|all", 21.0)
    yield of("likes_regression", "negative_binomial_alpha", "art|all", 1.2)
    yield of("likes", "without_likes", "posts", None, n=12)
    for model, value in (("mean", 33.9), ("boosting", 20.9)):
        yield of("likes_boosting", "held_out_deviance", model, value, 4.0)
    yield of("likes_boosting", "deviance_explained", "boosting", 0.38, 0.1)
    yield of("likes_boosting", "mean_abs_shap", "log_followers", 0.7, 0.1)


def trends(months: Sequence[str]) -> Iterator[Result]:
    """Yield trends of ten themes, shares by month with a gap, strata, posts by month and NSFW shares."""
    for cluster in range(10):
        sign = cluster % 3 - 1
        yield of("trends", "arrow", str(cluster), float(sign))
        yield of("trends", "relative_change", str(cluster), 1.1 ** (9 * sign) - 1, 0.3)
        for i, month in enumerate(months):
            if i != GAP:
                yield of("trends", "month_share", f"{cluster}|{month}", 0.1 + sign * 0.003 * (i - 13), 0.03, 66)
        for tag in ("model:Midjourney", "hashtag:aiart", "source:Web <b>App"):
            yield of("trends_by_stratum", "share", f"{tag}|{cluster}", 0.1, 0.05, 400)
            yield of("trends_by_stratum", "arrow", f"{tag}|{cluster}", float(sign))
            yield of("trends_by_stratum", "relative_change", f"{tag}|{cluster}", 0.2 * sign, 0.1)
    yield of("trends", "month_share", f"all|{months[GAP]}", None, n=0)
    for i, month in enumerate(months):
        posts = None if i == GAP else 20.0 + 2 * i
        yield of("activity", "posts", month, posts, n=int(posts or 0))
        yield of("activity", "images", month, posts and 2 * posts)
    yield of("activity", "growth", "posts", 4.1, 1.1, 27)
    for limit in (0.3, 0.5, 0.9):
        for group, share in (("posts", 0.06), ("diffusion", 0.01), ("posts|cluster 1", 0.2)):
            yield of("nsfw", f"share_above_{limit:g}", group, share * (1 - limit), 0.001)
