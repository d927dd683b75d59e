import math
from datetime import datetime
from typing import Any

from made_results import result

from twigma_spark.report import build
from twigma_spark.report.data import Picture, Repeat, SharedPair


def outcome(corpus: str, name: str, files: int, since: datetime | None = None) -> dict[str, Any]:
    return {"corpus": corpus, "outcome": name, "files": files, "since": since, "until": since}


def test_corpora_add_up_and_stand_in_the_order_of_roles() -> None:
    early, late = datetime(2021, 1, 1), datetime(2022, 1, 1)
    rows = [
        outcome("p", "kept", 7, late), outcome("p", "bytes", 2, early), outcome("p", "rejected", 1),
        outcome("old", "kept", 1),
    ]  # fmt: skip
    found = build.corpora(rows, {"a": "art", "p": "posts", "g": "generated"})
    assert [c.name for c in found] == ["p", "g", "a", "old"]
    p = found[0]
    assert (p.files, p.kept, p.duplicates, p.rejects, p.lost) == (10, 7, {"bytes": 2}, 1, 0)
    assert (p.since, p.until) == (early, late)
    assert (found[1].files, found[3].role) == (0, "not configured")


def test_results_lose_nan_and_keep_infinity() -> None:
    nan, inf = build.results([result("a", "m", math.nan, math.nan, 1.0, k=1), result("a", "m", math.inf, k=2)])
    assert (nan.estimate, nan.low, inf.estimate) == (None, None, math.inf)


def test_themes_gather_their_rows_in_order() -> None:
    rows = build.ThemeRows(
        centroids=[
            {"clustering_id": "t", "cluster": 1, "size": 5, "mean_distance": None},
            {"clustering_id": "t", "cluster": 0, "size": 9, "mean_distance": math.nan},
        ],
        words=[{"clustering_id": "t", "cluster": 0, "rank": r, "term": f"w{r}", "weight": 1 / r} for r in (2, 1)],
        months=[{"clustering_id": "t", "cluster": 0, "month": m, "images": 2} for m in ("2022-02", "2022-01")],
        examples=[
            {"clustering_id": "t", "cluster": 0, "place": p, "image_id": i}
            for p, i in ((2, "b"), (1, "a"), (3, "gone"))
        ],
    )
    shown = {i: Picture(i, "posts") for i in "ab"}
    zero, one = build.themes(rows, shown)
    assert (zero.cluster, zero.size, zero.mean_distance) == (0, 9, None)
    assert [w for w, _ in zero.words] == ["w1", "w2"] and zero.months == (("2022-01", 2), ("2022-02", 2))
    assert [p.image_id for p in zero.pictures] == ["a", "b"]
    assert (one.words, one.months, one.pictures, one.name) == ((), (), (), "theme 1")


def test_pictures_are_bytes_and_nan_is_no_score() -> None:
    row = {"image_id": "a", "corpus": "c", "file": "d/a.jpg", "text": "t", "sensitive": None, "score": math.nan}
    rows = [{**row, "thumbnail": bytearray(b"x"), "preview": None}]
    made = build.pictures(rows, lambda corpus, file: f"../{corpus}/{file}")["a"]
    assert made == Picture("a", "c", "t", b"x", None, None, None, "d/a.jpg", "../c/d/a.jpg")
    assert build.pictures(rows)["a"].link == ""


def test_groups_of_duplicates_show_what_has_a_picture() -> None:
    shown = {i: Picture(i, "c") for i in "abc"}

    def row(place: int, canonical: str, number: int, image: str) -> dict[str, object]:
        return {
            "place": place, "canonical_id": canonical, "size": 7, "number": number, "image_id": image,
            "tier": "near", "similarity": math.nan,
        }  # fmt: skip

    rows = [row(2, "gone", 1, "a"), row(1, "a", 2, "c"), row(1, "a", 1, "b"), row(1, "a", 3, "gone")]
    (group,) = build.duplicate_groups(rows, shown)
    assert (group.kept, group.size) == (shown["a"], 7)
    assert group.repeats == (Repeat(shown["b"], "near"), Repeat(shown["c"], "near"))


def test_shared_images_without_a_picture_are_left_out() -> None:
    shown = {i: Picture(i, "c") for i in "ab"}
    row = {"image_id": "a", "other_id": "b", "corpus": "c", "other_corpus": "d", "tier": "near", "bits": 7}
    found = build.shared_pairs([row, {**row, "other_id": "gone"}], shown)
    assert found == (SharedPair(shown["a"], shown["b"], "near", 7),)


def test_candidates_for_hashtags_have_the_pictures_that_there_are_in_order() -> None:
    shown = {i: Picture(i, "c") for i in "ab"}
    row = {
        "hashtag": "dalle", "posts": 9, "together": 6, "authors": 3, "lift": 2.0, "lift_low": 1.5, "lift_high": 2.5,
        "judged": 0, "accepted": 0, "precision": math.nan, "precision_low": math.nan, "precision_high": math.nan,
    }  # fmt: skip
    examples = [{"hashtag": "dalle", "place": n, "image_id": i} for n, i in ((3, "a"), (1, "b"), (2, "gone"))]
    first, second = build.hashtags([row, {**row, "hashtag": "cat"}], examples, shown)
    assert first.pictures == (shown["b"], shown["a"]) and second.pictures == ()
    assert (first.lift, first.precision) == (2.0, None)


def test_pairs_without_a_picture_are_left_out() -> None:
    shown = {i: Picture(i, "c") for i in "ab"}
    row = {
        "reference": "r",
        "image_id": "a",
        "neighbour_id": "b",
        "similarity": 0.9,
        "place": 1,
        "false_match_rate": None,
    }
    assert [p.similarity for p in build.pairs([row, {**row, "neighbour_id": "gone"}], shown)] == [0.9]


def test_matches_take_their_bins_and_the_order_of_corpora() -> None:
    rows = [{"reference": r, "images": 2, "nearest": 1, "mean": 0.5, "deviation": 0.1} for r in ("art", "photo")]
    bins = [
        {"reference": "photo", "edge": 0.58000000000001, "images": 2},
        {"reference": "art", "edge": 0.1, "images": 2},
    ]
    photo, art = build.matches(rows, bins, ["posts", "photo", "art"], 0.02)
    assert (photo.reference, photo.bins, art.reference) == ("photo", ((0.58, 2),), "art")


def test_rejects_are_gathered_by_kind() -> None:
    row = {
        "stage": "ingest",
        "unit": "image",
        "corpus": "p",
        "reason": "empty_file",
        "detail": None,
        "count": 40,
    }
    other = {**row, "reason": "undecodable", "key": "z", "count": 1}
    empty, broken = build.rejects([{**row, "key": "b"}, other, {**row, "key": "a"}])
    assert (empty.reason, empty.count, empty.examples) == ("empty_file", 40, (("a", ""), ("b", "")))
    assert (broken.reason, broken.count) == ("undecodable", 1)


def test_runs_are_in_order_of_time_and_missing_maps_are_empty() -> None:
    row = {
        "stage": "b",
        "started_at": datetime(2022, 1, 2),
        "seconds": 1.0,
        "rows_in": None,
        "rows_out": {"x": 1},
    }
    row |= {"versions": None, "config_hash": "h"}
    first, second = build.runs([row, {**row, "stage": "a", "started_at": datetime(2022, 1, 1)}])
    assert (first.stage, second.stage, second.versions, second.rows_out) == ("a", "b", {}, {"x": 1})
