"""Packs Python and pinned packages into an archive for Spark: `python deploy/environment.py`; needs uv and the network.

Spark unpacks it on each node: `--archives emr.tar.gz#environment`, `spark.pyspark.python=./environment/bin/python`. The
Python is one of python-build-standalone, which uv downloads and checks. It brings its own libraries, so a node needs
nothing but glibc and the C++ runtime, which manylinux wheels take from the system. A virtual environment (venv-pack,
`uv venv --relocatable`) would need the same Python at the same path on every node.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "deploy" / "constraints"
PYTHON = "3.11.18"
# Amazon Linux 2023, on which EMR 7 runs, has glibc 2.34.
PLATFORM = "x86_64-manylinux_2_34"
# glibc and the C++ runtime, as the standard of manylinux wheels has them; other libraries must come along.
OF_SYSTEM = (
    "ld-linux-x86-64",
    "libc",
    "libm",
    "libdl",
    "libpthread",
    "librt",
    "libutil",
    "libresolv",
    "libgcc_s",
    "libstdc++",
)
# Parts of the standard library that are libraries of other projects, and packages with compiled parts.
IMPORTED = ("ssl", "sqlite3", "ctypes", "lzma", "bz2", "zlib", "twigma_spark")
IMPORTED_IF_THERE = (
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "PIL",
    "faiss",
    "umap",
    "statsmodels",
    "botocore",
    "torch",
)
CHECK = """
import importlib, importlib.util, sys
required, others = (words.split(",") for words in sys.argv[1:])
for name in (*required, *(name for name in others if importlib.util.find_spec(name))):
    importlib.import_module(name)
