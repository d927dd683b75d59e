"""Vectors with cluster structure in Delta, with exact and near copies planted, made by the bench itself.

Ten themes of twenty parts each; within a part the spread falls off over the axes as it does in embeddings (some
fifty effective dimensions). Rows are made in blocks that depend on the seed and the number of the block only.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from twigma_spark.io import arrow

BLOCK = 1000
THEMES, PARTS = 10, 20
# Of a vector's squared length: 1 its theme, 1 its part, 8 its own; so that k=10 leaves a distance near 0.7.
SPREAD, FALL = 8.0**0.5, 0.45
# A near copy is its source and this much noise: a cosine of 0.985.
NOISE = 0.175
SCHEMA = "image_id STRING, corpus STRING, embedding ARRAY<FLOAT>"


@dataclass(frozen=True)
class World:
    """What is made; `near` and `exact` copies are among the rows."""

    rows: int
    dim: int
    seed: int = 1
    near: int = 0
    exact: int = 0


def table(spark: SparkSession, folder: Path, world: World) -> DataFrame:
    """Return the world's Delta table, made where it is not there yet."""
    said = folder.with_suffix(".json")
    if not said.exists() or json.loads(said.read_text()) != asdict(world):
        shutil.rmtree(folder, ignore_errors=True)

        def make(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                for number in batch.column(0).to_pylist():
                    yield _batch(world, number)

        made = spark.range(0, blocks(world), 1, min(16, blocks(world))).mapInArrow(make, SCHEMA)
        made.write.format("delta").option("parquet.enable.dictionary", "false").save(str(folder))
        said.write_text(json.dumps(asdict(world)))
    return spark.read.format("delta").load(str(folder))


def blocks(world: World) -> int:
    """Return the number of blocks; the last one may be shorter."""
    return -(-world.rows // BLOCK)


def block(world: World, number: int) -> NDArray[np.float32]:
    """Return the vectors of a block (at most 1,000, d); its last ones are copies of its first ones."""
    fixed = np.random.default_rng(world.dim)
    themes = _unit(fixed.standard_normal((THEMES, world.dim)))
    parts = _unit(fixed.standard_normal((THEMES * PARTS, world.dim)))
    scale = np.arange(1, world.dim + 1) ** -FALL
    scale *= SPREAD / np.linalg.norm(scale)
    rng = np.random.default_rng([world.seed, number])
    n = min(BLOCK, world.rows - number * BLOCK)
    own = rng.integers(0, len(parts), n)
    rows = _unit(themes[own // PARTS] + parts[own] + scale * rng.standard_normal((n, world.dim)))
    near, exact = (_share(copies, world, number) for copies in (world.near, world.exact))
    noise = _unit(rng.standard_normal((near, world.dim)))
    rows[n - near :] = _unit(rows[:near] + NOISE * noise)
    rows[n - near - exact : n - near] = rows[near : near + exact]
    return rows.astype(np.float32)


def planted(world: World, kind: str) -> set[tuple[str, str]]:
    """Return the pairs of ids, the lesser one first, of the "near" or the "exact" copies."""
    pairs = set()
    for number in range(blocks(world)):
        n, start = min(BLOCK, world.rows - number * BLOCK), number * BLOCK
        near, exact = (_share(copies, world, number) for copies in (world.near, world.exact))
        sources = range(near) if kind == "near" else range(near, near + exact)
        first = n - near if kind == "near" else n - near - exact - near
        pairs |= {_pair(name(start + s), name(start + first + s)) for s in sources}
    return pairs


def name(number: int) -> str:
    """Return the id of a row; ids are in no order that helps."""
    return hashlib.blake2b(number.to_bytes(8, "big"), digest_size=16).hexdigest()


def array(frame: DataFrame, rows: int, dim: int) -> NDArray[np.float32]:
    """Return the vectors of a frame (rows, dim) on the driver."""
    found, at = np.empty((rows, dim), np.float32), 0
    for batch in arrow.stream(frame.select("embedding")):
        found[at : at + batch.num_rows] = arrow.matrix(batch.column(0))
        at += batch.num_rows
    return found[:at]


def _batch(world: World, number: int) -> pa.RecordBatch:
    rows = block(world, number)
    ids = [name(number * BLOCK + n) for n in range(len(rows))]
    return pa.record_batch(
        [pa.array(ids), pa.array(["bench"] * len(ids)), arrow.lists(rows)], ["image_id", "corpus", "embedding"]
    )


def _share(copies: int, world: World, number: int) -> int:
    """Return how many of the world's copies are in a block; the last, shorter one has none."""
    whole = max(1, world.rows // BLOCK)
    return 0 if number >= whole else copies * (number + 1) // whole - copies * number // whole


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)
