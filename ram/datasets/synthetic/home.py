"""Furniture, kitchenware and other things of a house."""

from __future__ import annotations

from ram.datasets.synthetic.pen import Pen


def chair(pen: Pen, pose: str) -> None:
    for x, bottom in ((0.3, 0.84), (0.72, 0.84), (0.24, 0.96), (0.78, 0.96)):
        pen.line([(x, 0.55), (x, bottom)], "dark", 0.05)
    pen.line([(0.28, 0.06), (0.28, 0.55)], "main", 0.06)
    pen.line([(0.72, 0.06), (0.72, 0.55)], "main", 0.06)
    for y in (0.1, 0.22, 0.34):
        pen.box(0.28, y, 0.72, y + 0.07, "main")
    pen.shape([(0.28, 0.5), (0.72, 0.5), (0.84, 0.64), (0.18, 0.64)], "light")


def table(pen: Pen, pose: str) -> None:
    for x in (0.12, 0.88):
        pen.line([(x, 0.44), (x, 0.94)], "dark", 0.065)
    for x in (0.28, 0.72):
        pen.line([(x, 0.44), (x, 0.8)], "dark", 0.055)
    pen.shape([(0.16, 0.26), (0.84, 0.26), (1.0, 0.42), (0.0, 0.42)], "light")
    pen.box(0.0, 0.42, 1.0, 0.5)


def bench(pen: Pen, pose: str) -> None:
    for x in (0.14, 0.86):
        pen.line([(x, 0.26), (x, 0.9)], "tyre", 0.05)
        pen.line([(x, 0.6), (x + (0.06 if x > 0.5 else -0.06), 0.92)], "tyre", 0.05)
    for y in (0.28, 0.38, 0.48):
        pen.box(0.04, y, 0.96, y + 0.065)
    pen.shape([(0.06, 0.58), (0.94, 0.58), (1.0, 0.68), (0.0, 0.68)], "light")


def lamp(pen: Pen, pose: str) -> None:
    pen.line([(0.5, 0.4), (0.5, 0.9)], "steel", 0.05)
    pen.oval(0.5, 0.92, 0.2, 0.05, "tyre")
    pen.shape([(0.14, 0.46), (0.86, 0.46), (0.66, 0.1), (0.34, 0.1)])
    pen.oval(0.5, 0.46, 0.34, 0.05, "glow")
    pen.line([(0.62, 0.48), (0.62, 0.6)], "ink", 0.014)


def bed(pen: Pen, pose: str) -> None:
    pen.box(0.02, 0.24, 0.08, 0.86, "wood")
    pen.box(0.92, 0.5, 0.98, 0.86, "wood")
    pen.box(0.06, 0.64, 0.94, 0.76, "wood")
    pen.round_box(0.08, 0.5, 0.93, 0.66, 0.04, "paper")
    pen.round_box(0.1, 0.4, 0.32, 0.54, 0.05, "paper")
    pen.shape([(0.34, 0.46), (0.9, 0.46), (0.94, 0.72), (0.32, 0.72)])
    pen.shape([(0.34, 0.46), (0.9, 0.46), (0.91, 0.53), (0.335, 0.53)], "light")


def sofa(pen: Pen, pose: str) -> None:
    for x in (0.14, 0.86):
        pen.line([(x, 0.8), (x, 0.9)], "wood", 0.05)
    pen.round_box(0.1, 0.26, 0.9, 0.7, 0.09, "dark")
    pen.round_box(0.16, 0.52, 0.5, 0.7, 0.04, "light")
    pen.round_box(0.5, 0.52, 0.84, 0.7, 0.04, "light")
    pen.line([(0.5, 0.3), (0.5, 0.5)], "main", 0.02)
    pen.box(0.1, 0.68, 0.9, 0.82)
    pen.round_box(0.01, 0.44, 0.18, 0.84, 0.07)
    pen.round_box(0.82, 0.44, 0.99, 0.84, 0.07)


def clock(pen: Pen, pose: str) -> None:
    pen.oval(0.5, 0.5, 0.44)
    pen.oval(0.5, 0.5, 0.36, fill="paper")
    for x, y in (
        (0.5, 0.2),
        (0.8, 0.5),
        (0.5, 0.8),
        (0.2, 0.5),
        (0.65, 0.24),
        (0.76, 0.35),
        (0.35, 0.24),
        (0.24, 0.35),
    ):
        pen.oval(x, y, 0.022, fill="ink")
    pen.line([(0.5, 0.26), (0.5, 0.5), (0.68, 0.6)], "ink", 0.035)


