"""Pairs of images of one prompt: on a few rows against the rule written out in Python, and from human judgements."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from tests import tables as declared
from twigma_spark.config.data import Corpus
from twigma_spark.config.reward import Matching, PairsSettings, PreferenceFile
from twigma_spark.config.settings import Config
from twigma_spark.estimators.prompt_groups import Nearness, group_prompts
from twigma_spark.io.arrow import local_frame
from twigma_spark.models.reward_head import Head
from twigma_spark.schemas import PAIRS
from twigma_spark.stages import inputs, pairs, reward
from twigma_spark.stages.stage import StageContext
from twigma_spark.transforms import preferences, rewards
from twigma_spark.transforms.judgements import judged_pairs
from twigma_spark.transforms.pair_columns import pair_numbers
from twigma_spark.transforms.preferences import PairRule

Make = Callable[[str, list[dict[str, Any]]], DataFrame]
NOON = datetime(2023, 5, 1, 12)
# followers, likes, hours after noon, NSFW score; of one prompt.
POSTS = [
    (100, 40, 0, 0.1),
    (200, 10, 5, 0.1),
    (300, 9, 7, 0.1),
    (9000, 900, 1, 0.1),
    (400, 2, 0, 0.9),
    (450, 0, 24 * 40, 0.1),
    (None, 30, 1, 0.1),
]


@pytest.fixture(scope="module")
def make(spark: SparkSession) -> Make:
    """Make rows of a declared table."""
    return partial(declared.table, spark)


def image(number: int, prompt: str | None = "a castle", **more: Any) -> dict[str, Any]:
    base = {"image_id": f"{number:032x}", "corpus": "diffusion", "source_key": f"{number}.png", "prompt": prompt}
    return {**base, "post_id": f"t{number}", "prompt_id": "p1" if prompt else None, **more}


def post(number: int, followers: int | None, likes: int | None, hours: float) -> dict[str, Any]:
    base = {"post_id": f"t{number}", "corpus": "diffusion", "author_id": f"a{number}", "author_followers": followers}
    return {**base, "like_count": likes, "created_at": NOON + timedelta(hours=hours)}


def posted(make: Make, images: DataFrame, posts: DataFrame, scores: list[dict[str, Any]]) -> DataFrame:
    clusters = make("clusters", []).select("image_id", "cluster")
    return preferences.posted_images(images, images, posts, clusters, make("scores", scores), 0.5)


@pytest.fixture(scope="module")
def one_prompt(make: Make) -> DataFrame:
    images = make("images", [image(n) for n in range(len(POSTS))])
    posts = make("posts", [post(n, f, likes, h) for n, (f, likes, h, _) in enumerate(POSTS)])
    scores = [{"image_id": f"{n:032x}", "kind": "nsfw", "model_id": "m", "score": p[3]} for n, p in enumerate(POSTS)]
    return posted(make, images, posts, scores)


def numbers(rows: DataFrame) -> dict[tuple[int, int], bool]:
    return {(int(r["preferred_image_id"], 16), int(r["other_image_id"], 16)): r["matched"] for r in rows.collect()}


def alike(rule: PairRule, one: tuple[Any, ...], two: tuple[Any, ...]) -> dict[str, bool]:
    """Return in what of that which the rule asks for two posts are alike, by the rule as docs/reward.md has it."""
    bands = [None if p[0] is None else (p[0] >= 500) + (p[0] > 5000) for p in (one, two)]
    apart = abs(one[2] - two[2])
    of_day = min(apart % 24, 24 - apart % 24)
    asked = {"followers": rule.followers, "days": rule.days, "hours": rule.hours, "nsfw": rule.nsfw}
    found = {
        "followers": None not in bands and bands[0] == bands[1],
        "days": rule.days is not None and apart <= 24 * rule.days,
        "hours": rule.hours is not None and of_day <= rule.hours,
        "nsfw": (one[3] >= 0.5) == (two[3] >= 0.5),
    }
    return {name: value for name, value in found.items() if asked[name]}


def expected(rule: PairRule) -> dict[tuple[int, int], bool]:
    """Return the pairs and whether they are matched."""
    return {
        (i, j): all(alike(rule, one, two).values())
        for (i, one), (j, two) in permutations(enumerate(POSTS), 2)
        if one[1] >= rule.minimum and one[1] >= rule.ratio * two[1]
    }


@pytest.mark.parametrize(
    "rule",
    [
        PairRule(),
        PairRule(minimum=50, ratio=10),
        PairRule(followers=False, days=None, hours=None, nsfw=False),
        PairRule(days=None),
        PairRule(hours=4, nsfw=False),
    ],
)
def test_pairs_are_those_of_the_rule(one_prompt: DataFrame, rule: PairRule) -> None:
    compared = preferences.compared_images(one_prompt, rule)
    found = preferences.mine_pairs(compared, rule)
    assert numbers(found) == expected(rule)
    weights: dict[bool, list[float]] = {True: [], False: []}
    for row in found.collect():
        weights[row["matched"]].append(row["weight"])
        both = (POSTS[int(row[f"{side}_image_id"], 16)] for side in ("preferred", "other"))
        assert row["matched_on"] == [name for name, value in alike(rule, *both).items() if value]
    assert all(sum(part) == pytest.approx(1) for part in weights.values() if part)
    assert preferences.count_comparisons(compared) == (7, 1, 21, 0)


def test_likes_are_the_count_that_is_asked_for(make: Make) -> None:
    images = make("images", [image(1), image(2), image(3)])
    rows = [{**post(n, 1, 50, 0), "quote_count": quotes} for n, quotes in ((1, 4), (2, 0), (3, None))]
    clusters, none = make("clusters", []).select("image_id", "cluster"), make("scores", [])
    found = preferences.posted_images(images, images, make("posts", rows), clusters, none, 0.5, "quote_count")
    assert sorted(r["likes"] for r in found.collect()) == [0, 4]


def test_two_images_of_a_post_and_images_of_different_prompts_are_no_pair(make: Make) -> None:
    # A prompt is its text: one that two ids have must not be trained on under one and tested under the other.
    images = make("images", [
        image(1, post_id="t1"), image(2, post_id="t1"), image(3, prompt="a sea", post_id="t2"),
        image(4, None, post_id="t2"), image(5, prompt="A TREE ", prompt_id="p5"), image(6, prompt="A TREE"),
        image(7, prompt="A TREE", prompt_id=None),
    ])  # fmt: skip
    posts = make(
        "posts", [post(1, 1, 50, 0), post(2, 1, 5, 0), post(5, 1, 50, 0), post(6, 1, 5, 0), post(7, 1, None, 0)]
    )
    rule = PairRule()
    compared = preferences.compared_images(posted(make, images, posts, []), rule)
    assert numbers(preferences.mine_pairs(compared, rule)) == {(5, 6): True}
    assert preferences.count_comparisons(compared) == (4, 2, 2, 0)


def test_a_prompt_with_many_images_is_sampled(make: Make) -> None:
    images = make("images", [image(n) for n in range(30)])
    posts = make("posts", [post(n, 1, 3**n % 10**9, 0) for n in range(30)])
    every = posted(make, images, posts, [])
    rule = PairRule(images_per_prompt=10, pairs_per_prompt=7)
    compared = preferences.compared_images(every, rule)
    assert preferences.count_comparisons(compared) == (10, 1, 45, 20)
    one, two = (
        preferences.mine_pairs(preferences.compared_images(f, rule), rule) for f in (every, every.repartition(3))
    )
    assert len(numbers(one)) == 7 and numbers(one) == numbers(two)
    assert {row["weight"] for row in one.collect()} == {1 / 7}
    likes = [row["likes"] for row in compared.collect()]
    clear = sum(a >= rule.minimum and a >= rule.ratio * b for a, b in permutations(likes, 2))
    assert preferences.count_pairs(one) == (7, 7, clear - 7) and clear > 7
    other = PairRule(images_per_prompt=10, pairs_per_prompt=7, seed=1)
    assert numbers(preferences.mine_pairs(preferences.compared_images(every, other), other)) != numbers(one)


def test_judgements_find_their_images_by_key_or_stem(spark: SparkSession, make: Make) -> None:
    judged = local_frame(spark,
        [("p ", "1.png", "2", "diffusion"), ("p", "2.png", "gone.png", "diffusion"), ("p", "1", "1.png", "diffusion"),
         ("p", "1", "3.png", "diffusion"), ("p", "1", "2.png", "other")],
        pairs.JUDGED,
    )  # fmt: skip
    images = make("images", [image(n) for n in (1, 2, 3)])
    found, rejects = judged_pairs(judged, images.where("source_key <> '3.png'"), images, PAIRS.schema)
    (row,) = found.collect()
    assert (row["preferred_image_id"], row["other_image_id"]) == (f"{1:032x}", f"{2:032x}")
    assert row["matched"] and row["weight"] == 1 and row["preferred_likes"] is None
    assert row["preferred_author_id"] == row["preferred_image_id"]
    assert sorted((r["corpus"], r["key"], r["detail"]) for r in rejects.collect()) == [
        ("diffusion", "1 > 3.png", "no kept image is named 3.png"),
        ("diffusion", "2.png > gone.png", "no kept image is named gone.png"),
        ("other", "1 > 2.png", "no kept image is named 1"),
    ]


def config(**more: Any) -> Config:
    corpus = Corpus(name="diffusion", role="generated", path="x")
    return Config(corpora=(corpus,), **more)


def context(spark: SparkSession, said: list[str]) -> StageContext:
    return StageContext(spark, lambda frame: frame.localCheckpoint(), said.append)


def test_the_stage_counts_what_came_of_the_images(spark: SparkSession, make: Make, tmp_path: Any) -> None:
    path = tmp_path / "judged.json"
    path.write_text('[{"id": "1", "prompt": "a castle", "generations": ["0", "5"], "ranking": [2, 1]}]')
    file = PreferenceFile(format="imagereward", path=str(path), corpus="diffusion")
    cfg = config(pairs=PairsSettings(files=(file,), match=Matching(hours=None)))
    said: list[str] = []
    tables = {
        "images": make("images", [image(n) for n in range(len(POSTS))]),
        "posts": make("posts", [post(n, f, likes, h) for n, (f, likes, h, _) in enumerate(POSTS)]),
        "embeddings": make("embeddings", [declared.vector(n) for n in range(len(POSTS))]),
        "duplicates": make("duplicates", []),
        "scores": make("scores", []),
        "clusters": make(
            "clusters",
            [
                {"clustering_id": name, "image_id": f"{n:032x}", "cluster": n % 2 + 10 * (name == "themes")}
                for n in range(len(POSTS))
                for name in ("origins", "themes")
            ],
        ),
        "text_embeddings": make("text_embeddings", []),
    }
    found = pairs.run(cfg, context(spark, said), **tables)
    rows = found["pairs"].collect()
    counts = {r["metric"]: r["estimate"] for r in found["results"].collect()}
    clear = expected(PairRule(hours=None, nsfw=False))
    assert counts == {
        "images": 7, "prompts": 1, "compared": 21, "clear": len(clear), "matched": sum(clear.values()), "judged": 1,
        "images_not_drawn": 0, "pairs_not_drawn": 0,
    }  # fmt: skip
    assert len(rows) == len(clear) + 1 and found["rejects"].count() == 0
    # Of the clustering over the roles of all corpora; those of the posts have another one too.
    assert all(row["cluster"] in (None, int(row["preferred_image_id"], 16) % 2) for row in rows)
    assert sum(row["cluster"] is None for row in rows) == 1  # the one that people judged
    assert said == [
        f"pairs: 21 pairs of 7 images and 1 prompts: {len(clear)} clear, {sum(clear.values())} matched; "
        "1 judged by people"
    ]


def test_near_prompts_count_as_one_and_are_never_on_two_sides(make: Make) -> None:
    # Degrees: a chain in which each prompt is near to the next alone, and one that is near to none.
    turns = {"zero": 0, "fifteen": 15, "thirty": 30, "more": 45, "other": 120}
    texts = [
        {"text_id": md5("prompt", "diffusion", text), "corpus": "diffusion", "source": "prompt", "text": text,
         "embedding": [float(np.cos(np.radians(turn))), float(np.sin(np.radians(turn)))]}
        for text, turn in turns.items()
    ]  # fmt: skip
    prompts = make("text_embeddings", texts)
    near = Nearness(float(np.cos(np.radians(16))))
    keys = preferences.prompt_keys(group_prompts(prompts, near, lambda frame: frame.localCheckpoint()), prompts)
    keys = keys.localCheckpoint()
    named = {md5("prompt", "diffusion", text): text for text in turns}
    leaders = {named[row["text_id"]]: named[row["leader_id"]] for row in keys.collect()}
    # The two in the middle have two each that are near; the last of the chain is near to one of them alone.
    middle = min(("fifteen", "thirty"), key=lambda text: md5("prompt", "diffusion", text))
    end = "more" if middle == "fifteen" else "zero"
    assert leaders == {text: end if text == end else middle for text in ("zero", "fifteen", "thirty", "more")}
    names = [*turns, "fifteen", "more", "more", "other"]
    images = make("images", [image(n, text) for n, text in enumerate(names)])
    posts = make("posts", [post(n, 1, 2 * 10**n, 0) for n in range(len(names))])
    rule = PairRule(minimum=1)
    rows = preferences.with_near_prompts(posted(make, images, posts, []), keys)
    mined = preferences.mine_pairs(preferences.compared_images(rows, rule), rule).localCheckpoint()
    found = {(i, j) for i, j in numbers(mined)}
    group = {n: text if text in (end, "other") else middle for n, text in enumerate(names)}
    assert found == {(i, j) for i, j in permutations(group, 2) if i > j and group[i] == group[j]}
    sides = {(r["prompt_key"], r["split_key"], r["text_id"]) for r in mined.collect()}
    assert {(key, text) for key, _, text in sides} == {
        (md5("diffusion", text), md5("prompt", "diffusion", text)) for text in (middle, end, "other")
    }
    # Prompts that are connected are one prompt to every split, whatever they count as.
    for seed in range(5):
        split = {(r["prompt"], r["fold"]) for r in pair_numbers(mined, 5, seed).collect()}
        assert len(split) == len({prompt for prompt, _ in split}) == 2
    assert len({split for _, split, _ in sides}) == 2


def test_of_many_pairs_those_of_some_prompts_are_held(make: Make) -> None:
    rows = [{"corpus": "c", "split_key": f"p{n % 100}", "preferred_image_id": f"{n}"} for n in range(400)]
    said: list[str] = []
    table = make("pairs", rows)
    few, as_many = (config(reward={"most": most}) for most in (100, 400))
    held = inputs.drawn_pairs(few, table, said.append).collect()
    assert {row["preferred_image_id"] for row in inputs.drawn_pairs(few, table, said.append).collect()} == {
        row["preferred_image_id"] for row in held
    }
    counts = Counter(row["split_key"] for row in held)
    assert set(counts.values()) == {4} and 13 <= len(counts) <= 37  # a quarter, within three standard deviations
    assert said[0] == "of 400 pairs those of 25.0% of the prompts are drawn (reward.most)"
    assert inputs.drawn_pairs(as_many, table, said.append).count() == 400 and len(said) == 2


def reward_tables(make: Make, **more: list[dict[str, Any]]) -> dict[str, DataFrame]:
    names = reward.STAGE.reads
    return {name: make(name, more.get(name, [])) for name in names}


def test_too_few_pairs_and_a_model_without_texts_are_said(spark: SparkSession, make: Make) -> None:
    said: list[str] = []
    rows = [{"preferred_image_id": "1", "other_image_id": "2", "text_id": "t", "matched": True}]
    found = reward.run(config(), context(spark, said), **reward_tables(make, pairs=rows))
    (result,) = found["results"].collect()
    assert result["estimate"] is None and "30 matched pairs at least are needed" in result["method"]
    assert said[0] == "reward: 1 pairs are left out: an image or the prompt has no vector"
    onnx = {"image": {"kind": "onnx", "path": "x.onnx", "output": "o"}}
    with_onnx = Config.model_validate({"models": onnx})
    found = reward.run(with_onnx, context(spark, said), **reward_tables(make))
    assert "has no text tower" in found["results"].collect()[0]["method"]


def test_kept_images_are_scored_for_their_own_text(make: Make) -> None:
    rng = np.random.default_rng(0)
    head = Head(*(rng.normal(size=shape).astype(np.float32) for shape in ((3, 3), 3, (3, 3), 3)), 1.0)
    given = [
        (1, "a castle ", "seen", "written", "prompt", "a castle"),
        (2, "...", "seen", "written", "human caption", "seen"),
        (3, None, None, "written", "caption", "written"),
        (4, None, None, None, None, None),
    ]
    vectors = {n: rng.normal(size=3).round(3) for n in (1, 2, 3, 4)}
    words = {text: rng.normal(size=3).round(3) for text in ("a castle", "seen", "written")}
    texts = [{"text_id": md5(source, "diffusion", text), "embedding": words[text].tolist()}
             for *_, source, text in given if text]  # fmt: skip
    asked = rewards.own_texts(
        make("images", [image(n, prompt, caption=caption) for n, prompt, caption, *_ in given]),
        make("captions", [{"image_id": f"{n:032x}", "caption": written} for n, _, _, written, *_ in given if written]),
    )
    embedded = make("embeddings", [{"image_id": f"{n:032x}", "embedding": v.tolist()} for n, v in vectors.items()])
    rows = rewards.score_vectors(asked, embedded, make("text_embeddings", texts), head).collect()
    found = {int(r["image_id"], 16): (r["source"], r["score"]) for r in rows}
    assert {n: source for n, (source, _) in found.items()} == {n: source for n, *_, source, _ in given if source}
    for n, *_, text in given[:3]:
        (expected,) = head.scores(vectors[n][None], words[text][None])
        assert found[n][1] == pytest.approx(expected, abs=1e-6)


def md5(*parts: str) -> str:
    return hashlib.md5("\x1f".join(parts).encode()).hexdigest()  # noqa: S324 - an id
