"""The house: a floor imports only lower floors, never a sibling package; reads and writes stay in io/."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "twigma_spark"
FLOORS = {
    "errors": 0,
    "redaction": 0, "results": 0, "vectors": 0, "schemas": 1, "metrics": 1, "config": 1,
    "io": 2, "models": 2, "stats": 2,
    "report": 3, "transforms": 3, "estimators": 3, "sample": 3,
    "stages": 4,
    "runner": 5, "schedule": 5, "checks": 5, "queries": 5, "ranking": 5, "release": 5, "collecting": 5, "purging": 5,
    "listening": 5, "deployment": 5, "atlas": 5, "changes": 5,
    "starter": 6, "inspecting": 6, "pipeline": 6, "status": 6,
    "cli": 7,
}  # fmt: skip
ONLY_IN = {
    "torch": (
        "models/",
        "estimators/reward.py",
        "estimators/torch_index.py",
        "estimators/bf16_index.py",
        "estimators/bf16_products.py",
    ),
    "torchvision": ("models/",),
    "open_clip": ("models/",),
    "transformers": ("models/",),
    "onnxruntime": ("models/",),
    "faiss": ("estimators/",),
    "delta": ("io/",),
}
NOT_IN = {"pyspark": ("models/", "stats/", "sample/", "config/", "errors.py")}
STORAGE = {"read", "readStream", "write", "writeStream", "writeTo"}
JVM = {"sparkContext", "_jvm", "_jsc", "_jdf", "_jsparkSession", "rdd", "toJSON"}
# Serverless compute keeps no frames, and Spark Connect 3.5 makes no checkpoints.
KEPT = {"persist", "unpersist", "localCheckpoint", "checkpoint", "storageLevel", "foreachPartition"}


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the full names that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def attributes(tree: ast.AST) -> Iterator[str]:
    """Yield the attributes that are taken of something called spark, session, frame or the like."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr


def faults_in(place: str, source: str) -> list[str]:
    """Return what a file at `place` (below the package) does against the rules of the house."""
    tree, room = ast.parse(source), place.split("/")[0].removesuffix(".py")
    found = []
    for name in imports(tree):
        top, _, rest = name.partition(".")
        other = rest.split(".")[0]
        if top == "twigma_spark" and other != room and FLOORS.get(other, 99) >= FLOORS.get(room, -1):
            found.append(f"{place} imports {name}: not a lower floor")
        if not place.startswith(ONLY_IN.get(top, ("",))):
            found.append(f"{place} imports {top}: only in {', '.join(ONLY_IN[top])}")
        if place.startswith(NOT_IN.get(top, ("\0",))):
            found.append(f"{place} imports {top}: not in this room")
    taken = set(attributes(tree))
    if not place.startswith("io/"):
        found += [
            f"{place} uses .{name}: storage is read and written in io/"
            for name in sorted(taken & STORAGE & spark_uses(tree))
        ]
    if place != "io/session.py":
        found += [f"{place} uses .{name}: the JVM is io/session.py's" for name in sorted(taken & JVM)]
    found += [f"{place} uses .{name}: not for Spark Connect: StageContext.materialize" for name in sorted(taken & KEPT)]
    if place in ("io/session.py", "io/frames.py"):
        return found
    return found + [f"{place}: {what} is not for Spark Connect: {instead}" for what, instead in classic(tree)]


def classic(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield what only classic frames and columns understand, and what to write instead."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "DataFrame":
            yield f"DataFrame.{node.attr}", "call the frame's own method, or io.frames.union"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            asked = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
            for name in sorted(asked & {"DataFrame", "Column"}):  # those of Spark Connect 3.5 are classes of their own
                yield f"isinstance(..., {name})", "ask for what it is not"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "count":
            of = node.func.value
            if not node.args and not (isinstance(of, ast.Call) and ast.unparse(of.func).endswith(".groupBy")):
                yield ".count()", "io.frames.count_rows"
        if isinstance(node, ast.Subscript) and ast.unparse(node.slice).startswith("F."):
            yield f"[{ast.unparse(node.slice)}]", "F.element_at"


def spark_uses(tree: ast.AST) -> set[str]:
    """Return the storage attributes that are not calls: `spark.read`, `df.write`; a file's `.read()` is a call."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    uses = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and id(n) not in called}
    return uses | {
        n.func.attr
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr == "writeTo"
    }


def cycles(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules that cannot be put in an order in which each comes after what it imports."""
    left = dict(graph)
    while ready := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in ready:
            del left[name]
    return sorted(left)


FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


def test_every_room_has_a_floor() -> None:
    rooms = {place.split("/")[0].removesuffix(".py") for place in FILES} - {"__init__"}
    assert rooms == set(FLOORS)


@pytest.mark.parametrize("place", FILES)
def test_floor(place: str) -> None:
    assert faults_in(place, (ROOT / place).read_text()) == []


def test_no_cycles() -> None:
    modules = {"twigma_spark." + place.removesuffix(".py").replace("/", "."): place for place in FILES}
    graph = {}
    for name, place in modules.items():
        used = imports(ast.parse((ROOT / place).read_text()))
        graph[name] = {u if u in modules else u.rpartition(".")[0] for u in used} & modules.keys() - {name}
    assert cycles(graph) == []


def test_init_files_are_empty() -> None:
    assert [p for p in FILES if p.endswith("__init__.py") and (ROOT / p).read_text().strip()] == []


@pytest.mark.parametrize(
    ("place", "source", "fault"),
    [
        ("stats/x.py", "from twigma_spark.io.tables import Store", "not a lower floor"),
        ("stats/x.py", "from twigma_spark.models.decode import probe", "not a lower floor"),
        ("transforms/x.py", "import twigma_spark.pipeline", "not a lower floor"),
        ("transforms/x.py", "import torch", "only in models/"),
        ("stages/x.py", "def f():\n    import faiss", "only in estimators/"),
        ("models/x.py", "from pyspark.sql import DataFrame", "not in this room"),
        ("stages/x.py", "spark.read.table('x')", "storage"),
        ("transforms/x.py", "df.write.save('x')", "storage"),
        ("transforms/x.py", "df.writeTo('x').append()", "storage"),
        ("estimators/x.py", "spark.sparkContext.broadcast(1)", "io/session.py"),
        ("transforms/x.py", "df.rdd.map(f)", "io/session.py"),
        ("transforms/x.py", "reduce(DataFrame.unionByName, frames)", "not for Spark Connect"),
        ("transforms/x.py", "numbers[F.col('cluster')]", "not for Spark Connect"),
        ("transforms/x.py", "isinstance(given, DataFrame | str)", "not for Spark Connect"),
        ("stages/x.py", "n = df.where('x').count()", "count_rows"),
        ("stages/x.py", "df.select('x').persist()", "materialize"),
        ("io/x.py", "df.localCheckpoint()", "materialize"),
        ("io/x.py", "df._jdf.queryExecution()", "io/session.py"),
    ],
)
def test_a_broken_rule_is_seen(place: str, source: str, fault: str) -> None:
    assert any(fault in f for f in faults_in(place, textwrap.dedent(source)))


def test_a_kept_rule_is_not_a_fault() -> None:
    assert faults_in("stages/x.py", "from twigma_spark.io.tables import Store\nopen('x').read()") == []
    assert faults_in("stages/x.py", "df.groupBy('a').count()\n'text'.count('t')") == []


def test_a_cycle_is_seen() -> None:
    assert cycles({"a": {"b"}, "b": {"a"}, "c": set()}) == ["a", "b"]
