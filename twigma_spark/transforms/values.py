"""Values as files and platforms write them: times, counts and flags, null where they cannot be used."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column
from pyspark.sql import functions as F

# What Python and the report can hold; paintings are old.
FIRST, LAST = "0001-01-01 00:00:00", "9999-12-31 23:59:59"
# Posts are not older than the platforms, and not of the future, but for clocks that differ.
FIRST_POST = "2000-01-01 00:00:00"
V1_WITHOUT_DAY = "MMM dd HH:mm:ss Z yyyy"


def timestamp(text: Column) -> Column:
    """Return a time of ISO 8601, of X's API v1 (Wed Oct 10 20:19:24 +0000 2018), or of an epoch in s or ms."""
    trimmed = F.trim(text)
    epoch = F.when(trimmed.rlike(r"^\d{10}$"), F.timestamp_seconds(trimmed.cast("bigint")))
    epoch = epoch.when(trimmed.rlike(r"^\d{13}$"), F.timestamp_millis(trimmed.cast("bigint")))
    v1 = F.when(
        trimmed.rlike("^[A-Z][a-z]{2} "), F.try_to_timestamp(F.substring(trimmed, 5, 40), F.lit(V1_WITHOUT_DAY))
    )
    time = F.coalesce(epoch, v1, F.try_to_timestamp(trimmed))
    return F.when(time.between(_time(FIRST), _time(LAST)), time)


def post_timestamp(text: Column) -> Column:
    """Return the time of a post: `timestamp` from 2000 to a day from now."""
    time = timestamp(text)
    return F.when(time.between(_time(FIRST_POST), F.current_timestamp() + F.expr("INTERVAL 1 DAY")), time)


def count(text: Column) -> Column:
    """Return a number of things, 0 or more, as BIGINT."""
    digits = F.regexp_extract(F.trim(text), r"^(\d{1,18})(\.0*)?$", 1)
    return F.when(digits != "", digits.cast("bigint"))


def flag(text: Column) -> Column:
    """Return a flag: true, false, 1 or 0."""
    word = F.lower(F.trim(text))
    return F.when(word.isin("true", "1"), True).when(word.isin("false", "0"), False)


def unusable(values: Mapping[str, tuple[Column, Column]]) -> Column:
    """Return an array of the texts that say something of which nothing can be used, as "column: text".

    Args:
        values: by column, its text and what was made of it.
    """
    each = [
        F.when(F.trim(text) != "", F.when(value.isNull(), F.concat(F.lit(f"{name}: "), F.substring(text, 1, 100))))
        for name, (text, value) in values.items()
    ]
    return F.array_compact(F.array(*each))


def _time(text: str) -> Column:
    return F.lit(text).cast("timestamp")
