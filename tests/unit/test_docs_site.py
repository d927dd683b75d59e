"""The pages that are made from the code say what it says, and the site of all pages loads nothing from elsewhere."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from twigma_spark.schemas import TABLES

ROOT = Path(__file__).resolve().parents[2]


def rows(page: str) -> list[list[str]]:
    """Return the cells of all tables of a page."""
    lines = (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if line.startswith("| `")]


def leaves(data: Any, above: str = "") -> dict[str, Any]:
    """Return the values of a configuration by their dotted keys; a list is one value, and so is an empty mapping."""
    if not isinstance(data, dict) or not data:
        return {above: data}
    return {k: v for key, value in data.items() for k, v in leaves(value, f"{above}.{key}" if above else key).items()}


def test_the_page_of_keys_has_every_key_of_base_yaml_with_its_default() -> None:
    said = {name.strip("`"): default.strip("`") for name, default, _ in rows("configuration.md")}
    base = yaml.safe_load((ROOT / "conf/base.yaml").read_text(encoding="utf-8"))
    like_embed = {"score", "phash", "caption", "embed_text", "baselines"}
    for key, value in leaves(base).items():
        section, _, rest = key.partition(".")
        name = f"embed.{rest}" if section in like_embed and key not in said else key
        default = yaml.safe_load(f"[{said[name]}]")
        assert (default if name == "cluster.clusterings" else default[0]) == value, key


def test_the_page_of_keys_says_what_each_means() -> None:
    meaning = {name.strip("`"): said for name, _, said in rows("configuration.md")}
    assert meaning["cluster.sample"] == "images that they rest on"
    # A comment of several lines, the keys of entries, a link to a page, and a default within a comment.
    assert meaning["ingest.max_bytes"].endswith("else spark.executor.memory, over its tasks)")
    assert meaning["corpora[].role"] == "posts (under study), generated, natural or art"
    assert "[inference.md](inference.md)" in meaning["models.image.decode"]
    assert ["`likes.boosting[].leaves`", "`31`", "of a tree"] in rows("configuration.md")
    without = {name for name, said in meaning.items() if not said}
    assert all(re.match(r"models\.(image|caption)\.", name) for name in without)


def test_the_page_of_tables_has_every_column() -> None:
    declared = [[f"`{c.name}`", f"`{c.type}`"] for table in TABLES.values() for c in table.columns]
    assert [row[:2] for row in rows("tables.md")] == declared
    text = (ROOT / "docs/tables.md").read_text(encoding="utf-8")
    assert "Written by `fetch` (append), read by `fetch`, `ingest`, `report`." in text
    assert "Written by `twigma purge` (merge)" in text


@pytest.fixture(scope="module")
def site() -> dict[str, Any]:
    """What mkdocs calls while it builds the site."""
    pytest.importorskip("mkdocs", reason="mkdocs is not installed (extra docs)")
    return runpy.run_path(str(ROOT / "deploy/docs_site.py"))


@pytest.mark.parametrize(("markup", "found"), [
    ('<script src="https://a.org/x.js"></script>', ["https://a.org/x.js"]),
    ('<link rel="preconnect stylesheet" href="//a.org/f.css">', ["//a.org/f.css"]),
    ('<img srcset="https://a.org/x.png 2x"><iframe src="HTTP://a.org">', ["https://a.org/x.png 2x", "HTTP://a.org"]),
    ('<style>@import "https://a.org/f.css"; b{background:url( //a.org/b.png )}</style>',
     ["https://a.org/f.css", "//a.org/b.png"]),
    ('<p style="background:url(\'https://a.org/b.png\')"><svg><use href="https://a.org/s.svg#a"/></svg>',
     ["https://a.org/b.png", "https://a.org/s.svg#a"]),
    ('<a href="https://a.org">a</a><link rel="canonical" href="https://a.org/p"><img src="a.png">'
     '<img src="data:image/png;base64,AA=="><script>fetch("https://a.org")</script>', []),
])  # fmt: skip
def test_what_a_page_loads_from_elsewhere_is_found(
    site: dict[str, Any], tmp_path: Path, markup: str, found: list[str]
) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<html><head></head><body>{markup}</body></html>")
    assert site["loaded"](page) == found


def test_links_to_files_of_the_repository_become_their_names(site: dict[str, Any]) -> None:
    text = "[conf/base.yaml](../conf/base.yaml), [errors](../a/errors.py#L1), [cli/](../a/cli), [r](r.md#x)"
    changed = site["OUTSIDE"].sub(site["name_file"], text)
    assert changed == "`conf/base.yaml`, errors (`a/errors.py`), `a/cli`, [r](r.md#x)"


def test_the_site_is_built_without_a_warning_and_without_the_network(site: dict[str, Any], tmp_path: Path) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site")))
    start = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert "Start in five minutes" in start and "Content-Security-Policy" in start
