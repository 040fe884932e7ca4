"""A parsed caption -> phrases: heads give objects and scenes, modifiers attributes, verbs actions (Tag2Text, 3.2).

Works on anything with spaCy's token attributes; the dependency labels are those of spaCy's English models (ClearNLP).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ram.caption_parsing import words

_PHRASE = re.compile(r"[a-z][a-z']*( [a-z][a-z']*){0,3}\Z")
_MAX_CHARS = 40
_MAX_UNIT_WORDS = 4


class Phrase(NamedTuple):
    """Words found in a caption, lower case and lemmatised, and what kind of tag they name."""

    text: str
    kind: str


def phrases_of(doc: Sequence[Any]) -> list[Phrase]:
    """The phrases of one parsed caption in the order of their words, each once."""
    reading = _Reading(doc)
    found = [phrase for token in doc for phrase in reading.phrases_at(token)]
    return list(dict.fromkeys(p for p in found if _PHRASE.match(p.text) and len(p.text) <= _MAX_CHARS))


class _Reading:
    """One caption being read: which tokens are denied, and which are taken by a name of several words."""

    def __init__(self, doc: Sequence[Any]) -> None:
        self.doc = doc
        self.denied = _denied(doc)
        self.units: dict[int, str] = {}  # token that heads a unit -> the unit
        self.covered: set[int] = set()  # tokens inside units
        self._find_units()

    def _find_units(self) -> None:
        lowered = [token.lower_ for token in self.doc]
        start = 0
        while start < len(self.doc):
            length = self._unit_length(start)
            if length:
                span = range(start, start + length)
                self.covered.update(span)
                of_first = "of" in lowered[start : start + length]  # "chest of drawers" is headed by its first word
                self.units[start if of_first else start + length - 1] = _unit_name(self.doc, start, length)
            start += length or 1

    def _unit_length(self, start: int) -> int:
        for length in range(min(_MAX_UNIT_WORDS, len(self.doc) - start), 1, -1):
            tokens = self.doc[start : start + length]
            if tokens[-1].pos_ in ("NOUN", "PROPN") and _unit_name(self.doc, start, length) in words.units():
                return length
        return 0

    def phrases_at(self, token: Any) -> Iterator[Phrase]:
        """The phrases whose head is `token`."""
        if token.i in self.denied:
            return
        if token.i in self.units:
            if not (token.dep_ == "compound" and token.head.i in self.units and token.head.i not in self.covered):
                name = " ".join([*self._compounds(token), self.units[token.i]])
                yield Phrase(name, words.noun_kind(name))
        elif token.i in self.covered:
            return
        elif token.pos_ in ("NOUN", "PROPN"):
            yield from self._noun(token)
        elif token.pos_ == "ADJ":
            yield from self._adjective(token)
        elif token.pos_ == "VERB":
            yield from self._verb(token)

    def _noun(self, token: Any) -> Iterator[Phrase]:
        lower = token.lower_
        if _is_colour(token):
            yield Phrase(lower, "attribute")
        elif _is_part_of_compound(token):
            return
        elif _is_verb_taken_for_noun(token):
            yield Phrase(token.lemma_.lower(), "action")
        elif token.lower_ in words.ACTIVITY_NOUNS:
            yield Phrase(words.ACTIVITY_NOUNS[token.lower_], "action")
        elif not _speaks_of_picture(token) and not _counts(token):
            lemma = noun_lemma(token)
            if lemma not in words.EMPTY_NOUNS:
                name = " ".join([*self._compounds(token), lemma])
                yield Phrase(name, words.noun_kind(name))

    def _compounds(self, head: Any) -> list[str]:
        """The words of the compound that ends in `head`, leaving out colours and what has gone into a unit."""
        parts: list[str] = []
        index = (min(t.i for t in self.doc if t.i in self._unit_span(head.i)) if head.i in self.units else head.i) - 1
        while index >= 0:
            token = self.doc[index]
            unit = index in self.units
            if not (token.dep_ == "compound" and token.pos_ in ("NOUN", "PROPN")) or _is_colour(token):
                break
            if index in self.covered and not unit:
                break
            parts.insert(0, self.units[index] if unit else token.lower_)
            index -= len(self._unit_span(index)) if unit else 1
        return parts

    def _unit_span(self, index: int) -> range:
        parts = self.units[index].split()
        first = index if "of" in parts else index - len(parts) + 1
        return range(first, first + len(parts))

    def _adjective(self, token: Any) -> Iterator[Phrase]:
        first = token
        while first.dep_ == "conj" and first.head.pos_ == "ADJ":
            first = first.head
        if first.head.pos_ in ("NOUN", "PROPN") and _speaks_of_picture(first.head):
            return
        lemma = token.lemma_.lower() if token.tag_ in ("JJR", "JJS") else token.lower_
        if lemma not in words.EMPTY_ADJECTIVES:
            yield Phrase(lemma, "attribute")

    def _verb(self, token: Any) -> Iterator[Phrase]:
        if token.dep_ in ("aux", "auxpass", "case", "prep", "agent"):
            return
        lemma = verb_lemma(token)
        if token.dep_ == "amod" and token.tag_ == "VBN":
            if token.lower_ not in words.EMPTY_ADJECTIVES:
                yield Phrase(token.lower_, "attribute")
        elif lemma not in words.LIGHT_VERBS | words.LACKING_VERBS:
            particle = next((c.lower_ for c in token.children if c.dep_ == "prt"), None)
            yield Phrase(f"{lemma} {particle}" if particle else lemma, "action")


def noun_lemma(token: Any) -> str:
    """Singular of a noun; plurals that are words of their own ("jeans", worn "glasses") stay."""
    lower = token.lower_
    if lower == "glasses" and _are_for_drinking(token):
        return "glass"
    if lower in words.PLURAL_NOUNS:
        return lower
    return words.LEMMAS.get(lower, token.lemma_.lower())


def verb_lemma(token: Any) -> str:
    """Infinitive of a verb."""
    lemma = token.lemma_.lower()
    return words.VERB_LEMMAS.get(lemma, lemma)


def _unit_name(doc: Sequence[Any], start: int, length: int) -> str:
    """The words of a possible unit with its head noun in the singular, or as it stands where only that is a unit."""
    tokens = list(doc[start : start + length])
    texts = [token.lower_ for token in tokens]
    whole = " ".join(texts)
    if whole in words.units():
        return whole
    head = texts.index("of") - 1 if "of" in texts[1:] else length - 1
    texts[head] = noun_lemma(tokens[head]) if tokens[head].pos_ in ("NOUN", "PROPN") else tokens[head].lemma_.lower()
    return " ".join(texts)


def _is_part_of_compound(token: Any) -> bool:
    head = token.head
    named = head.pos_ in ("NOUN", "PROPN") and head.lower_ not in words.ACTIVITY_NOUNS
    named = named and not _is_verb_taken_for_noun(head)
    return token.dep_ == "compound" and named and head.i > token.i


def _is_verb_taken_for_noun(token: Any) -> bool:
    """The second word of "dog runs" where the tagger made one name of them."""
    if token.pos_ != "NOUN" or token.lemma_.lower() not in words.ACTS:
        return False
    return any(c.dep_ == "compound" and c.i == token.i - 1 and c.lower_ in words.BEINGS for c in token.children)


def _is_colour(token: Any) -> bool:
    """A colour word used of something, "orange shirt" or "dressed in orange"; "an orange" and "oranges" are fruit."""
    if token.lower_ not in words.COLOURS:
        return False
    if token.dep_ in ("compound", "amod"):
        return True
    return token.dep_ in ("pobj", "dobj", "conj", "acomp", "oprd", "attr") and not any(
        child.dep_ in ("det", "nummod", "amod") for child in token.children
    )


def _has_of(token: Any) -> bool:
    return any(child.dep_ == "prep" and child.lower_ in ("of", "with", "showing") for child in token.children)


def _speaks_of_picture(token: Any) -> bool:
    lemma = token.lemma_.lower()
    if lemma in words.PICTURE_NOUNS:
        return _has_of(token) or token.dep_ == "ROOT" or _shows(token.head)
    return lemma in words.ARTWORK_NOUNS and token.i <= 5 and (_has_of(token) or _shows(token.head))


def _shows(verb: Any) -> bool:
    return verb.pos_ == "VERB" and verb.lemma_.lower() in ("show", "depict", "feature", "display", "contain")


def _counts(token: Any) -> bool:
    is_quantity = token.lemma_.lower() in words.QUANTITY_NOUNS
    return is_quantity and any(child.dep_ == "prep" and child.lower_ == "of" for child in token.children)


def _are_for_drinking(token: Any) -> bool:
    if any(child.dep_ == "prep" and child.lower_ == "of" for child in token.children):
        return True
    return any(child.dep_ in ("compound", "nummod", "amod") and child.lower_ in _DRINKS for child in token.children)


_DRINKS = words.word_set("wine beer water champagne shot drinking empty cocktail two three four")


def _denied(doc: Sequence[Any]) -> set[int]:
    """Indices of the tokens that the caption says are not there."""
    denied: set[int] = set()
    for token in doc:
        lower = token.lower_
        if token.dep_ == "neg" and token.head.pos_ in ("VERB", "AUX"):
            denied |= _predicate(token.head)
        elif token.dep_ in ("det", "neg") and lower in words.NEGATIVE_DETERMINERS:
            denied |= _noun_and_modifiers(token.head)
        elif token.dep_ in ("prep", "mark") and lower in words.LACKING_PREPOSITIONS:
            denied |= {t.i for t in token.subtree}
        elif token.pos_ == "VERB" and token.lemma_.lower() in words.LACKING_VERBS:
            denied |= {t.i for c in token.children if c.dep_ == "dobj" for t in c.subtree}
    return denied


def _noun_and_modifiers(noun: Any) -> set[int]:
    parts = [child for child in noun.children if child.dep_ in ("amod", "compound", "conj")]
    return {noun.i, *(t.i for part in parts for t in part.subtree)}


def _predicate(verb: Any) -> set[int]:
    """A verb and what it says, without its subject and without sentences that merely follow it."""
    inside = {verb.i}
    for child in verb.children:
        if child.dep_ in ("dobj", "prt", "acomp", "attr", "xcomp", "oprd", "advmod", "prep"):
            inside |= {t.i for t in child.subtree} if child.dep_ != "prep" or verb.pos_ == "VERB" else set()
    return inside
