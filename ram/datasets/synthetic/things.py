"""The kinds of things that are drawn: how, in which colors by nature, and what they can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ram.datasets.synthetic import animals, food, gear, home, outdoors, vehicles
from ram.datasets.synthetic.pen import COLORS, Pen

ACTIONS = ("run", "jump", "sleep", "fly", "swim", "eat")
SIZES = ("small", "large")  # a thing between them has no word


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of thing. `colors` are what it mostly has; `actions` what it may be seen doing."""

    name: str
    draw: Callable[[Pen, str], None]
    words: tuple[str, ...]  # what captions call one of it, the name first
    plural: str
    colors: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    carries: bool = False  # others may stand on it
    floats: bool = False  # it is at home in the air


def _kind(
    draw: Callable[[Pen, str], None],
    colors: str = "",
    actions: str = "",
    words: tuple[str, ...] = (),
    plural: str = "",
    carries: bool = False,
    floats: bool = False,
) -> Kind:
    name = draw.__name__.replace("_", " ")
    return Kind(
        name=name,
        draw=draw,
        words=(name, *words),
        plural=plural or f"{name}s",
        colors=tuple(colors.split()),
        actions=tuple(actions.split()),
        carries=carries,
        floats=floats,
    )


_LAND = "run jump sleep eat"
_ALL = [
    _kind(animals.dog, "brown black white", f"{_LAND} swim"),
    _kind(animals.cat, "orange gray black white", _LAND),
    _kind(animals.horse, "brown black white", _LAND),
    _kind(animals.cow, "white brown black", "run sleep eat"),
    _kind(animals.rabbit, "white gray brown", _LAND, ("bunny",)),
    _kind(animals.elephant, "gray gray blue", "run sleep eat swim"),
    _kind(animals.giraffe, "yellow orange", "run eat"),
    _kind(animals.bird, "blue red yellow black", "fly sleep eat"),
    _kind(animals.duck, "yellow white brown", "swim sleep eat"),
    _kind(animals.owl, "brown gray white", "fly sleep"),
    _kind(animals.fish, "orange blue gray red", "swim jump", plural="fish"),
    _kind(animals.turtle, "green brown", "swim sleep eat run"),
    _kind(animals.butterfly, "orange blue yellow pink", "fly", plural="butterflies", floats=True),
    _kind(animals.person, "", "run jump swim eat", plural="people"),
    _kind(vehicles.car, "red blue white gray black", words=("automobile",), carries=True),
    _kind(vehicles.bus, "yellow red blue"),
    _kind(vehicles.truck, "red blue white"),
    _kind(vehicles.bicycle, "red blue green black", words=("bike",)),
    _kind(vehicles.boat, "red white blue brown"),
    _kind(vehicles.airplane, "white gray blue", "fly", ("plane",), floats=True),
    _kind(vehicles.train, "black red green blue"),
    _kind(vehicles.rocket, "white red gray", "fly", floats=True),
    _kind(vehicles.balloon, "red yellow orange pink", "fly", floats=True),
    _kind(food.apple, "red green"),
    _kind(food.banana, "yellow yellow green"),
    _kind(food.pear, "green yellow"),
    _kind(food.strawberry, "red red pink", plural="strawberries"),
    _kind(food.grape, "green red black"),
    _kind(food.carrot, "orange orange"),
    _kind(food.cake, "pink white brown"),
    _kind(food.pizza, "yellow orange"),
    _kind(home.chair, "brown red white"),
    _kind(home.table, "brown brown white", carries=True),
    _kind(home.bench, "brown green", plural="benches", carries=True),
    _kind(home.lamp, "yellow red white"),
    _kind(home.bed, "blue red green pink", carries=True),
    _kind(home.sofa, "red blue gray brown", words=("couch",), carries=True),
    _kind(home.clock, "black red blue white"),
    _kind(home.cup, "white blue red green"),
    _kind(home.bottle, "green blue brown"),
    _kind(home.bowl, "white blue red"),
    _kind(home.fork, "gray brown black"),
    _kind(home.candle, "white red pink"),
    _kind(home.book, "red blue green brown"),
    _kind(gear.hammer, "brown red black"),
    _kind(gear.key, "yellow gray"),
    _kind(gear.scissors, "red blue black", plural="scissors"),
    _kind(gear.umbrella, "red blue black pink"),
    _kind(gear.ladder, "brown gray yellow"),
    _kind(gear.hat, "black brown blue"),
    _kind(gear.shoe, "red blue black white"),
    _kind(gear.shirt, "white blue red green"),
    _kind(gear.guitar, "brown orange red"),
    _kind(gear.violin, "brown orange"),
    _kind(gear.drum, "red blue white"),
    _kind(gear.trumpet, "yellow gray"),
    _kind(gear.ball, "red blue green yellow"),
    _kind(gear.kite, "red yellow blue pink", "fly", floats=True),
    _kind(gear.teddy_bear, "brown pink white"),
    _kind(outdoors.house, "white red yellow brown"),
    _kind(outdoors.tower, "gray brown white"),
    _kind(outdoors.bridge, "red gray brown"),
    _kind(outdoors.windmill, "white brown red"),
    _kind(outdoors.tent, "green orange blue yellow"),
    _kind(outdoors.tree, "green green green orange"),
    _kind(outdoors.flower, "red pink yellow white"),
    _kind(outdoors.cactus, "green green", plural="cacti"),
    _kind(outdoors.mushroom, "red brown white"),
    _kind(outdoors.traffic_light, "black yellow gray"),
    _kind(outdoors.fire_hydrant, "red yellow blue"),
]
THINGS: dict[str, Kind] = {kind.name: kind for kind in _ALL}

# Held back: not in any image nor caption of the splits that models learn from. Each has near relatives that are seen.
UNSEEN_THINGS = ("truck", "pear", "violin", "duck", "bench", "bowl")
UNSEEN_COLORS = ("purple",)
SEEN_THINGS = tuple(name for name in THINGS if name not in UNSEEN_THINGS)
SEEN_COLORS = tuple(name for name in COLORS if name not in UNSEEN_COLORS)
