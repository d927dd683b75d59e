"""Brings these files to S3 and starts the cluster: `python submit.py upload`, `python submit.py run --wait`.

`python submit.py serverless` runs every stage, those without models on EMR Serverless and the others on clusters.
Names come from the outputs of the stacks that stack.json and serverless_stack.json made. Needs boto3 and credentials of
AWS.
"""

from __future__ import annotations

import argparse
import io
import json
import time
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from string import Template
from typing import Any

import boto3

HERE = Path(__file__).resolve().parent
ARCHIVE = "emr_serverless.tar.gz"
PREFIX = "twigma/deploy/"
NODES = (
    "bootstrap.sh",
    "get_gpus.sh",
    "run.py",
    "requirements.txt",
    "wheels/*.whl",
    "conf/*.yaml",
    "models/*",
    ARCHIVE,
)
BUCKET = "s3://BUCKET/"
# States in which a job run stays, and how often it is asked.
ENDED = ("SUCCESS", "FAILED", "CANCELLED")
SECONDS = 30


def outputs(stack: str) -> dict[str, str]:
    """Return the outputs of the stack, by name."""
    found = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}


def upload(folder: Path, bucket: str) -> list[str]:
    """Return the keys of the files that nodes need, which are in the bucket now; the configuration names the bucket."""
    s3, keys = boto3.client("s3"), []
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as conf:
        for path in sorted(path for pattern in NODES for path in folder.glob(pattern) if path.is_file()):
            key = PREFIX + path.relative_to(folder).as_posix()
            if path.suffix == ".yaml":
                content = path.read_bytes().replace(BUCKET.encode(), f"s3://{bucket}/".encode())
                s3.put_object(Bucket=bucket, Key=key, Body=content)
                conf.writestr(path.name, content)
            else:
                s3.upload_file(str(path), bucket, key)
            keys.append(key)
    # Workers of EMR Serverless are given files as archives.
    s3.put_object(Bucket=bucket, Key=f"{PREFIX}conf.zip", Body=packed.getvalue())
    return [*keys, f"{PREFIX}conf.zip"]


def request(text: str, names: Mapping[str, str]) -> Any:
    """Return the parameters of a file, with the names of the stacks in their places.

    Raises:
        KeyError: A name is missing.
    """
    subnets = '","'.join(names["Subnets"].split(","))
    return json.loads(Template(text).substitute({**names, "Subnets": subnets}))


def run_cluster(names: Mapping[str, str], wait: bool, only: Collection[str] = ()) -> str:
    """Return the id of a new cluster with all steps, or with those of the stages `only`.

    Raises:
        SystemExit: it was waited for and ended with an error.
    """
    emr = boto3.client("emr")
    parameters = request((HERE / "cluster.json").read_text(encoding="utf-8"), names)
    parameters["Steps"] = [step for step in parameters["Steps"] if not only or step["Name"] in only]
    cluster: str = emr.run_job_flow(**parameters)["JobFlowId"]
    print(cluster, flush=True)
    if wait:
        # A minute apart, for a day: as long as the steps' limits allow.
        emr.get_waiter("cluster_terminated").wait(ClusterId=cluster, WaiterConfig={"Delay": 60, "MaxAttempts": 1440})
        status = emr.describe_cluster(ClusterId=cluster)["Cluster"]["Status"]
        if status["State"] != "TERMINATED":
            raise SystemExit(f"{cluster} ended with {status['State']}: {status['StateChangeReason'].get('Message')}")
    return cluster


def run_job(parameters: Mapping[str, Any]) -> str:
    """Return the id of a job run of EMR Serverless that has succeeded.

    Raises:
        SystemExit: it ended otherwise.
    """
    serverless = boto3.client("emr-serverless")
    started = serverless.start_job_run(**parameters)
    where = {"applicationId": started["applicationId"], "jobRunId": started["jobRunId"]}
    print(parameters["name"], where["jobRunId"], flush=True)
    while (found := serverless.get_job_run(**where)["jobRun"])["state"] not in ENDED:
        time.sleep(SECONDS)
    if found["state"] != "SUCCESS":
        raise SystemExit(f"{parameters['name']} ended with {found['state']}: {found['stateDetails']}")
    return where["jobRunId"]


def run_rounds(names: Mapping[str, str], first: str | None) -> list[str]:
    """Return the ids of job runs and clusters, after every stage has run, or every one from `first` on.

    Raises:
        SystemExit: one ended with an error, or no stage is called so.
    """
    rounds, ids, found = request((HERE / "serverless.json").read_text(encoding="utf-8"), names), [], first is None
    for turn in rounds:
        if turn["on"] == "cluster":
            found = found or first in turn["steps"]
            if found:
                ids.append(run_cluster(names, wait=True, only=turn["steps"]))
            continue
        for job in turn["job_runs"]:
            found = found or first == job["name"]
            if found:
                ids.append(run_job(job))
    if not found:
        raise SystemExit(f"--from must be a stage of serverless.json. Got {first!r}.")
    return ids


def main(arguments: list[str] | None = None) -> list[str]:
    """Return the ids of clusters and job runs; none where files were brought only."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("upload", "run", "serverless"))
    parser.add_argument("--stack", default="twigma", help="name of the CloudFormation stack")
    parser.add_argument("--serverless-stack", default="twigma-serverless", help="name of that of serverless_stack.json")
    parser.add_argument("--wait", action="store_true", help="run: until the cluster has ended")
    parser.add_argument("--from", dest="first", help="serverless: the first stage, or one of the first cluster's")
    options = parser.parse_args(arguments)
    names = outputs(options.stack)
    if options.what == "upload":
        for key in upload(HERE, names["Bucket"]):
            print(f"s3://{names['Bucket']}/{key}")
        return []
    if options.what == "run":
        return [run_cluster(names, options.wait)]
    return run_rounds({**outputs(options.serverless_stack), **names}, options.first)


if __name__ == "__main__":
    main()
