"""A parsed caption -> phrases: heads give objects and scenes, modifiers attributes, verbs actions (Tag2Text, 3.2).

The dependency labels are those of spaCy's English models (ClearNLP).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ram.captions import lexicon
from ram.captions.meta_language import about_image
from ram.captions.multiword import Names, is_color
from ram.captions.negation import left_out
from ram.captions.pos_correction import repair
from ram.captions.tree import Word

_PHRASE = re.compile(r"(?=.{1,40}\Z)[a-z][a-z']*( [a-z][a-z']*){0,3}\Z")
_NOUN_PHRASE = ("DET", "NOUN", "PROPN", "ADJ", "NUM", "PRON")


class Phrase(NamedTuple):
    """Words found in a caption, lower case and lemmatised, and what kind of tag they name."""

    text: str
    kind: str


def is_phrase(text: str) -> bool:
    """Whether a text may be a phrase: four words of letters at most, 40 characters at most."""
    return _PHRASE.match(text) is not None


def phrases_of(words: Sequence[Word]) -> list[Phrase]:
    """The phrases of one parsed caption in the order of their words, each once. Mends the tags of the words in place."""
    repair(words)
    reading = _Caption(words)
    found = [phrase for word in words for phrase in reading.phrases_at(word)]
    return list(dict.fromkeys(p for p in found if is_phrase(p.text)))


class _Caption:
    """One caption being read: which of its words say nothing of what is there, and which make up longer names."""

    def __init__(self, words: Sequence[Word]) -> None:
        self.words = words
        self.silent = left_out(words) | about_image(words)
        self.names = Names(words)

    def phrases_at(self, word: Word) -> Iterator[Phrase]:
        """The phrases whose head is `word`."""
        if word.i in self.silent or word.i in self.names.inside:
            return
        if word.i in self.names.units:
            yield from self._named(word)
        elif word.i in self.names.covered:
            return
        elif word.is_noun():
            yield from self._noun(word)
        elif word.pos == "ADJ":
            yield from self._adjective(word)
        elif word.pos == "VERB":
            yield from self._verb(word)

    def _named(self, word: Word) -> Iterator[Phrase]:
        for name in self.names.of(word):
            yield Phrase(name, lexicon.noun_kind(name))

    def _noun(self, word: Word) -> Iterator[Phrase]:
        if is_color(word):
            yield Phrase(word.lower, "attribute")
        elif word.lower in lexicon.ACTIVITY_NOUNS:
            yield Phrase(lexicon.ACTIVITY_NOUNS[word.lower], "action")
        elif not _counts(word) and word.lemma not in lexicon.EMPTY_NOUNS:
            yield from self._named(word)

    def _adjective(self, word: Word) -> Iterator[Phrase]:
        behind = self.words[word.i + 1] if word.i + 1 < len(self.words) else None
        if word.lower in lexicon.EMPTY_ADJECTIVES or (behind and _describes_next(word, behind)):
            return
        if word.verb in lexicon.ACTS and word.lower.endswith("ing"):
            yield Phrase(word.verb, "action")
            return
        before = self.words[word.i - 1] if word.i else None
        text = word.lemma if word.tag in ("JJR", "JJS") else word.lower
        if before and text in lexicon.PART_ADJECTIVES and _describes_next(before, word):
            text = f"{before.lower} {text}"
        yield Phrase(text, "attribute")

    def _verb(self, word: Word) -> Iterator[Phrase]:
        if word.dep in ("aux", "auxpass", "case", "prep", "agent"):
            return
        lemma = lexicon.VERB_LEMMAS.get(word.lemma, word.lemma)
        particle = self._particle(word)
        if word.dep == "amod" and (word.tag == "VBN" or word.lower in lexicon.ING_ADJECTIVES):
            if lemma not in lexicon.LIGHT_VERBS:  # "a covered field"
                yield from self._adjective(word)
        elif particle and (lemma not in lexicon.LIGHT_VERBS or f"{lemma} {particle}" in lexicon.LIGHT_PHRASES):
            yield Phrase(f"{lemma} {particle}", "action")
        elif lemma not in lexicon.LIGHT_VERBS and not (lemma in lexicon.SENSE_VERBS and _says_how(word)):
            yield Phrase(lemma, "action")

    def _particle(self, verb: Word) -> str | None:
        """The particle of a verb; "down" in "walks down the street" is none, whatever the parser says."""
        particle = verb.child("prt")
        if particle is None:
            return None
        behind = self.words[particle.i + 1] if particle.i + 1 < len(self.words) else None
        is_path = particle.lower in lexicon.PATHS and behind is not None and behind.pos in _NOUN_PHRASE
        return None if is_path and verb.lemma in lexicon.MOTION_VERBS else particle.lower


def _describes_next(word: Word, behind: Word) -> bool:
    """ "light" in "light blue", which goes with it, and "long" in "long haired", which is one word with it."""
    if word.pos not in ("ADJ", "NOUN", "NUM"):
        return False
    if behind.lower in lexicon.COLORS:
        return word.lower in lexicon.SHADES
    return behind.lower in lexicon.PART_ADJECTIVES


def _says_how(verb: Word) -> bool:
    """ "looks hot", "looks like a rabbit"."""
    return verb.child("acomp") is not None or verb.child("oprd") is not None or verb.child("prep", "like") is not None


def _counts(word: Word) -> bool:
    return word.lemma in lexicon.QUANTITY_NOUNS and word.child("prep", "of") is not None
