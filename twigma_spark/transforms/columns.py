"""Columns of a declared table for rows that have only some of them; a condition that Parquet can use."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

# Values that Spark hands to Parquet one by one (the setting inFilterThreshold of `io.session`).
LISTED = 128


def fill_columns(rows: DataFrame, schema: StructType) -> DataFrame:
    """Return the rows with the columns of a schema, in its order; null where they lack one."""
    return rows.select(
        *(
            F.col(f.name) if f.name in rows.columns else F.lit(None).cast(f.dataType).alias(f.name)
            for f in schema.fields
        )
    )


def is_one_of(column: str, values: Iterable[str]) -> Column:
    """Return whether a column has one of the values, from none to some thousands.

    Of a long list Parquet gets only the least and the greatest value. Here it gets all, in groups of neighbouring
    ones, and reads only those pages of its files that can hold one.
    """
    ordered = sorted(set(values))
    groups = [ordered[start : start + LISTED] for start in range(0, len(ordered), LISTED)]
    return reduce(or_, (F.col(column).isin(group) for group in groups), F.lit(False))
