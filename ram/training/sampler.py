"""Which images make up every batch: a pure function of the seed, the epoch and the step.

Every process knows the whole batch and takes its own part of it, so nothing is repeated or left out on any number of
processes and workers, and a run that goes on in the middle of an epoch sees the batches it would have seen.
"""

# N examples

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ram.training.examples import Examples

# What a random generator is for; with the seed, the epoch and the step it makes a stream of its own.
ORDER, STEP = 0, 1


@dataclass(frozen=True)
class Corpus:
    """The examples of a training run: all of `main` every epoch, and `extra` as the given share of it."""

    main: tuple[Examples, ...]
    extra: Examples | None = None
    extra_share: float = 0.0  # of an epoch's images; where `extra` has too few, all of them

    def __post_init__(self) -> None:
        if not 0 <= self.extra_share < 1:
            raise ValueError(f"the share mixed in must be in [0, 1), got {self.extra_share}")
        if not sum(map(len, self.main)):
            raise ValueError("there is no image to train on: no image of this split has a label")

    @property
    def parts(self) -> tuple[Examples, ...]:
        return self.main if self.extra is None else (*self.main, self.extra)

    @cached_property
    def starts(self) -> np.ndarray:
        """The first row of every part, and the end of the last."""
        return np.concatenate([[0], np.cumsum([len(part) for part in self.parts])])

    @cached_property
    def epoch_size(self) -> int:
        num_main = sum(map(len, self.main))
        return num_main + self._num_extra(num_main)

    def _num_extra(self, num_main: int) -> int:
        if self.extra is None:
            return 0
        return min(len(self.extra), round(num_main * self.extra_share / (1 - self.extra_share)))

    def locate(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The part that each row is of, and its place there."""
        part = np.searchsorted(self.starts, rows, side="right") - 1
        return part, rows - self.starts[part]

    def epoch_order(self, seed: int, epoch: int, window: int | None = None) -> np.ndarray:
        """The rows of one epoch in random order, each once.

        With a window, the order that suits reading from shards: shards in random order, and within them no image
        further than `window` places from where it lies; the parts are spread evenly over the epoch.
        """
        rng = np.random.default_rng([seed, epoch, ORDER])
        rows, keys = [], []
        for number, part in enumerate(self.parts):
            order = rng.permutation(len(part)) if window is None else _shard_order(part.shard_N, rng)
            if number == len(self.main):
                order = order[: self._num_extra(sum(map(len, self.main)))]
            place = np.arange(len(order)) + rng.uniform(0, len(order) if window is None else window, len(order))
            rows.append(order + self.starts[number])
            keys.append(place / max(len(order), 1))
        return np.concatenate(rows)[np.argsort(np.concatenate(keys), kind="stable")]


def num_steps(num_rows: int, batch_size: int) -> int:
    return math.ceil(num_rows / batch_size)


def batch_rows(order: np.ndarray, batch_size: int, step: int) -> np.ndarray:
    """The rows of one batch: an epoch is cut into batches that differ by one row at most, none above `batch_size`."""
    steps = num_steps(len(order), batch_size)
    assert 0 <= step < steps
    return order[len(order) * step // steps : len(order) * (step + 1) // steps]


def sample_tags(
    positive: np.ndarray,
    candidate_K: np.ndarray,
    num_tags: int,
    rng: np.random.Generator,
    *,
    always: Sequence[int] | np.ndarray = (),
    weight_K: np.ndarray | None = None,
) -> np.ndarray:
    """The tags that a step scores, ascending: all of `positive`, and others of `candidate_K` up to `num_tags` (0: all).

    Up to half of the tags come from `always`, where those are candidates; the rest are drawn without repeats, by
    `weight_K` where it is given. Since tags never interact, the loss of each sampled label is exact.
    """
    candidates = np.flatnonzero(candidate_K)
    if num_tags == 0 or len(candidates) <= num_tags:
        return candidates
    chosen = np.zeros(len(candidate_K), bool)
    chosen[positive] = True
    preferred = np.asarray(always, np.int64)
    preferred = preferred[candidate_K[preferred] & ~chosen[preferred]]
    chosen[rng.permutation(preferred)[: num_tags // 2]] = True
    rest = candidates[~chosen[candidates]]
    num_missing = min(num_tags - int(chosen.sum()), len(rest))
    if num_missing > 0:
        # The largest of log(weight) + Gumbel noise: a weighted draw without replacement.
        keys = rng.gumbel(size=len(rest))
        if weight_K is not None:
            keys += np.log(np.maximum(weight_K[rest], 1e-12))
        chosen[rest[np.argpartition(-keys, num_missing - 1)[:num_missing]]] = True
    return np.flatnonzero(chosen)


def _shard_order(shard_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows by shard, the shards in random order, the order within a shard kept."""
    if not len(shard_N):
        return np.empty(0, np.int64)
    return np.argsort(rng.permutation(int(shard_N.max()) + 1)[shard_N], kind="stable")
