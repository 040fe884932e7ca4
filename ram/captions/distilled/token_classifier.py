"""Words around a word -> its label, by votes: every context of a word, seen before, votes for each label.

A context is a window of words or word classes ("a _ board": the word before, the word behind). The votes are the weights of
a multinomial logistic regression, learned by AdaGrad, rounded to whole numbers; the label with most votes wins.
Everything works on arrays of many captions at once. N words, T templates, R contexts, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[Any]  # of whole numbers
Columns = Mapping[str, Ints]  # w, c, d -> the numbers of all words, padded

# Of each word: w its id, c its class, d the word that may deny it; the number is the place beside the word itself.
TEMPLATES: tuple[tuple[str, ...], ...] = (
    ("w0",), ("w-1",), ("w1",),
    ("w-1", "w0"), ("w0", "w1"), ("c-1", "w0", "c1"),
    ("c-2", "c-1", "c0"), ("c0", "c1", "c2"), ("d0", "c0"),
)  # fmt: skip
PADDING = 2  # ids 0, of no word, that stand before the first word and behind the last one of every caption
MAX_IDS = 1 << 19
SCALE = 100  # votes a unit of log-odds

_BATCH_SIZE = 2048
_EPOCHS = 8
_RATE = 0.1  # low: what is learned longer fits the sample better and other captions worse
_LEAST_VOTES = 5  # a context whose votes are all below says nothing


def context_keys(columns: Columns, places: Ints) -> Ints:
    """The contexts of the words at `places` as numbers, T x N."""
    seen = {part: columns[part[0]][places + int(part[1:])] for parts in TEMPLATES for part in parts}
    keys = np.empty((len(TEMPLATES), len(places)), np.int64)
    for template, parts in enumerate(TEMPLATES):
        key = seen[parts[0]] + (template + 1) * MAX_IDS
        for part in parts[1:]:
            key = key * MAX_IDS + seen[part]
        keys[template] = key * MAX_IDS ** (3 - len(parts))
    return keys


def key_of(template: int, ids: Sequence[int]) -> int:
    """The number of one context, as `context_keys` has it."""
    key = template + 1
    for part in ids:
        key = key * MAX_IDS + part
    return key * MAX_IDS ** (3 - len(ids))


def parts_of(key: int) -> tuple[int, list[int]]:
    """The inverse of `key_of`: a context's template and ids."""
    template = key // MAX_IDS**3 - 1
    parts = [key // MAX_IDS**2 % MAX_IDS, key // MAX_IDS % MAX_IDS, key % MAX_IDS]
    return template, parts[: len(TEMPLATES[template])]


class Votes:
    """The votes of contexts, found by hashing."""

    def __init__(self, keys: Ints, votes: NDArray[np.int32]) -> None:
        order = np.argsort(keys)
        self.keys = keys[order]
        self.votes = votes[order]
        self._keys = np.append(self.keys, -1)  # that of no row
        self._rows = np.vstack([self.votes, np.zeros_like(votes, shape=(1, votes.shape[1]))])  # the last: a new context
        self._bits = max(int(len(keys) * 4).bit_length(), 4)
        self._slots = self._fill()

    def _fill(self) -> Ints:
        """Row by slot, -1 where free: open addressing with linear probing."""
        slots = np.full(1 << self._bits, -1, np.int64)
        waiting = np.arange(len(self.keys))
        slot = self._hash(self.keys)
        while len(waiting):
            free = slots[slot] < 0
            slots[slot[free]] = waiting[free]  # of several the last one wins; the others see that below
            left = slots[slot] != waiting
            waiting, slot = waiting[left], (slot[left] + 1) % len(slots)
        return slots

    def _hash(self, keys: Ints) -> Ints:
        mixed = keys.astype(np.uint64)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
        return (mixed >> np.uint64(64 - self._bits)).astype(np.int64)

    def find(self, keys: Ints) -> Ints:
        """The row of each context; one behind the last row for those that are not known."""
        slot = self._hash(keys)
        rows = self._slots[slot]
        open_ = np.flatnonzero((rows >= 0) & (self._keys[rows] != keys))
        slot = slot[open_]
        while len(open_):
            slot = (slot + 1) % len(self._slots)
            found = self._slots[slot]
            rows[open_] = found
            left = (found >= 0) & (self._keys[found] != keys[open_])
            open_, slot = open_[left], slot[left]
        rows[rows < 0] = len(self.keys)
        return rows

    def labels(self, columns: Columns, places: Ints) -> Ints:
        """The label with most votes for each word at `places`; at a tie the first."""
        total = np.zeros((len(places), self.votes.shape[1]), np.int32)
        for keys in context_keys(columns, places):
            total += self._rows[self.find(keys)]
        return total.argmax(axis=1)


def learn_votes(
    keys: Ints, labels: Ints, certain: NDArray[np.bool_], *, num_labels: int, min_count: int, seed: int
) -> Votes:
    """Votes for the contexts (T x N) that stand `min_count` times or more, from labeled words."""
    known, counts = np.unique(keys, return_counts=True)
    known = known[counts >= min_count]
    rows = np.searchsorted(known, keys)
    rows = np.where(np.append(known, -1)[rows] == keys, rows, len(known))
    weights = _regress(rows.T[certain], labels[certain], len(known), num_labels, seed)
    votes = np.rint(weights * SCALE).astype(np.int32)
    votes -= np.rint(votes.mean(axis=1, keepdims=True)).astype(np.int32)  # only differences count
    telling = np.abs(votes).max(axis=1) >= _LEAST_VOTES
    return Votes(known[telling], votes[telling])


def _regress(rows: Ints, labels: Ints, num_rows: int, num_labels: int, seed: int) -> NDArray[np.float64]:
    """Weights R x L of a multinomial logistic regression on the contexts `rows` (N x T; R: none)."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(rows))
    batches = [_Batch(rows[part], labels[part], num_labels) for part in _chunks(order)]
    weights = np.zeros((num_rows + 1, num_labels))
    squares = np.full((num_rows + 1, num_labels), 1e-6)
    for _ in range(_EPOCHS):
        for index in generator.permutation(len(batches)):
            batch = batches[index]
            gradient = batch.gradient(weights)
            squares[batch.rows] += gradient**2
            weights[batch.rows] -= _RATE * gradient / np.sqrt(squares[batch.rows])
            weights[num_rows] = 0.0
    return weights[:num_rows]


def _chunks(order: Ints) -> list[Ints]:
    return np.array_split(order, max(1, len(order) // _BATCH_SIZE))


class _Batch:
    """Some labeled words, with their contexts numbered within the batch."""

    def __init__(self, rows: Ints, labels: Ints, num_labels: int) -> None:
        self.rows, inside = np.unique(rows, return_inverse=True)
        self._inside = inside.reshape(rows.shape).astype(np.int32)
        self._truth = np.eye(num_labels)[labels]

    def gradient(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        logits = weights[self.rows][self._inside].sum(axis=1)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        errors = shares / shares.sum(axis=1, keepdims=True) - self._truth
        flat, width = self._inside.ravel(), len(TEMPLATES)
        sums = np.empty_like(self._truth, shape=(len(self.rows), errors.shape[1]))
        for label, column in enumerate(errors.T):
            sums[:, label] = np.bincount(flat, np.repeat(column, width), minlength=len(self.rows))
        return sums
