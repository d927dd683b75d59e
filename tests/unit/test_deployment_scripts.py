"""The scripts of EMR's nodes, with the machine's programs replaced by ones that write down how they were called."""

from __future__ import annotations

import io
import json
import os
import runpy
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from twigma_spark.cli.main import main
from twigma_spark.config.overlays import find
from twigma_spark.deployment import folder
from twigma_spark.pipeline import STAGES
from twigma_spark.schedule import dependencies

NODE = folder.files_of("emr_files")


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """Return a machine: bin/ with its programs, devices/ with what is on its bus, calls with what was run."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "devices" / "0000:00:1e.0").mkdir(parents=True)
    for name in ("sudo", "dnf", "python3.11", "aws"):
        program(tmp_path, name, "")
    home = tmp_path / "home"
    (home / "bin").mkdir(parents=True)
    (home / "deploy" / "wheels").mkdir(parents=True)
    (home / "deploy" / "wheels" / "twigma_spark-0.1.0-py3-none-any.whl").touch()
    (home / "deploy" / "get_gpus.sh").touch()
    (tmp_path / "bin" / "pip").symlink_to(tmp_path / "bin" / "aws")
    (home / "bin" / "pip").write_text(f'#!/bin/bash\necho "pip $@" >> {tmp_path}/calls\n')
    (home / "bin" / "pip").chmod(0o755)
    return tmp_path


def program(node: Path, name: str, body: str) -> None:
    path = node / "bin" / name
    path.write_text(f'#!/bin/bash\necho "{name} $@" >> {node}/calls\n{body}\n')
    path.chmod(0o755)


def device(node: Path, vendor: str, kind: str) -> None:
    for name, value in (("vendor", vendor), ("class", kind)):
        (node / "devices" / "0000:00:1e.0" / name).write_text(value + "\n")


def bootstrap(node: Path) -> tuple[int, str, str]:
    """Return the exit code of bootstrap.sh, its errors, and the calls it made."""
    env = {
        "PATH": f"{node / 'bin'}:{os.environ['PATH']}",
        "TWIGMA_HOME": str(node / "home"),
        "TWIGMA_DEVICES": str(node / "devices"),
    }
    command = ["bash", str(NODE / "bootstrap.sh"), "s3://b/twigma/deploy"]
    ended = subprocess.run(command, capture_output=True, text=True, env=env)
    calls = node / "calls"
    return ended.returncode, ended.stderr, calls.read_text() if calls.exists() else ""


def test_a_node_without_a_gpu_takes_only_the_folder_it_is_given_and_the_pins(node: Path) -> None:
    device(node, "0x1d0f", "0x020000")
    code, errors, calls = bootstrap(node)
    assert (code, errors) == (0, "")
    assert [line for line in calls.splitlines() if line.startswith("aws")] == [
        f"aws s3 sync --only-show-errors --exclude *.tar.gz s3://b/twigma/deploy {node}/home/deploy"
    ]
    assert "--require-hashes" in calls and "--no-deps" in calls and "cgroup" not in calls


def test_a_node_with_a_gpu_mounts_the_cgroups_that_yarn_needs(node: Path) -> None:
    device(node, "0x10de", "0x030200")
    program(node, "nvidia-smi", "exit 0")
    code, _, calls = bootstrap(node)
    assert code == 0
    assert "sudo mount -t cgroup -o devices cgroupv1-devices /spark-rapids-cgroup/devices" in calls


@pytest.mark.parametrize("driver", ["exit 9", "exit 127"])
def test_a_node_with_a_gpu_and_no_driver_fails(node: Path, driver: str) -> None:
    device(node, "0x10de", "0x030200")
    program(node, "nvidia-smi", driver)
    code, errors, calls = bootstrap(node)
    assert code == 1 and "must have NVIDIA's driver" in errors and "pip" not in calls


def test_nvidias_sound_and_network_cards_are_no_gpus(node: Path) -> None:
    device(node, "0x10de", "0x040300")
    assert bootstrap(node)[0] == 0


def test_the_gpus_of_a_node_are_listed_for_spark(node: Path) -> None:
    program(node, "nvidia-smi", "printf '0\\n1\\n'")
    env = {"PATH": f"{node / 'bin'}:{os.environ['PATH']}"}
    found = subprocess.run(["bash", str(NODE / "get_gpus.sh")], capture_output=True, text=True, env=env, check=True)
    assert json.loads(found.stdout) == {"name": "gpu", "addresses": ["0", "1"]}
    program(node, "nvidia-smi", "exit 9")
    assert subprocess.run(["bash", str(NODE / "get_gpus.sh")], capture_output=True, env=env).returncode != 0


@pytest.fixture
def written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return what `twigma deploy emr` wrote."""
    wheel = tmp_path / "twigma_spark-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    main(["deploy", "emr", "--out", str(tmp_path / "emr"), "--wheel", str(wheel)])
    assert "nothing is wrong" in capsys.readouterr().out
    return tmp_path / "emr"