def cup(pen: Pen, pose: str) -> None:
    pen.arc(0.74, 0.52, 0.19, 0.17, -90, 90, "main", 0.07)
    pen.shape([(0.14, 0.3), (0.76, 0.3), (0.7, 0.86), (0.2, 0.86)])
    pen.oval(0.45, 0.3, 0.31, 0.07, "dark")
    pen.oval(0.45, 0.31, 0.26, 0.045, (90, 56, 34))
    pen.shape([(0.22, 0.42), (0.29, 0.42), (0.31, 0.78), (0.26, 0.78)], "light")
    for x in (0.36, 0.52):
        pen.line([(x, 0.2), (x + 0.04, 0.14), (x, 0.08), (x + 0.04, 0.02)], "steel", 0.025)


def bottle(pen: Pen, pose: str) -> None:
    pen.round_box(0.43, 0.01, 0.57, 0.1, 0.02, "wood")
    pen.shape(
        [(0.44, 0.1), (0.56, 0.1), (0.57, 0.3), (0.68, 0.42), (0.68, 0.96), (0.32, 0.96), (0.32, 0.42), (0.43, 0.3)]
    )
    pen.box(0.32, 0.54, 0.68, 0.78, "paper")
    pen.line([(0.38, 0.62), (0.62, 0.62)], "dark", 0.025)
    pen.line([(0.38, 0.7), (0.56, 0.7)], "dark", 0.025)
    pen.line([(0.38, 0.44), (0.38, 0.52)], "light", 0.04)


def bowl(pen: Pen, pose: str) -> None:
    pen.box(0.36, 0.8, 0.64, 0.88, "dark")
    pen.pie(0.5, 0.4, 0.46, 0.44, 0, 180)
    pen.oval(0.5, 0.4, 0.46, 0.1, "light")
    pen.oval(0.5, 0.41, 0.38, 0.065, "dark")
    pen.line([(0.16, 0.56), (0.84, 0.56)], "light", 0.03)


def fork(pen: Pen, pose: str) -> None:
    for x in (0.36, 0.455, 0.545, 0.64):
        pen.line([(x, 0.04), (x, 0.3)], "steel", 0.045)
    pen.shape([(0.335, 0.26), (0.665, 0.26), (0.6, 0.42), (0.4, 0.42)], "steel")
    pen.line([(0.5, 0.4), (0.5, 0.55)], "steel", 0.06)
    pen.round_box(0.44, 0.52, 0.56, 0.98, 0.05)


def candle(pen: Pen, pose: str) -> None:
    pen.oval(0.5, 0.92, 0.3, 0.06, "steel")
    pen.round_box(0.37, 0.34, 0.63, 0.92, 0.02)
    pen.line([(0.42, 0.36), (0.42, 0.52)], "light", 0.04)
    pen.line([(0.5, 0.34), (0.5, 0.26)], "ink", 0.02)
    pen.shape([(0.5, 0.02), (0.59, 0.18), (0.56, 0.27), (0.44, 0.27), (0.41, 0.18)], "beak")
    pen.oval(0.5, 0.2, 0.045, 0.07, "glow")


def book(pen: Pen, pose: str) -> None:
    pen.shape([(0.02, 0.28), (0.5, 0.34), (0.98, 0.28), (0.98, 0.82), (0.5, 0.9), (0.02, 0.82)])
    pen.shape([(0.06, 0.24), (0.32, 0.22), (0.5, 0.3), (0.5, 0.84), (0.32, 0.76), (0.06, 0.77)], "paper")
    pen.shape([(0.94, 0.24), (0.68, 0.22), (0.5, 0.3), (0.5, 0.84), (0.68, 0.76), (0.94, 0.77)], "bone")
    for y in (0.36, 0.46, 0.56, 0.66):
        pen.line([(0.13, y - 0.03), (0.42, y)], "steel", 0.025)
        pen.line([(0.87, y - 0.03), (0.58, y)], "steel", 0.025)
