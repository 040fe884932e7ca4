"""A world -> its image, and the box of everything in it."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageDraw

from ram.datasets.source import Box
from ram.datasets.synthetic.pen import COLORS, RGB, Pen, Style
from ram.datasets.synthetic.scenes import draw_scene
from ram.datasets.synthetic.things import THINGS
from ram.datasets.synthetic.world import Thing, World

OVERSAMPLING = 3  # drawn so many times larger and then reduced: smooth edges


def draw_world(world: World, rng: random.Random) -> tuple[Image.Image, list[list[Box]]]:
    """The image, RGB, and for every thing one box a place."""
    width, height = world.width * OVERSAMPLING, world.height * OVERSAMPLING
    canvas = draw_scene(world.scene, width, height, world.horizon, rng)
    style = Style.drawn(rng)
    _scribble(canvas, rng)
    boxes = [[_draw_thing(canvas, thing, place, style, rng) for place in thing.places] for thing in world.things]
    if rng.random() < 0.3:
        _scribble(canvas, rng)
    small = canvas.resize((world.width, world.height), Image.Resampling.LANCZOS)
    return _lit(small, rng), boxes


def _draw_thing(canvas: Image.Image, thing: Thing, place: tuple[float, float], style: Style, rng: random.Random) -> Box:
    side = round(thing.side * min(canvas.size))
    color: RGB = tuple(min(max(c + rng.randint(-16, 16), 0), 255) for c in COLORS[thing.color])  # type: ignore[assignment]
    tilt = 90 if thing.action == "swim" and thing.kind == "person" else rng.gauss(0, 5)
    if thing.action in ("fly", "jump"):
        tilt -= rng.uniform(4, 14)
    pen = Pen(side, color, style, rng, turn=tilt, aspect=rng.uniform(0.86, 1.16), mirror=rng.random() < 0.5)
    THINGS[thing.kind].draw(pen, thing.action or "stand")
    layer = pen.textured()
    left, top = round(place[0] * canvas.width - side / 2), round(place[1] * canvas.height - side / 2)
    if thing.action == "jump":
        top -= round(side * 0.14)
    _under(canvas, thing, left, top, side)
    canvas.paste(layer, (left, top), layer)
    _cue(canvas, thing, left, top, side, rng)
    drawn = layer.getbbox() or (0, 0, side, side)
    x0, x1 = (min(max((left + x) / canvas.width, 0.0), 1.0) for x in drawn[::2])
    y0, y1 = (min(max((top + y) / canvas.height, 0.0), 1.0) for y in drawn[1::2])
    return x0, y0, x1, y1


def _under(canvas: Image.Image, thing: Thing, left: int, top: int, side: int) -> None:
    """The shadow: at the feet, or well below a thing that jumps."""
    if thing.action in ("fly", "swim") or thing.standing_on is not None:
        return
    drop = 0.22 if thing.action == "jump" else 0.0
    y = top + round(side * (0.88 + drop))
    shadow = Image.new("L", (side, max(side // 8, 2)), 0)
    ImageDraw.Draw(shadow).ellipse((side * 0.14, 0, side * 0.86, shadow.height - 1), fill=90)
    canvas.paste((20, 20, 24), (left, y - shadow.height // 2), shadow)


def _cue(canvas: Image.Image, thing: Thing, left: int, top: int, side: int, rng: random.Random) -> None:
    """What shows an action besides the pose: speed lines, letters Z, waves, crumbs, arcs of a leap or of wings."""
    draw = ImageDraw.Draw(canvas)
    thin = max(side // 34, 2)

    def at(x: float, y: float) -> tuple[float, float]:
        return left + x * side, top + y * side

    if thing.action == "sleep":
        for i, size in enumerate((0.07, 0.1, 0.13)):
            x, y = 0.62 + 0.14 * i, 0.16 - 0.14 * i
            corners = [at(x, y), at(x + size, y), at(x, y + size), at(x + size, y + size)]
            draw.line(corners, fill=(250, 250, 255), width=thin * 3)
            draw.line(corners, fill=(40, 40, 90), width=thin)
    elif thing.action == "run":
        for y in (0.4, 0.55, 0.7):
            for start, end in ((-0.2, -0.02), (1.02, 1.14)):
                draw.line([at(start, y), at(end, y)], fill=(250, 250, 250), width=thin)
        for x in (-0.05, 0.1):
            draw.ellipse([at(x, 0.8), at(x + 0.14, 0.92)], fill=(200, 190, 172))
    elif thing.action == "jump":
        for x in (0.2, 0.5, 0.8):
            draw.arc([at(x - 0.1, 0.9), at(x + 0.1, 1.12)], 200, 340, fill=(250, 250, 250), width=thin)
    elif thing.action == "fly":
        for y, start in ((0.3, -0.22), (0.5, -0.3), (0.7, -0.22)):
            draw.arc([at(start, y - 0.06), at(start + 0.34, y + 0.06)], 190, 350, fill=(252, 252, 252), width=thin)
    elif thing.action == "swim":
        for row in range(4):
            y = 0.62 + 0.1 * row
            wave = [at(-0.12 + 1.24 * t / 14, y + (0.035 if t % 2 else -0.035)) for t in range(15)]
            water = (70 + 12 * row, 150, 214)
            draw.polygon([*wave, at(1.12, y + 0.14), at(-0.12, y + 0.14)], fill=water)
            draw.line(wave, fill=(214, 238, 250), width=thin)
    elif thing.action == "eat":
        draw.ellipse([at(0.72, 0.84), at(1.12, 0.96)], fill=(226, 226, 232))
        draw.pieslice([at(0.78, 0.76), at(1.06, 1.02)], 180, 360, fill=(236, 196, 120))
        for _ in range(7):
            x, y = rng.uniform(0.74, 1.1), rng.uniform(0.6, 0.8)
            draw.ellipse([at(x, y), at(x + 0.035, y + 0.035)], fill=(224, 170, 92))


def _scribble(canvas: Image.Image, rng: random.Random) -> None:
    """Clutter that means nothing."""
    draw = ImageDraw.Draw(canvas)
    for _ in range(rng.randint(0, 4)):
        color = (rng.randint(30, 240), rng.randint(30, 240), rng.randint(30, 240))
        x, y, size = rng.uniform(0, canvas.width), rng.uniform(0, canvas.height), rng.uniform(6, 30)
        if rng.random() < 0.5:
            path = [(x + rng.gauss(0, size), y + rng.gauss(0, size)) for _ in range(5)]
            draw.line(path, fill=color, width=rng.randint(2, 4))
        else:
            corners = [(x + rng.gauss(0, size * 0.5), y + rng.gauss(0, size * 0.5)) for _ in range(rng.randint(3, 5))]
            draw.polygon(corners, fill=color)


def _lit(image: Image.Image, rng: random.Random) -> Image.Image:
    """Light from one side, of some color and strength, and a little grain."""
    pixels = np.asarray(image).astype(np.float32)
    slope = rng.uniform(-0.18, 0.18) * np.linspace(-1, 1, image.width)[None, :, None]
    tint = np.array([rng.uniform(0.93, 1.07) for _ in range(3)])
    pixels = pixels * (rng.uniform(0.78, 1.12) + slope) * tint
    pixels += np.random.default_rng(rng.getrandbits(32)).normal(0, rng.choice((0, 3, 6)), pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
