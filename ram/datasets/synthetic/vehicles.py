"""Vehicles; they drive to the right."""

from __future__ import annotations

import math

from ram.datasets.synthetic.pen import Fill, Pen


def _wheel(pen: Pen, x: float, y: float, radius: float) -> None:
    pen.oval(x, y, radius, fill="tyre")
    pen.oval(x, y, radius * 0.5, fill="steel")


def car(pen: Pen, pose: str) -> None:
    pen.shape([(0.22, 0.5), (0.33, 0.28), (0.66, 0.28), (0.8, 0.5)], "dark")
    pen.shape([(0.29, 0.48), (0.36, 0.33), (0.47, 0.33), (0.47, 0.48)], "glass")
    pen.shape([(0.51, 0.48), (0.51, 0.33), (0.63, 0.33), (0.72, 0.48)], "glass")
    pen.round_box(0.04, 0.47, 0.97, 0.7, 0.07)
    pen.line([(0.49, 0.5), (0.49, 0.68)], "dark", 0.015)
    pen.line([(0.53, 0.55), (0.59, 0.55)], "ink", 0.02)
    pen.oval(0.94, 0.55, 0.03, 0.035, "glow")
    pen.oval(0.06, 0.55, 0.02, 0.03, "rose")
    for x in (0.25, 0.76):
        _wheel(pen, x, 0.7, 0.115)


def bus(pen: Pen, pose: str) -> None:
    pen.round_box(0.02, 0.2, 0.98, 0.76, 0.06)
    pen.box(0.04, 0.58, 0.97, 0.63, "light")
    for i in range(4):
        pen.box(0.07 + 0.17 * i, 0.28, 0.2 + 0.17 * i, 0.48, "glass")
    pen.box(0.78, 0.28, 0.94, 0.7, "glass")
    pen.line([(0.86, 0.28), (0.86, 0.7)], "dark", 0.02)
    pen.oval(0.96, 0.67, 0.025, fill="glow")
    for x in (0.22, 0.68):
        _wheel(pen, x, 0.77, 0.1)


def truck(pen: Pen, pose: str) -> None:
    pen.box(0.02, 0.18, 0.64, 0.68, "light")
    pen.line([(0.02, 0.43), (0.64, 0.43)], "steel", 0.02)
    pen.shape([(0.67, 0.36), (0.84, 0.36), (0.95, 0.52), (0.98, 0.54), (0.98, 0.7), (0.67, 0.7)])
    pen.shape([(0.72, 0.41), (0.82, 0.41), (0.89, 0.53), (0.72, 0.53)], "glass")
    pen.box(0.02, 0.67, 0.98, 0.73, "tyre")
    pen.oval(0.96, 0.62, 0.025, fill="glow")
    for x in (0.16, 0.34, 0.82):
        _wheel(pen, x, 0.75, 0.1)


def bicycle(pen: Pen, pose: str) -> None:
    for x in (0.22, 0.78):
        pen.arc(x, 0.66, 0.2, 0.2, 0, 360, "tyre", 0.045)
        for turn in range(0, 180, 45):
            dx, dy = 0.19 * math.cos(math.radians(turn)), 0.19 * math.sin(math.radians(turn))
            pen.line([(x - dx, 0.66 - dy), (x + dx, 0.66 + dy)], "steel", 0.01)
    for path in (
        [(0.22, 0.66), (0.36, 0.38), (0.66, 0.36), (0.46, 0.68), (0.22, 0.66)],
        [(0.36, 0.38), (0.46, 0.68)],
        [(0.78, 0.66), (0.64, 0.28)],
    ):
        pen.line(path, "main", 0.045)
    pen.line([(0.56, 0.24), (0.66, 0.26), (0.74, 0.22)], "tyre", 0.04)
    pen.line([(0.28, 0.33), (0.44, 0.33)], "tyre", 0.06)
    pen.oval(0.46, 0.68, 0.05, fill="steel")


def boat(pen: Pen, pose: str) -> None:
    pen.line([(0.48, 0.04), (0.48, 0.68)], "wood", 0.035)
    pen.shape([(0.52, 0.06), (0.52, 0.58), (0.88, 0.58)], "paper")
    pen.shape([(0.44, 0.14), (0.44, 0.58), (0.16, 0.58)], "light")
    pen.shape([(0.03, 0.65), (0.97, 0.65), (0.82, 0.9), (0.18, 0.9)])
    pen.line([(0.08, 0.71), (0.92, 0.71)], "dark", 0.03)


