"""A made-up ReportData that fills every part of the page; shared by the report's tests.

`python tests/unit/report_demo.py out.html` writes the page, to be looked at.
"""

from __future__ import annotations

import io
import math
import random
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from made_results import result
from PIL import Image, ImageDraw
from report_demo_map import image_map, map_cells
from report_demo_quality import quality
from report_demo_reward import reward
from report_demo_trends import likes, trends

from twigma_spark.report.data import (
    BestMatches,
    CorpusSummary,
    DownloadEnd,
    DuplicateGroup,
    HashtagCandidate,
    OriginCount,
    Pair,
    Picture,
    PromptDistance,
    Reject,
    Repeat,
    ReportData,
    RewardPair,
    Safety,
    SharedPair,
    StageRun,
    ThemeSummary,
)
from twigma_spark.results import Result

WORDS = (
    "castle tower gate wall fog stone", "woman portrait hair face red light", "robot metal arm eye city glow",
    "planet moon star ring sky space", "cat sofa fur paw window tail", "forest tree river path green mist",
    "skyline night street neon rain car", "flower vase petal table still leaf",
    "ship sea wave storm sail cloud", "abstract line circle shape blue paint",
)  # fmt: skip
MONTHS = [f"{2021 + m // 12}-{m % 12 + 1:02d}" for m in range(27)]


