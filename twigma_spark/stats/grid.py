"""How much divergences depend on how they are computed: a grid of clusters, seeds, smoothing and sample sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations, product

import numpy as np

from twigma_spark.results import Result, Value
from twigma_spark.stats import intervals, resampling
from twigma_spark.stats.histograms import HISTOGRAMS
from twigma_spark.stats.quantise import cluster_points, reduce_dimensions
from twigma_spark.stats.sample import Codes, Floats, Sample, Vectors

# The smoothing of the grid: none, and half a count a bin.
SMOOTHING = {"kl": "none", "kl_kt": "half a count a bin"}


@dataclass(frozen=True)
class GridSpec:
    """The cells of the grid and how each is computed.

    Attributes:
        clusters: bins of the histograms.
        seeds: number of seeds of k-means; seed, seed + 1, ...
        shares: sizes of the samples, as shares of the whole.
        images: rows of each corpus at most.
        variance: share of the joint variance that the principal components keep.
        bootstrap: replicates.
        confidence: of the intervals.
        seed: first seed.
    """

    clusters: tuple[int, ...] = (5, 10, 20, 50)
    seeds: int = 3
    shares: tuple[float, ...] = (0.5, 1.0)
    images: int = 5000
    variance: float = 0.9
    bootstrap: int = 100
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True, order=True)
class GridCell:
    """One way to compute the divergence: smoothing is the name of a measure in `SMOOTHING`."""

    smoothing: str
    clusters: int
    seed: int
    share: float


@dataclass(frozen=True)
class CellDivergence:
    """One cell's divergence in nats, less its bootstrap bias; of bootstrap samples less that twice (replicates,)."""

    estimate: float
    drawn: Floats


