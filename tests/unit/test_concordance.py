"""What people said against what the machine said; the answers' files; the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from made_results import joined

from twigma_spark.errors import CorpusError
from twigma_spark.io.answers import HEADER, blank_sheet, fingerprint, read_answers
from twigma_spark.report.annotation import SheetItem, annotation_page
from twigma_spark.results import Value
from twigma_spark.stats.concordance import Answer, Draws, Item, concordance_results, keyword_results, words

STOP = frozenset({"a", "the", "of", "picture"})
NOUNS = ("castle", "robot", "forest", "whale")
DRAWS = Draws(400, 300, 1)
ITEMS = [Item(f"i{n:02d}", n % 4, f"a picture of the {NOUNS[n % 4]} number") for n in range(40)]


def answers(name: str = "ann", agree: bool = True) -> list[Answer]:
    rng = np.random.default_rng(5)
    groups = [i.cluster if agree else int(rng.integers(0, 4)) for i in ITEMS]
    return [
        Answer(name, i.item, (NOUNS[g] + "s", "thing", ""), f"My {NOUNS[g]}")
        for i, g in zip(ITEMS, groups, strict=True)
    ]


def told(given: list[Answer], items: list[Item] = ITEMS) -> dict[tuple[str, str], Value]:
    found = {(r.metric, joined(r)): r.value for r in concordance_results(items, given, STOP, DRAWS)}
    for value in found.values():
        assert value.method and all(e is None or np.isfinite(e) for e in (value.estimate, value.low, value.high))
        assert value.low is None or value.low <= value.estimate <= value.high
    return found


def test_words_are_in_lower_case_without_stop_words_and_plurals() -> None:
    assert words("The Castles, of GLASS & a picture 42 x", STOP) == {"castle", "glass"}


def test_people_who_see_the_clusters() -> None:
    found = told([*answers("ann"), *answers("bob")])
    assert found["keyword_overlap", "ann"].estimate == 0.5  # the noun is in the caption, "thing" is not
    assert "p = 0.0025" in found["keyword_overlap", "ann"].method  # 1 / (1 + 400)
    assert found["keyword_overlap_null", "ann"].estimate == pytest.approx(0.125, abs=0.02)
    assert found["ari", "bob"].estimate == found["ami", "bob"].estimate == pytest.approx(1)
    assert found["alpha_groupings", ""].estimate == found["alpha_keywords", ""].estimate == 1
    assert found["kept_together", "2"].estimate == 1
    assert found["split_by_people", "2"].estimate == 0


def test_people_who_group_at_random() -> None:
    found = told([*answers("ann"), *answers("bob", agree=False)])
    assert abs(found["ari", "bob"].estimate) < 0.1 and found["ari", "bob"].low < 0.1
    assert found["alpha_groupings", ""].estimate < 0.6


def test_a_cluster_that_people_split_and_one_they_do_not() -> None:
    given = [Answer(a.annotator, a.item, (), f"{a.group} {int(a.item[1:]) // 8}" if i.cluster == 1 else a.group)
             for a, i in zip(answers(), ITEMS, strict=True)]  # fmt: skip
    found = told(given)
    assert (found["split_by_people", "1"].estimate, found["split_by_people", "0"].estimate) == (1, 0)


def test_one_annotator_no_groups_and_no_keywords_are_sentences() -> None:
    found = told([Answer("ann", i.item) for i in ITEMS])
    assert "fewer than two images have both" in found["keyword_overlap", "ann"].method
    assert "fewer than two images are grouped" in found["ari", "ann"].method
    assert "fewer than two annotators" in found["alpha_groupings", ""].method


def test_answers_to_images_that_are_gone() -> None:
    assert "no annotator has answered" in told([])["keyword_overlap", ""].method
    found = told([*answers(), Answer("ann", "gone")])
    assert found["unknown_answers", ""].n == 1 and found["ari", "ann"].n == 40
    assert "no annotator has answered" in told([Answer("ann", "gone")])["keyword_overlap", ""].method


def test_one_image() -> None:
    found = told(answers()[:1], ITEMS[:1])
    assert found["ari", "ann"].estimate is None and found["kept_together", "0"].estimate is None


def test_answers_come_from_json_and_from_sheets(tmp_path: Path) -> None:
    saved = {"format": 1, "annotator": "ann", "answers": [{"item": "x", "keywords": ["a", "b", ""], "group": "g"}]}
    (tmp_path / "answers-ann.json").write_text(json.dumps(saved))
    before = fingerprint(str(tmp_path))
    sheet = blank_sheet(["x", "y"]).replace("1,x,,,,", "1,x,tree,,,two")
    (tmp_path / "bob.csv").write_text("\ufeff" + sheet, encoding="utf-8")
    (tmp_path / "notes.txt").write_text("not an answer")
    assert read_answers(str(tmp_path)) == [
        ("ann", "x", ("a", "b", ""), "g"), ("bob", "x", ("tree", "", ""), "two"), ("bob", "y", ("", "", ""), ""),
    ]  # fmt: skip
    assert fingerprint(str(tmp_path)) != before and fingerprint(None) == "none" and read_answers(None) == []
    assert sheet.splitlines()[0] == ",".join(HEADER)


@pytest.mark.parametrize(
    ("name", "text"), [("a.json", "{"), ("a.json", "[]"), ("a.csv", "x,y\n1,2\n"), ("a.json", "{}")]
)
def test_a_file_that_is_none_of_answers_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(CorpusError, match=f"answers must be a file .*{name}"):
        read_answers(str(tmp_path))


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"concordance\.answers must be a folder"):
        read_answers(str(tmp_path / "no"))


def test_the_page_is_blind_and_stands_alone() -> None:
    page = annotation_page(
        "A <b>title</b>", [SheetItem("abc", b"\x89PNG1", False), SheetItem("def", b"\x89PNG2", True)]
    )
    assert "&lt;b&gt;title" in page and "<b>title" not in page
    assert re.findall(r'data-item="(\w+)"', page) == ["abc", "def"]
    assert page.count('class="picture veiled"') == 1 and page.count('class="keyword"') == 6
    assert "cluster" not in page.lower() and not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "default-src 'none'" in page


def test_keywords_of_a_cluster_count_once_an_image() -> None:
    items = [Item("a", 3, ""), Item("b", 3, ""), Item("c", 1, "")]
    answers = [Answer("x", "a", ("castle", "the ruins")), Answer("y", "a", ("Castles",)), Answer("x", "b", ("castle",)),
               Answer("x", "c", ("dog",)), Answer("x", "gone", ("cat",))]  # fmt: skip
    rows = list(keyword_results(items, answers, frozenset({"the"}), "themes"))
    assert [(r.labels["cluster"], r.labels["word"], r.estimate, r.n) for r in rows] == [
        ("1", "dog", 1.0, 1), ("3", "castle", 1.0, 2), ("3", "ruin", 0.5, 2),
    ]  # fmt: skip
    assert {r.labels["clustering"] for r in rows} == {"themes"}
