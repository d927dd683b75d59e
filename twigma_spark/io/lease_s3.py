"""Leases as objects of S3, or of a storage that speaks its language: made with `If-None-Match: *`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import import_module
from typing import Any

from twigma_spark.io.lease import EXPIRES, FOLDER, Found, NoLeaseError

SCHEMES = ("s3://", "s3a://", "s3n://")
# How S3 says that there is such an object already, or that somebody is making it; and that it knows no conditions.
EXISTS, UNKNOWN = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"), ("NotImplemented", "501")
# What Hadoop's S3A is told in Spark's settings, and what botocore calls it.
OPTIONS = {
    "spark.hadoop.fs.s3a.endpoint": "endpoint_url",
    "spark.hadoop.fs.s3a.endpoint.region": "region_name",
    "spark.hadoop.fs.s3a.access.key": "aws_access_key_id",
    "spark.hadoop.fs.s3a.secret.key": "aws_secret_access_key",
    "spark.hadoop.fs.s3a.session.token": "aws_session_token",
}
TLS, BY_PATH = "spark.hadoop.fs.s3a.connection.ssl.enabled", "spark.hadoop.fs.s3a.path.style.access"
SETTINGS = (*OPTIONS, TLS, BY_PATH)


class S3Leases:
    """Leases below a URL such as ``s3a://bucket/path``.

    Args:
        root: URL of the store.
        client: of S3, as botocore makes it.
    """

    expires = EXPIRES

    def __init__(self, root: str, client: Any) -> None:
        self.bucket, _, path = root.split("://", 1)[1].partition("/")
        self.prefix = f"{path.strip('/')}/{FOLDER}/".lstrip("/")
        self.root, self._client = root, client

    def numbers(self) -> list[int]:
        """Return the numbers of the leases that there are."""
        objects = self._client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix).get("Contents", [])
        stems = [each["Key"].removeprefix(self.prefix).removesuffix(".json") for each in objects]
        return [int(stem) for stem in stems if stem.isdigit()]

    def read(self, number: int) -> Found | None:
        """Return a lease, or None where there is none; its age is by the storage's clock alone."""
        try:
            answer = self._client.get_object(Bucket=self.bucket, Key=self._key(number))
        except self._client.exceptions.NoSuchKey:
            return None
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        now = parsedate_to_datetime(date) if date else datetime.now(UTC)
        return Found(answer["Body"].read().decode("utf-8", "replace"), (now - answer["LastModified"]).total_seconds())

    def create(self, number: int, content: str) -> bool:
        """Return whether the lease was made: False where there was one, whoever made it.

        Raises:
            NoLeaseError: the storage makes an object although there is one.
        """
        if not self._put_new(number, content):
            held = self.read(number)  # ours, where the answer was lost on its way and botocore asked again
            return held is not None and held.content == content
        if self._put_new(number, content):
            raise NoLeaseError(f"{self.root} makes objects anew that are there already, whatever If-None-Match says")
        return True

    def renew(self, number: int, content: str) -> None:
        """Give the holder's own lease the time of now."""
        self._put(number, content)

    def release(self, number: int, content: str) -> None:
        """Replace the holder's own lease by what is left of it."""
        self._put(number, content)

    def remove(self, number: int) -> None:
        """Remove a lease that no longer counts."""
        self._client.delete_object(Bucket=self.bucket, Key=self._key(number))

    def _put_new(self, number: int, content: str) -> bool:
        try:
            self._put(number, content, IfNoneMatch="*")
        except import_module("botocore.exceptions").ClientError as error:
            code = error.response["Error"]["Code"]
            if code in EXISTS:
                return False
            if code in UNKNOWN:
                raise NoLeaseError(f"{self.root} is on a storage that does not know If-None-Match") from error
            raise
        return True

    def _put(self, number: int, content: str, **conditions: str) -> None:
        self._client.put_object(Bucket=self.bucket, Key=self._key(number), Body=content.encode(), **conditions)

    def _key(self, number: int) -> str:
        return f"{self.prefix}{number:012d}.json"


def s3_client(settings: Mapping[str, str]) -> Any:
    """Return a client of S3; keys and addresses that Hadoop is told, this client is told too.

    Args:
        settings: values of SETTINGS. Without any, botocore finds its own: environment, profile, role of the machine.

    Raises:
        NoLeaseError: botocore is not installed, or does not know conditions.
    """
    try:
        session = import_module("botocore.session").get_session()
    except ImportError as error:
        raise NoLeaseError("botocore is not installed (pip install botocore)") from error
    credentials = {name: settings[key] for key, name in OPTIONS.items() if settings.get(key)}
    endpoint = credentials.get("endpoint_url")
    if endpoint and "://" not in endpoint:
        credentials["endpoint_url"] = f"{'http' if settings.get(TLS) == 'false' else 'https'}://{endpoint}"
    style = "path" if settings.get(BY_PATH) == "true" else "auto"
    options = import_module("botocore.config").Config(
        s3={"addressing_style": style}, connect_timeout=10, read_timeout=30
    )
    client = session.create_client("s3", config=options, **credentials)
    if "IfNoneMatch" not in client.meta.service_model.operation_model("PutObject").input_shape.members:
        raise NoLeaseError("botocore is older than 1.35 (pip install -U botocore)")
    return client
