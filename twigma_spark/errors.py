"""The errors that the package raises; each message says what is wrong and the way out."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ends, for a scheduler; docs/operations.md says what to do about each.

    Beside these, 1 is a defect of the software or a sample world whose results do not agree with its ground truth,
    and 128 + n an interruption by signal n.
    """

    DONE = 0
    CONFIGURATION = 2
    DATA = 3
    PLATFORM = 4
    HELD = 5


class TwigmaError(Exception):
    """Any error that a user of the package can act on."""

    exit_code: ExitCode = ExitCode.DATA


class ConfigError(TwigmaError):
    """A configuration that cannot be used; lists every fault found, with file and key."""

    exit_code = ExitCode.CONFIGURATION


class SchemaError(TwigmaError):
    """A frame that does not fit its declared table."""


class StoreError(TwigmaError):
    """A table that is damaged, or a storage that does not do what was asked of it."""

    exit_code = ExitCode.PLATFORM


class HeldError(TwigmaError):
    """A store in which another run writes; names the run, its machine, and when it was last heard of."""

    exit_code = ExitCode.HELD


class CorpusError(TwigmaError):
    """A corpus that cannot be read at all; single bad files become rows of `rejects` instead."""


class CollectionError(TwigmaError):
    """A platform that refuses to give posts, or does not answer."""

    exit_code = ExitCode.PLATFORM


class ModelError(TwigmaError):
    """A model that cannot be loaded, or input that it must refuse."""

    exit_code = ExitCode.CONFIGURATION


class StageError(TwigmaError):
    """A stage that failed; names the stage and, where known, the table. Its exit code is that of its cause."""

    def __init__(self, stage: str, table: str | None, detail: str, exit_code: ExitCode = ExitCode.DATA) -> None:
        at = f" at table '{table}'" if table else ""
        super().__init__(f"stage '{stage}' failed{at}: {detail}")
        self.stage = stage
        self.table = table
        self.exit_code = exit_code


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the code of an error: its own, data for values that are not what they must be, else the platform's."""
    if isinstance(error, TwigmaError):
        return error.exit_code
    return ExitCode.DATA if isinstance(error, ValueError) else ExitCode.PLATFORM
