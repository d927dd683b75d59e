"""What a stage is: a frozen record of what it reads, what it writes and the function that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pyspark.sql import DataFrame, SparkSession

from twigma_spark.config.settings import Config

Frames = Mapping[str, DataFrame]


@dataclass(frozen=True)
class Account:
    """What became of the images that came into a stage; nothing may be lost.

    Attributes:
        images: images that came in, counted at the source.
        kept: images that go on.
        duplicates: images that repeat a kept one.
        rejects: images refused with a reason.
    """

    images: int
    kept: int
    duplicates: int
    rejects: int

    @property
    def lost(self) -> int:
        """Images that are neither kept, nor duplicates, nor rejects; 0 where the account is right."""
        return self.images - self.kept - self.duplicates - self.rejects


@dataclass(frozen=True)
class StageContext:
    """What the runner gives to a running stage.

    Attributes:
        spark: the session.
        materialize: computes an expensive frame once, into a staging table, and returns the table's rows; two
            tables made from one inference pass are taken from the result. The staging table is dropped when the
            part that is yielded next has been written.
        log: shows a line.
        progress: shows how far a long computation is, in a line that the next one replaces.
        table_version: returns the state of a table: Delta version and time of its last commit.
    """

    spark: SparkSession
    materialize: Callable[[DataFrame], DataFrame]
    log: Callable[[str], None]
    progress: Callable[[str], None] = lambda text: None
    table_version: Callable[[str], str] = field(default=lambda name: "none")


Run = Callable[..., Mapping[str, DataFrame] | Iterable[Mapping[str, DataFrame]]]


@dataclass(frozen=True)
class Stage:
    """A stage.

    Attributes:
        name: as on the command line.
        summary: one line for docs/stages.md and the command line.
        reads: tables handed to `run` as keyword arguments.
        writes: tables that `run` may give back; one that it leaves out has no rows of this run.
        config: dotted keys of the configuration that the result depends on; a change runs it again. `run` and the
            other functions are given a configuration in which only these and those of `tuning` can be read.
        run: ``run(cfg, context, **tables)`` returns ``{table: DataFrame}``, or yields several of those where
            it must commit as it goes.
        versions: names what made the result (models, revisions).
        sources: fingerprint of what is read outside the tables; a change runs the stage again.
        account: counts the images in and what became of them, from the tables after the writes.
        publish: carries the result out of the tables; also when the stage itself is skipped.
        tuning: dotted keys that change the speed and not the result.
    """

    name: str
    summary: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    config: tuple[str, ...]
    run: Run
    versions: Callable[[Config], dict[str, str]] = field(default=lambda cfg: {})
    sources: Callable[[Config, SparkSession], str] | None = None
    account: Callable[[Config, SparkSession, Frames], Account] | None = None
    publish: Callable[[Config, Frames], str] | None = None
    tuning: tuple[str, ...] = ()


def together(parts: Iterable[Mapping[str, DataFrame]]) -> dict[str, DataFrame]:
    """Return one frame a table, the rows of all parts: a commit for each table and not for each part."""
    frames: dict[str, DataFrame] = {}
    for part in parts:
        frames.update(
            {name: frames[name].unionByName(frame) if name in frames else frame for name, frame in part.items()}
        )
    return frames
