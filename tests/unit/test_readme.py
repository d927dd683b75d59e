"""The README and docs/ say what is so: stages, tables, files, make targets, commands, options, keys and reasons."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
import typer
import yaml

from twigma_spark.cli.main import app
from twigma_spark.config.overlays import load
from twigma_spark.config.settings import Config
from twigma_spark.pipeline import STAGES
from twigma_spark.schedule import dependencies
from twigma_spark.schemas import TABLES

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
INFERENCE = DOCS["inference"]
# Pages whose every key, command and target must exist; inference and scaling name keys of Spark too.
PAGES = "\n".join([README, *(text for name, text in DOCS.items() if name not in ("inference", "scaling", "metrics"))])
# Programs of others; their options are not ours.
FOREIGN = ("aws ", "spark-submit --archives ", "databricks ", "python submit.py ", "uvx ", "embedding-atlas ")
FILE = (".json", ".yaml", ".yml", ".html", ".py", ".md", ".sh", ".lock", ".safetensors")


def section(text: str, heading: str) -> str:
    """Return what stands under a heading of the second level."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"README must have a section '{heading}'."
    return found[1]


def table(text: str) -> list[list[str]]:
    """Return the cells of the first table, without its head."""
    block = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert block, "the section must have a table."
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in block[0].splitlines()[2:]]


def code(text: str) -> list[str]:
    """Return the lines of the fenced blocks and the spans between backticks."""
    fenced = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [line.strip() for block in fenced for line in block.splitlines()] + spans


def names(tables: Iterable[str]) -> str:
    """Return a cell of table names."""
    return ", ".join(f"`{name}`" for name in tables) or "–"


def missing_files(text: str, folder: Path = ROOT) -> list[str]:
    """Return the links of a page in `folder` that lead nowhere."""
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    return [link for link in links if "://" not in link and not (folder / link.partition("#")[0]).exists()]


def unknown_targets(text: str, makefile: str) -> list[str]:
    """Return the make targets that are named in code and are not in the Makefile."""
    named = {target for line in code(text) for target in re.findall(r"\bmake ([a-z][a-z0-9-]*)", line)}
    return sorted(named - set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE)))


def unknown_commands(text: str) -> list[str]:
    """Return the subcommands and options of `twigma` that are named in code and do not exist.

    Lines that run Embedding Atlas, a program of others, have its options.
    """
    group = typer.main.get_command(app)
    commands = getattr(group, "commands", {})
    options = {option for command in commands.values() for each in command.params for option in each.opts}
    lines = [line for line in code(text) if not line.startswith(FOREIGN)]
    used = {f"twigma {name}" for line in lines for name in re.findall(r"\btwigma ([a-z][a-z-]*)", line)}
    flags = {flag for line in lines for flag in re.findall(r"(?<!\S)--[a-z-]+", line)}
    return sorted((used - {f"twigma {name}" for name in commands}) | (flags - options))


def unknown_keys(text: str) -> list[str]:
    """Return the keys of the configuration, such as `models.image`, that are named in code and do not exist."""
    spans = {s for s in code(text) if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", s) and not s.endswith(FILE)}
    known = Config().model_dump()
    return sorted(s for s in spans if s.partition(".")[0] in known and not _reaches(known, s.split(".")))


def _reaches(data: object, parts: list[str]) -> bool:
    for part in parts:
        if not isinstance(data, dict) or part not in data:
            return False
        data = data[part]
    return True


def test_the_table_of_stages_is_the_pipeline() -> None:
    rows = table(section(DOCS["stages"], "Stages"))
    waits_for = dependencies(STAGES)
    assert rows == [
        [f"`{s.name}`", s.summary, names(waits_for[s.name]), names(s.reads), names(s.writes)] for s in STAGES
    ]


def test_the_list_of_tables_is_the_declared_one() -> None:
    rows = table(section(DOCS["stages"], "Tables"))
    assert rows == [[f"`{t.name}`", t.comment.rstrip(".")] for t in TABLES.values()]


def test_every_relative_link_leads_to_a_file() -> None:
    assert missing_files(README) == []
    assert {name: missing_files(text, ROOT / "docs") for name, text in DOCS.items()} == {name: [] for name in DOCS}


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < 200


def test_every_make_target_exists() -> None:
    assert unknown_targets(PAGES, (ROOT / "Makefile").read_text()) == []


def test_the_page_on_inference_names_what_exists() -> None:
    keys = {key for key in code(INFERENCE) if key.partition(".")[0] in Config().model_dump()}
    assert {"embed.batch_size", "embed.commit_every", "ingest.max_pixels"} <= keys
    spark_s_own = {"spark.task.resource.gpu.amount", "spark.executor.memoryOverhead", "spark.task.maxFailures"}
    assert set(unknown_keys(INFERENCE)) <= spark_s_own
    assert unknown_targets(INFERENCE, (ROOT / "Makefile").read_text()) == []
    paths = [span for span in code(INFERENCE) if span.startswith(("conf/", "twigma_spark/"))]
    assert paths and all((ROOT / path).exists() for path in paths)


def test_every_command_and_option_exists() -> None:
    assert unknown_commands(PAGES) == []


def test_every_command_is_described() -> None:
    named = {name for line in code(DOCS["commands"]) for name in re.findall(r"\btwigma ([a-z][a-z-]*)", line)}
    assert named == set(getattr(typer.main.get_command(app), "commands", {}))


def test_every_key_of_the_configuration_exists() -> None:
    assert unknown_keys(PAGES) == []


def test_every_example_of_a_configuration_is_valid(tmp_path: Path) -> None:
    examples = re.findall(r"^```yaml\n(.*?)^```", PAGES, re.MULTILINE | re.DOTALL)
    assert examples
    for n, example in enumerate(examples):
        file = tmp_path / f"{n}.yaml"
        file.write_text(example)
        assert load([file]).corpora == Config.model_validate(yaml.safe_load(example)).corpora


def test_every_reason_of_a_reject_is_one_of_the_code() -> None:
    source = "".join(path.read_text() for path in (ROOT / "twigma_spark").rglob("*.py"))
    reasons = [
        r for row in table(section(DOCS["corpora"], "Rejects and the account")) for r in re.findall(r"`(\w+)`", row[0])
    ]
    assert reasons
    assert [reason for reason in reasons if f'"{reason}"' not in source] == []


def test_the_licence_is_the_one_that_the_package_names() -> None:
    assert (ROOT / "LICENSE").read_text().lstrip().startswith("Apache License\n")
    assert 'license="Apache-2.0"' in (ROOT / "setup.py").read_text()


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (missing_files("[a](no/such/file.md) [b](https://example.org) [c](README.md)"), "no/such/file.md"),
        (unknown_targets("Run `make demi` or `make demo`.", "demo:\n"), "demi"),
        (unknown_commands("```sh\n.venv/bin/twigma runn\n```"), "twigma runn"),
        (unknown_commands("`twigma run --fast`"), "--fast"),
        (unknown_commands("1. Do:\n\n   ```sh\n   aws s3 ls --human\n   twigma run --faster\n   ```"), "--faster"),
        (unknown_keys("`embed.batch`, `embed.batch_size`, `cluster.json`"), "embed.batch"),
    ],
)
def test_what_does_not_exist_is_seen(found: list[str], fault: str) -> None:
    assert found == [fault]
