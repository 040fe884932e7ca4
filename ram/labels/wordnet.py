"""What the label system asks of WordNet 3.1: the sense a word mostly has, its synonyms in it, what it is a kind of."""

from __future__ import annotations

import gzip
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

WORDNET_PATH = Path(__file__).with_name("wordnet.tsv.gz")  # made by distil_wordnet.py
POS = ("noun", "verb", "adj")

# Captions of photos do not use these words as WordNet's tagged texts of 1993 do: lemma -> rank of the sense meant.
_SENSE_IN_PHOTOS = {"plant": 2, "bike": 2, "glass": 2, "ball": 1, "court": 4, "male": 2, "female": 2, "adult": 1}
_MIN_SEEN = 4  # occurrences in tagged texts that say which senses of a word are in use
_FEW_SENSES = 3


class Sense(NamedTuple):
    """One sense of a lemma: the synset's number, and how often WordNet's tagged texts use the lemma so."""

    synset: int
    num_seen: int


class WordNet:
    """The distilled table, by lemma and by synset number."""

    def __init__(self, lines: list[str]) -> None:
        self._files: list[str] = []
        self._hypernyms: list[tuple[int, ...]] = []
        ranked: dict[tuple[str, str], list[tuple[int, Sense]]] = defaultdict(list)
        for number, line in enumerate(lines):
            file, hypernyms, lemmas = line.split("\t")
            self._files.append(file)
            self._hypernyms.append(tuple(map(int, hypernyms.split(","))) if hypernyms else ())
            for entry in filter(None, lemmas.split(",")):
                lemma, rank, count = entry.split("/")
                ranked[lemma, file.split(".")[0]].append((int(rank), Sense(number, int(count))))
        self._senses = {key: dict(sorted(senses)) for key, senses in ranked.items()}
        self._lemmas: dict[int, list[str]] = defaultdict(list)
        for (lemma, _), by_rank in self._senses.items():
            for sense in by_rank.values():
                self._lemmas[sense.synset].append(lemma)

    def knows(self, lemma: str, pos: str | None = None) -> bool:
        """Whether `lemma` is a noun, verb or adjective of the table; of one `pos` alone where that is given."""
        return any((lemma, p) in self._senses for p in ([pos] if pos else POS))

    def dominant(self, lemma: str, pos: str = "noun", min_share: float = 0.6, min_count: int = _MIN_SEEN) -> int | None:
        """The synset that `lemma` mostly means, or None where it is unknown or no sense prevails.

        A sense prevails if it is the only one, or if the tagged texts have it at least `min_count` times and in at
        least `min_share` of the lemma's occurrences.
        """
        senses = self._senses.get((lemma, pos), {})
        if pos == "noun" and (rank := _SENSE_IN_PHOTOS.get(lemma)) in senses:
            return senses[rank].synset
        return self.prevailing(list(senses.values()), min_share, min_count)

    @staticmethod
    def prevailing(senses: Sequence[Sense], min_share: float, min_count: int) -> int | None:
        """The one of `senses` that is meant: the only one, or one seen that often and in that share of the cases."""
        if len(senses) < 2:
            return senses[0].synset if senses else None
        best = max(senses, key=lambda sense: sense.num_seen)
        total = sum(sense.num_seen for sense in senses)
        return best.synset if best.num_seen >= min_count and best.num_seen >= min_share * total else None

    def seen(self, lemma: str, pos: str = "noun") -> list[Sense]:
        """The senses of `lemma` with how often the tagged texts have them, most frequent first."""
        return list(self._senses.get((lemma, pos), {}).values())

    def _sort(self, synset: int) -> str:
        return self._files[synset].split(".")[1]

    def is_disputed(self, lemma: str) -> bool:
        """Whether what uses the word disagrees on its sense, as vocabularies may (`WordNetInContext`)."""
        return False

    def senses(self, lemma: str, pos: str = "noun") -> list[int]:
        """The synsets of `lemma`, most frequent first."""
        return [sense.synset for sense in self._senses.get((lemma, pos), {}).values()]

    def lemmas(self, synset: int) -> list[str]:
        """The words of a synset."""
        return list(self._lemmas[synset])

    def file(self, synset: int) -> str:
        """The lexicographer file, which says what sort of thing it is: "noun.animal", "verb.motion" …"""
        return self._files[synset]

    def ancestors(self, synset: int) -> Iterator[int]:
        """The hypernyms of `synset`, nearest first, each once."""
        seen = {synset}
        todo = deque([synset])
        while todo:
            for hypernym in self._hypernyms[todo.popleft()]:
                if hypernym not in seen:
                    seen.add(hypernym)
                    todo.append(hypernym)
                    yield hypernym

    def kinds_of(self, lemma: str) -> list[int]:
        """Hypernyms of a noun, nearest first: of the prevailing sense, or else those that all used senses share."""
        if (dominant := self.dominant(lemma)) is not None:
            return list(self.ancestors(dominant))
        lines = [list(self.ancestors(sense.synset)) for sense in self._in_use(lemma)]
        return [synset for synset in lines[0] if all(synset in line for line in lines)] if lines else []

    def _in_use(self, lemma: str) -> list[Sense]:
        """The senses that the tagged texts have; all of them, where the texts have too few to say so.

        A word of few senses, all of them things, needs less: a scarf is worn, though joiners know another.
        """
        senses = self.seen(lemma)
        used = [sense for sense in senses if sense.num_seen]
        enough = sum(sense.num_seen for sense in used) >= _MIN_SEEN
        clear = len(senses) <= _FEW_SENSES and not any(self._sort(s.synset) in ("act", "event") for s in senses)
        return used if used and (enough or clear) else senses


@lru_cache(maxsize=1)
def load_wordnet() -> WordNet:
    """The table that comes with the project; read once a process."""
    return WordNet(gzip.decompress(WORDNET_PATH.read_bytes()).decode("ascii").splitlines())
