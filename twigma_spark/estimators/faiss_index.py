"""FAISS indexes over unit vectors, in memory or in files that processes of a node share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from twigma_spark.errors import ModelError
from twigma_spark.estimators import torch_index
from twigma_spark.estimators.bf16_index import SAMPLE, Bf16Index
from twigma_spark.estimators.blas import faiss
from twigma_spark.estimators.inverted_lists import InvertedLists
from twigma_spark.io import arrow
from twigma_spark.io.artifacts import local_copy
from twigma_spark.io.url_files import Settings
from twigma_spark.models.device import cpu_features, multiplies_bf16_fast
from twigma_spark.vectors import unit_rows


@dataclass(frozen=True)
class NeighbourIndex:
    """An index over unit vectors.

    Attributes:
        vectors: the FAISS index (inner product); a flat one holds or maps the only copy of the vectors.
        ids: image ids, one a row of the index.
        places: place of each row's id among the sorted ids (n,) int64; orders ties.
        searcher: where a GPU is there, a copy of `vectors` on it that proposes candidates; else None.
        proposer: a copy of a flat index in bf16 that proposes candidates and proves them; else None.
        lists: the inverted lists of an index of whole vectors, which are searched in place of it; else None.
    """

    vectors: Any
    ids: pa.Array
    places: NDArray[np.int64]
    searcher: Any = None
    proposer: Bf16Index | None = None
    lists: InvertedLists | None = None

    @property
    def size(self) -> int:
        """Vectors in the index."""
        return int(self.vectors.ntotal)

    @property
    def exact(self) -> bool:
        """Whether it computes every cosine."""
        return isinstance(self.vectors, faiss.IndexFlat)


@dataclass(frozen=True)
class ShardFile:
    """Where an index lies and how it is searched: what travels to the workers.

    Attributes:
        path: of the file that `save` wrote, or its URL.
        checksum: of the file and its companion.
        nprobe: inverted lists searched; without a meaning to a flat index.
        cache: folder on a node's own disk for its copy; None reads the file where it is, and has one of the system's
            temporary files for what is at a URL.
        bf16: whether a CPU that multiplies bf16 fast searches by bf16 products; each process has a copy for that.
        settings: how S3 is reached.
    """

    path: str
    checksum: str
    nprobe: int = 1
    cache: str | None = None
    bf16: bool = False
    settings: Settings = field(default=(), repr=False)

    def load(self) -> NeighbourIndex:
        """Return the index, memory-mapped: processes of one node share the pages of one file."""
        index = load(local_copy(self.path, self.checksum, self.cache, self.settings), self.nprobe)
        return with_proposer(index) if self.bf16 and multiplies_bf16_fast(cpu_features()) else index


def build(references: DataFrame) -> NeighbourIndex:
    """Return an exact index over the references' vectors, scaled to length 1, in memory.

    Args:
        references: image_id, embedding; usable vectors of one length. Without rows the index is empty.
    """
    index, ids = faiss.IndexFlatIP(1), [pa.array([], pa.string())]
    for batch in arrow.stream(references.select("image_id", "embedding")):
        vectors = unit_rows(arrow.matrix(batch.column(1)))
        if not index.ntotal:
            index = faiss.IndexFlatIP(vectors.shape[1])
        check_length(index, vectors)
        index.add(vectors)
        ids.append(batch.column(0))
    return attach_ids(index, pa.concat_arrays(ids))


def attach_ids(index: Any, ids: pa.Array) -> NeighbourIndex:
    """Return a FAISS index with the ids of its rows; sharded over the GPUs where there are any."""
    return NeighbourIndex(index, ids, arrow.ranks(ids), _on_gpus(index), lists=_lists_of(index))


def with_proposer(index: NeighbourIndex) -> NeighbourIndex:
    """Return a flat index with its copy in bf16; one that is hardly more than a sample stays as it is."""
    few = index.size <= 2 * SAMPLE
    return index if few else replace(index, proposer=Bf16Index(vectors_of(index.vectors)))


def save(index: NeighbourIndex, path: Path) -> None:
    """Write an index to `path`, and its ids beside it as an Arrow file; a reader never sees half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = path.with_suffix(".arrow")
    table = pa.record_batch([index.ids, pa.array(index.places)], ["id", "place"])
    part = path.with_name(f"{path.name}.part")
    with pa.OSFile(f"{part}.ids", "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_batch(table)
    faiss.write_index(index.vectors, str(part))
    Path(f"{part}.ids").replace(ids)
    part.replace(path)


def load(path: str, nprobe: int = 1) -> NeighbourIndex:
    """Return the index of a file, memory-mapped: inverted lists stay on disk, flat vectors too."""
    table = pa.ipc.open_file(pa.memory_map(str(Path(path).with_suffix(".arrow")))).read_all()
    # Two flags for the two ways in which FAISS maps files: lists of inverted files, codes of flat ones.
    index = faiss.read_index(path, faiss.IO_FLAG_MMAP)
    if isinstance(index, faiss.IndexFlat):
        index = faiss.read_index(path, faiss.IO_FLAG_MMAP_IFC)
    else:
        probe(index, nprobe)
    places = table.column("place").combine_chunks().to_numpy(zero_copy_only=False)
    ids = table.column("id").combine_chunks()
    return NeighbourIndex(index, ids, places, _on_gpus(index), lists=_lists_of(index))


def probe(index: Any, nprobe: int) -> None:
    """Let an index with inverted lists search `nprobe` of them; others have none."""
    inverted = faiss.try_extract_index_ivf(index)
    if inverted is not None:
        inverted.nprobe = min(nprobe, inverted.nlist)


def check_length(index: Any, vectors: NDArray[np.float32]) -> None:
    """Raise ModelError where the vectors (n, d) are of another length than the index's."""
    if vectors.shape[1] != index.d:
        raise ModelError(
            f"queries and references must be of one length. Got {vectors.shape[1]} beside {index.d}; "
            "take both from one model with transforms.vectors.of_model."
        )


def _lists_of(index: Any) -> InvertedLists | None:
    # Other classes under it keep their lists in another way.
    return InvertedLists(index) if type(index) is faiss.IndexIVFFlat else None


def _on_gpus(index: Any) -> Any:
    """Return a copy on all GPUs, sharded over them, or None where there is none.

    FAISS built for GPUs makes it; without that, torch does for a flat index.
    """
    if getattr(faiss, "get_num_gpus", int)():
        options = faiss.GpuMultipleClonerOptions()
        options.shard = True
        return faiss.index_cpu_to_all_gpus(index, options)
    if not isinstance(index, faiss.IndexFlat) or not index.ntotal or not (devices := torch_index.cuda_devices()):
        return None
    return torch_index.TorchFlatIndex(vectors_of(index), devices)


def vectors_of(index: Any) -> NDArray[np.float32]:
    """Return the vectors (n, d) of a flat FAISS index, where they lie: good as long as the index is."""
    return np.asarray(faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d).reshape(index.ntotal, index.d))
