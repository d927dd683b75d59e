"""`make s3-demo`: the sample world with its files, tables, models and report in S3, beside the store of `make demo`.

S3 is moto's server on this machine. Fails where a table is another than that of the demo; the tolerance of real
numbers is in tests/stores.py. Arguments are those of `twigma run`, such as `--to embed`.
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
from tests.stores import OTHER_EACH_TIME, TOLERANCE, differences
from twigma_spark.config.overlays import load
from twigma_spark.config.settings import Config
from twigma_spark.io.session import open_session
from twigma_spark.io.tables import Store
from twigma_spark.io.url_files import list_url, upload
from twigma_spark.schemas import TABLES

ROOT = Path(__file__).resolve().parents[1]
DEMO, OWN = ROOT / "build" / "demo", ROOT / "build" / "s3-demo"
TWIGMA = (sys.executable, "-c", "from twigma_spark.cli.main import main; main()")
URL = f"s3a://{moto_server.BUCKET}/demo"
# Uploads at once.
AT_ONCE = 8


def main(arguments: Sequence[str]) -> int:
    """Return 0 where the tables are those of the demo, else 1."""
    if not (DEMO / "report.html").exists():
        subprocess.run([*TWIGMA, "demo"], cwd=ROOT, check=True)
    with moto_server.serving() as server:
        copy_sample(server)
        conf = write_conf(server)
        before, start = len(server.asked), time.monotonic()
        if code := subprocess.run([*TWIGMA, "run", "--conf", str(conf), *arguments], cwd=ROOT).returncode:
            return code
        asked = Counter(method for method, _, _ in server.asked[before:])
        many = ", ".join(f"{n:,} {method}" for method, n in asked.most_common())
        print(f"s3-demo: {time.monotonic() - start:.0f} s, {sum(asked.values()):,} requests to S3: {many}")
        return compare(load([conf]), server)


def copy_sample(server: moto_server.Server) -> None:
    """Upload the files of the sample world."""
    files = [path for path in sorted((DEMO / "sample").rglob("*")) if path.is_file()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = pool.map(lambda p: upload(p, f"{URL}/{p.relative_to(DEMO).as_posix()}", server.settings), files)
        print(f"s3-demo: {len(list(done)):,} files of the sample world are in {URL}")


def write_conf(server: moto_server.Server) -> Path:
    """Return the configuration of the sample, with every place in S3."""
    text = (ROOT / "conf" / "sample.yaml").read_text(encoding="utf-8").replace("build/demo", URL)
    settings = yaml.safe_load(text)
    settings["store"]["artifacts"] = f"{URL}/artifacts"
    del settings["sample"]
    settings["spark"] = {"conf": {**dict(server.settings), "spark.jars.packages": hadoop_aws()}}
    OWN.mkdir(parents=True, exist_ok=True)
    path = OWN / "s3.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return path


def hadoop_aws() -> str:
    """Return the Maven coordinate of Hadoop's client of S3 that fits the installed Spark."""
    (hadoop,) = (Path(pyspark.__file__).parent / "jars").glob("hadoop-client-api-*.jar")
    return f"org.apache.hadoop:hadoop-aws:{hadoop.stem.removeprefix('hadoop-client-api-')}"


def compare(cfg: Config, server: moto_server.Server) -> int:
    """Return 0 where each table that was written is that of the demo and all files are in S3, else 1; says which."""
    spark, _ = open_session("s3-demo", conf=cfg.spark.conf, short=True)
    demo, own = Store(spark, str(DEMO / "tables")), Store(spark, cfg.store.root)
    names = [name for name in TABLES if name not in OTHER_EACH_TIME and own.exists(name)]
    wrong = print_differences(demo, own, names)
    kept = list_url(str(cfg.store.artifacts), server.settings)
    print(f"s3-demo: {len(kept)} files of indexes and models in {cfg.store.artifacts}: {', '.join(kept)}")
    spark.stop()
    return int(wrong)


def print_differences(demo: Store, own: Store, names: Sequence[str]) -> bool:
    """Return whether a table differs from that of the demo; says which and in what."""
    found = {name: differences(demo, own, name) for name in names}
    for name, texts in found.items():
        print(f"  {name:<20} {'the same' if not texts else '; '.join(texts)}")
    wrong = [name for name, texts in found.items() if texts] if found else ["all: none was written"]
    verdict = f"differ in {', '.join(wrong)}" if wrong else f"are those of the demo; reals within {TOLERANCE}"
    print(f"{len(names)} tables {verdict}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
