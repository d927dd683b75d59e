"""How varied vectors are, from their moments: singular values, variances of dimensions and of directions, cosines."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from twigma_spark.stats.sample import Floats


def inverse_explained_variance(second: Floats) -> float | None:
    """Return the sum of the vectors' singular values over the largest: 1 (one direction) to d; None where all are 0.

    The vectors are not centred: the largest singular value is mostly their common direction.

    Args:
        second: eigenvalues of the sum or mean of the outer products (d,), the squares of the singular values.

    Source: Chen & Zou 2023 (TWIGMA), on variation.
    """
    values = np.sqrt(second)
    largest = float(values.max(initial=0.0))
    return float(values.sum() / largest) if largest > 0 else None


def pseudo_multivariate_variance(feature_variances: Floats) -> float:
    """Return the geometric mean of the standard deviations of the dimensions, (∏ σᵢ)^(1/d); in logarithms.

    0 where a dimension does not vary. It depends on the axes: a rotation of the vectors changes it.

    Args:
        feature_variances: variance of each dimension (d,).

    Source: Chen & Zou 2023 (TWIGMA), on variation.
    """
    return float(np.sqrt(generalised_variance(feature_variances)))


def effective_rank(variances: Floats) -> float | None:
    """Return the sum of the variances over the largest: 1 (a line) to d (a ball); None where all are 0.

    Args:
        variances: eigenvalues of the covariance (d,).

    Source: Koltchinskii & Lounici 2017, Bernoulli 23, on the effective rank of a covariance.
    """
    largest = float(variances.max(initial=0.0))
    return float(variances.sum() / largest) if largest > 0 else None


def generalised_variance(variances: Floats) -> float:
    """Return the geometric mean of the variances, the d-th root of the generalised variance; in logarithms.

    0 where a variance is 0, as with no more rows than dimensions. The product itself leaves the range of
    floating point: 768 variances of 1/1000 make 1e-2304.

    Args:
        variances: eigenvalues of the covariance (d,).

    Source: Wilks 1932.
    """
    if not len(variances) or variances.min() <= 0:
        return 0.0
    return float(np.exp(np.log(variances).mean()))


def vendi(second: Floats) -> float:
    """Return the Vendi score, the effective number of different vectors: 1 (all equal) to min(n, d).

    The exponential of the entropy of the eigenvalues of the matrix of cosines over n, which are those of the
    d x d mean outer product.

    Args:
        second: eigenvalues that add up to 1 (d,).

    Source: Friedman & Dieng 2023, definition 3.1, by features of low rank.
    """
    positive = second[second > 0]
    # A sum of rounded terms can fall below 1, which no number of vectors does.
    return max(1.0, float(np.exp(-(positive * np.log(positive)).sum())))


def vendi_of_rows(vectors: ArrayLike) -> float:
    """Return the Vendi score of few unit vectors (n, d), by their n x n cosines."""
    rows = np.asarray(vectors, np.float64)
    values = np.linalg.eigvalsh(rows @ rows.T)
    return vendi(np.maximum(values, 0.0) / max(float(values.sum()), 1e-300))
