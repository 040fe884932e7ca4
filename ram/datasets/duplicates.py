"""Which images show the same: exactly, by the hash of their bytes, or nearly, by a 64-bit perceptual hash."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

NUM_BITS = 64
MAX_DISTANCE = 10  # beyond it unlike images meet, and the search below has nothing left to go by

Indices = NDArray[np.int64]


def find_duplicates(
    sha256: NDArray[np.bytes_], hashes: NDArray[np.uint64], priority: NDArray[np.int64], max_distance: int | None
) -> Indices:
    """For each of N images the index of the kept image that it repeats, or -1 where it is kept itself.

    Of images that are alike, the one of the lowest `priority` number is kept, and of those the first. Being alike is
    not passed on: an image is refused only for being within `max_distance` bits of one that is kept (None: for having
    the same bytes). Memory is some 100 bytes per image.
    """
    if len(hashes) == 0:
        return np.zeros(0, np.int64)
    order = np.argsort(priority, kind="stable")  # from here on a lower number is a worthier image
    keeper = _first_equal(sha256[order])
    if max_distance is not None:
        keeper = _first_equal(hashes[order])  # the same bytes have the same hash
        leaders = np.flatnonzero(keeper == np.arange(len(order)))
        first, second = near_pairs(hashes[order][leaders], max_distance)
        keeper = _choose(leaders, first, second)[np.searchsorted(leaders, keeper)]
    kept = keeper == np.arange(len(order))
    result = np.empty(len(order), np.int64)
    result[order] = np.where(kept, -1, order[keeper])
    return result


def _first_equal(values: NDArray[np.generic]) -> Indices:
    """For each value the index of the first that equals it."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return first[inverse]


def _choose(leaders: Indices, first: Indices, second: Indices) -> Indices:
    """For each leader the leader kept in its place; pairs (first < second) are positions in `leaders`.

    Going from the worthiest down, a leader gives way to the worthiest kept one that it is near to.
    """
    keeper = np.arange(len(leaders))
    order = np.lexsort((first, second))
    for a, b in zip(first[order].tolist(), second[order].tolist(), strict=True):
        if keeper[a] == a and keeper[b] == b:
            keeper[b] = a
    return leaders[keeper]


def near_pairs(hashes: NDArray[np.uint64], max_distance: int) -> tuple[Indices, Indices]:
    """All pairs (first < second) of distinct hashes that differ in at most `max_distance` bits, 0 … 10.

    Cut into d + 2 bands, two hashes at distance d agree in at least 2 of them, so it is enough to compare those that
    share a pair of bands (multi-index hashing, Norouzi, Punjani and Fleet, CVPR 2012). For 14 M hashes and d = 4
    that is 15 sorts and some 7 candidates a hash in each.
    """
    if not 0 <= max_distance <= MAX_DISTANCE:
        raise ValueError(f"max_distance must be 0 to {MAX_DISTANCE} bits, got {max_distance}")
    edges = np.linspace(0, NUM_BITS, max_distance + 3).astype(int)
    bands = [(1 << int(high)) - (1 << int(low)) for low, high in itertools.pairwise(edges)]
    found = [_pairs_sharing(hashes, one | two, max_distance) for one, two in itertools.combinations(bands, 2)]
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _pairs_sharing(hashes: NDArray[np.uint64], mask: int, max_distance: int) -> Indices:
    """Pairs (P, 2) of hashes that agree in all bits of `mask` and differ in at most `max_distance` others."""
    keys = hashes & np.uint64(mask)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    position = np.arange(len(keys))
    found = [np.zeros((0, 2), np.int64)]
    for step in range(1, len(keys)):
        position = position[position + step < len(keys)]
        position = position[keys[position] == keys[position + step]]  # one that has run out of its bucket stays out
        if len(position) == 0:
            break
        pair = np.sort(np.stack([order[position], order[position + step]], axis=1), axis=1)
        distance = np.bitwise_count(hashes[pair[:, 0]] ^ hashes[pair[:, 1]])
        found.append(pair[distance <= max_distance])
    return np.concatenate(found)
