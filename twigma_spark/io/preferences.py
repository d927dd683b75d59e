"""Readers of public data sets of human preferences: which of two images of a prompt people preferred."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from twigma_spark.errors import CorpusError
from twigma_spark.io import url_files
from twigma_spark.io.url_files import Settings


class Preference(NamedTuple):
    """One judgement: the prompt, and the names of the preferred and of the other image."""

    prompt: str
    preferred: str
    other: str


def read_preferences(path: str, form: str, settings: Settings = ()) -> list[Preference]:
    """Return the judgements of a file that prefer one of two images; ties are none.

    Args:
        path: a file of the driver, or a URL.
        form: a key of `FORMATS`.
        settings: how S3 is reached.

    Raises:
        CorpusError: the file is missing or of another format.
    """
    try:
        with url_files.open_file(path, settings) as file:
            return list(FORMATS[form](file))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise CorpusError(f"preferences must be a file of the format {form}. Got {path!r}: {error!r}.") from error


def _imagereward(file: BinaryIO) -> Iterator[Preference]:
    """Yield those of ImageRewardDB's JSON (Xu et al. 2023): prompt, generations, ranking, the best of which is 1."""
    for item in json.load(file):
        yield from _of_ranks(item["prompt"], item["generations"], item["ranking"])


def _hpd(file: BinaryIO) -> Iterator[Preference]:
    """Yield those of HPD v2's JSON (Wu et al. 2023): file_path and human_preference, or image_path and rank."""
    for item in json.load(file):
        if "human_preference" in item:
            yield from _of_ranks(item["prompt"], item["file_path"], [-value for value in item["human_preference"]])
        else:
            yield from _of_ranks(item["prompt"], item["image_path"], item["rank"])


def _pickapic(file: BinaryIO) -> Iterator[Preference]:
    """Yield those of Pick-a-Pic's Parquet (Kirstain et al. 2023): caption, two uids, and a label of 0, a half or 1."""
    for row in _parquet_rows(file, ("caption", "image_0_uid", "image_1_uid", "label_0")):
        first, second, label = row["image_0_uid"], row["image_1_uid"], row["label_0"]
        if label is not None and label != 0.5:
            yield Preference(row["caption"], *((first, second) if label > 0.5 else (second, first)))


def _social_reward(file: BinaryIO) -> Iterator[Preference]:
    """Yield those of Social Reward's Parquet (Isajanyan et al. 2024): prompt, pos_path, neg_path."""
    for row in _parquet_rows(file, ("prompt", "pos_path", "neg_path")):
        yield Preference(row["prompt"], row["pos_path"], row["neg_path"])


def _of_ranks(prompt: str, names: Sequence[str], ranks: Sequence[float]) -> Iterator[Preference]:
    """Yield the pairs of different rank, the lower one preferred."""
    for (first, one), (second, two) in combinations(zip(names, ranks, strict=True), 2):
        if one != two:
            yield Preference(prompt, *((first, second) if one < two else (second, first)))


def _parquet_rows(file: BinaryIO, columns: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a file; the pictures that some of these files hold are not read."""
    with pq.ParquetFile(file) as rows:
        for batch in rows.iter_batches(columns=list(columns)):
            if missing := sorted(set(columns) - set(batch.schema.names)):
                raise ValueError(f"no column {', '.join(missing)}")
            yield from batch.to_pylist()


FORMATS: Mapping[str, Callable[[BinaryIO], Iterator[Preference]]] = {
    "imagereward": _imagereward,
    "hpd": _hpd,
    "pickapic": _pickapic,
    "social_reward": _social_reward,
}
