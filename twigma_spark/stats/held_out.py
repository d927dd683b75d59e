"""Predictions of counts against what came: Poisson deviance over held-out authors, and mean SHAP values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.special import xlogy

from twigma_spark.results import Result, Value, not_computed
from twigma_spark.stats import counts
from twigma_spark.stats.likes import UNIT, Likes
from twigma_spark.stats.shares import Codes, Floats, clustered_mean, dense

ANALYSIS = "likes_boosting"


def deviance(y: Floats, mu: Floats) -> Floats:
    """Return the Poisson deviance of each count y (n,) from its mean mu (n,): 2 (y log(y / mu) - y + mu)."""
    return np.asarray(2 * (xlogy(y, y / mu) - y + mu))


def compare_predictions(y: Floats, predictions: Mapping[str, Floats], authors: Codes) -> Iterator[Result]:
    """Yield the mean deviance of each prediction, and the share of the first one's deviance that it explains.

    Args:
        y: likes of the held-out images (n,).
        predictions: means (n,) by name; the first is what the others are measured against.
        authors: group of each image.
    """
    split = "of images whose authors the model has not seen"
    each = {name: deviance(y, np.maximum(mu, 1e-9)) for name, mu in predictions.items()}
    base_name, base = next(iter(each.items()))
    for name, values in each.items():
        mean = clustered_mean(values, authors, UNIT, "authors")
        mean = replace(mean, method=f"mean Poisson deviance {split}: {mean.method}")
        yield Result.of(ANALYSIS, "held_out_deviance", mean, model=name)
        if name != base_name and base.sum() > 0:
            explained = _explain_deviance(values, base, authors, base_name, split)
            yield Result.of(ANALYSIS, "deviance_explained", explained, model=name)


def _explain_deviance(values: Floats, base: Floats, authors: Codes, base_name: str, split: str) -> Value:
    """Return 1 - sum(values) / sum(base), its error that of the linearised ratio."""
    ratio = float(values.sum() / base.sum())
    spread = clustered_mean((values - ratio * base) / base.mean(), authors, UNIT, "authors")
    low, high = (None if end is None else 1 - ratio + end for end in (spread.low, spread.high))
    method = f"1 - deviance / deviance of '{base_name}' {split}; {spread.method}"
    return Value(1 - ratio, low, high, spread.n, UNIT, method)


def importances(shap: Floats, features: Sequence[str], authors: Codes) -> Iterator[Result]:
    """Yield the mean absolute SHAP value of each feature, in units of the log mean.

    Args:
        shap: values (n, features), without the base.
        features: their names.
        authors: group of each image.
    """
    for name, column in zip(features, np.abs(shap).T, strict=True):
        mean = clustered_mean(column, authors, UNIT, "authors")
        method = f"mean |SHAP| of the held-out images on the log of the likes: {mean.method}"
        yield Result.of(ANALYSIS, "mean_abs_shap", replace(mean, method=method), feature=name)


def regression_means(train: Likes, test: Likes) -> Floats | None:
    """Return what the paper's regression, fitted to `train`, expects of the images of `test` (n,).

    Its columns are follower bands and, of every reference, the quintiles of `train`; unknown values are the
    reference level. None where it cannot be fitted.
    """
    known = {name: values for name, values in train.similarity.items() if np.isfinite(values).any()}
    edges = {name: np.nanquantile(values, [0.2, 0.4, 0.6, 0.8]) for name, values in known.items()}
    x, new = _columns(train, edges), _columns(test, edges)
    varied = (x.T @ train.likes > 0) & (x.mean(axis=0) < 1)
    varied[0] = True
    x, new = x[:, varied], new[:, varied]
    if not train.likes.sum() or np.linalg.matrix_rank(x.T @ x, hermitian=True) < x.shape[1]:
        return None
    fit = counts.poisson(train.likes, x)
    return np.asarray(np.exp(new @ fit.params))


def _columns(data: Likes, edges: Mapping[str, Floats]) -> Floats:
    columns = [np.ones((len(data.likes), 1)), counts.dummies(data.band, (1, 2))]
    for name, cuts in edges.items():
        values = data.similarity[name]
        fifth = np.where(np.isfinite(values), np.searchsorted(cuts, values, side="left"), 4)
        columns.append(counts.dummies(fifth, range(4)))
    return np.concatenate(columns, axis=1)


def held_out_results(
    train: Likes, test: Likes, prediction: Floats, shap: Floats, features: Sequence[str]
) -> Iterator[Result]:
    """Yield the boosted model beside the mean and the regression, and what its features count for.

    Args:
        train: images of the authors that were fitted to.
        test: images of the others.
        prediction: of the boosted model for `test` (n,).
        shap: its SHAP values (n, features).
        features: their names.
    """
    authors, y = dense(test.author), test.likes.astype(np.float64)
    means = {"mean": np.full(len(y), max(float(train.likes.mean()), 1e-9))}
    regression = regression_means(train, test)
    if regression is None:
        reason = "the regression cannot be fitted to the authors that are not held out"
        yield Result.of(ANALYSIS, "held_out_deviance", not_computed(reason, len(y), UNIT), model="regression")
    else:
        means["regression"] = regression
    yield from compare_predictions(y, {**means, "boosting": prediction}, authors)
    yield from importances(shap, features, authors)
