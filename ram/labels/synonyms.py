"""Which phrases are one tag: spelling variants, everyday synonyms, alternatives of the vocabularies, WordNet's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from ram.labels.forms import is_irregular_plural, normalize, singulars, spelling_key
from ram.labels.vocabulary import Vocabulary
from ram.labels.wordnet import WordNet

READINGS = ("noun", "attribute", "action")
POS = {"noun": "noun", "attribute": "adj", "action": "verb"}
# Adjectives and verbs have senses so close together that only a clear one is trusted.
_MIN_SHARE = {"noun": 0.6, "attribute": 0.8, "action": 0.9}


def everyday_synonyms() -> dict[str, list[tuple[str, ...]]]:
    """Our own table: reading -> groups of names."""
    return {reading: [names for own, names in _everyday_lines() if own == reading] for reading in READINGS}


def kept_apart() -> list[set[str]]:
    """Names that WordNet takes for one thing and captions do not."""
    return [set(names) for reading, names in _everyday_lines() if reading == "apart"]


@lru_cache(maxsize=1)
def _everyday_lines() -> list[tuple[str, tuple[str, ...]]]:
    lines = Path(__file__).with_name("everyday_synonyms.txt").read_text(encoding="utf-8").splitlines()
    split = [line.split(": ") for line in lines if not line.startswith("#")]
    return [(reading, tuple(normalize(name) for name in names.split("/"))) for reading, names in split]


class Synonyms:
    """Decides which names of one reading (noun, attribute or action) mean the same."""

    def __init__(self, reading: str, vocabularies: Mapping[str, Vocabulary], wordnet: WordNet) -> None:
        self.reading = reading
        self.wordnet = wordnet
        kinds = {"noun": ("noun",), "action": ("action",), "attribute": ()}[reading]
        mine = [v for v in vocabularies.values() if v.kind in kinds]
        self._entries = [tuple(map(normalize, entry)) for v in mine for entry in v.entries]
        self._listed = {normalize(name) for v in vocabularies.values() for entry in v.entries for name in entry}
        # Two entries of one vocabulary are two things, whatever WordNet says: a cup is no mug where both are labeled.
        self._primary = [{normalize(entry[0]): i for i, entry in enumerate(v.entries)} for v in mine]

    def groups(self, phrases: Collection[str]) -> list[list[str]]:
        """`phrases` parted into groups of one meaning each."""
        present = set(phrases)
        parent = {phrase: phrase for phrase in phrases}
        members = {phrase: [phrase] for phrase in phrases}

        def root(phrase: str) -> str:
            while parent[phrase] != phrase:
                phrase = parent[phrase]
            return phrase

        for one, other, certain in self._links(phrases):
            if one not in present or other not in present:
                continue
            first, second = root(one), root(other)
            if first != second and (certain or not self._apart(members[first], members[second])):
                parent[second] = first
                members[first] += members.pop(second)
        return list(members.values())

    def others(self, group: Collection[str]) -> list[str]:
        """Names that mean the same as a group but stand in no caption: so that `find` knows them."""
        found: list[str] = []
        for names in everyday_synonyms()[self.reading]:
            if any(name in group for name in names):
                found += names
        for entry in self._entries:
            if entry[0] in group:
                found += [name for name in entry[1:] if self._agree(entry[0], name)]
        for phrase in group:
            if (synset := self._dominant(phrase)) is not None:
                found += self._lemmas(phrase, synset)
        return [n for n in dict.fromkeys(found) if n not in group and not self._apart(group, [n])]

    def _lemmas(self, phrase: str, synset: int) -> list[str]:
        """The words of a phrase's sense that people use in it; none where WordNet means a sense that captions do not.

        Used is what a text has or a vocabulary lists: nobody calls a mouth an oral cavity, or a cigarette a coffin nail.
        """
        lemmas = [lemma for lemma in self.wordnet.lemmas(synset) if self._dominant(lemma) == synset]
        if any(phrase in names and names & {*lemmas} - {phrase} for names in kept_apart()):
            return []
        return [
            lemma for lemma in lemmas if self._is_used(lemma, synset) or spelling_key(lemma) == spelling_key(phrase)
        ]

    def _is_used(self, lemma: str, synset: int) -> bool:
        seen = self.wordnet.seen(lemma, POS[self.reading])
        return lemma in self._listed or any(sense.synset == synset and sense.num_seen for sense in seen)

    def _links(self, phrases: Iterable[str]) -> Iterator[tuple[str, str, bool]]:
        """Pairs of names that mean the same, surest first, and whether nothing may keep them apart."""
        for names in everyday_synonyms()[self.reading]:
            for i, name in enumerate(names):
                yield from ((earlier, name, True) for earlier in names[:i])
        by_key: dict[str, str] = {}
        by_synset: dict[int, list[str]] = defaultdict(list)
        for phrase in phrases:
            yield by_key.setdefault(spelling_key(phrase), phrase), phrase, True
            for singular in singulars(phrase):
                # "sneakers" and "sneaker", but not a plural that is a word of its own ("glasses", "shorts")
                if is_irregular_plural(phrase) or not self.wordnet.knows(phrase):
                    yield singular, phrase, True
            if (synset := self._dominant(phrase)) is not None:
                by_synset[synset].append(phrase)
        for entry in self._entries:
            yield from ((entry[0], name, False) for name in entry[1:] if self._agree(entry[0], name))
        for same in by_synset.values():
            yield from ((same[0], name, False) for name in same[1:])

    def _dominant(self, phrase: str) -> int | None:
        return self.wordnet.dominant(phrase, POS[self.reading], min_share=_MIN_SHARE[self.reading])

    def _agree(self, name: str, alternative: str) -> bool:
        """Whether a vocabulary's alternative means the name in common speech too ("rubber" for "arctic" does not)."""
        senses = self.wordnet.senses(alternative, POS[self.reading])
        if not senses:
            return " " in alternative or not self.wordnet.knows(alternative)
        dominant = self._dominant(alternative)
        if self.reading == "noun" and self.wordnet.is_disputed(name):
            return False
        if self._dominant(name) not in (None, dominant):
            return False  # a mouse is first an animal, a computer mouse never
        own = self.wordnet.senses(name, POS[self.reading])
        return dominant is not None and (dominant in own or (not own and len(senses) == 1))

    def _apart(self, some: Collection[str], others: Collection[str]) -> bool:
        if any(len(names & {*some, *others}) > 1 and names & {*some} and names & {*others} for names in kept_apart()):
            return True
        for entries in self._primary:
            a, b = ({entries[p] for p in phrases if p in entries} for phrases in (some, others))
            if a and b and a != b:
                return True
        return False