@cache
def drawing(seed: int, side: int = 160) -> bytes:
    """Return a small WebP of hills under a sun."""
    dice = random.Random(seed)
    top, low = ([dice.randrange(40, 230) for _ in range(3)] for _ in range(2))
    wide, high = (side, int(side * dice.choice((0.75, 1.0, 1.25))))
    image = Image.new("RGB", (wide, high))
    pen = ImageDraw.Draw(image)
    for y in range(high):
        pen.line((0, y, wide, y), fill=tuple(int(a + (b - a) * y / high) for a, b in zip(top, low, strict=True)))
    x, y, r = dice.randrange(wide), dice.randrange(high // 2), dice.randrange(8, max(9, side // 5))
    pen.ellipse((x - r, y - r, x + r, y + r), fill=(250, 235, 190))
    for layer in range(3):
        phase, base = dice.random() * 6, high * (0.55 + 0.15 * layer)
        hill = [(px, base + side / 12 * math.sin(phase + px / side * (3 + layer))) for px in range(0, wide + 4, 4)]
        pen.polygon([*hill, (wide, high), (0, high)], fill=tuple(int(c * (0.7 - 0.2 * layer)) for c in low))
    out = io.BytesIO()
    image.save(out, "WEBP", quality=80)
    return out.getvalue()


def picture(seed: int, corpus: str = "posts", score: float | None = 0.02, sensitive: bool | None = None) -> Picture:
    """Return a picture with a drawing and a preview of it."""
    text = f"a picture of {WORDS[seed % 10].split()[0]}, number {seed}"
    full = drawing(seed)
    small = io.BytesIO()
    Image.open(io.BytesIO(full)).resize((10, 10)).save(small, "WEBP")
    file = f"{corpus}/drawing {seed}.webp"
    return Picture(f"{seed:032x}", corpus, text, full, small.getvalue(), score, sensitive, file)


def _theme(cluster: int) -> ThemeSummary:
    dice = random.Random(cluster)
    size = int(620 * 0.86**cluster)
    slope = (cluster % 3 - 1) * 0.04
    months = [(m, max(0, int(size / 27 * (1 + slope * (i - 13)) + dice.gauss(0, 2)))) for i, m in enumerate(MONTHS)]
    words = tuple((word, 0.21 / (i + 1)) for i, word in enumerate(WORDS[cluster].split()))
    pictures = [picture(cluster + 10 * i) for i in range(12)]
    pictures[3] = replace(pictures[3], score=0.91)
    pictures[7] = replace(pictures[7], score=None, sensitive=True)
    pictures[8] = replace(pictures[8], score=None)
    return ThemeSummary("themes", cluster, size, 0.21 + 0.02 * cluster, words, tuple(months), tuple(pictures))


def _results(names: list[str]) -> tuple[Result, ...]:
    dice, rows = random.Random(5), []
    near = {("posts", "diffusion"): 0.31, ("posts", "art"): 1.42, ("posts", "photo"): math.inf}
    method = "quantised KL, k=10, PCA 0.9; percentile bootstrap of images, 200 draws, 95%"

    def add(metric: str, p: str, q: str, value: float, low: float, high: float) -> None:
        rows.append(result("distinctiveness", metric, value, low, high, 2000, method=method, p=p, q=q))

    for p in names:
        for q in names:
            if p == q:
                continue
            value = near.get((p, q), 0.4 + 1.6 * dice.random())
            ends = (math.inf, math.inf) if math.isinf(value) else (value * 0.9, value * 1.12)
            add("kl", p, q, value, *ends)
            smooth = 2.1 if math.isinf(value) else value * 0.97
            add("kl_kt", p, q, smooth, smooth * 0.9, smooth * 1.1)
            if p < q:
                add("js", p, q, 0.2, 0.18, 0.23)
                rows.append(result("distinctiveness", "p_same", 0.001, None, None, 2000, method=method, p=p, q=q))
    for p, q, versus in (("posts", "diffusion", "art"), ("posts", "diffusion", "photo"), ("posts", "art", "photo")):
        ends = (-1.1, -1.3, -0.9)
        labels = {"p": p, "q": q, "versus": versus}
        rows.append(result("distinctiveness_difference", "kl_kt", *ends, 4000, method=method, **labels))
    return tuple(rows)


def _variation() -> tuple[Result, ...]:
    """Return the results of the stage variation, the grid and the origins; made up, with holes as in life."""
    dice, rows = random.Random(6), []

    def add(analysis: str, metric: str, value: float | None, width: float | None = 0.02, n: int = 500,
            unit: str = "posts", method: str = "95% percentile bootstrap", **labels: object) -> None:  # fmt: skip
        ends = (None, None) if value is None or width is None else (value - width, value + width)
        rows.append(result(analysis, metric, value, *ends, n, unit, method, **labels))

    means = (
        (1.33, {"corpus": "posts"}), (0.81, {"corpus": "posts", "within": "posts"}), (1.28, {"corpus": "diffusion"}),
        (0.49, {"corpus": "diffusion", "within": "prompts"}), (1.1, {"corpus": "photo"}),
    )  # fmt: skip
    for mean, labels in means:
        add("variation", "pair_distance", mean, **labels)
        for edge in range(30):
            share = math.exp(-(((edge / 20 - mean) / 0.2) ** 2)) / 7
            if share > 1e-4:
                add("variation", "pair_share", share, 0.1 * share, **labels, distance=f"{edge / 20:.2f}")
        for metric, value in (("iev", 5.9), ("pmv", 0.0001), ("vendi", 13.0), ("entropy", 2.1)):
            add("variation", metric, value, 0.05 * value, **labels)
    why = "not computed: a pair needs two vectors, there are 1"
    add("variation", "pair_distance", None, n=1, method=why, corpus="art")
    add("variation", "monte_carlo_error", 0.001, None, 50_000, "pairs", corpus="posts")
    for metric, value in (("share_explained", 0.85), ("variance_component", 0.8)):
        add("variation", metric, value, n=180, unit="prompts", corpus="diffusion", within="prompts")
    add("prompt_length", "kendall_tau", -0.53, 0.07, 180, "prompts", corpus="diffusion")
    add("prompt_length", "kendall_p", 1e-25, None, 180, "prompts", corpus="diffusion")
    for kind, mean in {"posts captions": 0.7, "posts texts": 1.1}.items():
        for one, other, value in ((kind, "diffusion prompts", mean), ("diffusion prompts", kind, 0.9)):
            own = {"n": 300, "unit": "texts", "kind": one, "versus": other}
            add("text_variation", "pair_distance", value, **own)  # type: ignore[arg-type]
            add("text_variation", "pair_share", 0.6, **own, distance=f"{value:.2f}")  # type: ignore[arg-type]
    for q, value in {"diffusion": 0.31, "art": 1.4, "photo": 2.1}.items():
        add("grid_spread", "kl_kt", value, 0.2, 24, "grid cells", p="posts", q=q)
        for k in (5, 10, 20):
            near = value + 0.1 * dice.gauss(0, 1)
            add("grid", "kl_kt", near, p="posts", q=q, clusters=k, seed=1, share=1)
    add("ranking_changes", "kl_kt", 0.1, 0.1, 24, "grid cells", corpus="posts")
    add("ranking_changes", "kl", 0.9, 0.05, 24, "grid cells", corpus="posts")
    add("distinctiveness", "mauve", 0.9, p="posts", q="diffusion")
    for step, left in {"posts": 900, "photos": 800, "images": 790, "media": 700, "identical": 650, "near": 640}.items():
        method = f"images after {step}; complete count"
        add("funnel", "left", left, None, left, "images", method, corpus="posts", step=step)
    return tuple(rows)


def _prompts() -> tuple[PromptDistance, ...]:
    dice = random.Random(7)
    return tuple(
        PromptDistance("diffusion", w, 1 - w / 40 + dice.gauss(0, 0.1)) for w in range(3, 30) for _ in range(6)
    )


def _bins(mean: float) -> tuple[tuple[float, int], ...]:
    return tuple(
        (round(e / 50, 2), n) for e in range(10, 50) if (n := int(400 * math.exp(-(((e / 50 - mean) / 0.11) ** 2))))
    )


def _matches(reference: str, mean: float, nearest: int) -> BestMatches:
    bins = _bins(mean)
    images = sum(n for _, n in bins)
    return BestMatches(reference, images, min(nearest, images), mean, 0.08, bins)


def _runs(start: datetime) -> tuple[StageRun, ...]:
    took = {
        "ingest": 14.2,
        "embed": 61.8,
        "deduplicate": 7.1,
        "caption": 94.0,
        "cluster": 11.4,
        "neighbours": 5.2,
        "distinctiveness": 22.7,
    }
    versions = {"twigma-spark": "0.1.0", "pyspark": "3.5.9", "delta-spark": "3.3.3", "numpy": "1.26.4"}
    own = {"embed": {"image model": "sample-clip@3f2a"}, "caption": {"caption model": "sample-blip@91bc"}}
    return tuple(
        StageRun(
            stage,
            start + timedelta(seconds=60 * i),
            s,
            {"images": 3000},
            {stage: 2800},
            {**versions, **own.get(stage, {})},
            "ab12",
        )
        for i, (stage, s) in enumerate(took.items())
    )


def _groups() -> tuple[DuplicateGroup, ...]:
    repeats = (
        Repeat(picture(41), "near", 0.912),
        Repeat(picture(42, score=0.9), "near", 0.95),
        Repeat(picture(43), "media"),
    )
    return DuplicateGroup(picture(40), 9, repeats), DuplicateGroup(picture(44), 1, (Repeat(picture(45), "bytes", 1.0),))


def _shared() -> tuple[SharedPair, ...]:
    return (SharedPair(picture(46), picture(47), "near", 21), SharedPair(picture(48), picture(49), "bytes", 0))


@cache
def demo() -> ReportData:
    """Return the page of a made-up world: posts, diffusion, photo and art."""
    now = datetime(2026, 3, 14, 9, 26, tzinfo=UTC)
    corpora = (
        CorpusSummary(
            "posts",
            "posts",
            1980,
            1802,
            {"media": 61, "bytes": 84, "embedding": 9},
            24,
            datetime(2021, 1, 3),
            datetime(2023, 3, 30),
        ),
        CorpusSummary("diffusion", "generated", 800, 796, {"bytes": 4}, 0, datetime(2022, 8, 1), datetime(2022, 12, 1)),
        CorpusSummary("photo", "natural", 500, 492, {"bytes": 3}, 5),
        CorpusSummary("art", "art", 500, 500),
    )
    shares = {
        "posts": (900, 500, 300, 102),
        "diffusion": (420, 210, 100, 66),
        "photo": (20, 60, 30, 382),
        "art": (70, 110, 290, 30),
    }
    rejects = (
        Reject(
            "ingest",
            "image",
            "posts",
            "undecodable",
            12,
            (("a/17.jpg", "image file is truncated (41 bytes not processed)"),),
        ),
        Reject(
            "ingest",
            "image",
            "posts",
            "empty_file",
            12,
            (("a/zero.png", "0 bytes"), ("b/zero.jpg", "0 bytes")),
        ),
        Reject("ingest", "image", "photo", "not_an_image", 5, (("notes.jpg", "44 bytes start with 68656c6c6f"),)),
    )
    on_map = image_map(
        {c.name: c.kept for c in corpora}, [" ".join(words.split()[:3]) for words in WORDS], MONTHS[::3], picture
    )
    return ReportData(
        title="What people made with AI",
        created_at=now,
        corpora=corpora,
        downloads=(DownloadEnd("posts", "ok", "ok", 1300, 1420), DownloadEnd("posts", "final", "gone", 60, 60)),
        results=(
            *_results([c.name for c in corpora]),
            *_variation(),
            *likes(["diffusion", "photo", "art"]),
            *trends(MONTHS),
            *reward(),
            *quality([c.name for c in corpora], ["diffusion", "photo", "art"]),
        ),
        origins=tuple(OriginCount("origins", k, c, n) for c, row in shares.items() for k, n in enumerate(row)),
        duplicate_groups=_groups(),
        shared_pairs=_shared(),
        hashtags=(
            HashtagCandidate(
                "dalle2", 90, 60, 31, 8.4, 6.9, 10.2, 80, 76, 0.95, 0.88, 0.98, (picture(60), picture(61, score=0.9))
            ),
            HashtagCandidate("<b>sky", 40, 12, 2, 3.1, 1.8, 5.3, 0, 0, None, None, None),
        ),
        current_hashtags=("aiart", "midjourney"),
        reward_pairs=tuple(
            RewardPair(picture(40 + i, "diffusion"), picture(50 + i, "diffusion", 0.9 if i == 2 else 0.0), 90 * i, i, m)
            for i, m in enumerate((0.41, 0.3, -0.2, 0.35, -0.5))
        ),
        themes=tuple(_theme(k) for k in range(10)),
        matches=(_matches("diffusion", 0.71, 1500), _matches("photo", 0.44, 120), _matches("art", 0.55, 180)),
        pairs=tuple(
            Pair(
                r,
                picture(i * 7 + j, score=0.8 if i == 1 else 0.1),
                picture(i * 7 + j + 1, r, None if r == "art" else 0.0),
                0.97 - i / 50,
                0.001 if i == 0 else None,
            )
            for j, r in enumerate(("diffusion", "photo", "art"))
            for i in range(8)
        ),
        copies=tuple(Pair("photo", picture(i), picture(i + 9, "photo"), 0.96 + i / 500, 0.001) for i in range(4)),
        prompts=_prompts(),
        cells=map_cells(on_map),
        image_map=on_map,
        safety=(
            Safety("posts", 1802, 1800, 61, 40, 2),
            Safety("diffusion", 796, 796, 3, 0, 0),
            Safety("photo", 492, 492, 0, 0, 0),
            Safety("art", 500, 0, 0, 0, 500),
        ),
        rejects=rejects,
        runs=_runs(now),
    )


if __name__ == "__main__":
    from twigma_spark.report.render import render

    Path(sys.argv[1]).write_text(render(demo()), encoding="utf-8")
