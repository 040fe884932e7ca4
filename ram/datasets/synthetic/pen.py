"""A pen that draws shapes given in unit coordinates, in the style of one image."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

RGB = tuple[int, int, int]
Point = tuple[float, float]
Fill = str | RGB  # "main", "dark", "light" are shades of the thing's color; other names are in INKS

# Colors of parts that are the same whatever color the thing has.
INKS: dict[str, RGB] = {
    "ink": (38, 34, 36),
    "tyre": (45, 45, 50),
    "steel": (168, 174, 182),
    "wood": (150, 104, 62),
    "leaf": (62, 140, 58),
    "glass": (176, 214, 232),
    "bone": (240, 232, 214),
    "skin": (226, 178, 140),
    "glow": (255, 224, 110),
    "beak": (240, 160, 40),
    "rose": (224, 130, 140),
    "paper": (250, 248, 240),
}
FILLED = 0.84  # of the layer is used; the rest is room to turn
COLORS: dict[str, RGB] = {
    "red": (206, 38, 38),
    "orange": (242, 132, 26),
    "yellow": (244, 208, 44),
    "green": (48, 152, 62),
    "blue": (42, 92, 206),
    "purple": (126, 52, 168),
    "pink": (246, 140, 182),
    "brown": (120, 74, 38),
    "black": (34, 34, 38),
    "white": (244, 244, 242),
    "gray": (134, 136, 140),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """How one image is drawn: drawn once per image, so that its things look alike."""

    outline: float  # width of outlines, in units of the thing; 0 for none
    wobble: float  # how far corners stray, in units of the thing
    texture: float  # 0 flat … 1 coarse
    flat_shades: bool  # all shades of a thing are one

    @staticmethod
    def drawn(rng: random.Random) -> Style:
        return Style(
            outline=rng.choice((0.0, 0.0, 0.012, 0.02, 0.03)),
            wobble=rng.choice((0.0, 0.003, 0.006, 0.012)),
            texture=rng.choice((0.0, 0.0, 0.35, 0.7, 1.0)),
            flat_shades=rng.random() < 0.12,
        )


def shade(color: RGB, factor: float) -> RGB:
    """Darker below 1, and above it lighter, towards white."""
    if factor <= 1:
        return tuple(round(c * factor) for c in color)  # type: ignore[return-value]
    return tuple(round(255 - (255 - c) * (2 - factor)) for c in color)  # type: ignore[return-value]


class Pen:
    """Draws on a square transparent layer; (0, 0) is its upper left corner and (1, 1) its lower right one.

    `turn` is in degrees; `aspect` above 1 draws wider than high; `mirror` swaps left and right.
    """

    def __init__(
        self,
        side: int,
        color: RGB,
        style: Style,
        rng: random.Random,
        *,
        turn: float = 0.0,
        aspect: float = 1.0,
        mirror: bool = False,
    ) -> None:
        self.side = side
        self.rng = rng
        self.style = style
        self.layer = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self.layer)
        dark, light = (1.0, 1.0) if style.flat_shades else (0.68, 1.38)
        self._shades: dict[str, RGB] = INKS | {
            "main": color,
            "dark": shade(color, dark) if sum(color) > 160 else shade(color, 1.25),
            "light": shade(color, light),
        }
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        wide, high = FILLED * min(aspect, 1.0), FILLED / max(aspect, 1.0)
        wide *= -1 if mirror else 1
        self._matrix = (wide * cos, -high * sin, wide * sin, high * cos)
        self._line_width = max(round(style.outline * side), 1)

    @property
    def brightness(self) -> int:
        """Sum of red, green and blue of the thing's color, 0 … 765: what is drawn on it must stand out."""
        return sum(self._shades["main"])

    def shape(self, points: Sequence[Point], fill: Fill = "main") -> None:
        """A filled polygon, outlined where the style has outlines."""
        placed = self._placed(points)
        rgb = self._rgb(fill)
        self._draw.polygon(placed, fill=rgb)
        if self.style.outline:
            edge = shade(rgb, 0.4) if sum(rgb) > 120 else (120, 120, 124)
            self._draw.line([*placed, placed[0]], fill=edge, width=self._line_width, joint="curve")

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Fill = "main") -> None:
        self.shape([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill)

    def round_box(self, x0: float, y0: float, x1: float, y1: float, radius: float, fill: Fill = "main") -> None:
        corners = ((x1 - radius, y0 + radius, -90), (x1 - radius, y1 - radius, 0), (x0 + radius, y1 - radius, 90))
        points: list[Point] = []
        for cx, cy, start in (*corners, (x0 + radius, y0 + radius, 180)):
            points += _arc(cx, cy, radius, radius, start, start + 90, 6)
        self.shape(points, fill)

    def oval(
        self, cx: float, cy: float, rx: float, ry: float | None = None, fill: Fill = "main", turn: float = 0
    ) -> None:
        """An ellipse round (cx, cy), turned by so many degrees."""
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        flat = _arc(0, 0, rx, rx if ry is None else ry, 0, 348, 30)
        self.shape([(cx + x * cos - y * sin, cy + x * sin + y * cos) for x, y in flat], fill)

    def pie(self, cx: float, cy: float, rx: float, ry: float, start: float, end: float, fill: Fill = "main") -> None:
        """The part of an ellipse between two angles in degrees, 0 to the right and clockwise, closed by its chord."""
        self.shape(_arc(cx, cy, rx, ry, start, end, 24), fill)

    def line(self, points: Sequence[Point], fill: Fill = "ink", width: float = 0.03) -> None:
        """A line with round ends, `width` in units of the thing."""
        placed = self._placed(points)
        thick = max(round(width * self.side * FILLED), 1)
        rgb = self._rgb(fill)
        self._draw.line(placed, fill=rgb, width=thick, joint="curve")
        if thick > 3:
            for x, y in (placed[0], placed[-1]):
                self._draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=rgb)

    def arc(
        self,
        cx: float,
        cy: float,
        rx: float,
        ry: float,
        start: float,
        end: float,
        fill: Fill = "ink",
        width: float = 0.03,
    ) -> None:
        self.line(_arc(cx, cy, rx, ry, start, end, 20), fill, width)

    def textured(self) -> Image.Image:
        """The layer, with the style's texture on all that was drawn."""
        if not self.style.texture:
            return self.layer
        cells = max(self.side // 14, 2)
        noise = np.random.default_rng(self.rng.getrandbits(32)).normal(0, 26 * self.style.texture, (cells, cells))
        grain = Image.fromarray(noise.astype(np.float32)).resize(self.layer.size, Image.Resampling.BILINEAR)
        pixels = np.asarray(self.layer).astype(np.float32)
        pixels[..., :3] = np.clip(pixels[..., :3] + np.asarray(grain)[..., None], 0, 255)
        return Image.fromarray(pixels.astype(np.uint8), "RGBA")

    def _placed(self, points: Sequence[Point]) -> list[Point]:
        a, b, c, d = self._matrix
        stray = self.style.wobble
        placed = []
        for x, y in points:
            u, v = x - 0.5 + self.rng.uniform(-stray, stray), y - 0.5 + self.rng.uniform(-stray, stray)
            placed.append(((0.5 + a * u + b * v) * self.side, (0.5 + c * u + d * v) * self.side))
        return placed

    def _rgb(self, fill: Fill) -> RGB:
        return self._shades[fill] if isinstance(fill, str) else fill


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, end: float, steps: int) -> list[Point]:
    angles = (math.radians(start + (end - start) * i / steps) for i in range(steps + 1))
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]
