"""Parquet files of an atlas: rows in their places, in row groups of one size, counted while they are written."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twigma_spark.errors import SchemaError
from twigma_spark.io import atlas_files
from twigma_spark.io.atlas_files import write_rows

SCHEMA = pa.schema([("row", pa.int32()), ("image", pa.binary()), ("hidden", pa.bool_()), ("corpus", pa.string())])


def batch(rows: list[int]) -> pa.RecordBatch:
    columns = [rows, [None if r == 1 else b"jpeg" for r in rows], [r > 2 for r in rows], ["posts"] * len(rows)]
    return pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


def test_rows_are_grouped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atlas_files, "ROW_GROUP", 2)
    written = write_rows([batch([0]), batch([1, 2, 3]), batch([4])], tmp_path / "a.parquet", SCHEMA)
    assert (written.rows, written.drawn, written.hidden) == (5, 4, 2)
    file = pq.ParquetFile(tmp_path / "a.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [2, 2, 1]
    assert file.schema_arrow.names == ["image", "hidden", "corpus"]
    assert written.n_bytes == (tmp_path / "a.parquet").stat().st_size


@pytest.mark.parametrize("numbers", [[0, 2], [1, 2], [0, 0, 1], [1, 0]])
def test_a_row_in_another_place_than_its_number_is_refused(tmp_path: Path, numbers: list[int]) -> None:
    with pytest.raises(SchemaError, match="numbered from 0 without a gap"):
        write_rows([batch(numbers)], tmp_path / "a.parquet", SCHEMA)


def test_no_rows_make_an_empty_file(tmp_path: Path) -> None:
    assert write_rows([], tmp_path / "a.parquet", SCHEMA).rows == 0
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 0
