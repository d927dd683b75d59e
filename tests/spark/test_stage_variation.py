"""Samples in groups, moments in one pass, sums of shares, and both stages on a small world with bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from tests import tables as declared
from tests.unit.made_results import joined
from twigma_spark.config.analyses import Distinctiveness, GridSettings, Variation
from twigma_spark.config.data import Corpus
from twigma_spark.config.engine import Cluster, Clustering
from twigma_spark.config.models import HeadSettings, Onnx, RealImages
from twigma_spark.config.settings import Config
from twigma_spark.io.arrow import local_frame
from twigma_spark.stages import distinctiveness, inputs, specs, text_variation, variation
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.stats.moments import moments
from twigma_spark.stats.variation import VariationSpec
from twigma_spark.transforms.clusters import share_sums
from twigma_spark.transforms.moments import block_moments, from_triangle, triangle
from twigma_spark.transforms.samples import in_groups
from twigma_spark.transforms.texts import sample_texts

Table = Callable[[str, list[dict[str, Any]]], DataFrame]
VECTORS = "image_id STRING, corpus STRING, embedding ARRAY<FLOAT>"


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> Table:
    """Make a declared table of rows that name some of its columns."""
    return partial(declared.table, spark)


def image(number: int, corpus: str, **more: Any) -> dict[str, Any]:
    return {"image_id": f"{number:032x}", "corpus": corpus, **more}


def unit(seed: int, d: int = 4) -> list[float]:
    row = np.random.default_rng(seed).normal(size=d)
    return [float(v) for v in row / np.linalg.norm(row)]


@pytest.mark.spark4
def test_groups_come_whole_with_their_words(spark: SparkSession, table: Table) -> None:
    rows = [image(i, "d", prompt_id=f"p{i // 3}", prompt=" a  red castle ") for i in range(9)]
    images = table("images", [*rows, image(9, "d", prompt="x")])
    vectors = local_frame(spark, [(r["image_id"], "d", unit(1)) for r in (*rows, image(9, "d"))], VECTORS)
    found = in_groups(vectors, images, at_most=6, per_group=2, seed=1).collect()
    assert len(found) == 6
    sizes = {g: sum(r["group"] == g for r in found) for g in {r["group"] for r in found}}
    assert sorted(sizes.values())[-2:] == [2, 2] and all(n <= 2 for n in sizes.values())
    every = in_groups(vectors, images, at_most=100, per_group=2, seed=1).collect()
    assert {(r["unit"], r["n_words"]) for r in every} == {("prompts", 3), ("images", 1)} and len(every) == 7
    again = in_groups(vectors.repartition(3), images, at_most=6, per_group=2, seed=1).collect()
    assert {r["image_id"] for r in again} == {r["image_id"] for r in found}


def test_the_pass_gives_the_moments_of_numpy(spark: SparkSession, table: Table) -> None:
    rows = [image(i, "a" if i < 6 else "b", post_id=f"t{i // 2}") for i in range(10)]
    vectors = local_frame(
        spark, [(r["image_id"], r["corpus"], [3 * v for v in unit(i)]) for i, r in enumerate(rows)], VECTORS
    )
    found = block_moments(vectors, table("images", rows), 3, 1).collect()
    parts = {(r["corpus"], r["block"]): r for r in found}
    assert len(parts) == len(found) and sum(r["n"] for r in found) == 10 and all(r["n"] % 2 == 0 for r in found)
    truth = moments(np.asarray([unit(i) for i in range(6)], np.float32))
    whole = sum(np.asarray(from_triangle(r["n"], np.asarray(r["total"]), np.asarray(r["outer"])).outer)
                for (corpus, _), r in parts.items() if corpus == "a")  # fmt: skip
    np.testing.assert_allclose(whole, truth.outer, atol=1e-6)
    np.testing.assert_allclose(from_triangle(6, truth.total, triangle(truth)).outer, truth.outer)


def test_sums_of_shares_are_those_of_the_groups(table: Table) -> None:
    rows = [image(i, "a", post_id=f"t{min(i, 2)}") for i in range(5)]
    members = [{**image(i, "a"), "clustering_id": "o", "cluster": int(i > 3), "distance": 0.1} for i in range(5)]
    found = {r["cluster"]: r for r in share_sums(table("clusters", members), table("images", rows)).collect()}
    names = ("hits", "total", "groups", "unit", "hits_squared", "hits_total", "total_squared")
    assert tuple(found[0][n] for n in names) == (4, 5, 3, "posts", 6, 8, 11)
    assert tuple(found[1][n] for n in names) == (1, 5, 3, "posts", 1, 3, 11)


def test_texts_are_sampled_by_kind(spark: SparkSession) -> None:
    rows = [(f"{i}", "caption" if i < 5 else "post", "posts", i, [1.0]) for i in range(9)]
    frame = local_frame(
        spark, rows, "text_id STRING, source STRING, corpus STRING, n_words INT, embedding ARRAY<FLOAT>"
    )
    there = frame.where("text_id <> '0'")
    found = sample_texts(frame, there, 3, 0).collect()
    assert sorted(r["kind"] for r in found) == ["posts captions"] * 3 + ["posts texts"] * 3
    assert "0" not in {r["text_id"] for r in sample_texts(frame, there, 9, 0).collect()}


CFG = Config(
    corpora=tuple(
        Corpus(name=n, role=r, path="x")  # type: ignore[arg-type]
        for n, r in (("posts", "posts"), ("diffusion", "generated"), ("photo", "natural"), ("art", "art"))
    ),
    cluster=Cluster(clusterings=(Clustering(id="origins", roles=("posts",), k=2),)),
    distinctiveness=Distinctiveness(
        clusters=3, bootstrap=20, k=2, grid=GridSettings(clusters=(3,), seeds=1, bootstrap=10)
    ),
    variation=Variation(bootstrap=20, clusters=3, pairs=500, blocks=2),
)


# Every fourth post and an image of each prompt are likely photographs; so is the photo, which counts all the same.
SCORES = [
    {"image_id": image(number, "x")["image_id"], "model_id": "m", "kind": "photo", "score": 0.9}
    for number in (0, 4, 8, 12, 100, 103, 106, 109, 200)
]


@pytest.fixture
def run(spark: SparkSession, table: Table, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, list[Any]]]:
    """Run a stage over images and their vectors."""

    def with_vectors(
        stage: Stage, rows: list[dict[str, Any]], vectors: list[list[float]], cfg: Config | None = None
    ) -> dict[str, list[Any]]:
        data = [(r["image_id"], r["corpus"], v) for r, v in zip(rows, vectors, strict=True)]
        frame = local_frame(spark, data, VECTORS)
        monkeypatch.setattr(inputs, "kept_vectors", lambda *tables: frame)
        monkeypatch.setattr(specs, "text_encoder", lambda cfg: None)
        members = [{**r, "clustering_id": "origins", "cluster": i % 2} for i, r in enumerate(rows)]
        full = {"images": rows, "clusters": members, "scores": SCORES}
        tables = {name: table(name, full.get(name, [])) for name in stage.reads}
        context = StageContext(spark=spark, materialize=lambda frame: frame, log=lambda text: None)
        made = stage.run(CFG if cfg is None else cfg, context, **tables)
        assert isinstance(made, dict)
        return {name: made[name].collect() for name in made}

    return with_vectors


def world() -> tuple[list[dict[str, Any]], list[list[float]]]:
    """Return posts that are spread out, four prompts of three images alike, one photo, and no art."""
    rows = [image(i, "posts", post_id=f"t{i // 2}") for i in range(16)]
    rows += [image(100 + i, "diffusion", prompt_id=f"p{i // 3}", prompt="word " * (3 + i // 3)) for i in range(12)]
    rows += [image(200, "photo")]
    alike = [[v + 0.01 * (i % 3) for v in unit(50 + i // 3)] for i in range(12)]
    return rows, [*[unit(i) for i in range(16)], *alike, unit(99)]


def all_are_stated(rows: list[Any]) -> None:
    for row in rows:
        values = [v for v in (row.estimate, row.low, row.high) if v is not None]
        assert row.method and row.unit and row.n >= 0 and not any(math.isnan(v) for v in values)
        assert row.estimate is not None or "not computed" in row.method or "not defined" in row.method
        assert (row.low is None) == (row.high is None)
        assert row.low is not None or row.estimate is None or "no interval" in row.method


@pytest.mark.spark4
def test_variation_of_a_world_with_an_empty_and_a_tiny_corpus(run: Callable[..., dict[str, list[Any]]]) -> None:
    made = run(variation.STAGE, *world())
    all_are_stated(made["results"])
    found = {(r.metric, joined(r)): r for r in made["results"]}
    assert found["iev", "art"].method == "not computed: no vectors"
    assert found["pair_distance", "photo"].method == "not computed: a pair needs two vectors, there are 1"
    within = found["pair_distance", "diffusion|prompts"]
    assert within.estimate < 0.1 < found["pair_distance", "diffusion"].estimate and within.n == 4
    assert found["share_explained", "diffusion|prompts"].estimate > 0.95
    assert found["pair_distance", "posts|posts"].n == 8
    tau = found["kendall_tau", "diffusion"]
    assert tau.n == 4 and tau.unit == "prompts"
    assert {(r.corpus, r.unit, r.images) for r in made["group_distances"]} == {
        ("posts", "posts", 2),
        ("diffusion", "prompts", 3),
    }
    assert sorted({r.n_words for r in made["group_distances"] if r.n_words}) == [3, 4, 5, 6]


def test_distinctiveness_of_a_world_with_an_empty_and_a_tiny_corpus(run: Callable[..., dict[str, list[Any]]]) -> None:
    rows = run(distinctiveness.STAGE, *world())["results"]
    all_are_stated(rows)
    found = {(r.analysis, r.metric, joined(r)): r for r in rows}
    assert found["distinctiveness", "kl", "posts|art"].method == "not computed: no vectors of art"
    assert "not computed: 1 images of photo" in found["distinctiveness", "mmd", "diffusion|photo"].method
    assert found["distinctiveness", "mauve", "posts|diffusion"].estimate > 0
    assert ("ranking_changes", "kl_kt", "posts") in found and ("grid_spread", "kl", "posts|photo") in found
    assert found["origins", "share", "origins|0|posts"].estimate == 0.5
    assert found["origins", "share", "origins|0|posts"].unit == "posts"


@pytest.mark.parametrize("stage", [variation.STAGE, distinctiveness.STAGE])
def test_likely_real_images_are_left_out(stage: Stage, run: Callable[..., dict[str, list[Any]]]) -> None:
    head = HeadSettings(kind="linear", path="head.safetensors")
    models = CFG.models.model_copy(update={"scores": {"photo": head}, "real": RealImages(score="photo")})
    rows = run(stage, *world(), CFG.model_copy(update={"models": models}))["results"]
    all_are_stated(rows)
    again = [row for row in rows if row["analysis"] == "sensitivity"]
    assert {row["labels"]["variant"] for row in again} == {"without likely real images"}
    shares = {row["labels"]["corpus"]: row["estimate"] for row in again if row["metric"] == "left_out"}
    if stage is distinctiveness.STAGE:
        assert shares == {"posts": 4 / 16, "diffusion": 4 / 12}
    else:
        found = [row for row in rows if row["metric"] == "pair_distance" and "within" not in row["labels"]]
        again, before = ({row["labels"]["corpus"]: row["estimate"] for row in found if row["analysis"] == analysis}
                         for analysis in ("sensitivity", "variation"))  # fmt: skip
        assert again["photo"] == before["photo"] and again["posts"] != before["posts"]
        explained = [row for row in rows if row["metric"] == "share_explained" and row["labels"]["within"] == "prompts"]
        shares = {row["analysis"]: row["estimate"] for row in explained}
        assert 0.9 < shares["sensitivity"] < 1 and shares["sensitivity"] != shares["variation"]


@pytest.mark.parametrize("stage", [variation.STAGE, distinctiveness.STAGE])
def test_a_second_encoder_is_compared(
    stage: Stage, run: Callable[..., dict[str, list[Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fixture gives both encoders the same vectors, so that their ranks agree wherever there are ranks."""
    monkeypatch.setattr(specs, "second_encoder", lambda cfg: SimpleNamespace(model_id="second"))
    rows = run(stage, *world())["results"]
    all_are_stated(rows)
    again = [row for row in rows if row["analysis"] == "sensitivity"]
    names = ("p", "q", "corpus", "within")
    values = {(row["metric"], *(row["labels"].get(n) for n in names)): row["estimate"]
              for row in rows if row["analysis"] == stage.name}  # fmt: skip
    same = [row for row in again if row["metric"] != "rank_agreement"]
    assert same and {row["labels"]["variant"] for row in again} == {"second encoder"}
    assert all(values[row["metric"], *(row["labels"].get(n) for n in names)] == row["estimate"] for row in same)
    known = [row for row in again if row["metric"] == "rank_agreement" and row["estimate"] is not None]
    assert [row["estimate"] for row in known] == pytest.approx([1.0] * len(known))


