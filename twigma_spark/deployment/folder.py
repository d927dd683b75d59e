"""Writes the files of a platform into a folder, and says what is wrong with those that are there."""

from __future__ import annotations

import datetime
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from twigma_spark.config.overlays import load
from twigma_spark.config.settings import Config
from twigma_spark.deployment import checks, compute, databricks, emr, emr_serverless, emr_stack, lifecycle
from twigma_spark.errors import ConfigError

# In an installed package the files lie within it, in a checkout beside it.
_CHECKOUT = Path(__file__).parents[2] / "deploy"
_BESIDE = {"emr_files": _CHECKOUT / "emr", "constraints": _CHECKOUT / "constraints"}
PLATFORMS = ("databricks", "emr")
_VARIABLE = re.compile(r"\$\{var\.(\w+)\}")


def write(platform: str, out: Path, conf: Path, wheel: Path, waits_for: Mapping[str, Sequence[str]]) -> list[str]:
    """Write everything that the platform is given, and return the paths below `out`.

    Args:
        platform: one of PLATFORMS.
        out: a new folder, or one of an earlier call, whose files of these names are replaced.
        conf: the overlay that the jobs run with.
        wheel: this package.
        waits_for: for each stage, in order, the stages that it waits for.

    Raises:
        ConfigError: an unknown platform, a faulty overlay, or a wheel that is none.
    """
    _check_platform(platform)
    if not (wheel.is_file() and wheel.name.startswith("twigma_spark-") and wheel.suffix == ".whl"):
        rule = "must be a wheel of twigma_spark, as `make wheel` leaves in dist"
        raise ConfigError(f"--wheel {rule}. Got {str(wheel)!r}.")
    cfg = load([conf])
    if platform == "databricks":
        texts = databricks.files(cfg, waits_for)
    else:
        texts = {
            **{name: json.dumps(value, indent=2) + "\n" for name, value in _emr_values(cfg, waits_for).items()},
            **{path.name: path.read_text(encoding="utf-8") for path in sorted(files_of("emr_files").glob("*.*"))},
        }
    texts["requirements.txt"] = (files_of("constraints") / f"{platform}.txt").read_text(encoding="utf-8")
    texts[f"conf/{platform}.yaml"] = conf.read_text(encoding="utf-8")
    for name, text in texts.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text, encoding="utf-8")
    return sorted([*texts, _place_wheel(out / "wheels", wheel).relative_to(out).as_posix()])


