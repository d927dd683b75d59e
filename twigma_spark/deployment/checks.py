"""What is wrong with job definitions that their vendors' validators let pass; every function returns sentences."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from zoneinfo import available_timezones

from twigma_spark.deployment import runtimes

# GB of a worker, at least and at most, and in which steps, by its vCPUs (EMR Serverless User Guide, "Understanding
# application behavior", Supported worker configurations).
_SERVERLESS_GB = {"1": (2, 8, 1), "2": (4, 16, 1), "4": (8, 30, 1), "8": (16, 60, 4), "16": (32, 120, 8)}
_FIELD = re.compile(r"^[0-9A-Z*?,/\-#L]+$")


def databricks_runtime(version: str, today: datetime.date) -> list[str]:
    """Return what is wrong with a `spark_version`, such as 16.4.x-gpu-ml-scala2.12."""
    match = re.fullmatch(r"(\d+\.\d+)\.x-(?:cpu|gpu)-ml-scala2\.12", version)
    if not match or match[1] not in runtimes.DATABRICKS:
        known = ", ".join(f"{name}.x-(cpu|gpu)-ml-scala2.12" for name in runtimes.DATABRICKS)
        return [f"spark_version must be {known}. Got {version!r}."]
    end = runtimes.DATABRICKS[match[1]]
    return [] if today <= end else [f"spark_version must be supported. Got {version!r}, whose support ended on {end}."]


def emr_release(label: str) -> list[str]:
    """Return what is wrong with a `ReleaseLabel`."""
    known = ", ".join(runtimes.EMR)
    return [] if label in runtimes.EMR else [f"ReleaseLabel must be one of {known}. Got {label!r}."]


def serverless_worker(parameters: str) -> list[str]:
    """Return what is wrong with the executors and the driver of a job run of EMR Serverless.

    Args:
        parameters: its sparkSubmitParameters.
    """
    settings = dict(re.findall(r"--conf (\S+?)=(\S+)", parameters))
    problems = []
    for kind in ("driver", "executor"):
        cores, *sizes = (settings[f"spark.{kind}.{name}"] for name in ("cores", "memory", "memoryOverhead"))
        memory = sum(int(size.removesuffix("g")) for size in sizes)
        least, most, step = _SERVERLESS_GB.get(cores, (0, 0, 1))
        if not least <= memory <= most or memory % step:
            known = "; ".join(f"{n} cores: {low} to {high} by {by}" for n, (low, high, by) in _SERVERLESS_GB.items())
            text = f"Got {memory} GB for {cores} cores; lower ingest.max_pixels, or edit serverless.json."
            problems.append(
                f"spark.{kind}.memory with its memoryOverhead must be GB that EMR Serverless has ({known}). {text}"
            )
    return problems


def graph(depends_on: Iterable[tuple[str, Iterable[str]]]) -> list[str]:
    """Return what is wrong with tasks and what they wait for: a name twice, a missing one, a circle."""
    tasks = [(name, list(needed)) for name, needed in depends_on]
    counts = Counter(name for name, _ in tasks)
    faults = [f"task {name!r} must be there once. Got {n}." for name, n in counts.items() if n > 1]
    faults += [
        f"task {name!r} must depend on tasks that exist. Got {other!r}."
        for name, needed in tasks
        for other in needed
        if other not in counts
    ]
    try:
        TopologicalSorter(dict(tasks)).prepare()
    except CycleError as error:
        faults.append(f"tasks must not wait for each other in a circle. Got {' -> '.join(error.args[1])}.")
    return faults


def quartz(expression: str) -> list[str]:
    """Return what is wrong with a schedule of Databricks: second, minute, hour, day, month, weekday, perhaps year."""
    return _cron("quartz_cron_expression", expression.split(), (6, 7), 3, 5)


def eventbridge(expression: str) -> list[str]:
    """Return what is wrong with a schedule of EventBridge: cron(minutes hours day month weekday year)."""
    inner = re.fullmatch(r"cron\((.+)\)", expression)
    if not inner:
        return [f"ScheduleExpression must be cron(...). Got {expression!r}."]
    return _cron("ScheduleExpression", inner[1].split(), (6,), 2, 4)


def _cron(name: str, fields: list[str], lengths: tuple[int, ...], day: int, weekday: int) -> list[str]:
    text = " ".join(fields)
    if len(fields) not in lengths:
        return [f"{name} must have {' or '.join(map(str, lengths))} fields. Got {len(fields)}: {text!r}."]
    faults = [f"{name} must hold cron fields. Got {field!r}." for field in fields if not _FIELD.match(field.upper())]
    if (fields[day] == "?") == (fields[weekday] == "?"):
        faults.append(f"{name} must have ? for either the day or the weekday. Got {text!r}.")
    return faults


def timezone(name: str) -> list[str]:
    """Return what is wrong with the name of a time zone."""
    return [] if name in available_timezones() else [f"time zone must be one of the IANA's. Got {name!r}."]


def paths(folder: Path, named: Iterable[str]) -> list[str]:
    """Return which of the paths below `folder`, `*` allowed, lead to no file."""
    return [f"{path} must be in {folder}. Got no such file." for path in sorted(set(named)) if not _there(folder, path)]


def _there(folder: Path, path: str) -> bool:
    return any(file.is_file() for file in folder.glob(path))
