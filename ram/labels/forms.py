"""Forms of a name: how it is written down, its singular, its other spelling."""

from __future__ import annotations

import re
from collections.abc import Iterator

_IRREGULAR = {
    "people": "person", "children": "child", "feet": "foot", "teeth": "tooth", "geese": "goose", "mice": "mouse",
    "knives": "knife", "wives": "wife", "leaves": "leaf", "wolves": "wolf", "shelves": "shelf", "loaves": "loaf",
    "calves": "calf", "scarves": "scarf", "hooves": "hoof", "oxen": "ox", "dice": "die",
}  # fmt: skip
# British -> American, and spellings that both use.
_SPELLINGS = {
    "grey": "gray", "colour": "color", "coloured": "colored", "colourful": "colorful", "harbour": "harbor",
    "theatre": "theater", "centre": "center", "tyre": "tire", "doughnut": "donut", "pyjamas": "pajamas",
    "aeroplane": "airplane", "jewellery": "jewelry", "moustache": "mustache", "neighbourhood": "neighborhood",
    "armour": "armor", "yoghurt": "yogurt", "omelette": "omelet", "aluminium": "aluminum", "racquet": "racket",
    "axe": "ax", "kerb": "curb", "plough": "plow", "sulphur": "sulfur", "programme": "program", "catalogue": "catalog",
    "drier": "dryer", "barbeque": "barbecue", "ketchup": "catsup", "blond": "blonde", "hoummos": "hummus",
    "multicoloured": "multicolored", "travelling": "traveling", "woollen": "woolen", "licence": "license",
    "favourite": "favorite",
}  # fmt: skip
_RESPELLINGS = _SPELLINGS | {american: british for british, american in _SPELLINGS.items()}


def normalize(phrase: str) -> str:
    """Lower case, one space between words, hyphens and underscores taken for spaces."""
    return " ".join(re.sub(r"[-_\s]+", " ", phrase.lower()).split())


def singulars(phrase: str) -> Iterator[str]:
    """What may be the singular of `phrase`, by its last word, likeliest first; some are no words at all."""
    start, _, last = phrase.rpartition(" ")
    lead = f"{start} " if start else ""
    if last in _IRREGULAR:
        yield lead + _IRREGULAR[last]
    elif last.endswith("men"):
        yield lead + last[:-3] + "man"
    elif last.endswith("s") and not last.endswith(("ss", "us", "is")) and len(last) > 3:
        if last.endswith("ies"):
            yield lead + last[:-3] + "y"
        yield lead + last[:-1]
        if last.endswith(("ches", "shes", "xes", "sses", "oes", "zes")):
            yield lead + last[:-2]


def is_irregular_plural(phrase: str) -> bool:
    """Whether the last word is a plural like "people", which is no other word as well."""
    return phrase.rpartition(" ")[2] in _IRREGULAR


def respellings(phrase: str) -> Iterator[str]:
    """`phrase` in its other spelling, where it has one."""
    if phrase in _RESPELLINGS:
        yield _RESPELLINGS[phrase]
    words = phrase.split()
    respelled = " ".join(_RESPELLINGS.get(word, word) for word in words)
    if len(words) > 1 and respelled != phrase:
        yield respelled


def spelling_key(phrase: str) -> str:
    """Equal for spellings of one name: "gray" and "gray", "cell phone" and "cellphone", "T-shirt" and "tshirt"."""
    words = normalize(phrase).split()
    return "".join(_SPELLINGS.get(word, word) for word in words).replace(" ", "").replace("'", "")


def gerund(verb: str) -> str:
    """The -ing form of a verb, of its first word where it has several: run -> running, sit on -> sitting on."""
    first, _, rest = verb.partition(" ")
    if first.endswith("ie"):
        form = first[:-2] + "ying"
    elif first.endswith("e") and not first.endswith(("ee", "oe", "ye")):
        form = first[:-1] + "ing"
    elif re.fullmatch(r"[^aeiou]*[aeiou][bdgklmnprt]", first):
        form = first + first[-1] + "ing"
    else:
        form = first + "ing"
    return f"{form} {rest}" if rest else form
