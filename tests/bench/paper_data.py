"""A store as `ingest`, `embed`, `phash` and `caption` would leave it after the paper's collection; drawn.

Ids, dates, likes and words are those of `tests.bench.statistics_data`, vectors those of `tests.bench.vectors_data`.
Among each thousand images are 60 that repeat another one: the same picture in a second post, the same bytes, the same
vector, and twenty near-duplicates; and five of the posts are copies of a reference's image.
`python -m tests.bench.paper_data CONF IMAGES POSTS DIFFUSION PHOTO ART` draws the store of a configuration.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tests.bench import vectors_data
from tests.bench.book import progress
from tests.bench.statistics_data import (
    MAKERS,
    Size,
    blocks,
    dice,
    image_id,
    image_ids,
    sentence,
    shaped,
    text_vectors,
    vectors,
    with_pictures,
)
from tests.bench.vectors_data import BLOCK, NOISE
from twigma_spark.config.overlays import load
from twigma_spark.config.settings import Config
from twigma_spark.io import arrow
from twigma_spark.io.session import open_session, picture_batches, small_pages
from twigma_spark.io.tables import Store
from twigma_spark.models.hashes import BITS, DIM, WINDOWS
from twigma_spark.schemas import TABLES
from twigma_spark.stages import inputs, specs

# The paper's 805,650 images of 623,707 posts, and what they are compared with.
PAPER = Size(references=(100_000, 100_000, 60_000))
# Pixels of a drawing's side: 4 kB, so that the table `images` has 4 GB.
SIDE = 128
# Places in a block of the images that repeat another one of it, and where those are.
REPEATS = {"media": (940, 20, 20), "bytes": (960, 40, 10), "embedding": (970, 50, 10), "near": (980, 0, 20)}
# The same of posts that are copies of a reference's image: the first two are the same file.
COPIES, SAME_FILE, AT, THERE = 5, 2, 900, 100
# Of the posts' images, those that have a prompt: the paper's have none, and without any there are no pairs.
PROMPTED = 0.02
# Bits of a hash that a copy changes, and the noise of its grey picture.
FLIPPED, GREY_NOISE = 8, 0.1
PLANTED = "number BIGINT, source BIGINT, tier STRING"

Rows = NDArray[np.float32]
Make = Callable[[int], Rows]
Change = Callable[[Rows, np.random.Generator], Rows]


def draw(conf: Path, size: Size) -> None:
    """Draw the store of a configuration; tables that are there already stay."""
    cfg: Config = load([conf])
    settings = {"spark.driver.memory": "4g", "spark.sql.shuffle.partitions": "16"}
    spark, _ = open_session("paper", master="local[2]", conf=settings)
    store = Store(spark, cfg.store.root)
    made = {
        "posts": lambda: MAKERS["posts"](spark, cfg, size),
        "images": lambda: _images(spark, cfg, size),
        "media": lambda: _media(store.read("images")),
        "embeddings": lambda: vectors(spark, cfg, size, partial(_with_copies, size, partial(_vectors, size), _blur)),
        "hashes": lambda: _hashes(spark, cfg, size),
        "captions": lambda: _captions(spark, cfg, size),
        "text_embeddings": lambda: text_vectors(
            cfg, size, inputs.all_texts(cfg, store.read("images"), store.read("posts"), store.read("captions"), None)
        ),
    }
    done = Path(cfg.store.root) / "drawn.json"
    drawn = json.loads(done.read_text()) if done.exists() else []
    for name in [name for name in made if name not in drawn]:
        progress(f"drawing {name}")
        store.create(TABLES[name])
        with picture_batches(spark, 128 if name == "images" else 4096), small_pages(spark, TABLES[name].page_rows):
            made[name]().select(*TABLES[name].column_names).writeTo(store.location(name)).append()
        drawn.append(name)
        done.write_text(json.dumps(drawn))


def planted(size: Size, number: int) -> list[tuple[int, int, str]]:
    """Return the images of a block that repeat another one: their number, that one's, and the tier."""
    start = number * BLOCK
    if start + BLOCK > size.rows:
        return []
    own = [
        (start + at + n, start + source + n, tier)
        for tier, (at, source, count) in REPEATS.items() for n in range(count)
    ]  # fmt: skip
    first = -(-size.images // BLOCK)
    references = size.rows // BLOCK - first
    if start + BLOCK > size.images or references < 1:
        return own
    turn, there = divmod(number, references)
    source = (first + there) * BLOCK + THERE + COPIES * turn
    return own + [(start + AT + n, source + n, "bytes" if n < SAME_FILE else "near") for n in range(COPIES)]


def _images(spark: SparkSession, cfg: Config, size: Size) -> DataFrame:
    """Return the images with their files; some of the posts' have a prompt, and photographs a caption."""
    rows = [row for block in range(-(-size.rows // BLOCK)) for row in planted(size, block)]
    columns = dict(zip(("number", "source", "tier"), map(pa.array, zip(*rows, strict=True)), strict=True))
    repeats = arrow.frame_of(spark, [pa.RecordBatch.from_pydict(columns)], PLANTED)
    drawn = MAKERS["images"](spark, cfg, size)
    number = F.substring("source_key", 6, 20).cast("bigint")  # "file/" comes before it
    found = drawn.withColumn("number", number).join(F.broadcast(repeats), "number", "left")
    own, post = F.col("number"), F.col("corpus") == "posts"
    file = F.when(F.col("tier").isin("media", "bytes"), F.col("source")).otherwise(own)
    media = F.concat(F.lit("m"), F.when(F.col("tier") == "media", F.col("source")).otherwise(own).cast("string"))
    prompt = (F.pow(dice("prompt", own), 2) * size.images / 500).cast("bigint")
    given = {
        "sha256": F.sha2(file.cast("string"), 256),
        "media_key": F.when(post, media),
        "source_key": F.when(post, F.concat_ws("/", "post_id", media)).otherwise(F.col("source_key")),
        "prompt": F.when(post & (dice("prompted", own) < PROMPTED), sentence("asked", 4, 24, prompt)).otherwise(
            F.col("prompt")
        ),
        "caption": F.when(F.col("corpus") == "photo", sentence("human", 6, 12, own)),
        "format": F.lit("JPEG"),
        "width": (256 + 256 * (dice("width", file) * 6).cast("int")),
    }
    return with_pictures(found.withColumns(given).select(*TABLES["images"].column_names), SIDE)


def _media(images: DataFrame) -> DataFrame:
    shown = images.where("media_key IS NOT NULL")
    url = F.concat(F.lit("https://host.example/media/"), "media_key", F.lit(".jpg"))
    given = {name: F.col(name) for name in ("media_key", "post_id", "corpus", "width", "height")}
    return shaped(shown, "media", {**given, "position": F.lit(0), "type": F.lit("photo"), "url": url})


def _captions(spark: SparkSession, cfg: Config, size: Size) -> DataFrame:
    """Return captions, of which many images share one, as a captioner's do."""
    captioner = specs.captioner(cfg)
    said = (F.pow(dice("said"), 2) * size.rows / 5).cast("bigint")
    given = {
        "image_id": image_id(F.col("id")), "model_id": F.lit(captioner.model_id if captioner else ""),
        "caption": sentence("caption", 6, 12, said),
    }  # fmt: skip
    return shaped(spark.range(size.rows), "captions", given)


def _vectors(size: Size, number: int) -> Rows:
    return vectors_data.block(vectors_data.World(size.rows, size.dim), number)


def _blur(rows: Rows, rng: np.random.Generator) -> Rows:
    """Return vectors as near-duplicates of their images have them."""
    noise = rng.standard_normal(rows.shape, np.float32)
    return _unit(rows + NOISE * _unit(noise))


def _with_copies(size: Size, make: Make, change: Change, number: int) -> Rows:
    """Return what `make` does of a block, the images that repeat another one with what that one has.

    Args:
        size: how many images there are.
        make: returns the rows of a block, by its number.
        change: returns rows as near-duplicates have them.
        number: of the block.
    """
    rows, rng = make(number), np.random.default_rng([2, number])
    others: dict[int, Rows] = {}
    for target, source, tier in planted(size, number):
        block = source // BLOCK
        if block != number and block not in others:
            others[block] = make(block)
        found = (rows if block == number else others[block])[source % BLOCK]
        rows[target % BLOCK] = change(found[None], rng)[0] if tier == "near" else found
    return rows


def _hashes(spark: SparkSession, cfg: Config, size: Size) -> DataFrame:
    hasher = specs.hasher(cfg)
    named = (hasher.model_id, hasher.preprocess_rev)

    def make(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                rows = _with_copies(size, partial(_hash_block, size), _touch, number)
                columns = [
                    pa.array(image_ids(range(number * BLOCK, number * BLOCK + len(rows)))),
                    *(pa.array([name] * len(rows)) for name in named),
                    pa.array([row[:DIM].astype(np.float16).tobytes() for row in rows], pa.binary()),
                    pa.array([np.packbits(row[DIM:] > 0).tobytes() for row in rows], pa.binary()),
                ]
                yield pa.record_batch(columns, TABLES["hashes"].column_names)

    return blocks(spark, size).mapInArrow(make, TABLES["hashes"].schema)


def _hash_block(size: Size, number: int) -> Rows:
    """Return of each image of a block its pixel vector, and 1 or -1 for each bit of its windows."""
    rng = np.random.default_rng([3, number])
    n = min(BLOCK, size.rows - number * BLOCK)
    # Some 37 effective dimensions: what is far in a picture is smooth.
    grey = _unit(rng.standard_normal((n, DIM), np.float32) * np.arange(1, DIM + 1, dtype=np.float32) ** -0.3)
    bits = rng.integers(0, 2, (n, WINDOWS * BITS), np.int8).astype(np.float32) * 2 - 1
    return np.hstack([grey, bits])


def _touch(rows: Rows, rng: np.random.Generator) -> Rows:
    """Return rows of `_hash_block` as near-duplicates of their images have them."""
    noise = _unit(rng.standard_normal((len(rows), DIM), np.float32))
    bits = rows[:, DIM:].reshape(len(rows), WINDOWS, BITS).copy()
    bits[:, :, rng.choice(BITS, FLIPPED, replace=False)] *= -1
    return np.hstack([_unit(rows[:, :DIM] + GREY_NOISE * noise), bits.reshape(len(rows), -1)])


def _unit(rows: Rows) -> Rows:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


if __name__ == "__main__":
    conf, images, posts, *references = sys.argv[1:]
    draw(Path(conf), Size(int(images), int(posts), tuple(map(int, references))))
