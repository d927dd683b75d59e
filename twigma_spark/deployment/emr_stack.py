"""The CloudFormation stack around EMR: roles, security configuration, the schedule, and who is told of failures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]
ACCOUNT: Json = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
SERVERLESS_OUTPUTS = ("Bucket", "ApplicationId", "JobRole")
OUTPUTS = ("Bucket", "ServiceRole", "InstanceProfile", "SecurityConfiguration")


def stack(job_flow: Mapping[str, Any]) -> Json:
    """Return the template; the schedule starts the cluster of `job_flow`, whose ${Names} are the template's own."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "twigma on EMR: roles, security, schedule and notifications",
        "Parameters": parameters(),
        "Resources": {
            "ServiceRole": service_role(),
            "InstanceRole": instance_role(),
            "InstanceProfile": _resource("AWS::IAM::InstanceProfile", Roles=[_ref("InstanceRole")]),
            "SecurityConfiguration": security(),
            "SchedulerRole": scheduler_role(),
            "MissedRuns": _resource("AWS::SQS::Queue", SqsManagedSseEnabled=True, MessageRetentionPeriod=1209600),
            "Schedule": schedule(job_flow),
            "Failures": _resource("AWS::SNS::Topic", Subscription=[{"Protocol": "email", "Endpoint": _ref("Notify")}]),
            "FailuresPolicy": topic_policy(),
            "FailureRule": failure_rule(),
        },
        "Outputs": {
            **{name: {"Value": _ref(name)} for name in OUTPUTS},
            "Subnets": {"Value": {"Fn::Join": [",", _ref("Subnets")]}},
        },
    }


def serverless_stack(release: str, workers: int, cores: int, memory_gb: int, disk_gb: int) -> Json:
    """Return the template of EMR Serverless: an application, which costs nothing while no job runs, and its jobs' role.

    Args:
        release: of EMR.
        workers: drivers and executors at most, at any time.
        cores: of a worker.
        memory_gb: of a worker.
        disk_gb: of a worker.
    """
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "twigma on EMR Serverless: the application and the role of its job runs",
        "Parameters": {
            **{name: parameters()[name] for name in ("Bucket", "Subnets")},
            "SecurityGroups": {
                "Type": "List<AWS::EC2::SecurityGroup::Id>",
                "Description": "of the workers; out to S3, and to the web where the stage fetch downloads",
            },
        },
        "Resources": {
            "JobRole": _role("emr-serverless.amazonaws.com", _bucket_access(), condition=ACCOUNT),
            "Application": _resource(
                "AWS::EMRServerless::Application",
                Name="twigma",
                ReleaseLabel=release,
                Type="Spark",
                Architecture="X86_64",
                AutoStartConfiguration={"Enabled": True},
                AutoStopConfiguration={"Enabled": True, "IdleTimeoutMinutes": 15},
                MaximumCapacity={
                    "Cpu": f"{workers * cores} vCPU",
                    "Memory": f"{workers * memory_gb} GB",
                    "Disk": f"{workers * disk_gb} GB",
                },
                NetworkConfiguration={"SubnetIds": _ref("Subnets"), "SecurityGroupIds": _ref("SecurityGroups")},
            ),
        },
        "Outputs": {
            "Bucket": {"Value": _ref("Bucket")},
            "ApplicationId": {"Value": _ref("Application")},
            "JobRole": {"Value": _arn("JobRole")},
        },
    }


def parameters() -> Json:
    """Return what is asked for when the stack is made."""
    return {
        "Bucket": {"Type": "String", "Description": "holds tables, corpora, logs and the files of the cluster"},
        "Subnets": {
            "Type": "List<AWS::EC2::Subnet::Id>",
            "Description": "private subnets with a way to S3 and the package index; tagged for EMR's policies",
        },
        "Notify": {"Type": "String", "Description": "mail address that is told of failures"},
        "ScheduleExpression": {"Type": "String", "Default": "cron(0 3 * * ? *)"},
        "TimeZone": {"Type": "String", "Default": "UTC"},
        "ScheduleState": {"Type": "String", "Default": "ENABLED", "AllowedValues": ["ENABLED", "DISABLED"]},
    }


def service_role() -> Json:
    """Return the role of EMR itself, version 2: it may touch only what carries EMR's tag."""
    managed = "arn:${AWS::Partition}:iam::aws:policy/service-role/AmazonEMRServicePolicy_v2"
    passing = _allow("iam:PassRole", _arn("InstanceRole"), passed_to="ec2.amazonaws.com")
    return _role("elasticmapreduce.amazonaws.com", [passing], [_sub(managed)], ACCOUNT)


def instance_role() -> Json:
    """Return the role of the nodes: the objects of the bucket below twigma/, and nothing else."""
    return _role("ec2.amazonaws.com", _bucket_access())


