"""What the parser knows about single words; every set says why its words are treated apart."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


def word_set(words: str) -> frozenset[str]:
    """The words of a text, for lists that read better as text."""
    return frozenset(words.split())


# "a photo of a dog", "the image shows a dog": they speak of the image, not of what is in it.
IMAGE_NOUNS = word_set(
    "photo photograph picture image shot snapshot closeup view scene photography pic selfie screenshot footage interior"
)
VIEW_NOUNS = word_set("shot closeup view scene photography footage interior")  # never a thing that hangs on a wall
# What stands behind the things: dropped wherever it is, with its color ("isolated on a white background").
BACKDROP_NOUNS = word_set("background backdrop foreground")
# Dropped only where the caption is about them: "a drawing of a dog", but not in "a boy makes a drawing of a dog".
ARTWORK_NOUNS = word_set(
    "drawing painting illustration sketch rendering render cartoon clipart portrait depiction artwork vector icon "
    "wallpaper collage graphic"
)
# Before one of these: "stock photo", "vector illustration".
META_MODIFIERS = word_set(
    "stock vector file press profile product hand line color colour royalty clip art watercolor watercolour oil pencil "
    "ink computer phone digital cartoon image photo close editorial archive"
)
# "a group of people", "a pair of shoes": they count. Kept without an "of" where the word is also a thing ("a couple").
QUANTITY_NOUNS = word_set(
    "group pair couple bunch lot number set piece slice variety series kind type sort array assortment collection "
    "bit amount dozen hundred thousand majority rest row line lots part selection handful plenty ton load bunches"
)
# Positions, times and fillers that no image shows.
EMPTY_NOUNS = word_set(
    "front back side top bottom middle center centre left right end edge corner background foreground distance "
    "other one thing something anything someone way day time moment place area spot position direction form style "
    "sort use reason purpose fact lot example name hand-side close half morning afternoon today tomorrow year month "
    "inside outside dark wild indoor indoors outdoor outdoors others surrounding surroundings week hour "
    "minute second idea recipe tip care amount love fun beauty"
)
EMPTY_ADJECTIVES = word_set(
    "other another several many various different same few more most own such next last first second third certain "
    "able available possible similar particular main single multiple additional entire whole front back top bottom "
    "left right upper lower middle side close near nearby far adjacent opposite numerous ready due less least much "
    "fashioned shaped sized based mid multi only about what which up one two three four five six seven eight nine ten "
    "nice good great large-scale"
)
# Verbs without an act to see: auxiliaries, light verbs, and what captions say of themselves.
LIGHT_VERBS = word_set(
    "be have do get make take let go come seem appear look-like include contain show feature depict display use try "
    "start begin continue want need like prepare attempt put keep see find give cover fill surround name call base "
    "locate place set attach line top consist involve become remain stay allow cause help own know think say would "
    "can will may might must should could shall suppose happen tend decide belong design face bear match oppose"
)
LACKING_VERBS = frozenset({"lack", "miss"})  # "a car missing a wheel" has no wheel to see
FREE_OF = frozenset({"free", "devoid", "void", "empty", "clear", "cleared", "bare", "stripped", "deprived"})
SIGN_NOUNS = frozenset({"sign", "symbol", "zone"})  # "a no parking sign" is one
# "about to hit", "getting ready to serve", "wants to ride": what comes next has not happened.
COMING = word_set("about ready prepare wait want wish hope plan intend need go poised set eager prepared")

# With a particle these are acts to see all the same.
LIGHT_PHRASES = frozenset({"take off", "put on", "set up", "come in", "come out", "put up", "put down", "put away"})
# "looks hot" says how something is, "looks at" what someone does.
SENSE_VERBS = word_set("look feel taste smell sound")
# Where these verbs have an object behind "down" or "over", it is the way they go: "walks down the street".
MOTION_VERBS = word_set(
    "walk run ride drive go climb slide ski snowboard surf skate skateboard jump leap fly sail swim roll race hike bike "
    "travel move stroll wander march jog crawl fall head come cycle gallop trot cross hang lean sit stand lie tumble "
    "float glide skid speed pedal row paddle step bend peer look"
)
PATHS = word_set("up down over around along through across past off on in by out under about")

COLORS = word_set(
    "red orange yellow green blue purple violet pink brown black white gray grey beige tan cyan magenta turquoise "
    "maroon teal navy crimson scarlet khaki"
)
# Colors before a noun and things elsewhere: "a gold ring", "the silver".
MATERIAL_COLORS = frozenset({"gold", "silver"})
# Before a color they say which shade: "light blue".
SHADES = word_set("light dark bright pale deep vivid dull")
# "long haired", "short sleeved": the word before belongs to them.
PART_ADJECTIVES = word_set(
    "haired sleeved legged eyed faced armed winged handed headed nosed eared tailed necked footed toed wheeled roofed "
    "walled sided layered tiered hearted breasted brimmed rimmed stemmed billed beaked feathered skinned bellied coated"
)
# The -ing forms that say how something is, not what it does.
ING_ADJECTIVES = word_set(
    "surrounding matching interesting amazing charming stunning outstanding exciting relaxing boring missing "
    "inviting striking willing promising loving caring tempting refreshing"
)

# Read as adjectives or verbs by the tagger; with their singular.
SURE_NOUNS = {"geese": "goose", "mice": "mouse", "oxen": "ox", "broccoli": "broccoli", "spaghetti": "spaghetti"}
# Read as nouns by the tagger where they stand before one.
SURE_ADJECTIVES = word_set(
    "barefoot shirtless ceramic vintage floral antique topless plaid mini multicolored multicoloured retro "
    "bohemian homemade handmade furry fluffy"
)

# Nouns whose plural is the word: the tagger's lemma would be "pant", "short", "glass".
PLURAL_NOUNS = word_set(
    "pants shorts jeans glasses sunglasses goggles scissors clothes stairs headphones earphones binoculars tights "
    "trousers pajamas pyjamas overalls leggings trunks pliers tongs tweezers eyeglasses spectacles skis sweatpants "
    "khakis briefs bleachers ruins woods clippers handcuffs panties underpants earmuffs chaps rapids fries waders "
    "suspenders cleats capris"
)
DRINKS = word_set("wine beer water champagne shot drinking empty cocktail two three four")
LEMMAS = {"people": "person", "persons": "person", "policemen": "policeman", "firemen": "fireman", "oxen": "ox"}
# What the lemmatizer makes of "seated", and of tags it was given wrongly.
VERB_LEMMAS = {"seat": "sit", "fell": "fall", "felt": "feel", "found": "find", "wound": "wind", "ai": "be"}
# Sports and pastimes that the tagger takes for nouns.
ACTIVITY_NOUNS = dict(
    pair.split(":")
    for pair in word_set(
        "surfing:surf skiing:ski snowboarding:snowboard skateboarding:skateboard swimming:swim running:run jogging:jog "
        "jumping:jump dancing:dance cycling:cycle biking:bike sailing:sail rowing:row hiking:hike climbing:climb "
        "fishing:fish skating:skate rollerblading:rollerblade wakeboarding:wakeboard windsurfing:windsurf diving:dive "
        "sleeping:sleep eating:eat drinking:drink flying:fly walking:walk sitting:sit standing:stand riding:ride "
        "playing:play reading:read kayaking:kayak sledding:sled wrestling:wrestle cooking:cook smoking:smoke "
        "parasailing:parasail grazing:graze"
    )
)
# "A dog runs": the tagger takes some of these verbs for plural nouns ("dog runs") after a being's name.
BEINGS = word_set(
    "person people man woman boy girl child children kid baby toddler guy lady gentleman adult teen teenager student "
    "couple family crowd team group farmer worker runner hiker driver waiter waitress teacher officer soldier chef cook "
    "cyclist biker motorcyclist climber skater surfer skier rider swimmer dancer singer musician guitarist drummer "
    "actor actress nurse doctor tourist bride groom mother father mom dad grandmother grandfather brother sister friend "
    "batter pitcher catcher umpire goalie goalkeeper player athlete boxer wrestler golfer firefighter painter artist "
    "photographer vendor shopper passenger pedestrian commuter clown pilot sailor cowboy dog puppy cat kitten bird "
    "horse pony cow calf bull duck duckling goose swan sheep lamb goat pig donkey camel deer elk moose fish shark whale "
    "dolphin seal elephant bear lion tiger leopard cheetah wolf fox monkey gorilla ape rabbit squirrel mouse rat zebra "
    "giraffe penguin pigeon seagull gull parrot eagle owl hawk chicken rooster turtle frog bee butterfly panda kangaroo"
)
BEING_ENDINGS = ("man", "woman", "boarder", "player", "rider")
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
