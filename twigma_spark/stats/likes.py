"""Likes against similarity to a reference: means by quintile and the regressions, as rows of `results`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twigma_spark.results import Result, Value, not_computed
from twigma_spark.stats import counts
from twigma_spark.stats.counts import Fit
from twigma_spark.stats.fixed_effects import conditional_poisson
from twigma_spark.stats.score_tests import SignFlips, cells_of, score_interval
from twigma_spark.stats.shares import Floats, clustered_mean, dense, skewed_mean

UNIT = "images"
BANDS = ("<500", "500-5000", ">5000")
SHARED = "images of one post share its likes"


@dataclass(frozen=True)
class Likes:
    """The images of the posts and what these got, each (n,).

    Attributes:
        likes: likes of the post, 0 or more.
        post: any label of the post.
        author: any label of the author.
        band: place in `BANDS` of the author's followers, -1 where they are not known.
        log_age: log of the days that the post had to collect likes.
        similarity: by reference, the mean cosine of the nearest images there; NaN where there are none.
    """

    likes: NDArray[Any]
    post: NDArray[Any]
    author: NDArray[Any]
    band: NDArray[np.integer[Any]]
    log_age: NDArray[np.floating[Any]]
    similarity: Mapping[str, NDArray[np.floating[Any]]]

    def of(self, rows: NDArray[np.bool_]) -> Likes:
        """Return some of the images."""
        near = {name: values[rows] for name, values in self.similarity.items()}
        return Likes(self.likes[rows], self.post[rows], self.author[rows], self.band[rows], self.log_age[rows], near)


@dataclass(frozen=True)
class Design:
    """A regression as it can be fitted.

    Attributes:
        y: likes (n,).
        x: columns (n, p), the constant first.
        names: of the columns after the constant.
        post: group of each image.
        author: group of each image.
        log_age: (n,).
        missing: levels without a coefficient, and what is said of them.
    """

    y: Floats
    x: Floats
    names: tuple[str, ...]
    post: NDArray[np.int64]
    author: NDArray[np.int64]
    log_age: Floats
    missing: Mapping[str, Value]


def likes_results(data: Likes, nearest: int, confidence: float = 0.95, seed: int = 0) -> Iterator[Result]:
    """Yield all that is said of the likes: means by quintile and regressions, one reference after another.

    Args:
        data: the images with likes.
        nearest: neighbours that the similarity is a mean of; for the method's words.
        confidence: of the intervals.
        seed: of the resamples and of the random signs.
    """
    for reference, similarity in data.similarity.items():
        known = np.isfinite(similarity)
        if not known.any():
            reason = "no image has both likes and neighbours there" if len(data.likes) else "no image has likes"
            yield Result.of("likes", "mean_likes", not_computed(reason, 0, UNIT), reference=reference)
            continue
        there = data.of(known)
        fifth = counts.quintiles(there.similarity[reference])
        yield from quintile_means(there, reference, fifth, nearest, confidence)
        yield from regressions(there, reference, fifth, confidence, seed)


def quintile_means(
    data: Likes, reference: str, fifth: NDArray[np.int8], nearest: int, confidence: float
) -> Iterator[Result]:
    """Yield the mean likes and the mean similarity of each quintile, clustered by author."""
    tied = "the quintile is empty: too many images are equally similar"
    method = f"quintile 1 least similar by the mean cosine of the {nearest} nearest; {SHARED}"
    for metric, values in (("mean_likes", data.likes), ("mean_similarity", data.similarity[reference])):
        for number in range(5):
            rows = fifth == number
            mean = not_computed(tied, 0, UNIT)
            if rows.any():
                author = dense(data.author[rows])
                mean = (
                    skewed_mean(values[rows], author, UNIT, "authors", confidence)
                    if metric == "mean_likes"
                    else clustered_mean(values[rows], author, UNIT, "authors", confidence)
                )
                mean = replace(mean, method=f"{mean.method}; {method}")
            yield Result.of("likes", metric, mean, reference=reference, quintile=number + 1)


def regressions(data: Likes, reference: str, fifth: NDArray[np.int8], confidence: float, seed: int) -> Iterator[Result]:
    """Yield the percent changes of every model, and the tests of the Poisson's variance."""
    design = build_design(data, fifth)
    if isinstance(design, str):
        absent = not_computed(design, len(data.likes), UNIT)
        yield Result.of("likes_regression", "poisson", absent, reference=reference)
        return
    for metric, level, value in _fit_models(design, confidence, SignFlips(seed)):
        yield Result.of("likes_regression", metric, value, reference=reference, level=level)
    for level, value in design.missing.items():
        yield Result.of("likes_regression", "poisson", value, reference=reference, level=level)


