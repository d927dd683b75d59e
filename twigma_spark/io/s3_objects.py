"""Objects of S3 that are no part of any table: removed by S3's own interface, as Delta leaves a table's log behind."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pyspark.sql import SparkSession

from twigma_spark.io.lease import NoLeaseError
from twigma_spark.io.lease_s3 import SCHEMES, SETTINGS, s3_client
from twigma_spark.io.session import setting


def client_of(spark: SparkSession) -> Any:
    """Return a client of S3 with the keys and addresses that the session has.

    Raises:
        NoLeaseError: botocore is not installed, or too old.
    """
    return s3_client({key: setting(spark, key) or "" for key in SETTINGS})


def try_remove_folder(spark: SparkSession, url: str) -> bool:
    """Return whether every object below a URL was removed; False where it is not of S3 or S3 does not let us.

    Args:
        spark: knows how S3 is reached.
        url: such as ``s3://bucket/twigma/tables/_staging_embed_x_0``; nothing beside it is touched.
    """
    bucket, _, path = url.partition("://")[2].partition("/")
    if not url.startswith(SCHEMES) or not path.strip("/"):
        return False
    try:
        errors = import_module("botocore.exceptions")
    except ImportError:
        return False
    try:
        client = client_of(spark)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{path.strip('/')}/")
        # A page has as many keys as one call removes: 1,000.
        for keys in filter(None, ([{"Key": each["Key"]} for each in page.get("Contents", ())] for page in pages)):
            if client.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True}).get("Errors"):
                return False
    except (NoLeaseError, errors.BotoCoreError, errors.ClientError):
        return False
    return True