@pytest.mark.parametrize("stage", [variation.STAGE, distinctiveness.STAGE], ids=lambda s: s.name)
def test_constant_vectors_and_one_prompt_are_stated(stage: Stage, run: Callable[..., dict[str, list[Any]]]) -> None:
    rows = [image(i, "diffusion", prompt_id="p", prompt="a b c") for i in range(8)]
    rows += [image(50 + i, "posts", post_id="t") for i in range(8)]
    found = run(stage, rows, [unit(1)] * 16)["results"]
    all_are_stated(found)
    by_key = {(r.metric, joined(r)): r for r in found}
    if stage.name == "variation":
        assert "all vectors are equal" in by_key["effective_rank", "diffusion"].method
        assert by_key["pair_distance", "diffusion"].estimate == pytest.approx(0.0, abs=1e-6)
        assert "not computed" in by_key["share_explained", "diffusion|prompts"].method
        assert "there are 1" in by_key["kendall_tau", "diffusion"].method
    else:
        assert by_key["kl", "posts|diffusion"].estimate == 0


def test_nothing_at_all_is_stated(run: Callable[..., dict[str, list[Any]]]) -> None:
    for stage in (variation.STAGE, distinctiveness.STAGE):
        rows = run(stage, [], [])["results"]
        all_are_stated(rows)
        assert rows and all(r.estimate is None for r in rows)


