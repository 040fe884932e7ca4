"""The places that images show, drawn behind the things."""

from __future__ import annotations

import random
from collections.abc import Callable

from PIL import Image, ImageDraw

from ram.datasets.synthetic.pen import RGB, Point

Draw = ImageDraw.ImageDraw


def draw_scene(name: str | None, width: int, height: int, horizon: float, rng: random.Random) -> Image.Image:
    """The background of an image; None is a plain ground of any color. `horizon` is a fraction of the height."""
    image = Image.new("RGB", (width, height))
    brush = Brush(ImageDraw.Draw(image), width, height, horizon, rng)
    SCENES[name](brush)
    return image


class Brush:
    """Draws in fractions of an image's width and height."""

    def __init__(self, draw: Draw, width: int, height: int, horizon: float, rng: random.Random) -> None:
        self.draw, self.width, self.height, self.horizon, self.rng = draw, width, height, horizon, rng

    def vary(self, color: RGB, by: int = 14) -> RGB:
        return tuple(min(max(c + self.rng.randint(-by, by), 0), 255) for c in color)  # type: ignore[return-value]

    def blend(self, y0: float, y1: float, top: RGB, bottom: RGB) -> None:
        """A band that goes from one color to another."""
        first, last = round(y0 * self.height), round(y1 * self.height)
        for y in range(first, last, 2):
            share = (y - first) / max(last - first, 1)
            color = tuple(round(a + (b - a) * share) for a, b in zip(top, bottom, strict=True))
            self.draw.rectangle((0, y, self.width, y + 2), fill=color)

    def shape(self, points: list[Point], fill: RGB) -> None:
        self.draw.polygon([(x * self.width, y * self.height) for x, y in points], fill=fill)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: RGB) -> None:
        self.draw.rectangle((x0 * self.width, y0 * self.height, x1 * self.width, y1 * self.height), fill=fill)

    def oval(self, cx: float, cy: float, rx: float, ry: float, fill: RGB) -> None:
        w, h = self.width, self.height
        self.draw.ellipse(((cx - rx) * w, (cy - ry) * h, (cx + rx) * w, (cy + ry) * h), fill=fill)

    def line(self, points: list[Point], fill: RGB, width: float) -> None:
        placed = [(x * self.width, y * self.height) for x, y in points]
        self.draw.line(placed, fill=fill, width=max(round(width * self.width), 1))

    def specks(self, count: int, y0: float, y1: float, color: RGB, size: float) -> None:
        for _ in range(count):
            x, y, r = self.rng.random(), self.rng.uniform(y0, y1), self.rng.uniform(0.4, 1) * size
            self.oval(x, y, r, r * 0.7, self.vary(color))

    def sky(self, top: RGB, bottom: RGB, clouds: int = 0) -> None:
        self.blend(0, self.horizon + 0.02, self.vary(top), self.vary(bottom))
        for _ in range(self.rng.randint(0, clouds)):
            x, y = self.rng.random(), self.rng.uniform(0.05, self.horizon * 0.6)
            for step in range(4):
                self.oval(
                    x + 0.05 * step, y + self.rng.uniform(-0.02, 0.02), 0.06, 0.035, self.vary((244, 246, 250), 6)
                )


_BLUE, _PALE = (104, 168, 226), (206, 228, 242)


def _beach(b: Brush) -> None:
    b.sky(_BLUE, _PALE, 2)
    shore = b.horizon + 0.14
    b.blend(b.horizon, shore, b.vary((38, 128, 178)), b.vary((92, 190, 206)))
    b.blend(shore, 1, b.vary((238, 214, 160)), b.vary((216, 184, 124)))
    b.line([(i / 12, shore + b.rng.uniform(-0.01, 0.015)) for i in range(13)], (244, 250, 250), 0.02)
    b.specks(60, shore + 0.03, 1, (200, 168, 112), 0.007)
    for _ in range(b.rng.randint(0, 3)):
        b.oval(b.rng.random(), b.rng.uniform(shore + 0.05, 0.98), 0.018, 0.012, b.vary((250, 228, 214)))


