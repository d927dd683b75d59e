"""Files of an atlas: one Parquet file whose rows are numbered by their place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from twigma_spark.errors import SchemaError
from twigma_spark.io import arrow

# Rows of a row group: 16 MB of pictures at most.
ROW_GROUP = 8_192
# Columns of few distinct values.
REPEATED = ["corpus", "theme", "copy_candidate_of"]


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        rows: in the file.
        drawn: of them with a picture.
        hidden: of those with a picture, whose is not shown unasked.
        n_bytes: size of the file.
    """

    rows: int
    drawn: int
    hidden: int
    n_bytes: int


def write_rows(batches: Iterable[pa.RecordBatch], path: Path, schema: pa.Schema) -> Written:
    """Write rows in their order and return what they are; only those of one row group are held in memory.

    Args:
        batches: with a column `row`, which is left out of the file.
        path: the file.
        schema: of the batches.

    Raises:
        SchemaError: `row` is not the place of a row, from 0.
    """
    kept = schema.remove(schema.get_field_index("row"))
    rows = drawn = hidden = 0
    with pq.ParquetWriter(path, kept, compression="zstd", use_dictionary=REPEATED) as writer:
        for table in arrow.equal_tables(batches, schema, ROW_GROUP):
            if not np.array_equal(table["row"].to_numpy(), np.arange(rows, rows + table.num_rows)):
                raise SchemaError(
                    f"the rows of an atlas must be numbered from 0 without a gap. Got others at {rows:,}."
                )
            writer.write_table(table.select(kept.names))
            rows += table.num_rows
            drawn += table.num_rows - table["image"].null_count
            hidden += int(pc.sum(pc.and_(table["hidden"], pc.is_valid(table["image"]))).as_py() or 0)
    return Written(rows, drawn, hidden, path.stat().st_size)
