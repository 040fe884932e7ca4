"""Tools, clothes, musical instruments and toys."""

from __future__ import annotations

import math

from ram.datasets.synthetic.pen import Pen


def hammer(pen: Pen, pose: str) -> None:
    pen.round_box(0.44, 0.24, 0.56, 0.98, 0.04)
    pen.box(0.3, 0.1, 0.62, 0.3, "steel")
    pen.box(0.2, 0.07, 0.31, 0.33, "tyre")
    pen.shape([(0.61, 0.1), (0.86, 0.18), (0.92, 0.32), (0.76, 0.26), (0.61, 0.3)], "steel")


def key(pen: Pen, pose: str) -> None:
    pen.arc(0.24, 0.5, 0.17, 0.17, 0, 360, "main", 0.1)
    pen.line([(0.42, 0.5), (0.94, 0.5)], "main", 0.09)
    for x, length in ((0.74, 0.2), (0.84, 0.14), (0.93, 0.2)):
        pen.line([(x, 0.5), (x, 0.5 + length)], "dark", 0.055)


def scissors(pen: Pen, pose: str) -> None:
    for side in (-1, 1):
        pen.shape(
            [(0.5 - side * 0.02, 0.6), (0.5 + side * 0.05, 0.56), (0.5 + side * 0.26, 0.02), (0.5 + side * 0.16, 0.1)],
            "steel",
        )
        pen.line([(0.5, 0.56), (0.5 + side * 0.12, 0.7)], "main", 0.06)
        pen.arc(0.5 + side * 0.19, 0.82, 0.12, 0.14, 0, 360, "main", 0.07)
    pen.oval(0.5, 0.57, 0.025, fill="ink")


def umbrella(pen: Pen, pose: str) -> None:
    pen.line([(0.5, 0.02), (0.5, 0.86), (0.54, 0.94), (0.62, 0.94), (0.66, 0.86)], "wood", 0.04)
    pen.pie(0.5, 0.48, 0.47, 0.4, 180, 360)
    for x0, x1 in ((0.03, 0.265), (0.265, 0.5), (0.5, 0.735), (0.735, 0.97)):
        pen.pie((x0 + x1) / 2, 0.49, (x1 - x0) / 2, 0.07, 180, 360, "dark")
    for x in (0.265, 0.735):
        pen.line([(0.5, 0.09), (0.5 + (x - 0.5) * 0.75, 0.26), (x, 0.46)], "light", 0.018)


def ladder(pen: Pen, pose: str) -> None:
    for foot, top in ((0.22, 0.32), (0.78, 0.68)):
        pen.line([(foot, 0.98), (top, 0.02)], "main", 0.07)
    for i in range(6):
        y = 0.14 + 0.15 * i
        half = 0.17 + 0.018 * i
        pen.line([(0.5 - half, y), (0.5 + half, y)], "dark", 0.05)


def hat(pen: Pen, pose: str) -> None:
    pen.oval(0.5, 0.68, 0.48, 0.12, "dark")
    pen.shape([(0.26, 0.68), (0.3, 0.3), (0.4, 0.22), (0.5, 0.27), (0.6, 0.22), (0.7, 0.3), (0.74, 0.68)])
    pen.shape([(0.265, 0.64), (0.28, 0.52), (0.72, 0.52), (0.735, 0.64)], "ink" if pen.brightness > 200 else "rose")


def shoe(pen: Pen, pose: str) -> None:
    pen.shape([(0.06, 0.34), (0.34, 0.3), (0.5, 0.48), (0.8, 0.56), (0.96, 0.68), (0.97, 0.78), (0.05, 0.78)])
    pen.round_box(0.03, 0.76, 0.98, 0.86, 0.04, "paper")
    pen.shape([(0.06, 0.34), (0.16, 0.33), (0.14, 0.76), (0.05, 0.76)], "dark")
    for i in range(4):
        x, y = 0.4 + 0.085 * i, 0.42 + 0.045 * i
        pen.line([(x - 0.05, y + 0.08), (x + 0.03, y)], "paper", 0.025)
    pen.pie(0.86, 0.78, 0.11, 0.14, 180, 360, "light")


def shirt(pen: Pen, pose: str) -> None:
    pen.shape([(0.3, 0.14), (0.42, 0.2), (0.58, 0.2), (0.7, 0.14), (0.98, 0.36), (0.86, 0.52), (0.74, 0.42),
               (0.74, 0.92), (0.26, 0.92), (0.26, 0.42), (0.14, 0.52), (0.02, 0.36)])  # fmt: skip
    pen.shape([(0.36, 0.16), (0.5, 0.34), (0.64, 0.16), (0.58, 0.2), (0.42, 0.2)], "light")
    for y in (0.46, 0.6, 0.74):
        pen.oval(0.5, y, 0.022, fill="paper" if pen.brightness < 560 else "ink")
    pen.line([(0.26, 0.44), (0.26, 0.62)], "dark", 0.02)
    pen.line([(0.74, 0.44), (0.74, 0.62)], "dark", 0.02)
    pen.box(0.58, 0.42, 0.69, 0.53, "dark")


def _strings(pen: Pen, xs: tuple[float, ...], top: float, bottom: float) -> None:
    for x in xs:
        pen.line([(x, top), (x, bottom)], "bone", 0.009)


