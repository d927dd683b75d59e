import base64
import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from made_results import result
from report_demo import demo, drawing, picture

from twigma_spark.report.data import (
    CorpusSummary,
    OriginCount,
    Pair,
    Picture,
    Reject,
    ReportData,
    StageRun,
    ThemeSummary,
)
from twigma_spark.report.figures import label, script_json
from twigma_spark.report.render import LEADS, SCRIPTS, SECTIONS, choose_leads, choose_pictures, data_uri, render
from twigma_spark.results import Result, Value

EVIL = "</style></script><script>alert(1)</script><img src=x onerror=alert(2)>"
EVIL += "\"'`{{ 79*97 }}&lt;javascript:alert(3)"
REFERRING = {"src", "href", "action", "srcset", "poster", "data", "xlink:href", "formaction", "background"}


class Page(HTMLParser):
    """The elements of a page, and the text of its scripts by kind."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._script: dict[str, str | None] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._script = dict(attrs) if tag in ("script", "style") else self._script
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.text += data
        elif self.scripts and self._script == self.scripts[-1][0]:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)

    def all(self, tag: str, css: str = "") -> list[dict[str, str | None]]:
        return [a for t, a in self.elements if t == tag and css in (a.get("class") or "")]


@pytest.fixture(scope="module")
def html() -> str:
    return render(demo())


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def with_picture(shown: Picture) -> Page:
    """Return a page whose only picture is `shown`."""
    return Page(
        render(
            replace(
                demo(),
                themes=(ThemeSummary("t", 0, 9, pictures=(shown,)),),
                pairs=(),
                copies=(),
                duplicate_groups=(),
                shared_pairs=(),
                hashtags=(),
                reward_pairs=(),
            )
        )
    )


def test_every_section_is_there_and_in_the_navigation(page: Page) -> None:
    assert [a["id"] for a in page.all("section")] == ["findings", *[s.id for s in SECTIONS]]
    own = [a["href"] for a in page.all("a") if "download" not in a]
    assert own[1:] == [f"#{s.id}" for s in SECTIONS]


def test_nothing_refers_outside(page: Page) -> None:
    values = [v for _, attrs in page.elements for k, v in attrs.items() if k in REFERRING and v]
    assert values and all(v.startswith(("#", "data:image/webp;base64,", "data:text/csv;base64,")) for v in values)
    assert "link" not in {tag for tag, _ in page.elements}
    style = re.search(r"<style>(.*?)</style>", render(demo()), re.S)
    assert style and "url(" not in style[1] and "@import" not in style[1]


def test_the_policy_allows_exactly_the_scripts_of_the_page_and_loads_nothing(page: Page) -> None:
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy and policy.startswith("default-src 'none';") and "unsafe-eval" not in policy
    running = [text for attrs, text in page.scripts if attrs.get("type") != "application/json"]
    hashes = [base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in running]
    allowed = re.search(r"script-src ([^;]*);", policy)
    assert allowed and allowed[1].split() == [f"'sha256-{h}'" for h in hashes]
    assert len(running) == 1 + len(SCRIPTS)


def test_plotly_is_embedded_once_and_every_chart_has_its_data(html: str, page: Page) -> None:
    assert len(re.findall(r"plotly\.js v\d", html)) == 1
    charts = {a["data-figure"]: json.loads(text) for a, text in page.scripts if "data-figure" in a}
    assert set(charts) == {a["id"] for a in page.all("div", "plot")}
    assert {
        "fig-kl",
        "fig-kl-kt",
        "fig-reward",
        "fig-reward-strata",
        "fig-reward-calibration",
        "fig-reward-loss",
        "fig-grid",
        "fig-ridges",
        "fig-prompts",
        "fig-texts",
        "fig-origins-0",
        "fig-theme-sizes-0",
        "fig-theme-composition-0",
        "fig-theme-months-0",
        "fig-similarity",
        "fig-copies",
        "fig-likes",
        "fig-likes-joint",
        "fig-nsfw",
        "fig-nsfw-scores",
        "fig-activity",
        "fig-words",
        "fig-choice-0",
        "fig-duplicates",
        "fig-map-corpus",
        "fig-map-density",
        "fig-map-date",
    } == set(charts)


def test_the_same_data_give_the_same_page(html: str) -> None:
    assert render(demo()) == html


def test_the_matrix_goes_from_rows_to_columns_in_the_order_of_roles(page: Page) -> None:
    chart = next(json.loads(text) for a, text in page.scripts if a.get("data-figure") == "fig-kl")
    trace = chart["data"][0]
    assert trace["x"] == trace["y"] == ["posts", "diffusion", "photo", "art"]
    assert [cell.split("<br>")[0] for cell in trace["text"][0][:3]] == ["0", "0.310", "∞"]
    assert chart["layout"]["yaxis"]["autorange"] == "reversed"
    assert "0.310 nats [0.279, 0.347]" in trace["customdata"][0][1] and "n = 2,000" in trace["customdata"][0][1]


def test_infinity_is_explained(page: Page) -> None:
    assert "∞ is the true value for posts ‖ photo" in page.text


def evil() -> ReportData:
    """Return a page in which every text from outside is hostile."""
    bad = Picture(EVIL, EVIL, EVIL, drawing(1), None, 0.9, None, EVIL)
    open_bad = replace(bad, score=0.0)
    return ReportData(
        title=EVIL,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        corpora=(CorpusSummary(EVIL, "posts", 2, 1, {EVIL: 1}, 0), CorpusSummary("art", "art", 1, 1)),
        results=(result("distinctiveness", "kl", 1.0, 0.9, 1.1, 5, EVIL, EVIL, p=EVIL, q="art"),),
        origins=(OriginCount(EVIL, 0, EVIL, 3), OriginCount(EVIL, 1, EVIL, 300)),
        themes=(ThemeSummary(EVIL, 0, 9, 0.1, ((EVIL, 1.0),), (("2022-01", 4), ("2022-02", 5)), (bad, open_bad)),),
        matches=replace(demo()).matches[:1],
        pairs=(Pair(EVIL, bad, open_bad, 0.9),),
        copies=(Pair(EVIL, bad, open_bad, 0.9, 0.1),),
        rejects=(Reject(EVIL, EVIL, EVIL, EVIL, 1, ((EVIL, EVIL),)),),
        runs=(StageRun(EVIL, datetime(2026, 1, 1), 1.0, {}, {EVIL: 1}, {EVIL: EVIL}, EVIL),),
    )


def test_text_from_outside_stays_text() -> None:
    html = render(evil())
    page = Page(html)
    clean = Page(render(demo()))
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in clean.elements}
    assert len([1 for a, _ in page.scripts if a.get("type") != "application/json"]) == 1 + len(SCRIPTS)
    assert not [k for _, attrs in page.elements for k in attrs if k.startswith("on")]
    assert not [v for _, a in page.elements for k, v in a.items() if k in REFERRING and v and "javascript" in v]
    assert page.text.count("alert(1)") > 10, "the hostile text must be there, as text"
    assert "7663" not in page.text, "a template must not be read from outside"


def test_text_from_outside_stays_text_in_figures() -> None:
    page = Page(render(evil()))
    charts = [text for a, text in page.scripts if a.get("type") == "application/json"]
    assert charts and all("<" not in text and ">" not in text for text in charts)
    # plotly reads a little HTML in labels: after JSON, the text must still be escaped for that.
    labels = [t["name"] for text in charts for t in json.loads(text)["data"] if t.get("name")]
    assert labels and all("<" not in name for name in labels)


def test_label_is_escaped_and_short() -> None:
    assert label("<a href='javascript:x'>") == "&lt;a href='javascript:x'&gt;"
    assert label("x" * 99, 10) == "x" * 9 + "…"


def test_json_in_a_script_cannot_end_it_and_holds_no_nan() -> None:
    text = script_json({"a": "</script><!-- & \u2028"})
    assert "<" not in text and "\u2028" not in text and json.loads(text) == {"a": "</script><!-- & \u2028"}
    with pytest.raises(ValueError):
        script_json([float("nan")])


@pytest.mark.parametrize(
    ("score", "sensitive", "hidden"),
    [
        (0.9, None, True), (0.9, False, True), (0.1, True, True), (None, True, True), (None, None, True),
        (0.1, None, False), (0.1, False, False), (None, False, False), (0.5, None, False),
    ],
)  # fmt: skip
def test_a_picture_is_hidden_where_it_may_not_be_safe(
    score: float | None, sensitive: bool | None, hidden: bool
) -> None:
    shown = replace(picture(3), score=score, sensitive=sensitive)
    page = with_picture(shown)
    full = data_uri(shown.thumbnail)
    assert ({a.get("src") for a in page.all("img")} == {full}) is not hidden
    buttons = page.all("button", "veiled")
    assert bool(buttons) is hidden
    if hidden:
        assert buttons[0]["type"] == "button" and "Hidden picture" in str(buttons[0]["aria-label"])
        assert buttons[0]["data-full"] == full
        assert [a.get("src") for a in page.all("img")] == [data_uri(shown.preview)] != [full]


def test_a_picture_has_the_name_of_its_file_and_a_link_where_there_is_one() -> None:
    alone = with_picture(replace(picture(3), file="a/<b>.jpg"))
    assert "a/<b>.jpg" in alone.text
    assert not [a for a in alone.all("a") if a.get("target")]
    linked = with_picture(replace(picture(3), file="a/b.jpg", link="../a/b.jpg"))
    (link,) = [a for a in linked.all("a") if a.get("target")]
    assert (link["href"], link["rel"]) == ("../a/b.jpg", "noopener")


def test_the_groups_of_duplicates_say_how_each_was_found(page: Page) -> None:
    assert "near, 0.912" in page.text and "kept" in page.text and "and 6 more" in page.text


def test_a_hidden_picture_without_a_preview_shows_nothing() -> None:
    page = with_picture(replace(picture(3), score=0.9, preview=None))
    assert page.all("img") == [] and len(page.all("button", "veiled")) == 1


def test_the_style_blurs_previews_and_hides_them_in_print(html: str) -> None:
    style = re.search(r"<style>(.*?)</style>", html, re.S)
    assert style and re.search(r"\.veiled img\{filter:blur\(", style[1])
    assert re.search(r"@media print\{.*button\.tile img\{visibility:hidden\}", style[1])


def test_no_model_is_said() -> None:
    data = demo()
    unscored = replace(data, safety=tuple(replace(s, scored=0, above=0) for s in data.safety))
    assert "No NSFW model has scored these images" in Page(render(unscored)).text
    assert "No NSFW model has scored these images" not in Page(render(data)).text


def test_the_page_opens_with_safe_pictures_of_the_themes_in_turn_and_a_sentence_of_each_part() -> None:
    data = demo()
    hidden = [p for t in data.themes for p in t.pictures if p.hidden_because(data.nsfw_threshold)]
    opening = choose_pictures(data)
    assert hidden and len(opening) > 3 and not set(hidden) & set(opening)
    assert [p in data.themes[i].pictures for i, p in enumerate(opening[: len(data.themes)])] == [True] * len(
        data.themes
    )
    found = {s.id: s.findings(data) for s in SECTIONS}
    leads = choose_leads(found)
    assert [lead in found[name] for lead, name in zip(leads, LEADS[:3], strict=True)] == [True] * 3
    assert choose_leads({**found, "likes": []})[2] not in [*found["distinctiveness"], *found["themes"]]
    assert choose_leads({name: [] for name in found}) == [] == choose_pictures(replace(data, themes=()))


def test_a_picture_that_cannot_be_drawn_is_said() -> None:
    page = with_picture(Picture("a", "posts", "x", None, None, 0.1))
    assert page.all("img") == [] and "cannot be drawn" in page.text


def test_only_pictures_become_data_uris() -> None:
    assert data_uri(b"<svg onload=alert(1)>") == data_uri(b"") == data_uri(None) == ""
    assert data_uri(b"\xff\xd8\xff\xe0").startswith("data:image/jpeg;base64,")
    assert data_uri(b"\x89PNG\r\n").startswith("data:image/png;base64,")


def test_an_empty_report_says_so_everywhere() -> None:
    page = Page(render(ReportData("empty", datetime(2026, 1, 1, tzinfo=UTC))))
    for words in (
        "nothing to report yet",
        "No divergences",
        "No ranking has been checked",
        "No variation has been measured",
        "No corpus has prompts",
        "No texts have been embedded",
        "No clustering",
        "No neighbours",
        "Nothing was refused",
    ):
        assert words in page.text
    assert [a for a, _ in page.scripts if "data-figure" in a] == []
    assert len(page.all("section", "empty")) == len(SECTIONS)


def test_only_sections_without_a_table_a_picture_or_a_number_are_folded() -> None:
    assert Page(render(demo())).all("section", "empty") == []
    others = tuple(row for row in demo().results if row.analysis != "concordance")
    page = Page(render(replace(demo(), results=others)))
    assert [section["id"] for section in page.all("section", "empty")] == ["concordance"]
    assert "No annotator has answered" in page.text


def test_rejects_and_their_examples_are_listed(page: Page) -> None:
    for words in ("undecodable", "image file is truncated", "a/17.jpg", "44 bytes start with 68656c6c6f"):
        assert words in page.text


def test_files_that_are_lost_are_an_alarm() -> None:
    data = demo()
    holed = replace(data, corpora=(replace(data.corpora[0], kept=1), *data.corpora[1:]))
    assert "unaccounted for" in Page(render(holed)).text and "unaccounted for" not in Page(render(data)).text


def test_a_reference_without_a_threshold_for_copies_says_why() -> None:
    blank = Value(None, None, None, 900, "images", "not computed: a dense style, or copies")
    data = replace(demo(), results=(Result.of("copies", "threshold", blank, reference="art"),))
    assert "none, not computed: a dense style, or copies" in render(data)
