"""A Databricks bundle: one job with a task for each stage, the schema and volume it writes to, and the collection.

Keys are those of the bundle's reference (docs.databricks.com/dev-tools/bundles/reference); a machine type is AWS's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from twigma_spark.config.settings import Config
from twigma_spark.deployment import compute

RUNTIME = "16.4"
# Eight cores, 32 GB and a GPU of 24 GB; eight cores and 64 GB. Both have a disk of their own.
GPU_NODE, CPU_NODE = "g5.2xlarge", "r6id.2xlarge"
CONF = "${workspace.file_path}/conf/databricks.yaml"
REQUIREMENTS = "${workspace.file_path}/requirements.txt"
WHEEL = "../wheels/*.whl"
SCHEMA = "${resources.schemas.twigma.catalog_name}.${resources.schemas.twigma.name}"
VOLUME = (
    "/Volumes/${resources.schemas.twigma.catalog_name}/${resources.schemas.twigma.name}/${resources.volumes.files.name}"
)
TAGS = {"project": "twigma", "target": "${bundle.target}"}

_VARIABLES: dict[str, dict[str, Any]] = {
    "catalog": {"description": "the catalog that holds the schema", "default": "main"},
    "schema": {"description": "the schema of the tables", "default": "twigma"},
    "schedule": {"description": "when it runs: seconds minutes hours day month weekday", "default": "0 0 3 * * ?"},
    "timezone": {"description": "of the schedule", "default": "UTC"},
    "gpu_node": {"description": "a machine type with one GPU", "default": GPU_NODE},
    "cpu_node": {"description": "a machine type with a disk of its own", "default": CPU_NODE},
    "gpu_workers": {"description": "workers with a GPU at most", "default": 2},
    "cpu_workers": {"description": "workers without a GPU at most", "default": 2},
    "notify": {"description": "who is told of failures and long runs", "default": "${workspace.current_user.userName}"},
    "viewers": {"description": "the group that may look at runs", "default": "users"},
    "service_principal": {"description": "application id of the service principal that prod runs as"},
}


def files(cfg: Config, waits_for: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the text of each file of the bundle, by its path.

    Args:
        cfg: gives the sizes that the memory of the workers follows from.
        waits_for: for each stage, in order, the stages that it waits for.
    """
    return {
        "databricks.yml": _yaml(bundle(), "databricks bundle deploy -t dev; docs/databricks.md goes through it."),
        "resources/twigma.yml": _yaml(_resource("jobs", "twigma", job(cfg, waits_for)), "One task for each stage."),
        "resources/collect.yml": _yaml(_resource("jobs", "collect", collection()), "Posts of X, within a budget."),
        "resources/storage.yml": _yaml(storage(), "Where tables, artefacts, reports and secrets are."),
    }


def bundle() -> dict[str, Any]:
    """Return databricks.yml: variables and the targets dev and prod."""
    return {
        "bundle": {"name": "twigma"},
        "include": ["resources/*.yml"],
        "variables": _VARIABLES,
        "targets": {
            # Development puts the user's name before all names and pauses the schedules.
            "dev": {
                "mode": "development",
                "default": True,
                "variables": {"gpu_workers": 1, "cpu_workers": 1, "service_principal": "none"},
            },
            "prod": {
                "mode": "production",
                "workspace": {"root_path": "/Workspace/Shared/.bundle/${bundle.name}/${bundle.target}"},
                "run_as": {"service_principal_name": "${var.service_principal}"},
                "variables": {"gpu_workers": 4, "cpu_workers": 4},
            },
        },
    }


