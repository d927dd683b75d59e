"""check_results: all that was planted is asked for, and every kind of fault is seen."""

from dataclasses import replace

import numpy as np
import pytest

from twigma_spark.errors import CorpusError
from twigma_spark.sample.corpora.likes import BAND_SHARES, BANDS, LIKES, draw_likes
from twigma_spark.sample.corpora.timeline import month_weights, trends
from twigma_spark.sample.power import band_power, trend_powers, wald_power
from twigma_spark.sample.records import ImageTruth, PostTruth
from twigma_spark.sample.truth import Check, RunResults, check_results, format_checks, load_images, load_truth
from twigma_spark.sample.world import draw_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    out = tmp_path_factory.mktemp("truth") / "world"
    draw_world(out, 80, 2)
    return out


@pytest.fixture(scope="module")
def truth(world):
    return load_truth(world / "truth.json")


@pytest.fixture
def right(world, truth) -> RunResults:
    """What a faultless run would find."""
    rejects = [(e.unit, f"{e.corpus}/{e.source_key}", e.reason) for e in truth.broken if not e.usable]
    rejects += [("metadata", f"{f.corpus}/{f.where}", f.reason) for f in truth.metadata_faults if not f.usable]
    duplicates = {}
    for tier, corpus, keys in [
        *(("media", "posts", e.source_keys) for e in truth.shared_media),
        *(("bytes", e.corpus, e.source_keys) for e in truth.byte_duplicates),
        *(("embedding", e.corpus, (e.of, e.source_key)) for e in truth.near_duplicates),
    ]:
        duplicates |= {(corpus, key): ((corpus, keys[0]), tier) for key in keys[1:]}
    neighbours = {("posts", e.source_key): [("art", "x"), (e.of_corpus, e.of)] for e in truth.reference_copies}
    kl = {name: (v, v - 0.05, v + 0.1) for name, v in {"diffusion": 0.1, "photo": 0.9, "art": 0.4}.items()}
    kl = {("posts", name): value for name, value in kl.items()}
    images = {(image.corpus, image.source_key) for image in load_images(world / "truth_images.jsonl")}
    labels = [i for i in load_images(world / "truth_images.jsonl") if i.corpus == "posts" and i.theme in truth.trends]
    names = sorted(truth.trends)
    signs = {"rising": 1, "steady": 0, "falling": -1}
    changes = {("photo", "quintile 1"): (40.0, 2.0, 90.0), ("art", "quintile 1"): (10.0, -5.0, 30.0)}
    changes |= {("diffusion", "quintile 1"): (-40.0, -60.0, -20.0)}
    changes |= {("art", "followers 500-5000 vs <500"): (200.0, 140.0, 300.0)}
    changes |= {("art", "followers >5000 vs <500"): (1000.0, 700.0, 1500.0)}
    return RunResults(
        images, rejects, duplicates, kl, neighbours, changes,
        {(i.corpus, i.source_key): names.index(i.theme) for i in labels},
        {k: signs[truth.trends[name].direction] for k, name in enumerate(names)},
    )  # fmt: skip


@pytest.fixture
def failed(world):
    """Names the checks that fail."""
    labels = load_images(world / "truth_images.jsonl")

    def names(truth, found) -> list[str]:
        return [check.name for check in check_results(truth, found, labels) if not check.ok]

    return names


def test_a_faultless_run_passes(truth, right, failed):
    assert failed(truth, right) == []


def test_an_empty_run_fails_everything_but_needless_rejects(truth, failed):
    assert len(failed(truth, RunResults())) == 11


def test_an_image_that_vanished(truth, right, failed):
    assert failed(truth, replace(right, images=set(list(right.images)[1:]))) == ["every file accounted for"]


def test_a_broken_file_with_the_wrong_reason(truth, right, failed):
    unit, key, _ = right.rejects[0]
    wrong = replace(right, rejects=[(unit, key, "unlucky"), *right.rejects[1:]])
    assert failed(truth, wrong) == [
        "broken files and posts rejected, with reason",
        "no usable file rejected",
    ]


