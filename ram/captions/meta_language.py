"""Words that speak of the picture, not of what is in it: "a black and white photo of", "the image shows"."""

from __future__ import annotations

from collections.abc import Sequence

from ram.captions import lexicon
from ram.captions.tree import Word

_SHOWING = frozenset({"show", "depict", "feature", "display", "contain", "capture", "include", "portray", "be"})
_SEEING = frozenset({"see", "view", "get", "have", "click", "make"})
_MAX_TITLE = 4  # "a black image of" opens a caption
_MAX_OPENING = 6  # an artwork named later than this is a thing in the image


def about_image(words: Sequence[Word]) -> set[int]:
    """Indices of the words for the image, with those that describe them."""
    out: set[int] = set()
    for word in words:
        if word.is_noun() and _is_image(word):
            out |= _with_modifiers(word)
        elif word.lemma == "isolate" and word.child("prep"):
            out.add(word.i)
    return out


def _is_image(word: Word) -> bool:
    if word.lemma in lexicon.BACKDROP_NOUNS:
        return True
    if word.dep == "compound" and word.head.is_noun():
        return False
    if word.lemma in lexicon.IMAGE_NOUNS:
        return not _is_thing(word)
    if word.lemma in lexicon.ARTWORK_NOUNS and word.i < _MAX_OPENING:
        return _opens(word) and (_has_of(word) or _shows(word) or word.dep in ("ROOT", "compound"))
    return False


def _opens(word: Word) -> bool:
    """Whether the caption is about this noun, as "this is a painting of", "the painting shows", "a painting of"."""
    return word.dep in ("ROOT", "attr", "appos", "nmod") or _shows(word) or (word.dep == "conj" and _opens(word.head))


def _is_thing(word: Word) -> bool:
    """An image that someone in the image holds or paints, or that hangs there."""
    head = word.head
    if (word.i < _MAX_TITLE and _has_of(word)) or word.lemma in lexicon.VIEW_NOUNS:
        return False
    if word.dep == "dobj":
        taken = head.lemma == "take" and word.lemma != "selfie"
        return not taken and head.lemma not in _SHOWING and head.lemma not in _SEEING
    if word.dep in ("nsubj", "nsubjpass"):
        return head.pos == "VERB" and head.lemma not in _SHOWING and head.lemma not in _SEEING and head.lemma != "take"
    if word.dep == "conj":
        return head.lemma not in lexicon.IMAGE_NOUNS or _is_thing(head)
    if word.dep != "pobj" or word.child("det", "this", "these"):
        return False
    counted = head.lower == "of" and head.head.lemma in lexicon.QUANTITY_NOUNS | lexicon.IMAGE_NOUNS
    return not counted and head.lower not in ("in", "for", "from", "to", "as", "by")


def _has_of(word: Word) -> bool:
    return word.child("prep", "of", "with", "showing", "depicting", "from") is not None


def _shows(word: Word) -> bool:
    return word.dep == "nsubj" and word.head.lemma in _SHOWING and word.head.lemma != "be"


def _with_modifiers(word: Word) -> set[int]:
    out = {word.i}
    for child in word.children:
        described = child.dep in ("amod", "nmod", "advmod", "npadvmod", "nummod") and child.i < word.i
        if described or (child.dep == "compound" and child.lower in lexicon.META_MODIFIERS):
            out.update(below.i for below in child.subtree() if below.i < word.i)
    return out
