"""Arrow between Spark and NumPy: vectors as matrices, record batches to and from the driver as bytes.

Batches travel as rows that hold Arrow IPC streams, so that no image ever becomes a Python row. This needs
nothing but `mapInArrow` and works on shared clusters and Spark Connect as well. To the driver they travel as
Base64: Spark pickles bytes through a Java string, which took twice as long and several times the heap.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import BinaryType, StructField, StructType, TimestampType

from twigma_spark.errors import ModelError
from twigma_spark.io.ddl import quote_name

TEXT = "batch STRING"
BYTES = StructType([StructField("batch", BinaryType())])
# Size of a row on its way to the driver; larger ones only cost heap.
PIECE = 4 << 20
# Squares of elements outside these bounds leave the range of float32, and with them every norm and cosine.
SMALLEST, LARGEST = 1e-12, 1e15

NOT_A_LENGTH = "vector_length"
NOT_FINITE = "vector_not_finite"
ZERO = "vector_zero"

# pyarrow prepares its use of pandas at the first conversion, and not safely: of two threads that both make the first
# one, one fails ("Mask must be a sequence of booleans"). So it is made here.
pa.Array.from_pandas(pd.Series([None], dtype=object), mask=np.array([True]))


@dataclass(frozen=True)
class Checked:
    """Vectors and which of them can be used.

    Attributes:
        rows: (n, dim) float32; a row that cannot be used is 0.
        norms: length of each row (n,) float32; 1 where it cannot be used, so that it divides.
        reasons: why a row cannot be used (n,) object: one of the three reasons above, or None.
        usable: rows without a reason against them (n,).
    """

    rows: NDArray[np.float32]
    norms: NDArray[np.float32]
    reasons: NDArray[np.object_]
    usable: NDArray[np.bool_]


def check_vectors(column: pa.Array, dim: int | None = None) -> Checked:
    """Return a list column as vectors, each with its length and the reason against it.

    The same rule as `transforms.vectors.fault`, where the rows are at hand anyway. Nothing is copied where
    all rows are good.

    Args:
        column: lists of float32.
        dim: elements that a vector must have; None takes the most frequent length.
    """
    lengths = pa.compute.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    dim = dim or _most_frequent(lengths[lengths > 0])
    right = lengths == dim
    rows = _matrix_of(column, right, dim)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows)
        finite = squares <= LARGEST**2
        usable = right & finite & (squares >= SMALLEST**2)
    reasons = np.full(len(column), None, object)
    reasons[squares < SMALLEST**2] = ZERO
    reasons[~finite] = NOT_FINITE
    reasons[~right] = NOT_A_LENGTH
    if not usable.all():
        rows = np.where(usable[:, None], rows, np.float32(0))
    return Checked(rows, np.sqrt(np.where(usable, squares, np.float32(1))), reasons, usable)


def _most_frequent(lengths: NDArray[np.int32]) -> int:
    return int(np.bincount(lengths).argmax()) if lengths.size else 0


def _matrix_of(column: pa.Array, right: NDArray[np.bool_], dim: int) -> NDArray[np.float32]:
    if right.all():
        return matrix(column)
    rows = np.zeros((len(column), dim), np.float32)
    if right.any():
        rows[right] = matrix(column.filter(pa.array(right)))
    return rows


def matrix(column: pa.Array) -> NDArray[np.float32]:
    """Return a list column as a matrix (rows, dim) float32; a view of Arrow's memory where it has no nulls.

    Raises:
        ModelError: lists of different lengths.
    """
    flat = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    lengths = np.diff(column.offsets.to_numpy())
    if lengths.size == 0:
        return np.empty((0, 0), np.float32)
    if column.null_count or (lengths != lengths[0]).any():
        got = sorted(set(lengths.tolist()))
        raise ModelError(
            f"embeddings must be of one length. Got lengths {got} and {column.null_count} nulls. "
            "Filter by transforms.vectors.fault first."
        )
    return np.asarray(flat.reshape(len(column), int(lengths[0])), dtype=np.float32)


def ranks(column: pa.Array) -> NDArray[np.int64]:
    """Return the place of each value (n,) among the sorted values, from 0."""
    places = np.empty(len(column), np.int64)
    places[pa.compute.sort_indices(column).to_numpy()] = np.arange(len(column))
    return places


def lists(rows: NDArray[np.float32]) -> pa.Array:
    """Return a matrix (n, d) float32 as a list column."""
    offsets = np.arange(0, rows.size + 1, rows.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows.ravel()))


def stream(frame: DataFrame) -> Iterator[pa.RecordBatch]:
    """Yield the frame's Arrow batches on the driver, in any order and in bounded memory.

    A partition comes to the driver as one result and takes six times its size of heap on the way. The
    packed rows are therefore cut into partitions of `spark.sql.adaptive.advisoryPartitionSizeInBytes`, at a
    fifth more work; partitions of 130 MB had driven a driver of 1 GB out of memory. The next one is fetched
    while the caller works on one.
    """
    for row in frame.mapInArrow(pack, TEXT).hint("rebalance").toLocalIterator(prefetchPartitions=True):
        yield from pa.ipc.open_stream(b64decode(row[0]))


def stream_in_order(frame: DataFrame) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a sorted frame on the driver, in their order, one partition in memory after another."""
    for row in frame.mapInArrow(pack, TEXT).toLocalIterator(prefetchPartitions=True):
        yield from pa.ipc.open_stream(b64decode(row[0]))


