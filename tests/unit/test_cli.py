"""The command line: what it says, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from twigma_spark.cli.main import main
from twigma_spark.errors import ConfigError, ExitCode, HeldError, StageError

ROOT = Path(__file__).resolve().parents[2]
NO_STORE = SimpleNamespace(spark=None)
NO_DISK = StageError("embed", None, "x", ExitCode.PLATFORM)


def ended(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(caught.value.code or 0)


def test_a_wrong_configuration_ends_with_2_and_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("run", "--conf", "none.yaml", "--set", "embed.batch_size=0") == 2
    output = capsys.readouterr().err
    assert "none.yaml: the file does not exist" in output
    assert "embed.batch_size" in output
    assert "Traceback" not in output


def test_an_unknown_stage_is_told_before_spark_is_started(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("stage", "embedd") == 2
    assert "must be one of fetch" in capsys.readouterr().err


def test_an_unknown_option_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("run", "--config", "x.yaml") == 2
    assert "--config" in capsys.readouterr().err


def test_a_sample_too_small_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert ended("sample", "--out", str(tmp_path / "s"), "--size", "3") == 2
    assert "size" in capsys.readouterr().err


def test_a_sample_is_not_drawn_over_other_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    assert ended("sample", "--out", str(tmp_path), "--size", "80") == 2
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_the_command_line_imports_nothing_that_takes_seconds() -> None:
    heavy = "{'pyspark', 'pandas', 'scipy', 'sklearn', 'torch', 'plotly', 'PIL'}"
    code = f"import sys, twigma_spark.cli.main; sys.exit(', '.join({heavy} & set(sys.modules)) or None)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_is_one_line_and_its_code(
    number: int, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(10)

    monkeypatch.setattr("twigma_spark.cli.run.open_store", lambda *given, **named: nullcontext(NO_STORE))
    monkeypatch.setattr("twigma_spark.pipeline.run", interrupted)
    assert ended("stage", "report", "--set", "models.scores={}") == code
    assert "interrupted. What the stages have committed is kept" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2), (StageError("embed", None, "x"), 3), (NO_DISK, 4), (HeldError("x"), 5),
        (RuntimeError("x"), 1),
    ],
)  # fmt: skip
def test_a_run_ends_with_the_code_of_what_failed(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise error

    monkeypatch.setattr("twigma_spark.cli.run.open_store", lambda *given, **named: nullcontext(NO_STORE))
    monkeypatch.setattr("twigma_spark.pipeline.run", fail)
    assert ended("stage", "report", "--set", "models.scores={}") == code
    assert ("Traceback" in capsys.readouterr().err) == (code == 1)


HOLDER = """
import sys
from twigma_spark.io.lease import hold, this_process
from twigma_spark.io.lease_files import LocalLeases
with hold(lambda: LocalLeases(sys.argv[1]), sys.argv[1], this_process("other", "run"), 0, print):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_every_command_that_writes_ends_with_5_where_another_run_is_at_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Before Spark is started: also as jobs/ runs it."""
    root, ids = str(tmp_path / "tables"), tmp_path / "ids"
    ids.write_text("1\n")
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLDER, root], stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        settings = ["--set", f"store.root={root}", "--set", f"store.artifacts={tmp_path}"]
        for command in (["stage", "trends"], ["maintain"], ["purge", "--posts", str(ids)]):
            assert ended(*command, *settings) == 5
            assert f"held by run other (twigma run) on {socket.gethostname()}, process {other.pid}, since" in (
                capsys.readouterr().err
            )
        job = [sys.executable, str(ROOT / "jobs" / "run_stage.py"), "trends", *settings]
        done = subprocess.run(job, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
        assert (done.returncode, "held by run other" in done.stderr) == (5, True)
        other.communicate()


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    output = capsys.readouterr().out
    assert all(name in output for name in ("demo", "run", "stage", "sample", "truth", "tables"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--analysis", "no_such"], "--analysis must be one of"),
        (["--format", "xlsx"], "--format must be csv, json or parquet. Got 'xlsx'."),
        (["--format", "parquet"], "--out must name a file for --format parquet. Got none."),
    ],
)
def test_a_wrong_export_is_refused_before_spark_is_started(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert ended("results", *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_is_not_there_is_said_before_spark_is_started(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("similar", "gone.png") == 2
    assert "IMAGE must be a readable file. Got 'gone.png'." in capsys.readouterr().err


FORKING = """
import subprocess, threading
from contextlib import contextmanager
from twigma_spark.cli import common
from twigma_spark.io import store

@contextmanager
def fork_while_importing(*given):
    while threading.active_count() > 1:
        subprocess.run(["true"], preexec_fn=int)  # as PySpark starts its JVM
        threading.Event().wait(0.02)
    yield "store"

store.open_store = fork_while_importing
with common.open_store(None) as opened:
    print(opened)
"""


def test_forking_while_the_stages_are_imported_does_not_hang() -> None:
    """A fork takes logging's lock and waits for the import lock; setuptools' finder holds that one and logs."""
    ended = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout == "store\n"