def test_a_usable_file_that_was_rejected(truth, right, failed):
    corpus, key = next(iter(sorted(right.images)))
    wrong = replace(
        right,
        images=right.images - {(corpus, key)},
        rejects=[*right.rejects, ("image", f"{corpus}/{key}", "odd")],
    )
    assert failed(truth, wrong) == ["every file accounted for", "no usable file rejected"]


def test_a_metadata_fault_that_was_swallowed(truth, right, failed):
    wrong = replace(right, rejects=[entry for entry in right.rejects if entry[2] != "metadata_not_utf8"])
    assert failed(truth, wrong) == ["metadata faults rejected, with reason"]


@pytest.mark.parametrize(
    ("tier", "name"), [("media", "shared media collapsed"), ("bytes", "byte duplicates collapsed")]
)
def test_a_duplicate_that_was_missed_or_went_to_the_wrong_image(truth, right, failed, tier, name):
    key = next(key for key, (_, found) in right.duplicates.items() if found == tier)
    missed = {other: entry for other, entry in right.duplicates.items() if other != key}
    assert failed(truth, replace(right, duplicates=missed)) == [name]
    strayed = {**right.duplicates, key: (("art", "stranger"), tier)}
    assert failed(truth, replace(right, duplicates=strayed)) == [name]


def test_any_member_of_a_group_may_survive_and_chains_are_followed(truth, right, failed):
    group = truth.byte_duplicates[0]
    first, *rest = [(group.corpus, key) for key in group.source_keys]
    turned = {key: entry for key, entry in right.duplicates.items() if key not in rest}
    turned |= dict.fromkeys((first, *rest[1:]), (rest[0], "bytes"))
    turned[rest[0]] = (("photo", "alike"), "embedding")
    assert failed(truth, replace(right, duplicates=turned)) == []


def test_near_duplicates_below_the_share(truth, right, failed):
    kept = {key: entry for key, entry in right.duplicates.items() if entry[1] != "embedding"}
    assert failed(truth, replace(right, duplicates=kept)) == ["near duplicates collapsed"]


def test_sources_that_are_not_near_their_copies(truth, right, failed):
    far = {key: [("art", "x")] * 5 + list(found) for key, found in right.neighbours.items()}
    assert failed(truth, replace(right, neighbours=far)) == ["sources among the 5 nearest of copies"]
    checks = check_results(truth, replace(right, neighbours=far), [], copies_share=0.0)
    assert all(check.ok for check in checks if "sources" in check.name)


def test_divergence_in_the_wrong_order_or_missing(truth, right, failed):
    for value in ({("posts", "diffusion"): (0.7, 0.6, 0.8)}, {}):
        kl = {**right.kl, **value} if value else {("posts", "diffusion"): (0.1, 0.05, 0.2)}
        assert failed(truth, replace(right, kl=kl)) == ["divergence from posts in order"]


def test_divergences_of_a_large_world_must_lie_apart(truth, right, failed, monkeypatch):
    close = replace(right, kl={**right.kl, ("posts", "diffusion"): (0.5, 0.3, 0.6)})
    assert failed(truth, close) == []
    monkeypatch.setattr("twigma_spark.sample.truth.LARGE", 1)
    assert failed(truth, right) == []
    assert failed(truth, close) == ["divergence from posts in order"]


def test_a_follower_band_that_is_not_the_planted_one(truth, right, failed):
    changes = {**right.changes, ("art", "followers >5000 vs <500"): (200.0, 150.0, 260.0)}
    assert failed(truth, replace(right, changes=changes)) == ["likes by follower band"]


def test_likes_that_fall_where_they_were_planted_to_rise(truth, right, failed):
    changes = {**right.changes, ("photo", "quintile 1"): (-30.0, -50.0, -10.0)}
    assert failed(truth, replace(right, changes=changes)) == ["likes of the least against the most similar"]


@pytest.mark.parametrize("planted", ["rising", "steady", "falling"])
def test_a_theme_that_moves_the_wrong_way(truth, right, failed, planted):
    names = sorted(truth.trends)
    place = next(
        names.index(n)
        for n, t in truth.trends.items()
        if t.direction == planted and names.index(n) in right.clusters.values()
    )
    arrows = {**right.arrows, place: -1 if planted == "rising" else 1}
    assert failed(truth, replace(right, arrows=arrows)) == ["themes rising and falling"]
    unsure = {**right.arrows, place: 0}
    assert failed(truth, replace(right, arrows=unsure)) == []


