"""Words of a caption and its phrases -> a label a word: which word each phrase came from, found by spelling and statistics.

A phrase is one of a verb, perhaps with a particle, or an attribute, or a noun with the words joined to it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ram.captions import Phrase

LABELS = ("nothing", "joined", "noun", "verb", "attribute", "particle")
NOTHING, JOINED, NOUN, VERB, ATTRIBUTE, PARTICLE = range(len(LABELS))

Forms = Mapping[str, frozenset[str]]  # lemma -> words that are irregular forms of it

_WORD = re.compile(r"n't\b|'[a-z]+|[a-z0-9]+?(?=n't\b)|[a-z0-9]+|[^\sa-z0-9]")
_MIN_FORM_SHARE = 0.5  # of a lemma's captions without another explanation must have the word
_MIN_WORD_SHARE = 0.02  # and of the word's captions the lemma


class Labeled(NamedTuple):
    """The labels of one caption's words."""

    labels: list[int]
    texts: list[str | None]  # the word as it stands in the phrase; None for label `nothing`
    certain: list[bool]  # false: another occurrence of the word has given the phrase, so this one's label is open
    nouns: list[tuple[list[int], str]]  # where each noun phrase stands, its text


def words_of(text: str) -> list[str]:
    """The words and marks of a cleaned caption, in lower case; "n't" and "'s" are words of their own."""
    return _WORD.findall(text.lower())


def is_regular_form(word: str, lemma: str) -> bool:
    """Whether `word` is `lemma` or its plural, past, participle or comparative by the rules of spelling."""
    if word == lemma:
        return True
    if not word.startswith(lemma[:-1]) or len(lemma) < 2:
        return False
    last = lemma[-1]
    endings = {lemma + e for e in ("s", "es", "ed", "ing", "er", "est", last + "ed", last + "ing")}
    if last == "e":
        endings |= {lemma[:-1] + "ing", lemma + "d", lemma + "r", lemma + "st"}
    if last == "y":
        endings |= {lemma[:-1] + e for e in ("ies", "ied", "ier", "iest")}
    return word in endings


def irregular_forms(
    captions: Sequence[Sequence[str]], phrases: Sequence[Sequence[Phrase]]
) -> dict[str, frozenset[str]]:
    """Lemma -> words that stand in most captions whose phrases have it and no regular form of it ("people": person)."""
    unexplained: Counter[str] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    num_captions: Counter[str] = Counter()
    for words, own in zip(captions, phrases, strict=True):
        present = set(words)
        num_captions.update(present)
        lemmas = {lemma for phrase in own for lemma in phrase.text.split()}
        for lemma in lemmas - present:
            if not any(is_regular_form(word, lemma) for word in present):
                unexplained[lemma] += 1
                together.update((lemma, word) for word in present - lemmas if word[0] == lemma[0])
    forms = defaultdict(set)
    for (lemma, word), count in together.items():
        if count >= _MIN_FORM_SHARE * unexplained[lemma] and count >= _MIN_WORD_SHARE * num_captions[word]:
            forms[lemma].add(word)
    return {lemma: frozenset(words) for lemma, words in forms.items()}


def label_words(words: Sequence[str], phrases: Sequence[Phrase], forms: Forms) -> Labeled:
    """The labels of a caption from the phrases that a parser found in it, in the order of their words."""
    labels = [NOTHING] * len(words)
    texts: list[str | None] = [None] * len(words)
    nouns = []
    position = 0
    for phrase in phrases:
        places = _places(words, phrase, forms, labels, position)
        if places is None:
            continue
        lemmas = phrase.text.split()
        if phrase.kind == "action":
            kinds = [VERB] + [PARTICLE] * (len(places) - 1)
        elif phrase.kind == "attribute":
            kinds = [JOINED] * (len(places) - 1) + [ATTRIBUTE]
        else:
            kinds = [JOINED] * (len(places) - 1) + [NOUN]
            nouns.append((places, phrase.text))
        for place, kind, lemma in zip(places, kinds, lemmas, strict=True):
            labels[place], texts[place] = kind, lemma
        position = max(position, places[0] + 1)
    named = {words[i] for i, label in enumerate(labels) if label != NOTHING}
    certain = [label != NOTHING or word not in named for label, word in zip(labels, words, strict=True)]
    return Labeled(labels, texts, certain, nouns)


def _places(
    words: Sequence[str], phrase: Phrase, forms: Forms, labels: Sequence[int], position: int
) -> list[int] | None:
    """Where the words of a phrase stand: side by side if they can, best behind `position`; None if they are not found."""
    lemmas = phrase.text.split()
    count = len(lemmas)
    fitting = [
        [i for i, word in enumerate(words) if labels[i] == NOTHING and _fits(word, lemma, forms)] for lemma in lemmas
    ]
    starts = [s for s in fitting[0] if all(s + k in fitting[k] for k in range(1, count))]
    if starts:
        literal = phrase.kind != "action"

        def rank(start: int) -> tuple[bool, bool, int]:
            same = list(words[start : start + count]) == lemmas
            return start >= position, same and literal, -start

        start = max(starts, key=rank)
        return list(range(start, start + count))
    places: list[int] = []
    for own in fitting:
        following = [i for i in own if not places or i > places[-1]]
        if not following:
            return None
        places.append(following[0])
    return places


def _fits(word: str, lemma: str, forms: Forms) -> bool:
    return is_regular_form(word, lemma) or word in forms.get(lemma, ())
