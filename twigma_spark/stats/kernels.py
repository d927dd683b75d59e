"""Maximum mean discrepancy with a Gaussian kernel, unbiased, and CMMD, which is it on CLIP vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twigma_spark.stats.sample import Codes, Floats, Vectors

# Jayasumana et al. 2024: the bandwidth for CLIP vectors of unit length, and the factor they show.
CMMD_BANDWIDTH, CMMD_FACTOR = 10.0, 1000.0


@dataclass(frozen=True)
class Kernels:
    """The three kernel matrices of two samples: within p (n, n), within q (m, m), between them (n, m)."""

    pp: Floats
    qq: Floats
    pq: Floats


def kernels(p: Vectors, q: Vectors, bandwidth: float) -> Kernels:
    """Return exp(-|x - y|^2 / (2 bandwidth^2)) within and between two samples (n, d) and (m, d)."""
    return Kernels(*(np.exp(-squares(a, b) / (2.0 * bandwidth**2)) for a, b in ((p, p), (q, q), (p, q))))


def median_bandwidth(p: Vectors, q: Vectors) -> float:
    """Return the median distance between rows of both samples together; 1 where all are equal.

    Source: Gretton et al. 2012, section 8 (the median heuristic).
    """
    joint = np.concatenate([p, q])
    above = np.triu_indices(len(joint), 1)
    median = float(np.sqrt(np.median(squares(joint, joint)[above]))) if len(joint) > 1 else 0.0
    return median if median > 0 else 1.0


def mmd(kernels: Kernels) -> float:
    """Return the unbiased squared MMD; about 0, also below, where both come from one distribution.

    Source: Gretton et al. 2012, "A kernel two-sample test", equation 3.
    """
    n, m = len(kernels.pp), len(kernels.qq)
    one, other = np.ones((1, n)), np.ones((1, m))
    return float(weighted_mmd(kernels, one, other)[0])


def weighted_mmd(kernels: Kernels, p: Floats, q: Floats) -> Floats:
    """Return the squared MMD of resamples, of weights (replicates, n) and (replicates, m) of the rows.

    Pairs of a row and its own copy are left out, as the unbiased estimate leaves out a row and itself:
    else resampling would add similarity that is not there.
    """
    within = _within(kernels.pp, p) + _within(kernels.qq, q)
    between = np.einsum("bi,bi->b", p @ kernels.pq, q) / (p.sum(1) * q.sum(1))
    return np.asarray(within - 2.0 * between, np.float64)


def row_weights(weights: Vectors, codes: Codes) -> Floats:
    """Return the weights of rows (replicates, n) from those of their groups (replicates, groups)."""
    return weights[:, codes].astype(np.float64)


def squares(a: Vectors, b: Vectors) -> Floats:
    """Return the squared Euclidean distances (n, m) of rows, not below 0."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    return np.asarray(np.maximum((x * x).sum(1)[:, None] + (y * y).sum(1)[None, :] - 2.0 * x @ y.T, 0.0), np.float64)


def _within(kernel: Floats, weights: Floats) -> Floats:
    own = np.square(weights)
    total = np.einsum("bi,bi->b", weights @ kernel, weights) - own @ np.diag(kernel)
    pairs = np.square(weights.sum(1)) - own.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(pairs > 0, total / pairs, 1.0), np.float64)