def guitar(pen: Pen, pose: str) -> None:
    pen.oval(0.5, 0.76, 0.27, 0.22)
    pen.oval(0.5, 0.54, 0.2, 0.16)
    pen.oval(0.5, 0.64, 0.085, fill="ink")
    pen.box(0.46, 0.1, 0.54, 0.58, "wood")
    pen.round_box(0.43, 0.01, 0.57, 0.12, 0.02, "dark")
    pen.box(0.41, 0.8, 0.59, 0.83, "ink")
    for y in (0.03, 0.08):
        for x in (0.4, 0.6):
            pen.oval(x, y, 0.02, fill="steel")
    _strings(pen, (0.48, 0.5, 0.52), 0.06, 0.8)


def violin(pen: Pen, pose: str) -> None:
    pen.oval(0.42, 0.8, 0.2, 0.17)
    pen.oval(0.42, 0.52, 0.16, 0.14)
    pen.box(0.31, 0.54, 0.53, 0.78)
    for side in (-1, 1):
        pen.oval(0.42 + side * 0.16, 0.65, 0.05, 0.065, "dark")
        pen.arc(0.42 + side * 0.09, 0.68, 0.025, 0.07, -90, 120, "ink", 0.014)
    pen.box(0.395, 0.1, 0.445, 0.64, "ink")
    pen.arc(0.42, 0.07, 0.035, 0.035, 0, 360, "dark", 0.03)
    _strings(pen, (0.41, 0.43), 0.1, 0.82)
    pen.line([(0.74, 0.03), (0.8, 0.97)], "wood", 0.025)
    pen.line([(0.77, 0.06), (0.83, 0.94)], "bone", 0.014)


def drum(pen: Pen, pose: str) -> None:
    pen.box(0.12, 0.4, 0.88, 0.8)
    pen.oval(0.5, 0.8, 0.38, 0.12)
    for i in range(5):
        x = 0.12 + 0.152 * i
        pen.line([(x, 0.44), (x + 0.076, 0.82), (x + 0.152, 0.44)], "glow", 0.02)
    pen.oval(0.5, 0.4, 0.39, 0.13, "dark")
    pen.oval(0.5, 0.39, 0.34, 0.1, "paper")
    for x0, x1 in ((0.14, 0.46), (0.9, 0.6)):
        pen.line([(x0, 0.06), (x1, 0.34)], "wood", 0.035)
        pen.oval(x1, 0.34, 0.035, fill="wood")


def trumpet(pen: Pen, pose: str) -> None:
    pen.line([(0.04, 0.4), (0.78, 0.4)], "main", 0.06)
    pen.shape([(0.7, 0.36), (0.84, 0.3), (0.98, 0.14), (0.98, 0.68), (0.84, 0.5), (0.7, 0.44)])
    pen.oval(0.975, 0.41, 0.03, 0.27, "dark")
    pen.arc(0.4, 0.52, 0.2, 0.12, 0, 360, "main", 0.05)
    for x in (0.32, 0.41, 0.5):
        pen.round_box(x - 0.03, 0.26, x + 0.03, 0.66, 0.02, "light")
        pen.line([(x, 0.18), (x, 0.26)], "steel", 0.035)
    pen.shape([(0.0, 0.34), (0.07, 0.38), (0.07, 0.42), (0.0, 0.46)], "steel")


def ball(pen: Pen, pose: str) -> None:
    pen.oval(0.5, 0.5, 0.44)
    for start, fill in ((10, "paper"), (130, "paper"), (250, "paper")):
        arc = [
            (0.5 + 0.44 * math.cos(math.radians(t)), 0.5 + 0.44 * math.sin(math.radians(t)))
            for t in range(start, start + 61, 10)
        ]
        pen.shape([(0.46, 0.46), *arc], fill)
    pen.oval(0.46, 0.46, 0.07, fill="dark")
    pen.oval(0.33, 0.27, 0.06, 0.04, "light", -40)


def kite(pen: Pen, pose: str) -> None:
    pen.line([(0.5, 0.66), (0.44, 0.78), (0.56, 0.86), (0.46, 0.98)], "ink", 0.02)
    pen.shape([(0.5, 0.02), (0.82, 0.3), (0.5, 0.7), (0.18, 0.3)])
    pen.shape([(0.5, 0.02), (0.82, 0.3), (0.5, 0.3)], "light")
    pen.shape([(0.18, 0.3), (0.5, 0.3), (0.5, 0.7)], "dark")
    for x, y in ((0.45, 0.79), (0.55, 0.87)):
        pen.shape([(x, y), (x - 0.07, y - 0.04), (x - 0.07, y + 0.04)], "rose")
        pen.shape([(x, y), (x + 0.07, y - 0.04), (x + 0.07, y + 0.04)], "rose")


def teddy_bear(pen: Pen, pose: str) -> None:
    for side in (-1, 1):
        pen.oval(0.5 + side * 0.19, 0.11, 0.085)
        pen.oval(0.5 + side * 0.19, 0.11, 0.045, fill="light")
        pen.oval(0.5 + side * 0.28, 0.56, 0.08, 0.15, turn=-side * 35)
        pen.oval(0.5 + side * 0.2, 0.87, 0.12, 0.1)
        pen.oval(0.5 + side * 0.22, 0.88, 0.06, fill="light")
    pen.oval(0.5, 0.65, 0.24, 0.26)
    pen.oval(0.5, 0.67, 0.15, 0.17, "light")
    pen.oval(0.5, 0.26, 0.24, 0.21)
    pen.oval(0.5, 0.33, 0.11, 0.085, "light")
    for x in (0.41, 0.59):
        pen.oval(x, 0.23, 0.025, fill="ink")
    pen.oval(0.5, 0.3, 0.04, 0.03, "ink")
    pen.shape([(0.5, 0.47), (0.4, 0.42), (0.4, 0.53)], "rose")
    pen.shape([(0.5, 0.47), (0.6, 0.42), (0.6, 0.53)], "rose")
