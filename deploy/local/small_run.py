"""A session that uses what most runs use, so that Java archives the classes it loads: small_run.py ARCHIVE."""

from __future__ import annotations

import sys
import tempfile

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from twigma_spark.io.session import SHORT_JVM, open_session
from twigma_spark.io.tables import Store
from twigma_spark.schemas import TABLES


def use(store: Store) -> None:
    """Write a table, change it, and read it by the operators that stages use."""
    rows = [(f"i{n}", "m", "even" if n % 2 else "odd") for n in range(20)]
    captions = store.spark.createDataFrame(rows, TABLES["captions"].schema)
    store.write("captions", captions.limit(5), stage="caption")
    store.write("captions", captions, stage="caption")
    table = store.read("captions")
    place = F.row_number().over(Window.partitionBy("caption").orderBy(F.desc("image_id")))
    few = table.withColumn("place", place).where("place < 4").drop("place")
    few.groupBy("caption").agg(F.count("*"), F.collect_set("image_id"), F.max_by("image_id", "model_id")).collect()
    ids = F.broadcast(table.select("image_id").distinct())
    few.join(ids, "image_id", "left_semi").join(table.select("image_id"), "image_id", "left_anti").count()
    few.select(F.explode(F.split("caption", "e")), F.xxhash64("image_id"), F.to_json(F.struct("caption"))).toPandas()
    mapped(few.orderBy("image_id")).cache().count()
    store.spark.sql(f"DELETE FROM {store.location('captions')} WHERE image_id IN ('i3', 'i4')")  # noqa: S608 - literals
    store.version("captions")


def mapped(frame: DataFrame) -> DataFrame:
    """Return the rows, once through Python by Arrow."""
    return frame.mapInArrow(lambda batches: batches, frame.schema)


if __name__ == "__main__":
    options = f"{SHORT_JVM} -XX:ArchiveClassesAtExit={sys.argv[1]}"
    with tempfile.TemporaryDirectory() as folder:
        conf = {"spark.driver.extraJavaOptions": options, "spark.sql.warehouse.dir": f"{folder}/warehouse"}
        spark, _ = open_session("set-up", master="local[2]", conf=conf, short=True)
        use(Store(spark, f"{folder}/store"))
        spark.stop()
