"""The SQL of declared tables, with names and texts quoted."""

from __future__ import annotations

from twigma_spark.schemas import Column, Table

CHECKS = "delta.constraints."


def quote_name(name: str) -> str:
    """Return a dotted name with each part in backquotes."""
    return ".".join(f"`{part}`" for part in name.split("."))


def text(value: str) -> str:
    """Return a text as a literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def create(table: Table, location: str) -> str:
    """Return the statement that creates a table where it is missing."""
    columns = ", ".join(_column(each, each.name in table.key) for each in table.columns)
    partitions = f" PARTITIONED BY ({', '.join(table.partition_by)})" if table.partition_by else ""
    # As properties of the new table the checks cost no commit of their own.
    checks = ", ".join(f"'{CHECKS}{name}' = {text(rule)}" for name, rule in table.checks.items())
    return (
        f"CREATE TABLE IF NOT EXISTS {location} ({columns}) USING DELTA{partitions} "
        f"COMMENT {text(table.comment)}{f' TBLPROPERTIES ({checks})' if checks else ''}"
    )


def add_columns(columns: list[Column], location: str) -> str:
    """Return the statement that adds columns; old rows have null there."""
    return f"ALTER TABLE {location} ADD COLUMNS ({', '.join(_column(each, False) for each in columns)})"


def allow_null(column: str, location: str) -> str:
    """Return the statement that lets a column hold nulls."""
    return f"ALTER TABLE {location} ALTER COLUMN {quote_name(column)} DROP NOT NULL"


def _column(column: Column, required: bool) -> str:
    return f"`{column.name}` {column.type}{' NOT NULL' if required else ''} COMMENT {text(column.comment)}"
