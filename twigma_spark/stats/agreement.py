"""Agreement: Krippendorff's alpha, groupings against clusters, and keywords against captions."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from twigma_spark.stats.shares import Floats, dense

Distance = Callable[[Any, Any], float]


def nominal(a: Hashable, b: Hashable) -> float:
    """Return 0 for equal values and 1 for others."""
    return float(a != b)


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Return the Jaccard distance of two sets, 1 - |a & b| / |a | b|; 0 of two empty ones."""
    both = len(a | b)
    return 1 - len(a & b) / both if both else 0.0


def krippendorff_alpha(units: Sequence[Sequence[Hashable]], distance: Distance = nominal) -> float | None:
    """Return Krippendorff's alpha, 1 - observed over expected disagreement; None where it is not defined.

    Any number of raters and missing values: a unit counts where it has two values or more. Alpha is not
    defined where no unit does, or where all values are the same. A distance that is not squared belongs into
    `distance` as it is; Krippendorff's interval alpha takes the square of the difference.

    Args:
        units: values that each unit was given.
        distance: of two values, 0 for equal ones.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", equation of section C.
    """
    paired = [list(values) for values in units if len(values) > 1]
    names = list(dict.fromkeys(value for values in paired for value in values))
    place = {name: i for i, name in enumerate(names)}
    table = np.zeros((len(paired), len(names)))
    for row, values in enumerate(paired):
        np.add.at(table[row], [place[v] for v in values], 1)
    return _alpha(table, np.array([[distance(a, b) for b in names] for a in names]))


def _alpha(table: Floats, distances: Floats) -> float | None:
    """Return alpha of counts (units, values) and distances (values, values)."""
    if not table.size:
        return None
    totals, values = table.sum(axis=1), table.sum(axis=0)
    n = totals.sum()
    observed = float((((table @ distances) * table).sum(axis=1) / (totals - 1)).sum()) / n
    expected = float(values @ distances @ values) / (n * (n - 1))
    return 1 - observed / expected if expected > 0 else None


def together(groups: NDArray[Any]) -> NDArray[np.bool_]:
    """Return of each pair of items (pairs,), in the order of `numpy.triu_indices`, whether it is in one group."""
    first, second = np.triu_indices(len(groups), 1)
    return np.asarray(groups[first] == groups[second])


def grouping_alpha(groupings: Sequence[NDArray[Any]]) -> float | None:
    """Return Krippendorff's alpha of pairs of items put together or apart, nominal.

    The names of groups mean nothing across annotators; whether two items are together does.

    Args:
        groupings: of each annotator, the group of each item (items,), None where it was given none.
    """
    pairs = len(together(groupings[0])) if groupings else 0
    yes, answered = np.zeros(pairs), np.zeros(pairs)
    for groups in groupings:
        first, second = np.triu_indices(len(groups), 1)
        known = np.array([g is not None for g in groups])
        valid = known[first] & known[second]
        yes += together(groups) & valid
        answered += valid
    use = answered > 1
    return _alpha(np.stack([yes, answered - yes], axis=1)[use], 1 - np.eye(2)) if use.any() else None


def rand_index(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return the adjusted Rand index of two groupings (items,), by scikit-learn (Hubert & Arabie 1985).

    Raises:
        ValueError: there are fewer than 2 items, of which no grouping says anything.
    """
    _require_pairs(a)
    return float(adjusted_rand_score(dense(a.astype(str)), dense(b.astype(str))))


def mutual_information(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return the adjusted mutual information of two groupings (items,), by scikit-learn (Vinh et al. 2010).

    Raises:
        ValueError: there are fewer than 2 items.
    """
    _require_pairs(a)
    return float(adjusted_mutual_info_score(dense(a.astype(str)), dense(b.astype(str))))


def _require_pairs(groups: NDArray[Any]) -> None:
    if len(groups) < 2:
        raise ValueError(f"groupings must have at least 2 items. Got {len(groups)}.")


def half_samples(strata: NDArray[Any], replicates: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return random halves of the items, drawn within each stratum without replacement.

    A statistic scatters over random halves as it does over samples: the variance of a half drawn without
    replacement, (1 - 1/2) / (n/2), is that of the whole, 1/n (Politis & Romano 1994, with halves). The
    bootstrap proper would put an item beside its own copy, which two groupings never part, and so overstate
    the agreement of groupings.

    Args:
        strata: of each item (items,), such as its cluster.
        replicates: halves.
        rng: source of randomness.
    """
    members = [np.flatnonzero(strata == name) for name in np.unique(strata)]
    halves = []
    for _ in range(replicates):
        # Of an odd number, one half is larger; by turns, so that the mean size is a half.
        parts = [rng.permutation(m)[: (len(m) + int(rng.integers(0, 2))) // 2] for m in members]
        halves.append(np.sort(np.concatenate(parts)))
    return halves


def keyword_overlap(keywords: Sequence[frozenset[str]], captions: Sequence[frozenset[str]]) -> Floats:
    """Return of each item (items,) the share of its keywords that are words of its caption; 0 without keywords."""
    return np.array([len(k & c) / len(k) if k else 0.0 for k, c in zip(keywords, captions, strict=True)])


def permuted_overlaps(
    keywords: Sequence[frozenset[str]], captions: Sequence[frozenset[str]], replicates: int, rng: np.random.Generator
) -> Floats:
    """Return the mean overlap (replicates,) with the captions assigned to the items at random."""
    table = np.array([[len(k & c) / len(k) if k else 0.0 for c in captions] for k in keywords])
    rows = np.arange(len(keywords))
    return np.array([table[rows, rng.permutation(len(captions))].mean() for _ in range(replicates)])


def permutation_p(observed: float, null: Floats) -> float:
    """Return the one-sided p-value of a value among those of its null, (1 + as large) / (1 + all)."""
    return float((1 + (null >= observed - 1e-12).sum()) / (1 + len(null)))
