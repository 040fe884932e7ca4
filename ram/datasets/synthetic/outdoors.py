"""Buildings, plants and what stands in a street."""

from __future__ import annotations

import math

from ram.datasets.synthetic.pen import Pen


def house(pen: Pen, pose: str) -> None:
    pen.box(0.68, 0.1, 0.78, 0.36, "dark")
    pen.box(0.12, 0.42, 0.88, 0.94)
    pen.shape([(0.02, 0.46), (0.5, 0.06), (0.98, 0.46)], "dark")
    pen.box(0.43, 0.64, 0.6, 0.94, "wood")
    pen.oval(0.57, 0.8, 0.014, fill="glow")
    for x in (0.18, 0.67):
        pen.box(x, 0.54, x + 0.16, 0.7, "glass")
        pen.line([(x + 0.08, 0.54), (x + 0.08, 0.7)], "paper", 0.02)
        pen.line([(x, 0.62), (x + 0.16, 0.62)], "paper", 0.02)


def tower(pen: Pen, pose: str) -> None:
    pen.shape([(0.34, 0.24), (0.66, 0.24), (0.7, 0.97), (0.3, 0.97)])
    pen.box(0.28, 0.16, 0.72, 0.27, "dark")
    for x in (0.28, 0.42, 0.56, 0.66):
        pen.box(x, 0.08, x + 0.08, 0.17, "dark")
    for y in (0.36, 0.56):
        pen.round_box(0.46, y, 0.54, y + 0.13, 0.035, "ink")
    pen.round_box(0.43, 0.78, 0.57, 0.97, 0.05, "wood")
    for x, y in ((0.38, 0.34), (0.58, 0.5), (0.36, 0.62), (0.6, 0.7), (0.36, 0.86)):
        pen.box(x, y, x + 0.07, y + 0.03, "dark")


def bridge(pen: Pen, pose: str) -> None:
    pen.box(0.0, 0.5, 1.0, 0.6)
    for x in (0.22, 0.78):
        pen.box(x - 0.04, 0.12, x + 0.04, 0.9, "dark")
    for x0, x1 in ((-0.02, 0.22), (0.78, 1.02)):
        pen.line([(x0, 0.5 if x0 < 0 else 0.14), (x1, 0.14 if x0 < 0 else 0.5)], "dark", 0.03)
    cable = [(0.22 + 0.56 * t / 10, 0.14 + 1.16 * (t / 10) * (1 - t / 10)) for t in range(11)]
    pen.line(cable, "dark", 0.03)
    for x, y in cable[1:-1]:
        pen.line([(x, y), (x, 0.5)], "steel", 0.016)
    pen.line([(0.0, 0.66), (1.0, 0.66)], "tyre", 0.02)


def windmill(pen: Pen, pose: str) -> None:
    pen.shape([(0.4, 0.36), (0.6, 0.36), (0.7, 0.97), (0.3, 0.97)])
    pen.pie(0.5, 0.38, 0.13, 0.14, 180, 360, "dark")
    pen.round_box(0.44, 0.78, 0.56, 0.97, 0.03, "wood")
    pen.oval(0.5, 0.6, 0.035, fill="glass")
    for turn in (20, 110, 200, 290):
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))

        def at(along: float, across: float, cos: float = cos, sin: float = sin) -> tuple[float, float]:
            return 0.5 + along * cos - across * sin, 0.36 + along * sin + across * cos

        pen.shape([at(0.1, 0), at(0.4, 0), at(0.4, 0.12), at(0.1, 0.12)], "paper")
        pen.line([at(0, 0), at(0.41, 0)], "wood", 0.03)
        for along in (0.2, 0.3):
            pen.line([at(along, 0), at(along, 0.12)], "wood", 0.014)
    pen.oval(0.5, 0.36, 0.035, fill="ink")


def tent(pen: Pen, pose: str) -> None:
    pen.shape([(0.36, 0.18), (0.72, 0.1), (1.0, 0.8), (0.72, 0.88)], "dark")
    pen.shape([(0.36, 0.16), (0.74, 0.9), (0.0, 0.9)])
    pen.shape([(0.36, 0.36), (0.5, 0.9), (0.24, 0.9)], "ink")
    pen.shape([(0.36, 0.36), (0.24, 0.9), (0.18, 0.9)], "light")
    pen.line([(0.36, 0.08), (0.36, 0.2)], "wood", 0.03)