def build_design(data: Likes, fifth: NDArray[np.int8]) -> Design | str:
    """Return the regression of likes on quintiles (5 as reference) and follower bands, or why there is none.

    A level without likes has a coefficient of minus infinity; its images are left out, and it is reported apart.
    """
    y, use = data.likes, data.band >= 0
    if not use.any():
        return "no author's followers are known"
    if not y[use].sum():
        return f"all likes of the {int(use.sum()):,} images are 0"
    if missing := [k + 1 for k in range(5) if not (use & (fifth == k)).any()]:
        return f"quintiles {missing} have no images: too many images are equally similar"
    without_likes, use = _levels_without_likes(y, fifth, data.band, use)
    if "quintile 5" in without_likes:
        return "quintile 5, the reference, has no likes"
    bands = [b for b in range(3) if (use & (data.band == b)).any()]
    levels = [k for k in range(4) if f"quintile {k + 1}" not in without_likes]
    columns = [np.ones((int(use.sum()), 1)), counts.dummies(fifth[use], levels)]
    columns.append(counts.dummies(data.band[use], bands[1:]))
    x = np.concatenate(columns, axis=1)
    if np.linalg.matrix_rank(x.T @ x, hermitian=True) < x.shape[1]:
        return "quintiles and follower bands cannot be told apart: too few images"
    names = [f"quintile {k + 1}" for k in levels] + [f"followers {BANDS[b]} vs {BANDS[bands[0]]}" for b in bands[1:]]
    post, author = dense(data.post[use]), dense(data.author[use])
    return Design(
        y[use].astype(np.float64), x, tuple(names), post, author, data.log_age[use].astype(float), without_likes
    )


def _levels_without_likes(
    y: NDArray[Any], fifth: NDArray[np.int8], band: NDArray[np.integer[Any]], use: NDArray[np.bool_]
) -> tuple[dict[str, Value], NDArray[np.bool_]]:
    """Return the levels that have images but no likes, and the images of the others."""
    levels = [(f"quintile {k + 1}", fifth == k) for k in range(5)]
    levels += [(f"followers {BANDS[b]}", band == b) for b in range(3)]
    without_likes = {}
    for name, rows in levels:
        n = int((use & rows).sum())
        if n and not y[use & rows].sum():
            method = "percent change; no interval: none of its images has a like, so the coefficient is infinite"
            without_likes[name] = Value(-100.0, None, None, n, UNIT, method)
            use = use & ~rows
    return without_likes, use


def _fit_models(design: Design, confidence: float, flips: SignFlips) -> Iterator[tuple[str, str | None, Value]]:
    """Yield metric, level and value of each model; the level is None where a value is of the whole model."""
    y, x, p = design.y, design.x, design.x.shape[1]
    fit = counts.poisson(y, x)
    scale = counts.pearson_scale(fit, y, p)
    yield from _score_changes(design, fit, flips, confidence)
    yield from _changes("poisson", design, fit, fit.cov, None, "errors of the Poisson model", confidence)
    for metric, groups, of in (
        ("poisson_post", design.post, "posts"),
        ("poisson_author", design.author, "authors"),
    ):
        yield from _clustered_changes(metric, design, fit, groups, of, confidence)
    words = f"errors times the root of Pearson's dispersion {scale:.3g}"
    yield from _changes("quasi_poisson", design, fit, fit.cov * scale, None, words, confidence)
    negative = counts.negative_binomial(y, x)
    if negative is None:
        yield "negative_binomial", None, not_computed("its maximum likelihood was not found", len(y), UNIT)
    else:
        yield from _clustered_changes("negative_binomial", design, negative, design.author, "authors", confidence)
        method = f"dispersion of the negative binomial by maximum likelihood; no interval; {SHARED}"
        yield "negative_binomial_alpha", None, Value(negative.alpha, None, None, len(y), UNIT, method)
    yield from _with_age(design, confidence)
    yield from _within_authors(design, confidence)
    n = len(y)
    method = "Pearson's chi-squared over its degrees of freedom; 1 of a Poisson; no interval"
    yield "pearson_dispersion", None, Value(scale, None, None, n, UNIT, method)
    if design.post.max() > 0:
        yield "overdispersion", None, counts.overdispersion(y, fit.mu, design.post, UNIT, "posts")[0]


MODELS = {
    "poisson_score": "Poisson regression",
    "poisson": "Poisson regression in statsmodels",
    "poisson_post": "Poisson regression in statsmodels",
    "poisson_author": "Poisson regression in statsmodels",
    "quasi_poisson": "quasi-Poisson regression",
    "negative_binomial": "negative binomial (NB2) regression",
    "poisson_offset": "Poisson regression with the log of the post's age as offset",
    "poisson_age": "Poisson regression with the log of the post's age as a column",
    "ppml_author": "Poisson regression with a fixed effect of each author (PPML)",
}


