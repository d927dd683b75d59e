"""The packages pinned for each runtime: all that setup.py asks for, within its bounds, and such as can be imported."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PIN = runpy.run_path(str(ROOT / "deploy" / "pin.py"))
RUNTIMES: dict[str, Any] = PIN["RUNTIMES"]


def setup_arguments() -> dict[str, Any]:
    """Return what setup.py hands to setuptools."""
    with pytest.MonkeyPatch.context() as patch:
        found: dict[str, Any] = {}
        patch.setattr("setuptools.setup", lambda **arguments: found.update(arguments))
        runpy.run_path(str(ROOT / "setup.py"))
    return found


def pinned(text: str) -> dict[str, Version]:
    """Return the version of each package of a file of pins, by its normalised name."""
    found = re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", text, re.MULTILINE)
    return {normalised(name): Version(version) for name, version in found}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def disagreements(pins: dict[str, Version], wanted: list[str]) -> list[str]:
    """Return the requirements that no pin satisfies."""
    requirements = [Requirement(text) for text in wanted]
    return [
        str(each)
        for each in requirements
        if (pin := pins.get(normalised(each.name))) is None or not each.specifier.contains(pin)
    ]


@pytest.fixture(scope="module")
def setup() -> dict[str, Any]:
    return setup_arguments()


@pytest.fixture(params=sorted(RUNTIMES))
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def text(runtime: str) -> str:
    return (PIN["FOLDER"] / f"{runtime}.txt").read_text(encoding="utf-8")


def test_every_requirement_is_pinned_within_its_bounds(runtime: str, text: str, setup: dict[str, Any]) -> None:
    extras = [each for extra in RUNTIMES[runtime].extras for each in setup["extras_require"][extra]]
    assert disagreements(pinned(text), [*setup["install_requires"], *extras]) == []
    assert disagreements(pinned(text), list(RUNTIMES[runtime].pins)) == []


def test_numpy_and_pyarrow_are_of_one_generation(text: str) -> None:
    pins = pinned(text)
    assert pins["numpy"].major == 1 and pins["pyarrow"].major < 24


def test_there_is_one_onnxruntime_one_faiss_and_no_pyspark(runtime: str, text: str) -> None:
    names = pinned(text).keys()
    wanted = "onnxruntime-gpu" if "gpu" in RUNTIMES[runtime].extras else "onnxruntime"
    assert [name for name in names if name.startswith("onnxruntime")] == [wanted]
    assert [name for name in names if name.startswith("faiss")] == ["faiss-cpu"]
    assert not names & {"pyspark", "delta-spark"}, "they are the platform's"


def test_torch_runs_on_the_drivers_of_the_platforms(runtime: str, text: str) -> None:
    names = pinned(text).keys()
    assert any(name.endswith("-cu12") for name in names) == ("models" in RUNTIMES[runtime].extras)
    assert not any(name.endswith("-cu13") for name in names)


def test_every_pin_has_its_hashes(text: str) -> None:
    blocks = re.split(r"^(?=[A-Za-z0-9_.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(blocks) > 50 and all("--hash=sha256:" in block for block in blocks)


def test_without_models_the_versions_are_those_of_the_cluster() -> None:
    cluster, serverless = (pinned((PIN["FOLDER"] / f"{name}.txt").read_text()) for name in ("emr", "emr_serverless"))
    assert {name: serverless[name] for name in serverless.keys() & cluster.keys()}.items() <= cluster.items()
    assert serverless.keys() - cluster.keys() == {"onnxruntime"}
    assert "torch" in cluster and "torch" not in serverless


def test_cpu_and_gpu_are_never_one_environment(setup: dict[str, Any]) -> None:
    extras = setup["extras_require"]
    shared = {extra for extra, wanted in extras.items() if any("onnxruntime" in each for each in wanted)}
    assert shared == {"cpu", "gpu"}


@pytest.mark.parametrize(
    ("pins", "fault"), [({}, "numpy<2,>=1.26"), ({"numpy": Version("2.1.0")}, "numpy<2,>=1.26")], ids=["none", "other"]
)
def test_a_pin_that_is_missing_or_out_of_bounds_is_seen(pins: dict[str, Version], fault: str) -> None:
    assert disagreements(pins, ["numpy>=1.26,<2"]) == [fault]
