"""Writes what follows from the code: the pages of stages, metrics, tables and configuration keys in docs/.

`make deploy-files` runs it; tests/test_wiring.py holds that the files are current.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from twigma_spark import metrics
from twigma_spark.pipeline import STAGES
from twigma_spark.schedule import dependencies
from twigma_spark.schemas import TABLES, Table

ROOT = Path(__file__).resolve().parents[1]
START, END = "<!-- stages: make deploy-files -->\n", "<!-- end of stages -->\n"
BY_HAND = "`make deploy-files` writes this page from {source}; do not edit it by hand."

TABLES_HEAD = f"""# Tables

Every Delta table below `store.root`: its columns, its key and who writes it. Ids are strings everywhere.
[stages.md](stages.md) says in what order the stages run, [lifecycle.md](lifecycle.md) what a purge deletes.
{BY_HAND.format(source="`schemas.py`")}

How a table is written: **replace**, the run's rows are the table; **merge**, rows whose key is not there yet are
inserted; **by stage**, the rows of the writing stage are replaced; **append**, rows are added. Columns of the key are
never null.
"""

KEYS_HEAD = f"""# Configuration

Every key with its default, as [conf/base.yaml](../conf/base.yaml) has it. A file given with `--conf` holds differences
only, a later one wins over an earlier one, and `--set KEY=VALUE` wins over all. Unknown keys are refused, and all
faults are said at once. `twigma check --conf FILE` looks at a configuration, its files and its models before anything
runs.
{BY_HAND.format(source="`conf/base.yaml`, whose values the tests hold against the code")}
"""

# A line of base.yaml: its indent, key, anchor, alias or value, and comment.
KEY = re.compile(r"( *)([\w<][\w <.-]*?):(?: +&(\w+))?(?: +\*(\w+))?(?: +([^#&*\s].*?))?(?: +# ?(.*))?")
COMMENT = re.compile(r" +# ?(.*)")
# In a comment: the key of an entry, its default where it has one, and what is said of it.
ENTRY = re.compile(r" {2,4}(\w+) {2,}(?:(\S+) {2,})?(.*)")
PAGE = re.compile(r"docs/(\w+\.md)")
# Of tables that no stage writes.
OTHER_WRITERS = {"runs": "each run of a stage", "tombstones": "`twigma purge`"}


@dataclass
class Key:
    """A key of the configuration.

    Attributes:
        name: with dots; `corpora[].path` is a key of each entry.
        default: as YAML.
        comment: what is said of it.
        like: the section whose keys it has too.
    """

    name: str
    default: str = ""
    comment: str = ""
    like: str = ""


def files() -> dict[Path, str]:
    """Return the text of each generated file by its path; around the generated part it stays as it is."""
    page = ROOT / "docs/stages.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    base = (ROOT / "conf/base.yaml").read_text(encoding="utf-8")
    return {
        ROOT / "docs/metrics.md": metrics.format_markdown(),
        ROOT / "docs/tables.md": TABLES_HEAD + "".join(describe_table(table) for table in TABLES.values()),
        ROOT / "docs/configuration.md": KEYS_HEAD + "".join(describe_keys(parse_keys(base))),
        page: before + START + stage_table() + END + after,
    }


def stage_table() -> str:
    """Return the table of stages of docs/stages.md."""
    waits_for = dependencies(STAGES)
    rows = [
        f"| `{s.name}` | {s.summary} | {_names(waits_for[s.name])} | {_names(s.reads)} | {_names(s.writes)} |\n"
        for s in STAGES
    ]
    return "\n| stage | what it does | waits for | reads | writes |\n|---|---|---|---|---|\n" + "".join(rows) + "\n"


def describe_table(table: Table) -> str:
    """Return the section of a table in docs/tables.md."""
    writers = [f"`{s.name}`" for s in STAGES if table.name in s.writes] or [OTHER_WRITERS[table.name]]
    facts = [
        f"Key: {_names(table.key)}. Written by {', '.join(writers)} ({table.mode.replace('_', ' ')}), ",
        f"read by {_names(s.name for s in STAGES if table.name in s.reads)}.",
        f" A folder for each {_names(table.partition_by)}." if table.partition_by else "",
        f" Checked: {'; '.join(f'`{check}`' for check in table.checks.values())}." if table.checks else "",
    ]
    rows = [f"| `{c.name}` | `{c.type}` | {_cell(c.comment)} |\n" for c in table.columns]
    head = f"\n## {table.name}\n\n{table.comment}\n\n{''.join(facts)}\n"
    return head + "\n| column | type | what it holds |\n|---|---|---|\n" + "".join(rows)


def parse_keys(text: str) -> list[Key]:
    """Return the keys of base.yaml in their order, with the comments beside and below them."""
    found: list[Key] = []
    above: list[tuple[int, Key]] = []  # the keys that the line stands below, with their indents
    anchors: dict[str, str] = {}
    for line in text.splitlines():
        if comment := COMMENT.fullmatch(line):
            _go_on(found, comment[1])
        elif key := KEY.fullmatch(line):
            indent, name, anchor, alias, default, said = (part or "" for part in key.groups())
            above = [each for each in above if each[0] < len(indent)]
            if name == "<<":
                above[-1][1].like = anchors[alias]
                continue
            full = f"{above[-1][1].name}.{name}" if above else name
            found.append(Key(full, default, said, anchors[alias] if alias else ""))
            above.append((len(indent), found[-1]))
            anchors |= {anchor: full} if anchor else {}
        elif line.strip().startswith("- "):  # entries of a list, a line each
            found[-1].default += f"{', ' if found[-1].default else ''}{line.strip()[2:]}"
    return found


def _go_on(found: list[Key], comment: str) -> None:
    """Take the next line of a comment: it goes on with the last key, or describes a key of its entries."""
    if entry := ENTRY.fullmatch(comment):
        parent = found[-1].name.partition("[]")[0]
        found.append(Key(f"{parent}[].{entry[1]}", entry[2] or "", entry[3]))
    elif found:
        found[-1].comment += f" {comment.strip()}"


def describe_keys(keys: Iterable[Key]) -> Iterator[str]:
    """Yield the sections of docs/configuration.md: one for each key of the first level."""
    for name, group in groupby(keys, key=lambda key: re.split(r"[.[]", key.name)[0]):
        first, *rest = group
        rows = [*([first] if first.default else []), *rest]
        yield f"\n## {name}\n"
        if first.comment and not first.default:
            yield f"\n{_cell(first.comment)}\n"
        if first.like:
            yield f"\nThe keys of [{first.like}](#{first.like}){', and' if rows else '.'}\n"
        if rows:
            yield "\n| key | default | meaning |\n|---|---|---|\n"
        for key in rows:
            yield f"| `{key.name}` | {f'`{_cell(key.default)}`' if key.default else ''} | {_cell(key.comment)} |\n"


def _cell(text: str) -> str:
    """Return a text as a cell of a table, with links to the pages that it names."""
    return PAGE.sub(r"[\1](\1)", text).replace("|", "\\|")


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
