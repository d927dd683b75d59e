"""Paths that only Spark can look at are checked before the first stage, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from twigma_spark.checks.remote import check_remote
from twigma_spark.config.overlays import load
from twigma_spark.errors import ConfigError


def test_every_url_that_is_not_there_is_said_at_once(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    here, gone = f"file://{tmp_path}/here", f"file://{tmp_path}/gone"
    corpora = (
        f"[{{name: a, role: art, path: '{here}', metadata: '{gone}.csv'}}, {{name: b, role: art, path: '{gone}'}}]"
    )
    settings = [f"corpora={corpora}", f"texts=[{{name: t, path: '{gone}.txt'}}]", "store.root=s3a://bucket/tables"]
    cfg = load([], settings)
    with pytest.raises(ConfigError) as caught:
        check_remote(cfg, ["ingest", "embed_text"], spark)
    first, *faults = str(caught.value).splitlines()
    assert first == "the run must be able to start. Faults:"
    assert [fault.split(": ")[0].strip() for fault in faults] == [
        "corpora.a.metadata", "corpora.b.path", "texts.t.path", "store.root",
    ]  # fmt: skip
    assert "must be an existing file or folder. Got 'file://" in faults[0]
    assert "must be a place that Spark can reach. Got 's3a://bucket/tables': " in faults[3]
    check_remote(load([], [f"corpora=[{{name: a, role: art, path: '{here}'}}]"]), ["ingest"], spark)