def test_deploy_checks_what_somebody_edited(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (written / "stack.json").read_text()
    (written / "stack.json").write_text(text.replace("cron(0 3 * * ? *)", "cron(0 3 * * *)"))
    with pytest.raises(SystemExit) as ended:
        main(["deploy", "emr", "--out", str(written), "--check"])
    assert ended.value.code == 2
    assert "must have 6 fields. Got 5" in capsys.readouterr().err


def test_deploy_without_a_wheel_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["deploy", "databricks", "--out", "there"])
    assert ended.value.code == 2 and "--wheel must name" in capsys.readouterr().err
    assert not (tmp_path / "there").exists()


@pytest.fixture
def account(written: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """Return submit.py and boto3 in an account that has nothing yet."""
    moto = pytest.importorskip("moto", reason="moto is not installed")
    boto3: Any = pytest.importorskip("boto3", reason="boto3 is not installed")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    submit = runpy.run_path(str(written / "submit.py"))
    with moto.mock_aws():
        yield submit, boto3


def test_submit_brings_the_files_and_starts_the_cluster(written: Path, account: tuple[Any, Any]) -> None:
    submit, boto3 = account
    s3, stacks = boto3.client("s3"), boto3.client("cloudformation")
    s3.create_bucket(Bucket="twigma-test")
    values = {
        "Bucket": "twigma-test",
        "Subnets": "subnet-1,subnet-2",
        "ServiceRole": "s",
        "InstanceProfile": "i",
        "SecurityConfiguration": "c",
    }
    outputs = {name: {"Value": value} for name, value in values.items()}
    template = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}, "Outputs": outputs}
    stacks.create_stack(StackName="twigma", TemplateBody=json.dumps(template))
    submit["main"](["upload"])
    keys = {each["Key"] for each in s3.list_objects_v2(Bucket="twigma-test")["Contents"]}
    wanted = {"bootstrap.sh", "get_gpus.sh", "run.py", "requirements.txt", "conf/emr.yaml", "conf.zip"}
    assert {f"twigma/deploy/{name}" for name in wanted} <= keys and len(keys) == 7
    conf = s3.get_object(Bucket="twigma-test", Key="twigma/deploy/conf/emr.yaml")["Body"].read().decode()
    assert "s3://twigma-test/twigma/tables" in conf and "BUCKET/" not in conf
    packed = s3.get_object(Bucket="twigma-test", Key="twigma/deploy/conf.zip")["Body"].read()
    assert zipfile.ZipFile(io.BytesIO(packed)).read("emr.yaml").decode() == conf
    (cluster,) = submit["main"](["run"])
    emr = boto3.client("emr")
    assert emr.describe_cluster(ClusterId=cluster)["Cluster"]["Name"] == "twigma"
    steps = emr.list_steps(ClusterId=cluster)["Steps"]
    assert {step["Name"] for step in steps} >= {"ingest", "embed", "report"}
    with pytest.raises(KeyError):
        submit["request"]((written / "cluster.json").read_text(), {"Subnets": "subnet-1"})


