"""A phrase table applied to captions, many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ram.captions import Phrase, noun_kind
from ram.captions.distilled.model import PhraseTable, joined
from ram.captions.distilled.token_classifier import PADDING, Ints
from ram.captions.distilled.token_labels import ATTRIBUTE, JOINED, NOUN, PARTICLE, VERB
from ram.captions.distilled.tokenize import WordReader, Words
from ram.captions.rules import is_phrase

_MAX_TOKENS = 50_000  # remembered; then all is forgotten, so that memory does not grow with the captions
_MAX_JOINED = 3  # words before a noun
_NO_PHRASE = -1
_UNKNOWN = -2


class Found(NamedTuple):
    """The phrases of a batch of captions: one entry a phrase of a caption, in the order of the words, each once."""

    captions: Ints  # which caption of the batch; ascending
    phrases: Ints  # index into `DictionaryParser.phrases`
    refused: dict[int, tuple[str, str]]  # which caption was not parsed -> reason and detail, as of `skip_reason`


class DictionaryParser:
    """Finds phrases by a table, and remembers what became of words that it has met."""

    def __init__(self, table: PhraseTable, *, max_words: int, max_chars: int) -> None:
        self._table = table
        self._reader = WordReader(max_words, max_chars)
        self._forget()

    def _forget(self) -> None:
        self._reader.forget()
        self.phrases: list[Phrase] = []
        self._phrase_ids: dict[Phrase, int] = {}
        self._names: dict[tuple[int, ...], int] = {}  # label and words of a name of several words -> phrase
        self._ids = np.empty(0, np.int64)  # word of the reader -> id of the table
        self._single = np.empty((0, PARTICLE + 1), np.int64)  # word of the reader, label -> phrase of it alone

    def find(self, captions: pa.Array) -> Found:
        """The phrases of captions as they come (a string array without nulls); `phrases` holds until the next call."""
        if self._reader.num_tokens > _MAX_TOKENS:
            self._forget()
        words = self._reader.read(captions)
        self._look_up_words()
        heads, phrases = self._phrases_of(words, self._labels(words))
        known = phrases >= 0
        owners, phrases = words.captions[heads[known]], phrases[known]
        _, first = np.unique(owners * max(len(self.phrases), 1) + phrases, return_index=True)
        first.sort()
        return Found(owners[first], phrases[first], words.refused)

    def parse(self, captions: Sequence[str]) -> list[list[Phrase]]:
        """The phrases of every caption; none for those that are refused."""
        found = self.find(pa.array(captions, pa.string()))
        phrases: list[list[Phrase]] = [[] for _ in captions]
        for caption, phrase in zip(found.captions.tolist(), found.phrases.tolist(), strict=True):
            phrases[caption].append(self.phrases[phrase])
        return phrases

    def _look_up_words(self) -> None:
        new = self._reader.words[len(self._ids) :]
        if new:
            self._ids = np.append(self._ids, [self._table.id_of(word) for word in new])
            unknown = np.full((len(new), self._single.shape[1]), _UNKNOWN)
            self._single = np.vstack([self._single, unknown])

    def _labels(self, words: Words) -> Ints:
        """The label of every word by the votes of its contexts."""
        places = np.arange(len(words.ids)) + (words.captions + 1) * PADDING
        length = int(places[-1]) + 1 + PADDING if len(places) else 0
        ids = np.zeros(length, np.int64)
        ids[places] = self._ids[words.ids]
        return self._table.votes.labels(self._table.columns(ids), places)

    def _phrases_of(self, words: Words, labels: Ints) -> tuple[Ints, Ints]:
        """The words that head phrases, and the phrase of each, or less than 0."""
        place = np.arange(len(labels))
        starts = np.searchsorted(words.captions, words.captions)  # where each word's caption begins
        heads = np.flatnonzero((labels == NOUN) | (labels == VERB) | (labels == ATTRIBUTE))
        phrases = self._singles(words.ids[heads], labels[heads])

        end_before = np.append(-1, np.maximum.accumulate(np.where(labels == JOINED, -1, place)))[heads]
        num_joined = heads - np.maximum(end_before + 1, starts[heads])
        num_joined[labels[heads] == VERB] = 0
        several = np.flatnonzero(num_joined > 0)
        phrases[several] = self._compounds(words.ids, labels, heads[several], num_joined[several])

        particles = np.flatnonzero(labels == PARTICLE)[::-1]  # backwards: of two particles the first stays
        verbs = np.maximum.accumulate(np.where(labels == VERB, place, -1))[particles]
        there = verbs >= starts[particles]
        particles, verbs = particles[there], verbs[there]
        pairs = zip(words.ids[verbs].tolist(), words.ids[particles].tolist(), strict=True)
        phrases[np.searchsorted(heads, verbs)] = [self._name((VERB, *pair)) for pair in pairs]
        return heads, phrases

    def _singles(self, words: Ints, labels: Ints) -> Ints:
        phrases = self._single[words, labels]
        unknown = np.flatnonzero(phrases == _UNKNOWN)
        if len(unknown):
            for word, label in set(zip(words[unknown].tolist(), labels[unknown].tolist(), strict=True)):
                text = self._table.form(self._reader.words[word], label)
                self._single[word, label] = self._phrase(text, label)
            phrases = self._single[words, labels]
        return phrases

    def _compounds(self, words: Ints, labels: Ints, heads: Ints, num_joined: Ints) -> list[int]:
        columns = [
            np.where(num_joined >= k, words[np.maximum(heads - k, 0)], -1) for k in range(_MAX_JOINED + 1, 0, -1)
        ]
        keys = zip(labels[heads].tolist(), *(c.tolist() for c in columns), words[heads].tolist(), strict=True)
        return [self._name(key) for key in keys]

    def _name(self, key: tuple[int, ...]) -> int:
        """The phrase of a label and words, -1 for no word before the first."""
        found = self._names.get(key)
        if found is None:
            found = self._names[key] = self._make_name(key[0], [self._reader.words[i] for i in key[1:] if i >= 0])
        return found

    def _make_name(self, label: int, words: list[str]) -> int:
        if len(words) > _MAX_JOINED + 1:
            return _NO_PHRASE
        if label == VERB:
            return self._phrase(f"{self._table.form(words[0], VERB)} {words[1]}", label)
        if label == NOUN:
            return self._phrase(self._table.compounds.get(" ".join(words)) or joined(words, self._table), label)
        return self._phrase(" ".join([*words[:-1], self._table.form(words[-1], label)]), label)

    def _phrase(self, text: str, label: int) -> int:
        if not is_phrase(text):
            return _NO_PHRASE
        phrase = Phrase(text, {VERB: "action", ATTRIBUTE: "attribute"}.get(label) or noun_kind(text))
        index = self._phrase_ids.get(phrase)
        if index is None:
            index = self._phrase_ids[phrase] = len(self.phrases)
            self.phrases.append(phrase)
        return index
