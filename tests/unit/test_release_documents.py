"""What a release says of itself: terms, drafts, Croissant as its own library reads it, text from outside."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlcroissant
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from pydantic import ValidationError

from twigma_spark.config.data import Corpus
from twigma_spark.config.release import STATEMENTS, Release
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.io.release_files import write_parts
from twigma_spark.release.documents import documents
from twigma_spark.release.facts import Counts, Facts
from twigma_spark.release.fields import FIELDS, Field, fields_of, platform_of, schema_of
from twigma_spark.release.quality import choose_quality

COUNTS = Counts(3, 2, {"media": 4}, 0, {"undecodable": 1}, datetime.date(2022, 1, 2), None, 5, 1, 4)
WHOLE = {
    "license": "CC-BY-4.0",
    "creators": [{"name": "The Group", "affiliation": "An Institute", "orcid": "0000-0002-1825-0097"}],
    "statements": dict.fromkeys(STATEMENTS, "Said."),
}


def facts(fields: tuple[Field, ...] = FIELDS, **release: Any) -> Facts:
    corpus = Corpus(name="posts", role="posts", path="x", reader="x_api")
    cfg = Config(corpora=(corpus,), release=Release.model_validate({"title": "A title", **release}))
    return Facts(cfg, "x", fields, COUNTS, datetime.date(2023, 4, 1), {"numpy": "1"}, {"images": 1}, (), ("posts",))


def x_api(**more: Any) -> list[Corpus]:
    return [Corpus.model_validate({"name": "posts", "role": "posts", "path": "x", "reader": "x_api", **more})]


def test_posts_of_x_are_ids_unless_a_reason_is_given() -> None:
    assert platform_of(x_api(), {"x"}, Release()) == "x"
    assert [field.name for field in fields_of("x", Release())] == ["id", "image_name"]
    with pytest.raises(ConfigError, match=r"release\.reason must say why .* Got none, with release\.fields: derived"):
        fields_of("x", Release(fields="derived"))
    with pytest.raises(ConfigError, match=r"Got none, with release\.authors"):
        fields_of("x", Release(authors=True))
    assert fields_of("x", Release(fields="all", reason="a contract")) == FIELDS
    assert "like_count" not in {field.name for field in fields_of("fediverse", Release())}
    assert fields_of("own", Release()) == FIELDS


def test_a_platform_is_not_named_away_and_not_guessed() -> None:
    with pytest.raises(ConfigError, match=r"release\.platform must be x for posts of X \(posts\)"):
        platform_of(x_api(), {"x"}, Release(platform="own"))
    folder = x_api(reader="folder")
    with pytest.raises(ConfigError, match=r"release\.platform must name where the posts are from"):
        platform_of(folder, {"file"}, Release())
    assert (platform_of(folder, None, Release()), platform_of(folder, {"file"}, Release(platform="fediverse"))) == (
        "own", "fediverse",
    )  # fmt: skip


@pytest.mark.parametrize(("wrong", "sentence"), [
    ({"license": "GPL"}, "must be one of CC0-1.0, CC-BY-4.0"), ({"version": "1"}, "version"),
    ({"statements": {"other": "x"}}, "must be one of motivation"), ({"url": "javascript:alert(1)"}, "url"),
])  # fmt: skip
def test_what_no_release_can_have_is_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Release.model_validate(wrong)


def test_what_a_person_must_write_makes_a_draft() -> None:
    draft, whole = facts(), facts(**WHOLE)
    assert draft.missing == ["license", "creators", *STATEMENTS] and whole.missing == []
    texts, done = documents(draft), documents(whole)
    assert "This is a draft" in texts["README.md"] and "To be written" in texts["DATASHEET.md"]
    assert "nobody may use" in texts["LICENSE"] and "licensed under Creative Commons" in done["LICENSE"]
    assert "draft" not in done["README.md"].lower() and "To be written" not in done["DATASHEET.md"]


def test_the_documents_are_what_their_formats_ask_for() -> None:
    texts = documents(facts(**WHOLE))
    _, header, body = texts["README.md"].split("---\n", 2)
    assert yaml.safe_load(header)["license"] == "cc-by-4.0" and yaml.safe_load(header)["pretty_name"] == "A title"
    assert "| `id` | STRING |" in body and "rehydrate.py" in body
    deposit = json.loads(texts["zenodo.json"])["metadata"]
    assert (deposit["upload_type"], deposit["license"], deposit["publication_date"]) == (
        "dataset", "cc-by-4.0", "2023-04-01",
    )  # fmt: skip
    assert deposit["creators"] == [{"name": "The Group", "affiliation": "An Institute", "orcid": "0000-0002-1825-0097"}]
    cited = yaml.safe_load(texts["CITATION.cff"])
    assert cited["cff-version"] == "1.2.0" and cited["authors"][0]["orcid"].startswith("https://orcid.org/")


def test_the_datasheet_says_how_good_the_columns_are() -> None:
    def row(analysis: str, metric: str, estimate: float | None, **labels: str) -> dict[str, Any]:
        return {
            "analysis": analysis, "metric": metric, "labels": labels, "estimate": estimate, "low": 0.9613, "high": 0.97,
            "n": 1800, "unit": "images", "method": "mean",
        }  # fmt: skip

    rows = [
        row("projection", "trustworthiness", 0.96716),
        row("nsfw", "share_above", 0.03, corpus="posts", threshold="0.5"),
        row("choice_of_k", "silhouette", 0.4357, clustering="themes", k="10"),
        # Of another k, of a cluster alone, of a collection that is not released, and not computed.
        row("choice_of_k", "silhouette", 0.5, clustering="themes", k="4"),
        row("nsfw", "share_above", 0.1, corpus="posts", threshold="0.5", cluster="1"),
        row("nsfw", "share_above", 0.2, corpus="art", threshold="0.5"),
        row("projection", "continuity", None),
    ]
    found = choose_quality(Config(), rows, FIELDS, ["posts"])
    assert [(each.column, each.value) for each in found] == [
        ("label_10_cluster", "0.436 [0.961, 0.97]"), ("nsfw_score", "0.03 [0.961, 0.97]"),
        ("UMAP_dim_1", "0.967 [0.961, 0.97]"),
    ]  # fmt: skip
    assert choose_quality(Config(), rows, fields_of("x", Release()), ["posts"]) == []
    sheet = documents(replace(facts(**WHOLE), quality=tuple(found)))["DATASHEET.md"]
    assert "- `UMAP_dim_1`: Trustworthiness 0.967 [0.961, 0.97], n = 1,800 images. mean.\n" in sheet
    assert "How good" not in documents(facts(**WHOLE))["DATASHEET.md"]


def test_text_from_outside_is_only_text() -> None:
    hostile = "*a* <script>alert(1)</script> [x](http://y) | --- \n# b"
    texts = documents(facts(title=hostile, description=hostile, **{**WHOLE, "statements": {"uses": hostile}}))
    _, header, body = texts["README.md"].split("---\n", 2)
    for text in (body, texts["DATASHEET.md"]):
        assert "<script>" not in text and "[x](http" not in text and "\n# b" not in text
    assert yaml.safe_load(header)["pretty_name"] == hostile
    assert json.loads(texts["croissant.json"])["name"] == hostile


def rows(fields: tuple[Field, ...]) -> pa.RecordBatch:
    time = datetime.datetime(2022, 1, 2, 3, 4, 5, 6000, datetime.UTC)
    values: dict[str, list[Any]] = {
        "id": ["1", "2", "2"], "image_name": ["a.jpg", "b.jpg", "c.jpg"], "created_at": [time, None, time],
        "all_captions": ['a "b", c', "", None], "nsfw_score": [0.1, 1 / 3, None],
        "possibly_sensitive": [True, False, None],
    }  # fmt: skip
    return pa.RecordBatch.from_pydict(
        {field.name: values.get(field.name, [1, 2, None]) for field in fields}, schema=schema_of(fields)
    )


def test_croissant_is_valid_and_loads_the_rows(tmp_path: Path) -> None:
    files = tuple(write_parts([rows(FIELDS)], tmp_path, schema_of(FIELDS), None))
    whole = replace(facts(**WHOLE), files=files)
    (tmp_path / "croissant.json").write_text(documents(whole)["croissant.json"])
    dataset = mlcroissant.Dataset(str(tmp_path / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors and not dataset.metadata.ctx.issues.warnings
    found = pd.DataFrame(dataset.records("images-1"))
    assert list(found.columns) == [f"images-1/{field.name}" for field in FIELDS]
    assert found["images-1/id"].tolist() == [b"1", b"2", b"2"]
    assert found["images-1/created_at"][0] == pd.Timestamp("2022-01-02T03:04:05.006Z")


def test_groups_of_authors_are_counted_and_the_missing_place_is_said() -> None:
    for name in ("README.md", "DATASHEET.md"):
        text = " ".join(documents(facts(**WHOLE))[name].split())
        assert "Of the 5 groups of authors that share a follower band, a month and a language, the smallest" in text
        assert "4 have fewer than five" in text and "no group is by place" in text
