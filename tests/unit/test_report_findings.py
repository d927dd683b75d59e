from dataclasses import replace
from datetime import UTC, datetime

import pytest
from made_results import result
from report_demo import demo

from twigma_spark.report import courses
from twigma_spark.report.data import BestMatches, OriginCount, ReportData, Safety, StageRun, ThemeSummary
from twigma_spark.report.sections import (
    activity,
    corpora,
    distinctiveness,
    likes,
    neighbours,
    origins,
    rejects,
    runs,
    safety,
    themes,
)
from twigma_spark.report.sections.concordance import keywords
from twigma_spark.results import Result

Ends = tuple[float, float | None, float | None]


def with_kl(values: dict[str, Ends], gaps: dict[tuple[str, str], Ends], **more: float) -> ReportData:
    """Return a page with smoothed KL(posts | reference), differences by (q, versus), and p-values by reference."""
    of, how = "distinctiveness", {"method": "bootstrap", "p": "posts"}
    rows = [result(of, "kl_kt", *ends, 2000, **how, q=q) for q, ends in values.items()]
    rows += [
        result(f"{of}_difference", "kl_kt", *ends, 4000, **how, q=q, versus=versus)
        for (q, versus), ends in gaps.items()
    ]
    rows += [result(of, "p_same", p, None, None, 2000, **how, q=q) for q, p in more.items()]
    return replace(demo(), results=tuple(rows))


def sentence(data: ReportData) -> str:
    (finding,) = distinctiveness.findings(data)
    return finding.text


KL: dict[str, Ends] = {"diffusion": (0.31, 0.28, 0.35), "art": (0.9, 0.8, 1.0), "photo": (2.0, 1.8, 2.2)}
GAPS: dict[tuple[str, str], Ends] = {
    ("diffusion", "art"): (-0.59, -0.7, -0.5),
    ("diffusion", "photo"): (-1.69, -1.9, -1.5),
    ("art", "photo"): (-1.1, -1.3, -0.9),
}


def test_the_nearest_reference_is_named_with_how_much_farther_the_next_is() -> None:
    data = with_kl(KL, GAPS)
    assert sentence(data) == (
        "Images of posts are nearest to diffusion (KL 0.310 nats [0.280, 0.350]), "
        "before art (0.590 more [0.500, 0.700]), and farthest from photo (2.00 [1.80, 2.20])."
    )
    (finding,) = distinctiveness.findings(data)
    assert all(word in finding.basis for word in ("2,000 images", "bootstrap", "smoothed"))


def test_intervals_may_overlap_where_that_of_the_difference_is_above_0() -> None:
    wide: dict[str, Ends] = {**KL, "diffusion": (0.31, 0.2, 0.85)}
    assert "nearest to diffusion" in sentence(with_kl(wide, GAPS))


@pytest.mark.parametrize("high", [0.0, 0.1])
def test_no_claim_where_the_interval_of_the_difference_holds_0(high: float) -> None:
    text = sentence(with_kl(KL, {**GAPS, ("diffusion", "art"): (-0.59, -0.7, high)}))
    assert "cannot be decided" in text and "art (0.590 more" in text and "photo" not in text


def test_the_farthest_is_not_named_where_it_is_not_certain() -> None:
    text = sentence(with_kl(KL, {**GAPS, ("art", "photo"): (-1.1, -1.3, 0.2)}))
    assert "nearest to diffusion" in text and "farthest" not in text


def test_no_claim_without_differences() -> None:
    text = sentence(with_kl(KL, {}))
    assert "cannot be decided" in text and "how much farther art is is not known" in text


def test_a_reference_that_may_be_the_same_corpus_is_said_to_be() -> None:
    assert "; two draws of one corpus differ as much, p = 0.300)" in sentence(with_kl(KL, GAPS, diffusion=0.3))
    assert "draws of one corpus" not in sentence(with_kl(KL, GAPS, diffusion=0.001))


def test_nothing_is_said_where_there_is_no_divergence() -> None:
    assert distinctiveness.findings(replace(demo(), results=())) == []


def test_one_reference_is_a_plain_statement() -> None:
    assert sentence(with_kl({"art": (0.9, 0.8, 1.0)}, {})).startswith("From posts to art the KL divergence is 0.900")


def test_other_directions_are_not_mixed_in() -> None:
    back = result("distinctiveness", "kl_kt", 0.01, 0.0, 0.02, p="photo", q="posts")
    data = with_kl({q: KL[q] for q in ("diffusion", "art")}, GAPS)
    assert "photo" not in sentence(replace(data, results=(*data.results, back)))


