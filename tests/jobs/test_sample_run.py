"""Every stage on a small sample world, against what was planted in it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import mlcroissant
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pyspark.sql import functions as F

from tests.jobs.conftest import Done
from tests.unit.made_results import joined
from twigma_spark import metrics, pipeline, queries
from twigma_spark.atlas import open_command
from twigma_spark.cli.demo import write_for_others
from twigma_spark.config.overlays import load
from twigma_spark.errors import ConfigError
from twigma_spark.io.release_files import read_release
from twigma_spark.sample import run_results
from twigma_spark.stages.records import read_results

pytestmark = pytest.mark.slow


def test_the_results_agree_with_the_truth(done: Done) -> None:
    text, ok = pipeline.check_truth(done.cfg, done.store)
    assert ok, text


def test_a_wrong_result_is_seen(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    right = run_results.collect_results
    monkeypatch.setattr(run_results, "collect_results", lambda tables: replace(right(tables), rejects=[]))
    text, ok = pipeline.check_truth(done.cfg, done.store)
    assert not ok and "FAIL" in text


def test_nothing_is_lost(done: Done) -> None:
    accounts = {
        row["stage"]: row["account"]
        for row in done.store.read("runs").where("status = 'ok' AND size(account) > 0").collect()
    }
    assert set(accounts) == {"ingest", "embed", "deduplicate"}
    for account in accounts.values():
        assert account["images"] == account["kept"] + account["duplicates"] + account["rejects"] > 100
    assert accounts["ingest"]["kept"] == accounts["embed"]["images"]
    assert accounts["embed"]["kept"] == accounts["deduplicate"]["images"]


def test_every_row_says_which_model_made_it(done: Done) -> None:
    run = done.store.read("runs").where("stage = 'embed'").collect()[0]
    made_by = done.store.read("embeddings").select("model_id", "preprocess_rev").distinct().collect()
    assert [(row.model_id, row.preprocess_rev) for row in made_by] == [
        (run.versions["image_model"], run.versions["preprocess_rev"])
    ]
    assert "@" in run.versions["image_model"]


def test_each_kept_image_has_a_caption_a_score_and_a_cluster(done: Done) -> None:
    read = done.store.read
    kept = read("embeddings").join(read("duplicates"), "image_id", "left_anti").select("image_id")
    for table in ("captions", "scores"):
        assert kept.join(read(table), "image_id", "left_anti").count() == 0
    posts = read("clusters").where("clustering_id = 'themes'")
    assert posts.select("corpus").distinct().collect() == [("posts",)]
    assert read("clusters").where("clustering_id = 'origins'").count() == kept.count()
    sizes = read("centroids").where("clustering_id = 'origins'").agg(F.sum("size")).collect()[0][0]
    assert sizes == kept.count()


def test_every_post_has_five_neighbours_in_every_reference(done: Done) -> None:
    counts = (
        done.store.read("neighbours")
        .groupBy("image_id")
        .agg(F.count("*").alias("n"), F.countDistinct("reference").alias("references"))
    )
    assert counts.select("n", "references").distinct().collect() == [(15, 3)]


def test_rejects_and_duplicates_are_exported_by_corpus_and_file(done: Done) -> None:
    refused, repeats = queries.rejects_frame(done.store), queries.duplicates_frame(done.store)
    assert {"stage", "corpus", "key", "reason", "detail"} <= set(refused.columns) and len(refused) > 10
    assert list(repeats.columns) == ["corpus", "source_key", "copy_of", "tier"]
    assert len(repeats) == done.store.count("duplicates") > 0 and (repeats.source_key != repeats.copy_of).all()
    (line,) = [outcome.line() for outcome in done.outcomes if outcome.stage == "ingest"]
    assert re.search(r"; \d+ rejects \(\w+ \d+, .* more reasons\): twigma rejects$", line), line


def test_the_images_nearest_to_a_file_are_found_whether_or_not_it_is_in_the_store(done: Done, tmp_path: Path) -> None:
    folder = Path(str(done.cfg.sample.out)) / "art" / "images"
    row = done.store.read("images").where("corpus = 'art' AND width > 100").orderBy("image_id").first()
    assert row is not None
    small = tmp_path / "small.png"
    Image.open(folder / row.source_key).convert("RGB").resize((90, 90)).save(small)
    for file, similarity in ((folder / row.source_key, 0.999), (small, 0.9)):
        found = queries.similar_images_frame(done.cfg, done.store, file, 5)
        assert list(found.columns) == ["corpus", "source_key", "similarity", "bits"] and len(found) == 5
        assert found.similarity.is_monotonic_decreasing and found.similarity[0] > similarity
        same = found[found.source_key == row.source_key]
        assert len(same) == 1 and same.bits.iloc[0] <= 12
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(ConfigError, match="must be an image that can be decoded"):
        queries.similar_images_frame(done.cfg, done.store, broken, 5)
    other = load([done.conf], ["models.image.precision=bf16"])
    with pytest.raises(ConfigError, match="must hold vectors"):
        queries.similar_images_frame(other, done.store, small, 5)


def test_images_that_corpora_share_are_exported(done: Done) -> None:
    shared = queries.shared_images_frame(done.store)
    assert list(shared.columns) == ["corpus", "source_key", "other_corpus", "other_key", "tier", "bits"]
    assert len(shared) == done.store.count("shared_images") and (shared.corpus < shared.other_corpus).all()


def test_every_kept_image_has_a_place_on_the_map(done: Done) -> None:
    read = done.store.read
    kept = read("embeddings").join(read("duplicates"), "image_id", "left_anti").select("image_id")
    places = read("projection").where("x IS NOT NULL AND y IS NOT NULL AND NOT isnan(x) AND NOT isnan(y)")
    assert kept.join(places, "image_id", "left_anti").count() == 0 < places.count() == kept.count()
    quality = {r.metric: r for r in read("results").where("analysis = 'projection'").collect()}
    assert set(quality) == {"trustworthiness", "continuity", "drift"}
    assert min(quality["trustworthiness"].estimate, quality["continuity"].estimate) > 0.6
    (file,) = read("artifacts").where("stage = 'project'").collect()
    assert Path(file.path).exists()


def test_near_duplicates_are_told_by_tier_and_threshold(done: Done) -> None:
    labels = {joined(r) for r in done.store.read("results").where("analysis = 'duplicates'").collect()}
    assert {"media", "bytes", "near", "near|both|16"} <= labels


def test_statistics_come_with_n_unit_interval_and_method(done: Done) -> None:
    rows = done.store.read("results").collect()
    assert {(row.metric, joined(row)) for row in rows} >= {("kl", "posts|art"), ("kl_kt", "art|posts")}
    assert all(row.unit and row.method for row in rows)
    ends = [(row.low, row.high) for row in rows if row.low is not None and row.high is not None]
    assert ends and all(low <= high for low, high in ends)
    # A score test may reject no value on one side: there the interval has no end.
    one = {row.metric for row in rows if (row.low is None) != (row.high is None)}
    scored = {"poisson_score", "slope", "relative_change", "change", "curve", "change_point"}
    assert one <= scored, one
    without = [row for row in rows if row.estimate is None or row.n == 0]
    assert all(row.method.count(" ") > 1 for row in without), "what could not be computed must say why"


def test_every_statistic_is_in_the_catalogue_and_can_be_exported(done: Done) -> None:
    frame = queries.results_frame(done.store, [])
    results = read_results(done.store.read("results"))
    assert [r for r in results if not metrics.describes(r)] == [] and len(frame) == len(results)
    likes = queries.results_frame(done.store, ["likes"])
    assert list(likes.columns[4:6]) == ["reference", "quintile"] and set(likes["analysis"]) == {"likes"}
    assert "Mean likes" in set(likes["title"])


def test_the_report_stands_alone(done: Done) -> None:
    html = Path(done.cfg.report.path).read_text(encoding="utf-8")
    outside = re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)([^"']+)""", html.split("<script")[0])
    assert outside == []
    assert "Content-Security-Policy" in html
    assert html == done.store.read("reports").collect()[0].html


