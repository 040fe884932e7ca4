from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.validation.keys import KeyCounter

KEYS = st.lists(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3), max_size=30), max_size=5)


@settings(deadline=None, max_examples=50)
@given(KEYS, st.sampled_from([1, 7, 1000]))
def test_repeats_are_those_of_a_counter_in_memory_and_on_disk(
    tmp_path_factory, batches: list[list[int]], in_memory: int
) -> None:
    keys = [key for batch in batches for key in batch]
    directory = tmp_path_factory.mktemp("keys") / "own"
    counter = KeyCounter(directory, len(keys), keys_in_memory=in_memory)
    for batch in batches:
        counter.add(np.array(batch, np.int64))
    counts = Counter(keys)
    assert counter.finish() == (len(keys) - len(counts), max(counts.values(), default=0))
    assert not directory.exists()


@pytest.mark.parametrize("step", [1, 4585, 2**20])
def test_keys_in_arithmetic_progression_spread_over_the_buckets(tmp_path, step: int) -> None:
    counter = KeyCounter(tmp_path / "keys", 100_000, keys_in_memory=10_000)
    counter.add(np.arange(100_000) * step)
    sizes = [path.stat().st_size // 8 for path in (tmp_path / "keys").iterdir()]
    assert len(sizes) == 10
    assert max(sizes) < 15_000
    assert counter.finish() == (0, 1)
