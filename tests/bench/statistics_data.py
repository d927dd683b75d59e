"""The tables of a run of the paper's size, as the statistics read them; made by the bench itself.

Ids, dates, likes and words are drawn by Spark from the number of the row, vectors by `vectors_data`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from tests.bench import vectors_data
from twigma_spark.config.settings import Config
from twigma_spark.io import arrow
from twigma_spark.schemas import TABLES
from twigma_spark.stages import specs
from twigma_spark.transforms.texts import texts

REFERENCES = {"diffusion": "generated", "photo": "natural", "art": "art"}
THEMES = 10
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
    """How much there is: images of the posts, posts, images of each reference, and the length of vectors."""

    images: int = 805_650
    posts: int = 623_707
    reference: int = 20_000
    dim: int = 768

    @property
    def rows(self) -> int:
        """Images of all corpora."""
        return self.images + self.reference * len(REFERENCES)


def tables(spark: SparkSession, root: Path, cfg: Config, size: Size) -> dict[str, DataFrame]:
    """Return every table that the statistics read, made under `root` where it is not there yet."""
    made = {name: stored(spark, root / name, lambda make=make: make(spark, cfg, size)) for name, make in MAKERS.items()}
    made["text_embeddings"] = stored(spark, root / "text_embeddings", lambda: _text_vectors(cfg, size, made))
    empty = {name: spark.createDataFrame([], TABLES[name].schema) for name in ("duplicates", "rejects")}
    return {**made, **empty}


def stored(spark: SparkSession, folder: Path, make: Callable[[], DataFrame]) -> DataFrame:
    """Return a table of a folder, made where it is not there yet."""
    if not folder.exists():
        make().write.format("delta").option("parquet.enable.dictionary", "false").save(str(folder))
    return spark.read.format("delta").load(str(folder))


def _dice(salt: str, *columns: str) -> Column:
    """Return a number from 0 to 1 that depends on the row alone."""
    return F.pmod(F.xxhash64(*(columns or ("id",)), F.lit(salt)), F.lit(1_000_003)) / 1_000_003


def _hex(number: Column) -> Column:
    return F.lower(F.lpad(F.hex(number), 32, "0"))


def _corpus(size: Size) -> Column:
    place = ((F.col("id") - size.images) / size.reference).cast("int")
    names = F.array(*map(F.lit, REFERENCES))
    return F.when(F.col("id") < size.images, "posts").otherwise(names[F.greatest(place, F.lit(0))])


def _month() -> Column:
    """Return the month of a post, later months having more."""
    return (F.sqrt(_dice("month", "post")) * MONTHS).cast("int")


def _theme() -> Column:
    """Return the theme of an image; theme 0 grows over the months."""
    grown = _dice("grown") < 0.02 + 0.006 * F.col("month")
    return F.when(grown, 0).otherwise((_dice("theme") * THEMES).cast("int"))


def _images(spark: SparkSession, cfg: Config, size: Size) -> DataFrame:
    rows = spark.range(size.rows).withColumn("corpus", _corpus(size))
    post, number = F.col("corpus") == "posts", F.col("id")
    given = {
        "image_id": _hex(number),
        "corpus": F.col("corpus"),
        "source_key": F.concat(F.lit("file/"), number.cast("string")),
        "post_id": F.when(post, F.pmod(number, F.lit(size.posts)).cast("string")),
        "prompt_id": F.when(F.col("corpus") == "diffusion", F.concat(F.lit("p"), (number / 4).cast("bigint"))),
        "prompt": F.when(F.col("corpus") == "diffusion", _sentence("prompt", 4, 24)),
        "artist": F.when(F.col("corpus") == "art", F.concat(F.lit("a"), (_dice("artist") * 200).cast("int"))),
        "created_at": F.when(post, _created(F.pmod(number, F.lit(size.posts)))),
        "width": F.lit(512), "height": F.lit(512), "n_bytes": F.lit(1),
    }  # fmt: skip
    return _shaped(rows, "images", given)


def _created(post: Column) -> Column:
    """Return the time of a post, from its number."""
    dice = F.pmod(F.xxhash64(post, F.lit("month")), F.lit(1_000_003)) / 1_000_003
    return F.timestamp_seconds((START + F.sqrt(dice) * MONTHS * 30 * 86_400).cast("bigint"))


def _posts(spark: SparkSession, cfg: Config, size: Size) -> DataFrame:
    rows = spark.range(size.posts).withColumn("author", (F.pow(_dice("author"), 3) * 60_000).cast("int"))
    followers = F.pow(10.0, 1 + 4 * _dice("followers", "author"))
    likes = F.exp(0.3 * F.log(followers) + 2 * _dice("likes") - 1)
    given = {
        "post_id": F.col("id").cast("string"), "corpus": F.lit("posts"),
        "author_id": F.col("author").cast("string"), "author_followers": followers.cast("bigint"),
        "created_at": _created(F.col("id")), "text": _sentence("post", 5, 25),
        "hashtags": F.array(F.array(*map(F.lit, TAGS))[(_dice("tag") * len(TAGS)).cast("int")]),
        "like_count": likes.cast("bigint"), "possibly_sensitive": _dice("sensitive") < 0.05,
        "source": F.lit("web"), "collected_at": F.timestamp_seconds(F.lit(START + 29 * 30 * 86_400)),
    }  # fmt: skip
    return _shaped(rows, "posts", given)


def _sentence(salt: str, least: int, most: int) -> Column:
    """Return words, as many as the row says."""
    words = F.array(*map(F.lit, WORDS))
    count = least + (_dice(salt + "n") * (most - least)).cast("int")

    def word(place: Column) -> Column:
        return words[F.pmod(F.xxhash64(F.col("id"), place, F.lit(salt)), F.lit(len(WORDS))).cast("int")]

    return F.concat_ws(" ", F.transform(F.sequence(F.lit(1), count), word))


def _captions(spark: SparkSession, cfg: Config, size: Size) -> DataFrame:
    captioner = specs.captioner(cfg)
    given = {
        "image_id": _hex(F.col("id")), "model_id": F.lit(captioner.model_id if captioner else ""),
        "caption": _sentence("caption", 6, 12),
    }  # fmt: skip
    return _shaped(spark.range(size.rows), "captions", given)


def _scores(spark: SparkSession, cfg: Config, size: Size) -> DataFrame:
    rows = spark.range(size.rows).withColumn("kind", F.explode(F.array(F.lit("nsfw"), F.lit("aesthetic"))))
    score = F.when(F.col("kind") == "nsfw", F.pow(_dice("nsfw"), 4)).otherwise(4 + 2 * _dice("aesthetic"))
    given = {"image_id": _hex(F.col("id")), "model_id": F.col("kind"), "kind": F.col("kind"), "score": score}
    return _shaped(rows, "scores", given)


def _clusters(spark: SparkSession, cfg: Config, size: Size) -> DataFrame:
    rows = (
        spark.range(size.rows).withColumn("corpus", _corpus(size)).withColumn("post", F.pmod("id", F.lit(size.posts)))
    )
    rows = rows.withColumn("month", _month())
    themes = rows.where("corpus = 'posts'").select(
        "*", F.lit("themes").alias("clustering_id"), _theme().alias("cluster")
    )
    four = (_dice("origin") * 4).cast("int")
    both = themes.unionByName(rows.select("*", F.lit("origins").alias("clustering_id"), four.alias("cluster")))
    given = {
        "image_id": _hex(F.col("id")), "clustering_id": F.col("clustering_id"), "corpus": F.col("corpus"),
        "cluster": F.col("cluster"), "distance": _dice("distance"),
    }  # fmt: skip
    return _shaped(both, "clusters", given)


def _neighbours(spark: SparkSession, cfg: Config, size: Size) -> DataFrame:
    rows = spark.range(size.images).withColumn("reference", F.explode(F.array(*map(F.lit, REFERENCES))))
    rows = rows.withColumn("rank", F.explode(F.sequence(F.lit(1), F.lit(5))))
    similarity = 0.9 * _dice("similar", "id", "reference") - 0.01 * F.col("rank")
    given = {
        "image_id": _hex(F.col("id")), "reference": F.col("reference"), "rank": F.col("rank"),
        "neighbour_id": _hex(F.col("rank")), "similarity": similarity,
    }  # fmt: skip
    return _shaped(rows, "neighbours", given)


def _vectors(spark: SparkSession, cfg: Config, size: Size) -> DataFrame:
    encoder, world = specs.image_encoder(cfg), vectors_data.World(size.rows, size.dim)
    named = (encoder.model_id, encoder.preprocess_rev)

    def make(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                rows = vectors_data.block(world, number)
                ids = [number * vectors_data.BLOCK + n for n in range(len(rows))]
                columns = [
                    pa.array([f"{i:032x}" for i in ids]),
                    *(pa.array([name] * len(ids)) for name in named),
                    pa.array([corpus(i, size) for i in ids]),
                    pa.array([size.dim] * len(ids), pa.int32()),
                    arrow.lists(rows),
                ]
                yield pa.record_batch(columns, TABLES["embeddings"].column_names)

    blocks = vectors_data.blocks(world)
    return spark.range(0, blocks, 1, min(16, blocks)).mapInArrow(make, TABLES["embeddings"].schema)


def corpus(number: int, size: Size) -> str:
    """Return the corpus of an image, as `_corpus` does in Spark."""
    return "posts" if number < size.images else list(REFERENCES)[(number - size.images) // size.reference]


def _text_vectors(cfg: Config, size: Size, made: dict[str, DataFrame]) -> DataFrame:
    """Return a vector for every distinct post and prompt; captions are left out."""
    encoder = specs.text_encoder(cfg)
    if encoder is None:
        raise ValueError("models.image must have a text tower. Got one without.")
    there = texts(made["images"], made["posts"], made["captions"].limit(0))
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


def _shaped(rows: DataFrame, table: str, given: dict[str, Column]) -> DataFrame:
    """Return the table's columns as declared; those that are not given are null."""
    fields = TABLES[table].schema.fields
    return rows.select(*[given.get(f.name, F.lit(None)).cast(f.dataType).alias(f.name) for f in fields])


MAKERS = {
    "images": _images, "posts": _posts, "captions": _captions, "scores": _scores, "clusters": _clusters,
    "neighbours": _neighbours, "embeddings": _vectors,
}  # fmt: skip
