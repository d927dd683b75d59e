"""The annotators' sheet: which images it shows, and under which names."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from PIL import Image
from pyspark.sql import SparkSession

from tests.tables import table
from twigma_spark.config.settings import Config
from twigma_spark.io.arrow import local_frame
from twigma_spark.stages.annotation import annotate
from twigma_spark.transforms import annotation


def test_the_sheet_is_a_sample_of_each_cluster_without_unsafe_images(spark: SparkSession) -> None:
    ids = [f"{n:032x}" for n in range(10)]
    clusters = local_frame(spark, [(i, n % 2) for n, i in enumerate(ids)], "image_id string, cluster int")
    flags = [(i, True if n == 0 else None) for n, i in enumerate(ids)]
    images = local_frame(spark, flags, "image_id string, sensitive boolean")
    scored = [(ids[2], "nsfw", 0.9), (ids[4], "nsfw", 0.1), (ids[1], "aesthetic", 0.9)]
    scores = local_frame(spark, scored, "image_id string, kind string, score double")
    everything = annotation.sheet(clusters, images, scores, 9, 0.5, 1).collect()
    assert {r["image_id"] for r in everything} == set(ids) - {ids[0], ids[2]}
    assert {r["image_id"] for r in everything if not r["unsure"]} == {ids[4]}
    assert [r["cluster"] for r in everything] != sorted(r["cluster"] for r in everything)
    few = annotation.sheet(clusters, images, scores, 2, 0.5, 1).collect()
    assert sorted(r["cluster"] for r in few) == [0, 0, 1, 1] and {r["item"] for r in few} <= {
        r["item"] for r in everything
    }
    other = {r["image_id"]: r["item"] for r in annotation.sheet(clusters, images, scores, 9, 0.5, 2).collect()}
    assert all(other[r["image_id"]] != r["item"] for r in everything)


def test_captions_come_back_under_the_same_names(spark: SparkSession) -> None:
    clusters = local_frame(spark, [("a", 0), ("b", 1)], "image_id string, cluster int")
    captions = local_frame(
        spark, [("a", "m1", "old"), ("a", "m2", "new")], "image_id string, model_id string, caption string"
    )
    images = local_frame(spark, [("a", None), ("b", None)], "image_id string, sensitive boolean")
    scores = local_frame(spark, [], "image_id string, kind string, score double")
    names = {r["item"]: r["image_id"] for r in annotation.sheet(clusters, images, scores, 5, 0.5, 3).collect()}
    found = {
        names[r["item"]]: (r["cluster"], r["caption"])
        for r in annotation.join_captions(clusters, captions, 3).collect()
    }
    assert found == {"a": (0, "new"), "b": (1, "")}


def test_a_page_and_a_sheet_are_written(spark: SparkSession, tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(out, "PNG")
    ids = [f"{n:032x}" for n in range(3)]
    contents = [out.getvalue(), out.getvalue(), b"broken"]
    tables = {
        "images": table(
            spark,
            "images",
            [
                {"image_id": i, "corpus": "posts", "sensitive": False, "n_bytes": len(c), "content": c}
                for i, c in zip(ids, contents, strict=True)
            ],
        ),
        "clusters": table(
            spark, "clusters", [{"clustering_id": "themes", "image_id": i, "cluster": 0, "distance": 0.0} for i in ids]
        ),
        "scores": table(spark, "scores", []),
    }
    said = annotate(Config(), spark, tables, str(tmp_path))
    # What cannot be drawn is not asked about.
    assert said.startswith("2 images of 1 clusters")
    assert len(list(csv.DictReader((tmp_path / "sheet.csv").open()))) == 2
    assert (tmp_path / "sheet.html").read_text().count("data:image/webp;base64,") == 2
