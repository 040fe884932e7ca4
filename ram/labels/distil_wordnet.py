"""Makes `wordnet.tsv.gz`: the part of WordNet 3.1 that the label system needs, small enough to keep in git.

    python -m ram.labels.distil_wordnet <folder of WordNet's data.* and index.sense> data/vocabularies

Kept are the nouns, verbs and adjectives that are words of daily English (package wordfreq) or stand in a vocabulary,
and every hypernym of a kept noun. A line is a synset, its number being its line: lexicographer file, numbers of its
hypernyms, and its lemmas as `lemma/rank of the sense/times seen in WordNet's tagged texts`.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ram.labels.vocabulary import read_vocabularies
from ram.labels.wordnet import WORDNET_PATH

MIN_ZIPF = 2.6  # of a single word: about the 50,000 most frequent
MIN_ZIPF_OF_PARTS = 3.4  # of every word of a longer lemma
_POS = {"noun": "n", "verb": "v", "adj": "a"}
_VISIBLE = {"animal", "artifact", "body", "food", "object", "person", "plant", "act", "phenomenon", "location"}
_FILES = {  # lexicographer file numbers of WordNet, lexnames(5WN)
    0: "adj.all", 1: "adj.pert", 3: "noun.tops", 4: "noun.act", 5: "noun.animal", 6: "noun.artifact",
    7: "noun.attribute", 8: "noun.body", 9: "noun.cognition", 10: "noun.communication", 11: "noun.event",
    12: "noun.feeling", 13: "noun.food", 14: "noun.group", 15: "noun.location", 16: "noun.motive", 17: "noun.object",
    18: "noun.person", 19: "noun.phenomenon", 20: "noun.plant", 21: "noun.possession", 22: "noun.process",
    23: "noun.quantity", 24: "noun.relation", 25: "noun.shape", 26: "noun.state", 27: "noun.substance", 28: "noun.time",
    29: "verb.body", 30: "verb.change", 31: "verb.cognition", 32: "verb.communication", 33: "verb.competition",
    34: "verb.consumption", 35: "verb.contact", 36: "verb.creation", 37: "verb.emotion", 38: "verb.motion",
    39: "verb.perception", 40: "verb.possession", 41: "verb.social", 42: "verb.stative", 43: "verb.weather",
    44: "adj.ppl",
}  # fmt: skip


class Synset(NamedTuple):
    key: str  # pos letter and offset
    file: str
    hypernyms: tuple[str, ...]
    lemmas: tuple[str, ...]


def read_synsets(directory: Path) -> Iterator[Synset]:
    """The synsets of data.noun, data.verb and data.adj; format: wndb(5WN)."""
    for pos, letter in _POS.items():
        for line in (directory / f"data.{pos}").read_text(encoding="ascii").splitlines():
            if line.startswith("  "):
                continue
            fields = line.split(" | ")[0].split()
            num_words = int(fields[3], 16)
            words = fields[4 : 4 + 2 * num_words : 2]
            pointers = fields[5 + 2 * num_words :]
            hypernyms = tuple(
                pointers[i + 2] + pointers[i + 1] for i in range(0, len(pointers) - 3, 4) if pointers[i] in ("@", "@i")
            )
            lemmas = tuple(word.split("(")[0].replace("_", " ").replace("-", " ") for word in words)
            yield Synset(f"{letter}{fields[0]}", _FILES[int(fields[1])], hypernyms, lemmas)


def read_senses(directory: Path) -> dict[tuple[str, str], tuple[int, int]]:
    """(lemma, synset key) -> (rank of the sense, times seen), of index.sense; format: senseidx(5WN)."""
    letters = {"1": "n", "2": "v", "3": "a", "5": "a"}
    senses = {}
    for line in (directory / "index.sense").read_text(encoding="ascii").splitlines():
        key, offset, rank, count = line.split()
        lemma, _, rest = key.partition("%")
        if rest[0] in letters:
            spaced = lemma.replace("_", " ").replace("-", " ")
            senses[spaced, letters[rest[0]] + offset] = (int(rank), int(count))
    return senses


def distil(directory: Path, vocabulary_words: set[str]) -> list[str]:
    """The lines of the distilled file, in WordNet's order."""
    from wordfreq import zipf_frequency

    def wanted(lemma: str, synset: Synset) -> bool:
        if lemma.lower() in vocabulary_words:
            return True
        if lemma != lemma.lower() or not lemma.replace(" ", "").isalpha():
            return False
        if " " not in lemma:
            return zipf_frequency(lemma, "en") >= MIN_ZIPF
        visible = synset.file.startswith("noun.") and synset.file.removeprefix("noun.") in _VISIBLE
        return visible and all(zipf_frequency(word, "en") >= MIN_ZIPF_OF_PARTS for word in lemma.split())

    synsets = {synset.key: synset for synset in read_synsets(directory)}
    lemmas = {key: [w.lower() for w in synset.lemmas if wanted(w, synset)] for key, synset in synsets.items()}
    kept = {key for key, words in lemmas.items() if words}
    for key in list(kept):
        if key.startswith("n"):
            kept |= _ancestors(key, synsets)
    numbers = {key: number for number, key in enumerate(key for key in synsets if key in kept)}
    senses = read_senses(directory)
    lines = []
    for key in numbers:
        hypernyms = ",".join(str(numbers[h]) for h in synsets[key].hypernyms if h in numbers and key.startswith("n"))
        words = ",".join("/".join(map(str, (word, *senses[word, key]))) for word in dict.fromkeys(lemmas[key]))
        lines.append(f"{synsets[key].file}\t{hypernyms}\t{words}")
    return lines


def _ancestors(key: str, synsets: dict[str, Synset]) -> set[str]:
    found: set[str] = set()
    todo = [key]
    while todo:
        for hypernym in synsets[todo.pop()].hypernyms:
            if hypernym not in found:
                found.add(hypernym)
                todo.append(hypernym)
    return found


def main(arguments: Iterable[str]) -> None:
    wordnet_dir, vocabularies_dir = map(Path, arguments)
    vocabularies = read_vocabularies(vocabularies_dir).values()
    words = {name for vocabulary in vocabularies for names in vocabulary.entries for name in names}
    text = "\n".join(distil(wordnet_dir, words)) + "\n"
    WORDNET_PATH.write_bytes(gzip.compress(text.encode("ascii"), 9, mtime=0))


if __name__ == "__main__":
    main(sys.argv[1:])
