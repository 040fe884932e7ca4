"""What the parser knows about single words; every set says why its words are treated apart."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


def word_set(words: str) -> frozenset[str]:
    """The words of a text, for lists that read better as text."""
    return frozenset(words.split())


# "a photo of a dog", "the image shows a dog": they speak of the picture, not of what is in it.
PICTURE_NOUNS = word_set(
    "photo photograph picture image shot snapshot closeup view scene photography pic selfie screenshot footage"
)
# Dropped only where they open the caption: "a drawing of a dog", but not in "a boy makes a drawing of a dog".
ARTWORK_NOUNS = word_set(
    "drawing painting illustration sketch rendering render cartoon clipart portrait depiction artwork vector icon"
)
# "a group of people", "a pair of shoes": they count. Kept without an "of" where the word is also a thing ("a couple").
QUANTITY_NOUNS = word_set(
    "group pair couple bunch lot number set piece slice variety series kind type sort array assortment collection "
    "bit amount dozen hundred thousand majority rest row line lots part selection handful plenty ton load bunches"
)
# Positions, times and fillers that no picture shows.
EMPTY_NOUNS = word_set(
    "front back side top bottom middle center centre left right end edge corner background foreground distance "
    "other one thing something anything someone way day time moment place area spot position direction form style "
    "sort use reason purpose fact lot example name hand-side close"
)
EMPTY_ADJECTIVES = word_set(
    "other another several many various different same few more most own such next last first second third certain "
    "able available possible similar particular main single multiple additional entire whole front back top bottom "
    "left right upper lower middle side close near nearby far adjacent opposite numerous ready due less least much "
    "what which up one two three four five six seven eight nine ten nice good great large-scale"
)
# Verbs without an act to see: auxiliaries, light verbs, and what captions say of themselves.
LIGHT_VERBS = word_set(
    "be have do get make take let go come seem appear look-like include contain show feature depict display use try "
    "start begin continue want need like prepare attempt put keep see find give cover fill surround name call base "
    "locate place set attach line top consist involve become remain stay allow cause help own know think say would "
    "can will may might must should could shall suppose happen tend decide belong design face bear match oppose"
)
LACKING_VERBS = frozenset({"lack", "miss"})  # "a car missing a wheel" has no wheel to see
LACKING_PREPOSITIONS = frozenset({"without", "except", "minus"})
NEGATIVE_DETERMINERS = frozenset({"no", "neither", "nor"})

COLOURS = word_set(
    "red orange yellow green blue purple violet pink brown black white gray grey beige tan cyan magenta turquoise "
    "maroon teal navy crimson scarlet khaki"
)
# Tagged as adjectives too; as nouns they stay nouns.
MATERIAL_COLOURS = frozenset({"gold", "silver", "rose", "cream", "olive"})

# Nouns whose plural is the word: the tagger's lemma would be "pant", "short", "glass".
PLURAL_NOUNS = word_set(
    "pants shorts jeans glasses sunglasses goggles scissors clothes stairs headphones earphones binoculars tights "
    "trousers pajamas pyjamas overalls leggings trunks pliers tongs tweezers eyeglasses spectacles skis sweatpants "
    "khakis briefs bleachers ruins woods clippers handcuffs panties underpants earmuffs chaps rapids fries waders "
    "suspenders cleats capris"
)
LEMMAS = {"people": "person", "persons": "person", "policemen": "policeman", "firemen": "fireman", "oxen": "ox"}
VERB_LEMMAS = {
    "rid": "ride", "seat": "sit", "bit": "bite", "fell": "fall", "felt": "feel", "lain": "lie", "din": "dine",
    "hik": "hike", "bik": "bike", "skat": "skate", "wad": "wade", "div": "dive", "rac": "race", "danc": "dance",
    "hop": "hop", "grind": "grind", "wound": "wind", "ski": "ski", "found": "find", "rol": "roll", "taxi": "taxi",
    "swimm": "swim", "runn": "run", "smil": "smile", "pos": "pose", "rais": "raise", "shav": "shave", "bak": "bake",
}  # fmt: skip
# Sports and pastimes that the tagger takes for nouns.
ACTIVITY_NOUNS = dict(
    pair.split(":")
    for pair in word_set(
        "surfing:surf skiing:ski snowboarding:snowboard skateboarding:skateboard swimming:swim running:run jogging:jog "
        "jumping:jump dancing:dance cycling:cycle biking:bike sailing:sail rowing:row hiking:hike climbing:climb "
        "fishing:fish skating:skate rollerblading:rollerblade wakeboarding:wakeboard windsurfing:windsurf diving:dive "
        "sleeping:sleep eating:eat drinking:drink flying:fly walking:walk sitting:sit standing:stand riding:ride "
        "playing:play reading:read kayaking:kayak sledding:sled wrestling:wrestle cooking:cook smoking:smoke"
    )
)
# "A dog runs": the tagger takes some of these verbs for plural nouns ("dog runs") after a being's name.
BEINGS = word_set(
    "person people man woman boy girl child children kid baby toddler dog dogs puppy cat kitten bird horse cow duck "
    "sheep fish elephant bear lion tiger monkey rabbit squirrel player surfer skier rider"
)
ACTS = word_set(
    "run jump leap walk swim fly sleep sit stand eat drink play splash wrestle race ride climb dance smile swing dive "
    "catch fetch chase dig bark roll crawl rest float lick chew graze look watch"
)


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