def _ocean(b: Brush) -> None:
    b.sky(_BLUE, _PALE, 2)
    b.blend(b.horizon, 1, b.vary((44, 122, 180)), b.vary((16, 62, 122)))
    for _ in range(34):
        x, y = b.rng.random(), b.rng.uniform(b.horizon + 0.02, 1)
        size = 0.02 + 0.06 * (y - b.horizon)
        b.line([(x, y), (x + size, y - size / 2), (x + 2 * size, y)], b.vary((146, 200, 226)), 0.008)


def _forest(b: Brush) -> None:
    b.blend(0, b.horizon + 0.02, b.vary((96, 140, 96)), b.vary((48, 88, 52)))
    b.blend(b.horizon, 1, b.vary((72, 96, 48)), b.vary((58, 66, 34)))
    for layer, shade in ((0.0, (38, 76, 44)), (0.06, (28, 60, 36))):
        for _ in range(9):
            x, foot, wide = b.rng.random(), b.horizon + layer + b.rng.uniform(-0.02, 0.05), b.rng.uniform(0.015, 0.035)
            b.box(x - wide / 2, 0.1, x + wide / 2, foot, b.vary((74, 54, 38)))
            crown = b.vary(shade, 12)
            for step in range(4):
                half, low = 0.04 + 0.03 * step, foot - 0.12 - 0.13 * (3 - step)
                b.shape([(x, low - 0.2), (x + half, low), (x - half, low)], crown)
    b.specks(50, b.horizon + 0.08, 1, (94, 112, 52), 0.016)


def _street(b: Brush) -> None:
    b.sky((150, 178, 206), (214, 220, 224), 1)
    x = -0.05
    while x < 1:
        wide, top = b.rng.uniform(0.14, 0.26), b.rng.uniform(0.02, b.horizon * 0.6)
        wall = b.vary(b.rng.choice(((150, 120, 108), (130, 134, 142), (176, 160, 138), (112, 92, 88))))
        b.box(x, top, x + wide, b.horizon + 0.02, wall)
        y = top + 0.03
        while y < b.horizon - 0.06:
            for column in (0.18, 0.45, 0.72):
                left = x + wide * column
                b.box(left, y, left + wide * 0.14, y + 0.04, b.rng.choice(((62, 74, 92), (244, 222, 142))))
            y += 0.09
        x += wide
    b.box(0, b.horizon, 1, b.horizon + 0.07, b.vary((178, 174, 168)))
    b.blend(b.horizon + 0.07, 1, b.vary((92, 92, 96)), b.vary((66, 66, 70)))
    middle = (b.horizon + 1.1) / 2
    for i in range(5):
        x = 0.22 * i
        b.shape([(x, middle), (x + 0.12, middle), (x + 0.1, middle + 0.03), (x - 0.02, middle + 0.03)],
                (232, 226, 200))  # fmt: skip


def _kitchen(b: Brush) -> None:
    wall = b.vary((226, 218, 196))
    b.box(0, 0, 1, b.horizon, wall)
    for i in range(9):
        b.line([(i / 8, b.horizon * 0.45), (i / 8, b.horizon)], b.vary((196, 188, 168), 4), 0.006)
    for y in (0.45, 0.63, 0.81):
        b.line([(0, b.horizon * y), (1, b.horizon * y)], b.vary((196, 188, 168), 4), 0.006)
    cupboard = b.vary(b.rng.choice(((150, 106, 66), (120, 150, 150), (214, 206, 190))))
    edge: RGB = tuple(round(c * 0.7) for c in cupboard)  # type: ignore[assignment]
    for x in (0.02, 0.22, 0.62, 0.82):
        b.box(x, 0, x + 0.18, b.horizon * 0.38, cupboard)
        b.draw.rectangle((x * b.width, -2, (x + 0.18) * b.width, b.horizon * 0.38 * b.height), outline=edge, width=3)
    b.box(0.44, 0.02, 0.58, b.horizon * 0.4, (172, 212, 234))
    b.box(0, b.horizon, 1, b.horizon + 0.06, b.vary((104, 92, 88)))
    b.blend(b.horizon + 0.06, 1, cupboard, edge)
    for i in range(1, 4):
        b.line([(i / 4, b.horizon + 0.06), (i / 4, 1)], edge, 0.01)
        b.box(i / 4 - 0.06, b.horizon + 0.12, i / 4 - 0.03, b.horizon + 0.14, (228, 228, 224))


