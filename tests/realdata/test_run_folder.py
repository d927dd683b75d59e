"""conf/folder.yaml on a part of the real images: known facts about them hold."""

from __future__ import annotations

from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyspark.sql import SparkSession

from tests.realdata.copies import CHANGES, write_copies
from twigma_spark import pipeline
from twigma_spark.config.overlays import load
from twigma_spark.config.settings import Config
from twigma_spark.io import arrow
from twigma_spark.io.tables import Store
from twigma_spark.models import small_jpegs
from twigma_spark.vectors import unit_rows

pytestmark = [pytest.mark.slow, pytest.mark.realdata]
CONF = Path(__file__).resolve().parents[2] / "conf" / "folder.yaml"
SMALL = CONF.parents[1] / "tests" / "jobs" / "small.yaml"
# Those that see pictures; what follows from vectors, texts and likes is run on the sample world.
STAGES = ("ingest", "embed", "phash", "deduplicate", "score")
LIMITS = {"genai": 80, "art": 30, "photo": 20}
# Images of genai that are in a corpus of their own too, with changed copies of each.
COPIED = 8


@pytest.fixture(scope="module")
def cfg(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """conf/folder.yaml with a limit on each corpus and its own folder."""
    out = tmp_path_factory.mktemp("folder")
    text = CONF.read_text().replace("../shared/data", str(shared_data)).replace("build/folder", str(out))
    for name, limit in LIMITS.items():
        text = text.replace(f"- name: {name} ", f"- limit: {limit}\n    name: {name} ")
        text = text.replace(f"- name: {name}\n", f"- limit: {limit}\n    name: {name}\n")
    write_copies(sorted((shared_data / "genai").glob("*.jpg"))[: LIMITS["genai"] : LIMITS["genai"] // COPIED], out)
    copies = f"  - {{name: copies, role: generated, path: {out / 'copies'}}}\n"
    (out / "folder.yaml").write_text(text.replace("corpora:\n", f"corpora:\n{copies}"))
    return load([out / "folder.yaml", SMALL])


@pytest.fixture(scope="module")
def store(cfg: Config, spark: SparkSession) -> Store:
    """The store after the stages that see images."""
    store = Store(spark, cfg.store.root)
    pipeline.run(cfg, store, pipeline.select(STAGES), lambda text: None)
    return store


def test_the_images_are_counted_and_sized(store: Store) -> None:
    images = store.read("images")
    assert {r.corpus: r["count"] for r in images.groupBy("corpus").count().collect()} == {
        **LIMITS, "copies": COPIED * (len(CHANGES) + 1),
    }  # fmt: skip
    sizes = images.where("corpus = 'genai'").select("width", "height", "format").distinct().collect()
    assert [tuple(row) for row in sizes] == [(288, 288, "JPEG")]
    longest = images.where("corpus = 'art'").selectExpr("max(greatest(width, height))").collect()[0][0]
    assert longest == 448
    assert images.where("corpus = 'genai' AND prompt IS NULL").count() == 0
    assert store.count("rejects") == 0
    assert store.read("duplicates").join(images.where("corpus <> 'copies'"), "image_id", "left_semi").count() == 0


def test_images_of_one_prompt_are_nearer_than_those_of_others(store: Store) -> None:
    vectors = store.read("embeddings").select("image_id", "embedding")
    prompts = store.read("images").where("corpus = 'genai'").select("image_id", "prompt_id")
    table = arrow.collect(vectors.join(prompts, "image_id")).combine_chunks()
    cosine = unit_rows(arrow.matrix(table.column("embedding").chunk(0)))
    cosine = cosine @ cosine.T
    prompt = table.column("prompt_id").to_numpy()
    same = (prompt[:, None] == prompt[None, :]) & ~np.eye(len(prompt), dtype=bool)
    others = prompt[:, None] != prompt[None, :]
    assert cosine[same].mean() > cosine[others].mean() + 0.05


def test_the_nearest_images_are_mostly_of_the_own_kind(store: Store) -> None:
    table = arrow.collect(
        store.read("embeddings").where("corpus <> 'copies'").select("corpus", "embedding")
    ).combine_chunks()
    vectors = unit_rows(arrow.matrix(table.column("embedding").chunk(0)))
    corpus = table.column("corpus").to_numpy()
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -1)
    nearest = corpus[np.argsort(-cosine, axis=1)[:, :5]]
    for name, images in LIMITS.items():
        own = (nearest[corpus == name] == name).mean()
        assert own > 2 * images / sum(LIMITS.values()) or own > 0.8, (name, own)


def test_scores_are_probabilities(store: Store) -> None:
    low, high, n = store.read("scores").selectExpr("min(score)", "max(score)", "count(*)").collect()[0]
    # A classifier of pixels scores the kept images; of the copies the images themselves and the mirrored ones are kept.
    assert 0 <= low < high <= 1 and n == sum(LIMITS.values()) + 2 * COPIED


def test_every_image_has_a_thumbnail_of_its_shape(store: Store) -> None:
    sizes = store.read("images").select("image_id", "width", "height").collect()
    thumbnails = {r.image_id: r.thumbnail for r in store.read("thumbnails").collect()}
    assert thumbnails.keys() == {r.image_id for r in sizes}
    for row in sizes:
        with Image.open(BytesIO(thumbnails[row.image_id])) as small:
            assert max(small.size) == small_jpegs.SIDE
            assert small.width / small.height == pytest.approx(row.width / row.height, rel=0.05)


def test_planted_copies_are_found_and_nothing_else(store: Store) -> None:
    names = store.read("images").select("image_id", "corpus", "source_key")
    repeats = store.read("duplicates").join(names, "image_id")
    pairs = repeats.join(names.select("image_id", "source_key").toDF("canonical_id", "canonical"), "canonical_id")
    group = {row["source_key"]: row["canonical"] for row in pairs.collect()}
    found: Counter[str] = Counter()
    for copy, canonical in group.items():
        assert Path(copy).stem.split("~")[0] == Path(canonical).stem.split("~")[0], (copy, canonical)
    for key in {row["source_key"] for row in names.where("corpus = 'copies'").collect()}:
        stem, _, change = Path(key).stem.partition("~")
        found[change] += change != "" and group.get(key, key) == group.get(f"{stem}.jpg", f"{stem}.jpg")
    assert {name: found[name] for name in CHANGES} == {name: 0 if name == "mirror" else COPIED for name in CHANGES}


def test_copies_in_another_corpus_are_found_and_stay(store: Store) -> None:
    assert store.read("shared_images").where("corpus = 'copies' AND other_corpus = 'genai'").count() == COPIED
    (row,) = store.read("results").where("metric = 'shared_images' AND labels['corpus'] = 'genai'").collect()
    assert row["estimate"] == COPIED / LIMITS["genai"] and row["n"] == LIMITS["genai"]
