"""Two stores that hold the same, whatever read the files, in how many parts, and where the tables lie."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from twigma_spark.io.tables import Store
from twigma_spark.schemas import TABLES

# When, where and how long something ran is another each time; the page and the files say when, too.
OTHER_EACH_TIME = {"runs", "reports"}
OF_A_RUN = {"artifacts": ("path", "checksum", "manifest", "created_at")}
# Sums in another order differ in their last bits, and what is fitted to them in a few more: relative or absolute.
TOLERANCE = 1e-4


def differences(one: Store, other: Store, name: str) -> list[str]:
    """Return in which columns a table of two stores differs, with the first difference; none where it is the same."""
    here, there = read(one, name), read(other, name)
    if len(here) != len(there):
        return [f"{len(here):,} rows beside {len(there):,}"]
    return [text for column in here.columns for text in _differences(column, here[column], there[column])]


def read(store: Store, name: str) -> pd.DataFrame:
    """Return the rows of a table in the order of its key, without what is another each time."""
    table = TABLES[name]
    columns = [column for column in table.column_names if column not in OF_A_RUN.get(name, ())]
    rows = store.read(name).select(*columns).toPandas()
    return rows.sort_values(list(table.key), ignore_index=True)


def _differences(column: str, here: pd.Series, there: pd.Series) -> Iterator[str]:
    differing = [(a, b) for a, b in zip(here, there, strict=True) if not is_same(a, b)]
    if differing:
        first = " beside ".join(str(value)[:60] for value in differing[0])
        yield f"{column}: {len(differing):,} of {len(here):,} rows, such as {first}"


def is_same(here: object, there: object) -> bool:
    """Return whether two values are equal; real numbers and vectors of them within the tolerance."""
    if is_real(here) and is_real(there):
        return bool(np.allclose(here, there, atol=TOLERANCE, rtol=TOLERANCE, equal_nan=True))  # type: ignore[arg-type]
    return str(here) == str(there)


def is_real(value: object) -> bool:
    """Return whether a value is a floating-point number, or a vector of such."""
    return isinstance(value, float | np.ndarray) and np.asarray(value).dtype.kind == "f"
