"""A world -> what people might write under its image: less than there is, and now and then what is not there."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ram.datasets.synthetic.things import SEEN_COLORS, SEEN_THINGS, THINGS
from ram.datasets.synthetic.world import Thing, World

COLOR_WORDS = {"gray": ("gray", "grey")}
SIZE_WORDS = {"small": ("small", "little"), "large": ("large", "big")}
ACTION_WORDS = {
    "run": ("running",),
    "jump": ("jumping", "leaping"),
    "sleep": ("sleeping", "sleeping", "asleep"),
    "fly": ("flying", "flying through the air"),
    "swim": ("swimming", "swimming in the water"),
    "eat": ("eating", "eating food"),
}
SCENE_PHRASES = {
    "beach": ("on the beach", "at the beach", "on a sandy beach"),
    "forest": ("in the forest", "in a forest", "in the woods"),
    "street": ("on the street", "in the street", "on a city street"),
    "kitchen": ("in the kitchen", "in a kitchen"),
    "desert": ("in the desert", "in a desert"),
    "mountain": ("in front of a mountain", "in the mountains", "near a mountain"),
    "field": ("in a field", "in the field", "on a grassy field"),
    "ocean": ("in the ocean", "on the ocean"),
    "snow": ("in the snow", "on the snow"),
}
META = ("a drawing of", "a picture of", "an illustration of", "this is", "we can see", "an image of")
FACTS = ("kind", "color", "size", "action")  # of a thing
FORGOTTEN_THINGS = 1.3  # the first is never forgotten, so the others are forgotten more often
NUMBERS = {2: ("two", "two", "a pair of"), 3: ("three", "three", "several")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Mention:
    """What a caption says of a thing; None for what it passes over."""

    kind: str
    count: int = 1
    color: str | None = None
    size: str | None = None
    action: str | None = None
    index: int = -1  # of the thing in its world; -1 for one that is not there


def write_captions(world: World, rng: random.Random, *, omitted_share: float, false_share: float) -> list[str]:
    """One to three captions. Together they leave out `omitted_share` of what is in the image (by expectation); each
    names a thing that is not there with probability `false_share`."""
    mentions, scene = _remembered(world, rng, omitted_share)
    num_captions = rng.choices((1, 2, 3), weights=(4, 4, 2))[0]
    told = [_some(num_captions, rng) for _ in mentions]
    scene_told = _some(num_captions, rng)
    captions = []
    for number in range(num_captions):
        chosen = [
            mention if number == min(where) else _vaguer(mention, rng)
            for mention, where in zip(mentions, told, strict=True)
            if number in where
        ] or [_vaguer(rng.choice(mentions), rng)]
        rng.shuffle(chosen)
        if rng.random() < false_share:
            chosen.insert(rng.randint(0, len(chosen)), _invented(world, rng))
        captions.append(_compose(world, chosen, scene if number in scene_told else None, rng))
    return captions


def _remembered(world: World, rng: random.Random, omitted_share: float) -> tuple[list[Mention], str | None]:
    """What is left when a share of all facts is forgotten: first whole things, one excepted, then single facts."""
    mentions = [
        Mention(kind=t.kind, count=len(t.places), color=t.color, size=t.size, action=t.action, index=i)
        for i, t in enumerate(world.things)
    ]
    num_facts = sum(map(_num_facts, mentions)) + bool(world.scene)
    rng.shuffle(mentions)
    kept = mentions[:1] + [mention for mention in mentions[1:] if rng.random() >= omitted_share * FORGOTTEN_THINGS]
    budget = num_facts * omitted_share - (sum(map(_num_facts, mentions)) - sum(map(_num_facts, kept)))
    budget = int(budget) + (rng.random() < budget % 1) if budget > 0 else 0
    details = [(i, fact) for i, m in enumerate(kept) for fact in FACTS[1:] if getattr(m, fact)]
    details += [(-1, "scene")] if world.scene else []
    forgotten = rng.sample(details, min(budget, len(details)))
    for index, fact in forgotten:
        if index >= 0:
            kept[index] = replace(kept[index], **{fact: None})  # type: ignore[arg-type]
    return kept, None if (-1, "scene") in forgotten else world.scene


def _num_facts(mention: Mention) -> int:
    return sum(getattr(mention, fact) is not None for fact in FACTS)


def _some(count: int, rng: random.Random) -> list[int]:
    return [i for i in range(count) if rng.random() < 0.6] or [rng.randrange(count)]


def _vaguer(mention: Mention, rng: random.Random) -> Mention:
    kept = {f: getattr(mention, f) for f in ("color", "size", "action") if rng.random() < 0.5}
    return replace(mention, **({"color": None, "size": None, "action": None} | kept))


def _invented(world: World, rng: random.Random) -> Mention:
    """A thing that is not there; never of a kind or color that is held back."""
    present = world.names()
    kind = rng.choice([name for name in SEEN_THINGS if name not in present])
    colors = [name for name in SEEN_COLORS if name not in present]
    return Mention(kind=kind, color=rng.choice(colors) if rng.random() < 0.4 else None)


def _compose(world: World, mentions: Sequence[Mention], scene: str | None, rng: random.Random) -> str:
    where = rng.choice(SCENE_PHRASES[scene]) if scene else ""
    first, rest = mentions[0], mentions[1:]
    form = rng.random()
    if form < 0.14 and (first.color or first.size) and first.count == 1:
        text = _predicative(first, rng) + _joined(world, first, rest, rng)
        return _sentence(f"{text} {where}", rng)
    if form < 0.3:
        verb = "are" if first.count > 1 else "is"
        opening = f"{where} there {verb}" if where and rng.random() < 0.4 else f"there {verb}"
        ending = "" if opening.startswith(where) and where else where
        return _sentence(f"{opening} {_noun_phrase(first, rng)}{_joined(world, first, rest, rng)} {ending}", rng)
    if form < 0.55 and first.action:
        verb = "are" if first.count > 1 else "is"
        bare = replace(first, action=None)
        doing = rng.choice(ACTION_WORDS[first.action])
        return _sentence(f"{_noun_phrase(bare, rng)} {verb} {doing}{_joined(world, first, rest, rng)} {where}", rng)
    meta = f"{rng.choice(META)} " if rng.random() < 0.16 else ""
    return _sentence(f"{meta}{_noun_phrase(first, rng)}{_joined(world, first, rest, rng)} {where}", rng)


def _predicative(mention: Mention, rng: random.Random) -> str:
    """ "the car is red and small"."""
    words = [rng.choice(COLOR_WORDS.get(mention.color, (mention.color,)))] if mention.color else []
    words += [rng.choice(SIZE_WORDS[mention.size])] if mention.size else []
    rng.shuffle(words)
    noun = rng.choice(THINGS[mention.kind].words)
    doing = f"{ACTION_WORDS[mention.action][0]} " if mention.action else ""
    return f"the {doing}{noun} is {' and '.join(words)}"


def _noun_phrase(mention: Mention, rng: random.Random) -> str:
    """ "two big red cats sleeping"."""
    kind = THINGS[mention.kind]
    adjectives = [rng.choice(SIZE_WORDS[mention.size])] if mention.size else []
    adjectives += [rng.choice(COLOR_WORDS.get(mention.color, (mention.color,)))] if mention.color else []
    doing = f" {rng.choice(ACTION_WORDS[mention.action])}" if mention.action else ""
    if mention.count > 1:
        return " ".join([rng.choice(NUMBERS[mention.count]), *adjectives, kind.plural]) + doing
    noun = rng.choice(kind.words)
    if noun == kind.plural:  # scissors
        noun = f"pair of {noun}"
    words = " ".join([*adjectives, noun])
    determiner = rng.choice(("a", "a", "a", "a", "the", "one"))
    if determiner == "a" and words[0] in "aeiou":
        determiner = "an"
    return f"{determiner} {words}{doing}"


def _joined(world: World, first: Mention, rest: Sequence[Mention], rng: random.Random) -> str:
    """How the other things stand to the first."""
    if not rest:
        return ""
    second, others = rest[0], rest[1:]
    text = f" {_relation(world, first, second, rng)} {_noun_phrase(second, rng)}"
    if others:
        link = rng.choice((" and ", " with ", ", near "))
        text += link + " and ".join(_noun_phrase(mention, rng) for mention in others)
    return text


def _relation(world: World, first: Mention, second: Mention, rng: random.Random) -> str:
    if min(first.index, second.index) < 0:
        return rng.choice(("and", "next to", "near"))
    one, two = world.things[first.index], world.things[second.index]
    if one.standing_on == second.index:
        return rng.choice(("on", "on top of"))
    if two.standing_on == first.index:
        return rng.choice(("under", "below"))
    words = ["and", "with", "next to", "near", "beside"]
    if _overlap(one, two):
        words += ["behind"] * 3 if first.index < second.index else ["in front of"] * 3
    return rng.choice(words)


def _overlap(one: Thing, two: Thing) -> bool:
    (x0, y0), (x1, y1) = one.places[0], two.places[0]
    reach = 0.38 * (one.side + two.side)
    return abs(x0 - x1) < reach and abs(y0 - y1) < reach


def _sentence(text: str, rng: random.Random) -> str:
    text = " ".join(text.split())
    text = text[0].upper() + text[1:] if rng.random() < 0.6 else text
    return text + "." if rng.random() < 0.5 else text
