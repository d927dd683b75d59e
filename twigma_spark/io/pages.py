"""Pages of posts in the form of the X API's JSON, `data` and `includes`: X's own, and what `twigma collect` records."""

from __future__ import annotations

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.data import Corpus
from twigma_spark.errors import CorpusError

# A post stays the JSON that it is, and of its author and pictures each field: what is no text is JSON there too.
PAGE = """
    data ARRAY<STRING>,
    includes STRUCT<users: ARRAY<MAP<STRING, STRING>>, media: ARRAY<MAP<STRING, STRING>>>,
    platform STRING,
    collected_at STRING,
    _bad STRING
"""


def read_pages(spark: SparkSession, corpus: Corpus) -> DataFrame:
    """Return the pages: file (its name), page (its number), bad (text that is no page, else null), and what is in them.

    That is platform, collected_at, data (the JSON of each post), users and media (each a map of its fields).

    A ``.json`` file holds one page or a list of pages, a ``.jsonl`` file one page a line.

    Raises:
        CorpusError: where the folder does not exist or holds no page.
    """
    whole = _read(spark, corpus, "*.json", multi_line=True)
    lines = _read(spark, corpus, "*.jsonl", multi_line=False)
    pages = [frame for frame in (whole, lines) if frame is not None]
    if not pages:
        raise CorpusError(
            f"corpus '{corpus.name}': path must be a folder with pages of posts as .json or .jsonl. "
            f"Got {corpus.path!r}."
        )
    raw = pages[0] if len(pages) == 1 else pages[0].unionByName(pages[1])
    return raw.select(
        F.element_at(F.split("path", "/"), -1).alias("file"),
        F.monotonically_increasing_id().alias("page"),
        F.when(F.col("data").isNull(), F.col("_bad")).alias("bad"),
        F.coalesce("platform", F.lit("x")).alias("platform"),
        "data",
        "includes.users",
        "includes.media",
        "collected_at",
    )


def media_folder(corpus: Corpus) -> str:
    """Return where the pictures of the posts lie: the folder `media` beside the pages."""
    return corpus.path.rstrip("/") + "/media"


def _read(spark: SparkSession, corpus: Corpus, glob: str, multi_line: bool) -> DataFrame | None:
    """Return the pages of the files of one kind, or None where there is none."""
    reader = spark.read.options(mode="PERMISSIVE", columnNameOfCorruptRecord="_bad", pathGlobFilter=glob)
    try:
        frame = reader.schema(PAGE).json(corpus.path, multiLine=multi_line)
    except AnalysisException as error:
        raise CorpusError(f"corpus '{corpus.name}': path must be an existing folder. Got {corpus.path!r}.") from error
    if not frame.inputFiles():
        return None
    return frame.withColumn("path", F.input_file_name())
