"""The results of a pipeline on the sample world, compared with what was planted in it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from twigma_spark.errors import CorpusError
from twigma_spark.sample.power import ENOUGH, band_power, trend_powers
from twigma_spark.sample.records import ImageTruth, Truth

__all__ = ["Check", "RunResults", "Truth", "check_results", "format_checks", "load_images", "load_truth"]

Key = tuple[str, str]


@dataclass(frozen=True)
class RunResults:
    """What a run found, as plain data; a key is (corpus, source_key).

    Attributes:
        images: the usable images.
        rejects: unit ("image", "post" or "metadata"), "corpus/source_key", and reason of every reject.
        duplicates: the canonical image of each duplicate, and the tier: "media", "bytes", "embedding" or "near".
        kl: divergence of two corpora by (from, to), with its interval.
        neighbours: of an image of the posts, the reference images nearest first.
        changes: percent change of the likes with its interval, by (reference, level) of the negative binomial
            regression with errors clustered by author.
        clusters: theme cluster of an image of the posts.
        arrows: of each theme cluster 1 (rising), 0 (steady) or -1 (falling).
        reward: of the reward model, with their intervals: its accuracy, its gain over CLIP and over followers and hour,
            and how much more the model trained without matching prefers the larger author.
        held_out: the preferred and the other image of each matched pair that the accuracy is of.
    """

    images: Set[Key] = frozenset()
    rejects: Sequence[tuple[str, str, str]] = ()
    duplicates: Mapping[Key, tuple[Key, str]] = field(default_factory=dict)
    kl: Mapping[tuple[str, str], tuple[float, float, float]] = field(default_factory=dict)
    neighbours: Mapping[Key, Sequence[Key]] = field(default_factory=dict)
    changes: Mapping[tuple[str, str], tuple[float, float, float]] = field(default_factory=dict)
    clusters: Mapping[Key, int] = field(default_factory=dict)
    arrows: Mapping[int, int] = field(default_factory=dict)
    reward: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    held_out: Sequence[tuple[Key, Key]] = ()


@dataclass(frozen=True)
class Check:
    """One thing that was planted, and whether it was found; `detail` counts, as "41 of 41"."""

    name: str
    ok: bool
    detail: str


def load_truth(path: Path) -> Truth:
    """The truth of a world, from its truth.json.

    Raises:
        CorpusError: if the file is missing or no truth of this version.
    """
    try:
        return Truth.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorpusError(f"truth must be the truth.json of a sample world. Got {str(path)!r}.") from error


def load_images(path: Path) -> list[ImageTruth]:
    """What is true of every usable image, from truth_images.jsonl."""
    return [ImageTruth.model_validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]


def check_results(
    truth: Truth,
    run: RunResults,
    images: Sequence[ImageTruth],
    copies_share: float = 0.9,
    near_share: float = 0.95,
    depth: int = 5,
) -> list[Check]:
    """One check for everything that was planted, in the order a reader would ask.

    Args:
        truth: what was planted.
        run: what a run found.
        images: what is true of every image; they say which theme a cluster is.
        copies_share: share of reference copies whose source must be among the nearest.
        near_share: share of the near duplicates that the search can reach (REACHABLE) and that must be collapsed with
            their source.
        depth: how many neighbours count as nearest.
    """
    return [
        _accounts(truth, run),
        _broken(truth, run),
        _needless(truth, run),
        _metadata(truth, run),
        _groups(
            "shared media collapsed",
            [_keys("posts", entry.source_keys) for entry in truth.shared_media],
            run,
            {"media"},
        ),
        _groups(
            "byte duplicates collapsed",
            [_keys(entry.corpus, entry.source_keys) for entry in truth.byte_duplicates],
            run,
            {"media", "bytes"},
        ),
        _near(truth, run, near_share),
        _copies(truth, run, copies_share, depth),
        _kl(truth, run),
        _bands(truth, run),
        _closeness(run),
        _themes(truth, run, images),
        _reward(truth, run),
    ]


def format_checks(checks: Sequence[Check]) -> str:
    """The checks as an aligned text table, one line each."""
    wide = max((len(check.name) for check in checks), default=0)
    return "\n".join(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<{wide}}  {check.detail}" for check in checks)


def _accounts(truth: Truth, run: RunResults) -> Check:
    """Every candidate is an image or a reject: nothing vanishes."""
    usable = Counter(corpus for corpus, _ in run.images)
    refused = Counter(key.split("/", 1)[0] for unit, key, _ in run.rejects if unit == "image")
    wrong = [
        f"{name}: {usable[name]} images + {refused[name]} rejects of {account.files} files"
        for name, account in truth.corpora.items()
        if (usable[name], usable[name] + refused[name]) != (account.usable, account.files)
    ]
    total = sum(account.files for account in truth.corpora.values())
    return Check("every file accounted for", not wrong, "; ".join(wrong) or f"{total} of {total}")


def _expected_rejects(truth: Truth) -> Counter[tuple[str, str, str]]:
    broken = [entry for entry in truth.broken if entry.reason is not None]
    return Counter((entry.unit, f"{entry.corpus}/{entry.source_key}", entry.reason or "") for entry in broken)


def _broken(truth: Truth, run: RunResults) -> Check:
    wanted = _expected_rejects(truth)
    missed = wanted - Counter(run.rejects)
    return _count(
        "broken files and posts rejected, with reason",
        wanted.total(),
        (f"{key}: {reason}" for _, key, reason in missed),
    )


def _needless(truth: Truth, run: RunResults) -> Check:
    """Rejects of images and posts that nothing is wrong with."""
    extra = Counter(entry for entry in run.rejects if entry[0] != "metadata") - _expected_rejects(truth)
    listed = ", ".join(f"{key}: {reason}" for _, key, reason in list(extra)[:3])
    return Check("no usable file rejected", not extra, listed or "none")


def _metadata(truth: Truth, run: RunResults) -> Check:
    """By corpus and reason only: how a reader names a line is its own affair."""
    wanted = Counter((fault.corpus, fault.reason or "") for fault in truth.metadata_faults if not fault.usable)
    had = Counter((key.split("/", 1)[0], reason) for unit, key, reason in run.rejects if unit == "metadata")
    missed = wanted - had
    return _count(
        "metadata faults rejected, with reason",
        wanted.total(),
        (f"{corpus}: {reason}" for corpus, reason in missed),
    )


def _keys(corpus: str, source_keys: Iterable[str]) -> list[Key]:
    return [(corpus, source_key) for source_key in source_keys]


def _root(key: Key, run: RunResults) -> Key:
    """The image that survives in the place of this one; chains are followed, circles end."""
    seen = {key}
    while key in run.duplicates and run.duplicates[key][0] not in seen:
        key = run.duplicates[key][0]
        seen.add(key)
    return key


def _groups(name: str, groups: Sequence[Sequence[Key]], run: RunResults, tiers: set[str]) -> Check:
    """All members of a group stand for one image, and all but one were seen to at these tiers."""
    missed = []
    for group in groups:
        listed = sum(run.duplicates.get(key, (key, ""))[1] in tiers for key in group)
        if listed != len(group) - 1 or len({_root(key, run) for key in group}) != 1:
            missed.append("/".join(group[0]))
    return _count(name, len(groups), missed)


def _near(truth: Truth, run: RunResults, least: float) -> Check:
    """The kinds of change that leave the picture where it was; crops move it, and are beyond the default thresholds."""
    together: dict[bool, list[bool]] = {True: [], False: []}
    for entry in truth.near_duplicates:
        one, other = (entry.corpus, entry.source_key), (entry.corpus, entry.of)
        together[entry.kind in REACHABLE].append(_root(one, run) == _root(other, run))
    check = _share("near duplicates collapsed", together[True], least)
    crops = together[False]
    return Check(check.name, check.ok, f"{check.detail}; crops, not asked for: {sum(crops)} of {len(crops)}")


def _copies(truth: Truth, run: RunResults, least: float, depth: int) -> Check:
    near = [
        (entry.of_corpus, entry.of) in list(run.neighbours.get(("posts", entry.source_key), ()))[:depth]
        for entry in truth.reference_copies
    ]
    return _share(f"sources among the {depth} nearest of copies", near, least)


def _kl(truth: Truth, run: RunResults) -> Check:
    order = truth.kl_order
    names = [*order.nearest_first, *order.then_any_order]
    values = {name: run.kl.get((order.source, name)) for name in names}
    known = {name: value for name, value in values.items() if value is not None}
    # A world of a hundred images has intervals that overlap, and an order that another processor changes.
    is_large = sum(corpus == order.source for corpus, _ in run.images) >= LARGE
    in_order = _lies_below if is_large else _may_lie_below
    right = len(known) == len(names) and all(
        in_order(known[first], known[second])
        for place, first in enumerate(order.nearest_first)
        for second in names[place + 1 :]
    )
    shown = {name: "{:.3f} [{:.3f}, {:.3f}]".format(*value) for name, value in known.items()}
    detail = ", ".join(f"{name} {shown.get(name, 'missing')}" for name in names)
    detail += "" if is_large else f"; below {LARGE} images only an order against the intervals is a fault"
    return Check(f"divergence from {order.source} in order", right, detail)


def _lies_below(one: tuple[float, float, float], other: tuple[float, float, float]) -> bool:
    return one[2] < other[1]


def _may_lie_below(one: tuple[float, float, float], other: tuple[float, float, float]) -> bool:
    return one[1] <= other[2]


LARGE_COMMUNITY = 600  # images of the diffusion corpus from which the reward model's gains must exclude 0
LARGE = 1000  # images of the posts from which the divergences must be apart, intervals and all
REACHABLE = ("recompressed", "resized", "converted")
BANDS = {"500-5000": "followers 500-5000 vs <500", ">5000": "followers >5000 vs <500"}
# Away from photo and art the planted likes rise; away from other generated pictures they fall.
CLOSER = {"photo": 1, "art": 1, "diffusion": -1}
# What images of a theme have in common is seen by the cluster that most of them, and little else, are in.
PURE = 0.5
DIRECTIONS = {1: "rising", 0: "steady", -1: "falling"}


def _bands(truth: Truth, run: RunResults) -> Check:
    """The planted coefficients of the follower bands, as percent, inside the intervals found; all references agree.

    Where the sample has the power, no interval may hold 0.
    """
    details, right = [], True
    for band, level in BANDS.items():
        planted = 100 * math.expm1(truth.likes.bands[band] - truth.likes.bands["<500"])
        power = band_power(truth.likes, truth.posts, band, "<500")
        rows = [ends for (_, own), ends in run.changes.items() if own == level]
        right &= bool(rows) and all(_near_log(planted, *ends) for ends in rows)
        right &= power <= ENOUGH or all(low > 0 for _, low, _ in rows)
        seen = f"{rows[0][0]:+.0f}% [{rows[0][1]:+.0f}, {rows[0][2]:+.0f}]" if rows else "missing"
        details.append(f"{band} followers {seen}, planted {planted:+.0f}%, power {power:.2f}")
    return Check("likes by follower band", right, "; ".join(details))


def _near_log(planted: float, estimate: float, low: float, high: float) -> bool:
    """Whether the planted change is within three standard errors: one world of 300 is outside by chance."""
    logs = [math.log1p(max(value, -99.99) / 100) for value in (planted, estimate, low, high)]
    return abs(logs[0] - logs[1]) <= 3 * (logs[3] - logs[2]) / (2 * 1.96)


def _closeness(run: RunResults) -> Check:
    """Least against most similar: no interval may lie on the side that was not planted."""
    details, right = [], True
    for reference, sign in CLOSER.items():
        ends = run.changes.get((reference, "quintile 1"))
        right &= ends is not None and (ends[2] > 0 if sign > 0 else ends[1] < 0)
        side = "planted above 0" if sign > 0 else "planted below 0"
        seen = f"{ends[0]:+.0f}% [{ends[1]:+.0f}, {ends[2]:+.0f}], {side}" if ends else "missing"
        details.append(f"{reference} {seen}")
    return Check("likes of the least against the most similar", right, "; ".join(details))


REWARD_GAINS = {"CLIP score": "more than CLIP", "followers and hour": "more than followers and hour"}
REWARD_MATCHING = "matching"
REWARD_CHECK = "the reward model tells what is liked"


def _reward(truth: Truth, run: RunResults) -> Check:
    """The trained model beats what sees no likes and what sees no image, and does not go by the author.

    How near it comes to the best possible accuracy is shown: that of the planted taste itself, on the same pairs. In
    a small world no interval can exclude 0.
    """
    tastes = {("diffusion", taste.source_key): taste.brightness for taste in truth.tastes}
    known = [(one, other) for one, other in run.held_out if one in tastes and other in tastes]
    own = run.reward.get("accuracy")
    is_large = len(tastes) >= LARGE_COMMUNITY
    if own is None or not known:
        return Check(REWARD_CHECK, not is_large, "no reward model; in a small world there are too few pairs")
    best = sum(tastes[one] > tastes[other] for one, other in known) / len(known)
    wanted = (*REWARD_GAINS, REWARD_MATCHING)
    ends = {name: run.reward.get(name) for name in wanted}
    # Where intervals are wide, or pairs too few for one, only what lies wholly on the other side is wrong.
    right = all((e is not None and e[1] > 0) if is_large else (e is None or e[2] > 0) for e in ends.values())
    words = {**REWARD_GAINS, REWARD_MATCHING: "the larger author preferred without matching, more by"}
    gains = [f"{words[name]} " + "{:+.2f} [{:+.2f}, {:+.2f}]".format(*e) for name, e in ends.items() if e is not None]
    detail = "accuracy {:.2f} [{:.2f}, {:.2f}]".format(*own) + f" of {best:.2f} possible; {'; '.join(gains)}"
    return Check(REWARD_CHECK, right, detail)


def _themes(truth: Truth, run: RunResults, images: Sequence[ImageTruth]) -> Check:
    """No theme is seen to move another way than planted, and those that the sample has the power for are seen to."""
    arrows = _arrows_of_themes(run, images)
    powers = trend_powers(truth.trends, len(truth.posts))
    planted = {theme: trend.direction for theme, trend in truth.trends.items()}
    seen = {theme: ways & set(DIRECTIONS.values()) for theme, ways in arrows.items() if theme in planted}
    wrong = [f"{theme} {way}" for theme, ways in seen.items() for way in ways - {planted[theme], "steady"}]
    strong = [theme for theme, way in planted.items() if way != "steady" and powers[theme] > ENOUGH]
    missed = [f"{theme} (power {powers[theme]:.2f})" for theme in strong if planted[theme] not in seen.get(theme, ())]
    right = sum(planted[theme] in ways for theme, ways in seen.items())
    detail = f"{right} of {len(seen)} as planted, {len(wrong)} the other way"
    detail += f"; {len(strong) - len(missed)} of {len(strong)} with power above {ENOUGH:.0%} seen"
    named = f" (wrong: {', '.join(wrong)})" if wrong else ""
    named += f" (not seen: {', '.join(missed)})" if missed else ""
    return Check("themes rising and falling", bool(seen) and not wrong and not missed, detail + named)


def _arrows_of_themes(run: RunResults, images: Sequence[ImageTruth]) -> dict[str, set[str]]:
    """What is said of each theme that most images of a cluster, by their ground truth, belong to."""
    themes: dict[int, Counter[str]] = {}
    for image in images:
        cluster = run.clusters.get((image.corpus, image.source_key))
        if cluster is not None:
            themes.setdefault(cluster, Counter())[image.theme] += 1
    arrows: dict[str, set[str]] = {}
    for cluster, counts in sorted(themes.items()):
        theme, most = counts.most_common(1)[0]
        if most >= PURE * counts.total() and cluster in run.arrows:
            arrows.setdefault(theme, set()).add(DIRECTIONS[run.arrows[cluster]])
    return arrows


def _count(name: str, total: int, missed: Iterable[str]) -> Check:
    lost = list(missed)
    named = f" (not: {', '.join(lost[:3])})" if lost else ""
    return Check(name, not lost, f"{total - len(lost)} of {total}{named}")


def _share(name: str, hits: Sequence[bool], least: float) -> Check:
    return Check(name, sum(hits) >= least * len(hits), f"{sum(hits)} of {len(hits)}, at least {least:.0%} expected")
