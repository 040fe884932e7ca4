"""Captions and the phrases that a parser found in them -> a phrase table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ram.captions import Phrase
from ram.captions.distilled.model import PhraseTable, joined
from ram.captions.distilled.token_classifier import PADDING, Votes, context_keys, learn_votes
from ram.captions.distilled.token_labels import LABELS, NOTHING, Labeled, irregular_forms, label_words, words_of

_MIN_COUNT = 2  # rarer words and contexts are not kept: the unknown words of other captions are like them
_NUM_GRAMMAR_WORDS = 150  # most frequent words; those of them that give no phrases are classes of their own
_MIN_SECOND_SHARE = 0.2  # a label that a word has so often is named by its class too
_TELLING_ENDINGS = ("ing", "ed", "s")


def distil_table(captions: Sequence[str], phrases: Sequence[Sequence[Phrase]], *, seed: int) -> PhraseTable:
    """The table that finds in cleaned `captions` the `phrases` that a parser found; `ValueError` without any phrase."""
    if not any(phrases):
        raise ValueError(f"{len(captions)} captions gave no phrase to distil a table from; raise num_distilled")
    words = [words_of(caption) for caption in captions]
    forms = irregular_forms(words, phrases)
    labeled = [label_words(own, found, forms) for own, found in zip(words, phrases, strict=True)]
    bare = PhraseTable(_classes(words, labeled), _word_forms(words, labeled), {}, _no_votes())
    compounds = _compounds(words, labeled, bare)
    return PhraseTable(bare.classes, bare.forms, compounds, _learn(words, labeled, bare, seed))


def agreement(found: Iterable[Collection[Any]], expected: Iterable[Collection[Any]]) -> dict[str, float]:
    """How far what was found in each caption is what was expected there: precision, recall and F1, from 0 to 1."""
    hits = num_found = num_expected = 0
    for own, wanted in zip(found, expected, strict=True):
        hits += len(set(own) & set(wanted))
        num_found += len(set(own))
        num_expected += len(set(wanted))
    return {
        "precision": hits / max(num_found, 1),
        "recall": hits / max(num_expected, 1),
        "f1": 2 * hits / max(num_found + num_expected, 1),
    }


def _classes(words: Sequence[Sequence[str]], labeled: Sequence[Labeled]) -> dict[str, str]:
    """The class of every word that is frequent enough: its labels and its ending, or itself where it is grammar."""
    counts = Counter(word for own in words for word in own)
    uses: dict[str, Counter[int]] = defaultdict(Counter)
    for own, marks in zip(words, labeled, strict=True):
        for word, label, certain in zip(own, marks.labels, marks.certain, strict=True):
            if certain:
                uses[word][label] += 1
    frequent = sorted(counts, key=lambda word: (-counts[word], word))[:_NUM_GRAMMAR_WORDS]
    grammar = {word for word in frequent if uses[word] and _ranked(uses[word])[0] == NOTHING}
    kept = [word for word, count in counts.items() if count >= _MIN_COUNT]
    return {word: word if word in grammar else _class_name(word, uses[word]) for word in sorted(kept)}


def _ranked(uses: Counter[int]) -> list[int]:
    return sorted(uses, key=lambda label: (-uses[label], label))


def _class_name(word: str, uses: Counter[int]) -> str:
    labels = _ranked(uses) or [NOTHING]
    named = [k for i, k in enumerate(labels[:2]) if i == 0 or uses[k] > _MIN_SECOND_SHARE * uses.total()]
    suffix = next((e for e in _TELLING_ENDINGS if word.endswith(e) and len(word) > len(e) + 1), "")
    return "/".join(["<" + LABELS[named[0]], *(LABELS[k] for k in named[1:])]) + (f"-{suffix}>" if suffix else ">")


def _word_forms(words: Sequence[Sequence[str]], labeled: Sequence[Labeled]) -> dict[str, dict[str, str]]:
    """Label -> word -> what it mostly is in a phrase."""
    seen: dict[str, dict[str, Counter[str]]] = {name: defaultdict(Counter) for name in LABELS}
    for own, marks in zip(words, labeled, strict=True):
        for word, label, text in zip(own, marks.labels, marks.texts, strict=True):
            if text is not None:
                seen[LABELS[label]][word][text] += 1
    return {
        label: {word: _most_common(texts) for word, texts in sorted(forms.items())}
        for label, forms in seen.items()
        if label in ("noun", "verb", "attribute")
    }


def _most_common(counts: Mapping[str, int]) -> str:
    return min(counts, key=lambda text: (-counts[text], text))


def _compounds(words: Sequence[Sequence[str]], labeled: Sequence[Labeled], table: PhraseTable) -> dict[str, str]:
    """Words side by side -> their phrase, where the rule of `joined` gives another."""
    seen: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for own, marks in zip(words, labeled, strict=True):
        for places, text in marks.nouns:
            if len(places) > 1:
                seen[tuple(own[i] for i in places)][text] += 1
    usual = {key: _most_common(texts) for key, texts in sorted(seen.items())}
    return {" ".join(key): text for key, text in usual.items() if text != joined(key, table)}


def _no_votes() -> Votes:
    return Votes(np.empty(0, np.int64), np.empty((0, len(LABELS)), np.int32))


def _learn(words: Sequence[Sequence[str]], labeled: Sequence[Labeled], table: PhraseTable, seed: int) -> Votes:
    ids: list[int] = [0] * PADDING
    places: list[int] = []
    for own in words:
        places += range(len(ids), len(ids) + len(own))
        ids += [*map(table.id_of, own), *[0] * PADDING]
    keys = context_keys(table.columns(np.array(ids)), np.array(places))
    labels = np.array([label for marks in labeled for label in marks.labels])
    certain = np.array([mark for marks in labeled for mark in marks.certain])
    return learn_votes(keys, labels, certain, num_labels=len(LABELS), min_count=_MIN_COUNT, seed=seed)
