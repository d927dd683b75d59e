"""Leases as rows of a Delta table: where only Delta's commits tell who was first, such as in a catalog."""

from __future__ import annotations

from pyspark.sql import functions as F

from twigma_spark.io import ddl
from twigma_spark.io.lease import FOLDER, Found
from twigma_spark.io.tables import Store, is_conflict, is_missing, on_conflict


class TableLeases:
    """Leases in a table beside those of a store: a MERGE that finds the number is told so, or conflicts.

    Not for S3 outside a catalog: there Delta itself cannot tell who was first.

    Args:
        store: the store.
    """

    expires = 600.0  # each heartbeat is a commit, so there are fewer

    def __init__(self, store: Store) -> None:
        self.spark, self.where = store.spark, store.location(FOLDER)
        self._schema = ddl.quote_name(store.root) if store.in_catalog else None

    def numbers(self) -> list[int]:
        """Return the numbers of the leases that there are."""
        try:
            return [row["number"] for row in self.spark.read.table(self.where).select("number").collect()]
        except Exception as error:
            if is_missing(error):
                return []
            raise

    def read(self, number: int) -> Found | None:
        """Return a lease, or None where there is none; its age is by the clocks of the drivers."""
        age = F.expr("unix_seconds(now()) - unix_seconds(renewed)").alias("age")
        rows = self.spark.read.table(self.where).where(F.col("number") == number).select("content", age).collect()
        return Found(rows[0]["content"], float(rows[0]["age"])) if rows else None

    def create(self, number: int, content: str) -> bool:
        """Return whether the lease was made: False where there was one, whoever made it."""
        self._create_table()
        row = f"SELECT {int(number)}L AS number, {ddl.text(content)} AS content, now() AS renewed"
        try:
            done = self.spark.sql(
                f"MERGE INTO {self.where} old USING ({row}) new ON old.number = new.number "
                "WHEN NOT MATCHED THEN INSERT *"
            )
            return int(done.collect()[0]["num_inserted_rows"]) == 1
        except Exception as error:
            if is_conflict(error):
                return False
            raise

    @on_conflict
    def renew(self, number: int, content: str) -> None:
        """Give the holder's own lease the time of now."""
        self.spark.sql(f"UPDATE {self.where} SET renewed = now() WHERE number = {int(number)}")  # noqa: S608 - all ours

    @on_conflict
    def release(self, number: int, content: str) -> None:
        """Replace the holder's own lease by what is left of it."""
        self.spark.sql(f"UPDATE {self.where} SET content = {ddl.text(content)} WHERE number = {int(number)}")  # noqa: S608 - all ours

    @on_conflict
    def remove(self, number: int) -> None:
        """Remove a lease that no longer counts."""
        self.spark.sql(f"DELETE FROM {self.where} WHERE number = {int(number)}")  # noqa: S608 - all ours

    @on_conflict
    def _create_table(self) -> None:
        if self._schema is not None:
            self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {self._schema}")
        columns = "number BIGINT, content STRING, renewed TIMESTAMP"
        self.spark.sql(f"CREATE TABLE IF NOT EXISTS {self.where} ({columns}) USING DELTA")