def tree(pen: Pen, pose: str) -> None:
    """The color is that of the leaves."""
    pen.shape([(0.44, 0.52), (0.56, 0.52), (0.6, 0.98), (0.4, 0.98)], "wood")
    pen.line([(0.5, 0.7), (0.64, 0.54)], "wood", 0.04)
    for x, y, radius, fill in (
        (0.28, 0.44, 0.2, "dark"), (0.72, 0.44, 0.2, "dark"), (0.38, 0.26, 0.2, "main"), (0.62, 0.26, 0.2, "main"),
        (0.5, 0.42, 0.22, "main"), (0.5, 0.18, 0.16, "light"),
    ):  # fmt: skip
        pen.oval(x, y, radius, radius * 0.9, fill)


def flower(pen: Pen, pose: str) -> None:
    pen.line([(0.5, 0.4), (0.52, 0.7), (0.5, 0.98)], "leaf", 0.045)
    pen.oval(0.65, 0.76, 0.14, 0.05, "leaf", -35)
    pen.oval(0.36, 0.84, 0.13, 0.05, "leaf", 35)
    for i in range(7):
        a = 2 * math.pi * i / 7
        pen.oval(0.5 + 0.21 * math.cos(a), 0.3 + 0.21 * math.sin(a), 0.13, 0.085, turn=math.degrees(a))
    pen.oval(0.5, 0.3, 0.11, fill="glow" if pen.brightness < 480 else "wood")


def cactus(pen: Pen, pose: str) -> None:
    pen.line([(0.26, 0.36), (0.26, 0.56), (0.46, 0.6)], "main", 0.13)
    pen.line([(0.76, 0.24), (0.76, 0.46), (0.54, 0.5)], "main", 0.13)
    pen.round_box(0.38, 0.06, 0.62, 0.97, 0.115)
    for x in (0.44, 0.5, 0.56):
        pen.line([(x, 0.14), (x, 0.95)], "dark", 0.014)
    for i in range(9):
        pen.line([(0.36, 0.16 + 0.09 * i), (0.41, 0.18 + 0.09 * i)], "bone", 0.014)
        pen.line([(0.64, 0.16 + 0.09 * i), (0.59, 0.18 + 0.09 * i)], "bone", 0.014)
    pen.oval(0.5, 0.05, 0.05, 0.04, "rose")


def mushroom(pen: Pen, pose: str) -> None:
    pen.shape([(0.4, 0.46), (0.6, 0.46), (0.66, 0.92), (0.34, 0.92)], "bone")
    pen.oval(0.5, 0.54, 0.38, 0.06, "bone")
    pen.pie(0.5, 0.54, 0.46, 0.46, 180, 360)
    for x, y, radius in ((0.5, 0.22, 0.07), (0.3, 0.38, 0.06), (0.7, 0.36, 0.065), (0.5, 0.43, 0.05)):
        pen.oval(x, y, radius, radius * 0.8, "paper" if pen.brightness < 600 else "rose")


def traffic_light(pen: Pen, pose: str) -> None:
    """The color is that of the case; one of its lights is on."""
    pen.line([(0.5, 0.66), (0.5, 0.99)], "tyre", 0.07)
    pen.round_box(0.32, 0.02, 0.68, 0.72, 0.07)
    on = pen.rng.randrange(3)
    lights = ((235, 40, 40), (250, 200, 40), (50, 210, 80))
    for i, rgb in enumerate(lights):
        dim = (rgb[0] // 3, rgb[1] // 3, rgb[2] // 3)
        pen.oval(0.5, 0.15 + 0.22 * i, 0.105, fill="ink")
        pen.oval(0.5, 0.15 + 0.22 * i, 0.085, fill=rgb if i == on else dim)


def fire_hydrant(pen: Pen, pose: str) -> None:
    pen.box(0.26, 0.88, 0.74, 0.97, "dark")
    pen.box(0.34, 0.34, 0.66, 0.9)
    pen.pie(0.5, 0.32, 0.18, 0.2, 180, 360)
    pen.box(0.28, 0.3, 0.72, 0.38, "dark")
    pen.box(0.46, 0.05, 0.54, 0.14, "dark")
    for x0, x1 in ((0.16, 0.34), (0.66, 0.84)):
        pen.box(x0, 0.46, x1, 0.6, "dark")
    pen.oval(0.5, 0.56, 0.11, fill="steel")
    pen.oval(0.5, 0.56, 0.05, fill="ink")
    pen.line([(0.4, 0.42), (0.4, 0.84)], "light", 0.03)
