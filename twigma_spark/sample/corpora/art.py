"""The art corpus: works of eight made-up painters and a CSV catalogue."""

from __future__ import annotations

from pathlib import Path

from twigma_spark.sample.artists import Artist
from twigma_spark.sample.captions import describe
from twigma_spark.sample.corpora.albums import Album
from twigma_spark.sample.corpora.tables import Row, csv_lines
from twigma_spark.sample.dice import Dice, stream
from twigma_spark.sample.encode import encode
from twigma_spark.sample.ledger import Ledger, label_of
from twigma_spark.sample.records import MetadataFault
from twigma_spark.sample.scenes import Scene, draw_scene, draw_spec
from twigma_spark.sample.themes import THEMES

NAME = "art"
THEME_WEIGHTS = {
    "portrait": 4, "still life": 4, "mountains": 3, "sea": 3, "flower": 3, "forest": 2, "abstract": 1,
    "street": 1,
}  # fmt: skip
GENRES = {
    "portrait": "portrait", "still life": "still life", "mountains": "landscape", "sea": "marine",
    "flower": "flower painting", "forest": "landscape", "abstract": "abstract", "street": "cityscape",
}  # fmt: skip
_COLUMNS = ("file", "title", "artist", "genre", "date")
_ODD = ("cmyk_jpeg", "animated_gif", "zero_bytes")


def draw_art(folder: Path, count: int, seed: int, ledger: Ledger) -> Album:
    """The corpus, written under `folder`, with about `count` usable images."""
    album, dice = Album(NAME, folder, ledger), Dice(stream(seed, NAME))
    groups, near = max(1, count // 150), max(1, count // 60)
    base = count - groups - near - 2
    for index in range(base):
        scene, row = _work(index, seed)
        album.add(encode(scene.image, Path(str(row["file"])).suffix), row, label_of(scene), donor=True)
    album.plant_byte_copies(groups, dice)
    album.plant_near_copies(near, dice)
    for index, kind in enumerate(_ODD, start=base):
        scene, row = _work(index, seed)
        album.plant_odd(kind, scene.image, row, label_of(scene))
    album.plant_missing({"file": "stolen.jpg", "title": "The Stolen Landscape", "artist": "Mara Lindqvist"})
    _write_metadata(album, dice)
    return album


def _work(index: int, seed: int) -> tuple[Scene, Row]:
    dice = Dice(stream(seed, NAME, index))
    theme = THEMES[dice.choose_weighted(list(THEME_WEIGHTS), list(THEME_WEIGHTS.values()))]
    spec = draw_spec(theme, "art", dice)
    artist = spec.look.artist
    assert artist is not None  # noqa: S101 (a look of style art always has one)
    suffix = dice.choose_weighted((".jpg", ".png", ".webp"), (8, 1, 1))
    title = describe(theme, spec.traits, spec.traits).removeprefix("a ").removeprefix("an ")
    row: Row = {
        "file": f"{_slug(artist)}-{index:05d}{suffix}",
        "title": title[0].upper() + title[1:],
        "artist": artist.name,
        "genre": GENRES[theme.name],
        "date": dice.integer(*artist.years),
    }
    return draw_scene(spec, dice), row


def _slug(artist: Artist) -> str:
    return artist.name.split()[-1].lower()


def _write_metadata(album: Album, dice: Dice) -> None:
    """Rows in the order of their files; one work has no title and no date."""
    key, _, _ = album.take(dice)
    rows = sorted(album.rows, key=lambda row: str(row["file"]))
    place = next(index for index, row in enumerate(rows) if row["file"] == key)
    rows[place] = {**rows[place], "title": None, "date": None}
    (album.folder / "metadata.csv").write_bytes(b"".join(csv_lines(rows, _COLUMNS)))
    fault = MetadataFault(corpus=NAME, where=f"metadata.csv:{place + 2}", kind="null_title", usable=True, reason=None)
    album.ledger.metadata_faults.append(fault)