def test_texts_that_are_gone_or_of_another_model_are_left_out(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = type("Encoder", (), {"model_id": "m", "preprocess_rev": "r"})()
    monkeypatch.setattr(specs, "text_encoder", lambda cfg: encoder)
    monkeypatch.setattr(specs, "captioner", lambda cfg: None)
    images = table("images", [image(i, "diffusion", prompt=f"a red castle {i}") for i in range(8)])
    posts = table("posts", [{"post_id": str(i), "corpus": "posts", "text": f"my new castle {i} #ai"} for i in range(8)])
    from twigma_spark.transforms.texts import texts

    there = texts(images, posts, table("captions", [])).collect()
    own = [
        {**r.asDict(), "model_id": "m", "preprocess_rev": "r", "dim": 4, "embedding": unit(i)}
        for i, r in enumerate(there)
    ]
    gone = [{**own[0], "text_id": "gone", "corpus": "old"}, {**own[1], "model_id": "other", "corpus": "old"}]
    found = text_variation.text_results(
        CFG,
        VariationSpec(bootstrap=20, clusters=2),
        images,
        posts,
        table("captions", []),
        table("text_embeddings", own + gone),
    )
    assert {s.labels["kind"] for s in found} == {"diffusion prompts", "posts texts"}
    one = next(s for s in found if (s.metric, s.labels["kind"]) == ("pair_distance", "posts texts"))
    assert one.n == 8 and one.estimate is not None and one.low is not None


def test_a_model_without_a_text_tower_has_no_texts(table: Table) -> None:
    cfg = Config(models={"image": Onnx(kind="onnx", path="x")})  # type: ignore[arg-type]
    empty = (table(name, []) for name in ("images", "posts", "captions", "text_embeddings"))
    assert text_variation.text_results(cfg, VariationSpec(), *empty) == []
