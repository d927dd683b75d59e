import hashlib
import io
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pyspark.sql import DataFrame, SparkSession

from tests.tables import table, vector
from twigma_spark.config.analyses import Report
from twigma_spark.config.collect import Collect
from twigma_spark.config.data import Corpus
from twigma_spark.config.engine import Cluster, Clustering
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError, SchemaError
from twigma_spark.io.arrow import local_frame
from twigma_spark.io.session import ARROW
from twigma_spark.io.tables import fit
from twigma_spark.schemas import REPORTS
from twigma_spark.stages.report import STAGE, _link, _with_content, collect, publish, run
from twigma_spark.stages.stage import StageContext

NOW = datetime(2026, 3, 14, 9, 26)


def png(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 20), (shade, 90, 200)).save(out, "PNG")
    return out.getvalue()


def image(number: int, corpus: str, **more: Any) -> dict[str, Any]:
    return {
        "image_id": f"{number:032x}",
        "corpus": corpus,
        "source_key": f"{number}.png",
        "content": png(9 * number),
        **more,
    }


WORLD: dict[str, list[dict[str, Any]]] = {
    "images": [
        image(1, "posts", created_at=datetime(2022, 1, 5), sensitive=False),
        image(2, "posts", created_at=datetime(2022, 2, 5), sensitive=True, post_id="8"),
        image(3, "posts", created_at=datetime(2022, 2, 6)),
        image(4, "posts"),
        image(5, "art", title="Water Lilies <b>"),
    ],
    "posts": [
        {"post_id": "7", "corpus": "posts", "author_id": "a", "hashtags": ["aiart", "dalle"]},
        {"post_id": "8", "corpus": "posts", "author_id": "a", "hashtags": ["dalle"]},
    ],
    "embeddings": [vector(number) for number in (1, 2, 3, 5)],
    "duplicates": [{"image_id": f"{3:032x}", "canonical_id": f"{1:032x}", "tier": "bytes"}],
    "scores": [{"image_id": f"{1:032x}", "model_id": "m", "kind": "nsfw", "score": 0.1}],
    "captions": [{"image_id": f"{1:032x}", "model_id": "m", "caption": "a castle on a hill"}],
    "centroids": [
        {"clustering_id": "themes", "cluster": 0, "size": 2, "mean_distance": 0.1},
        {"clustering_id": "origins", "cluster": 0, "size": 3, "mean_distance": 0.1},
    ],
    "clusters": [
        {"image_id": f"{i:032x}", "clustering_id": c, "corpus": k, "cluster": 0, "distance": 0.1 * i}
        for c, i, k in (
            ("themes", 1, "posts"), ("themes", 2, "posts"), ("origins", 1, "posts"), ("origins", 5, "art"),
        )
    ],
    "themes": [{"clustering_id": "themes", "cluster": 0, "rank": 1, "term": "castle", "weight": 0.5}],
    "neighbours": [
        {"image_id": f"{1:032x}", "reference": "art", "rank": 1,
         "neighbour_id": f"{5:032x}", "similarity": 0.75}
    ],
    "projection": [
        {"image_id": f"{1:032x}", "corpus": "posts", "x": 0.0, "y": 0.0},
        {"image_id": f"{2:032x}", "corpus": "posts", "x": 8.0, "y": 4.0},
        {"image_id": f"{5:032x}", "corpus": "art", "x": 2.0, "y": 0.0},
    ],
    "results": [
        {"stage": "distinctiveness", "analysis": "distinctiveness", "metric": "kl",
         "labels": {"p": "posts", "q": "art"}, "labels_key": "k",
         "estimate": float("inf"), "low": 0.5, "high": float("inf"), "n": 3, "unit": "images"}
    ],
    "rejects": [
        {"stage": "ingest", "unit": "image", "corpus": "posts", "key": "bad.jpg",
         "reason": "empty_file", "detail": "0 bytes"},
        {"stage": "embed", "unit": "image", "corpus": "posts", "key": "4.png",
         "reason": "undecodable", "detail": "cut"},
    ],
    "runs": [
        {"run_id": "r", "stage": "embed", "status": "ok", "started_at": NOW, "seconds": 61.0,
         "versions": {"numpy": "1.26.4"}, "rows_out": {"embeddings": 3}}
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def cfg(tmp_path_factory: pytest.TempPathFactory) -> Config:
    out = tmp_path_factory.mktemp("report") / "sub" / "report.html"
    return Config(
        corpora=(
            Corpus(name="art", role="art", path="x"),
            Corpus(name="posts", role="posts", path="y"),
        ),
        cluster=Cluster(
            clusterings=(
                Clustering(id="origins", roles=("posts", "art"), k=2),
                Clustering(id="themes", roles=("posts",), k=2, themes=True),
            )
        ),
        collect=Collect(hashtags=("aiart",)),
        report=Report(path=str(out), title="A little world", hashtag_posts=1),
    )


@pytest.fixture(scope="module")
def tables(spark: SparkSession) -> Callable[..., dict[str, DataFrame]]:
    """Make the tables that the stage reads, of given rows or of none."""

    def make(rows: dict[str, list[dict[str, Any]]]) -> dict[str, DataFrame]:
        return {name: table(spark, name, rows.get(name, [])) for name in STAGE.reads}

    return make


@pytest.fixture(scope="module")
def context(spark: SparkSession) -> StageContext:
    return StageContext(spark=spark, materialize=lambda frame: frame, log=lambda text: None)


@pytest.fixture(scope="module")
def made(cfg: Config, context: StageContext, tables: Callable[..., dict[str, DataFrame]]) -> DataFrame:
    return run(cfg, context, **tables(WORLD))["reports"]


def test_there_is_no_report_while_a_purge_has_left_images(
    cfg: Config, context: StageContext, tables: Callable[..., dict[str, DataFrame]]
) -> None:
    post = {"kind": "post", "digest": hashlib.sha256(b"8").hexdigest(), "at": NOW}
    with pytest.raises(ConfigError, match=r"a purge must have ended before a report\. Got 1 image in the store"):
        run(cfg, context, **tables({**WORLD, "tombstones": [post]}))


@pytest.mark.spark4
def test_the_data_of_the_page(cfg: Config, context: StageContext, tables: Callable[..., dict[str, DataFrame]]) -> None:
    data = collect(cfg, context.spark, tables(WORLD), NOW)
    posts, art = data.corpora
    assert (posts.name, posts.files, posts.kept, posts.duplicates, posts.rejects) == (
        "posts",
        5,
        2,
        {"bytes": 1},
        2,
    )
    assert (art.files, art.kept, posts.lost, art.lost) == (1, 1, 0, 0)
    (theme,) = data.themes
    assert theme.words == (("castle", 0.5),) and theme.months == (("2022-01", 1), ("2022-02", 1))
    assert [p.text for p in theme.pictures] == ["a castle on a hill", ""]
    assert [p.hidden_because(0.5) for p in theme.pictures] == [None, "flagged as sensitive"]
    (tag,) = data.hashtags
    assert (tag.hashtag, tag.together, tag.posts, tag.precision) == ("dalle", 1, 2, None)
    assert [p.image_id for p in tag.pictures] == [f"{2:032x}"] and data.current_hashtags == ("aiart",)
    (pair,) = data.pairs
    assert (pair.post.image_id, pair.match.text, pair.similarity) == (f"{1:032x}", "Water Lilies <b>", 0.75)
    assert pair.match.hidden_because(0.5) == "safety unknown" and pair.match.thumbnail
    assert [(o.clustering, o.corpus, o.images) for o in data.origins] == [
        ("origins", "art", 1),
        ("origins", "posts", 1),
    ]
    assert [(s.corpus, s.images, s.scored) for s in data.safety] == [("posts", 2, 1), ("art", 1, 0)]
    assert {r.reason: r.count for r in data.rejects} == {"empty_file": 1, "undecodable": 1}
    assert (data.runs[0].seconds, data.matches[0].bins, data.results[0].estimate) == (
        61.0,
        ((0.74, 1),),
        float("inf"),
    )

    assert data.image_map is not None and len(data.cells) == 3
    corpus, date, by_theme = data.image_map.layers
    assert (corpus.groups, date.groups, by_theme.groups) == (
        ("posts", "art"), ("2022-01", "2022-02"), ("0 · castle",),
    )  # fmt: skip
    assert [int(layer.counts.images.sum()) for layer in data.image_map.layers] == [3, 2, 2]
    pictures = {each.picture.image_id[-1]: each for each in data.image_map.pictures}
    # The square is 8 wide, the points 4 high and in its middle.
    assert {name: (each.x, each.y) for name, each in pictures.items()} == {
        "1": (0.0, 0.25), "2": (1.0, 0.75), "5": (0.25, 0.25),
    }  # fmt: skip
    near = {name: [(p.image_id[-1], s) for p, s in each.neighbours] for name, each in pictures.items()}
    assert near == {"1": [("5", 0.75)], "2": [], "5": [("1", 0.75)]}


@pytest.mark.spark4
def test_one_row_that_fits_the_table_comes_out(made: DataFrame) -> None:
    (row,) = fit(made, REPORTS).collect()
    assert row["report_id"] == "report"
    for words in (
        "A little world",
        "castle",
        "Water Lilies &lt;b&gt;",
        "∞ is the true value",
        "1 min 01 s",
    ):
        assert words in row["html"]


def test_the_batch_size_of_others_is_left_as_it_was(context: StageContext, made: DataFrame) -> None:
    assert context.spark.conf.get(ARROW) == "10000"  # Spark's default: every stage puts back what it found


def test_publish_writes_the_document(cfg: Config, made: DataFrame) -> None:
    assert publish(cfg, {"reports": made}) == cfg.report.path
    assert Path(cfg.report.path).read_text(encoding="utf-8").startswith("<!doctype html>")


def test_publish_without_a_report_names_the_way_out(cfg: Config, spark: SparkSession) -> None:
    with pytest.raises(SchemaError, match="Run the stage report again"):
        publish(cfg, {"reports": local_frame(spark, [], REPORTS.schema)})


def test_empty_tables_make_a_report_too(context: StageContext, tables: Callable[..., dict[str, DataFrame]]) -> None:
    (row,) = run(Config(), context, **tables({}))["reports"].collect()
    assert "nothing to report yet" in row["html"]


def test_a_small_picture_is_made_of_its_thumbnail(
    spark: SparkSession, tables: Callable[..., dict[str, DataFrame]]
) -> None:
    """Image 1 has a thumbnail and is shown larger, 2 has none, 3 is not shown."""
    thumbnails = [{"image_id": f"{n:032x}", "thumbnail": b"small"} for n in (1, 3, 5)]
    sides = {f"{1:032x}": 65, f"{2:032x}": 64, f"{5:032x}": 64}
    rows = _with_content(spark, tables({**WORLD, "thumbnails": thumbnails}), sides).collect()
    assert {int(row["image_id"], 16): bytes(row["content"]) for row in rows} == {1: png(9), 2: png(18), 5: b"small"}


def test_pictures_are_named_and_linked_from_the_page(tmp_path: Path) -> None:
    folder = tmp_path / "my images"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a%b <c>.jpg").write_bytes(b"x")
    page = str(tmp_path / "out" / "report.html")
    folders = {"posts": str(folder), "far": "s3a://bucket/images"}
    assert _link(page, folders, "posts", "sub/a%b <c>.jpg") == "../my%20images/sub/a%25b%20%3Cc%3E.jpg"
    assert _link(page, folders, "posts", "gone.jpg") == ""
    assert _link(page, folders, "far", "a.jpg") == _link(page, folders, "unknown", "a.jpg") == ""
    assert _link("s3a://bucket/report.html", folders, "posts", "sub/a%b <c>.jpg") == ""
