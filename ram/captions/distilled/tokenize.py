"""Captions -> words, many at a time: what `clean_caption` and `skip_reason` say, at a fraction of their cost.

A caption of nothing but words, simple marks behind them and spaces is read token by token, and a token that has been seen is
looked up: cleaning changes none of its words. The others (digits, markup, other alphabets, words of shops, words of other
languages, too long) go through `clean_caption` and `skip_reason` themselves.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ram.captions import boilerplate, clean_caption, skip_reason
from ram.captions.distilled.token_classifier import Ints
from ram.captions.distilled.token_labels import words_of
from ram.captions.text import ENGLISH, FOREIGN, bare

# A word, its parts joined by hyphens, perhaps with a mark behind it; an ending such as "'s"; or a mark.
_MARKS = (",", ".", "!", "?")
_SIMPLE = re.compile(r"(?:[A-Za-z]+(?:'[A-Za-z]+)?(?:-[A-Za-z]+)*|'[a-z]+)[,.!?]?\Z|[,.!?]\Z")
_CARE = {"size", "sizes"}  # what stands behind is no number in a plain text, but may be taken away in others


class Words(NamedTuple):
    """The words of the captions of a batch, one behind the other, without those of the refused captions."""

    ids: Ints  # into `WordReader.words`
    captions: Ints  # which caption of the batch, for each word; ascending
    refused: dict[int, tuple[str, str]]  # which caption -> one of SKIP_REASONS and what was found


class _Tokens:
    """What is known of the tokens that have been met: where white space divides captions."""

    def __init__(self) -> None:
        self.index: dict[str, int] = {}
        self.num_words = self.first_word = self.num_parts = np.empty(0, np.int64)  # parts: words, marks not counted
        self.simple = self.english = self.foreign = self.lettered = np.empty(0, np.bool_)
        self.on_image = self.beside_image = np.empty(0, np.bool_)
        self.is_mark = self.ends_in_mark = self.ends_in_comma = np.empty(0, np.bool_)


class WordReader:
    """Reads captions and remembers their words; `forget` empties it."""

    def __init__(self, max_words: int, max_chars: int) -> None:
        self._max_words = max_words
        self._max_chars = max_chars
        self.forget()

    def forget(self) -> None:
        """Forget all words: ids begin anew."""
        self.words: list[str] = []
        self._word_ids: dict[str, int] = {}
        self._tokens = _Tokens()
        self._flat = np.empty(0, np.int64)  # word ids of the tokens, one token behind the other

    @property
    def num_tokens(self) -> int:
        """How many different tokens are remembered."""
        return len(self._tokens.index)

    def read(self, captions: pa.Array) -> Words:
        """The words of the captions, a string array without nulls, and which of them are not to be parsed."""
        if not len(captions):
            return Words(np.empty(0, np.int64), np.empty(0, np.int64), {})
        lists = pc.ascii_split_whitespace(captions)
        encoded = lists.flatten().dictionary_encode()
        known = self._known(encoded.dictionary.to_pylist())[encoded.indices.to_numpy()]
        owners = np.repeat(np.arange(len(captions)), pc.list_value_length(lists).to_numpy())
        slow = self._need_care(captions, known, owners)
        fast = ~slow[owners]
        ids, places = self._spread(known[fast])
        owners = owners[fast][places]
        if not slow.any():
            return Words(ids, owners, {})
        return self._with_slow(captions, np.flatnonzero(slow), ids, owners)

    def _known(self, tokens: list[str]) -> Ints:
        """The index of every token; new ones are looked into."""
        tokens_known = self._tokens
        new = [token for token in tokens if token not in tokens_known.index]
        if new:
            self._learn(new)
        return np.fromiter(map(tokens_known.index.__getitem__, tokens), np.int64, len(tokens))

    def _learn(self, new: list[str]) -> None:
        known = self._tokens
        known.index.update(zip(new, range(len(known.index), len(known.index) + len(new)), strict=True))
        texts = [token.replace("-", " ") if _is_simple(token) else "" for token in new]
        words = [[self._word_id(word) for word in words_of(text)] for text in texts]
        counts = np.array([len(ids) for ids in words], np.int64)
        known.first_word = np.append(known.first_word, len(self._flat) + np.cumsum(counts) - counts)
        known.num_words = np.append(known.num_words, counts)
        self._flat = np.append(self._flat, np.array([i for ids in words for i in ids], np.int64))
        is_mark = [text in _MARKS for text in texts]
        known.num_parts = np.append(
            known.num_parts, [0 if mark else len(t.split()) for t, mark in zip(texts, is_mark, strict=True)]
        )
        known.simple = np.append(known.simple, [bool(text) for text in texts])
        known.english = np.append(known.english, [bare(token) in ENGLISH for token in new])
        known.foreign = np.append(known.foreign, [bare(token) in FOREIGN for token in new])
        parts = [_parts(token) for token in new]
        known.on_image = np.append(known.on_image, [not boilerplate.IMAGE_NOUNS.isdisjoint(p) for p in parts])
        beside = [not boilerplate.BESIDE_IMAGES.isdisjoint(p) for p in parts]
        known.beside_image = np.append(known.beside_image, beside)
        known.lettered = np.append(known.lettered, [text[:1].isalpha() for text in texts])
        known.is_mark = np.append(known.is_mark, is_mark)
        known.ends_in_mark = np.append(known.ends_in_mark, [text.endswith(_MARKS) for text in texts])
        known.ends_in_comma = np.append(known.ends_in_comma, [text.endswith(",") for text in texts])

    def _word_id(self, word: str) -> int:
        found = self._word_ids.get(word)
        if found is None:
            found = self._word_ids[word] = len(self.words)
            self.words.append(word)
        return found

    def _need_care(self, captions: pa.Array, known: Ints, owners: Ints) -> np.ndarray:
        """Which captions are not certain to be parsed, or whose words cleaning may change."""

        def count(of_token: np.ndarray) -> np.ndarray:
            return np.bincount(owners, of_token, minlength=len(captions))

        tokens = self._tokens
        slow = count(~tokens.simple[known]) > 0
        slow |= (count(tokens.english[known]) == 0) & (count(tokens.foreign[known]) > 1)
        slow |= (count(tokens.on_image[known]) > 0) & (count(tokens.beside_image[known]) > 0)
        slow |= count(tokens.num_parts[known]) > self._max_words
        if len(known):
            first = np.append(True, owners[1:] != owners[:-1])
            last = np.append(first[1:], True)
            after_mark = np.append(True, tokens.ends_in_mark[known][:-1]) | first
            # marks behind marks run together, and those at either end of a caption go
            slow |= count(tokens.is_mark[known] & after_mark) > 0
            slow |= count(first & tokens.lettered[known]) == 0
            slow |= count(last & tokens.ends_in_comma[known]) > 0
        broken = pc.match_substring(captions, "\n").to_numpy(zero_copy_only=False)  # a line's end is read as a comma
        return slow | broken | (pc.utf8_length(captions).to_numpy() > self._max_chars)

    def _spread(self, known: Ints) -> tuple[Ints, Ints]:
        """The word ids of tokens, and the place of the token that each is from."""
        counts = self._tokens.num_words[known]
        places = np.repeat(np.arange(len(known)), counts)
        before = np.cumsum(counts) - counts
        inside = np.arange(len(places)) - before[places]
        return self._flat[self._tokens.first_word[known][places] + inside], places

    def _with_slow(self, captions: pa.Array, slow: Ints, ids: Ints, owners: Ints) -> Words:
        refused: dict[int, tuple[str, str]] = {}
        more_ids: list[int] = []
        more_owners: list[int] = []
        for caption, raw in zip(slow.tolist(), captions.take(pa.array(slow)).to_pylist(), strict=True):
            cleaned = clean_caption(raw[: self._max_chars])
            refusal = skip_reason(raw, cleaned, self._max_words, self._max_chars)
            if refusal is not None:
                refused[caption] = refusal
                continue
            own = [self._word_id(word) for word in words_of(cleaned)]
            more_ids += own
            more_owners += [caption] * len(own)
        all_owners = np.append(owners, np.array(more_owners, np.int64))
        order = np.argsort(all_owners, kind="stable")
        return Words(np.append(ids, np.array(more_ids, np.int64))[order], all_owners[order], refused)


def _is_simple(token: str) -> bool:
    if _SIMPLE.match(token) is None:
        return False
    parts = _parts(token)
    return _CARE.isdisjoint(parts) and boilerplate.KEYWORDS.isdisjoint(parts)


def _parts(token: str) -> list[str]:
    return token.lower().rstrip("".join(_MARKS)).split("-")
