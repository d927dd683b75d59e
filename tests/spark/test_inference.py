"""What comes out of inference: the same whatever the sizes, and what open_clip and transformers alone give."""

from __future__ import annotations

import io
from functools import reduce
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from tests.jobs.images import frame_of, jpeg
from tests.tables import table as declared
from tests.unit.test_baselines import alone as hpsv2_alone
from tests.unit.test_baselines import write_hpsv2
from tests.unit.test_models_blip import alone as transformers_alone
from tests.unit.test_models_blip import save_writer
from twigma_spark.config.overlays import load
from twigma_spark.estimators import reward_data
from twigma_spark.io.arrow import local_frame
from twigma_spark.models.base import Floats
from twigma_spark.models.clip import ClipImage
from twigma_spark.models.clip_source import ClipSource
from twigma_spark.schemas import TABLES
from twigma_spark.stages import baselines, caption, embed, inputs, specs
from twigma_spark.stages.stage import StageContext
from twigma_spark.transforms.inference import Feed, infer
from twigma_spark.transforms.pair_columns import prompted_scores

# Portrait, landscape and square: each is cut in another way.
FILES = [jpeg(seed, (64 + 16 * (seed % 3), 96 - 16 * (seed % 2))) for seed in range(9)]
SIZES = list(product((1, 3, 7), (1, 4, 32)))
DIAGONAL = SIZES[::4]
# In bf16 a sum that another kernel adds up in another order may round to a neighbour, 2^-8 away, layer after
# layer. Each of two runs stays within cosine 0.9999 of fp32, so they are within twice that angle of each other.
BF16_TO_FP32, BF16_TO_BF16 = 0.9999, 0.9996


@pytest.fixture(scope="module")
def images(spark: SparkSession) -> DataFrame:
    return frame_of(spark, FILES).localCheckpoint()


def by_size(images: DataFrame, precision: str, sizes: list[tuple[int, int]]) -> Floats:
    """Return the vectors for each (partitions, batch size), shape (sizes, images, dim), all from one Spark job."""
    model = ClipImage(ClipSource(path="sample:clip"), precision=precision)
    asked = []
    for n, (partitions, batch) in enumerate(sizes):
        parted = images.select("image_id", "content").repartition(partitions, "image_id")
        answered = infer(parted, "content", model, "array<float>", Feed(batch_size=batch))
        asked.append(answered.withColumn("n", F.lit(n)))
    # Sorted here: Spark's sort would sample the rows first, and compute all of them twice.
    rows = sorted(reduce(DataFrame.unionByName, asked).collect(), key=lambda row: (row.n, row.image_id))
    return np.array([row.value for row in rows], dtype=np.float32).reshape(len(sizes), len(FILES), -1)


def test_vectors_do_not_depend_on_batch_size_or_partitioning(images: DataFrame) -> None:
    fp32, bf16 = by_size(images, "fp32", SIZES), by_size(images, "bf16", DIAGONAL)
    np.testing.assert_allclose(fp32, np.broadcast_to(fp32[0], fp32.shape), rtol=0, atol=1e-5)
    assert (bf16 * bf16[0]).sum(axis=2).min() >= BF16_TO_BF16
    # The bound says something: other images are further away, and bf16 is not fp32.
    assert (bf16 * fp32[0]).sum(axis=2).min() >= BF16_TO_FP32
    assert (fp32[0][1:] * fp32[0][:-1]).sum(axis=1).max() < BF16_TO_BF16
    assert np.abs(bf16 - fp32[0]).max() > 1e-5


def test_vit_b_32_gives_what_open_clip_alone_gives(images: DataFrame) -> None:
    settings = "models.image={kind: open_clip, name: ViT-B-32, pretrained: random-11, precision: fp32, decode: pillow}"
    cfg = load([], [settings, "embed={batch_size: 4, partitions: 1, arrow_batch: 2}"])
    (part,) = embed.run(cfg, context(images), images, no(images, "embeddings"))
    rows = named(part["embeddings"], images)
    np.testing.assert_allclose([row.embedding for row in rows], open_clip_alone("ViT-B-32", 11), rtol=0, atol=1e-5)
    assert {(row.model_id, row.preprocess_rev) for row in rows} == {
        ("open_clip/ViT-B-32/random-11", "pillow-v1/fp32/224"),
    }


def test_a_second_encoder_has_vectors_and_rejects_of_its_own(images: DataFrame) -> None:
    first, second = "{kind: open_clip, path: 'sample:clip', precision: fp32%s}", ", decode: pillow"
    models = [f"models.image={first % ''}", f"models.image_also={first % second}"]
    cfg = load([], [*models, "embed={batch_size: 4, partitions: 1, arrow_batch: 2}"])
    broken = images.withColumn(
        "content", F.when(F.col("source_key") == "0.jpg", F.lit(b"no image")).otherwise(F.col("content"))
    )
    parts = list(embed.run(cfg, context(images), broken, no(images, "embeddings")))
    assert len(parts) == 2
    by = [{(r.model_id, r.preprocess_rev) for r in part["embeddings"].collect()} for part in parts]
    assert by[0] != by[1] and all(len(each) == 1 for each in by)
    assert [part["embeddings"].count() for part in parts] == [len(FILES) - 1] * 2
    # Only the first encoder's rejects are images that are lost.
    assert [[r.unit for r in part["rejects"].collect()] for part in parts] == [["image"], ["second vector"]]
    found = inputs.own_vectors(
        cfg, parts[0]["embeddings"].unionByName(parts[1]["embeddings"]), specs.second_encoder(cfg)
    )
    assert found.count() == len(FILES) - 1


