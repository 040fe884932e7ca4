"""Animals and people. An agent is drawn in a pose: stand, run, jump, sleep, fly, swim or eat; it looks to the right."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ram.datasets.synthetic.pen import Pen


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """The proportions of a four-legged animal, in units of its height."""

    body: tuple[float, float, float, float] = (0.45, 0.55, 0.27, 0.15)  # cx, cy, rx, ry
    head: tuple[float, float, float] = (0.78, 0.38, 0.12)  # cx, cy, radius
    muzzle: tuple[float, float] = (0.12, 0.065)  # length, half height
    neck: float = 0.13
    leg: float = 0.07
    legs: tuple[float, ...] = (0.24, 0.36, 0.56, 0.66)
    foot: float = 0.92


def _legs(pen: Pen, build: Build, pose: str) -> None:
    _, cy, _, ry = build.body
    top = cy + ry * 0.4
    length = build.foot - top
    swings = {"run": (-0.9, -0.55, 0.6, 0.95), "jump": (-1.0, -0.8, 0.85, 1.05)}.get(pose, (0, 0, 0, 0))
    for x, swing, fill in zip(build.legs, swings, ("dark", "main", "dark", "main"), strict=True):
        knee = (x + swing * length * 0.4, top + length * 0.55)
        foot = (x + swing * length * 0.85, top + length * (1 - 0.3 * abs(swing)))
        pen.line([(x, top), knee, foot], fill, build.leg)


def _four_legged(pen: Pen, pose: str, build: Build) -> None:
    """Legs, body, neck and head; ears, tail and face are the kind's own."""
    cx, cy, rx, ry = build.body
    hx, hy, hr = build.head
    if pose == "sleep":
        pen.oval(cx, cy + 0.02, rx, ry * 1.05)
        pen.line([(cx - rx * 0.7, cy + ry), (cx + rx * 1.1, cy + ry * 1.02)], "dark", build.leg)
    else:
        _legs(pen, build, pose)
        pen.oval(cx, cy, rx, ry)
    pen.line([(cx + rx * 0.7, cy - ry * 0.2), (hx, hy)], "main", build.neck)
    pen.oval(hx, hy, hr)
    length, half = build.muzzle
    pen.oval(hx + hr * 0.75, hy + hr * 0.3, length, half)


def _face(pen: Pen, x: float, y: float, pose: str, size: float = 0.02) -> None:
    if pose == "sleep":
        pen.line([(x - 0.03, y), (x + 0.03, y + 0.01)], "ink", 0.018)
    else:
        pen.oval(x, y, size * 1.7, fill="paper")
        pen.oval(x + 0.006, y, size, fill="ink")


def dog(pen: Pen, pose: str) -> None:
    _four_legged(pen, pose, Build())
    pen.line([(0.2, 0.5), (0.1, 0.4), (0.07, 0.28)], "main", 0.05)
    pen.oval(0.71, 0.43, 0.05, 0.13, "dark", 15)
    _face(pen, 0.81, 0.34, pose)
    pen.oval(0.98, 0.4, 0.03, 0.025, "ink")
    if pose != "sleep":
        pen.oval(0.93, 0.5, 0.025, 0.05, "rose")


def cat(pen: Pen, pose: str) -> None:
    _four_legged(
        pen, pose, Build(head=(0.76, 0.4, 0.15), muzzle=(0.05, 0.04), leg=0.055, body=(0.43, 0.6, 0.26, 0.125))
    )
    pen.line([(0.19, 0.58), (0.08, 0.5), (0.06, 0.3), (0.14, 0.2)], "main", 0.045)
    for x in (0.66, 0.8):
        pen.shape([(x - 0.03, 0.31), (x + 0.02, 0.14), (x + 0.09, 0.3)])
        pen.shape([(x, 0.28), (x + 0.02, 0.19), (x + 0.06, 0.28)], "rose")
    for x in (0.7, 0.83):
        _face(pen, x, 0.38, pose, 0.018)
    pen.shape([(0.75, 0.44), (0.79, 0.44), (0.77, 0.47)], "rose")
    for y in (0.44, 0.48):
        pen.line([(0.8, 0.46), (0.96, y)], "ink", 0.01)
        pen.line([(0.74, 0.46), (0.58, y)], "ink", 0.01)
    for x in (0.3, 0.4, 0.5):
        pen.line([(x, 0.49), (x + 0.015, 0.58)], "dark", 0.025)


