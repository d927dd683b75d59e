"""Brings these files to S3 and starts the cluster: `python submit.py upload`, `python submit.py run --wait`.

Names come from the outputs of the stack that stack.json made. Needs boto3 and credentials of AWS.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import boto3

HERE = Path(__file__).resolve().parent
PREFIX = "twigma/deploy/"
NODES = ("bootstrap.sh", "get_gpus.sh", "run.py", "requirements.txt", "wheels/*.whl", "conf/*.yaml", "models/*")
BUCKET = "s3://BUCKET/"


def outputs(stack: str) -> dict[str, str]:
    """Return the outputs of the stack, by name."""
    found = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}


def upload(folder: Path, bucket: str) -> list[str]:
    """Return the keys of the files that nodes need, which are in the bucket now; the configuration names the bucket."""
    s3, keys = boto3.client("s3"), []
    for path in sorted(path for pattern in NODES for path in folder.glob(pattern) if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".yaml":
            content = content.replace(BUCKET.encode(), f"s3://{bucket}/".encode())
        key = PREFIX + path.relative_to(folder).as_posix()
        s3.put_object(Bucket=bucket, Key=key, Body=content)
        keys.append(key)
    return keys


def request(text: str, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters of RunJobFlow: cluster.json with the names of the stack in their places.

    Raises:
        KeyError: A name is missing.
    """
    subnets = '","'.join(names["Subnets"].split(","))
    filled: dict[str, Any] = json.loads(Template(text).substitute({**names, "Subnets": subnets}))
    return filled


def main(arguments: list[str] | None = None) -> str:
    """Return the id of the cluster, or "" where files were brought only."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("upload", "run"))
    parser.add_argument("--stack", default="twigma", help="name of the CloudFormation stack")
    parser.add_argument("--wait", action="store_true", help="until the cluster has ended")
    options = parser.parse_args(arguments)
    names = outputs(options.stack)
    if options.what == "upload":
        for key in upload(HERE, names["Bucket"]):
            print(f"s3://{names['Bucket']}/{key}")
        return ""
    emr = boto3.client("emr")
    cluster: str = emr.run_job_flow(**request((HERE / "cluster.json").read_text(encoding="utf-8"), names))["JobFlowId"]
    print(cluster)
    if options.wait:
        # A minute apart, for a day: as long as the steps' limits allow.
        emr.get_waiter("cluster_terminated").wait(ClusterId=cluster, WaiterConfig={"Delay": 60, "MaxAttempts": 1440})
        status = emr.describe_cluster(ClusterId=cluster)["Cluster"]["Status"]
        if status["State"] != "TERMINATED":
            raise SystemExit(f"{cluster} ended with {status['State']}: {status['StateChangeReason'].get('Message')}")
    return cluster


if __name__ == "__main__":
    main()
