"""What is in an image: decided from (seed, number) alone, before anything is drawn."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from ram.datasets.synthetic.pen import COLORS
from ram.datasets.synthetic.scenes import SCENE_NAMES
from ram.datasets.synthetic.things import SEEN_COLORS, SEEN_THINGS, THINGS

PLAIN_SHARE = 0.12  # of the images show no place
NATURAL_SHARE = 0.6  # of the things have a color that their kind mostly has
ACTION_SHARE = 0.6  # of the things that can do something are doing it
NUM_TRIES = 5  # to find a place where a thing hides no other; overlaps remain
SIDES = ((0.27, 0.36), (0.42, 0.6), (0.42, 0.6), (0.66, 0.85))  # small, two of neither, large


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """One thing, or several alike; places and sizes in fractions of the image's shorter side and of its sides."""

    kind: str
    color: str
    side: float  # of the square it is drawn in, over the image's shorter side
    places: tuple[tuple[float, float], ...]  # centers, over width and height
    action: str | None = None
    standing_on: int | None = None  # the thing it stands on

    @property
    def size(self) -> str | None:
        """The word for its size."""
        return "small" if self.side < 0.36 else "large" if self.side > 0.62 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """One image's content; things further back come first."""

    width: int
    height: int
    horizon: float
    scene: str | None
    things: tuple[Thing, ...]

    def names(self) -> set[str]:
        """All that a labeler who sees everything would write down."""
        found = {"tree"} if self.scene == "forest" else set()
        found |= {self.scene} if self.scene else set()
        for thing in self.things:
            found |= {name for name in (thing.kind, thing.color, thing.size, thing.action) if name}
        return found


def rng_of(seed: int, number: int, what: str) -> random.Random:
    """A generator of its own for every image and purpose, the same in every process."""
    return random.Random(f"{seed} {number} {what}")


def imagine(seed: int, number: int, *, allow_unseen: bool) -> World:
    """The content of image `number`; with `allow_unseen` also of things and colors that are held back elsewhere."""
    rng = rng_of(seed, number, "world")
    width, height = rng.randint(96, 128), rng.randint(96, 128)
    scene = None if rng.random() < PLAIN_SHARE else rng.choice(SCENE_NAMES)
    horizon = rng.uniform(0.38, 0.58)
    kinds = tuple(THINGS) if allow_unseen else SEEN_THINGS
    colors = tuple(COLORS) if allow_unseen else SEEN_COLORS
    num_things = rng.choices((1, 2, 3, 4), weights=(3, 5, 4, 1))[0]
    chosen = rng.sample(kinds, num_things)
    things: list[Thing] = []
    for name in chosen:
        thing = _thing(name, colors, num_things, horizon, rng)
        for _ in range(NUM_TRIES):
            if not _hides(thing, things):
                break
            thing = _thing(name, colors, num_things, horizon, rng)
        things.append(thing)
    things.sort(key=lambda thing: thing.places[0][1] + 0.2 * thing.side)  # what is further up is further back
    _put_on_another(things, rng)
    return World(width=width, height=height, horizon=horizon, scene=scene, things=tuple(things))


def _thing(name: str, colors: tuple[str, ...], num_things: int, horizon: float, rng: random.Random) -> Thing:
    kind = THINGS[name]
    natural = [color for color in kind.colors if color in colors]
    color = rng.choice(natural) if natural and rng.random() < NATURAL_SHARE else rng.choice(colors)
    action = rng.choice(kind.actions) if kind.actions and rng.random() < ACTION_SHARE else None
    side = rng.uniform(*rng.choice(SIDES))
    if num_things > 2:
        side = min(side, 0.7)
    count = rng.choice((2, 2, 3)) if side < 0.52 and rng.random() < 0.16 else 1
    airborne = action == "fly" or (kind.floats and rng.random() < 0.7)
    low, high = (0.18, horizon) if airborne else (horizon + 0.02, 0.86)
    low, high = max(low, side * 0.4), min(high, 1 - side * 0.36)
    x, y = rng.uniform(side * 0.4, 1 - side * 0.4), rng.uniform(min(low, high), high)
    step = side * rng.uniform(0.6, 0.95) * (1 if x < 0.5 else -1)
    places = tuple((min(max(x + step * i, 0.1), 0.9), y + rng.uniform(-0.03, 0.03)) for i in range(count))
    return Thing(kind=name, color=color, side=side, places=places, action=action)


def _hides(thing: Thing, others: list[Thing]) -> bool:
    """Whether it covers most of another, or the other way round."""
    return any(
        abs(x - u) + abs(y - v) < 0.42 * max(thing.side, other.side)
        for other in others
        for x, y in thing.places
        for u, v in other.places
    )


def _put_on_another(things: list[Thing], rng: random.Random) -> None:
    """Now and then the last thing, if it is small enough, stands on one that carries."""
    carriers = [i for i, thing in enumerate(things[:-1]) if THINGS[thing.kind].carries and len(thing.places) == 1]
    top = things[-1]
    if not carriers or top.action in ("fly", "swim", "run") or THINGS[top.kind].carries or rng.random() < 0.3:
        return
    index = rng.choice(carriers)
    below = things[index]
    side = min(top.side, below.side * 0.7)
    x, y = below.places[0]
    place = (x + rng.uniform(-0.1, 0.1) * below.side, y - 0.2 * below.side - 0.3 * side)
    if place[1] > side * 0.35:
        things[-1] = replace(top, side=side, places=(place,), standing_on=index)