def test_the_account_is_told_and_a_hole_in_it_too() -> None:
    data = demo()
    assert "unaccounted" not in corpora.findings(data)[0].text
    holed = replace(data, corpora=(replace(data.corpora[0], kept=data.corpora[0].kept - 3), *data.corpora[1:]))
    assert "3 files are unaccounted for" in corpora.findings(holed)[0].text


def themes_of(*sizes: int) -> ReportData:
    return replace(demo(), themes=tuple(ThemeSummary("t", k, n, words=((f"w{k}", 1.0),)) for k, n in enumerate(sizes)))


def test_the_largest_theme_is_named_only_where_it_stands_apart() -> None:
    assert any("largest theme is “w0”" in f.text for f in themes.findings(themes_of(900, 300, 200)))
    assert not [f for f in themes.findings(themes_of(310, 300, 290)) if "largest" in f.text]


def moved(
    cluster: int, sign: int, change: float, low: float, high: float, analysis: str = "trends", **labels: str
) -> tuple[Result, ...]:
    """Return the rows of a theme's trend."""
    return (
        result(analysis, "arrow", float(sign), n=400, method="the rule", cluster=cluster, **labels),
        result(
            analysis, "relative_change", change, low, high, 400, method="binomial regression", cluster=cluster, **labels
        ),
    )


def pair_of_themes(*rows: Result) -> ReportData:
    names = (ThemeSummary("t", 0, 400, words=(("up", 1.0),)), ThemeSummary("t", 1, 400, words=(("down", 1.0),)))
    return replace(demo(), themes=names, results=rows)


def test_the_themes_that_rose_and_fell_most_follow_the_arrows() -> None:
    data = pair_of_themes(*moved(0, 1, 1.5, 1.0, 2.0), *moved(1, -1, -0.5, -0.6, -0.4))
    found = [f.text for f in themes.findings(data)]
    assert "“up” rose most: its share of the images changed by +150% [+100%, +200%] over the months." in found
    assert "“down” fell most: its share of the images changed by −50% [−60%, −40%] over the months." in found


def test_small_months_make_no_headline() -> None:
    def found(first: int, last: int) -> list[str]:
        data = pair_of_themes(*moved(0, 1, 1.5, 1.0, 2.0))
        up = replace(data.themes[0], months=(("2022-01", first), ("2022-02", 900), ("2022-04", last)))
        return [f.text for f in themes.findings(replace(data, themes=(up, data.themes[1]))) if "most:" in f.text]

    assert found(20, 400) == found(400, 29) == []
    assert len(found(30, 30)) == 1


def test_steady_themes_and_those_without_a_trend_make_no_finding() -> None:
    for rows in (moved(0, 0, 1.5, -0.1, 4.0), ()):
        assert not [f for f in themes.findings(pair_of_themes(*rows)) if "most:" in f.text]


def test_the_cards_have_arrow_course_and_cloud() -> None:
    share = [result("trends", "month_share", 0.1 * m, 0.05, 0.5, 40, cluster=0, month=f"2022-0{m}") for m in (1, 2, 4)]
    gap = result("trends", "month_share", None, n=0, method="not computed: none", month="2022-03")
    data = pair_of_themes(*moved(0, 1, 1.5, 1.0, 2.0), *share, gap)
    ((cards, _),) = themes.context(data)["groups"]  # type: ignore[misc]
    assert (cards[0].arrow.glyph, cards[0].arrow.word) == ("▲", "rising") and cards[1].arrow is None
    assert len(cards[0].course.lines) == 2  # the gap of March parts them
    assert cards[0].cloud == (("up", 2.2, 1.0),)


def test_strata_show_an_arrow_only_where_a_theme_moves() -> None:
    of, tag = "trends_by_stratum", {"kind": "hashtag", "stratum": "<b>"}
    share = [result(of, "share", 0.5, 0.4, 0.6, 80, cluster=c, **tag) for c in (0, 1)]
    rows = (*share, *moved(0, -1, -0.5, -0.6, -0.4, of, **tag), *moved(1, 0, 0.1, -0.6, 1.4, of, **tag))
    (row,) = courses.strata(pair_of_themes(*rows), [0, 1])
    assert (row.kind, row.name, row.n, row.cells) == ("hashtag", "<b>", 80, (("50%", "▼"), ("50%", "")))


def with_likes(low: float, high: float) -> ReportData:
    row = result("likes_regression", "poisson_score", 30.0, low, high, 900, reference="art", level="quintile 1")
    return replace(demo(), results=(row,))


