"""Files of a release: equal rows make equal bytes, parts end where they must, and checksums are those of sha256sum."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from twigma_spark.errors import ConfigError
from twigma_spark.io import release_files
from twigma_spark.io.release_files import read_manifest, write_parts, write_sums

SCHEMA = pa.schema([("id", pa.string()), ("n", pa.int64())])
ROWS = pa.table({"id": [f"{i:05d}" for i in range(1000)], "n": list(range(1000))}, schema=SCHEMA)


def batches(size: int) -> Iterator[pa.RecordBatch]:
    yield from ROWS.to_batches(max_chunksize=size)


def written(folder: Path, size: int, rows_a_file: int | None = None) -> dict[str, bytes]:
    folder.mkdir()
    parts = write_parts(batches(size), folder, SCHEMA, rows_a_file)
    content = {part.name: (folder / part.name).read_bytes() for part in parts}
    assert {part.name: part.sha256 for part in parts} == {
        name: hashlib.sha256(data).hexdigest() for name, data in content.items()
    }
    return content


def test_equal_rows_make_equal_bytes_whatever_the_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_files, "ROW_GROUP", 64)
    one, other = written(tmp_path / "a", 1000), written(tmp_path / "b", 7)
    assert one == other and set(one) == {"data/images-00001.csv", "data/images-00001.parquet"}
    file = pq.ParquetFile(tmp_path / "b" / "data/images-00001.parquet")
    assert file.read().equals(ROWS) and file.metadata.num_row_groups == -(-1000 // 64)


def test_parts_hold_no_more_rows_than_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_files, "ROW_GROUP", 64)
    written(tmp_path / "a", 33, rows_a_file=300)
    parts = sorted((tmp_path / "a" / "data").glob("*.csv"))
    tables = [pyarrow.csv.read_csv(p, convert_options=pyarrow.csv.ConvertOptions(column_types=SCHEMA)) for p in parts]
    assert len(parts) == 4 and all(table.num_rows <= 300 for table in tables)
    assert pa.concat_tables(tables).equals(ROWS)


def test_a_csv_computes_nothing_in_a_spreadsheet_and_parquet_is_as_it_is(tmp_path: Path) -> None:
    texts = ["=1+1", "'=1", "-", "a=1", None, "\t@x"]
    rows = pa.table({"id": texts, "n": [-1, 2, 3, 4, 5, 6]}, schema=SCHEMA)
    write_parts(rows.to_batches(), tmp_path, SCHEMA, None)
    assert (tmp_path / "data/images-00001.csv").read_text().splitlines()[1:] == [
        '"\'=1+1",-1', '"\'\'=1",2', '"\'-",3', '"a=1",4', ",5", '"\'\t@x",6',
    ]  # fmt: skip
    assert pq.read_table(tmp_path / "data/images-00001.parquet").equals(rows)


def test_no_rows_are_files_with_a_header(tmp_path: Path) -> None:
    parts = write_parts([], tmp_path, SCHEMA, None)
    assert [part.rows for part in parts] == [0, 0]
    assert pq.read_table(tmp_path / "data/images-00001.parquet").schema.equals(SCHEMA)


def test_sums_are_those_of_sha256sum(tmp_path: Path) -> None:
    written(tmp_path / "a", 500)
    write_sums(tmp_path / "a")
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    assert subprocess.run(check, cwd=tmp_path / "a", capture_output=True).returncode == 0
    (tmp_path / "a" / "data/images-00001.csv").write_text("x")
    assert subprocess.run(check, cwd=tmp_path / "a", capture_output=True).returncode == 1


@pytest.mark.parametrize("text", [None, "{", "[]", '{"files": [{"name": "data/gone.csv"}]}'])
def test_a_folder_that_is_no_whole_release_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "release.json").write_text(text)
    with pytest.raises(ConfigError, match="a release must"):
        read_manifest(tmp_path)
