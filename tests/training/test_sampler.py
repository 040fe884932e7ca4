from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.training.examples import Examples
from ram.training.sampler import Corpus, batch_rows, num_steps, sample_tags


@settings(max_examples=50, deadline=None)
@given(num_rows=st.integers(1, 200), batch_size=st.integers(1, 40))
def test_batches_take_every_row_once_and_none_is_too_large(num_rows: int, batch_size: int) -> None:
    order = np.random.default_rng(0).permutation(num_rows)
    batches = [batch_rows(order, batch_size, step) for step in range(num_steps(num_rows, batch_size))]
    assert np.concatenate(batches).tolist() == order.tolist()
    sizes = {len(batch) for batch in batches}
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("window", [None, 1, 5])
def test_an_epoch_has_every_image_once_and_hangs_on_seed_and_epoch_alone(corpus: Corpus, window: int | None) -> None:
    order = corpus.epoch_order(3, 1, window)
    assert sorted(order) == list(range(20))
    np.testing.assert_array_equal(order, corpus.epoch_order(3, 1, window))
    assert (order != corpus.epoch_order(3, 2, window)).any()
    assert (order != corpus.epoch_order(4, 1, window)).any()


def test_with_a_window_of_one_the_shards_are_read_one_after_the_other(corpus: Corpus) -> None:
    shards = corpus.main[0].shard_N[corpus.epoch_order(0, 0, 1)]
    assert (np.diff(shards) != 0).sum() == 2
    firsts = {int(corpus.main[0].shard_N[corpus.epoch_order(0, epoch, 1)[0]]) for epoch in range(20)}
    assert len(firsts) == 3


def test_no_image_leaves_its_window(examples: Examples) -> None:
    one_shard = dataclasses.replace(examples, shard_N=np.zeros(len(examples), np.int32))
    order = Corpus((one_shard,)).epoch_order(0, 0, 6)
    assert np.abs(order - np.arange(len(order))).max() < 6


def test_what_is_mixed_in_has_its_share_of_every_epoch_and_changes_with_it(examples: Examples) -> None:
    corpus = Corpus((examples,), examples, extra_share=0.2)
    assert corpus.epoch_size == 25
    chosen = [set(corpus.epoch_order(0, epoch)) for epoch in range(2)]
    for rows in chosen:
        assert set(range(20)) < rows
        assert len(rows) == 25
    assert chosen[0] != chosen[1]


@settings(max_examples=60, deadline=None)
@given(
    positive=st.sets(st.integers(0, 29), max_size=12),
    unknown=st.sets(st.integers(0, 29), max_size=10),
    num_tags=st.integers(0, 35),
    seed=st.integers(0, 99),
)
def test_a_step_scores_all_positives_and_others_up_to_its_number(
    positive: set[int], unknown: set[int], num_tags: int, seed: int
) -> None:
    candidate = np.ones(30, bool)
    candidate[sorted(unknown - positive)] = False
    got = sample_tags(np.array(sorted(positive), int), candidate, num_tags, np.random.default_rng(seed), always=[1, 2])
    assert positive <= set(got)
    assert candidate[got].all()
    assert got.tolist() == sorted(set(got))
    wanted = candidate.sum() if num_tags == 0 else min(num_tags, candidate.sum())
    # Preferred tags come on top of the positives, up to half of the number.
    assert wanted <= len(got) or num_tags == 0
    assert len(got) <= max(wanted, len(positive) + 2)


def test_preferred_tags_are_in_every_step_as_far_as_half_of_it_goes() -> None:
    preferred = list(range(50, 56))
    for seed in range(10):
        got = sample_tags(np.array([3]), np.ones(100, bool), 20, np.random.default_rng(seed), always=preferred)
        assert set(preferred) <= set(got)
        few = sample_tags(np.array([3]), np.ones(100, bool), 6, np.random.default_rng(seed), always=preferred)
        assert len(set(preferred) & set(few)) >= 3


def test_frequent_tags_are_drawn_more_often_where_weights_are_given() -> None:
    weight = np.where(np.arange(100) < 50, 10.0, 1.0)
    draws = [
        sample_tags(np.array([], int), np.ones(100, bool), 10, np.random.default_rng(seed), weight_K=weight)
        for seed in range(100)
    ]
    share = np.mean(np.concatenate(draws) < 50)
    assert 0.85 < share < 0.97