def _emr_values(cfg: Config, waits_for: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the content of each JSON file of EMR, by its name."""
    job_flow = emr.job_flow(cfg, waits_for)
    workers = emr_serverless.EXECUTORS + 1
    rules = lifecycle.rules(cfg.store.root)
    worker = (compute.CORES, emr_serverless.MOST_GB, emr_serverless.DISK_GB)
    return {
        "cluster.json": job_flow,
        "stack.json": emr_stack.stack(job_flow),
        "serverless.json": emr_serverless.rounds(cfg, waits_for),
        "serverless_stack.json": emr_stack.serverless_stack(emr.RELEASE, workers, *worker),
        **({"lifecycle.json": rules} if rules else {}),
    }


def _check_platform(platform: str) -> None:
    if platform not in PLATFORMS:
        raise ConfigError(f"PLATFORM must be one of {', '.join(PLATFORMS)}. Got {platform!r}.")


def files_of(name: str) -> Path:
    """Return the folder of "emr_files" or "constraints"."""
    packaged = Path(__file__).parent / name
    return packaged if packaged.is_dir() else _BESIDE[name]


def _place_wheel(folder: Path, wheel: Path) -> Path:
    """Return the copy of the wheel; it is the only one of its folder."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("twigma_spark-*.whl"):
        if old.resolve() != wheel.resolve():
            old.unlink()
    copy = folder / wheel.name
    if not (copy.exists() and copy.samefile(wheel)):
        shutil.copyfile(wheel, copy)
    return copy


def faults(platform: str, folder: Path, today: datetime.date) -> list[str]:
    """Return what is wrong with the files of a folder, those that somebody edited included.

    Raises:
        ConfigError: an unknown platform, or a file that every folder of the platform has is not there.
    """
    _check_platform(platform)
    try:
        return _of_databricks(folder, today) if platform == "databricks" else _of_emr(folder)
    except FileNotFoundError as error:
        rule = f"must hold the files of twigma deploy {platform}"
        raise ConfigError(f"{folder} {rule}. Got no {error.filename}.") from error
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{folder} must hold valid files of twigma deploy {platform}. Got {error!r}.") from error


def _of_databricks(folder: Path, today: datetime.date) -> list[str]:
    bundle = yaml.safe_load((folder / "databricks.yml").read_text(encoding="utf-8"))
    variables = {name: str(each.get("default", "")) for name, each in bundle["variables"].items()}
    problems = checks.paths(folder, bundle["include"])
    for name in ("twigma", "collect"):
        text = (folder / "resources" / f"{name}.yml").read_text(encoding="utf-8")
        job = yaml.safe_load(_VARIABLE.sub(lambda match: variables.get(match[1], match[0]), text))
        problems += _of_job(job["resources"]["jobs"][name], today, folder)
    return list(dict.fromkeys(problems))


def _of_job(job: Mapping[str, Any], today: datetime.date, folder: Path) -> list[str]:
    tasks = job["tasks"]
    problems = checks.graph((task["task_key"], [d["task_key"] for d in task.get("depends_on", ())]) for task in tasks)
    clusters = {cluster["job_cluster_key"]: cluster["new_cluster"] for cluster in job["job_clusters"]}
    for cluster in clusters.values():
        problems += checks.databricks_runtime(cluster["spark_version"], today)
    for task in tasks:
        if task["job_cluster_key"] not in clusters:
            problems.append(f"task {task['task_key']!r} must name a job cluster. Got {task['job_cluster_key']!r}.")
    if schedule := job.get("schedule"):
        problems += checks.quartz(schedule["quartz_cron_expression"]) + checks.timezone(schedule["timezone_id"])
    return problems + checks.paths(folder, [path for task in tasks for path in _paths_of(task)])


def _paths_of(task: Mapping[str, Any]) -> list[str]:
    """Return the paths of the bundle that a task names, from the bundle's folder."""
    named = [path for library in task["libraries"] for path in library.values()]
    named += [word for word in task["python_wheel_task"]["parameters"] if word.startswith("${workspace.file_path}")]
    return [re.sub(r"^(\.\./|\$\{workspace\.file_path\}/)", "", path) for path in named]


def _of_emr(folder: Path) -> list[str]:
    cluster = json.loads((folder / "cluster.json").read_text(encoding="utf-8"))
    stack = json.loads((folder / "stack.json").read_text(encoding="utf-8"))
    parameters = stack["Parameters"]
    steps = [step["HadoopJarStep"]["Args"] for step in cluster["Steps"]]
    scripts = [action["ScriptBootstrapAction"]["Path"] for action in cluster["BootstrapActions"]]
    named = [path for args in steps for path in re.findall(rf"{emr.HOME}/(\S+)", " ".join(args))]
    named += [path.rpartition("/twigma/deploy/")[2] for path in scripts]
    scheduled = stack["Resources"]["Schedule"]["Properties"]["Target"]["Input"]["Fn::Sub"][0]
    problems = [
        *checks.emr_release(cluster["ReleaseLabel"]),
        *checks.graph((step["Name"], ()) for step in cluster["Steps"]),
        *checks.eventbridge(parameters["ScheduleExpression"]["Default"]),
        *checks.timezone(parameters["TimeZone"]["Default"]),
        *checks.paths(folder, [*named, "requirements.txt", "wheels/*.whl"]),
        *_of_serverless(folder, [step["Name"] for step in cluster["Steps"]]),
    ]
    if json.loads(scheduled) != cluster:
        problems.append("stack.json must start the cluster of cluster.json. Got another; edit both, or neither.")
    return list(dict.fromkeys(problems))


def _of_serverless(folder: Path, stages: Sequence[str]) -> list[str]:
    """Return what is wrong with the files of EMR Serverless, beside a cluster that has a step for each of `stages`."""
    rounds = json.loads((folder / "serverless.json").read_text(encoding="utf-8"))
    stack = json.loads((folder / "serverless_stack.json").read_text(encoding="utf-8"))
    jobs = [job for turn in rounds for job in turn.get("job_runs", ())]
    named = [job["name"] for job in jobs] + [name for turn in rounds for name in turn.get("steps", ())]
    problems = checks.emr_release(stack["Resources"]["Application"]["Properties"]["ReleaseLabel"])
    if sorted(named) != sorted(stages):
        problems.append(f"serverless.json must name each stage of cluster.json once. Got {', '.join(named)}.")
    submits = [job["jobDriver"]["sparkSubmit"] for job in jobs]
    for submit in submits:
        problems += checks.serverless_worker(submit["sparkSubmitParameters"])
    paths = [word for submit in submits for word in submit["entryPointArguments"] if word.startswith("conf/")]
    paths += [submit["entryPoint"].rpartition("/twigma/deploy/")[2] for submit in submits]
    return [*problems, *checks.paths(folder, paths)]
