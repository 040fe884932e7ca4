from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.datasets.duplicates import find_duplicates, near_pairs


def clusters(rng: np.random.Generator, count: int, max_flips: int) -> np.ndarray:
    """Random hashes in groups that differ in few bits."""
    centers = rng.integers(0, 2**63, size=max(count // 4, 1), dtype=np.uint64)
    hashes = rng.choice(centers, count)
    for index in range(count):
        for bit in rng.choice(64, rng.integers(0, max_flips + 1), replace=False):
            hashes[index] ^= np.uint64(1 << int(bit))
    return hashes


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), max_distance=st.integers(0, 10))
def test_near_pairs_are_those_that_comparing_all_with_all_finds(seed: int, max_distance: int) -> None:
    hashes = np.unique(clusters(np.random.default_rng(seed), 40, max_distance))
    expected = {
        (i, j)
        for i, j in itertools.combinations(range(len(hashes)), 2)
        if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= max_distance
    }
    first, second = near_pairs(hashes, max_distance)
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == expected


def greedy(shas: np.ndarray, hashes: np.ndarray, priority: np.ndarray, max_distance: int | None) -> list[int]:
    """The definition, one image after the other."""
    result = [-1] * len(hashes)
    kept: list[int] = []
    for index in sorted(range(len(hashes)), key=lambda i: (priority[i], i)):
        for other in kept:
            far = (int(hashes[index]) ^ int(hashes[other])).bit_count()
            if shas[index] == shas[other] or (max_distance is not None and far <= max_distance):
                result[index] = other
                break
        else:
            kept.append(index)
    return result


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), max_distance=st.one_of(st.none(), st.integers(0, 6)))
def test_the_worthiest_of_those_alike_stays(seed: int, max_distance: int | None) -> None:
    rng = np.random.default_rng(seed)
    hashes = clusters(rng, 40, 4)
    shas = np.array([f"{value:032x}" for value in hashes.tolist()], dtype="S32")  # the same bytes, the same hash
    priority = rng.integers(0, 4, 40)
    found = find_duplicates(shas, hashes, priority, max_distance)
    assert found.tolist() == greedy(shas, hashes, priority, max_distance)


def test_nothing_has_no_duplicates() -> None:
    empty = np.zeros(0, np.uint64)
    assert len(find_duplicates(empty.astype("S32"), empty, empty.astype(np.int64), 4)) == 0


def test_a_distance_out_of_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="0 to 10 bits, got 11"):
        near_pairs(np.zeros(2, np.uint64), 11)
