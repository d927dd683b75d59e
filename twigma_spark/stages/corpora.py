"""Samples of the corpora on the driver: Arrow batches become vectors with their groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from twigma_spark.config.settings import Config
from twigma_spark.io import arrow
from twigma_spark.stats.sample import Sample, Vectors
from twigma_spark.vectors import unit_rows


@dataclass(frozen=True)
class Drawn:
    """The sampled images of one corpus.

    Attributes:
        vectors: of unit length (n, d).
        columns: the other columns by name, null as None, in the order of the image ids.
    """

    vectors: Vectors
    columns: Mapping[str, NDArray[np.object_]]

    def there(self, column: str) -> NDArray[np.bool_]:
        """Return which images have a value in a column (n,)."""
        return np.asarray([value is not None for value in self.columns[column]], bool)

    def having(self, column: str) -> Drawn:
        """Return the images that have a value in a column."""
        mask = self.there(column)
        return Drawn(self.vectors[mask], {name: values[mask] for name, values in self.columns.items()})

    def sample(self, group: str = "group", unit: str | None = None) -> Sample:
        """Return the vectors with a column as their groups; the unit is theirs by majority unless it is given."""
        return Sample(self.vectors, self.columns[group].astype("U"), unit or _most(self.columns["unit"].astype("U")))


def collect_samples(cfg: Config, frame: DataFrame) -> dict[str, Drawn]:
    """Return the rows by corpus, in the order of the configuration; a corpus without rows is empty.

    Args:
        cfg: names the corpora.
        frame: image_id, corpus, embedding and further columns of ids and small numbers.
    """
    batches = list(arrow.stream(frame))
    names = [c for c in frame.columns if c not in ("corpus", "embedding")]
    if not batches:
        none = np.empty((0, 1), np.float32)
        return {c.name: Drawn(none, {n: np.empty(0, object) for n in names}) for c in cfg.corpora}
    table = pa.Table.from_batches(batches).sort_by("image_id").combine_chunks()
    vectors = unit_rows(arrow.matrix(table.column("embedding").chunk(0)))
    corpus = table.column("corpus").to_numpy()
    columns = {n: np.asarray(table.column(n).to_pylist(), object) for n in names}
    masks = {c.name: corpus == c.name for c in cfg.corpora}
    return {name: Drawn(vectors[m], {n: v[m] for n, v in columns.items()}) for name, m in masks.items()}


def _most(values: NDArray[np.str_]) -> str:
    if not len(values):
        return "images"
    names, counts = np.unique(values, return_counts=True)
    return str(names[counts.argmax()])