def test_table_and_loading(truth, tmp_path):
    table = format_checks([Check("short", True, "1 of 1"), Check("rather long", False, "0 of 1")])
    assert table == "ok    short        1 of 1\nFAIL  rather long  0 of 1"
    (tmp_path / "truth.json").write_text('{"format": 1}')
    with pytest.raises(CorpusError, match=r"truth must be the truth\.json of a sample world"):
        load_truth(tmp_path / "truth.json")


@pytest.fixture
def large(truth):
    """The ground truth of a world with sixty times as many posts: every planted effect has the power."""
    many = truth.model_copy(update={"posts": truth.posts * 60})
    powers = trend_powers(many.trends, len(many.posts))
    assert all(powers[name] > 0.9 for name, trend in many.trends.items() if trend.direction != "steady")
    assert all(band_power(many.likes, many.posts, band, "<500") > 0.9 for band in ("500-5000", ">5000"))
    return many


@pytest.fixture
def themed(truth, right):
    """Thirty images of each theme, each theme a cluster of its own, with its planted arrow."""
    names, signs = sorted(truth.trends), {"rising": 1, "steady": 0, "falling": -1}
    label = ImageTruth(
        corpus="posts", source_key="", caption="", theme="", style="", medium="", sensitive=False, style_mix=0.0
    )
    keys = [(name, f"{name}{n}") for name in names for n in range(30)]
    images = [label.model_copy(update={"theme": name, "source_key": key}) for name, key in keys]
    clusters = {("posts", key): names.index(name) for name, key in keys}
    arrows = {k: signs[truth.trends[name].direction] for k, name in enumerate(names)}
    return images, replace(right, clusters=clusters, arrows=arrows)


def faults(truth, found, images) -> list[str]:
    return [check.name for check in check_results(truth, found, images) if not check.ok]


def test_a_faultless_run_passes_where_the_sample_has_the_power(large, themed):
    images, found = themed
    assert faults(large, found, images) == []


def test_likes_without_an_effect_fail_where_the_sample_has_the_power(large, themed):
    images, found = themed
    shuffled = {key: (0.0, -90.0, 900.0) if "followers" in key[1] else ends for key, ends in found.changes.items()}
    assert faults(large, replace(found, changes=shuffled), images) == ["likes by follower band"]


def test_trends_that_are_not_seen_fail_where_the_sample_has_the_power(large, themed):
    images, found = themed
    steady = replace(found, arrows=dict.fromkeys(found.arrows, 0))
    assert faults(large, steady, images) == ["themes rising and falling"]


def test_clusters_that_are_no_themes_fail(large, themed):
    images, found = themed
    numbers = np.random.default_rng(0).permutation(list(found.clusters.values())).tolist()
    shuffled = dict(zip(found.clusters, numbers, strict=True))
    assert faults(large, replace(found, clusters=shuffled), images) == ["themes rising and falling"]


def test_random_neighbours_and_missed_near_duplicates_fail(truth, right, failed):
    random = {key: [("art", "x")] * 5 for key in right.neighbours}
    assert failed(truth, replace(right, neighbours=random)) == ["sources among the 5 nearest of copies"]
    strict = {key: value for key, value in right.duplicates.items() if value[1] != "embedding"}
    assert failed(truth, replace(right, duplicates=strict)) == ["near duplicates collapsed"]


def posts(n: int, rng: np.random.Generator) -> list[PostTruth]:
    bands = rng.choice(list(BANDS), n, p=BAND_SHARES)
    return [PostTruth(post_id="", theme="city", band=band, style_mix=float(rng.random() * 0.4)) for band in bands]


