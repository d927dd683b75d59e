"""The sample's posts, collected and downloaded from its own server: all that can be had is had."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twigma_spark.collecting import collect, start_job
from twigma_spark.config.collect import Collect
from twigma_spark.io.downloads import Rules, Wanted, download_all
from twigma_spark.io.sources import x
from twigma_spark.sample.platform import Platform, serving
from twigma_spark.sample.world import draw_world


def test_all_posts_of_the_hashtags_are_collected_and_their_pictures_are_the_drawn_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_world(tmp_path / "sample", 160, 7)
    platform = Platform(tmp_path / "sample" / "posts")
    monkeypatch.setenv(x.TOKEN, "any")
    monkeypatch.setattr(x, "GAP", 0.0)
    monkeypatch.setattr(x.XSearch, "most", 30)
    how = {"out": str(tmp_path / "posts"), "start": "2021-01-01", "end": "2023-04-01", "max_posts": 10_000}
    with serving(tmp_path / "sample" / "posts") as address:
        tags = ("aiart", "vqganclip")
        collect(start_job(Collect.model_validate({**how, "hashtags": tags, "api": address}), lambda text: None))
        pages = [json.loads(file.read_text()) for file in sorted((tmp_path / "posts").glob("page-*.json"))]
        media = {m["media_key"]: m["url"] for page in pages for m in page["includes"]["media"]}
        rules = Rules(rate=1e6, private_hosts=frozenset({"127.0.0.1"}), tries=1)
        made = {each.wanted.key: each for each in download_all([Wanted(*item) for item in media.items()], rules)}
    ids = [post["id"] for page in pages for post in page["data"]]
    wanted = {p["id"] for p in platform.posts if {t["tag"].lower() for t in p["entities"]["hashtags"]} & set(tags)}
    assert len(ids) == len(set(ids)) == len(wanted) > 10 and set(ids) == wanted and len(pages) > 1
    had = [each for each in made.values() if each.outcome == "ok"]
    assert len(had) > 20 and all(each.content == platform.files[each.wanted.key].read_bytes() for each in had)
    assert {each.reason for each in made.values()} <= {"ok", "gone", "not_an_image"}
