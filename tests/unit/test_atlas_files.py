"""Parquet files of an atlas: rows in their places, in row groups of one size, counted while they are written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twigma_spark import atlas
from twigma_spark.atlas import ATLAS, NEIGHBOURS, open_command
from twigma_spark.errors import SchemaError
from twigma_spark.io import atlas_files
from twigma_spark.io.atlas_files import write_rows
from twigma_spark.models.small_jpegs import MOST_BYTES
from twigma_spark.transforms.atlas import LONGEST_TEXT

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


@pytest.mark.parametrize(("first", "last", "most"), [(0x4E00, 0x9FFF, 3_000), (0x20, 0x7E, 2_500)])
def test_a_million_rows_stay_under_the_stated_size(tmp_path: Path, first: int, last: int, most: int) -> None:
    """Rows of the largest picture, text and neighbours, of random values, which do not compress."""
    dice, n = np.random.default_rng(0), 2_000
    letters = dice.integers(first, last, (n, LONGEST_TEXT))
    near = pa.struct([("ids", pa.list_(pa.int32())), ("distances", pa.list_(pa.float32()))])
    columns = {
        "row": pa.array(range(n), pa.int32()),
        **{name: pa.array(dice.random(n), pa.float32()) for name in ("x", "y", "nsfw", "reward", "importance")},
        "image": [dice.bytes(MOST_BYTES) for _ in range(n)],
        "caption": ["".join(map(chr, row)) for row in letters],
        "corpus": pa.array(["posts"] * n),
        "theme": pa.array([f"{i} · cat, dog, sun" for i in dice.integers(0, 10, n)]),
        "date": pa.array(dice.integers(0, 2**50, n), pa.timestamp("us")),
        "likes": dice.integers(0, 2**40, n),
        "hidden": dice.random(n) > 0.5,
        "neighbors": pa.array(
            [{"ids": dice.integers(0, 10**6, NEIGHBOURS), "distances": dice.random(NEIGHBOURS)} for _ in range(n)], near
        ),
        "image_id": [dice.bytes(16).hex() for _ in range(n)],
        "file": [f"{dice.bytes(20).hex()}/{dice.bytes(20).hex()}.jpg" for _ in range(n)],
    }
    table = pa.table(columns)
    written = write_rows(table.to_batches(), tmp_path / ATLAS, table.schema)
    assert MOST_BYTES < written.n_bytes / n < most


def test_a_browser_does_not_hold_a_large_atlas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rows([batch([0])], tmp_path / ATLAS, SCHEMA)
    assert "--duckdb" not in open_command(tmp_path)
    monkeypatch.setattr(atlas, "SERVED", 10)
    assert open_command(tmp_path).endswith(" --text caption --duckdb server")
