"""Parquet files and Delta tables that were made elsewhere, as frames."""

from __future__ import annotations

from pathlib import Path

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as t

from twigma_spark.errors import CorpusError
from twigma_spark.io.local_files import is_local, is_table_name
from twigma_spark.io.session import glob_files


def read_rows(spark: SparkSession, corpus: str, path: str) -> DataFrame:
    """Return the rows of a Parquet file, of a folder of them, of a Delta table or of a table of the catalog.

    Args:
        spark: the session.
        corpus: its name, for the error.
        path: a file, a folder, a URL, or catalog.schema.table.

    Raises:
        CorpusError: there is no such table.
    """
    try:
        if is_table_name(path):
            return spark.read.table(path)
        if is_delta(spark, path):
            return spark.read.format("delta").load(path)
        # Folders named key=value are columns, which Spark finds only where it does not look into all folders.
        plain = is_local(path) and not any("=" in entry.name for entry in Path(path).glob("*"))
        return spark.read.option("recursiveFileLookup", plain).option("pathGlobFilter", "*.parquet").parquet(path)
    except AnalysisException as error:
        raise CorpusError(
            f"corpus '{corpus}': a table must be a Parquet file, a folder with .parquet files, a Delta table, or "
            f"one of the catalog (catalog.schema.table). Got {path!r}: {str(error).splitlines()[0][:200]}"
        ) from error


def is_delta(spark: SparkSession, path: str) -> bool:
    """Return whether there is a Delta table at a path or a URL."""
    if is_local(path):
        return (Path(path) / "_delta_log").is_dir()
    return bool(len(glob_files(spark, path.rstrip("/") + "/_delta_log")))


def text_of(frame: DataFrame, name: str | None) -> Column:
    """Return a column as text, a field of a structure by `column.field`; of a list the first; null where it lacks it.

    Args:
        frame: the rows.
        name: of the column as a person wrote it; case counts, as in CSV.
    """
    kind = type_of(frame, name)
    if name is None or kind is None:
        return F.lit(None).cast("string")
    column = F.col(name if name not in frame.columns else f"`{name}`")
    if isinstance(kind, t.ArrayType):
        return F.get(column, 0).cast("string")
    return F.to_json(column) if isinstance(kind, t.StructType) else column.cast("string")


def type_of(frame: DataFrame, name: str | None) -> t.DataType | None:
    """Return the type of a column, or of a structure's field by `column.field`; None where there is none."""
    if name is None:
        return None
    kinds = {field.name: field.dataType for field in frame.schema.fields}
    if name in kinds:
        return kinds[name]
    head, _, rest = name.partition(".")
    inner = kinds.get(head)
    return inner[rest].dataType if isinstance(inner, t.StructType) and rest in inner.names else None
