"""Which sense a noun has here: the one that the vocabularies in use mean, else the one that is usual.

WordNet's counts come from written texts, where a mouse is an animal and a book is what it says. A vocabulary knows
better what its entries are, in three ways: it says so (`mouse [artifact]`), it names an alternative that shares one
sense with the entry alone (`glass/drinking glass`), or nearly all it lists is of one sort (a list of animals). Where
two vocabularies, or a vocabulary and the counts, mean different things, the word has no prevailing sense: nothing is
merged with it, and it is a kind of nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ram.labels.forms import normalize, spelling_key
from ram.labels.vocabulary import Vocabulary
from ram.labels.wordnet import Sense, WordNet

THINGS = ("animal", "artifact", "body", "food", "object", "person", "plant", "substance")
_DOMAINS = ("animal", "body", "food", "person", "plant")  # that a list may be of; artifacts are of too many sorts
# What a word means when it is no thing at all. Acts are not here: games and sports are acts, and seen.
_ABSTRACT = {
    "attribute", "cognition", "communication", "feeling", "group", "motive", "possession", "quantity", "relation",
    "state", "time",
}  # fmt: skip
_DOMAIN_SHARE = 0.8  # of a vocabulary's entries that can be of one sort, to call it a list of that sort
_MIN_DOMAIN = 5


class WordNetInContext(WordNet):
    """WordNet with the senses of nouns that the vocabularies mean; everything else is as it is."""

    def __init__(self, wordnet: WordNet, vocabularies: Mapping[str, Vocabulary]) -> None:
        self.__dict__.update(wordnet.__dict__)  # the tables are shared
        self._chosen: dict[str, int | None] = {}
        nouns = [vocabulary for vocabulary in vocabularies.values() if vocabulary.kind == "noun"]
        self._listed = {name for vocabulary in nouns for entry in vocabulary.entries for name in map(normalize, entry)}
        self._chosen = _chosen_senses(wordnet, nouns, self._listed)

    def dominant(self, lemma: str, pos: str = "noun", min_share: float = 0.6, min_count: int = 4) -> int | None:
        """As of `WordNet`; of a noun, the sense that the vocabularies mean, and rather a thing than an idea of one."""
        if pos == "noun" and lemma in self._chosen:
            return self._chosen[lemma]
        found = super().dominant(lemma, pos, min_share, min_count)
        if found is None or pos != "noun" or lemma not in self._listed or self._sort(found) not in _ABSTRACT:
            return found
        things = [s for s in self.seen(lemma) if self._sort(s.synset) in THINGS and s.num_seen]
        enough = sum(sense.num_seen for sense in things) >= min_count
        return (self.prevailing(things, min_share, min_count) if enough else None) or found

    def is_disputed(self, lemma: str) -> bool:
        return self._chosen.get(lemma, 0) is None

    def _in_use(self, lemma: str) -> list[Sense]:
        return self.seen(lemma) if lemma in self._chosen else super()._in_use(lemma)


def _chosen_senses(wordnet: WordNet, nouns: list[Vocabulary], listed: set[str]) -> dict[str, int | None]:
    """Lemma -> the sense that the vocabularies mean, None where they or the counts disagree."""
    meant: dict[str, set[int]] = defaultdict(set)
    for vocabulary in nouns:
        for lemma, synset in _meant_by(vocabulary, wordnet):
            meant[lemma].add(synset)
    compounds = defaultdict(list)
    for name in listed:
        if " " in name:
            compounds[name.rsplit(" ", 1)[1]].append(name)
    chosen: dict[str, int | None] = {}
    for lemma, synsets in meant.items():
        kinds = {s for name in compounds[lemma] for s in _senses_in(name, lemma, wordnet)}
        synset = next(iter(synsets))
        agreed = len({wordnet.file(s) for s in synsets}) == 1
        chosen[lemma] = (
            synset if agreed and (not kinds or synset in kinds or _same_file(kinds, synset, wordnet)) else None
        )
    return chosen


def _same_file(synsets: set[int], synset: int, wordnet: WordNet) -> bool:
    return all(wordnet.file(other) == wordnet.file(synset) for other in synsets)


def _senses_in(compound: str, lemma: str, wordnet: WordNet) -> set[int]:
    """The senses of `lemma` that its compound is a kind of: of "bat", what a baseball bat is."""
    own = set(wordnet.senses(lemma))
    return {s for sense in wordnet.senses(compound) for s in (sense, *wordnet.ancestors(sense)) if s in own}


def _meant_by(vocabulary: Vocabulary, wordnet: WordNet) -> Iterator[tuple[str, int]]:
    domain = _domain(vocabulary, wordnet)
    for entry in vocabulary.entries:
        lemma = normalize(entry[0])
        senses = wordnet.senses(lemma)
        usual = wordnet.dominant(lemma)
        if len(senses) < 2:
            continue
        if sort := vocabulary.senses.get(entry[0]):
            yield lemma, _first_of(sort, senses, wordnet)
        elif domain and any(wordnet.file(s) == f"noun.{domain}" for s in senses):
            yield lemma, _first_of(domain, senses, wordnet)
        elif shared := _shared(entry, senses, wordnet):
            yield lemma, shared[0]
            if usual is not None and usual not in shared:
                yield lemma, usual  # texts and the vocabulary disagree


def _shared(entry: Sequence[str], senses: Sequence[int], wordnet: WordNet) -> list[int]:
    """The senses of an entry that an alternative of it has too, if they are things."""
    key = spelling_key(entry[0])
    others = {s for name in entry[1:] if spelling_key(name) != key for s in wordnet.senses(normalize(name))}
    return [s for s in senses if s in others and wordnet.file(s).removeprefix("noun.") in THINGS]


def _first_of(sort: str, senses: list[int], wordnet: WordNet) -> int:
    return next(s for s in senses if wordnet.file(s) == f"noun.{sort}")


def _domain(vocabulary: Vocabulary, wordnet: WordNet) -> str | None:
    """What nearly all entries of a list can be ("animal"), where that is so."""
    known = [senses for entry in vocabulary.entries if (senses := wordnet.senses(normalize(entry[0])))]
    if len(known) < _MIN_DOMAIN:
        return None
    sorts = Counter(sort for senses in known for sort in {wordnet.file(s).removeprefix("noun.") for s in senses})
    best = max(_DOMAINS, key=lambda sort: sorts[sort])
    return best if sorts[best] >= _DOMAIN_SHARE * len(known) else None