def horse(pen: Pen, pose: str) -> None:
    build = Build(body=(0.42, 0.5, 0.27, 0.14), head=(0.8, 0.22, 0.085), muzzle=(0.12, 0.055), neck=0.16, leg=0.055)
    _four_legged(pen, pose, build)
    pen.shape([(0.16, 0.44), (0.04, 0.5), (0.05, 0.78), (0.11, 0.7), (0.19, 0.52)], "dark")
    pen.shape([(0.78, 0.12), (0.7, 0.16), (0.56, 0.36), (0.58, 0.44), (0.7, 0.32)], "dark")
    pen.shape([(0.77, 0.16), (0.79, 0.06), (0.83, 0.15)])
    _face(pen, 0.83, 0.2, pose, 0.015)
    pen.oval(0.96, 0.25, 0.012, fill="ink")


def cow(pen: Pen, pose: str) -> None:
    build = Build(body=(0.44, 0.54, 0.31, 0.19), head=(0.83, 0.36, 0.11), muzzle=(0.09, 0.075), neck=0.18, leg=0.075)
    _four_legged(pen, pose, build)
    for x, y, r in ((0.3, 0.48, 0.09), (0.52, 0.58, 0.1), (0.56, 0.44, 0.05)):
        pen.oval(x, y, r, r * 0.75, "ink" if pen.brightness > 300 else "paper")
    pen.oval(0.46, 0.75, 0.08, 0.05, "rose")
    pen.arc(0.83, 0.22, 0.1, 0.1, 20, 160, "bone", 0.035)
    pen.oval(0.71, 0.32, 0.06, 0.03, "dark", 20)
    pen.oval(0.93, 0.41, 0.07, 0.06, "rose")
    _face(pen, 0.84, 0.32, pose, 0.016)
    pen.line([(0.14, 0.46), (0.06, 0.6), (0.07, 0.72)], "dark", 0.025)


def rabbit(pen: Pen, pose: str) -> None:
    build = Build(body=(0.42, 0.68, 0.25, 0.19), head=(0.7, 0.48, 0.14), muzzle=(0.06, 0.05), neck=0.18, leg=0.07)
    _four_legged(pen, pose, build)
    for x, turn in ((0.62, -14), (0.72, 4)):
        pen.oval(x, 0.2, 0.05, 0.2, turn=turn)
        pen.oval(x, 0.2, 0.022, 0.14, "rose", turn)
    pen.oval(0.15, 0.66, 0.075, fill="paper")
    pen.oval(0.32, 0.78, 0.14, 0.12, "dark")
    _face(pen, 0.74, 0.45, pose)
    pen.oval(0.84, 0.5, 0.02, fill="rose")


def elephant(pen: Pen, pose: str) -> None:
    build = Build(
        body=(0.4, 0.46, 0.31, 0.25), head=(0.74, 0.36, 0.17), muzzle=(0.05, 0.05), neck=0.22, leg=0.13,
        legs=(0.2, 0.3, 0.52, 0.6),
    )  # fmt: skip
    _four_legged(pen, pose, build)
    pen.line([(0.86, 0.4), (0.94, 0.55), (0.93, 0.74), (0.99, 0.8)], "main", 0.08)
    pen.oval(0.64, 0.38, 0.12, 0.17, "dark", 10)
    pen.line([(0.82, 0.5), (0.9, 0.58), (0.97, 0.54)], "bone", 0.035)
    pen.line([(0.1, 0.4), (0.05, 0.6)], "dark", 0.025)
    _face(pen, 0.79, 0.31, pose, 0.016)


