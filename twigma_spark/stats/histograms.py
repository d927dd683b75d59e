"""Measures of two histograms over the same bins, for one pair of counts (k,) or for stacks of them (..., k).

Counts must be finite, at least 0 and not all 0; else a ValueError is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from twigma_spark.stats.intervals import bias_corrected
from twigma_spark.stats.sample import Floats

Ends = tuple[float, float, float]
# Points on the divergence frontier and the constant c of Pillutla et al. 2021.
FRONTIER, SCALE = 25, 5.0


def kl(p: Floats, q: Floats) -> Floats:
    """Return KL(p || q) in nats of counts (..., k), plug-in; inf where p has a bin that q has not."""
    return _kl_of_shares(_shares(p), _shares(q))


def kl_kt(p: Floats, q: Floats) -> Floats:
    """Return KL(p || q) in nats after half a count is added to each bin (Krichevsky & Trofimov 1981)."""
    return kl(p + 0.5, q + 0.5)


def js(p: Floats, q: Floats) -> Floats:
    """Return the Jensen-Shannon divergence in nats, 0 to log 2 (Lin 1991, with equal weights)."""
    p, q = _shares(p), _shares(q)
    middle = (p + q) / 2.0
    return (kl(p, middle) + kl(q, middle)) / 2.0


def frontier_integral(p: Floats, q: Floats) -> Floats:
    """Return the frontier integral, 0 (alike) to 1 (apart).

    The integral over l in (0, 1) of 2 (l KL(p || r) + (1 - l) KL(q || r)) with r = l p + (1 - l) q, in closed
    form: each bin gives (p + q) / 2 - p q / (p - q) log(p / q), and 0 where p = q.

    Source: Liu et al. 2021, "Divergence frontiers for generative models".
    """
    p, q = _shares(p), _shares(q)
    both = (p > 0) & (q > 0) & (p != q)
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = np.where(both, p * q / (p - q) * (np.log(p) - np.log(q)), 0.0)
    terms = np.where(p == q, 0.0, (p + q) / 2.0 - inner)
    return np.asarray(np.clip(terms.sum(axis=-1), 0.0, 1.0), np.float64)


def mauve(p: Floats, q: Floats) -> Floats:
    """Return the MAUVE score: 1 (alike) down to 1/252 (apart; 0.004).

    The area under the curve (exp(-c KL(q || r)), exp(-c KL(p || r))) of mixtures r = l p + (1 - l) q, with its
    ends (1, 0) and (0, 1), by trapezoids over 25 values of l as the paper's own code takes them.

    Source: Pillutla et al. 2021 and 2023, with c = 5.
    """
    p, q = _shares(p), _shares(q)
    mix = np.linspace(1e-6, 1.0 - 1e-6, FRONTIER)[:, None]
    between = mix * np.expand_dims(p, -2) + (1.0 - mix) * np.expand_dims(q, -2)
    x = _add_ends(np.exp(-SCALE * _kl_of_shares(np.expand_dims(q, -2), between)), 0)
    y = _add_ends(np.exp(-SCALE * _kl_of_shares(np.expand_dims(p, -2), between)), -1)
    # Along l the mixture moves from q to p: x falls from 1 to 0 while y rises from 0 to 1.
    area = -np.sum(np.diff(x, axis=-1) * (y[..., 1:] + y[..., :-1]) / 2.0, axis=-1)
    return np.asarray(np.clip(area, 0.0, 1.0), np.float64)


def entropy(counts: Floats) -> Floats:
    """Return the plug-in entropy in nats of counts (..., k): 0 (one bin) to log k (all alike)."""
    shares = _shares(counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(shares > 0, shares * np.log(shares), 0.0)
    return np.asarray(np.maximum(-terms.sum(axis=-1), 0.0), np.float64)


@dataclass(frozen=True)
class Histogram:
    """A measure of two histograms.

    Attributes:
        measure: the function.
        words: its name.
        symmetric: whether the order of the two does not matter.
        most: the greatest value; the least is 0.
        of_logs: whether its bias and its interval are those of -log of it, as of a score that is 1 where all is alike.
    """

    measure: Callable[[Floats, Floats], Floats]
    words: str
    symmetric: bool = False
    most: float = np.inf
    of_logs: bool = False

    def estimate(self, counts: tuple[Floats, Floats], drawn: tuple[Floats, Floats], confidence: float) -> Ends:
        """Return the measure without its bias, and the ends of its interval.

        Args:
            counts: of the two, (k,) each.
            drawn: of bootstrap samples, (replicates, k) each.
            confidence: of the interval.
        """
        one, many = float(self.measure(*counts)), self.measure(*drawn)
        if not self.of_logs:
            return bias_corrected(one, many, confidence, 0.0, self.most)
        middle, low, high = bias_corrected(-np.log(one), -np.log(many), confidence, 0.0)
        return float(np.exp(-middle)), float(np.exp(-high)), float(np.exp(-low))


HISTOGRAMS: dict[str, Histogram] = {
    "kl": Histogram(kl, "KL"),
    "kl_kt": Histogram(kl_kt, "KL with half a count added to each bin"),
    "js": Histogram(js, "Jensen-Shannon divergence", symmetric=True, most=float(np.log(2.0))),
    "frontier_integral": Histogram(frontier_integral, "frontier integral", symmetric=True, most=1.0),
    "mauve": Histogram(mauve, "MAUVE score (c = 5)", symmetric=True, of_logs=True),
}


def _shares(counts: Floats) -> Floats:
    values = np.asarray(counts, np.float64)
    totals = values.sum(axis=-1, keepdims=True)
    if not (np.isfinite(totals) & (totals > 0)).all() or not (values >= 0).all():
        raise ValueError(
            f"counts must be finite, at least 0 and not all 0. Got {np.array2string(values, threshold=20)}."
        )
    return np.asarray(values / totals, np.float64)


def _kl_of_shares(p: Floats, q: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * (np.log(p) - np.log(q)), 0.0)
    # A sum of rounded terms can fall below 0, which no divergence does.
    return np.asarray(np.maximum(terms.sum(axis=-1), 0.0), np.float64)


def _add_ends(curve: Floats, one_at: int) -> Floats:
    """Return the curve with its ends: 1 at the end `one_at` (0 or -1), 0 at the other."""
    one, zero = np.ones_like(curve[..., :1]), np.zeros_like(curve[..., :1])
    first, last = (one, zero) if one_at == 0 else (zero, one)
    return np.concatenate([first, curve, last], axis=-1)