def airplane(pen: Pen, pose: str) -> None:
    pen.shape([(0.06, 0.46), (0.02, 0.2), (0.12, 0.2), (0.24, 0.44)], "dark")
    pen.shape([(0.44, 0.48), (0.32, 0.16), (0.42, 0.16), (0.62, 0.48)], "dark")
    pen.shape([(0.03, 0.47), (0.3, 0.42), (0.84, 0.42), (0.97, 0.49), (0.99, 0.53), (0.84, 0.58), (0.24, 0.58)])
    pen.shape([(0.4, 0.53), (0.24, 0.86), (0.36, 0.86), (0.62, 0.53)], "light")
    for i in range(6):
        pen.oval(0.34 + 0.075 * i, 0.475, 0.018, fill="ink")
    pen.shape([(0.86, 0.44), (0.92, 0.46), (0.93, 0.49), (0.86, 0.49)], "glass")
    pen.oval(0.42, 0.66, 0.05, 0.03, "steel")


def train(pen: Pen, pose: str) -> None:
    pen.box(0.04, 0.22, 0.36, 0.7)
    pen.box(0.02, 0.17, 0.39, 0.24, "dark")
    pen.box(0.1, 0.3, 0.29, 0.46, "glass")
    pen.round_box(0.34, 0.4, 0.9, 0.7, 0.04)
    pen.line([(0.52, 0.41), (0.52, 0.69)], "dark", 0.03)
    pen.line([(0.7, 0.41), (0.7, 0.69)], "dark", 0.03)
    pen.shape([(0.72, 0.41), (0.69, 0.18), (0.87, 0.18), (0.83, 0.41)], "tyre")
    pen.oval(0.56, 0.38, 0.07, fill="glow")
    pen.oval(0.9, 0.47, 0.045, fill="glow")
    pen.shape([(0.84, 0.72), (0.99, 0.86), (0.8, 0.86)], "steel")
    for x, radius in ((0.18, 0.12), (0.46, 0.09), (0.64, 0.09), (0.8, 0.07)):
        _wheel(pen, x, 0.86 - radius, radius)
    for x, y, radius in ((0.7, 0.1, 0.06), (0.58, 0.05, 0.05)):
        pen.oval(x, y, radius, fill="paper")
    pen.line([(0.0, 0.88), (1.0, 0.88)], "wood", 0.03)


def rocket(pen: Pen, pose: str) -> None:
    for side in (-1, 1):
        pen.shape([(0.5 + side * 0.14, 0.52), (0.5 + side * 0.32, 0.8), (0.5 + side * 0.12, 0.74)], "dark")
    pen.shape([(0.42, 0.76), (0.58, 0.76), (0.5, 0.99)], "beak")
    pen.shape([(0.46, 0.76), (0.54, 0.76), (0.5, 0.9)], "glow")
    pen.shape(
        [
            (0.5, 0.02),
            (0.6, 0.14),
            (0.65, 0.32),
            (0.65, 0.6),
            (0.6, 0.76),
            (0.4, 0.76),
            (0.35, 0.6),
            (0.35, 0.32),
            (0.4, 0.14),
        ]
    )
    pen.shape([(0.5, 0.02), (0.6, 0.14), (0.63, 0.22), (0.37, 0.22), (0.4, 0.14)], "dark")
    pen.oval(0.5, 0.38, 0.09, fill="steel")
    pen.oval(0.5, 0.38, 0.06, fill="glass")
    pen.box(0.35, 0.6, 0.65, 0.66, "light")


def balloon(pen: Pen, pose: str) -> None:
    """A hot-air balloon."""
    stripes: tuple[tuple[float, Fill], ...] = ((0.36, "main"), (0.23, "light"), (0.11, "main"))
    for rx, fill in stripes:
        pen.oval(0.5, 0.34, rx, 0.32, fill)
        pen.shape(
            [(0.5 - rx * 0.94, 0.46), (0.5 + rx * 0.94, 0.46), (0.5 + rx * 0.35, 0.74), (0.5 - rx * 0.35, 0.74)], fill
        )
    for x in (0.4, 0.6):
        pen.line([(x, 0.73), (0.5 + (x - 0.5) * 0.8, 0.86)], "ink", 0.015)
    pen.round_box(0.4, 0.84, 0.6, 0.98, 0.02, "wood")
