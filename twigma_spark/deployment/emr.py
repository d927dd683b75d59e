"""A cluster of EMR on EC2 that runs every stage and ends: the parameters of RunJobFlow.

The settings of GPUs are those of AWS's page for EMR 7 (Release Guide, "Use the Nvidia RAPIDS Accelerator for Apache
Spark"), less the accelerator itself. ${Names} are filled in by the stack (emr_stack.py) or by submit.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twigma_spark.config.settings import Config
from twigma_spark.deployment import compute

RELEASE = "emr-7.13.0"
HOME = "/opt/twigma/deploy"
CGROUP = "/spark-rapids-cgroup"
DELTA = "/usr/share/aws/delta/lib/delta-spark.jar,/usr/share/aws/delta/lib/delta-storage.jar"
DELTA_SETTINGS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
DRIVER_NODE = "r6i.2xlarge"
# Several types of one size: where one cannot be had, another can. Eight cores, and 64 GB or a GPU of 24 GB.
CORE_NODES = ("r6i.2xlarge", "r6a.2xlarge", "r5.2xlarge")
GPU_NODES = ("g5.2xlarge", "g6.2xlarge")
TAGS = [
    {"Key": "for-use-with-amazon-emr-managed-policies", "Value": "true"},
    {"Key": "project", "Value": "twigma"},
]
Classification = dict[str, Any]


def job_flow(cfg: Config, stages: Mapping[str, object]) -> dict[str, Any]:
    """Return the parameters of RunJobFlow: machines, software, and a step for each stage in order."""
    return {
        "Name": "twigma",
        "ReleaseLabel": RELEASE,
        "Applications": [{"Name": "Hadoop"}, {"Name": "Spark"}],
        "LogUri": "s3://${Bucket}/twigma/logs/",
        "ServiceRole": "${ServiceRole}",
        "JobFlowRole": "${InstanceProfile}",
        "SecurityConfiguration": "${SecurityConfiguration}",
        "Tags": TAGS,
        "EbsRootVolumeSize": 60,
        "StepConcurrencyLevel": 1,
        # A cluster ends with its last step. Should one be left without any, it ends after an hour.
        "AutoTerminationPolicy": {"IdleTimeout": 3600},
        "Instances": {
            "KeepJobFlowAliveWhenNoSteps": False,
            "TerminationProtected": False,
            "UnhealthyNodeReplacement": True,
            "Ec2SubnetIds": ["${Subnets}"],
            "InstanceFleets": fleets(),
        },
        "BootstrapActions": [
            {
                "Name": "twigma",
                "ScriptBootstrapAction": {
                    "Path": "s3://${Bucket}/twigma/deploy/bootstrap.sh",
                    "Args": ["s3://${Bucket}/twigma/deploy"],
                },
            }
        ],
        "Configurations": configurations(),
        "Steps": [step(cfg, name) for name in stages],
    }


def fleets() -> list[dict[str, Any]]:
    """Return the machines: the driver and the nodes that hold HDFS on demand, those with GPUs on the spot market."""
    on_demand = {"OnDemandSpecification": {"AllocationStrategy": "lowest-price"}}
    spot = {
        "SpotSpecification": {
            "AllocationStrategy": "price-capacity-optimized",
            "TimeoutDurationMinutes": 20,
            "TimeoutAction": "SWITCH_TO_ON_DEMAND",
        }
    }
    return [
        _fleet("driver", "MASTER", {"TargetOnDemandCapacity": 1}, (DRIVER_NODE,), on_demand),
        _fleet("core", "CORE", {"TargetOnDemandCapacity": 2}, CORE_NODES, on_demand),
        _fleet("gpu", "TASK", {"TargetSpotCapacity": 2}, GPU_NODES, spot, gpu_node()),
    ]


def _fleet(
    name: str,
    kind: str,
    capacity: dict[str, int],
    types: tuple[str, ...],
    launch: dict[str, Any],
    settings: list[Classification] | None = None,
) -> dict[str, Any]:
    disk = {"EbsBlockDeviceConfigs": [{"VolumeSpecification": {"VolumeType": "gp3", "SizeInGB": 200}}]}
    own = {"Configurations": settings} if settings else {}
    nodes = [{"InstanceType": t, "WeightedCapacity": 1, "EbsConfiguration": disk, **own} for t in types]
    if kind == "MASTER":
        del nodes[0]["WeightedCapacity"]
    return {
        "Name": name,
        "InstanceFleetType": kind,
        **capacity,
        "InstanceTypeConfigs": nodes,
        "LaunchSpecifications": launch,
    }


def configurations() -> list[Classification]:
    """Return the settings of all nodes: YARN knows GPUs as a resource and weighs it, Spark knows Python and Delta."""
    calculator = "org.apache.hadoop.yarn.util.resource.DominantResourceCalculator"
    return [
        {"Classification": "delta-defaults", "Properties": {"delta.enabled": "true"}},
        {"Classification": "yarn-site", "Properties": yarn()},
        {
            "Classification": "capacity-scheduler",
            "Properties": {"yarn.scheduler.capacity.resource-calculator": calculator},
        },
        {
            "Classification": "spark-defaults",
            "Properties": {
                "spark.pyspark.python": "/opt/twigma/bin/python",
                "spark.pyspark.driver.python": "/opt/twigma/bin/python",
                **DELTA_SETTINGS,
            },
        },
    ]


def yarn() -> dict[str, str]:
    """Return yarn-site of every node; applications' masters stay off spot machines."""
    return {
        "yarn.resource-types": "yarn.io/gpu",
        "yarn.node-labels.enabled": "true",
        "yarn.node-labels.am.default-node-label-expression": "ON_DEMAND",
    }


