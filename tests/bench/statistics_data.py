"""The tables of a run of the paper's size, as the statistics read them; made by the bench itself.

Ids, dates, likes and words are drawn by Spark from the number of the row, vectors by `vectors_data`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf

from tests.bench import vectors_data
from twigma_spark.config.settings import Config
from twigma_spark.io import arrow
from twigma_spark.models.small_jpegs import small_jpeg
from twigma_spark.schemas import TABLES
from twigma_spark.stages import specs
from twigma_spark.stages.ingest import FILE_BYTES
from twigma_spark.transforms.images import in_order
from twigma_spark.transforms.texts import texts

REFERENCES = {"diffusion": "generated", "photo": "natural", "art": "art"}
THEMES = 10
# Different drawings, pixels of a side, and about how many bytes such a one has.
PICTURES, SIDE, BYTES = 200, 256, 15_000
MONTHS = 27
STARTS, ENDS = ("ca", "do", "fi", "gra", "lu", "mo", "ne", "sta"), ("lan", "mer", "nos", "ra", "tel")
WORDS = [start + end for start in STARTS for end in ENDS]
START = 1_609_459_200  # 1 January 2021
TAGS = ("aiart", "midjourney", "dalle2", "stablediffusion", "vqgan", "nft")
VECTOR_SCHEMA = (
    "image_id STRING, model_id STRING, preprocess_rev STRING, corpus STRING, dim INT, embedding ARRAY<FLOAT>"
)


@dataclass(frozen=True)
class Size:
    """How much there is: images of the posts, posts, images of each of REFERENCES, and the length of vectors."""

    images: int = 805_650
    posts: int = 623_707
    references: tuple[int, ...] = (20_000, 20_000, 20_000)
    dim: int = 768

    @property
    def rows(self) -> int:
        """Images of all corpora."""
        return self.images + sum(self.references)

    @property
    def ends(self) -> dict[str, int]:
        """The number of the image after the last one of each corpus, in order."""
        ends = np.cumsum([self.images, *self.references]).tolist()
        return dict(zip(("posts", *REFERENCES), ends, strict=True))

    def scaled(self, share: float) -> Size:
        """Return the same with a share of the images and posts."""
        images, posts, *references = (max(400, int(n * share)) for n in (self.images, self.posts, *self.references))
        return Size(images, posts, tuple(references), self.dim)


def tables(spark: SparkSession, root: Path, cfg: Config, size: Size) -> dict[str, DataFrame]:
    """Return every table that the statistics read, made under `root` where it is not there yet."""
    made = {name: stored(spark, root / name, lambda make=make: make(spark, cfg, size)) for name, make in MAKERS.items()}
    there = texts(made["images"], made["posts"], made["captions"].limit(0))
    made["text_embeddings"] = stored(spark, root / "text_embeddings", lambda: text_vectors(cfg, size, there))
    empty = {name: spark.createDataFrame([], TABLES[name].schema) for name in ("duplicates", "rejects")}
    return {**made, **empty}


def stored(spark: SparkSession, folder: Path, make: Callable[[], DataFrame]) -> DataFrame:
    """Return a table of a folder, made where it is not there yet."""
    if not folder.exists():
        make().write.format("delta").option("parquet.enable.dictionary", "false").save(str(folder))
    return spark.read.format("delta").load(str(folder))


def dice(salt: str, *columns: str | Column) -> Column:
    """Return a number from 0 to 1 that depends on the row alone."""
    return F.pmod(F.xxhash64(*(columns or ("id",)), F.lit(salt)), F.lit(1_000_003)) / 1_000_003


def image_id(number: Column) -> Column:
    """Return the id of an image by its number; as those of a store, ids are in no order."""
    return F.md5(number.cast("string"))


def image_ids(numbers: Iterable[int]) -> list[str]:
    """Return what `image_id` does in Spark."""
    return [hashlib.md5(str(number).encode()).hexdigest() for number in numbers]  # noqa: S324 - an id


def _corpus(size: Size) -> Column:
    *before, last = size.ends
    return reduce(
        lambda rest, name: F.when(F.col("id") < size.ends[name], name).otherwise(rest), reversed(before), F.lit(last)
    )


def _month() -> Column:
    """Return the month of a post, later months having more."""
    return (F.sqrt(dice("month", "post")) * MONTHS).cast("int")


def _theme() -> Column:
    """Return the theme of an image; theme 0 grows over the months."""
    grown = dice("grown") < 0.02 + 0.006 * F.col("month")
    return F.when(grown, 0).otherwise((dice("theme") * THEMES).cast("int"))


def _images(spark: SparkSession, cfg: Config, size: Size) -> DataFrame:
    rows = spark.range(size.rows).withColumn("corpus", _corpus(size))
    post, number = F.col("corpus") == "posts", F.col("id")
    given = {
        "image_id": image_id(number),
        "corpus": F.col("corpus"),
        "source_key": F.concat(F.lit("file/"), number.cast("string")),
        "post_id": F.when(post, F.pmod(number, F.lit(size.posts)).cast("string")),
        "prompt_id": F.when(F.col("corpus") == "diffusion", F.concat(F.lit("p"), (number / 4).cast("bigint"))),
        "prompt": F.when(F.col("corpus") == "diffusion", sentence("prompt", 4, 24, (number / 4).cast("bigint"))),
        "artist": F.when(F.col("corpus") == "art", F.concat(F.lit("a"), (dice("artist") * 200).cast("int"))),
        "created_at": F.when(post, _created(F.pmod(number, F.lit(size.posts)))),
        "width": F.lit(512), "height": F.lit(512), "n_bytes": F.lit(1),
    }  # fmt: skip
    return shaped(rows, "images", given)


def _created(post: Column) -> Column:
    """Return the time of a post, from its number."""
    dice = F.pmod(F.xxhash64(post, F.lit("month")), F.lit(1_000_003)) / 1_000_003
    return F.timestamp_seconds((START + F.sqrt(dice) * MONTHS * 30 * 86_400).cast("bigint"))


def _posts(spark: SparkSession, cfg: Config, size: Size) -> DataFrame:
    rows = spark.range(size.posts).withColumn("author", (F.pow(dice("author"), 3) * 60_000).cast("int"))
    followers = F.pow(10.0, 1 + 4 * dice("followers", "author"))
    likes = F.exp(0.3 * F.log(followers) + 2 * dice("likes") - 1)
    given = {
        "post_id": F.col("id").cast("string"), "platform": F.lit("x"), "corpus": F.lit("posts"),
        "author_id": F.col("author").cast("string"), "author_followers": followers.cast("bigint"),
        "created_at": _created(F.col("id")), "text": sentence("post", 5, 25),
        "hashtags": F.array(F.array(*map(F.lit, TAGS))[(dice("tag") * len(TAGS)).cast("int")]),
        "like_count": likes.cast("bigint"), "possibly_sensitive": dice("sensitive") < 0.05,
        "source": F.lit("web"), "collected_at": F.timestamp_seconds(F.lit(START + 29 * 30 * 86_400)),
    }  # fmt: skip
    return shaped(rows, "posts", given)


def sentence(salt: str, least: int, most: int, of: str | Column = "id") -> Column:
    """Return words, as many as a number says; the same number has the same words."""
    words = F.array(*map(F.lit, WORDS))
    count = least + (dice(salt + "n", of) * (most - least)).cast("int")

    def word(place: Column) -> Column:
        return words[F.pmod(F.xxhash64(of, place, F.lit(salt)), F.lit(len(WORDS))).cast("int")]

    return F.concat_ws(" ", F.transform(F.sequence(F.lit(1), count), word))


def _captions(spark: SparkSession, cfg: Config, size: Size) -> DataFrame:
    captioner = specs.captioner(cfg)
    given = {
        "image_id": image_id(F.col("id")), "model_id": F.lit(captioner.model_id if captioner else ""),
        "caption": sentence("caption", 6, 12),
    }  # fmt: skip
    return shaped(spark.range(size.rows), "captions", given)


def _scores(spark: SparkSession, cfg: Config, size: Size) -> DataFrame:
    rows = spark.range(size.rows).withColumn("kind", F.explode(F.array(F.lit("nsfw"), F.lit("aesthetic"))))
    score = F.when(F.col("kind") == "nsfw", F.pow(dice("nsfw"), 4)).otherwise(4 + 2 * dice("aesthetic"))
    given = {"image_id": image_id(F.col("id")), "model_id": F.col("kind"), "kind": F.col("kind"), "score": score}
    return shaped(rows, "scores", given)


def _clusters(spark: SparkSession, cfg: Config, size: Size) -> DataFrame:
    rows = (
        spark.range(size.rows).withColumn("corpus", _corpus(size)).withColumn("post", F.pmod("id", F.lit(size.posts)))
    )
    rows = rows.withColumn("month", _month())
    themes = rows.where("corpus = 'posts'").select(
        "*", F.lit("themes").alias("clustering_id"), _theme().alias("cluster")
    )
    four = (dice("origin") * 4).cast("int")
    both = themes.unionByName(rows.select("*", F.lit("origins").alias("clustering_id"), four.alias("cluster")))
    given = {
        "image_id": image_id(F.col("id")), "clustering_id": F.col("clustering_id"), "corpus": F.col("corpus"),
        "cluster": F.col("cluster"), "distance": dice("distance"),
    }  # fmt: skip
    return shaped(both, "clusters", given)


def _neighbours(spark: SparkSession, cfg: Config, size: Size) -> DataFrame:
    rows = spark.range(size.images).withColumn("reference", F.explode(F.array(*map(F.lit, REFERENCES))))
    rows = rows.withColumn("rank", F.explode(F.sequence(F.lit(1), F.lit(5))))
    similarity = 0.9 * dice("similar", "id", "reference") - 0.01 * F.col("rank")
    given = {
        "image_id": image_id(F.col("id")), "reference": F.col("reference"), "rank": F.col("rank"),
        "neighbour_id": image_id(F.col("rank")), "similarity": similarity,
    }  # fmt: skip
    return shaped(rows, "neighbours", given)


def _vectors(spark: SparkSession, cfg: Config, size: Size) -> DataFrame:
    return vectors(spark, cfg, size, partial(vectors_data.block, vectors_data.World(size.rows, size.dim)))


def vectors(spark: SparkSession, cfg: Config, size: Size, block: Callable[[int], NDArray[np.float32]]) -> DataFrame:
    """Return the vectors of all images as rows of the table.

    Args:
        spark: the session.
        cfg: says which model made them.
        size: how many there are.
        block: returns the vectors of a block of `vectors_data.BLOCK` images, by its number.
    """
    encoder = specs.image_encoder(cfg)
    named = (encoder.model_id, encoder.preprocess_rev)

    def make(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                rows = block(number)
                ids = [number * vectors_data.BLOCK + n for n in range(len(rows))]
                columns = [
                    pa.array(image_ids(ids)),
                    *(pa.array([name] * len(ids)) for name in named),
                    pa.array([corpus(i, size) for i in ids]),
                    pa.array([size.dim] * len(ids), pa.int32()),
                    arrow.lists(rows),
                ]
                yield pa.record_batch(columns, TABLES["embeddings"].column_names)

    return blocks(spark, size).mapInArrow(make, TABLES["embeddings"].schema)


def blocks(spark: SparkSession, size: Size) -> DataFrame:
    """Return the numbers of all blocks of images."""
    count = vectors_data.blocks(vectors_data.World(size.rows, size.dim))
    return spark.range(0, count, 1, min(16, count))


def corpus(number: int, size: Size) -> str:
    """Return the corpus of an image, as `_corpus` does in Spark."""
    return next(name for name, end in size.ends.items() if number < end)


def text_vectors(cfg: Config, size: Size, there: DataFrame) -> DataFrame:
    """Return a vector for each of some `texts`, as rows of the table."""
    encoder = specs.text_encoder(cfg)
    if encoder is None:
        raise ValueError("models.image must have a text tower. Got one without.")
    schema = TABLES["text_embeddings"].schema
    named, dim = (encoder.model_id, encoder.preprocess_rev), size.dim

    def make(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            ids = batch.column("text_id")
            rng = np.random.default_rng(int(ids[0].as_py()[:8], 16) if len(ids) else 0)
            vectors = rng.standard_normal((len(ids), dim), np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            given = {
                **{name: batch.column(name) for name in ("text_id", "source", "corpus", "text", "n_words")},
                "model_id": pa.array([named[0]] * len(ids)),
                "preprocess_rev": pa.array([named[1]] * len(ids)),
                "dim": pa.array([dim] * len(ids), pa.int32()),
                "embedding": arrow.lists(vectors),
            }
            yield pa.record_batch([given[name] for name in schema.names], schema.names)

    return there.mapInArrow(make, schema)


def with_pictures(images: DataFrame, side: int = SIDE) -> DataFrame:
    """Return images with files; the bytes of each are one of a few drawings of so many pixels a side."""
    drawings = [_drawing(n, side) for n in range(PICTURES)]

    @pandas_udf("binary")  # type: ignore[call-overload]
    def content(numbers: pd.Series) -> pd.Series:
        return numbers.map(drawings.__getitem__)

    # In files as ingest writes them. Not by a join, before which Spark leaves the order out.
    n_bytes = images.count() * BYTES * side**2 // SIDE**2
    placed = in_order(images.drop("content"), max(2, n_bytes // FILE_BYTES))
    return placed.withColumn("content", content(_drawing_number())).select(*images.columns)


def thumbnails(spark: SparkSession, images: DataFrame) -> DataFrame:
    """Return the rows of the table `thumbnails` of images with the files of `with_pictures`."""
    small = [(n, small_jpeg(_drawing(n, SIDE), blurred=False)) for n in range(PICTURES)]
    drawn = arrow.local_frame(spark, small, "drawing INT, thumbnail BINARY")
    placed = images.select("image_id", _drawing_number().alias("drawing"))
    return placed.join(F.broadcast(drawn), "drawing").select("image_id", "thumbnail")


def _drawing_number() -> Column:
    return F.pmod(F.xxhash64("image_id"), F.lit(PICTURES)).cast("int")


def _drawing(number: int, side: int) -> bytes:
    """Return a JPEG file of smooth colours with some noise, as photographs compress: about 15 kB of 256 pixels."""
    rng = np.random.default_rng(number)
    few = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    noisy = np.asarray(few, np.int16) + rng.integers(-12, 13, (side, side, 1))
    out = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=85)
    return out.getvalue()


def shaped(rows: DataFrame, table: str, given: dict[str, Column]) -> DataFrame:
    """Return the table's columns as declared; those that are not given are null."""
    fields = TABLES[table].schema.fields
    return rows.select(*[given.get(f.name, F.lit(None)).cast(f.dataType).alias(f.name) for f in fields])


MAKERS = {
    "images": _images, "posts": _posts, "captions": _captions, "scores": _scores, "clusters": _clusters,
    "neighbours": _neighbours, "embeddings": _vectors,
}  # fmt: skip
