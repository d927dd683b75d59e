"""distinctiveness: how far the corpora are from one another, by quantised divergences."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from twigma_spark.config import Config
from twigma_spark.io import arrow
from twigma_spark.schemas import RESULTS
from twigma_spark.stages import specs
from twigma_spark.stages.stage import Stage, Work
from twigma_spark.stats.divergence import Divergence, DivergenceSpec, Sample, divergences
from twigma_spark.transforms.samples import sampled


def run(
    cfg: Config, work: Work, images: DataFrame, embeddings: DataFrame, duplicates: DataFrame
) -> Mapping[str, DataFrame]:
    """Return the divergence of every ordered pair of corpora as results."""
    vectors = specs.kept_vectors(cfg, images, embeddings, duplicates)
    samples = _collected(cfg, sampled(vectors, images, cfg.distinctiveness.max_images, cfg.seed))
    how = cfg.distinctiveness
    spec = DivergenceSpec(how.clusters, how.variance, how.bootstrap, how.confidence, cfg.seed)
    rows = [_row(found) for found in divergences(samples, spec)]
    return {"results": work.spark.createDataFrame(rows, RESULTS.schema)}


def _collected(cfg: Config, frame: DataFrame) -> dict[str, Sample]:
    """Return the samples by corpus, in the order of the configuration and of the image ids."""
    batches = list(arrow.stream(frame))
    if not batches:
        return {}
    table = pa.Table.from_batches(batches).sort_by("image_id").combine_chunks()
    vectors = arrow.unit(arrow.matrix(table.column("embedding").chunk(0)))
    corpus = table.column("corpus").to_numpy()
    group, unit = (table.column(name).to_numpy().astype("U") for name in ("group", "unit"))
    names = [c.name for c in cfg.corpora if c.name in set(corpus)]
    return {name: Sample(vectors[corpus == name], group[corpus == name], _most(unit[corpus == name])) for name in names}


def _most(values: NDArray[np.str_]) -> str:
    names, counts = np.unique(values, return_counts=True)
    return str(names[counts.argmax()])


def _row(found: Divergence) -> tuple[object, ...]:
    group = f"{found.p}|{found.q}"
    interval = (found.estimate, found.low, found.high, found.n, found.unit, found.method)
    return ("distinctiveness", "distinctiveness", found.metric, group, *interval)


STAGE = Stage(
    name="distinctiveness",
    summary="quantised Kullback-Leibler divergence between all pairs of corpora",
    reads=("images", "embeddings", "duplicates"),
    writes=("results",),
    config=("distinctiveness", "seed", "corpora", "models.image", "models.device"),
    run=run,
)