def job(cfg: Config, waits_for: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the job: its tasks depend on each other as the stages do."""
    return {
        "name": "twigma",
        "description": "Images that people post, beside reference collections. Unchanged stages skip themselves.",
        "tags": TAGS,
        "max_concurrent_runs": 1,
        "schedule": _schedule(),
        "timeout_seconds": 24 * 3600,
        "health": {"rules": [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 6 * 3600}]},
        "email_notifications": {
            "on_failure": ["${var.notify}"],
            "on_duration_warning_threshold_exceeded": ["${var.notify}"],
            "no_alert_for_skipped_runs": True,
        },
        "permissions": [{"level": "CAN_VIEW", "group_name": "${var.viewers}"}],
        "job_clusters": [_cluster("cpu", cfg), _cluster("gpu", cfg), _cluster("driver_gpu", cfg)],
        "tasks": [_task(cfg, name, needed) for name, needed in waits_for.items()],
    }


def collection() -> dict[str, Any]:
    """Return the job that collects posts of X into the corpus; it has a budget (`collect.max_dollars`)."""
    cluster = _single_node("${var.cpu_node}", "cpu")
    cluster["spark_env_vars"] = {"X_BEARER_TOKEN": "{{secrets/${resources.secret_scopes.twigma.name}/x_bearer_token}}"}
    return {
        "name": "twigma collect",
        "tags": TAGS,
        "max_concurrent_runs": 1,
        "timeout_seconds": 12 * 3600,
        "email_notifications": {"on_failure": ["${var.notify}"]},
        "permissions": [{"level": "CAN_VIEW", "group_name": "${var.viewers}"}],
        "job_clusters": [{"job_cluster_key": "collect", "new_cluster": cluster}],
        "tasks": [
            {
                "task_key": "collect",
                "job_cluster_key": "collect",
                "python_wheel_task": _command(["collect", "--conf", CONF]),
                "libraries": _libraries(),
            }
        ],
    }


def storage() -> dict[str, Any]:
    """Return the schema of Unity Catalog, its volume, and the scope of the secrets."""
    schema = {"catalog_name": "${var.catalog}", "name": "${var.schema}", "comment": "twigma: tables, files, reports"}
    volume = {
        "catalog_name": "${resources.schemas.twigma.catalog_name}",
        "schema_name": "${resources.schemas.twigma.name}",
        "name": "files",
        "volume_type": "MANAGED",
    }
    return {
        "resources": {
            "schemas": {"twigma": schema},
            "volumes": {"files": volume},
            "secret_scopes": {"twigma": {"name": "twigma_${bundle.target}"}},
        }
    }


def _task(cfg: Config, name: str, needed: Sequence[str]) -> dict[str, Any]:
    waits = {"depends_on": [{"task_key": other} for other in needed]} if needed else {}
    # The tasks of one job run hold the store together, and keep those of another run out.
    where = [f"store.root={SCHEMA}", f"store.artifacts={VOLUME}/artifacts", f"report.path={VOLUME}/reports/report.html",
             "run.id={{job.run_id}}"]  # fmt: skip
    settings = [word for key in where for word in ("--set", key)]
    return {
        "task_key": name,
        **waits,
        "job_cluster_key": compute.kind(cfg, name),
        "max_retries": 2,
        "min_retry_interval_millis": 60_000,
        "retry_on_timeout": False,
        "timeout_seconds": compute.limit_hours(cfg, name) * 3600,
        "python_wheel_task": _command(["stage", name, "--conf", CONF, *settings]),
        "libraries": _libraries(),
    }


def _command(arguments: list[str]) -> dict[str, Any]:
    return {"package_name": "twigma_spark", "entry_point": "twigma", "parameters": arguments}


def _libraries() -> list[dict[str, str]]:
    return [{"requirements": REQUIREMENTS}, {"whl": WHEEL}]


def _schedule() -> dict[str, str]:
    return {
        "quartz_cron_expression": "${var.schedule}",
        "timezone_id": "${var.timezone}",
        "pause_status": "UNPAUSED",
    }


def _cluster(kind: compute.Kind, cfg: Config) -> dict[str, Any]:
    if kind == "driver_gpu":
        return {"job_cluster_key": kind, "new_cluster": _single_node("${var.gpu_node}", "gpu")}
    conf = compute.executor_memory(cfg, kind)
    if kind == "gpu":
        conf |= compute.GPU_TASKS
    cluster = _base(f"${{var.{kind}_node}}", kind)
    cluster["autoscale"] = {"min_workers": 1, "max_workers": f"${{var.{kind}_workers}}"}
    # The driver stays; workers are spot machines, and others where there are none.
    cluster["aws_attributes"] = {"availability": "SPOT_WITH_FALLBACK", "first_on_demand": 1, "zone_id": "auto"}
    return {"job_cluster_key": kind, "new_cluster": {**cluster, "spark_conf": conf}}


def _single_node(node: str, kind: str) -> dict[str, Any]:
    return {
        **_base(node, kind),
        "num_workers": 0,
        "custom_tags": {**TAGS, "ResourceClass": "SingleNode"},
        "aws_attributes": {"availability": "ON_DEMAND", "zone_id": "auto"},
        "spark_conf": {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*, 4]"},
    }


def _base(node: str, kind: str) -> dict[str, Any]:
    return {
        "spark_version": f"{RUNTIME}.x-{kind}-ml-scala2.12",
        "node_type_id": node,
        "data_security_mode": "SINGLE_USER",
        "custom_tags": TAGS,
    }


def _resource(kind: str, name: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"resources": {kind: {name: value}}}


class _Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice; anchors would hide the second from a reader."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _yaml(data: object, comment: str) -> str:
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=120)
    return f"# {comment}\n{text}"
