"""Columns of a declared table, for rows that have only some of them."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType


def fill_columns(rows: DataFrame, schema: StructType) -> DataFrame:
    """Return the rows with the columns of a schema, in its order; null where they lack one."""
    return rows.select(
        *(
            F.col(f.name) if f.name in rows.columns else F.lit(None).cast(f.dataType).alias(f.name)
            for f in schema.fields
        )
    )
