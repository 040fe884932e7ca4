"""What a caption says is not there, is only like something, or has not happened yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ram.captions import lexicon
from ram.captions.tree import Word

_SUBJECTS = ("nsubj", "nsubjpass")
_AIMS = (
    "at",
    "to",
    "for",
    "with",
    "of",
    "from",
    "into",
    "about",
    "like",
    "as",
)  # of an act; other prepositions name places
_OF_PREDICATE = ("dobj", "acomp", "attr", "xcomp", "oprd", "advmod", "prt", "ccomp", "agent", "prep")


def left_out(words: Sequence[Word]) -> set[int]:
    """Indices of the words that name nothing in the image."""
    out: set[int] = set()
    for word in words:
        if word.lower in _READERS_BY_WORD:
            out.update(_READERS_BY_WORD[word.lower](word, words))
        if word.pos == "VERB" or word.pos == "ADJ":
            out.update(_by_meaning(word))
    return out


def _not(word: Word, words: Sequence[Word]) -> Iterable[int]:
    """ "isn't red", "not wearing a hat", "a scarf but not a hat"; "not only" denies nothing."""
    behind = words[word.i + 1].lower if word.i + 1 < len(words) else ""
    if behind in ("only", "just", "far"):
        return ()
    head = word.head
    if head.pos in ("VERB", "AUX"):
        return _predicate(head)
    return _noun_phrase(head) if head.is_noun() else {head.i}


def _no(word: Word, words: Sequence[Word]) -> Iterable[int]:
    """ "no people", and what they would do: "no cars are parked"."""
    head = word.head
    if head.lower == "longer":
        return _predicate(head.head)
    if word.dep not in ("det", "neg", "nummod") or head.lemma in lexicon.SIGN_NOUNS:
        return ()
    return _noun_phrase(head) | _deed_of(head)


def _neither(word: Word, words: Sequence[Word]) -> Iterable[int]:
    head = word.head
    if not head.is_noun():
        return ()
    if word.dep == "det" and head.dep in _SUBJECTS and not head.child("cc"):
        return _deed_of(head)  # "neither dog is sleeping": there are two dogs
    return _noun_phrase(head) | _deed_of(head)


def _nobody(word: Word, words: Sequence[Word]) -> Iterable[int]:
    """ "nobody is sitting on it", "with nobody inside", "none of them are wearing hats"."""
    return {word.i} | _deed_of(word)


def _one(word: Word, words: Sequence[Word]) -> Iterable[int]:
    return _nobody(word, words) if word.child("det", "no") else ()


def _without(word: Word, words: Sequence[Word]) -> Iterable[int]:
    """ "without a helmet or gloves", "without wearing a helmet"; the plate of "without icing on a plate" is there."""
    return {i for child in word.children for i in (_noun_phrase(child) if child.is_noun() else _predicate(child))}


def _instead(word: Word, words: Sequence[Word]) -> Iterable[int]:
    """ "rather than a fork", "instead of riding it"."""
    if word.i + 1 == len(words) or words[word.i + 1].lower not in ("of", "than"):
        return ()
    for other in words[word.i + 2 : word.i + 7]:
        if other.is_noun() and other.dep not in ("compound", "nmod", "poss"):
            return _noun_phrase(other)
        if other.pos == "VERB" and other.dep != "amod":
            return _predicate(other)
    return ()


def _like(word: Word, words: Sequence[Word]) -> Iterable[int]:
    """ "looks like a rabbit", "shaped like a train"; but "fruit like apples" has apples."""
    if word.dep not in ("prep", "mark") or word.head.is_noun() or word.head.pos == "PRON":
        return ()
    return _without(word, words)


def _maybe(word: Word, words: Sequence[Word]) -> Iterable[int]:
    """ "what could be a coyote"; but "may contain" opens a list of what was seen."""
    if word.dep != "aux" or word.head.lemma in ("contain", "include", "show", "see"):
        return ()
    return _predicate(word.head)


_READERS_BY_WORD = {
    **dict.fromkeys(("not", "n't", "never", "nt", "cannot"), _not),
    **dict.fromkeys(("nobody", "none", "nothing"), _nobody),
    **dict.fromkeys(("without", "except", "minus", "sans", "lacking"), _without),
    **dict.fromkeys(("rather", "instead"), _instead),
    **dict.fromkeys(("could", "might", "may", "would", "should"), _maybe),
    "no": _no, "neither": _neither, "nor": _no, "one": _one, "like": _like,
}  # fmt: skip


def _by_meaning(word: Word) -> set[int]:
    """What is denied by a verb or an adjective: "lacking a leg", "free of cars", "about to hit", "resembles a dog"."""
    out: set[int] = set()
    if word.lemma in lexicon.LACKING_VERBS:
        for child in word.children:
            if child.dep in ("dobj", "attr"):
                out |= _noun_phrase(child)
        if word.dep == "amod" or (word.dep == "acl" and not out):
            out |= _noun_phrase(word.head)
        out.add(word.i)
    elif word.lower in lexicon.FREE_OF and (of := word.child("prep", "of")):
        out |= {word.i, *(i for child in of.children for i in _noun_phrase(child))}
    elif word.lemma in lexicon.COMING or word.lower in lexicon.COMING:
        for child in word.children:
            if child.dep in ("xcomp", "advcl", "ccomp", "relcl", "acl") and child.child("aux", "to"):
                out |= {child.i, *(other.i for other in child.children if other.dep in ("conj", "prt"))}
    return out


def _deed_of(subject: Word) -> set[int]:
    """What a subject that is not there does not do."""
    verb = subject.head
    out = _predicate(verb) if subject.dep in _SUBJECTS and verb.pos in ("VERB", "AUX") else set()
    for child in subject.children:
        if child.dep in ("acl", "relcl") and child.pos in ("VERB", "AUX"):
            out |= _predicate(child)
    return out


def _noun_phrase(noun: Word) -> set[int]:
    """A noun with what describes it and what it is joined to by "or"; not a noun with an article of its own after "and"."""
    out = {noun.i}
    joined = noun.child("cc")
    for child in noun.children:
        if child.dep in ("amod", "compound", "nmod", "nummod", "neg", "poss"):
            out.update(word.i for word in child.subtree())
        elif child.dep == "conj":
            apart = joined is not None and joined.lower in ("but", "and") and child.child("det") is not None
            if child.is_noun() and not apart:
                out |= _noun_phrase(child)
        elif child.dep == "prep" and child.lower == "of":
            out.update(word.i for word in child.subtree())
    return out


def _predicate(verb: Word) -> set[int]:
    """A verb and what it says: without its subject, the places where it would happen, and sentences that follow."""
    out = {verb.i}
    joined = verb.child("cc")
    for child in verb.children:
        if child.dep == "prep" and not (verb.pos == "VERB" and child.lower in _AIMS):
            continue
        if child.dep in _OF_PREDICATE and child.i > verb.i:
            out |= _below(child)
        elif child.dep == "conj" and joined is not None and joined.lower in ("or", "nor"):
            out |= _predicate(child)
    return out


def _below(word: Word) -> set[int]:
    """A word and all below it, up to a "but" that takes it back."""
    out = {word.i}
    but = word.child("cc", "but")
    for child in word.children:
        if not (but and child.dep == "conj" and child.i > but.i):
            out |= _below(child)
    return out
