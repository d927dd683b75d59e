"""variation: how varied the corpora are, and the images of one post, prompt or artist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from pyspark.sql import DataFrame

from twigma_spark.config.settings import Config
from twigma_spark.io import arrow, plain_texts
from twigma_spark.results import Result
from twigma_spark.schemas import GROUP_DISTANCES
from twigma_spark.stages import inputs, records, specs
from twigma_spark.stages.corpora import Drawn, collect_samples
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.stages.text_variation import text_results
from twigma_spark.stats.explained import explain_by_groups
from twigma_spark.stats.groups import Groups
from twigma_spark.stats.moments import Moments
from twigma_spark.stats.prompts import length_and_distance
from twigma_spark.stats.sample import Codes, Sample
from twigma_spark.stats.sensitivity import sensitivity_results
from twigma_spark.stats.texts import FEW
from twigma_spark.stats.threads import few_threads
from twigma_spark.stats.variation import VariationSpec, entropies, of_moments, of_pairs, within
from twigma_spark.transforms.moments import block_moments, from_triangle
from twigma_spark.transforms.samples import UNITS, in_groups

NAME = "variation"
Row = tuple[object, ...]


def run(
    cfg: Config,
    context: StageContext,
    images: DataFrame,
    embeddings: DataFrame,
    duplicates: DataFrame,
    **texts: DataFrame,
) -> Mapping[str, DataFrame]:
    """Return the variation of each corpus, within its groups and of its texts as results, and the groups' distances.

    `texts` are the tables posts, captions, text_embeddings and scores.
    """
    settings, spec = cfg.variation, _spec(cfg)
    vectors = inputs.kept_vectors(cfg, images, embeddings, duplicates)
    drawn = collect_samples(cfg, in_groups(vectors, images, settings.max_images, settings.per_group, cfg.seed))
    samples = {name: each.sample() for name, each in drawn.items()}
    passed = block_moments(vectors, images, settings.blocks, cfg.seed)
    with few_threads(samples.values()):
        entropy, bins = entropies(samples, spec)
        results = [*_by_moments(cfg, passed, samples), *_of_whole_groups(entropy, samples, settings.per_group, spec)]
        groups: list[Row] = []
        for name, each in drawn.items():
            for of_group, table in _within(name, each, bins.get(name), spec):
                results += of_group
                groups += table
        measured = list(results)
    for variant, other in inputs.variants(cfg, images, embeddings, duplicates, texts["scores"]):
        results += sensitivity_results(variant, measured, _of_corpora(cfg, other, images))
    of_texts = text_results(cfg, spec, images, texts["posts"], texts["captions"], texts["text_embeddings"])
    if few := _name_few_texts(of_texts):
        context.log(f"variation: warning: fewer than {FEW} texts of equal lengths: {few}")
    results += of_texts
    return {
        "results": records.result_rows(context.spark, NAME, results),
        "group_distances": arrow.local_frame(context.spark, groups, GROUP_DISTANCES.schema),
    }


def _of_whole_groups(
    entropy: Iterable[Result], samples: Mapping[str, Sample], per_group: int, spec: VariationSpec
) -> list[Result]:
    """Return entropies and distances of pairs of the corpora, which say of what population they are."""
    distances = (r for name, sample in samples.items() for r in of_pairs(sample, {"corpus": name}, spec))
    return [_with_population(r, samples, per_group) for r in (*entropy, *distances)]


def _of_corpora(cfg: Config, vectors: DataFrame, images: DataFrame) -> list[Result]:
    """Return the variation of the corpora by other vectors, and what their groups explain."""
    settings, spec = cfg.variation, _spec(cfg)
    drawn = collect_samples(cfg, in_groups(vectors, images, settings.max_images, settings.per_group, cfg.seed))
    samples = {name: each.sample() for name, each in drawn.items()}
    passed = block_moments(vectors, images, settings.blocks, cfg.seed)
    with few_threads(samples.values()):
        entropy, _ = entropies(samples, spec)
        explained = [
            result
            for name, each in drawn.items()
            for column, unit in UNITS.items()
            if len((part := each.having(column)).vectors)
            for result in explain_by_groups(part.sample(column, unit), name, spec.bootstrap, spec.confidence, spec.seed)
        ]
        whole = _of_whole_groups(entropy, samples, settings.per_group, spec)
        return [*_by_moments(cfg, passed, samples), *whole, *explained]


def _name_few_texts(results: Iterable[Result]) -> str:
    """Return the pairs of kinds of text of which few are left after matching, in words."""
    pairs = {frozenset((r.labels["kind"], r.labels["versus"])): r for r in results if "versus" in r.labels}
    few = [r for r in pairs.values() if r.value.n < FEW]
    return ", ".join(f"{r.value.n} of {' and '.join(sorted((r.labels['kind'], r.labels['versus'])))}" for r in few)


def _with_population(result: Result, samples: Mapping[str, Sample], per_group: int) -> Result:
    """Return a result whose method says what is left out of large groups, where any has so many images."""
    sample = samples[result.labels["corpus"]]
    largest = int(np.bincount(sample.codes).max(initial=0)) if len(sample.vectors) else 0
    if largest < per_group:
        return result
    words = f"at most {per_group} images of each of the {sample.unit}, as within them"
    return result.with_value(method=f"{result.value.method}; {words}")


def _by_moments(cfg: Config, passed: DataFrame, samples: Mapping[str, Sample]) -> Iterator[Result]:
    """Yield IEV, PMV and Vendi score of each corpus from the one pass over its moments."""
    blocks: dict[str, dict[int, Moments]] = {}
    for batch in arrow.stream(passed):
        for row in range(batch.num_rows):
            corpus, block, n, total, outer = (column[row] for column in batch.columns)
            part = from_triangle(n.as_py(), *(np.asarray(values.values) for values in (total, outer)))
            blocks.setdefault(corpus.as_py(), {})[block.as_py()] = part
    for name, sample in samples.items():
        own = blocks.get(name, {})
        yield from of_moments([own[b] for b in sorted(own)], {"corpus": name}, sample.unit, cfg.variation.confidence)


def _within(
    corpus: str, drawn: Drawn, bins: Codes | None, spec: VariationSpec
) -> Iterator[tuple[list[Result], list[Row]]]:
    """Yield results and rows of `group_distances` for each kind of group that the corpus has."""
    for column, unit in UNITS.items():
        part = drawn.having(column)
        if bins is None or not len(part.vectors):
            continue
        sample = part.sample(column, unit)
        within_groups, groups = within(sample, bins[drawn.there(column)], corpus, spec)
        shares = explain_by_groups(sample, corpus, spec.bootstrap, spec.confidence, spec.seed)
        results = [*within_groups, *shares]
        if groups is None:
            yield results, []
            continue
        if column == "prompt_id":
            results += _length(corpus, part, groups, spec)
        yield results, _table(corpus, unit, column, part, groups)


def _length(corpus: str, part: Drawn, groups: Groups, spec: VariationSpec) -> list[Result]:
    """Return how the length of prompts goes with their images' distance; prompts of one artist together."""
    _, first = np.unique(part.columns["prompt_id"].astype("U"), return_index=True)
    at = first[groups.code]
    words = np.asarray([np.nan if w is None else w for w in part.columns["n_words"][at]], float)
    owners = [a or p for a, p in zip(part.columns["artist"][at], part.columns["prompt_id"][at], strict=True)]
    resampling = (spec.confidence, spec.bootstrap, spec.seed)
    return length_and_distance(words, groups.distance, np.asarray(owners), corpus, *resampling)