def _desert(b: Brush) -> None:
    b.sky((230, 176, 110), (250, 222, 168))
    b.blend(b.horizon, 1, b.vary((226, 164, 88)), b.vary((194, 122, 62)))
    for _ in range(4):
        x, y, wide = b.rng.random(), b.rng.uniform(b.horizon, 0.92), b.rng.uniform(0.3, 0.6)
        fill = b.vary((212, 146, 78))
        crest = [(x - wide + wide * 2 * t / 10, y - 0.1 * (1 - (t / 5 - 1) ** 2)) for t in range(11)]
        b.shape([*crest, (x + wide, y + 0.03), (x - wide, y + 0.03)], fill)
    b.specks(30, b.horizon + 0.05, 1, (168, 106, 56), 0.006)


def _mountain(b: Brush) -> None:
    b.sky(_BLUE, _PALE, 2)
    for _ in range(b.rng.randint(3, 5)):
        x, top, half = b.rng.random(), b.rng.uniform(0.05, b.horizon * 0.5), b.rng.uniform(0.22, 0.42)
        rock = b.vary((112, 112, 126))
        b.shape([(x - half, b.horizon + 0.02), (x, top), (x + half, b.horizon + 0.02)], rock)
        b.shape([(x, top), (x + half, b.horizon + 0.02), (x + half * 0.2, b.horizon + 0.02)], (84, 84, 98))
        drop = (b.horizon - top) * 0.3
        share = drop / (b.horizon + 0.02 - top) * half
        b.shape([(x, top), (x + share, top + drop), (x + share * 0.3, top + drop * 0.7), (x, top + drop),
                 (x - share * 0.4, top + drop * 0.7), (x - share, top + drop)], (246, 248, 252))  # fmt: skip
    b.blend(b.horizon, 1, b.vary((118, 138, 84)), b.vary((94, 104, 74)))
    b.specks(24, b.horizon + 0.03, 1, (140, 140, 138), 0.02)


def _field(b: Brush) -> None:
    b.sky(_BLUE, _PALE, 3)
    b.blend(b.horizon, 1, b.vary((140, 190, 78)), b.vary((74, 142, 50)))
    for _ in range(90):
        x, y = b.rng.random(), b.rng.uniform(b.horizon + 0.03, 1)
        b.line([(x, y), (x + b.rng.uniform(-0.01, 0.01), y - 0.035)], b.vary((58, 118, 42)), 0.007)
    b.specks(b.rng.randint(0, 22), b.horizon + 0.05, 1, b.rng.choice(((250, 236, 120), (250, 250, 250))), 0.008)


def _snow(b: Brush) -> None:
    b.sky((156, 172, 194), (216, 224, 234))
    b.blend(b.horizon, 1, b.vary((240, 244, 250), 5), b.vary((214, 226, 240), 8))
    for _ in range(3):
        b.oval(b.rng.random(), b.horizon + b.rng.uniform(0.05, 0.4), 0.35, 0.06, b.vary((250, 252, 254), 3))
    b.specks(70, 0, 1, (252, 252, 254), 0.009)


def _plain(b: Brush) -> None:
    hue: RGB = (b.rng.randint(90, 245), b.rng.randint(90, 245), b.rng.randint(90, 245))
    b.blend(0, 1, hue, b.vary(hue, 40))


SCENES: dict[str | None, Callable[[Brush], None]] = {
    "beach": _beach,
    "forest": _forest,
    "street": _street,
    "kitchen": _kitchen,
    "desert": _desert,
    "mountain": _mountain,
    "field": _field,
    "ocean": _ocean,
    "snow": _snow,
    None: _plain,
}
SCENE_NAMES = tuple(name for name in SCENES if name is not None)
