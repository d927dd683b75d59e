"""The errors that the package raises; each message says what is wrong and the way out."""

from __future__ import annotations


class TwigmaError(Exception):
    """Any error that a user of the package can act on."""


class ConfigError(TwigmaError):
    """A configuration that cannot be used; lists every fault found, with file and key."""


class SchemaError(TwigmaError):
    """A frame that does not fit its declared table."""


class StoreError(TwigmaError):
    """A table that is damaged."""


class CorpusError(TwigmaError):
    """A corpus that cannot be read at all; single bad files become rows of `rejects` instead."""


class CollectionError(TwigmaError):
    """A platform that refuses to give posts, or does not answer."""


class ModelError(TwigmaError):
    """A model that cannot be loaded, or input that it must refuse."""


class StageError(TwigmaError):
    """A stage that failed; names the stage and, where known, the table."""

    def __init__(self, stage: str, table: str | None, detail: str) -> None:
        at = f" at table '{table}'" if table else ""
        super().__init__(f"stage '{stage}' failed{at}: {detail}")
        self.stage = stage
        self.table = table
