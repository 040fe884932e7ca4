"""Base forms where spaCy's rules choose wrongly between two words: "staring" is to stare, "vases" are no vas."""

from __future__ import annotations

import re
from collections.abc import Container

# One vowel between consonants: such a verb doubles its last letter ("starring"), unless it ends in an e ("staring").
_DOUBLING = re.compile(r"[^aeiou]*[aeiouy][^aeiouwxy]\Z")
_DOUBLE_AT_HOME = ("ll", "ss", "ff", "zz")  # "installed", but "putting" is to put, not to putt
_HISSING = ("sses", "shes", "ches", "xes", "zzes")


def verb_lemma(lower: str, tag: str, lemma: str, known: Container[str]) -> str:
    """The infinitive of an inflected verb; `lemma` is spaCy's, `known` the verbs it knows."""
    if tag == "VBZ" and lower.endswith("es") and lemma == lower[:-2] and lower[:-1] in known:
        return lower[:-1] if not lower.endswith(_HISSING) else lemma
    if tag == "VBG" and lower.endswith("ing"):
        stem = lower[:-3]
    elif tag in ("VBD", "VBN") and lower.endswith("ed"):
        stem = lower[:-2]
    else:
        return lemma
    if _DOUBLING.match(stem) and f"{stem}e" in known:
        return f"{stem}e"
    own = stem in known and stem.endswith(_DOUBLE_AT_HOME)
    return stem if own or lemma not in known else lemma


def noun_lemma(lower: str, lemma: str, known: Container[str]) -> str:
    """The singular of a plural; `lemma` is spaCy's, `known` the nouns it knows."""
    if not lower.endswith("es") or lower[:-1] not in known:
        return lemma
    if lemma == lower[:-2] + "is":  # "bases", "axes": of a lamp, for wood
        return lower[:-1]
    return lower[:-1] if lemma in (lower[:-2], lower[:-3] + "y") and not lower.endswith(_HISSING) else lemma
