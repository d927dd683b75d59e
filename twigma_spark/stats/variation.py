"""How varied a corpus is, with intervals: from its moments, from sampled pairs, and within its groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from twigma_spark.results import Result, Value, not_computed
from twigma_spark.stats import pairs, resampling
from twigma_spark.stats.groups import Groups, within_groups
from twigma_spark.stats.histograms import entropy
from twigma_spark.stats.intervals import bias_corrected
from twigma_spark.stats.moments import Moments, add_moments, moments
from twigma_spark.stats.quantise import QuantiseSpec, quantise
from twigma_spark.stats.sample import Codes, Floats, Sample, Vectors
from twigma_spark.stats.spread import (
    effective_rank,
    generalised_variance,
    inverse_explained_variance,
    pseudo_multivariate_variance,
    vendi,
)

ANALYSIS = "variation"
Labels = Mapping[str, str]
MOMENT_WORDS = {
    "iev": "inverse explained variance, sum of the singular values over the largest, not centred",
    "pmv": "pseudo-multivariate variance, geometric mean of the dimensions' standard deviations",
    "effective_rank": "effective rank, sum of the covariance's eigenvalues over the largest",
    "generalised_variance": "generalised variance, geometric mean of the covariance's eigenvalues",
    "vendi": "Vendi score, exponential of the entropy of the eigenvalues of the cosines",
}
# Measures that are 0 where one of these has no variance; the others are 1 at least.
WITHOUT_VARIANCE = {"pmv": "dimensions", "generalised_variance": "directions"}
# Measures of the smallest eigenvalues: where groups are not many times the dimensions, their intervals covered the
# truth in 35 to 90% of simulated worlds instead of 95%.
UNCOVERED = ("effective_rank", "generalised_variance")
GROUP_WORDS = {
    "pair_distance": "mean Euclidean distance of unit vectors",
    "vendi": "Vendi score",
    "entropy": "plug-in entropy over {clusters}, nats",
}


@dataclass(frozen=True)
class VariationSpec:
    """How variation is measured.

    Attributes:
        pairs: pairs that are drawn of a corpus.
        clusters: bins of the quantised entropy, over all corpora together.
        variance: share of the joint variance that principal components keep before.
        bootstrap: replicates.
        confidence: of the intervals.
        seed: of pairs, k-means and bootstrap.
    """

    pairs: int = 50_000
    clusters: int = 10
    variance: float = 0.9
    bootstrap: int = 200
    confidence: float = 0.95
    seed: int = 0

    @property
    def quantise(self) -> QuantiseSpec:
        """How vectors are put into bins."""
        return QuantiseSpec(self.clusters, self.variance, self.seed)


def of_moments(blocks: Sequence[Moments], labels: Labels, unit: str, confidence: float) -> list[Result]:
    """Return the measures of MOMENT_WORDS of blocks of rows, with delete-a-block jackknife intervals.

    Args:
        blocks: moments of random blocks of whole groups of rows.
        labels: of the results.
        unit: what the blocks are made of, such as "posts".
        confidence: of the intervals.
    """
    full = [block for block in blocks if block.n]
    if not full:
        return [Result(ANALYSIS, metric, labels, not_computed("no vectors", 0, "images")) for metric in MOMENT_WORDS]
    whole = add_moments(full)
    left_out = [_values(whole - block) for block in full] if len(full) > 1 else []
    interval = f"{confidence:.0%} jackknife over {len(full)} blocks of {unit}"
    return [_of_moment(metric, labels, value, [v[metric] for v in left_out], whole, interval, confidence)
            for metric, value in _values(whole).items()]  # fmt: skip


def _values(whole: Moments) -> dict[str, float | None]:
    variances, second = whole.variances(), whole.second()
    return {
        "iev": inverse_explained_variance(second),
        "pmv": pseudo_multivariate_variance(whole.feature_variances()),
        "effective_rank": effective_rank(variances),
        "generalised_variance": generalised_variance(variances),
        "vendi": vendi(second),
    }


def _of_moment(
    metric: str, labels: Labels, value: float | None, left_out: list[float | None], whole: Moments,
    interval: str, confidence: float,
) -> Result:  # fmt: skip
    blank = Result(ANALYSIS, metric, labels, Value(value, None, None, whole.n, "images", MOMENT_WORDS[metric]))
    if value is None:
        why = "one vector" if whole.n == 1 else "all vectors are equal"
        return blank.with_value(method=f"not defined: {why}, there is no variance")
    if metric in WITHOUT_VARIANCE and value == 0.0:
        d = len(whole.total)
        why = f"{whole.n} vectors of {d} dimensions leave {WITHOUT_VARIANCE[metric]} without variance"
        return blank.with_value(method=f"{blank.method}; 0: {why}; no interval")
    known = [v for v in left_out if v is not None]
    least = 0.0 if metric in WITHOUT_VARIANCE else 1.0
    every = known if len(known) == len(left_out) else []
    estimate, low, high = resampling.jackknife(value, every, confidence, least)
    if low is None:
        needed = f"{resampling.LEAST_BLOCKS} blocks and more variation are needed"
        return blank.with_value(method=f"{blank.method}; no interval: {needed}")
    if metric in UNCOVERED:
        low = high = None
        interval = "no interval: a jackknife's would cover less than stated"
    return blank.with_value(
        estimate=estimate, low=low, high=high, method=f"{blank.method}, less its jackknife bias; {interval}"
    )


def of_pairs(sample: Sample, labels: Labels, spec: VariationSpec) -> list[Result]:
    """Return the mean pair distance, its Monte-Carlo error, and the share of pairs by distance.

    Args:
        sample: unit vectors (n, d) with their groups.
        labels: of the results; bins add their lower edge as `distance`.
        spec: how many pairs, and the interval.
    """
    n = len(sample.vectors)
    if n < 2:
        why = not_computed(f"a pair needs two vectors, there are {n}", n, "images")
        return [Result(ANALYSIS, "pair_distance", labels, why)]
    rng = np.random.default_rng(spec.seed)
    sampled = pairs.sample_pairs(sample.vectors, spec.pairs, rng)
    codes = sample.codes
    weights = resampling.multiplicities(int(codes.max()) + 1, spec.bootstrap, rng)
    drawn = pairs.pair_weights(sampled, codes, weights)
    blank = Result(ANALYSIS, "pair_distance", labels, Value(None, None, None, weights.shape[1], sample.unit, ""))
    return [*_distance(sampled, drawn, blank, spec), *_shares(sampled, drawn, blank, spec)]


def _distance(sampled: pairs.Pairs, drawn: Vectors, blank: Result, spec: VariationSpec) -> list[Result]:
    error, taken = sampled.monte_carlo_error, len(sampled.distance)
    method = "all" if sampled.complete else "sampled"
    interval = resampling.words(spec.confidence, spec.bootstrap, blank.unit, blank.n)
    words = (
        f"mean Euclidean distance of unit vectors, {taken} {method} pairs, Monte-Carlo error {error:.2g}; {interval}"
    )
    low, high = resampling.ends(pairs.weighted_means(sampled.distance, drawn), blank.n, spec.confidence)
    mean = blank.with_value(estimate=float(sampled.distance.mean()), low=low, high=high, method=words)
    why = f"standard error of the mean distance from drawing {taken} pairs; no interval"
    return [mean, replace(blank, metric="monte_carlo_error", value=Value(error, None, None, taken, "pairs", why))]


def _shares(sampled: pairs.Pairs, drawn: Vectors, blank: Result, spec: VariationSpec) -> list[Result]:
    which = pairs.bins(sampled.distance)
    count = int(which.max()) + 1
    shares = np.bincount(which, minlength=count) / len(which)
    return bin_results(shares, pairs.binned_shares(which, drawn, count), blank, spec)


def bin_results(shares: Floats, drawn: Floats, blank: Result, spec: VariationSpec) -> list[Result]:
    """Return the share of pairs in each bin of distance that has any; its lower edge is the label `distance`."""
    interval = resampling.words(spec.confidence, spec.bootstrap, blank.unit, blank.n)
    method = f"share of pairs whose distance is less than {pairs.WIDTH:g} above the edge; {interval}"
    rows = []
    for place in np.flatnonzero(shares):
        low, high = resampling.ends(drawn[:, place], blank.n, spec.confidence)
        labels = {**blank.labels, "distance": f"{place * pairs.WIDTH:.2f}"}
        value = replace(blank.value, estimate=float(shares[place]), low=low, high=high, method=method)
        rows.append(Result(blank.analysis, "pair_share", labels, value))
    return rows


def entropies(
    samples: Mapping[str, Sample], spec: VariationSpec, label: str = "corpus"
) -> tuple[list[Result], dict[str, Codes]]:
    """Return the quantised entropy of each corpus over clusters of all together, and the bins of their rows.

    `label` is the name of the results' label.
    """
    used = {name: sample for name, sample in samples.items() if len(sample.vectors)}
    if not used:
        return [], {}
    bins, method = quantise([sample.vectors for sample in used.values()], spec.quantise)
    k = int(max(each.max() for each in bins)) + 1
    entropy = [_entropy({label: n}, s, b, k, method, spec) for (n, s), b in zip(used.items(), bins, strict=True)]
    return entropy, dict(zip(used, bins, strict=True))


def _entropy(labels: Labels, sample: Sample, bins: Codes, k: int, words: str, spec: VariationSpec) -> Result:
    codes = sample.codes
    groups = int(codes.max()) + 1
    table = np.bincount(codes * k + bins, minlength=groups * k).reshape(groups, k).astype(float)
    weights = resampling.multiplicities(groups, spec.bootstrap, np.random.default_rng(spec.seed))
    plain = float(entropy(table.sum(0)))
    if groups < 2:
        method = f"plug-in entropy, nats, over {words} of all corpora; no interval: {sample.unit} cannot be resampled"
        return Result(ANALYSIS, "entropy", labels, Value(plain, None, None, groups, sample.unit, method))
    estimate, low, high = bias_corrected(plain, entropy(weights @ table), spec.confidence, 0.0, float(np.log(k)))
    interval = f"{spec.confidence:.0%} bootstrap interval, {spec.bootstrap} resamples of {sample.unit}, clusters kept"
    method = f"entropy less its bootstrap bias, nats, over {words} of all corpora; {interval}"
    value = Value(estimate, low, high, groups, sample.unit, method)
    return Result(ANALYSIS, "entropy", labels, value)


def within(sample: Sample, bins: Codes, corpus: str, spec: VariationSpec) -> tuple[list[Result], Groups | None]:
    """Return the variation within the groups of a sample, labels corpus and within, and the groups.

    Means over groups, each group weighing the same; those of moments are of rows centred by their group, pooled.

    Args:
        sample: unit vectors with their groups.
        bins: of the quantised entropy (n,).
        corpus: name of the corpus.
        spec: how to resample.
    """
    labels = {"corpus": corpus, "within": sample.unit}
    groups = within_groups(sample.vectors, sample.codes, bins) if len(sample.vectors) else None
    if groups is None or not len(groups.code):
        why = not_computed(f"none of the {sample.unit} has two images", 0, sample.unit)
        return [Result(ANALYSIS, metric, labels, why) for metric in GROUP_WORDS], None
    count = len(groups.code)
    weights = resampling.multiplicities(count, spec.bootstrap, np.random.default_rng(spec.seed))
    blank = Result(ANALYSIS, "", labels, Value(None, None, None, count, sample.unit, ""))
    columns = {"pair_distance": groups.distance, "vendi": groups.vendi, "entropy": groups.entropy}
    rows = [_group_mean(metric, values, weights, blank, spec) for metric, values in columns.items()]
    drawn = (weights @ groups.shares) / count
    binned = bin_results(groups.shares.mean(axis=0), np.asarray(drawn, np.float64), blank, spec)
    return [*rows, *_pool_covariance(sample, groups, labels, spec), *binned], groups


def _group_mean(metric: str, values: Floats, weights: Vectors, blank: Result, spec: VariationSpec) -> Result:
    low, high = resampling.ends((weights @ values) / blank.n, blank.n, spec.confidence)
    interval = resampling.words(spec.confidence, spec.bootstrap, blank.unit, blank.n)
    words = GROUP_WORDS[metric].format(clusters=f"{spec.clusters} common clusters")
    method = f"{words}, mean over {blank.unit} with two images or more; {interval}"
    value = replace(blank.value, estimate=float(values.mean()), low=low, high=high, method=method)
    return replace(blank, metric=metric, value=value)


# Blocks of groups that are left out in turn for the pooled covariance.
BLOCKS = 10


def _pool_covariance(sample: Sample, groups: Groups, labels: Labels, spec: VariationSpec) -> list[Result]:
    """Return the measures of moments but for Vendi's, of rows centred by their group's mean."""
    codes = sample.codes
    taken = np.isin(codes, groups.code)
    rows, own = sample.vectors[taken].astype(np.float64), np.unique(codes[taken], return_inverse=True)[1].reshape(-1)
    means = resampling.totals(rows, own, len(groups.code)) / groups.size[:, None]
    centred = rows - means[own]
    block = np.random.default_rng(spec.seed).permutation(len(groups.code))[own] % BLOCKS
    parts = [_within_moments(centred[block == b], own[block == b]) for b in range(BLOCKS)]
    stats = of_moments(parts, labels, sample.unit, spec.confidence)
    pooled = [s for s in stats if s.metric != "vendi"]
    return [
        s.with_value(n=len(groups.code), unit=sample.unit, method=f"pooled within {sample.unit}: {s.method}")
        for s in pooled
    ]


def _within_moments(centred: Floats, codes: Codes) -> Moments:
    """Return moments whose n - 1 is about the degrees of freedom: each group has given one for its mean."""
    groups = len(np.unique(codes))
    centred_moments = moments(centred)
    return replace(centred_moments, n=max(centred_moments.n - groups, 0))