def test_the_power_of_bands_is_how_often_they_are_told_apart():
    """Against a simulation: 2,000 worlds of 40 posts, log ratios of means with their empirical standard error."""
    rng = np.random.default_rng(1)
    own = posts(40, rng)
    bands = np.array([post.band for post in own])
    mixes = [post.style_mix for post in own]
    ratios = []
    for _ in range(2000):
        likes = draw_likes(LIKES, bands.tolist(), mixes, rng)
        ratios.append(np.log(likes[bands == "500-5000"].mean() / likes[bands == "<500"].mean()))
    simulated = np.mean(np.abs(ratios) > 1.96 * np.std(ratios))
    assert band_power(LIKES, own, "500-5000", "<500") == pytest.approx(simulated, abs=0.08)


def test_the_power_of_trends_is_how_often_they_are_seen():
    """Against a simulation: 1,000 worlds of 754 posts, logistic regression by weighted least squares of the logits."""
    planted, rng, posts = trends(), np.random.default_rng(2), 754
    weights = np.asarray(month_weights())
    months = np.arange(len(weights)) - (len(weights) - 1) / 2
    odds = np.exp(np.outer([trend.slope_per_month for trend in planted.values()], months))
    shares, name = odds / odds.sum(axis=0), list(planted).index("robot")
    slopes = []
    for _ in range(1000):
        n = rng.multinomial(posts, weights / weights.sum())
        hits = rng.binomial(n, shares[name])
        information = np.maximum(n * shares[name] * (1 - shares[name]), 1e-9)
        centred = months - np.average(months, weights=information)
        # One Fisher scoring step from the planted shares: the score test's estimate.
        slopes.append(np.sum(centred * (hits - n * shares[name])) / np.sum(information * centred**2))
    error = np.std(slopes)
    expected = wald_power(0.0, 1.0, 0.05 / len(planted))
    assert expected == pytest.approx(0.05 / len(planted) / 2, rel=0.01)
    power = trend_powers(planted, posts)["robot"]
    logit = np.log(shares[name] / (1 - shares[name]))
    slope = np.polyfit(months, logit, 1, w=np.sqrt(weights * shares[name] * (1 - shares[name])))[0]
    assert power == pytest.approx(wald_power(slope, error, 0.05 / len(planted)), abs=0.05)


GOOD = {
    "accuracy": (0.7, 0.6, 0.8),
    "CLIP score": (0.2, 0.1, 0.3),
    "followers and hour": (0.2, 0.1, 0.3),
    "matching": (0.1, 0.02, 0.2),
}


@pytest.fixture
def community(truth):
    """A truth with a community in which the reward model must be found to be better."""
    tastes = [t.model_copy(update={"source_key": f"{i}-{t.source_key}"}) for i in range(50) for t in truth.tastes]
    return truth.model_copy(update={"tastes": tuple(tastes)})


def held_out(truth):
    """Pairs of which two of three have the brighter image first."""
    bright = sorted(truth.tastes, key=lambda taste: taste.brightness)
    pairs = [(bright[-1], bright[0]), (bright[-2], bright[1]), (bright[2], bright[-3])]
    return [(("diffusion", one.source_key), ("diffusion", other.source_key)) for one, other in pairs]


def test_the_reward_model_must_beat_the_others_in_a_large_community(truth, community, right, failed):
    name = "the reward model tells what is liked"
    found = replace(right, reward=GOOD, held_out=held_out(community))
    assert failed(community, found) == []
    (check,) = (c for c in check_results(community, found, []) if c.name == name)
    assert check.detail.startswith("accuracy 0.70 [0.60, 0.80] of 0.67 possible; more than CLIP +0.20 [+0.10, +0.30]")
    assert failed(community, right) == [name]  # no model at all
    for other in ("CLIP score", "followers and hour", "matching"):
        no_better = {**GOOD, other: (0.1, -0.05, 0.25)}
        assert failed(community, replace(found, reward=no_better)) == [name]
        assert failed(truth, replace(found, reward=no_better, held_out=held_out(truth))) == []  # a small world
        worse = {**GOOD, other: (-0.1, -0.2, -0.01)}
        assert failed(truth, replace(found, reward=worse, held_out=held_out(truth))) == [name]
        without = {k: v for k, v in GOOD.items() if k != other}
        assert failed(community, replace(found, reward=without)) == [name]
