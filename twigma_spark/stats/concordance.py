"""What people said of the images against what the machine said: keywords, groupings, clusters that people split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twigma_spark.results import Result, Value, not_computed
from twigma_spark.stats import agreement
from twigma_spark.stats.intervals import percentiles, wilson_value

ANALYSIS, UNIT = "concordance", "images"
# Letters of any script, two at least.
WORD = re.compile(r"[^\W\d_]{2,}")
CONFIDENCE = 0.95
# Keywords of a cluster that are kept.
KEYWORDS = 10
UNGROUPED = "fewer than two images are grouped"


@dataclass(frozen=True)
class Item:
    """An image of the sheet: its cluster and the words of its caption."""

    item: str
    cluster: int
    caption: str


@dataclass(frozen=True)
class Answer:
    """What one annotator said of one image; an empty group is none."""

    annotator: str
    item: str
    keywords: tuple[str, ...] = ()
    group: str = ""


@dataclass(frozen=True)
class Draws:
    """How much is drawn: permutations of the captions, halves of the images, and the seed."""

    permutations: int
    resamples: int
    seed: int


def words(text: str, stop: frozenset[str]) -> frozenset[str]:
    """Return the words of a text in lower case, without stop words; a plural's s falls away on both sides."""
    return frozenset(singular(word) for word in WORD.findall(text.lower()) if word not in stop)


def singular(word: str) -> str:
    """Return a word without the s of a plural."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def concordance_results(
    items: Sequence[Item], answers: Sequence[Answer], stop: frozenset[str], draws: Draws
) -> Iterator[Result]:
    """Yield the overlap of keywords with captions, the agreement of the annotators and that with the clusters.

    Args:
        items: images that were on the sheet.
        answers: of all annotators; those to images that are not among the items are left out.
        stop: words that say nothing.
        draws: how much is drawn.
    """
    known = {item.item: item for item in items}
    given = [a for a in answers if a.item in known]
    unknown = len(answers) - len(given)
    if unknown:
        reason = f"{unknown} answers are to images that are not in the clusters now"
        yield Result.of(ANALYSIS, "unknown_answers", not_computed(reason, unknown, "answers"))
    if not given:
        yield Result.of(ANALYSIS, "keyword_overlap", not_computed("no annotator has answered", 0, UNIT))
        return
    rng = np.random.default_rng(draws.seed)
    people = sorted({a.annotator for a in given})
    yield from _keywords(known, given, people, stop, draws, rng)
    used = sorted({a.item for a in given})
    clusters = np.array([known[i].cluster for i in used])
    groupings = {name: _grouping(used, [a for a in given if a.annotator == name]) for name in people}
    yield from _alphas(used, given, groupings, clusters, stop, draws, rng)
    for name, groups in groupings.items():
        yield from _against(name, groups, clusters, draws, rng)
    yield from _split(groupings, clusters, draws, rng)


def _grouping(items: Sequence[str], answers: Sequence[Answer]) -> NDArray[np.object_]:
    groups = {a.item: a.group.strip().lower() or None for a in answers}
    return np.array([groups.get(item) for item in items], object)


def _keywords(
    known: Mapping[str, Item], answers: Sequence[Answer], people: Sequence[str], stop: frozenset[str], draws: Draws,
    rng: np.random.Generator,
) -> Iterator[Result]:  # fmt: skip
    """Yield the overlap of each annotator's keywords with the captions, its null and its p-value."""
    for name in people:
        mine = [a for a in answers if a.annotator == name and known[a.item].caption]
        keywords = [words(" ".join(a.keywords), stop) for a in mine]
        rows = [i for i, each in enumerate(keywords) if each]
        keywords = [keywords[i] for i in rows]
        captions = [words(known[mine[i].item].caption, stop) for i in rows]
        if len(keywords) < 2:
            reason = "fewer than two images have both keywords and a caption"
            yield Result.of(ANALYSIS, "keyword_overlap", not_computed(reason, len(keywords), UNIT), annotator=name)
            continue
        each = agreement.keyword_overlap(keywords, captions)
        drawn = rng.integers(0, len(each), (draws.resamples, len(each)))
        low, high = percentiles(each[drawn].mean(axis=1), CONFIDENCE)
        null = agreement.permuted_overlaps(keywords, captions, draws.permutations, rng)
        p = agreement.permutation_p(float(each.mean()), null)
        method = (
            f"share of an image's keywords that are words of its caption; 95% bootstrap of images, {draws.resamples} "
            f"resamples; p = {p:.2g} among {draws.permutations} permutations of the captions"
        )
        value = Value(float(each.mean()), low, high, len(each), UNIT, method)
        yield Result.of(ANALYSIS, "keyword_overlap", value, annotator=name)
        ends = percentiles(null, CONFIDENCE)
        method = "mean overlap with the captions permuted; the middle 95% of the permutations"
        value = Value(float(null.mean()), *ends, len(each), UNIT, method)
        yield Result.of(ANALYSIS, "keyword_overlap_null", value, annotator=name)


