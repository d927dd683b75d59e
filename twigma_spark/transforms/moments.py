"""Moments of the corpora in one pass over the vectors: count, sum and outer product by corpus and block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.io import arrow
from twigma_spark.io.frames import broadcast_few
from twigma_spark.stats.moments import Moments, moments
from twigma_spark.stats.sample import Floats
from twigma_spark.transforms.samples import group
from twigma_spark.vectors import unit_rows

# Images whose blocks are sent to every task, 200 MB.
FEW = 2_000_000
SCHEMA = "corpus STRING, block INT, n BIGINT, total ARRAY<DOUBLE>, outer ARRAY<DOUBLE>"


def block_moments(vectors: DataFrame, images: DataFrame, blocks: int, seed: int) -> DataFrame:
    """Return corpus, block, n, total (d) and the upper triangle of the outer products (d (d + 1) / 2).

    A block is a random part of a corpus that keeps the images of one post, prompt or artist together. Rows
    are shuffled by corpus and block first, so that each pair comes out once: a partition's own sums over all
    blocks would be larger than its vectors. The images' blocks go to the vectors, so that these are shuffled once
    and not by their ids too, unless there are more than `FEW`. Vectors are scaled to unit length.

    Args:
        vectors: image_id, corpus, embedding; usable vectors of one length.
        images: rows of the table `images`.
        blocks: of a corpus.
        seed: another seed makes other blocks.
    """
    block = F.pmod(F.xxhash64("group", F.lit(seed)), F.lit(blocks)).cast("int")
    about = images.select("image_id", group().alias("group")).select("image_id", block.alias("block"))
    parted = vectors.join(broadcast_few(about, FEW), "image_id").select("corpus", "block", "embedding")
    return parted.repartition("corpus", "block").mapInArrow(_sum_moments, SCHEMA)


def triangle(moments: Moments) -> Floats:
    """Return the upper triangle of the outer products (d (d + 1) / 2,), row by row."""
    return np.asarray(moments.outer[np.triu_indices(len(moments.total))])


def from_triangle(n: int, total: Floats, upper: Floats) -> Moments:
    """Return the moments whose outer products have this upper triangle."""
    outer = np.zeros((len(total), len(total)))
    outer[np.triu_indices(len(total))] = upper
    return Moments(n, total, outer + np.triu(outer, 1).T)


def _sum_moments(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the moments of each corpus and block of a partition."""
    sums: dict[tuple[str, int], Moments] = {}
    for batch in batches:
        if not batch.num_rows:
            continue
        corpora = batch.column(0).to_numpy(zero_copy_only=False).astype("U")
        blocks, vectors = batch.column(1).to_numpy(), unit_rows(arrow.matrix(batch.column(2)))
        for corpus, block in set(zip(corpora.tolist(), blocks.tolist(), strict=True)):
            part = moments(vectors[(corpora == corpus) & (blocks == block)])
            sums[corpus, block] = sums[corpus, block] + part if (corpus, block) in sums else part
    for (corpus, block), part in sums.items():
        columns = [[corpus], [block], [part.n], [part.total], [triangle(part)]]
        types = [pa.string(), pa.int32(), pa.int64(), pa.list_(pa.float64()), pa.list_(pa.float64())]
        arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
        yield pa.record_batch(arrays, ["corpus", "block", "n", "total", "outer"])