def test_likes_make_a_claim_only_where_the_interval_does() -> None:
    texts = [likes.findings(with_likes(*ends))[0].text for ends in ((10.0, 55.0), (-5.0, 80.0), (-60.0, -20.0))]
    assert (
        "get more likes" in texts[0]
        and "No significant difference in likes" in texts[1]
        and "get fewer likes" in texts[2]
    )
    assert "+30% [+10%, +55%]" in texts[0]


def test_growth_of_the_posts_makes_a_claim_only_where_the_interval_does() -> None:
    def grown(low: float, high: float) -> ReportData:
        row = result("activity", "growth", 4.0, low, high, 27, "months", "quasi-Poisson")
        return replace(demo(), results=(row,))

    assert activity.findings(grown(-1.0, 9.0)) == []
    (found,) = activity.findings(grown(2.0, 6.0))
    assert found.text == "The number of posts grew by +4.0% [+2.0%, +6.0%] a month."


def test_where_most_posts_are() -> None:
    rows = tuple(
        OriginCount("o", k, c, n) for c, ns in {"posts": (90, 10), "art": (20, 80)}.items() for k, n in enumerate(ns)
    )
    (finding,) = origins.findings(replace(demo(), origins=rows))
    assert finding.text.startswith("90% [83%, 94%] of the images of posts fall into one of 2 clusters")
    assert "20% of art" in finding.text
    even = tuple(OriginCount("o", k, "posts", n) for k, n in enumerate((51, 49)))
    assert origins.findings(replace(demo(), origins=even)) == []


def test_the_mix_of_a_cluster_weighs_corpora_alike() -> None:
    rows = (
        OriginCount("o", 0, "posts", 1000),
        OriginCount("o", 0, "art", 10),
        OriginCount("o", 1, "art", 10),
    )
    (table,) = origins.tables(replace(demo(), origins=rows))
    assert table.mix(0) == pytest.approx({"posts": 2 / 3, "art": 1 / 3})
    assert table.mix(1) == pytest.approx({"posts": 0.0, "art": 1.0})


@pytest.mark.parametrize(("wins", "claimed"), [((700, 300), True), ((520, 480), False)])
def test_the_nearest_reference_by_images(wins: tuple[int, int], claimed: bool) -> None:
    rows = tuple(BestMatches(r, 1000, n, 0.5, 0.1, ((0.5, 1000),)) for r, n in zip(("art", "photo"), wins, strict=True))
    found = neighbours.findings(replace(demo(), matches=rows))
    assert [f.text.startswith("The reference image most like") for f in found] == [True] * claimed


def test_safety_says_the_share_or_that_no_model_looked() -> None:
    assert safety.findings(demo())[0].text == "3.4% [2.6%, 4.3%] of the images of posts score above 0.5 for NSFW."
    unscored = replace(demo(), safety=(Safety("posts", 10, 0, 0, 1, 9),))
    assert safety.findings(unscored)[0].text.startswith("No NSFW model")
    assert safety.findings(replace(demo(), safety=())) == []


def test_rejects_name_the_most_common_reason() -> None:
    assert "29 rows were refused for 3 reasons" in rejects.findings(demo())[0].text
    assert rejects.findings(replace(demo(), rejects=())) == []


def test_versions_tell_which_stages_used_them() -> None:
    found = {(name, version): stages for name, version, stages in runs.versions(demo())}
    assert found["pyspark", "3.5.9"] == "all stages"
    assert found["image model", "sample-clip@3f2a"] == "embed"


def test_posts_over_time_say_truthfully_what_is_missing() -> None:
    """It once said that no post has a date, of a folder of 1,804 dated images."""
    data = replace(demo(), results=())
    folder = (replace(data.corpora[0], name="mine", role="posts", since=datetime(2022, 1, 1, tzinfo=UTC)),)
    ran = (StageRun("trends", datetime(2022, 1, 1, tzinfo=UTC), 1.0),)
    assert activity.explain_absence(replace(data, runs=())) == "The stage trends has not run."
    assert "mine has dated images without posts: the reader posts" in activity.explain_absence(
        replace(data, corpora=folder, runs=ran)
    )
    undated = (replace(folder[0], since=None),)
    assert activity.explain_absence(replace(data, corpora=undated, runs=ran)) == "None of the posts of mine has a date."


def test_keywords_of_annotators_stand_beside_the_words_of_the_captions() -> None:
    data = demo()
    theme = replace(next(t for t in data.themes if t.cluster == 3), words=(("castle", 0.3), ("river", 0.1)))
    (found,) = keywords(replace(data, themes=(theme,)))
    assert found.keywords == (("castles", 0.6, True), ("ruin", 0.3, False))
    assert found.captions == (("castle", True), ("river", False)) and found.cluster == 3
    assert keywords(replace(data, themes=()))[0].captions == ()
