"""Index files: built once from a reference corpus, kept with a manifest, used again while that holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.errors import ModelError
from twigma_spark.estimators.blas import faiss
from twigma_spark.estimators.drawing import draw_rows
from twigma_spark.estimators.faiss_index import ShardFile, attach_ids, check_length, save
from twigma_spark.estimators.index_types import Choice
from twigma_spark.io import arrow
from twigma_spark.io.artifacts import Artifact, ArtifactFolder, manifest, reusable
from twigma_spark.vectors import unit_rows

KIND = "faiss_index"
# Vectors that an index with inverted lists or quantisers is trained on, a list.
TRAINING = 64
MOST_TRAINING = 262_144
# Shards of one folder.
FOLDER = 100


@dataclass(frozen=True)
class IndexSource:
    """What an index is made from.

    Attributes:
        name: of the reference corpus.
        vectors: image_id, embedding; usable vectors of one length.
        rows: how many.
        facts: corpus, versions of the tables, model and metric: what a manifest says besides the type.
        seed: of the training sample.
    """

    name: str
    vectors: DataFrame
    rows: int
    facts: Mapping[str, Any]
    seed: int


def prepare_index(
    source: IndexSource, choice: Choice, folder: ArtifactFolder, known: Iterable[Artifact]
) -> tuple[list[Artifact], bool]:
    """Return the artifacts of the index's shards, and whether they were there already.

    Args:
        source: what it is made from.
        choice: its type.
        folder: of the files.
        known: artifacts of earlier runs.
    """
    facts = {**source.facts, "rows": source.rows, "factory": choice.factory, "seed": source.seed}
    count = max(1, ceil(source.rows / choice.shard_rows))
    wanted = [manifest({**facts, "shard": n, "shards": count}) for n in range(count)]
    names = [f"neighbours/{source.name}/{n}" for n in range(count)]
    by_name: dict[str, list[Artifact]] = {}
    for each in known:
        by_name.setdefault(each.artifact_id, []).append(each)
    there = [reusable(by_name.get(name, ()), name, text, folder) for name, text in zip(names, wanted, strict=True)]
    if all(there):
        return [artifact for artifact in there if artifact is not None], True
    made = _write_shards(source, choice, folder.local, count)
    return [folder.publish(name, KIND, path, text) for name, path, text in zip(names, made, wanted, strict=True)], False


def shard_files(artifacts: Iterable[Artifact], nprobe: int, folder: ArtifactFolder) -> list[ShardFile]:
    """Return the artifacts of a folder as files to search."""
    return [ShardFile(a.path, a.checksum, nprobe, folder.cache, settings=folder.settings) for a in artifacts]


def _write_shards(source: IndexSource, choice: Choice, folder: Path, count: int) -> list[Path]:
    """Return the files of the shards; one shard at a time is in memory."""
    shards = _Shards(_train_index(source, choice), [_path(folder, source.name, n, count) for n in range(count)])
    room = ceil(source.rows / count)
    for batch in arrow.stream(source.vectors.select("image_id", "embedding")):
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, max(1, room - shards.held))
            shards.add(part)
            start += part.num_rows
            if shards.held >= room:
                shards.close()
    while shards.open:
        shards.close()
    return shards.paths


def _path(folder: Path, name: str, number: int, count: int) -> Path:
    """Return where a shard lies; many are in folders of `FOLDER`, in which a file's companions are soon found."""
    place = folder if count <= FOLDER else folder / name / f"{number // FOLDER:04d}"
    return place / f"{name}-{number}.faiss"


class _Shards:
    """Writes one shard after another; `held` vectors are in the one that is being filled."""

    def __init__(self, empty: Any, paths: list[Path]) -> None:
        self.empty, self.paths, self.done = empty, paths, 0
        self._begin()

    @property
    def open(self) -> bool:
        """Whether a shard is still to be written."""
        return self.done < len(self.paths)

    @property
    def held(self) -> int:
        """Vectors in the shard that is being filled."""
        return int(self.index.ntotal)

    def add(self, batch: pa.RecordBatch) -> None:
        """Add vectors (image_id, embedding) to the shard."""
        vectors = unit_rows(arrow.matrix(batch.column(1)))
        check_length(self.index, vectors)
        self.index.add(vectors)
        self.ids.append(batch.column(0))

    def close(self) -> None:
        """Write the shard and begin the next one."""
        save(attach_ids(self.index, pa.concat_arrays(self.ids)), self.paths[min(self.done, len(self.paths) - 1)])
        self.done += 1
        self._begin()

    def _begin(self) -> None:
        self.index, self.ids = faiss.clone_index(self.empty), [pa.array([], pa.string())]


def _train_index(source: IndexSource, choice: Choice) -> Any:
    """Return an empty index of the chosen type, trained where it has to be.

    Raises:
        ModelError: a factory string that FAISS does not know.
    """
    dim = _dim(source.vectors)
    try:
        index = faiss.index_factory(dim, choice.factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise ModelError(
            f"neighbours.index.factory must be a string of FAISS's index_factory for vectors of {dim} elements. "
            f"Got {choice.factory!r}: {str(error).splitlines()[0]}"
        ) from error
    if not index.is_trained:
        inverted = faiss.try_extract_index_ivf(index)
        lists = inverted.nlist if inverted is not None else 256
        index.train(_sample(source, min(MOST_TRAINING, TRAINING * lists)))
    return index


def _dim(vectors: DataFrame) -> int:
    first = vectors.select(F.size("embedding").alias("dim")).first()
    return int(first["dim"]) if first is not None else 1


def _sample(source: IndexSource, wanted: int) -> NDArray[np.float32]:
    """Return unit vectors of about `wanted` references, the same for a seed whatever the partitioning."""
    some = draw_rows(source.vectors, 1.1 * wanted / max(source.rows, 1), source.seed)
    # Streamed: 800 MB at 768 elements are more than Spark lets a job bring to the driver.
    batches = list(arrow.stream(some.select("image_id", "embedding")))
    place = arrow.ranks(pa.concat_arrays([batch.column(0) for batch in batches]))
    sample, at = np.empty((len(place), arrow.matrix(batches[0].column(1)).shape[1]), np.float32), 0
    for batch in batches:
        sample[place[at : at + batch.num_rows]] = unit_rows(arrow.matrix(batch.column(1)))
        at += batch.num_rows
    return sample