print(sys.prefix)
print(open("/proc/self/maps").read())
"""


def uv(*arguments: str | Path) -> None:
    """Run uv.

    Raises:
        SystemExit: it failed, for a reason that it has said itself.
    """
    if subprocess.run([sys.executable, "-m", "uv", *map(str, arguments)], cwd=ROOT, check=False).returncode:
        hint = "; --python names one that is there" if arguments[0] == "python" else ""
        raise SystemExit(f"uv {arguments[0]} {arguments[1]} must succeed. It failed{hint}.")


def download_python(folder: Path) -> Path:
    """Return the folder of a Python of its own, of exactly the version PYTHON."""
    uv("python", "install", f"cpython-{PYTHON}-linux-x86_64-gnu", "--install-dir", folder, "--no-bin", "--quiet")
    (found,) = folder.glob(f"cpython-{PYTHON}-*")
    return found


def build(python: Path, requirements: Path, wheel: Path, environment: Path) -> None:
    """Copy an interpreter into a new folder, and install the pinned packages and the wheel into it.

    Args:
        python: the folder with the interpreter's bin and lib.
        requirements: pins, each with its hashes.
        wheel: this package.
        environment: the folder that is made.
    """
    shutil.copytree(python, environment, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "test", "tests"))
    for mark in environment.glob("lib/python3*/EXTERNALLY-MANAGED"):
        mark.unlink()
    install: list[str | Path] = [
        "pip",
        "install",
        "--quiet",
        "--python",
        environment / "bin" / "python3",
        "--link-mode",
        "copy",
    ]
    uv(*install, "--python-platform", PLATFORM, "--require-hashes", "-r", requirements)
    uv(*install, "--no-deps", wheel)


def clean(environment: Path) -> None:
    """Remove what names the folder that the environment was built in: scripts, and where the wheel came from."""
    for script in (environment / "bin").iterdir():
        if not script.name.startswith("python") or script.name.endswith("-config"):
            script.unlink()
    if not (environment / "bin" / "python").exists():
        (environment / "bin" / "python").symlink_to("python3")
    for origin in environment.glob("lib/python3*/site-packages/*.dist-info/direct_url.json"):
        origin.unlink()


def compile_bytecode(environment: Path) -> None:
    """Compile every module: a node could not keep what it compiles, as archives are unpacked anew for each job."""
    # Checked against neither time nor content: the archive has no times, and nothing in it changes.
    command: list[str | Path] = [
        environment / "bin" / "python",
        "-m",
        "compileall",
        "-q",
        "-q",
        "-f",
        "--invalidation-mode",
    ]
    # Packages bring a few files that are no Python 3 (templates, tests of parsers); they are not imported.
    subprocess.run([*command, "unchecked-hash", "-s", environment, environment / "lib"], check=False)


def pack(environment: Path, out: Path) -> None:
    """Write a folder's content as .tar.gz; the same content makes the same bytes."""

    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        return member

    with (
        out.open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for path in sorted(environment.rglob("*")):
            archive.add(path, path.relative_to(environment).as_posix(), recursive=False, filter=anonymous)


def foreign_libraries(maps: str, environment: Path) -> list[str]:
    """Return the libraries of a process, from its /proc/PID/maps, that are of neither the environment nor OF_SYSTEM."""
    mapped = {line.split(maxsplit=5)[5].strip() for line in maps.splitlines() if len(line.split(maxsplit=5)) == 6}
    libraries = [Path(path) for path in sorted(mapped) if ".so" in Path(path).name]
    return [
        str(path)
        for path in libraries
        if not path.is_relative_to(environment) and path.name.partition(".so")[0] not in OF_SYSTEM
    ]


def check(archive: Path, required: tuple[str, ...] = IMPORTED) -> None:
    """Unpack the archive at another path, as Spark does, and import from it.

    Raises:
        SystemExit: it cannot be imported from there, or takes libraries of this machine.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder).resolve() / "container" / "environment"
        with tarfile.open(archive) as stream:
            stream.extractall(environment, filter="tar")
        words: list[str | Path] = [
            environment / "bin" / "python",
            "-B",
            "-c",
            CHECK,
            ",".join(required),
            ",".join(IMPORTED_IF_THERE),
        ]
        ended = subprocess.run(words, cwd=folder, env={"HOME": folder}, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            raise SystemExit(f"{archive} must work where it is unpacked. It does not:\n{ended.stderr}")
        prefix, _, maps = ended.stdout.partition("\n")
        if Path(prefix).resolve() != environment:
            raise SystemExit(f"{archive} must hold a Python of its own. Got one whose home is {prefix}.")
        if foreign := foreign_libraries(maps, environment):
            raise SystemExit(
                f"{archive} must need nothing but glibc and libstdc++ of a node. Got {', '.join(foreign)}."
            )


def main(arguments: list[str] | None = None) -> Path:
    """Return the archive that was made and checked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pins", nargs="?", default="emr", help="a file of deploy/constraints: emr, or emr_serverless")
    parser.add_argument("--requirements", type=Path, help="another file of pins with hashes")
    parser.add_argument("--wheel", type=Path, help="this package; else the newest of dist")
    parser.add_argument("--python", type=Path, help="folder of a relocatable Python 3.11; else uv downloads it")
    parser.add_argument("--out", type=Path, help="else dist/PINS.tar.gz")
    options = parser.parse_args(arguments)
    wheels = sorted((ROOT / "dist").glob("twigma_spark-*.whl"), key=lambda path: path.stat().st_mtime)
    if not (options.wheel or wheels):
        raise SystemExit("--wheel must name the wheel of this package. Got none in dist; `make wheel` builds it.")
    out: Path = options.out or ROOT / "dist" / f"{options.pins}.tar.gz"
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder).resolve() / "environment"
        python = options.python or download_python(Path(folder) / "python")
        build(
            python,
            options.requirements or CONSTRAINTS / f"{options.pins}.txt",
            options.wheel or wheels[-1],
            environment,
        )
        clean(environment)
        compile_bytecode(environment)
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_name(f"{out.name}.part")
        pack(environment, part)
    try:
        check(part)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    print(f"{out}: {out.stat().st_size / 1e6:,.0f} MB")
    return out


if __name__ == "__main__":
    main()
