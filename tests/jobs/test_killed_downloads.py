"""Downloads whose driver is killed, and that lose their executors: what was committed is not lost, nor repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.hosts import Host, png, serving
from tests.jobs.stage_process import StageProcess, commits
from twigma_spark.io.tables import Store

pytestmark = pytest.mark.faults
# Pictures that come, that come at the third request, and that are gone; of each part some.
FINE, BUSY, GONE, CHUNK, RATE, THREADS = 180, 6, 6, 48, 30, 4
TABLE = "downloads"


@pytest.fixture
def host() -> Iterator[Host]:
    with serving() as found:
        yield found


@pytest.fixture
def photos(tmp_path: Path, host: Host) -> Path:
    """A folder without pictures, and beside it a list of addresses, a third of them on another name of the host."""
    paths = [f"ok/{n}" for n in range(FINE)] + [f"busy/{n}" for n in range(BUSY)] + [f"404/{n}" for n in range(GONE)]
    other = host.url.replace("127.0.0.1", "localhost")
    lines = [f"{path.replace('/', '-')}.png,{other if n % 3 else host.url}/{path}" for n, path in enumerate(paths)]
    (tmp_path / "photos.csv").write_text("\n".join(["file,url", *lines]) + "\n")
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def fetch(root: str, photos: Path, master: str) -> StageProcess:
    """Start the stage `fetch`."""
    corpus = f"{{name: photos, role: natural, path: {photos}, metadata: {photos}.csv, fetch: true}}"
    settings = (
        f"corpora=[{corpus}]", f"fetch.commit_every={CHUNK}", f"fetch.rate={RATE}",
        f"fetch.threads={THREADS}", "fetch.private_hosts=[127.0.0.1, localhost]", f"spark.master={master}",
        "spark.conf={spark.driver.memory: 1g, spark.executor.memory: 1g}",
    )  # fmt: skip
    return StageProcess("fetch", root, settings, SPARK_WORKER_DIR=f"{root}-work")


def there(photos: Path) -> set[str]:
    """Return the paths at the host of the pictures that are in the folder."""
    return {"/" + path.stem.replace("-", "/") for path in photos.glob("*.png")}


def check_all(store: Store, photos: Path, host: Host) -> list[tuple[str, int, str]]:
    """Check that every picture is there whole, and return key, attempt and outcome of each row of `downloads`."""
    assert there(photos) == {f"/ok/{n}" for n in range(FINE)} | {f"/busy/{n}" for n in range(BUSY)}
    assert all((photos / f"ok-{n}.png").read_bytes() == png(n) for n in range(FINE))
    assert not list(photos.glob("*.part"))
    rows = [(r.source_key, r.attempt, r.outcome) for r in store.read("downloads").collect()]
    assert max(Counter((key, number) for key, number, _ in rows).values()) == 1
    return rows


def test_a_killed_driver_loses_and_repeats_nothing_that_was_committed(store: Store, photos: Path, host: Host) -> None:
    first = fetch(store.root, photos, "local[2]")
    # Into the part after the first commit.
    first.wait_for(lambda: commits(store.root, TABLE) >= 1)
    count = sum(host.seen.values())
    first.wait_for(lambda: sum(host.seen.values()) >= count + 10)
    # Python's workers are in a group of their own, and would go on for a while.
    for process in [first.process, *psutil.Process(first.process.pid).children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    first.end()
    committed = {(r.source_key, r.attempt): r.outcome for r in store.read("downloads").collect()}
    seen, had = Counter(host.seen), there(photos)
    assert CHUNK * 0.5 < len(committed) < FINE and len(had) < FINE

    second = fetch(store.root, photos, "local[2]")
    status, output = second.end()
    assert status == 0, output
    rows = check_all(store, photos, host)
    assert {(key, number): outcome for key, number, outcome in rows}.items() >= committed.items()
    again = {path for path in seen if host.seen[path] > seen[path]}
    # What was had, and what is gone for good by a committed row, is not asked for again.
    final = {"/" + key.removesuffix(".png").replace("-", "/") for (key, _), how in committed.items() if how != "retry"}
    assert not again & (had | final)
    # What was under way at the kill was asked for twice, and nothing else but pictures that a busy host refused.
    assert len([path for path in again if path.startswith("/ok/")]) <= 2 * THREADS


def test_lost_executors_lose_and_repeat_nothing_that_was_written(store: Store, photos: Path, host: Host) -> None:
    run = fetch(store.root, photos, "local-cluster[2,1,1024]")
    run.wait_for(lambda: commits(store.root, TABLE) >= 1)
    count = sum(host.seen.values())
    run.wait_for(lambda: sum(host.seen.values()) >= count + 10)
    seen, had = Counter(host.seen), there(photos)
    killed = kill_executors(run.process.pid)
    status, output = run.end()
    assert status == 0 and killed == 2, output
    rows = check_all(store, photos, host)
    had_again = {path for path in had if host.seen[path] > seen[path]}
    assert had_again == set()
    assert Counter(key for key, _, outcome in rows if outcome == "ok") == Counter(
        [f"ok-{n}.png" for n in range(FINE)] + [f"busy-{n}.png" for n in range(BUSY)]
    )
    twice = [n for n in range(FINE) if host.seen[f"/ok/{n}"] > 1]
    assert len(twice) <= 2 * THREADS, twice


def kill_executors(driver: int) -> int:
    """Kill the JVMs of all executors, of which Spark starts others, and return how many were killed."""
    killed = 0
    for process in psutil.Process(driver).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # one that has ended by itself
            if "CoarseGrainedExecutorBackend" in " ".join(process.cmdline()):
                process.kill()
                killed += 1
    return killed
