"""A store with a table of small images, for tests of inference."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from PIL import Image
from pyspark.sql import functions as F

from twigma_spark.io.tables import Store
from twigma_spark.schemas import IMAGES


def jpeg(seed: int, side: int = 64) -> bytes:
    """Return a JPEG of a few coloured blocks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(blocks).resize((side, side), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


def write_images(store: Store, contents: list[bytes]) -> list[str]:
    """Write the table `images` of one corpus, and return its ids."""
    ids = [hashlib.md5(f"{n}".encode()).hexdigest() for n in range(len(contents))]  # noqa: S324 - an id
    rows = [(i, "posts", f"{n}.jpg", 64, 64, bytearray(c)) for n, (i, c) in enumerate(zip(ids, contents, strict=True))]
    schema = "image_id STRING, corpus STRING, source_key STRING, width INT, height INT, content BINARY"
    given = [part.split()[0] for part in schema.split(", ")]
    frame = store.spark.createDataFrame(rows, schema).withColumns({
        c.name: F.lit(None).cast(c.type) for c in IMAGES.columns if c.name not in given
    })  # fmt: skip
    store.write("images", frame, stage="ingest")
    return ids
