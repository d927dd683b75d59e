"""Files with manifests: reused while both hold, one copy a node."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from twigma_spark.errors import ConfigError
from twigma_spark.io.artifacts import Artifact, ArtifactFolder, checksum, folder, local_copy, manifest, reusable


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "photo-0.faiss"
    path.write_bytes(b"index")
    path.with_suffix(".arrow").write_bytes(b"ids")
    return path


def test_an_artifact_is_used_again_while_manifest_and_checksum_hold(file: Path) -> None:
    text = manifest({"b": 1, "a": [2]})
    assert text == manifest({"a": [2], "b": 1})
    known = [Artifact("neighbours/photo/0", "faiss_index", str(file), checksum(file), text)]
    here = ArtifactFolder(str(file.parent))
    assert reusable(known, "neighbours/photo/0", text, here) == known[0]
    assert reusable(known, "neighbours/art/0", text, here) is None
    assert reusable(known, "neighbours/photo/0", manifest({"a": [2], "b": 2}), here) is None
    file.with_suffix(".arrow").write_bytes(b"other")
    assert reusable(known, "neighbours/photo/0", text, here) is None
    file.unlink()
    assert reusable(known, "neighbours/photo/0", text, here) is None


def test_a_node_makes_one_copy_of_a_file_and_its_companion(file: Path, tmp_path: Path) -> None:
    digest, cache = checksum(file), tmp_path / "node" / "cache"
    assert local_copy(str(file), digest, None) == str(file)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: local_copy(str(file), digest, str(cache)), range(8)))
    assert found == {str(cache / digest / "photo-0.faiss")}
    assert (cache / digest / "photo-0.faiss").read_bytes() == b"index"
    assert (cache / digest / "photo-0.arrow").read_bytes() == b"ids"
    file.unlink()
    assert local_copy(str(file), digest, str(cache)) in found


def test_where_the_files_lie() -> None:
    assert folder("build/x", None).local == Path("build/x").absolute() / "_artifacts"
    for given in ("/Volumes/a", "dbfs:/Volumes/a", "file:/Volumes/a"):
        where = folder("main.twigma", given)
        assert (where.local, where.is_remote) == (Path("/Volumes/a"), False)
    assert folder("x", "dbfs:/a").local == Path("/dbfs/a")
    assert folder("s3://bucket/x", None).place == "s3://bucket/x/_artifacts"
    where = folder("main.twigma", "s3a://bucket/x/")
    assert where.is_remote and where.url(where.local / "reward" / "a") == "s3a://bucket/x/reward/a"
    with pytest.raises(ConfigError, match=r"store\.artifacts must be a folder .* Got null beside"):
        folder("main.twigma", None)