def test_blip_writes_what_transformers_alone_writes(images: DataFrame, tmp_path: Path) -> None:
    folder = save_writer(tmp_path / "writer")
    settings = f"models.caption={{kind: blip, name: '{folder}', precision: fp32, num_beams: 2, max_length: 16}}"
    encoder = "models.image={kind: open_clip, path: 'sample:clip', precision: fp32}"
    cfg = load([], [settings, encoder, "caption={batch_size: 4, partitions: 1, arrow_batch: 2}"])
    made = specs.image_encoder(cfg)
    embedded = images.selectExpr(
        *("image_id", f"'{made.model_id}' AS model_id", f"'{made.preprocess_rev}' AS preprocess_rev", "corpus"),
        *("1 AS dim", "array(float(1)) AS embedding"),
    )
    none = {table: no(images, table) for table in ("duplicates", "captions")}
    (part,) = caption.run(cfg, context(images), images, embedded, **none)
    captions = [row.caption for row in named(part["captions"], images)]
    assert captions == transformers_alone(folder, FILES, num_beams=2, max_length=16)
    assert len(set(captions)) > 1


def test_published_models_score_the_images_of_held_out_pairs(
    images: DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config, weights = write_hpsv2(tmp_path_factory)
    model = f"{{kind: hpsv2, path: '{weights}', name: '{config}', precision: fp32, decode: pillow}}"
    cfg = load([], [f"baselines={{models: {{hps: {model}}}, batch_size: 2, partitions: 1}}"])
    ids = {row.source_key: row.image_id for row in images.select("image_id", "source_key").collect()}
    # One image is in two pairs, one of a prompt of its own as well; the last pair is not matched.
    named_pairs = [(0, 1, "a", True), (0, 2, "a", True), (3, 0, "b", True), (4, 5, "a", False)]
    rows = [
        {"preferred_image_id": ids[f"{one}.jpg"], "other_image_id": ids[f"{two}.jpg"], "text_id": text,
         "corpus": "posts", "prompt_key": text, "split_key": text, "matched": matched}
        for one, two, text, matched in named_pairs
    ]  # fmt: skip
    spark, prompts = images.sparkSession, {"a": "two cats", "b": "a castle"}
    texts = [{"text_id": i, "model_id": "m", "source": "prompt", "text": text} for i, text in prompts.items()]
    tables = {
        "pairs": declared(spark, "pairs", rows),
        "images": images.withColumn(
            "content", F.when(F.col("source_key") == "2.jpg", F.lit(b"no image")).otherwise(F.col("content"))
        ),
        "text_embeddings": declared(spark, "text_embeddings", texts),
    }
    (part,) = baselines.run(cfg, context(images), **tables, baseline_scores=no(images, "baseline_scores"))
    found = part["baseline_scores"].localCheckpoint()
    scores = {(row.image_id, row.text_id): row.score for row in found.collect()}
    asked = [(0, "a"), (1, "a"), (3, "b"), (0, "b")]
    expected = hpsv2_alone(config, weights, [(FILES[n], prompts[text]) for n, text in asked])
    assert scores == pytest.approx(dict(zip([(ids[f"{n}.jpg"], t) for n, t in asked], expected, strict=True)), abs=1e-5)
    assert [row.key for row in part["rejects"].collect()] == ["2.jpg"]
    seen, b = prompted_scores(tables["pairs"], found), tables["pairs"].where("text_id = 'b'")
    (keys,) = b.selectExpr("xxhash64(preferred_image_id)", "xxhash64(other_image_id)").collect()
    both = reward_data.baseline_scores(seen, ["hps"], *(np.array([key, 7]) for key in keys))["hps"]
    np.testing.assert_allclose(both, [[scores[ids["3.jpg"], "b"], scores[ids["0.jpg"], "b"]], [np.nan, np.nan]])
    # What has a score is not asked again.
    tables["images"] = images.where("source_key <> '2.jpg'")
    assert list(baselines.run(cfg, context(images), **tables, baseline_scores=found)) == []


def context(images: DataFrame) -> StageContext:
    """Return what the runner lends, with what is computed once kept in memory."""
    return StageContext(images.sparkSession, lambda frame: frame.localCheckpoint(), print)


def no(images: DataFrame, table: str) -> DataFrame:
    """Return no rows of a table."""
    return local_frame(images.sparkSession, [], TABLES[table].schema)


def named(frame: DataFrame, images: DataFrame) -> list[Row]:
    """Return the rows in the order of FILES."""
    rows = frame.join(images.select("image_id", "source_key"), "image_id").collect()
    return sorted(rows, key=lambda row: int(row.source_key.removesuffix(".jpg")))


def open_clip_alone(name: str, seed: int) -> Floats:
    """Return what open_clip's README computes of FILES, with random weights of a seed."""
    import open_clip
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=None)
    batch = torch.stack([preprocess(Image.open(io.BytesIO(file)).convert("RGB")) for file in FILES])
    with torch.no_grad():
        features = model.eval().encode_image(batch)
        features /= features.norm(dim=-1, keepdim=True)
    return np.asarray(features.numpy(), dtype=np.float32)