def test_a_second_run_skips_every_stage_and_brings_a_lost_report_back(done: Done) -> None:
    path = Path(done.cfg.report.path)
    path.unlink()
    assert all(outcome.skipped for outcome in done.again())
    assert path.exists()


def test_a_changed_key_would_run_its_stage_and_those_after_it(done: Done) -> None:
    changed = pipeline.plan_run(load([done.conf], ["neighbours.k=3"]), done.store, pipeline.select())
    assert [name for name, runs in changed.items() if runs] == ["neighbours", "likes", "report"]
    assert not any(pipeline.plan_run(done.cfg, done.store, pipeline.select()).values())
    assert all(pipeline.plan_run(done.cfg, done.store, pipeline.select(), force=True).values())


def test_a_release_and_an_atlas_of_the_run_are_valid_and_read_back(
    done: Done, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_for_others(done.cfg, done.store, tmp_path, changed=True)
    said, folder = capsys.readouterr().out, tmp_path / "release"
    rows = read_release(done.store.spark, folder).collect()
    kept = done.store.read("clusters").where("clustering_id = 'themes'").count()
    assert len(rows) == kept and f"of {kept:,} images" in said and "draft" not in said
    assert read_release(done.store.spark, folder, "csv").collect() == rows
    dataset = mlcroissant.Dataset(str(folder / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    assert [r["images-1/id"].decode() for r in dataset.records("images-1")] == [row["id"] for row in rows]
    assert "`label_10_cluster`: Mean silhouette" in (folder / "DATASHEET.md").read_text(encoding="utf-8")
    atlas = pq.read_table(tmp_path / "atlas" / "atlas.parquet", columns=["image_id", "image"])
    assert atlas.num_rows == done.store.count("projection") and atlas["image"].null_count == 0
    assert f"embedding-atlas {tmp_path}/atlas/atlas.parquet --x x --y y" in said
    write_for_others(done.cfg, done.store, tmp_path, changed=False)
    assert capsys.readouterr().out == f"open the map with its pictures: {open_command(tmp_path / 'atlas')}\n"
