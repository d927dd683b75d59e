"""The versions of Spark that are supported: the release of Delta that fits each, and where PySpark differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark import accumulators
from pyspark.sql import Column
from pyspark.sql import functions as F

from twigma_spark.errors import ConfigError


@dataclass(frozen=True)
class Delta:
    """A release of Delta: its artifact on Maven Central and its version."""

    artifact: str
    version: str

    @property
    def package(self) -> str:
        """Return the Maven coordinate, as `spark.jars.packages` takes it."""
        return f"io.delta:{self.artifact}:{self.version}"

    @property
    def jar(self) -> str:
        """Return the name of the jar."""
        return f"{self.artifact}-{self.version}.jar"


# Pairs that were tested together: Delta 4.2.0, which Spark 4.1 also loads, cannot alter a table there.
DELTA: Mapping[str, Delta] = {
    "3.5": Delta("delta-spark_2.12", "3.3.3"),
    "4.1": Delta("delta-spark_4.1_2.13", "4.4.0"),
}


# SynapseML 1.1.3 is built for Scala 2.12; Spark 4 is of Scala 2.13.
SYNAPSEML = ("3.5",)


def has_synapseml(spark_version: str) -> bool:
    """Return whether SynapseML is built for a version of Spark."""
    return _minor(spark_version) in SYNAPSEML


def find_delta(spark_version: str) -> Delta:
    """Return the Delta of a version of Spark, such as "3.5.9".

    Raises:
        ConfigError: for a version that is not supported.
    """
    minor = _minor(spark_version)
    if minor not in DELTA:
        raise ConfigError(
            f"pyspark must be of version {' or '.join(DELTA)}. Got {spark_version!r}; "
            "install one of them: pip install 'twigma_spark[local]' or 'twigma_spark[local-spark4]'."
        )
    return DELTA[minor]


def _minor(spark_version: str) -> str:
    return ".".join(spark_version.split(".")[:2])


def replace_broken_utf8(text: Column) -> Column:
    """Return a text as it was read from a file, with U+FFFD for bytes that are not UTF-8."""
    # Spark 4 refuses to decode such bytes, and 3.5 has no function that only replaces them.
    if replace := getattr(F, "make_valid_utf8", None):
        return replace(text)  # type: ignore[no-any-return]
    return F.decode(text.cast("binary"), "UTF-8")


def silence_accumulators() -> None:
    """Let PySpark's server of accumulators print no trace where the JVM has ended: who made a call gets its error."""
    for name in ("AccumulatorServer", "AccumulatorTCPServer", "AccumulatorUnixServer"):  # 3.5 has one, 4.1 two
        if server := getattr(accumulators, name, None):
            server.handle_error = _ignore


def _ignore(server: object, request: object, client: object) -> None:
    """Do nothing about an error of a connection."""
