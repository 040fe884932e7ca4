"""A parsed caption as plain words: what the rules read and, where the tagger is known to err, mend."""

from __future__ import annotations

from collections.abc import Iterator


class Word:
    """One token. `pos` is its universal part of speech, `tag` the Penn tag, `dep` the ClearNLP dependency on `head`.

    `verb` is the infinitive that a word tagged as a noun or an adjective would have as a verb ("walks": walk), or empty;
    `noun` the noun that a word must be which is tagged as an adjective or a verb and is none ("hydrant"), or empty.
    """

    __slots__ = ("children", "dep", "head", "i", "lemma", "lower", "noun", "pos", "tag", "verb")

    def __init__(
        self, i: int, lower: str, lemma: str, pos: str, tag: str, dep: str, verb: str = "", noun: str = ""
    ) -> None:
        self.i = i
        self.lower = lower
        self.lemma = lemma
        self.pos = pos
        self.tag = tag
        self.dep = dep
        self.verb = verb
        self.noun = noun
        self.head: Word = self
        self.children: list[Word] = []

    def __repr__(self) -> str:
        return f"{self.lower}/{self.tag}/{self.dep}>{self.head.lower}"

    def is_noun(self) -> bool:
        return self.pos == "NOUN" or self.pos == "PROPN"

    def child(self, dep: str, *lowers: str) -> Word | None:
        """The first child by that dependency (and, if given, with one of these words)."""
        for child in self.children:
            if child.dep == dep and (not lowers or child.lower in lowers):
                return child
        return None

    def subtree(self) -> Iterator[Word]:
        """The word and all that depends on it, in no order."""
        todo = [self]
        while todo:
            word = todo.pop()
            yield word
            todo.extend(word.children)


def link(words: list[Word], heads: list[int]) -> None:
    """Set heads and children from the index of every word's head (its own for a root)."""
    for word, head in zip(words, heads, strict=True):
        if head != word.i:
            word.head = words[head]
            word.head.children.append(word)


def attach(word: Word, head: Word, dep: str) -> None:
    """Hang a word on another head; the children of a head stay in the order of the caption."""
    if word.head is not word:
        word.head.children.remove(word)
    word.head, word.dep = head, dep
    if head is not word:
        head.children.append(word)
        head.children.sort(key=lambda child: child.i)
