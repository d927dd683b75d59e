"""The lifecycle rules of S3 that remove what a run which was cut off left of its staging tables."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from twigma_spark.io.lease_s3 import SCHEMES
from twigma_spark.io.staging import PREFIX

# S3 removes at the midnight after so many days: later than the longest limit of a stage.
DAYS = 1


def rules(root: str) -> dict[str, Any] | None:
    """Return the parameters of a bucket's lifecycle; None where the store's root is not in S3.

    A filter of S3 is the beginning of a key, without wildcards; the names of all staging tables begin alike.
    Older versions of the objects, where the bucket keeps them, and uploads that were cut off go the same way.

    Args:
        root: `store.root`.
    """
    if not root.startswith(SCHEMES):
        return None
    where = {"Prefix": "/".join(filter(None, [urlsplit(root).path.strip("/"), PREFIX]))}
    return {
        "Rules": [
            {
                "ID": "twigma-staging",
                "Status": "Enabled",
                "Filter": where,
                "Expiration": {"Days": DAYS},
                "NoncurrentVersionExpiration": {"NoncurrentDays": DAYS},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": DAYS},
            },
            {
                "ID": "twigma-staging-markers",
                "Status": "Enabled",
                "Filter": where,
                "Expiration": {"ExpiredObjectDeleteMarker": True},
            },
        ]
    }