def _score_changes(
    design: Design, fit: Fit, flips: SignFlips, confidence: float
) -> Iterator[tuple[str, str | None, Value]]:
    """Yield the percent change of each column with the interval that score tests by author do not reject."""
    many, p = int(design.author.max()) + 1, design.x.shape[1]
    if many < p + 1:
        reason = f"{p} coefficients need more authors than that, there are {many}"
        yield "poisson_score", None, not_computed(reason, len(design.y), UNIT)
        return
    cells = cells_of(design.y, design.x, design.author)
    errors = np.sqrt(np.diag(counts.clustered_covariance(fit, design.y, design.x, design.author)))
    for place, name in enumerate(design.names, start=1):
        interval = score_interval(cells, place, fit.params, max(2 * float(errors[place]), 1e-3), flips, confidence)
        ends = 100 * np.expm1(np.array([float(fit.params[place]), interval.low, interval.high]))
        method = f"by score tests with the signs of {many:,} authors drawn"
        words = f"{confidence:.0%} interval and p = {interval.p:.2g} {method}"
        yield "poisson_score", name, _percent(ends, len(design.y), f"{MODELS['poisson_score']}; {words}")


def _changes(
    metric: str, design: Design, fit: Fit, cov: Floats, groups: int | None, words: str, confidence: float
) -> Iterator[tuple[str, str | None, Value]]:
    """Yield the percent change of each column after the constant."""
    kind = "normal" if groups is None else "t"
    for place, name in enumerate(design.names, start=1):
        ends = counts.percent_change(fit.params[place], cov[place, place], groups, confidence)
        method = f"{MODELS[metric]}; {confidence:.0%} {kind} interval, {words}"
        yield metric, name, _percent(ends, len(design.y), method)


def _percent(ends: Floats, n: int, words: str) -> Value:
    value, low, high = (float(end) for end in ends)
    method = f"percent change of the mean likes, quintiles against quintile 5; {words}; {SHARED}"
    return Value(value, low, high if np.isfinite(high) else None, n, UNIT, method)


def _clustered_changes(
    metric: str, design: Design, fit: Fit, groups: NDArray[np.int64], of: str, confidence: float
) -> Iterator[tuple[str, str | None, Value]]:
    many = int(groups.max()) + 1
    if many < design.x.shape[1] + 1:
        reason = f"{design.x.shape[1]} coefficients need more {of} than that, there are {many}"
        yield metric, None, not_computed(reason, len(design.y), UNIT)
        return
    cov = counts.clustered_covariance(fit, design.y, design.x, groups)
    yield from _changes(metric, design, fit, cov, many, f"errors clustered by {many:,} {of}", confidence)


def _with_age(design: Design, confidence: float) -> Iterator[tuple[str, str | None, Value]]:
    """Yield the models with the age of the post: as an offset, and as a column whose coefficient tests that."""
    if np.ptp(design.log_age) < 1e-6:
        yield "poisson_offset", None, not_computed("all posts are of the same age", len(design.y), UNIT)
        return
    fit = counts.poisson_of_rows(design.y, design.x, design.log_age)
    yield from _clustered_changes("poisson_offset", design, fit, design.author, "authors", confidence)
    # In doublings: a coefficient of log 2, plus 100% a doubling, is what the offset takes for granted.
    doublings = (design.log_age - design.log_age.mean()) / np.log(2)
    aged = replace(
        design, x=np.concatenate([design.x, doublings[:, None]], axis=1), names=(*design.names, "age doubled")
    )
    if np.linalg.matrix_rank(aged.x.T @ aged.x, hermitian=True) == aged.x.shape[1]:
        fit = counts.poisson_of_rows(aged.y, aged.x)
        yield from _clustered_changes("poisson_age", aged, fit, aged.author, "authors", confidence)


def _within_authors(design: Design, confidence: float) -> Iterator[tuple[str, str | None, Value]]:
    """Yield the model with author effects; columns that are constant within an author drop out."""
    places = [i for i, name in enumerate(design.names, start=1) if name.startswith("quintile")]
    fitted = conditional_poisson(design.y, design.x[:, places], design.author) if places else None
    if fitted is None or fitted.groups < len(places) + 2:
        reason = "too few authors have several images of different quintiles and likes"
        yield "ppml_author", None, not_computed(reason, len(design.y), UNIT)
        return
    words = f"errors clustered by {fitted.groups:,} authors, those with two images or more and likes"
    for i, place in enumerate(places):
        ends = counts.percent_change(fitted.params[i], fitted.cov[i, i], fitted.groups, confidence)
        method = f"{MODELS['ppml_author']}; {confidence:.0%} t interval, {words}"
        yield "ppml_author", design.names[place - 1], _percent(ends, fitted.n, method)
