"""The sample world on disk: reproducible, whole, and as its truth says."""

import csv
import hashlib
import json
import shutil
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps, UnidentifiedImageError

from twigma_spark.errors import ConfigError
from twigma_spark.sample.captions import vocabulary
from twigma_spark.sample.corpora.oddities import FILES
from twigma_spark.sample.truth import Truth, load_images, load_truth
from twigma_spark.sample.world import draw_world, world_is_current

SIZE, SEED = 100, 5


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    out = tmp_path_factory.mktemp("sample") / "world"
    draw_world(out, SIZE, SEED)
    return out


@pytest.fixture(scope="module")
def truth(world) -> Truth:
    return load_truth(world / "truth.json")


@pytest.fixture(scope="module")
def pages(world):
    return [json.loads(path.read_text()) for path in sorted((world / "posts").glob("posts-*.json"))]


def image_path(world: Path, corpus: str, source_key: str) -> Path:
    if corpus != "posts":
        return world / corpus / "images" / source_key
    found = list((world / "posts/media").glob(source_key.split("/")[1] + ".*"))
    return found[0] if found else world / "posts/media" / source_key.split("/")[1]


def digest(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def thumbnail(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize((12, 12)), dtype=float).ravel()


def test_same_seed_same_bytes(tmp_path, world):
    draw_world(tmp_path / "again", SIZE, SEED)
    assert digest(tmp_path / "again") == digest(world)


def test_another_seed_replaces_the_world_and_a_failed_one_leaves_it(tmp_path, world):
    out, calls = tmp_path / "world", []
    shutil.copytree(world, out)

    def fail(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_world(out, SIZE, SEED, fail)
    assert digest(out) == digest(world)
    draw_world(out, SIZE, SEED + 1, lambda done, total: calls.append((done, total)))
    assert calls[0] == (1, SIZE)
    assert all(done <= total for done, total in calls)
    assert world_is_current(out, SIZE, SEED + 1)
    assert [path.name for path in tmp_path.iterdir()] == ["world"]  # no scratch left
    alike = set(digest(out).values()) & set(digest(world).values())
    assert len(alike) == 3  # the empty file, the page named .jpg and the pixel bomb


def test_size_and_shares(truth):
    usable = {name: account.usable for name, account in truth.corpora.items()}
    assert abs(sum(usable.values()) - SIZE) <= 8
    assert usable["posts"] > usable["diffusion"] > max(usable["photo"], usable["art"])


def test_accounts_agree_with_the_disk(world, truth, pages):
    for name in ("diffusion", "photo", "art"):
        files = {str(path.relative_to(world / name / "images")) for path in (world / name / "images").rglob("*.*")}
        listed = listed_files(world / name)
        candidates = len(files | set(listed)) + len(listed) - len(set(listed))
        assert candidates == truth.corpora[name].files, name
    posts = {post["id"]: post for page in pages for post in page["data"] if "id" in post}
    shown = [key for post in posts.values() for key in post["attachments"]["media_keys"]]
    assert len(shown) == truth.corpora["posts"].files
    assert {path.stem for path in (world / "posts/media").iterdir()} < set(shown)


def listed_files(folder: Path) -> list[str]:
    if (folder / "metadata.jsonl").exists():
        lines = (folder / "metadata.jsonl").read_bytes().splitlines()
        return [json.loads(line)["file"] for line in lines[:-1]]
    text = (folder / "metadata.csv").read_bytes().decode("utf-8", errors="replace")
    return [row["file"] for row in csv.DictReader(text.splitlines())]


def test_usable_images_open_and_speak_the_vocabulary(world, truth):
    images, words = load_images(world / "truth_images.jsonl"), set(vocabulary())
    assert 120 <= len(words) <= 200
    for image in images:
        with Image.open(image_path(world, image.corpus, image.source_key)) as opened:
            opened.convert("RGB").load()
        assert set(image.caption.split()) <= words, image.caption
    assert Counter(image.corpus for image in images) == {
        name: account.usable for name, account in truth.corpora.items()
    }


def test_same_bytes_are_just_those_planted(world, truth):
    images = load_images(world / "truth_images.jsonl")
    groups = defaultdict(set)
    for image in images:
        path = image_path(world, image.corpus, image.source_key)
        groups[image.corpus, hashlib.sha256(path.read_bytes()).hexdigest()].add(image.source_key)
    found = {frozenset(keys) for keys in groups.values() if len(keys) > 1}
    planted = {frozenset(group.source_keys) for group in (*truth.byte_duplicates, *truth.shared_media)}
    assert found == planted
    assert {group.corpus for group in truth.byte_duplicates} == set(truth.corpora)


def test_shared_media_stand_in_several_posts(truth, pages):
    shown = defaultdict(set)
    for post in (post for page in pages for post in page["data"] if "id" in post):
        for key in post["attachments"]["media_keys"]:
            shown[key].add(f"{post['id']}/{key}")
    assert {key: keys for key, keys in shown.items() if len(keys) > 1} == {
        entry.media_key: set(entry.source_keys) for entry in truth.shared_media
    }


def test_changed_copies_still_look_like_their_source(world, truth):
    pairs = [((e.corpus, e.source_key), (e.corpus, e.of)) for e in truth.near_duplicates]
    pairs += [(("posts", e.source_key), (e.of_corpus, e.of)) for e in truth.reference_copies]
    for copy, source in pairs:
        first, second = (image_path(world, *key) for key in (copy, source))
        assert first.read_bytes() != second.read_bytes()
        assert np.abs(thumbnail(first) - thumbnail(second)).mean() < 20, (copy, source)
    assert {entry.kind for entry in truth.near_duplicates} == {
        "recompressed",
        "converted",
        "resized",
        "cropped",
    }
    assert {entry.of_corpus for entry in truth.reference_copies} == {"photo", "art"}


def test_every_kind_of_broken_file_is_what_it_says(world, truth):
    for entry in truth.broken:
        if entry.kind == "listed_twice":
            assert listed_files(world / entry.corpus).count(entry.source_key) == 2
        elif entry.unit == "image":
            check_kind(entry.kind, image_path(world, entry.corpus, entry.source_key))
    assert {entry.kind for entry in truth.broken} == {
        *FILES,
        "missing_file",
        "listed_twice",
        "collected_twice",
    }


KINDS = {
    "cmyk_jpeg": lambda image: image.mode == "CMYK",
    "grey_jpeg": lambda image: image.mode == "L",
    "palette_png": lambda image: image.mode == "P" and "transparency" in image.info,
    "turned_jpeg": lambda image: ImageOps.exif_transpose(image).size == image.size[::-1],
    "animated_gif": lambda image: image.format == "GIF" and image.n_frames == 3,
    "animated_webp": lambda image: image.format == "WEBP" and image.n_frames == 3,
    "deep_png": lambda image: image.mode.startswith("I;16"),
}


def check_kind(kind: str, path: Path) -> None:
    if kind in KINDS:
        with Image.open(path) as image:
            assert KINDS[kind](image), path
    elif kind == "truncated_jpeg":
        with Image.open(path) as image, pytest.raises(OSError, match="truncated"):
            image.load()
    elif kind == "zero_bytes":
        assert path.stat().st_size == 0
    elif kind == "page_named_jpg":
        with pytest.raises(UnidentifiedImageError):
            Image.open(path)
    elif kind == "pixel_bomb":
        with pytest.raises(Image.DecompressionBombError, match="400000000 pixels"):
            Image.open(path)
        assert path.stat().st_size < 2_000
    else:
        assert kind == "missing_file"
        assert not path.exists()


def test_metadata_faults_are_where_they_are_said_to_be(world, truth, pages):
    for fault in truth.metadata_faults:
        name, _, place = fault.where.partition(":")
        if fault.kind == "post_without_id":
            page = pages[int(name.removeprefix("posts-").removesuffix(".json"))]
            assert "id" not in page["data"][int(place[5:-1])]
            continue
        line = (world / fault.corpus / name).read_bytes().split(b"\n")[int(place) - 1]
        if fault.kind == "latin_1_row":
            with pytest.raises(UnicodeDecodeError):
                line.decode()
        elif fault.kind == "cut_off_line":
            with pytest.raises(json.JSONDecodeError):
                json.loads(line)
        else:
            assert b",," in line
            assert fault.usable


def test_pages_hang_together(truth, pages):
    assert ["next_token" in page["meta"] for page in pages] == [True] * (len(pages) - 1) + [False]
    ids = [post["id"] for page in pages for post in page["data"] if "id" in post]
    twice = [entry.source_key for entry in truth.broken if entry.kind == "collected_twice"]
    assert [key for key, count in Counter(ids).items() if count > 1] == twice
    for page in pages:
        users = {user["id"] for user in page["includes"]["users"]}
        media = {item["media_key"] for item in page["includes"]["media"]}
        for post in page["data"]:
            assert post["author_id"] in users
            assert set(post.get("attachments", {"media_keys": []})["media_keys"]) <= media
            assert "2021-01" <= post["created_at"] <= "2023-04"
            for tag in post["entities"]["hashtags"]:
                assert post["text"][tag["start"] : tag["end"]] == f"#{tag['tag']}"


def test_four_images_a_prompt(world, truth):
    rows = [json.loads(line) for line in (world / "diffusion/metadata.jsonl").read_bytes().splitlines()[:-1]]
    tiles = defaultdict(set)
    for row in rows:
        tiles[row["prompt_id"]].add(row["tile"])
    assert all(tiles[prompt.prompt_id] == {0, 1, 2, 3} for prompt in truth.prompts)


def test_what_is_refused(tmp_path, world):
    with pytest.raises(ConfigError, match=r"size must be 80 images or more\. Got 79\."):
        draw_world(tmp_path / "new", 79, 1)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="out must be a new folder"):
        draw_world(tmp_path, 80, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert world_is_current(world, SIZE, SEED)
    assert not world_is_current(world, SIZE, SEED + 1)
    assert not world_is_current(tmp_path, SIZE, SEED)


def test_the_community_likes_what_its_taste_says(tmp_path):
    """Likes follow the planted brightness and followers; warmth goes with followers only."""
    from twigma_spark.sample.corpora.community import MODEL, Traits, post_row
    from twigma_spark.sample.dice import stream

    asked, rows = datetime(2023, 1, 1, tzinfo=UTC), []
    traits = [Traits(b, w) for b, w in np.random.default_rng(0).normal(0, 0.5, (4000, 2))]
    rows = [post_row(t, asked, 5000, stream(1, n)) for n, t in enumerate(traits)]
    bands = list(MODEL.bands)
    followers = np.array([row["author_followers"] for row in rows])
    band = (followers >= 500).astype(int) + (followers > 5000)
    evening = np.array([int(str(row["created_at"])[11:13]) >= 18 for row in rows])
    bright = np.clip([t.brightness for t in traits], -1, 1)
    design = np.stack([np.ones(4000), bright, band == 1, band == 2, evening, [t.warmth for t in traits]], axis=1)
    likes = np.array([row["like_count"] for row in rows], float)
    weights = np.zeros(6)
    weights[0] = np.log(likes.mean())
    for _ in range(50):  # Poisson regression by Newton's method; its estimates hold under overdispersion
        mean = np.exp(np.minimum(design @ weights, 20))
        weights += np.linalg.solve((design * mean[:, None]).T @ design, design.T @ (likes - mean))
    planted = [MODEL.intercept, MODEL.brightness, MODEL.bands[bands[1]], MODEL.bands[bands[2]], MODEL.evening, 0.0]
    assert weights == pytest.approx(planted, abs=0.3)
    assert np.mean([t.warmth for t, b in zip(traits, band, strict=True) if b == 2]) > 0.3
    assert {"author_id", "author_followers", "created_at", "like_count"} == set(rows[0])
    followers_of = {}
    for row in rows:
        assert followers_of.setdefault(row["author_id"], row["author_followers"]) == row["author_followers"]


def test_traits_are_differences_within_a_prompt():
    from twigma_spark.sample.corpora.community import measure_traits

    images = [Image.new("RGB", (4, 4), colour) for colour in ((200, 100, 0), (0, 100, 200), (100, 100, 100))]
    found = measure_traits(images)
    assert [t.brightness for t in found] == pytest.approx([0, 0, 0])
    assert [t.warmth for t in found] == pytest.approx([200 / 255 / 0.21, -200 / 255 / 0.21, 0])


def test_every_image_made_from_a_prompt_has_its_post_and_its_taste(world, truth):
    rows = [json.loads(line) for line in (world / "diffusion/metadata.jsonl").read_text().splitlines()[:-1]]
    by_file = {row["file"]: row for row in rows if "like_count" in row}
    assert {taste.source_key for taste in truth.tastes} <= by_file.keys()
    by_prompt = defaultdict(list)
    for taste in truth.tastes:
        by_prompt[taste.source_key.split("-")[0]].append(taste.brightness)
    assert all(len(values) == 4 and abs(sum(values)) < 1e-3 for values in by_prompt.values())
