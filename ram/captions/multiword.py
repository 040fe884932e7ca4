"""Nouns with the words that belong to their name: "alarm clock", "chest of drawers", "apple and orange trees"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from ram.captions import lexicon
from ram.captions.tree import Word


class Names:
    """The names of several words in a caption: `units` (token that ends one, or heads it -> its tokens) and compounds."""

    def __init__(self, words: Sequence[Word]) -> None:
        self.words = words
        self.units: dict[int, range] = {}
        self.unit_names: dict[int, str] = {}
        self.covered: set[int] = set()  # tokens inside units
        self._find_units()
        self.parts: dict[int, list[str]] = {}  # head of a compound -> the names before it
        self.inside: set[int] = set()  # tokens that belong to the compound of a later head
        self.sharing: dict[int, str] = {}  # head of "apple and orange trees" -> "apple"
        for word in words:
            self._find_shared(word)
        for word in reversed(words):
            if word.i not in self.inside and (word.i in self.units or (word.is_noun() and word.i not in self.covered)):
                self.parts.setdefault(word.i, self._parts_before(word))

    def _find_units(self) -> None:
        for word in reversed(self.words):  # from the end: the longest name that ends here
            if word.i in self.covered or word.tag in ("VBG", "VBD", "VBN"):
                continue
            for length, names in _units_that_end(word):
                start = word.i - length + 1
                if start < 0 or (name := _name_at(self.words[start : word.i + 1])) not in names:
                    continue
                if self._is_deed(start):
                    continue
                self.covered.update(range(start, word.i + 1))
                head = start if " of " in name else word.i  # "chest of drawers" is headed by its first word
                self.units[head] = range(start, word.i + 1)
                self.unit_names[head] = name
                break

    def _is_deed(self, start: int) -> bool:
        """ "drinking water" in "an elephant drinking water"."""
        return start > 0 and self.words[start].lower.endswith("ing") and is_being(self.words[start - 1])

    def _parts_before(self, head: Word) -> list[str]:
        parts: list[str] = []
        if head.lower in lexicon.ACTIVITY_NOUNS and head.i not in self.units:  # "a zebra standing": an act, no compound
            return parts
        index = self.units[head.i].start - 1 if head.i in self.units else head.i - 1
        while index >= 0:
            word = self.words[index]
            if word.dep not in ("compound", "nmod") or not word.is_noun() or is_color(word) or word.head.i < index:
                break
            if index in self.covered and index not in self.units:
                break
            if word.dep == "nmod" and index + 1 != head.i:
                break
            parts.insert(0, self.unit_names.get(index, word.lower))
            self.inside.add(index)
            index = self.units[index].start - 1 if index in self.units else index - 1
        if (
            (parts or head.i in self.units)
            and head.lemma in lexicon.SIGN_NOUNS
            and index >= 0
            and self.words[index].lower == "no"
        ):
            parts.insert(0, "no")  # "a no parking sign"
        return parts

    def _find_shared(self, head: Word) -> None:
        """Two nouns joined before a head, "apple and orange trees"; two colors are attributes."""
        if not head.is_noun() or head.i < 3 or head.i in self.covered:
            return
        second = self.words[head.i - 1]
        first = second.head
        if second.dep != "conj" or not second.is_noun() or first.head is not head or not first.is_noun():
            return
        if first.dep not in ("compound", "nmod") or first.child("det") or {first.lower, second.lower} <= lexicon.COLORS:
            return
        if self.covered.isdisjoint((first.i, second.i)):
            self.sharing[head.i] = first.lower
            self.parts[head.i] = [second.lower]
            self.inside.update((first.i, second.i))

    def of(self, head: Word) -> Iterator[str]:
        """The names that a noun stands for: one, or two for "apple and orange trees"."""
        last = self.unit_names.get(head.i) or noun_lemma(head)
        if head.i in self.sharing:
            yield f"{self.sharing[head.i]} {last}"
        yield " ".join([*self.parts.get(head.i, ()), last])


def is_being(word: Word) -> bool:
    """Whether a word names someone or an animal that acts."""
    lemma = lexicon.LEMMAS.get(word.lower, word.lemma)
    return word.is_noun() and (lemma in lexicon.BEINGS or lemma.endswith(lexicon.BEING_ENDINGS))


def _units_that_end(word: Word) -> tuple[tuple[int, frozenset[str]], ...]:
    """The units that end in a word or its singular, longest first, as (number of words, names)."""
    index = _index_of_units()
    lemma = noun_lemma(word)
    return index.get(word.lower, ()) + (index.get(lemma, ()) if lemma != word.lower else ())


@lru_cache(maxsize=1)
def _index_of_units() -> dict[str, tuple[tuple[int, frozenset[str]], ...]]:
    by_last: dict[str, dict[int, set[str]]] = {}
    for name in lexicon.units():
        parts = name.split()
        by_last.setdefault(parts[-1], {}).setdefault(len(parts), set()).add(name)
    return {
        last: tuple((length, frozenset(names)) for length, names in sorted(lengths.items(), reverse=True))
        for last, lengths in by_last.items()
    }


def _name_at(span: Sequence[Word]) -> str:
    """The words of a possible unit as they stand where that is one, or else with the head noun in the singular."""
    texts = [word.lower for word in span]
    whole = " ".join(texts)
    if whole in lexicon.units():
        return whole
    head = texts.index("of") - 1 if "of" in texts[1:] else len(texts) - 1
    texts[head] = noun_lemma(span[head])
    return " ".join(texts)


def noun_lemma(word: Word) -> str:
    """Singular of a noun; plurals that are words of their own ("jeans", worn "glasses") stay."""
    lower = word.lower
    if lower == "glasses" and _are_for_drinking(word):
        return "glass"
    if lower in lexicon.PLURAL_NOUNS:
        return lower
    return lexicon.LEMMAS.get(lower) or word.lemma


def _are_for_drinking(word: Word) -> bool:
    if word.child("prep", "of"):
        return True
    return any(c.dep in ("compound", "nummod", "amod") and c.lower in lexicon.DRINKS for c in word.children)


def is_color(word: Word) -> bool:
    """A color word used of something, "orange shirt" or "dressed in orange"; "an orange" and "oranges" are fruit."""
    if word.lower in lexicon.MATERIAL_COLORS:
        return word.dep == "compound" and word.head.i > word.i
    if word.lower not in lexicon.COLORS:
        return False
    if word.dep in ("compound", "amod") or any(c.lower in lexicon.SHADES and c.i == word.i - 1 for c in word.children):
        return True
    return word.dep in ("pobj", "dobj", "conj", "acomp", "oprd", "attr") and not any(
        child.dep in ("det", "nummod", "amod") for child in word.children
    )