def _bucket_access() -> list[Json]:
    objects = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    below = _sub("arn:${AWS::Partition}:s3:::${Bucket}/twigma/*")
    listing = {
        **_allow("s3:ListBucket", _sub("arn:${AWS::Partition}:s3:::${Bucket}")),
        "Condition": {"StringLike": {"s3:prefix": ["twigma", "twigma/*"]}},
    }
    where = _allow("s3:GetBucketLocation", _sub("arn:${AWS::Partition}:s3:::${Bucket}"))
    return [_allow(objects, below), listing, where]


def scheduler_role() -> Json:
    """Return the role of the schedule: it starts clusters and hands them their two roles."""
    starting = _allow(["elasticmapreduce:RunJobFlow", "elasticmapreduce:AddTags"], "*")
    to_service = _allow("iam:PassRole", _arn("ServiceRole"), passed_to="elasticmapreduce.amazonaws.com")
    to_nodes = _allow("iam:PassRole", _arn("InstanceRole"), passed_to="ec2.amazonaws.com")
    missed = _allow("sqs:SendMessage", _arn("MissedRuns"))
    return _role("scheduler.amazonaws.com", [starting, to_service, to_nodes, missed], condition=ACCOUNT)


def security() -> Json:
    """Return the security configuration: objects are encrypted, and nodes give credentials to IMDSv2 only."""
    configuration = {
        "EncryptionConfiguration": {
            "EnableInTransitEncryption": False,
            "EnableAtRestEncryption": True,
            "AtRestEncryptionConfiguration": {"S3EncryptionConfiguration": {"EncryptionMode": "SSE-S3"}},
        },
        "InstanceMetadataServiceConfiguration": {
            "MinimumInstanceMetadataServiceVersion": 2,
            "HttpPutResponseHopLimit": 1,
        },
    }
    return _resource("AWS::EMR::SecurityConfiguration", SecurityConfiguration=configuration)


def schedule(job_flow: Mapping[str, Any]) -> Json:
    """Return the schedule that calls RunJobFlow; what it cannot start goes to the queue of missed runs."""
    joined = {"Fn::Join": ['","', _ref("Subnets")]}
    return _resource(
        "AWS::Scheduler::Schedule",
        ScheduleExpression=_ref("ScheduleExpression"),
        ScheduleExpressionTimezone=_ref("TimeZone"),
        State=_ref("ScheduleState"),
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": _sub("arn:${AWS::Partition}:scheduler:::aws-sdk:emr:runJobFlow"),
            "RoleArn": _arn("SchedulerRole"),
            "Input": {"Fn::Sub": [json.dumps(job_flow, separators=(",", ":")), {"Subnets": joined}]},
            "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 3600},
            "DeadLetterConfig": {"Arn": _arn("MissedRuns")},
        },
    )


def failure_rule() -> Json:
    """Return the rule that tells of clusters of this stack's name that ended with errors."""
    pattern = {
        "source": ["aws.emr"],
        "detail-type": ["EMR Cluster State Change"],
        "detail": {"state": ["TERMINATED_WITH_ERRORS"], "name": ["twigma"]},
    }
    return _resource("AWS::Events::Rule", EventPattern=pattern, Targets=[{"Id": "mail", "Arn": _ref("Failures")}])


def topic_policy() -> Json:
    """Return the policy by which the rule may write to the topic."""
    publish = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": _ref("Failures"),
    }
    return _resource("AWS::SNS::TopicPolicy", Topics=[_ref("Failures")], PolicyDocument=_policy([publish]))


def _role(
    service: str, statements: Sequence[Json], managed: Sequence[Json] = (), condition: Json | None = None
) -> Json:
    trust: Json = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    properties: Json = {
        "AssumeRolePolicyDocument": _policy([{**trust, "Condition": condition} if condition else trust]),
        "Policies": [{"PolicyName": "twigma", "PolicyDocument": _policy(statements)}],
    }
    return _resource("AWS::IAM::Role", **properties, **({"ManagedPolicyArns": list(managed)} if managed else {}))


def _resource(kind: str, **properties: Any) -> Json:
    return {"Type": kind, "Properties": properties}


def _policy(statements: Sequence[Json]) -> Json:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(action: str | list[str], resource: Any, passed_to: str | None = None) -> Json:
    condition = {"Condition": {"StringEquals": {"iam:PassedToService": passed_to}}} if passed_to else {}
    return {"Effect": "Allow", "Action": action, "Resource": resource, **condition}


def _ref(name: str) -> Json:
    return {"Ref": name}


def _arn(name: str) -> Json:
    return {"Fn::GetAtt": [name, "Arn"]}


def _sub(text: str) -> Json:
    return {"Fn::Sub": text}
