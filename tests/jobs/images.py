"""Small images, as rows of `images` and as a stored table, for tests of inference."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from PIL import Image
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.io.arrow import local_frame
from twigma_spark.io.tables import Store
from twigma_spark.schemas import IMAGES


def jpeg(seed: int, size: tuple[int, int] = (64, 64)) -> bytes:
    """Return a JPEG of a few coloured blocks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


def frame_of(spark: SparkSession, contents: list[bytes]) -> DataFrame:
    """Return rows of `images` in one corpus; the n-th is named n.jpg."""
    ids = [hashlib.md5(f"{n}".encode()).hexdigest() for n in range(len(contents))]  # noqa: S324 - an id
    rows = [
        (i, "posts", f"{n}.jpg", 64, 64, len(c), bytearray(c))
        for n, (i, c) in enumerate(zip(ids, contents, strict=True))
    ]
    schema = "image_id STRING, corpus STRING, source_key STRING, width INT, height INT, n_bytes BIGINT, content BINARY"
    given = [part.split()[0] for part in schema.split(", ")]
    return local_frame(spark, rows, schema).withColumns({
        c.name: F.lit(None).cast(c.type) for c in IMAGES.columns if c.name not in given
    })  # fmt: skip


def write_images(store: Store, contents: list[bytes]) -> list[str]:
    """Write the table `images` of one corpus, and return its ids."""
    frame = frame_of(store.spark, contents)
    store.write("images", frame, stage="ingest")
    return [row.image_id for row in frame.select("image_id").collect()]
