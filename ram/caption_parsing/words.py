"""What the parser knows about single words. Every set says why its words are treated apart; scenes and units are text files."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

# "a photo of a dog", "the image shows a dog": they speak of the picture, not of what is in it.
PICTURE_NOUNS = frozenset(
    "photo photograph picture image shot snapshot closeup view scene photography pic selfie screenshot footage".split()
)
# Dropped only where they open the caption: "a drawing of a dog", but not in "a boy makes a drawing of a dog".
ARTWORK_NOUNS = frozenset(
    "drawing painting illustration sketch rendering render cartoon clipart portrait depiction artwork vector icon".split()
)
# "a group of people", "a pair of shoes": they count. Kept without an "of" where the word is also a thing ("a couple").
QUANTITY_NOUNS = frozenset(
    "group pair couple bunch lot number set piece slice variety series kind type sort array assortment collection bit amount"
    " dozen hundred thousand majority rest row line lots part selection handful plenty ton load bunches".split()
)
# Positions, times and fillers that no picture shows.
EMPTY_NOUNS = frozenset(
    "front back side top bottom middle center centre left right end edge corner background foreground distance other one"
    " thing something anything someone way day time moment place area spot position direction form style sort"
    " use reason purpose fact lot example name hand-side close".split()
)
EMPTY_ADJECTIVES = frozenset(
    "other another several many various different same few more most own such next last first second third certain able"
    " available possible similar particular main single multiple additional entire whole front back top bottom left right"
    " upper lower middle side close near nearby far adjacent opposite various numerous ready due less least much another"
    " what which up one two three four five six seven eight nine ten new nice good great large-scale".split()
) - {"new"}
# Verbs without an act to see: auxiliaries, light verbs, and what captions say of themselves.
LIGHT_VERBS = frozenset(
    "be have do get make take let go come seem appear look-like include contain show feature depict display use try start"
    " begin continue want need like prepare attempt put keep see find give cover fill surround name call base locate place"
    " set attach line top consist involve become remain stay allow cause help become own know think say would can will may"
    " might must should could shall suppose happen tend decide belong design face bear match oppose".split()
)
LACKING_VERBS = frozenset({"lack", "miss"})  # "a car missing a wheel" has no wheel to see
LACKING_PREPOSITIONS = frozenset({"without", "except", "minus"})
NEGATIVE_DETERMINERS = frozenset({"no", "neither", "nor"})

COLOURS = frozenset(
    "red orange yellow green blue purple violet pink brown black white gray grey beige tan cyan magenta turquoise maroon"
    " teal navy crimson scarlet khaki".split()
)
# Tagged as adjectives too; as nouns they stay nouns.
MATERIAL_COLOURS = frozenset({"gold", "silver", "rose", "cream", "olive"})

# Nouns whose plural is the word: the tagger's lemma would be "pant", "short", "glass".
PLURAL_NOUNS = frozenset(
    "pants shorts jeans glasses sunglasses goggles scissors clothes stairs headphones earphones binoculars tights trousers"
    " pajamas pyjamas overalls leggings trunks pliers tongs tweezers eyeglasses spectacles skis sweatpants khakis briefs"
    " bleachers ruins woods tongs clippers handcuffs panties underpants earmuffs chaps rapids fries"
    " waders suspenders cleats capris".split()
)
LEMMAS = {"people": "person", "persons": "person", "policemen": "policeman", "firemen": "fireman", "oxen": "ox"}
VERB_LEMMAS = {
    "rid": "ride", "seat": "sit", "bit": "bite", "fell": "fall", "felt": "feel", "lain": "lie", "din": "dine",
    "hik": "hike", "bik": "bike", "skat": "skate", "wad": "wade", "div": "dive", "rac": "race", "danc": "dance",
    "hop": "hop", "grind": "grind", "wound": "wind", "ski": "ski", "found": "find", "rol": "roll", "taxi": "taxi",
    "swimm": "swim", "runn": "run", "smil": "smile", "pos": "pose", "rais": "raise", "shav": "shave", "bak": "bake",
}  # fmt: skip
# Sports and pastimes that the tagger takes for nouns.
ACTIVITY_NOUNS = {
    noun: verb
    for noun, verb in (
        entry.split(":")
        for entry in (
            "surfing:surf skiing:ski snowboarding:snowboard skateboarding:skateboard swimming:swim running:run jogging:jog"
            " jumping:jump dancing:dance cycling:cycle biking:bike sailing:sail rowing:row hiking:hike climbing:climb"
            " fishing:fish skating:skate rollerblading:rollerblade wakeboarding:wakeboard windsurfing:windsurf diving:dive"
            " sleeping:sleep eating:eat drinking:drink flying:fly walking:walk sitting:sit standing:stand riding:ride"
            " playing:play reading:read kayaking:kayak sledding:sled wrestling:wrestle cooking:cook smoking:smoke"
        ).split()
    )
}


def _lines(name: str) -> frozenset[str]:
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


@lru_cache(maxsize=1)
def scenes() -> frozenset[str]:
    """Nouns that name a place."""
    return _lines("scenes.txt")


@lru_cache(maxsize=1)
def units() -> frozenset[str]:
    """Names of several words that are one thing."""
    return _lines("units.txt")


def noun_kind(phrase: str) -> str:
    """`scene` or `object`, by the whole phrase or else its last word ("train station")."""
    if phrase in units() and phrase not in scenes() and phrase.split()[-1] not in scenes():
        return "object"
    return "scene" if phrase in scenes() or phrase.split()[-1] in scenes() else "object"