@pytest.fixture
def serverless(account: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """Return submit.py and boto3 in an account with the two stacks, whose clusters end as they start."""
    submit, boto3 = account
    application = boto3.client("emr-serverless").create_application(releaseLabel="emr-7.13.0", type="SPARK")
    cluster = {"Bucket": "b", "Subnets": "subnet-1", "ServiceRole": "s", "InstanceProfile": "i"}
    role = "arn:aws:iam::123456789012:role/twigma"
    own = {"Bucket": "b", "ApplicationId": application["applicationId"], "JobRole": role}
    for name, values in (("twigma", {**cluster, "SecurityConfiguration": "c"}), ("twigma-serverless", own)):
        outputs = {key: {"Value": value} for key, value in values.items()}
        template = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}, "Outputs": outputs}
        boto3.client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(template))
    run_cluster = submit["run_cluster"]
    monkeypatch.setitem(
        submit["run_rounds"].__globals__,
        "run_cluster",
        lambda names, wait, only: run_cluster(names, wait=False, only=only),
    )
    return submit, boto3


def steps_of(boto3: Any, clusters: list[str]) -> list[set[str]]:
    emr = boto3.client("emr")
    return [{step["Name"] for step in emr.list_steps(ClusterId=cluster)["Steps"]} for cluster in clusters]


def test_serverless_runs_every_stage_once_and_models_on_clusters(serverless: tuple[Any, Any]) -> None:
    submit, boto3 = serverless
    ids = submit["main"](["serverless"])
    clusters = [found for found in ids if found.startswith("j-")]
    models = [{"embed"}, {"score", "caption", "embed_text", "neighbours"}, {"reward"}]
    assert steps_of(boto3, clusters) == models
    client = boto3.client("emr-serverless")
    (application,) = client.list_applications()["applications"]
    jobs = client.list_job_runs(applicationId=application["id"])["jobRuns"]
    assert sorted(job["name"] for job in jobs) == sorted(dependencies(STAGES).keys() - set[str]().union(*models))
    assert len(ids) == len(jobs) + 3


def test_serverless_goes_on_from_a_stage_of_either_kind(serverless: tuple[Any, Any]) -> None:
    submit, boto3 = serverless
    assert len(submit["main"](["serverless", "--from", "report"])) == 1
    reward, report = submit["main"](["serverless", "--from", "reward"])
    assert steps_of(boto3, [reward]) == [{"reward"}] and report
    with pytest.raises(SystemExit, match="must be a stage"):
        submit["main"](["serverless", "--from", "nothing"])


def test_a_job_run_is_waited_for_and_one_that_fails_ends_the_script(
    serverless: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, boto3 = serverless
    states, slept = ["PENDING", "RUNNING", "FAILED"], list[float]()

    class Client:
        def start_job_run(self, **parameters: str) -> dict[str, str]:
            return {"applicationId": "a", "jobRunId": "r"}

        def get_job_run(self, **where: str) -> dict[str, Any]:
            return {"jobRun": {"state": states.pop(0), "stateDetails": "out of disk"}}

    monkeypatch.setattr(boto3, "client", lambda name: Client())
    monkeypatch.setattr("time.sleep", slept.append)
    with pytest.raises(SystemExit, match="ingest ended with FAILED: out of disk"):
        submit["run_job"]({"name": "ingest"})
    assert slept == [30, 30] and states == []


def test_the_overlay_of_emr_is_what_submit_fills_in() -> None:
    text = find("emr").read_text()
    assert "s3://BUCKET/" in text and text.count("BUCKET") - text.count("s3://BUCKET/") == 1, "once in the comment"