def keyword_results(
    items: Sequence[Item], answers: Sequence[Answer], stop: frozenset[str], clustering: str
) -> Iterator[Result]:
    """Yield the share of a cluster's images that an annotator gave a keyword, for its most frequent keywords.

    Args:
        items: images that were on the sheet.
        answers: of all annotators; those to images that are not among the items are left out.
        stop: words that say nothing.
        clustering: id of the clustering.
    """
    of_item = {item.item: item.cluster for item in items}
    by_cluster: dict[int, dict[str, set[str]]] = {}
    for answer in (a for a in answers if a.item in of_item):
        cluster = by_cluster.setdefault(of_item[answer.item], {})
        cluster.setdefault(answer.item, set()).update(words(" ".join(answer.keywords), stop))
    for number, images in sorted(by_cluster.items()):
        counted = Counter(word for keywords in images.values() for word in keywords)
        for word, times in sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))[:KEYWORDS]:
            method = "images with the keyword by any annotator, of those with an answer; Wilson, 95%"
            value = wilson_value(times, len(images), UNIT, method)
            yield Result.of(ANALYSIS, "keyword", value, clustering=clustering, cluster=number, word=word)


def _alphas(
    used: Sequence[str], answers: Sequence[Answer], groupings: Mapping[str, NDArray[np.object_]],
    clusters: NDArray[np.int64], stop: frozenset[str], draws: Draws, rng: np.random.Generator,
) -> Iterator[Result]:  # fmt: skip
    """Yield Krippendorff's alpha of keywords (Jaccard distance of sets) and of groupings (pairs, nominal)."""
    sets: dict[str, list[frozenset[str]]] = {item: [] for item in used}
    for a in answers:
        if keywords := words(" ".join(a.keywords), stop):
            sets[a.item].append(keywords)
    units = [sets[item] for item in used]
    many = list(groupings.values())

    def of_keywords(rows: NDArray[np.int64]) -> float | None:
        return agreement.krippendorff_alpha([units[i] for i in rows], agreement.jaccard)

    def of_groups(rows: NDArray[np.int64]) -> float | None:
        return agreement.grouping_alpha([groups[rows] for groups in many])

    methods = {
        "alpha_keywords": (of_keywords, "Krippendorff's alpha of sets of keywords, Jaccard distance"),
        "alpha_groupings": (of_groups, "Krippendorff's alpha of pairs of images put together or apart, nominal"),
    }
    # Alpha of sets costs as many distances as there are different sets squared; a fifth of the halves will do.
    fewer = Draws(draws.permutations, max(100, draws.resamples // 5), draws.seed)
    why = "fewer than two annotators" if len(groupings) < 2 else "no two annotators answered for the same images"
    for metric, (statistic, method) in methods.items():
        yield Result.of(ANALYSIS, metric, _estimate_by_halves(statistic, clusters, fewer, rng, method, why))


def _against(
    name: str, groups: NDArray[np.object_], clusters: NDArray[np.int64], draws: Draws, rng: np.random.Generator
) -> Iterator[Result]:
    """Yield the adjusted Rand index and mutual information of an annotator's groups and the clusters."""
    there = np.flatnonzero([g is not None for g in groups])
    for metric, index, words_ in (
        ("ari", agreement.rand_index, "adjusted Rand index"),
        ("ami", agreement.mutual_information, "adjusted mutual information"),
    ):
        own, cluster = groups[there], clusters[there]

        def statistic(rows: NDArray[np.int64], index=index, own=own, cluster=cluster) -> float | None:  # type: ignore[no-untyped-def]
            return float(index(own[rows], cluster[rows])) if len(rows) > 1 else None

        method = f"{words_} of the groups and the clusters"
        value = _estimate_by_halves(statistic, cluster, draws, rng, method, "fewer than two images are grouped")
        yield Result.of(ANALYSIS, metric, value, annotator=name)


def _estimate_by_halves(
    statistic: Callable[[NDArray[np.int64]], float | None],
    strata: NDArray[np.int64], draws: Draws, rng: np.random.Generator, method: str, why: str,
) -> Value:  # fmt: skip
    """Return a statistic of all images with the middle 95% of its values on random halves of each cluster."""
    value = statistic(np.arange(len(strata))) if len(strata) > 1 else None
    if value is None:
        return not_computed(why, len(strata), UNIT)
    halves = agreement.half_samples(strata, draws.resamples, rng)
    values = [v for half in halves if len(half) > 1 and (v := statistic(half)) is not None]
    if len(values) < 20:
        return Value(value, None, None, len(strata), UNIT, f"{method}; no interval: too few images")
    # A half's own mean may lie off (fewer pairs); its scatter, around the value of the whole, is what counts.
    off = np.asarray(values) - float(np.mean(values))
    low, high = percentiles(value + off, CONFIDENCE)
    method = f"{method}; 95% interval from {len(values)} random halves within clusters"
    return Value(value, min(low, value), max(high, value), len(strata), UNIT, method)


def _split(
    groupings: Mapping[str, NDArray[np.object_]], clusters: NDArray[np.int64], draws: Draws, rng: np.random.Generator
) -> Iterator[Result]:
    """Yield for each cluster the share of its pairs that people put together, and whether they split it."""
    for cluster in np.unique(clusters).tolist():
        rows = np.flatnonzero(clusters == cluster)
        many = [groups[rows] for groups in groupings.values()]

        def statistic(half: NDArray[np.int64], many=many) -> float | None:  # type: ignore[no-untyped-def]
            return _share_together([groups[half] for groups in many])

        method = "share of the cluster's pairs of images that annotators put into one group"
        estimates = _estimate_by_halves(
            statistic, np.zeros(len(rows), np.int64), draws, rng, method, "fewer than two images are grouped"
        )
        yield Result.of(ANALYSIS, "kept_together", estimates, cluster=cluster)
        if estimates.estimate is not None and estimates.high is not None:
            rule = "1 where the interval of kept_together is below a half, else 0; no interval"
            split = Value(float(estimates.high < 0.5), None, None, len(rows), UNIT, rule)
            yield Result.of(ANALYSIS, "split_by_people", split, cluster=cluster)


def _share_together(many: Sequence[NDArray[np.object_]]) -> float | None:
    """Return the share of pairs in one group, over all annotators who grouped both images."""
    hits = answered = 0
    for groups in many:
        known = groups[np.array([g is not None for g in groups], bool)]
        pairs = agreement.together(known)
        hits, answered = hits + int(pairs.sum()), answered + len(pairs)
    return hits / answered if answered else None
