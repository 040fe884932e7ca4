"""Phrase -> tag: by name, or, where a compound is no tag, by what it is a kind of."""

from __future__ import annotations

from ram.labels import LabelSystem, Tag
from ram.labels.wordnet import WordNet

# A toy car is no car, and an image of it should not teach "car".
_NOT_LITERAL = {"toy", "rubber", "stuffed", "fake", "teddy", "model", "plastic", "inflatable", "lego", "clay"}


class Resolver:
    """Finds the tag of a phrase of a caption, and remembers what it found."""

    def __init__(self, label_system: LabelSystem, wordnet: WordNet) -> None:
        self._label_system = label_system
        self._wordnet = wordnet
        self._known: dict[tuple[str, str], Tag | None] = {}
        self._kinds: dict[str, Tag | None] = {}

    def __call__(self, phrase: str, kind: str) -> Tag | None:
        """The tag, of the phrase's kind: of the whole phrase or of its head ("ice cream truck": truck)."""
        key = (phrase, kind)
        if key not in self._known:
            self._known[key] = self._label_system.find(phrase, kind) or self._by_head(phrase, kind)
        return self._known[key]

    def kind_of(self, phrase: str, kind: str) -> Tag | None:
        """The nearest tag that an object or scene is a kind of: "skier" is a person. Compounds go by their head."""
        if kind not in ("object", "scene"):
            return None
        if phrase not in self._kinds:
            synsets = self._wordnet.kinds_of(phrase) or self._wordnet.kinds_of(phrase.split()[-1])
            # A hypernym counts by the words that mostly mean it: "bank" does not make a river's edge a building.
            names = (n for s in synsets for n in self._wordnet.lemmas(s) if self._wordnet.dominant(n) == s)
            tags = (self(name, "object") for name in names)
            self._kinds[phrase] = next((tag for tag in tags if tag is not None), None)
        return self._kinds[phrase]

    def _by_head(self, phrase: str, kind: str) -> Tag | None:
        words = phrase.split()
        if kind == "action":
            return self._label_system.find(words[0], kind) if len(words) > 1 else None
        if kind == "attribute":
            return None
        for start in range(1, len(words)):
            head = " ".join(words[start:])
            if not is_kind_of(phrase, head, self._wordnet):
                return None
            if tag := self._label_system.find(head, kind):
                return tag
        return None


def is_kind_of(compound: str, head: str, wordnet: WordNet) -> bool:
    """Whether a compound names a kind of what its head names: a police car is a car, a hot dog is no dog.

    Compounds that WordNet has must have a sense of the head among their hypernyms; most others are what their head
    says, but for a toy car and its like.
    """
    if not wordnet.knows(compound, "noun") or not wordnet.knows(head, "noun"):
        return compound.split()[0] not in _NOT_LITERAL
    heads = set(wordnet.senses(head))
    return any(heads & set(wordnet.ancestors(sense)) for sense in wordnet.senses(compound))