def gpu_node() -> list[Classification]:
    """Return the settings of nodes with a GPU.

    They are not those of all nodes: a node manager that is told of GPUs and finds none does not start.
    """
    executor = "org.apache.hadoop.yarn.server.nodemanager.LinuxContainerExecutor"
    return [
        {
            "Classification": "yarn-site",
            "Properties": {
                **yarn(),
                "yarn.nodemanager.resource-plugins": "yarn.io/gpu",
                "yarn.nodemanager.resource-plugins.gpu.allowed-gpu-devices": "auto",
                "yarn.nodemanager.resource-plugins.gpu.path-to-discovery-executables": "/usr/bin",
                "yarn.nodemanager.linux-container-executor.cgroups.mount": "true",
                "yarn.nodemanager.linux-container-executor.cgroups.mount-path": CGROUP,
                "yarn.nodemanager.linux-container-executor.cgroups.hierarchy": "yarn",
                "yarn.nodemanager.container-executor.class": executor,
            },
        },
        {
            "Classification": "container-executor",
            "Properties": {},
            "Configurations": [
                {"Classification": "gpu", "Properties": {"module.enabled": "true"}},
                {"Classification": "cgroups", "Properties": {"root": CGROUP, "yarn-hierarchy": "yarn"}},
            ],
        },
    ]


def step(cfg: Config, stage: str) -> dict[str, Any]:
    """Return the step of a stage: stopped after its hours, and the cluster ends where it fails."""
    kind = compute.kind(cfg, stage)
    settings = {"spark.executor.cores": str(compute.CORES), **compute.executor_memory(cfg, kind)}
    if kind == "gpu":
        settings |= {
            **compute.GPU_TASKS,
            "spark.executor.resource.gpu.amount": "1",
            "spark.executor.resource.gpu.discoveryScript": f"{HOME}/get_gpus.sh",
        }
    submit = ["spark-submit", "--deploy-mode", "client", "--jars", DELTA]
    submit += [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
    limit = ["timeout", "--kill-after=300", str(compute.limit_hours(cfg, stage) * 3600)]
    return {
        "Name": stage,
        "ActionOnFailure": "TERMINATE_CLUSTER",
        "HadoopJarStep": {
            "Jar": "command-runner.jar",
            "Args": [*limit, *submit, f"{HOME}/run.py", "stage", stage, "--conf", f"{HOME}/conf/emr.yaml"],
        },
    }
