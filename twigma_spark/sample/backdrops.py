"""What lies behind things: skies, suns, ridges, water, ground, rooms and blurred walls."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from twigma_spark.sample.canvas import Canvas
from twigma_spark.sample.colours import Colour, darken, lighten, mix, shade_of, vary
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.textures import noise, ramp, ridge

SKIES: dict[str, tuple[Colour, Colour, Colour]] = {
    "blue": ((34, 100, 196), (96, 164, 232), (206, 230, 246)),
    "red": ((92, 18, 40), (206, 50, 44), (252, 146, 84)),
    "golden": ((190, 116, 44), (244, 182, 78), (255, 232, 164)),
    "pink": ((150, 92, 176), (240, 140, 184), (255, 214, 206)),
    "purple": ((38, 20, 92), (112, 56, 174), (222, 128, 204)),
    "green": ((6, 26, 44), (14, 92, 88), (96, 214, 150)),
    "starry": ((4, 6, 26), (12, 20, 62), (40, 58, 118)),
    "stormy": ((46, 52, 64), (92, 100, 112), (160, 164, 168)),
}
SKY_WORDS = tuple(SKIES)
DARK_SKIES = frozenset({"starry", "green", "purple"})
SUN_WORDS = ("sun", "moon")


def sky(canvas: Canvas, word: str, dice: Dice, horizon: float = 1.0) -> None:
    """Paints a sky down to the horizon: a gradient, then stars, clouds or lights as the word says."""
    _, y = canvas.grid()
    canvas.cover(ramp([vary(stop, dice, 0.03) for stop in SKIES[word]], np.clip(y / horizon, 0, 1)))
    if word in DARK_SKIES:
        stars(canvas, dice, 70, horizon)
    if word == "green":
        _aurora(canvas, dice, horizon)
    if word != "starry":
        _clouds(canvas, word, dice, horizon)
    if word == "stormy" and dice.chance(0.6):
        _bolt(canvas, dice, horizon)


def stars(canvas: Canvas, dice: Dice, count: int, horizon: float = 1.0) -> None:
    """Scatters stars of several sizes; a few of them shine."""
    for x, y, size in dice.array(0, 1, count, 3).tolist():
        pen = canvas.pen(x, y * horizon * 0.95)
        radius = 0.003 + 0.007 * size**5
        pen.oval(0, 0, radius, radius, mix((180, 200, 255), (255, 250, 235), size))
        if size > 0.93:
            pen.glow(0, 0, 0.05, (200, 210, 255), 0.8)


def sun(canvas: Canvas, kind: str, x: float, y: float, dice: Dice) -> None:
    """Hangs a sun, or a moon with its seas, at a place in the sky, with a wide glow."""
    radius = dice.uniform(0.075, 0.105)
    pen = canvas.pen(x, y, radius)
    if kind == "sun":
        pen.glow(0, 0, 6.0, (255, 190, 110), 0.75)
        pen.glow(0, 0, 2.6, (255, 226, 170), 0.8)
        pen.oval(0, 0, 1, 1, (255, 246, 206))
        return
    pen.glow(0, 0, 4.5, (150, 176, 240), 0.6)
    pen.ball(0, 0, 1, 1, (222, 226, 236), 0.5)
    for sx, sy, size in ((-0.3, 0.1, 0.26), (0.25, -0.3, 0.18), (0.3, 0.4, 0.22), (-0.1, -0.5, 0.12)):
        pen.oval(sx, sy, size, size * 0.9, (190, 196, 212))


def hills(canvas: Canvas, line: tuple[float, float], colour: Colour, dice: Dice, roughness: float = 0.45) -> None:
    """Fills the ground below a wavy line that runs between two heights (top of peaks, foot of valleys)."""
    top, foot = line
    heights = foot + (top - foot) * ridge(96, dice, roughness, peaks=3)
    x = np.linspace(0, canvas.width, 96)
    outline = [(float(px), float(py) * canvas.height) for px, py in zip(x, heights, strict=True)]
    points = [*outline, (canvas.width, canvas.height), (0, canvas.height)]
    canvas.draw.polygon(points, fill=colour)
    rim = lighten(colour, 0.22)
    canvas.draw.line(outline, fill=rim, width=max(1, canvas.unit // 110))


def ground(canvas: Canvas, top: float, colour: Colour, dice: Dice, grain: float = 0.16) -> None:
    """Covers everything below `top` with a textured ground that darkens towards the viewer."""
    start = int(top * canvas.height)
    height = canvas.height - start
    shade = np.linspace(1.08, 0.62, height, dtype=np.float32)[:, None]
    texture = noise(canvas.width, height, dice, cells=14, octaves=3) - 0.5
    lit = np.asarray(shade + texture * grain * 2, dtype=np.float32)[..., None]
    canvas.cover(lit * np.array(colour, dtype=np.float32), start)


def grass(canvas: Canvas, top: float, colour: Colour, dice: Dice, blades: int = 160) -> None:
    """Covers everything below `top` with ground and blades of grass."""
    ground(canvas, top, darken(colour, 0.25), dice)
    for x, y, lean, tone in dice.array(0, 1, blades, 4).tolist():
        foot = top + (1 - top) * y**0.8
        reach = 0.025 + 0.1 * (foot - top)
        pen = canvas.pen(x, foot)
        shade = mix(darken(colour, 0.4), lighten(colour, 0.35), tone)
        pen.line([(0, reach * 0.4), ((lean - 0.5) * reach, -reach)], 0.008, shade)


def water(canvas: Canvas, top: float, colour: Colour, dice: Dice, rough: float = 0.4) -> None:
    """Turns everything below `top` into water that mirrors what is above it, in ripples."""
    start = int(top * canvas.height)
    height = canvas.height - start
    above = canvas.image.crop((0, max(0, start - height), canvas.width, start))
    mirror = ImageOps.flip(above).resize((canvas.width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(mirror.filter(ImageFilter.GaussianBlur(canvas.unit / 90)), dtype=np.float32)
    rows = np.arange(height, dtype=np.float32) / height
    phase, pitch = dice.uniform(0, 6), dice.uniform(24, 36)
    swing = np.sin(phase + pitch * np.sqrt(rows)) * (0.3 + rows) * rough * canvas.unit * 0.05
    columns = (np.arange(canvas.width)[None, :] + swing[:, None].astype(int)) % canvas.width
    pixels = np.take_along_axis(pixels, columns[..., None], axis=1)
    share = (0.34 + 0.4 * rows)[:, None, None]
    wave = np.sin(phase + pitch * 2.2 * np.sqrt(rows)[:, None] + 3 * noise(canvas.width, height, dice, 3, 1))
    glint = 18 * rough * wave[..., None] * (0.3 + rows)[:, None, None]
    canvas.cover(pixels * (1 - share) + np.array(colour, dtype=np.float32) * share + glint, start)


def wall(canvas: Canvas, colour: Colour, dice: Dice, lights: int = 9) -> None:
    """Paints a soft backdrop: a lit middle, dark corners, and blurred discs of light."""
    x, y = canvas.grid(coarse=3)
    cx, cy = dice.uniform(0.35, 0.65), dice.uniform(0.3, 0.5)
    reach = np.clip(np.hypot(x - cx, y - cy) * 1.25, 0, 1)
    texture = (noise(x.size, y.size, dice, 3, 3) - 0.5)[..., None] * 34
    canvas.backdrop(ramp([lighten(colour, 0.38), colour, darken(colour, 0.62)], reach) + texture)
    for px, py, size in dice.array(0, 1, lights, 3).tolist():
        canvas.pen(px, py).glow(0, 0, 0.05 + 0.13 * size, lighten(colour, 0.3), 0.4)


def table(canvas: Canvas, top: float, word: str, dice: Dice) -> None:
    """Covers everything below `top` with a table: planks where the word is "brown", else a cloth."""
    colour = shade_of(word, dice)
    ground(canvas, top, colour, dice, 0.05)
    if word == "brown":
        for plank in range(6):
            y = top + (1 - top) * ((plank + 0.6) / 6) ** 1.3
            canvas.pen(0, y).line([(0, 0), (4, 0)], 0.008, darken(colour, 0.5))
        return
    for fold in dice.array(0, 1, 5).tolist():
        canvas.pen(fold, top).line([(0, 0), ((fold - 0.5) * 0.9, 1)], 0.02, darken(colour, 0.16))


def haze(canvas: Canvas, height: float, colour: Colour, strength: float = 0.6, spread: float = 0.16) -> None:
    """Lays mist around a height of the picture."""
    _, y = canvas.grid()
    canvas.wash(strength * np.exp(-(((y - height) / spread) ** 2)), colour)


def _clouds(canvas: Canvas, word: str, dice: Dice, horizon: float) -> None:
    x, y = canvas.grid(coarse=2)
    field = noise(x.size, y.size * 2, dice, 3, 4)[::2]
    cover = 0.3 if word == "stormy" else dice.uniform(0.46, 0.62)
    mask = np.clip((field - cover) * 3.2, 0, 1) * np.clip(1.15 - y / horizon, 0, 1)
    tint = lighten(SKIES[word][2], 0.45) if word != "stormy" else (58, 62, 74)
    canvas.wash(mask * (0.35 if word in DARK_SKIES else 0.75), tint)


def _aurora(canvas: Canvas, dice: Dice, horizon: float) -> None:
    x, y = canvas.grid()
    for _ in range(2):
        line = horizon * (dice.uniform(0.25, 0.6) + 0.12 * np.sin(dice.uniform(3, 8) * x + dice.uniform(0, 6)))
        above = np.clip((line - y) / (0.4 * horizon), 0, 1)
        canvas.light(0.8 * np.where(y < line, (1 - above) ** 2, np.exp(-(((y - line) / 0.03) ** 2))), (70, 240, 150))


def _bolt(canvas: Canvas, dice: Dice, horizon: float) -> None:
    pen = canvas.pen(dice.uniform(0.2, 0.8), 0.0)
    drift = np.cumsum(dice.array(-0.07, 0.07, 8)).tolist()
    line = [(x, horizon * 0.8 * step / 7) for step, x in enumerate(drift)]
    for x, y in line[::2]:
        pen.glow(x, y, 0.2, (190, 200, 255), 0.5)
    pen.line(line, 0.012, (248, 248, 255))