@dataclass(frozen=True)
class Grid:
    """Values by cell and ordered pair (p, q); `units` are the groups and their unit by corpus."""

    values: Mapping[GridCell, Mapping[tuple[str, str], CellDivergence]]
    units: Mapping[str, tuple[int, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Drawn:
    """A corpus at one size: vectors, groups of the rows, and weights (replicates, groups)."""

    vectors: Vectors
    codes: Codes
    weights: Vectors


def grid(samples: Mapping[str, Sample], spec: GridSpec) -> Grid:
    """Return the divergence of every ordered pair of corpora in every cell of the grid.

    A pair is quantised once for each (size, k, seed). Bootstrap samples reweigh the groups' histograms: one
    matrix product a corpus, and no new clustering. All cells of one size see the same bootstrap samples, and
    so do all pairs of a corpus, so that rankings can be compared replicate by replicate.

    Args:
        samples: by corpus; those without vectors are left out.
        spec: the cells.
    """
    used = {name: sample.draw_groups(spec.images, spec.seed) for name, sample in samples.items() if len(sample.vectors)}
    values: dict[GridCell, dict[tuple[str, str], CellDivergence]] = {}
    for share in spec.shares:
        drawn = {name: _draw(sample, share, i, spec) for i, (name, sample) in enumerate(used.items())}
        for p, q in combinations(drawn, 2):
            for cell, pair, value in _of_pair((p, drawn[p]), (q, drawn[q]), share, spec):
                values.setdefault(cell, {})[pair] = value
    units = {name: (int(sample.codes.max()) + 1, sample.unit) for name, sample in used.items()}
    return Grid(values, units)


def cell_results(grid: Grid, spec: GridSpec) -> list[Result]:
    """Return one result for each cell and ordered pair (p, q)."""
    rows = []
    for cell, pairs in sorted(grid.values.items()):
        for (p, q), value in pairs.items():
            n, unit = _rests_on(grid, p, q)
            low, high = intervals.percentiles(value.drawn, spec.confidence)
            method = f"{HISTOGRAMS[cell.smoothing].words}; {_interval(spec, unit)}"
            labels = {"p": p, "q": q, "clusters": cell.clusters, "seed": cell.seed, "share": cell.share}
            rows.append(Result.of("grid", cell.smoothing, Value(value.estimate, low, high, n, unit, method), **labels))
    return rows


def spread(grid: Grid) -> list[Result]:
    """Return the median of each ordered pair over the cells of a smoothing; low and high are their range."""
    rows = []
    for smoothing, words in SMOOTHING.items():
        cells = [pairs for cell, pairs in grid.values.items() if cell.smoothing == smoothing]
        for p, q in cells[0] if cells else ():
            values = np.sort([pairs[p, q].estimate for pairs in cells])
            # A middle value itself: between a number and infinity there is no mean.
            middle = float(values[len(values) // 2])
            method = f"median over the grid, smoothing: {words}; low and high: least and greatest of the cells"
            spread_value = Value(middle, float(values[0]), float(values[-1]), len(values), "grid cells", method)
            rows.append(Result.of("grid_spread", smoothing, spread_value, p=p, q=q))
    return rows


def ranking_changes(grid: Grid, main: Mapping[tuple[str, str], float], spec: GridSpec) -> list[Result]:
    """Return, for each corpus p, the share of grid cells that rank the others by KL(p || q) otherwise than `main`.

    A cell ranks as `main` does where every two corpora that differ in `main` stand in the same strict order;
    two infinite values have no order, which counts as a change.

    Args:
        grid: the grid.
        main: divergences of the ordered pairs by the main settings.
        spec: of the grid.
    """
    there = [smoothing for smoothing in SMOOTHING if any(cell.smoothing == smoothing for cell in grid.values)]
    return [_changes(grid, main, p, smoothing, spec) for smoothing in there for p in _rankers(grid)]


def _rankers(grid: Grid) -> list[str]:
    """Return the corpora that have two others to rank."""
    return list(grid.units) if len(grid.units) > 2 else []


def _changes(grid: Grid, main: Mapping[tuple[str, str], float], p: str, smoothing: str, spec: GridSpec) -> Result:
    others = [q for q in grid.units if q != p]
    pairs = [(a, b) for a, b in product(others, others) if main[p, a] < main[p, b]]
    cells = [values for cell, values in grid.values.items() if cell.smoothing == smoothing]
    changed, drawn = [], []
    for values in cells:
        changed.append(any(values[p, a].estimate >= values[p, b].estimate for a, b in pairs))
        orders = [values[p, a].drawn >= values[p, b].drawn for a, b in pairs]
        drawn.append(np.any(orders, axis=0) if orders else np.zeros(spec.bootstrap, bool))
    low, high = intervals.percentiles(np.mean(drawn, axis=0), spec.confidence)
    unit = " and ".join(dict.fromkeys(unit for _, unit in grid.units.values()))
    what = f"share of {len(cells)} grid cells that rank the others otherwise than the main settings, smoothed, do"
    method = f"{what}; smoothing of the cells: {SMOOTHING[smoothing]}; {_interval(spec, unit)}"
    share = float(np.mean(changed))
    # The estimate is no replicate: it may lie a cell outside of their percentiles.
    value = Value(share, min(low, share), max(high, share), len(cells), "grid cells", method)
    return Result.of("ranking_changes", smoothing, value, corpus=p)


def _draw(sample: Sample, share: float, place: int, spec: GridSpec) -> _Drawn:
    part = sample.draw_groups(max(1, round(share * len(sample.vectors))), spec.seed)
    codes = part.codes
    rng = np.random.default_rng([spec.seed, place])
    return _Drawn(part.vectors, codes, resampling.multiplicities(int(codes.max()) + 1, spec.bootstrap, rng))


def _of_pair(
    first: tuple[str, _Drawn], second: tuple[str, _Drawn], share: float, spec: GridSpec
) -> Iterator[tuple[GridCell, tuple[str, str], CellDivergence]]:
    """Yield the values of a pair, both ways; principal components once, a clustering for each k and seed."""
    (p, one), (q, other) = first, second
    points = reduce_dimensions(np.concatenate([one.vectors, other.vectors]), spec.variance)
    for k, seed in product(spec.clusters, range(spec.seed, spec.seed + spec.seeds)):
        labels = cluster_points(points, k, seed)
        bins = int(labels.max()) + 1
        a, b = _counts(one, labels[: len(one.codes)], bins), _counts(other, labels[len(one.codes) :], bins)
        for smoothing in SMOOTHING:
            cell = GridCell(smoothing, k, seed, share)
            yield cell, (p, q), _value(smoothing, a, b)
            yield cell, (q, p), _value(smoothing, b, a)


def _counts(of: _Drawn, labels: Codes, bins: int) -> tuple[Floats, Floats]:
    """Return the histogram (k,) and those of the bootstrap samples (replicates, k)."""
    groups = of.weights.shape[1]
    table = np.bincount(of.codes * bins + labels, minlength=groups * bins).reshape(groups, bins)
    return table.sum(0).astype(np.float64), (of.weights @ table.astype(np.float32)).astype(np.float64)


def _value(smoothing: str, p: tuple[Floats, Floats], q: tuple[Floats, Floats]) -> CellDivergence:
    measure = HISTOGRAMS[smoothing].measure
    estimate, drawn = intervals.take_off_bias(float(measure(p[0], q[0])), measure(p[1], q[1]))
    return CellDivergence(max(estimate, 0.0), np.maximum(drawn, 0.0))


def _rests_on(grid: Grid, p: str, q: str) -> tuple[int, str]:
    (n, one), (m, other) = grid.units[p], grid.units[q]
    return n + m, " and ".join(dict.fromkeys([one, other]))


def _interval(spec: GridSpec, unit: str) -> str:
    return (
        f"bias taken off; {spec.confidence:.0%} bootstrap interval, {spec.bootstrap} resamples of {unit}, clusters kept"
    )
