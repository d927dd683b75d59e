"""Commands on the sample world: draw it, run every stage on it, compare with its ground truth."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from twigma_spark.cli.collect import collect
from twigma_spark.cli.common import Conf, Force, Overrides, load, open_store, terminal
from twigma_spark.cli.run import check_configuration, run, run_stages
from twigma_spark.config.settings import Config, stage_names

app = typer.Typer()


@app.command()
def demo(
    overrides: Overrides = None,
    force: Force = False,
    collected: Annotated[
        bool, typer.Option("--collect", help="Collect and download the posts from a server on this machine first.")
    ] = False,
) -> None:
    """Draw the sample world, run every stage, compare the results with its ground truth, and write what others get."""
    if collected:
        _demo_collected(overrides or [], force)
        return
    cfg, start = load(["sample"], overrides), time.monotonic()
    check_configuration(cfg, stage_names())
    with open_store(cfg, stage_names(), writer="demo") as store:
        from twigma_spark import pipeline

        ran = run_stages(cfg, store, [], force, start)
        text, ok = pipeline.check_truth(cfg, store)
        terminal.log(text)
        write_for_others(cfg, store, Path(cfg.report.path).parent, bool(ran))
    raise typer.Exit(0 if ok else 1)


def write_for_others(cfg: Config, store: Any, folder: Path, changed: bool) -> None:
    """Write a release and an atlas into a folder, where something has changed or they are missing."""
    from twigma_spark import atlas, pipeline

    release, seen = folder / "release", folder / "atlas"
    if changed or not release.exists():
        terminal.log(pipeline.release(cfg, store, release, terminal.log, replace=True))
    if changed or not seen.exists():
        atlas.build_atlas(cfg, store, seen, terminal.log, replace=True)
    terminal.log(f"open the map with its pictures: {atlas.open_command(seen)}")


def _demo_collected(overrides: Sequence[str], force: bool) -> None:
    """Draw the sample world, collect its posts and pictures from a server on this machine, and run every stage."""
    from twigma_spark import pipeline
    from twigma_spark.io.sources import x
    from twigma_spark.sample.platform import serving

    conf = ["sample", "collect"]
    cfg = load(conf, overrides)
    pipeline.draw_sample(cfg, terminal.log)
    os.environ.setdefault(x.TOKEN, "any, since the server on this machine asks for none")
    with serving(Path(str(cfg.sample.out)) / "posts") as address:
        here = [*overrides, f"collect.api={address}"]
        collect(conf, here, dry_run=True)
        collect(conf, here)
        run(conf, here, force=force)


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="A new or empty folder.")],
    size: Annotated[int, typer.Option(help="About how many images in all.")] = 3000,
    seed: Annotated[int, typer.Option(help="The same seed draws the same files.")] = 20210101,
) -> None:
    """Draw the sample world: four corpora as files, and truth.json."""
    from twigma_spark.sample.world import draw_world

    terminal.log(f"drew {draw_world(out, size, seed)}")


@app.command()
def truth(conf: Conf = None, overrides: Overrides = None) -> None:
    """Compare the results on the sample world with its ground truth."""
    cfg = load(conf, overrides)
    with open_store(cfg) as store:
        from twigma_spark import pipeline

        text, ok = pipeline.check_truth(cfg, store)
    terminal.log(text)
    raise typer.Exit(0 if ok else 1)