def collect(frame: DataFrame) -> pa.Table:
    """Return a small frame as an Arrow table, its partitions computed at once and in their order."""
    rows = frame.mapInArrow(pack, TEXT).collect()
    batches = [batch for row in rows for batch in pa.ipc.open_stream(b64decode(row[0]))]
    return pa.Table.from_batches(batches) if batches else to_arrow_schema(frame.schema).empty_table()


def table(frame: DataFrame) -> pa.Table:
    """Return a frame of many small rows as an Arrow table, streamed: in any order, its heap bounded as `stream`'s."""
    batches = list(stream(frame))
    return pa.Table.from_batches(batches) if batches else to_arrow_schema(frame.schema).empty_table()


def equal_tables(batches: Iterable[pa.RecordBatch], schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    """Yield the rows of batches, in their order, as tables of `rows` rows each, the last one of fewer."""
    held, n = [], 0
    for batch in batches:
        held.append(pa.Table.from_batches([batch]).cast(schema))
        n += batch.num_rows
        while n >= rows:
            table = pa.concat_tables(held).combine_chunks()
            yield table.slice(0, rows)
            held, n = [table.slice(rows)], n - rows
    if n:
        yield pa.concat_tables(held).combine_chunks()


def frame_of(spark: SparkSession, batches: Iterable[pa.RecordBatch], schema: str) -> DataFrame:
    """Return a frame of Arrow batches from the driver.

    Args:
        spark: the session.
        batches: consumed one by one; only their compressed bytes are kept.
        schema: Spark DDL that fits the batches.
    """
    rows = [(to_bytes(batch),) for batch in batches]
    return local_frame(spark, rows, BYTES).mapInArrow(unpack, schema)


def local_frame(spark: SparkSession, rows: Iterable[Sequence[object]], schema: StructType | str) -> DataFrame:
    """Return a frame of few rows that are made on the driver; times without a zone are in UTC,
    and NaN becomes null.

    They are a part of its plan. Rows given to `createDataFrame` as a list would pass through a Python worker each
    time that the frame is computed.

    Args:
        spark: the session.
        rows: values in the order of the schema.
        schema: Spark type or DDL.
    """
    # A frame of DDL is never computed; it knows what the DDL means.
    fields = (schema if isinstance(schema, StructType) else spark.createDataFrame([], schema).schema).fields
    table = pd.DataFrame(list(rows), columns=range(len(fields)), dtype=object)
    if table.empty:
        nothing = ", ".join(f"CAST(NULL AS {f.dataType.simpleString()}) AS {quote_name(f.name)}" for f in fields)
        return spark.sql(f"SELECT {nothing} WHERE false")
    times = {n: "datetime64[us]" for n, field in enumerate(fields) if isinstance(field.dataType, TimestampType)}
    return spark.createDataFrame(table.astype(times), StructType(fields))


def to_bytes(batch: pa.RecordBatch, compression: str | None = "zstd") -> bytes:
    """Return a batch as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def pack(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield rows of Base64 that hold pieces of the batches; uncompressed, since vectors hardly shrink."""
    for batch in batches:
        rows = max(1, PIECE * batch.num_rows // max(batch.nbytes, 1))
        for start in range(0, batch.num_rows, rows):
            text = b64encode(to_bytes(batch.slice(start, rows), None))
            yield pa.record_batch([pa.array([text], pa.binary()).cast(pa.string())], ["batch"])


def unpack(packed: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the batches that rows of bytes hold."""
    for rows in packed:
        for held in rows.column(0):
            yield from pa.ipc.open_stream(held.as_buffer())
