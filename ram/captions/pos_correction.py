"""What the tagger is known to get wrong in captions, put right before the rules read them."""

from __future__ import annotations

from collections.abc import Sequence

from ram.captions import lexicon
from ram.captions.multiword import is_being, noun_lemma
from ram.captions.tree import Word, attach


def repair(words: Sequence[Word]) -> None:
    """Correct parts of speech in place: "geese" is a noun, "barefoot" is none, "runs" in "a dog runs" is a verb."""
    for word in words:
        noun = lexicon.SURE_NOUNS.get(word.lower, word.noun)
        if noun and word.verb and word.i and words[word.i - 1].tag == "NNS" and words[word.i - 1].is_noun():
            _set(word, "VERB", "VBP", word.verb)  # "mice nibble"
        elif noun and not word.is_noun():
            _set(word, "NOUN", "NN" if noun == word.lower else "NNS", noun)
            if word.dep == "amod" and word.head.i == word.i + 1:
                word.dep = "compound"
        elif word.lower in lexicon.SURE_ADJECTIVES and word.dep in ("compound", "amod", "nmod"):
            _set(word, "ADJ", "JJ", word.lower)
            word.dep = "amod"
        elif word.i == 0 and word.tag in ("VBN", "VBD") and word.dep in ("compound", "ROOT", "csubj"):
            _read_as_modifier(word, words)
    for word in words[1:]:
        if word.is_noun() and word.verb:
            _read_as_verb(word, words)


def _set(word: Word, pos: str, tag: str, lemma: str) -> None:
    word.pos, word.tag, word.lemma = pos, tag, lemma


def _read_as_modifier(word: Word, words: Sequence[Word]) -> None:
    """ "Grilled salmon with ...": the participle that opens a caption belongs to the noun behind it."""
    if len(words) > 1 and words[1].is_noun() and not word.child("nsubj"):
        word.tag, word.dep = "VBN", "amod"


def _read_as_verb(word: Word, words: Sequence[Word]) -> None:
    """Make verbs of the second word of "a dog runs" and of "a farmer harvesting corn"."""
    subject = words[word.i - 1]
    if not subject.is_noun() or word.lower in lexicon.PLURAL_NOUNS:
        return
    if f"{subject.lower} {noun_lemma(word)}" in lexicon.units():
        return
    if subject.head is word and subject.dep == "nsubj":
        _make_verb(word, subject)
    elif subject.dep != "compound":
        return
    elif word.lower.endswith("ing"):
        if is_being(subject):
            _make_verb(word, subject)
    elif subject.head is word and (_disagrees(word, subject) or (word.verb in lexicon.ACTS and is_being(subject))):
        _make_verb(word, subject)


def _disagrees(word: Word, subject: Word) -> bool:
    """ "A runner crosses": what "a" stands before is no plural."""
    singular = word.child("det", "a", "an", "another", "each", "every", "this", "that", "one")
    return word.tag == "NNS" and subject.tag != "NNS" and singular is not None


def _make_verb(word: Word, subject: Word) -> None:
    for child in list(word.children):
        if child.i < subject.i and child.dep in ("det", "amod", "compound", "nummod", "poss", "nmod"):
            attach(child, subject, child.dep)
    attach(subject, word, "nsubj")
    _set(word, "VERB", "VBG" if word.lower.endswith("ing") else "VBZ", word.verb)
    if word.dep == "compound":
        word.dep = "acl"