def _table(corpus: str, unit: str, column: str, part: Drawn, groups: Groups) -> list[Row]:
    names, first = np.unique(part.columns[column].astype("U"), return_index=True)
    words = part.columns["n_words"][first[groups.code]] if column == "prompt_id" else [None] * len(groups.code)
    values = zip(names[groups.code], groups.size, words, groups.distance, groups.vendi, strict=True)
    return [(corpus, unit, str(name), int(n), w, float(d), float(v)) for name, n, w, d, v in values]


def _spec(cfg: Config) -> VariationSpec:
    settings = cfg.variation
    return VariationSpec(
        settings.pairs, settings.clusters, settings.variance, settings.bootstrap, settings.confidence, cfg.seed
    )


STAGE = Stage(
    name=NAME,
    summary="how varied corpora are, the images of one post, prompt or artist, and texts; prompt length",
    reads=("images", "embeddings", "duplicates", "posts", "captions", "text_embeddings", "scores"),
    writes=("results", "group_distances"),
    config=(
        NAME,
        "seed",
        "corpora",
        "texts",
        "embed_text.mentions",
        *specs.IMAGE_ENCODER,
        *specs.VARIANTS,
        *specs.CAPTIONER,
    ),
    run=run,
    sources=lambda cfg, spark: plain_texts.fingerprint(spark, cfg.texts),
)
