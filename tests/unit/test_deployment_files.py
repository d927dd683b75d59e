"""What `twigma deploy` writes: valid by the vendors' models, and as the stages need it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator
from databricks.bundles.jobs import Job
from databricks.bundles.schemas import Schema
from databricks.bundles.secret_scopes import SecretScope
from databricks.bundles.volumes import Volume

from twigma_spark.config.overlays import find, load
from twigma_spark.deployment import compute, emr, emr_serverless, emr_stack, folder, lifecycle
from twigma_spark.errors import ConfigError
from twigma_spark.io import artifacts
from twigma_spark.io.staging import Staging
from twigma_spark.io.tables import Store
from twigma_spark.pipeline import STAGES
from twigma_spark.schedule import dependencies
from twigma_spark.schemas import TABLES

WAITS_FOR = dependencies(STAGES)
TODAY = datetime.date(2026, 11, 30)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dist") / "twigma_spark-0.1.0-py3-none-any.whl"
    path.write_bytes(b"a wheel")
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """Return the folder of the Databricks bundle."""
    out = tmp_path_factory.mktemp("databricks")
    folder.write("databricks", out, find("databricks"), wheel, WAITS_FOR)
    return out


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """Return the folder of the files of EMR."""
    out = tmp_path_factory.mktemp("emr")
    folder.write("emr", out, find("emr"), wheel, WAITS_FOR)
    return out


def resources(bundle: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((bundle / "resources" / f"{name}.yml").read_text())["resources"]
    return found


def job(bundle: Path, name: str = "twigma") -> dict[str, Any]:
    found: dict[str, Any] = resources(bundle, name)["jobs"][name]
    return found


def request(cluster: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((cluster / "cluster.json").read_text())
    return found


def test_nothing_is_wrong_with_what_is_written(bundle: Path, cluster: Path) -> None:
    assert folder.faults("databricks", bundle, TODAY) == []
    assert folder.faults("emr", cluster, TODAY) == []


def test_the_bundle_is_valid_by_the_models_of_databricks(bundle: Path) -> None:
    assert Job.from_dict(job(bundle)) and Job.from_dict(job(bundle, "collect"))
    storage = resources(bundle, "storage")
    assert Schema.from_dict(storage["schemas"]["twigma"]) and Volume.from_dict(storage["volumes"]["files"])
    assert SecretScope.from_dict(storage["secret_scopes"]["twigma"])
    with pytest.raises((ValueError, TypeError)):
        Job.from_dict({**job(bundle), "tasks": [{"task_kee": "x"}]})


def test_tasks_depend_on_each_other_as_the_stages_do(bundle: Path) -> None:
    tasks = job(bundle)["tasks"]
    assert {t["task_key"]: tuple(d["task_key"] for d in t.get("depends_on", ())) for t in tasks} == WAITS_FOR
    assert [task["python_wheel_task"]["parameters"][:2] for task in tasks] == [["stage", name] for name in WAITS_FOR]


def test_models_run_on_gpus_and_tables_do_not(bundle: Path) -> None:
    found = job(bundle)
    kinds = {task["task_key"]: task["job_cluster_key"] for task in found["tasks"]}
    assert {name for name, kind in kinds.items() if kind == "gpu"} == {"embed", "score", "caption", "embed_text"}
    assert {name for name, kind in kinds.items() if kind == "driver_gpu"} == {"neighbours", "reward"}
    clusters = {each["job_cluster_key"]: each["new_cluster"] for each in found["job_clusters"]}
    assert "gpu" not in json.dumps(clusters["cpu"])
    assert clusters["driver_gpu"]["num_workers"] == 0


def test_prod_is_not_what_a_person_runs_and_dev_is_the_default(bundle: Path) -> None:
    targets = yaml.safe_load((bundle / "databricks.yml").read_text())["targets"]
    assert targets["dev"]["default"] and targets["dev"]["mode"] == "development"
    assert targets["prod"]["mode"] == "production" and "service_principal_name" in targets["prod"]["run_as"]


def test_a_secret_is_named_by_its_scope_only(bundle: Path) -> None:
    environment = job(bundle, "collect")["job_clusters"][0]["new_cluster"]["spark_env_vars"]
    assert all(value.startswith("{{secrets/") and value.endswith("}}") for value in environment.values())


def emr_faults(operation: str, parameters: Mapping[str, Any], service: str = "emr") -> str:
    """Return what botocore finds wrong with the parameters of a call of EMR."""
    model = botocore.session.Session().get_service_model(service).operation_model(operation)
    return str(ParamValidator().validate(dict(parameters), model.input_shape).generate_report())


def test_the_cluster_is_valid_by_the_model_of_emr(cluster: Path) -> None:
    assert emr_faults("RunJobFlow", request(cluster)) == ""
    assert "Unknown parameter" in emr_faults("RunJobFlow", {"Name": "x", "Instances": {}, "Stepz": []})
    assert [step["Name"] for step in request(cluster)["Steps"]] == list(WAITS_FOR)


def test_a_step_that_fails_or_lasts_too_long_ends_the_cluster(cluster: Path) -> None:
    found = request(cluster)
    assert {step["ActionOnFailure"] for step in found["Steps"]} == {"TERMINATE_CLUSTER"}
    assert all(step["HadoopJarStep"]["Args"][0] == "timeout" for step in found["Steps"])
    assert found["AutoTerminationPolicy"] and not found["Instances"]["KeepJobFlowAliveWhenNoSteps"]


def properties(found: list[dict[str, Any]], classification: str) -> dict[str, str]:
    (one,) = (each for each in found if each["Classification"] == classification)
    values: dict[str, str] = one["Properties"]
    return values


def test_gpus_are_set_up_as_awss_page_says_and_on_their_nodes_only(cluster: Path) -> None:
    found = request(cluster)
    fleets = {fleet["InstanceFleetType"]: fleet for fleet in found["Instances"]["InstanceFleets"]}
    everywhere = found["Configurations"]
    assert properties(everywhere, "yarn-site")["yarn.resource-types"] == "yarn.io/gpu"
    assert "Dominant" in properties(everywhere, "capacity-scheduler")["yarn.scheduler.capacity.resource-calculator"]
    assert "resource-plugins" not in json.dumps(everywhere)
    assert "Configurations" not in json.dumps([fleets["MASTER"], fleets["CORE"]])
    for node in fleets["TASK"]["InstanceTypeConfigs"]:
        yarn = properties(node["Configurations"], "yarn-site")
        assert yarn["yarn.nodemanager.resource-plugins"] == "yarn.io/gpu"
        assert yarn["yarn.nodemanager.container-executor.class"].endswith("LinuxContainerExecutor")
        assert yarn["yarn.nodemanager.linux-container-executor.cgroups.mount-path"] == emr.CGROUP
        (inner,) = (c for c in node["Configurations"] if c["Classification"] == "container-executor")
        assert properties(inner["Configurations"], "gpu") == {"module.enabled": "true"}
        assert properties(inner["Configurations"], "cgroups") == {"root": emr.CGROUP, "yarn-hierarchy": "yarn"}
    assert "TargetSpotCapacity" in fleets["TASK"] and "TargetSpotCapacity" not in fleets["CORE"]


def test_only_steps_with_models_ask_for_a_gpu(cluster: Path) -> None:
    asking = {s["Name"] for s in request(cluster)["Steps"] if "resource.gpu" in " ".join(s["HadoopJarStep"]["Args"])}
    assert asking == set(compute.MODELS)


def test_the_schedule_starts_the_cluster_with_names_of_the_stack(cluster: Path) -> None:
    template = json.loads((cluster / "stack.json").read_text())
    text, extra = template["Resources"]["Schedule"]["Properties"]["Target"]["Input"]["Fn::Sub"]
    assert json.loads(text) == request(cluster)
    names = {*template["Parameters"], *template["Resources"], *extra}
    assert {part.partition("}")[0] for part in text.split("${")[1:]} <= names
    assert set(emr_stack.OUTPUTS) | {"Subnets"} == set(template["Outputs"])


@pytest.mark.parametrize("name", ["stack.json", "serverless_stack.json"])
def test_the_stack_passes_cfn_lint(name: str, cluster: Path) -> None:
    lint = pytest.importorskip("cfnlint.api", reason="cfn-lint is not installed")
    text = (cluster / name).read_text()
    assert [str(match) for match in lint.lint(text, regions=["us-east-1"])] == []


def rounds(cluster: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((cluster / "serverless.json").read_text())
    return found


def test_fitted_files_are_kept_beside_the_tables_for_the_next_cluster(cluster: Path) -> None:
    store = load(["emr"]).store
    assert artifacts.folder(store.root, store.artifacts).place == "s3://BUCKET/twigma/tables/_artifacts"
    assert "store.artifacts" not in (cluster / "serverless.json").read_text()


def test_job_runs_are_valid_by_the_model_of_emr_serverless(cluster: Path) -> None:
    jobs = [job for turn in rounds(cluster) for job in turn.get("job_runs", ())]
    # botocore makes the token of each call itself, submit.py fills in the names.
    filled = {"clientToken": "t", "executionRoleArn": "arn:aws:iam::123456789012:role/twigma"}
    for job in jobs:
        assert emr_faults("StartJobRun", {**job, **filled}, "emr-serverless") == ""
    assert "Unknown parameter" in emr_faults("StartJobRun", {**jobs[0], **filled, "stage": "x"}, "emr-serverless")
    names = {part.partition("}")[0] for part in json.dumps(jobs).split("${")[1:]}
    assert names == set(emr_stack.SERVERLESS_OUTPUTS)
    assert set(json.loads((cluster / "serverless_stack.json").read_text())["Outputs"]) == names


def test_serverless_runs_what_needs_no_gpu_after_all_that_it_waits_for(cluster: Path) -> None:
    done: list[str] = []
    for turn in rounds(cluster):
        on_serverless = turn["on"] == "serverless"
        for name in [job["name"] for job in turn["job_runs"]] if on_serverless else turn["steps"]:
            assert set(WAITS_FOR[name]) <= set(done)
            assert (compute.kind(load(["emr"]), name) == "cpu") == on_serverless
            done.append(name)
    assert sorted(done) == sorted(WAITS_FOR)
    assert len(rounds(cluster)) == 7
    asking = load(["emr"], ["baselines.models={p: {kind: pickscore, path: /p}}"])
    turns = emr_serverless.rounds(asking, WAITS_FOR)
    assert any("baselines" in turn.get("steps", ()) for turn in turns)


def test_workers_of_serverless_take_python_from_the_archive(cluster: Path) -> None:
    found = emr_serverless.settings(load(["emr"]))
    assert {found[key] for key in found if "PYTHON" in key or key.endswith(".python")} == {"./environment/bin/python"}
    assert "emr_serverless.tar.gz#environment" in found["spark.archives"] and "gpu" not in json.dumps(rounds(cluster))
    application = json.loads((cluster / "serverless_stack.json").read_text())["Resources"]["Application"]["Properties"]
    assert application["MaximumCapacity"] == {"Cpu": "40 vCPU", "Memory": "300 GB", "Disk": "1000 GB"}


def test_edited_files_of_serverless_are_checked(tmp_path: Path, wheel: Path) -> None:
    folder.write("emr", tmp_path, find("emr"), wheel, WAITS_FOR)
    text = (tmp_path / "serverless.json").read_text()
    (tmp_path / "serverless.json").write_text(text.replace("spark.executor.memory=24g", "spark.executor.memory=25g"))
    (fault,) = folder.faults("emr", tmp_path, TODAY)
    assert "spark.executor.memory with" in fault and "Got 45 GB for 8 cores" in fault
    (tmp_path / "serverless.json").write_text(json.dumps(json.loads(text)[:-1]))
    (fault,) = folder.faults("emr", tmp_path, TODAY)
    assert "must name each stage of cluster.json once" in fault


def test_images_too_large_for_a_worker_of_serverless_are_said(tmp_path: Path, wheel: Path) -> None:
    conf = tmp_path / "large.yaml"
    conf.write_text(find("emr").read_text() + "\ningest: {max_pixels: 900000000}\n")
    folder.write("emr", tmp_path / "emr", conf, wheel, WAITS_FOR)
    assert "lower ingest.max_pixels" in " ".join(folder.faults("emr", tmp_path / "emr", TODAY))


def test_the_lifecycle_removes_staging_tables_and_nothing_else(cluster: Path) -> None:
    rules = json.loads((cluster / "lifecycle.json").read_text())
    assert emr_faults("PutBucketLifecycleConfiguration", {"Bucket": "b", "LifecycleConfiguration": rules}, "s3") == ""
    assert {rule["Filter"]["Prefix"] for rule in rules["Rules"]} == {"twigma/tables/_staging_"}
    root = urlsplit(load(["emr"]).store.root).path.strip("/")
    names = [f"{root}/{name}/part-0.parquet" for name in (*TABLES, Staging(Store(None, "x"), "embed", "r1").prefix)]
    assert [name for name in names if name.startswith(rules["Rules"][0]["Filter"]["Prefix"])] == names[-1:]
    # An object is a day old at least when it goes, and no step lasts so long.
    assert max(compute.limit_hours(load(["emr"]), name) for name in WAITS_FOR) < lifecycle.DAYS * 24


@pytest.mark.parametrize(
    ("root", "prefix"), [("s3://b", "_staging_"), ("s3a://b/x/", "x/_staging_"), ("main.twigma", None), ("/d", None)]
)
def test_the_lifecycle_is_of_stores_in_s3(root: str, prefix: str | None) -> None:
    rules = lifecycle.rules(root)
    assert (rules and rules["Rules"][0]["Filter"]["Prefix"]) == prefix


def test_a_bucket_takes_the_lifecycle(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moto = pytest.importorskip("moto", reason="moto is not installed")
    boto3: Any = pytest.importorskip("boto3", reason="boto3 is not installed")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    rules = json.loads((cluster / "lifecycle.json").read_text())
    with moto.mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="twigma-test")
        s3.put_bucket_lifecycle_configuration(Bucket="twigma-test", LifecycleConfiguration=rules)
        kept = s3.get_bucket_lifecycle_configuration(Bucket="twigma-test")["Rules"]
    assert {rule["ID"] for rule in kept} == {"twigma-staging", "twigma-staging-markers"}
    assert [rule["Expiration"] for rule in kept] == [rule["Expiration"] for rule in rules["Rules"]]


def test_the_memory_of_workers_is_that_of_the_page() -> None:
    """docs/inference.md: 1.7 GB while ViT-L/14 loads, and 1.5 GB for one image of 150 million pixels."""
    alone = compute.worker_bytes(0, 0, 0, 0, 0)
    assert alone == 800_000_000
    assert round((compute.worker_bytes(compute.PARAMETERS, 0, 0, 0, 0) - alone) / 1e9, 1) == 1.7
    assert compute.worker_bytes(0, 1, 150_000_000, 0, 0) - alone == 1_500_000_000
    assert compute.worker_bytes(0, 0, 0, 128, 0, mean_file=1000) - alone == 384_000
    assert compute.worker_bytes(0, 0, 0, 0, 256) - alone == 8 * 256 * 3 * 224**2


def test_executors_fit_their_machines() -> None:
    """YARN hands out 24 of 32 GB and 53 of 64."""
    cfg = load(["emr"])
    for kind, most in (("gpu", 24), ("cpu", 53)):
        memory = compute.executor_memory(cfg, kind)  # type: ignore[arg-type]
        assert sum(int(value.removesuffix("g")) for value in memory.values()) <= most
    smaller = load(["emr"], ["ingest.max_pixels=20000000"])
    assert int(compute.executor_memory(smaller, "gpu")["spark.executor.memoryOverhead"][:-1]) == 8


@pytest.mark.parametrize("platform", folder.PLATFORMS)
def test_an_edited_file_is_checked(platform: str, tmp_path: Path, wheel: Path) -> None:
    folder.write(platform, tmp_path, find(platform), wheel, WAITS_FOR)
    (tmp_path / "wheels" / wheel.name).unlink()
    name = "resources/twigma.yml" if platform == "databricks" else "cluster.json"
    text = (tmp_path / name).read_text()
    (tmp_path / name).write_text(text.replace("16.4.x", "99.x-nonsense").replace("emr-7.13.0", "emr-99"))
    found = " ".join(folder.faults(platform, tmp_path, TODAY))
    assert "wheels/*.whl must be in" in found and "99" in found
    (tmp_path / name).unlink()
    with pytest.raises(ConfigError, match="must hold the files"):
        folder.faults(platform, tmp_path, TODAY)


def test_an_older_wheel_is_replaced_and_none_is_refused(tmp_path: Path, wheel: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "twigma_spark-0.0.9-py3-none-any.whl").write_bytes(b"old")
    folder.write("emr", tmp_path, find("emr"), wheel, WAITS_FOR)
    assert [path.name for path in (tmp_path / "wheels").iterdir()] == [wheel.name]
    folder.write("emr", tmp_path, find("emr"), tmp_path / "wheels" / wheel.name, WAITS_FOR)
    with pytest.raises(ConfigError, match="must be a wheel"):
        folder.write("emr", tmp_path, find("emr"), tmp_path / "none.whl", WAITS_FOR)
    with pytest.raises(ConfigError, match="databricks, emr"):
        folder.write("azure", tmp_path, find("emr"), wheel, WAITS_FOR)
    with pytest.raises(ConfigError, match="databricks, emr"):
        folder.faults("azure", tmp_path, TODAY)


def test_every_file_that_a_step_names_must_be_there(tmp_path: Path, wheel: Path) -> None:
    folder.write("emr", tmp_path, find("emr"), wheel, WAITS_FOR)
    for name in ("get_gpus.sh", "run.py", "conf/emr.yaml", "bootstrap.sh"):
        (tmp_path / name).rename(tmp_path / "aside")
        assert [fault.split()[0] for fault in folder.faults("emr", tmp_path, TODAY)] == [name]
        (tmp_path / "aside").rename(tmp_path / name)