def giraffe(pen: Pen, pose: str) -> None:
    build = Build(
        body=(0.38, 0.6, 0.2, 0.12), head=(0.74, 0.1, 0.06), muzzle=(0.09, 0.035), neck=0.1, leg=0.045,
        legs=(0.24, 0.3, 0.48, 0.54), foot=0.98,
    )  # fmt: skip
    _four_legged(pen, pose, build)
    for i in range(12):
        x, y = (
            (0.25 + 0.07 * (i % 5), 0.54 + 0.07 * (i // 5)) if i < 7 else (0.5 + 0.045 * (i - 7), 0.5 - 0.08 * (i - 7))
        )
        pen.oval(x, y, 0.03, 0.026, "wood" if pen.brightness > 360 else "glow")
    for x in (0.7, 0.75):
        pen.line([(x, 0.06), (x - 0.01, 0.0)], "wood", 0.02)
    _face(pen, 0.77, 0.08, pose, 0.012)
    pen.line([(0.19, 0.56), (0.13, 0.74)], "wood", 0.02)


def bird(pen: Pen, pose: str) -> None:
    pen.shape([(0.26, 0.55), (0.02, 0.48), (0.04, 0.62), (0.24, 0.64)], "dark")
    pen.oval(0.46, 0.55, 0.25, 0.17, turn=-10)
    pen.oval(0.7, 0.38, 0.12)
    pen.shape([(0.8, 0.35), (0.97, 0.4), (0.8, 0.44)], "beak")
    if pose == "fly":
        pen.shape([(0.36, 0.52), (0.12, 0.02), (0.4, 0.14), (0.58, 0.5)], "dark")
        pen.shape([(0.5, 0.5), (0.58, 0.0), (0.72, 0.16), (0.62, 0.5)], "light")
    else:
        pen.shape([(0.3, 0.48), (0.56, 0.46), (0.5, 0.66), (0.2, 0.68)], "dark")
        for x in (0.44, 0.54):
            pen.line([(x, 0.7), (x, 0.9), (x + 0.06, 0.92)], "beak", 0.025)
    _face(pen, 0.73, 0.35, pose)


def duck(pen: Pen, pose: str) -> None:
    pen.shape([(0.14, 0.52), (0.02, 0.42), (0.1, 0.66)])
    pen.pie(0.42, 0.55, 0.33, 0.26, 0, 180)
    pen.line([(0.64, 0.6), (0.7, 0.4)], "main", 0.14)
    pen.oval(0.7, 0.32, 0.12, 0.11)
    pen.round_box(0.79, 0.32, 0.98, 0.39, 0.03, "beak")
    pen.pie(0.4, 0.58, 0.2, 0.14, 0, 180, "dark")
    if pose != "swim":
        for x in (0.38, 0.5):
            pen.line([(x, 0.8), (x, 0.92), (x + 0.08, 0.93)], "beak", 0.035)
    _face(pen, 0.73, 0.29, pose)


def owl(pen: Pen, pose: str) -> None:
    spread = 0.46 if pose == "fly" else 0.28
    for side in (-1, 1):
        pen.oval(0.5 + side * spread * 0.75, 0.58, spread * 0.42, 0.2, "dark", side * (70 if pose == "fly" else -12))
    pen.oval(0.5, 0.55, 0.24, 0.36)
    pen.oval(0.5, 0.66, 0.15, 0.2, "light")
    for side in (-1, 1):
        pen.shape([(0.5 + side * 0.22, 0.36), (0.5 + side * 0.22, 0.1), (0.5 + side * 0.06, 0.24)])
        pen.oval(0.5 + side * 0.1, 0.36, 0.095, fill="paper")
        if pose == "sleep":
            pen.line([(0.5 + side * 0.17, 0.36), (0.5 + side * 0.04, 0.37)], "ink", 0.02)
        else:
            pen.oval(0.5 + side * 0.1, 0.36, 0.05, fill="ink")
        pen.line([(0.5 + side * 0.08, 0.9), (0.5 + side * 0.1, 0.97)], "beak", 0.05)
    pen.shape([(0.45, 0.43), (0.55, 0.43), (0.5, 0.53)], "beak")


def fish(pen: Pen, pose: str) -> None:
    pen.shape([(0.26, 0.5), (0.03, 0.28), (0.08, 0.5), (0.03, 0.72)], "dark")
    pen.shape([(0.4, 0.36), (0.55, 0.16), (0.68, 0.36)], "dark")
    pen.oval(0.56, 0.5, 0.34, 0.2)
    for x in (0.42, 0.52, 0.62):
        pen.arc(x - 0.05, 0.5, 0.06, 0.1, -70, 70, "dark", 0.018)
    pen.arc(0.66, 0.5, 0.06, 0.14, -80, 80, "ink", 0.016)
    pen.shape([(0.5, 0.56), (0.42, 0.74), (0.6, 0.62)], "light")
    _face(pen, 0.8, 0.45, pose)


def turtle(pen: Pen, pose: str) -> None:
    swing = {"run": 0.08, "swim": 0.12}.get(pose, 0.0)
    pen.oval(0.88, 0.52, 0.11, 0.09, "leaf")
    for x, side in ((0.24, -1), (0.64, 1)):
        pen.oval(x + side * swing, 0.74, 0.09, 0.06, "leaf", side * 35)
    pen.shape([(0.1, 0.66), (0.01, 0.72), (0.14, 0.72)], "leaf")
    pen.pie(0.46, 0.68, 0.38, 0.4, 180, 360)
    for cx, cy in ((0.46, 0.44), (0.3, 0.56), (0.62, 0.56), (0.46, 0.6)):
        pen.shape(
            [(cx + 0.075 * math.cos(a), cy + 0.06 * math.sin(a)) for a in (0, 1.05, 2.1, 3.14, 4.2, 5.25)], "dark"
        )
    pen.box(0.08, 0.66, 0.84, 0.71, "light")
    _face(pen, 0.91, 0.5, pose, 0.015)


def butterfly(pen: Pen, pose: str) -> None:
    fold = 0.7 if pose == "sleep" else 1.0
    for side in (-1, 1):
        pen.oval(0.5 + side * 0.22 * fold, 0.33, 0.2 * fold, 0.25, turn=side * 35)
        pen.oval(0.5 + side * 0.17 * fold, 0.68, 0.15 * fold, 0.19, "dark", -side * 30)
        pen.oval(0.5 + side * 0.26 * fold, 0.3, 0.08 * fold, 0.1, "light")
        pen.oval(0.5 + side * 0.18 * fold, 0.68, 0.05, fill="glow")
        pen.line([(0.5, 0.28), (0.5 + side * 0.1, 0.1)], "ink", 0.018)
    pen.oval(0.5, 0.52, 0.035, 0.26, "ink")


def person(pen: Pen, pose: str) -> None:
    """The color is that of the shirt."""
    stride = {"run": 0.2, "jump": 0.16}.get(pose, 0.05)
    lift = 0.12 if pose == "jump" else 0.0
    for side in (-1, 1):
        knee = (0.5 + side * stride * 0.9, 0.75 - lift)
        pen.line(
            [(0.5 + side * 0.04, 0.6), knee, (0.5 + side * stride * (0.6 if pose == "jump" else 1.3), 0.95)],
            "tyre",
            0.085,
        )
    up = {"jump": -0.32, "run": -0.02, "eat": -0.12, "swim": -0.2}.get(pose, 0.24)
    for side in (-1, 1):
        hand = (0.5 + side * 0.26, 0.36 + (up if side > 0 or pose == "jump" else 0.22))
        pen.line([(0.5 + side * 0.1, 0.34), (0.5 + side * 0.22, 0.42 + up * 0.3), hand], "skin", 0.06)
    pen.round_box(0.37, 0.27, 0.63, 0.64, 0.06)
    pen.line([(0.5, 0.3), (0.5, 0.22)], "skin", 0.08)
    pen.oval(0.5, 0.14, 0.105, 0.12, "skin")
    pen.pie(0.5, 0.12, 0.115, 0.12, 180, 360, "wood")
    for x in (0.46, 0.54):
        pen.oval(x, 0.145, 0.013, fill="ink")
    pen.arc(0.5, 0.17, 0.04, 0.035, 20, 160, "ink", 0.012)
