"""python jobs/collect_sample.py: the sample collected and downloaded from a server on this machine, then run."""

import os
from pathlib import Path

from twigma_spark.cli import main
from twigma_spark.collecting import TOKEN
from twigma_spark.config.overlays import load
from twigma_spark.sample.platform import serving
from twigma_spark.sample.world import draw_world, world_is_current

CONF = ["--conf", "sample", "--conf", "collect"]

if __name__ == "__main__":
    cfg = load(["sample", "collect"], [])
    world = Path(str(cfg.sample.out))
    if not world_is_current(world, cfg.sample.size, cfg.sample.seed):
        draw_world(world, cfg.sample.size, cfg.sample.seed)
    os.environ[TOKEN] = "any"
    with serving(world / "posts") as address:
        here = [*CONF, "--set", f"collect.api={address}"]
        main(["collect", *here, "--dry-run"])
        main(["collect", *here])
        main(["run", *here])
