"""The diffusion corpus: prompts with four images each, posted by a community, and a JSONL file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from twigma_spark.sample.corpora.albums import Album
from twigma_spark.sample.corpora.community import count_members, measure_traits, post_row
from twigma_spark.sample.corpora.oddities import GREY
from twigma_spark.sample.corpora.prompts import draw_prompt, wobble_of
from twigma_spark.sample.corpora.tables import json_lines
from twigma_spark.sample.dice import Dice, stream
from twigma_spark.sample.encode import encode
from twigma_spark.sample.ledger import Ledger, label_of
from twigma_spark.sample.media import draw_look
from twigma_spark.sample.records import MetadataFault, PromptTruth, TasteTruth
from twigma_spark.sample.scenes import Scene, Spec, draw_scene, draw_spec
from twigma_spark.sample.themes import THEMES

NAME = "diffusion"
TILES = 4
THEME_WEIGHTS = {
    "portrait": 5, "robot": 4, "castle": 4, "space": 4, "abstract": 3, "city": 3, "animal": 3, "mountains": 3,
    "underwater": 2, "flower": 2, "forest": 2, "sea": 1,
}  # fmt: skip
_ODD = ("palette_png", "animated_webp", "deep_png", "pixel_bomb", "zero_bytes")
_START = datetime(2022, 8, 6, tzinfo=UTC)


@dataclass(frozen=True)
class _Prompt:
    """A prompt, the specification it was made from, and how freely its images vary."""

    serial: int
    text: str
    spec: Spec
    named: frozenset[str]
    wobble: float
    asked: datetime


def draw_diffusion(folder: Path, count: int, seed: int, ledger: Ledger) -> Album:
    """The corpus, written under `folder`, with about `count` usable images."""
    album, dice = Album(NAME, folder, ledger), Dice(stream(seed, NAME))
    groups, near = max(1, count // 150), max(3, count // 60)
    prompts = max(2, (count - groups - near - 3) // TILES)
    for serial in range(prompts):
        _draw_tiles(album, _draw_prompt(serial, seed), count_members(count), seed)
    album.plant_byte_copies(groups, dice)
    album.plant_near_copies(near, dice)
    for serial, kind in enumerate(_ODD, start=prompts):
        prompt = _draw_prompt(serial, seed, kind in GREY)
        scene = _tile(prompt, 0, seed)
        album.plant_odd(kind, scene.image, _row(prompt, 0, ".png"), label_of(scene))
    album.plant_missing(_row(_draw_prompt(prompts + len(_ODD), seed), 0, ".png"))
    album.plant_listed_twice(dice)
    _write_metadata(album)
    return album


def _draw_prompt(serial: int, seed: int, grey: bool = False) -> _Prompt:
    dice = Dice(stream(seed, NAME, serial))
    theme = THEMES[dice.choose_weighted(list(THEME_WEIGHTS), list(THEME_WEIGHTS.values()))]
    spec = draw_spec(theme, "generated", dice, grey)
    text, named = draw_prompt(theme, spec.traits, spec.look.medium, dice)
    time = _START + timedelta(minutes=int(dice.unit() * 200_000))
    return _Prompt(serial, text, spec, named, wobble_of(len(text.split())), time)


def _draw_tiles(album: Album, prompt: _Prompt, members: int, seed: int) -> None:
    suffix = Dice(stream(seed, NAME, prompt.serial, "suffix")).choose_weighted((".png", ".webp", ".jpg"), (2, 4, 4))
    scenes = [_tile(prompt, tile, seed) for tile in range(TILES)]
    for tile, (scene, traits) in enumerate(zip(scenes, measure_traits([scene.image for scene in scenes]), strict=True)):
        row = _row(prompt, tile, suffix)
        posted = post_row(traits, prompt.asked, members, stream(seed, NAME, prompt.serial, "tile", tile, "post"))
        album.add(encode(scene.image, suffix), {**row, **posted}, label_of(scene), donor=True)
        latents = {"brightness": round(traits.brightness, 4), "warmth": round(traits.warmth, 4)}
        album.ledger.tastes.append(TasteTruth(source_key=str(row["file"]), **latents))
    entry = PromptTruth(
        prompt_id=_prompt_id(prompt),
        words=len(prompt.text.split()),
        wobble=prompt.wobble,
        free_traits=len(set(prompt.spec.traits) - prompt.named),
    )
    album.ledger.prompts.append(entry)


def _tile(prompt: _Prompt, tile: int, seed: int) -> Scene:
    """One of the four: what the prompt does not name is drawn anew, the rest wobbles around a middle."""
    own = Dice(stream(seed, NAME, prompt.serial, "tile", tile))
    spec, theme = prompt.spec, prompt.spec.theme
    fresh = theme.draw_traits(own)
    traits = {slot: word if slot in prompt.named else fresh[slot] for slot, word in spec.traits.items()}
    look = spec.look if "medium" in prompt.named else draw_look("generated", own)
    dice = Dice(
        stream(seed, NAME, prompt.serial, "tile", tile, "hand"),
        stream(seed, NAME, prompt.serial, "hand"),
        prompt.wobble,
    )
    return draw_scene(Spec(theme, traits, look, spec.size, grey=spec.grey), dice)


def _prompt_id(prompt: _Prompt) -> str:
    return f"p{prompt.serial:06d}"


def _row(prompt: _Prompt, tile: int, suffix: str) -> dict[str, object]:
    return {
        "file": f"{_prompt_id(prompt)}-{tile}{suffix}",
        "prompt": prompt.text,
        "prompt_id": _prompt_id(prompt),
        "tile": tile,
        "created_at": prompt.asked.isoformat().replace("+00:00", "Z"),
    }


def _write_metadata(album: Album) -> None:
    """Rows in the order they were made; the last line was cut off when the disk was full."""
    lines = json_lines(album.rows)
    lines.append(b'{"file": "p999999-0.png", "prompt": "a castle un')
    (album.folder / "metadata.jsonl").write_bytes(b"".join(lines))
    fault = MetadataFault(
        corpus=NAME,
        where=f"metadata.jsonl:{len(lines)}",
        kind="cut_off_line",
        usable=False,
        reason="metadata_unreadable",
    )
    album.ledger.metadata_faults.append(fault)
