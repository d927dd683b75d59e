"""`make s3-demo`: the sample world with its files, tables, models and report in S3, beside the store of `make demo`.

S3 is moto's server on this machine. Fails where a table is another than that of the demo; the tolerance of real
numbers is in tests/same_tables.py. `--size 160` takes a smaller world, and other arguments are those of `twigma
run`, such as `--to embed`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyspark
import yaml

from tests import moto_server
from tests.demos import ROOT, TWIGMA, Demo, parse, print_differences
from twigma_spark.config.overlays import load
from twigma_spark.io.session import open_session
from twigma_spark.io.tables import Store
from twigma_spark.io.url_files import list_url, upload

OWN = ROOT / "build" / "s3-demo"
URL = f"s3a://{moto_server.BUCKET}/demo"
# Uploads at once.
AT_ONCE = 8


def main(arguments: Sequence[str]) -> int:
    """Return 0 where the tables are those of the demo, else 1, or the exit status of the run."""
    demo, others = parse(arguments, "the sample world in S3, beside the store of make demo")
    with moto_server.serving() as server:
        copy_sample(demo, server)
        words = demo.confs(write_conf(demo, server))
        before, start = len(server.requests), time.monotonic()
        if code := subprocess.run([*TWIGMA, "run", *words, *others], cwd=ROOT).returncode:
            return code
        requests = Counter(method for method, _, _ in server.requests[before:])
        many = ", ".join(f"{n:,} {method}" for method, n in requests.most_common())
        print(
            f"s3-demo: {time.monotonic() - start:.0f} s, {sum(requests.values()):,} requests to S3: {many}", flush=True
        )
        return compare(demo, words[1::2], server)


def copy_sample(demo: Demo, server: moto_server.Server) -> None:
    """Upload the files of the sample world."""
    files = [path for path in sorted((demo.folder / "sample").rglob("*")) if path.is_file()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = pool.map(lambda p: upload(p, f"{URL}/{p.relative_to(demo.folder).as_posix()}", server.settings), files)
        print(f"s3-demo: {len(list(done)):,} files of the sample world are in {URL}", flush=True)


def write_conf(demo: Demo, server: moto_server.Server) -> Path:
    """Return the configuration of the sample, with every place in S3."""
    settings = demo.configuration(URL)
    settings["store"]["artifacts"] = f"{URL}/artifacts"
    settings["spark"] = {"conf": {**dict(server.settings), "spark.jars.packages": hadoop_aws()}}
    OWN.mkdir(parents=True, exist_ok=True)
    path = OWN / "s3.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return path


def hadoop_aws() -> str:
    """Return the Maven coordinate of Hadoop's client of S3 that fits the installed Spark."""
    (hadoop,) = (Path(pyspark.__file__).parent / "jars").glob("hadoop-client-api-*.jar")
    return f"org.apache.hadoop:hadoop-aws:{hadoop.stem.removeprefix('hadoop-client-api-')}"


def compare(demo: Demo, confs: Sequence[str], server: moto_server.Server) -> int:
    """Return 0 where each table that was written is that of the demo, else 1; says which, and what else is in S3."""
    cfg = load(confs)
    spark, _ = open_session("s3-demo", conf=cfg.spark.conf, short=True)
    wrong = print_differences(Store(spark, str(demo.folder / "tables")), Store(spark, cfg.store.root))
    spark.stop()
    kept = list_url(str(cfg.store.artifacts), server.settings)
    print(f"s3-demo: {len(kept)} files of indexes and models in {cfg.store.artifacts}: {', '.join(kept)}")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
