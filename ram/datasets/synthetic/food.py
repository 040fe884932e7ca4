"""Fruit and other food."""

from __future__ import annotations

import math

from ram.datasets.synthetic.pen import Pen


def _leaf(pen: Pen, x: float, y: float, turn: float = -30) -> None:
    pen.oval(x, y, 0.11, 0.05, "leaf", turn)


def apple(pen: Pen, pose: str) -> None:
    pen.oval(0.37, 0.58, 0.25, 0.31)
    pen.oval(0.63, 0.58, 0.25, 0.31)
    pen.oval(0.5, 0.66, 0.22, 0.24)
    pen.oval(0.3, 0.46, 0.06, 0.09, "light", 25)
    pen.oval(0.5, 0.31, 0.09, 0.03, "dark")
    pen.line([(0.5, 0.32), (0.52, 0.18), (0.57, 0.1)], "wood", 0.035)
    _leaf(pen, 0.66, 0.17)


def banana(pen: Pen, pose: str) -> None:
    outer = [(0.5 + 0.46 * math.cos(a), 0.3 + 0.5 * math.sin(a)) for a in (0.1, 0.5, 0.9, 1.3, 1.7, 2.1, 2.5, 2.9, 3.1)]
    inner = [(0.5 + 0.4 * math.cos(a), 0.18 + 0.34 * math.sin(a)) for a in (2.9, 2.4, 1.9, 1.4, 0.9, 0.4, 0.2)]
    pen.shape(outer + inner)
    pen.line(
        [(0.5 + 0.42 * math.cos(a), 0.25 + 0.42 * math.sin(a)) for a in (0.4, 0.9, 1.4, 1.9, 2.4, 2.8)], "dark", 0.02
    )
    pen.line([(0.07, 0.28), (0.04, 0.18)], "wood", 0.06)
    pen.oval(0.94, 0.3, 0.03, 0.04, "ink")


def pear(pen: Pen, pose: str) -> None:
    pen.oval(0.5, 0.66, 0.28, 0.27)
    pen.shape([(0.38, 0.3), (0.62, 0.3), (0.76, 0.58), (0.24, 0.58)])
    pen.oval(0.5, 0.32, 0.14, 0.15)
    pen.oval(0.4, 0.6, 0.05, 0.1, "light", 15)
    pen.line([(0.5, 0.2), (0.54, 0.06)], "wood", 0.035)
    _leaf(pen, 0.66, 0.12)


def strawberry(pen: Pen, pose: str) -> None:
    pen.shape([(0.2, 0.36), (0.32, 0.26), (0.5, 0.3), (0.68, 0.26), (0.8, 0.36), (0.74, 0.6), (0.5, 0.93), (0.26, 0.6)])
    for i, (count, y) in enumerate(((4, 0.42), (3, 0.54), (3, 0.66), (1, 0.78))):
        for j in range(count):
            pen.oval(0.5 + (j - (count - 1) / 2) * (0.14 - 0.02 * i), y, 0.016, 0.026, "glow")
    for turn in (-60, -25, 25, 60):
        x = math.sin(math.radians(turn))
        pen.oval(0.5 + 0.14 * x, 0.27, 0.12, 0.045, "leaf", turn * 0.6)
    pen.line([(0.5, 0.27), (0.52, 0.1)], "leaf", 0.03)


def grape(pen: Pen, pose: str) -> None:
    pen.line([(0.5, 0.06), (0.5, 0.3)], "wood", 0.035)
    _leaf(pen, 0.64, 0.16)
    for row, count in enumerate((4, 3, 4, 3, 2, 1)):
        for i in range(count):
            x, y = 0.5 + (i - (count - 1) / 2) * 0.165, 0.3 + row * 0.12
            pen.oval(x, y, 0.095, fill="main" if (row + i) % 2 else "dark")
            pen.oval(x - 0.03, y - 0.03, 0.02, fill="light")


def carrot(pen: Pen, pose: str) -> None:
    for turn in (-32, 0, 32):
        x, y = 0.5 + 0.18 * math.sin(math.radians(turn)), 0.16
        pen.oval(x, y, 0.045, 0.15, "leaf", turn)
    pen.shape([(0.34, 0.32), (0.42, 0.27), (0.58, 0.27), (0.66, 0.32), (0.54, 0.92), (0.5, 0.98), (0.46, 0.92)])
    for x, y in ((0.38, 0.4), (0.54, 0.5), (0.44, 0.6), (0.52, 0.72)):
        pen.line([(x, y), (x + 0.09, y)], "dark", 0.02)


def cake(pen: Pen, pose: str) -> None:
    pen.oval(0.5, 0.88, 0.46, 0.07, "steel")
    pen.box(0.14, 0.56, 0.86, 0.87)
    pen.box(0.26, 0.32, 0.74, 0.56, "light")
    for i in range(6):
        pen.oval(0.2 + 0.12 * i, 0.58, 0.06, 0.07, "paper")
    for i in range(4):
        pen.oval(0.32 + 0.12 * i, 0.34, 0.06, 0.06, "paper")
    for x in (0.36, 0.5, 0.64):
        pen.line([(x, 0.32), (x, 0.17)], "rose", 0.03)
        pen.oval(x, 0.12, 0.02, 0.04, "glow")


def pizza(pen: Pen, pose: str) -> None:
    pen.oval(0.5, 0.5, 0.46, fill="wood")
    pen.oval(0.5, 0.5, 0.4, fill="main")
    pen.oval(0.5, 0.5, 0.36, fill="light")
    for x, y in ((0.36, 0.36), (0.62, 0.32), (0.7, 0.58), (0.44, 0.7), (0.32, 0.56), (0.52, 0.5)):
        pen.oval(x, y, 0.07, fill=(190, 50, 40))
    for turn in (0, 60, 120):
        dx, dy = 0.42 * math.cos(math.radians(turn)), 0.42 * math.sin(math.radians(turn))
        pen.line([(0.5 - dx, 0.5 - dy), (0.5 + dx, 0.5 + dy)], "wood", 0.014)
