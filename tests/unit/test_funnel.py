"""The paper's funnel: what each step leaves."""

from __future__ import annotations

from twigma_spark.stats.funnel import funnel_results


def test_each_step_takes_away_its_duplicates() -> None:
    seen = {("posts", "posts"): 9, ("posts", "photos"): 12, ("posts", "images"): 10, ("posts", "media"): 3}
    seen |= {("posts", "bytes"): 1, ("posts", "embedding"): 2, ("posts", "near"): 1, ("art", "media"): 5}
    found = {r.labels["step"]: r.value for r in funnel_results("posts", seen, None)}
    assert [(step, v.estimate) for step, v in found.items()] == [
        ("posts", 9), ("photos", 12), ("images", 10), ("media", 7), ("identical", 4), ("near", 3)
    ]  # fmt: skip
    assert "equal in all bits" in found["identical"].method and found["posts"].unit == "posts"
    assert "to 4 decimals" in {r.labels["step"]: r.value.method for r in funnel_results("posts", seen, 4)}["identical"]


def test_a_folder_without_posts_has_zeros() -> None:
    assert [r.value.estimate for r in funnel_results("x", {("x", "images"): 2}, None)] == [0, 0, 2, 2, 2, 2]
