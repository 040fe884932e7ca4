from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ram.training.batches import Batches, BatchParams
from ram.training.examples import Examples
from ram.training.order import Corpus


def test_targets_are_the_labels_of_the_pictures(make_batches: Callable[..., Batches], examples: Examples) -> None:
    batches = make_batches(BatchParams(batch_size=8, num_tags_per_step=5))
    ids = examples.image_ids.take(range(len(examples)))
    order = batches.corpus.epoch_order(5, 0)
    seen = 0
    for step in range(batches.steps_per_epoch):
        batch = batches[step]
        for row in batch.targets_BT:
            number = int(ids[order[seen]].split("/")[1])
            expected = {number % 6, (number * number + 1) % 6}
            assert {int(t) for t in batch.tag_ids[row > 0]} == expected
            seen += 1
        assert batch.known_BT.all()
    assert seen == 20


def test_every_number_of_processes_shares_the_same_batch(make_batches: Callable[..., Batches]) -> None:
    whole = make_batches()
    for step in (0, 4):
        batch = whole[step]
        parts = [make_batches(rank=rank, world_size=3)[step] for rank in range(3)]
        for rank, part in enumerate(parts):
            torch.testing.assert_close(part.inputs, batch.inputs[rank::3])
            torch.testing.assert_close(part.targets_BT, batch.targets_BT[rank::3])
            assert part.captions == batch.captions[rank::3]
            assert part.tag_texts == batch.tag_texts[rank::3]
            assert torch.equal(part.tag_ids, batch.tag_ids)
            assert (part.num_pictures, part.num_captions) == (len(batch.inputs), len(batch.captions))
            assert part.seed == batch.seed


def test_worker_processes_give_the_same_batches_in_the_same_order(make_batches: Callable[..., Batches]) -> None:
    steps = range(1, 6)
    loader = DataLoader(make_batches(), sampler=steps, batch_size=None, num_workers=2)
    for step, batch in zip(steps, loader, strict=True):
        torch.testing.assert_close(batch.inputs, make_batches()[step].inputs)
        assert batch.captions == make_batches()[step].captions


def test_the_tags_given_with_a_caption_are_those_it_states(make_batches: Callable[..., Batches]) -> None:
    batches = make_batches()
    texts = {name: i for i, name in enumerate(batches.tag_names)}
    for step in range(batches.steps_per_epoch):
        batch = batches[step]
        for caption, tags in zip(batch.captions, batch.tag_texts, strict=True):
            _, index, _, image_id = caption.split()
            number = int(image_id.split("/")[1])
            stated = {t for t in {number % 6, (number * number + 1) % 6} if t % 2 == int(index)}
            assert {texts[tag] for tag in tags} == stated


def test_captions_are_of_a_share_of_the_pictures_and_of_some_steps(make_batches: Callable[..., Batches]) -> None:
    batches = make_batches(caption_share=0.5, caption_every=2)
    assert [batches[step].num_captions for step in range(4)] == [3, 0, 4, 0]
    assert batches[0].captioned.tolist() == [0, 1, 2]


def test_labels_that_a_part_does_not_know_are_masked(examples: Examples) -> None:
    import dataclasses

    known = np.array([True, True, False, False, False, False])
    corpus = Corpus((dataclasses.replace(examples, known_K=known),), examples, 0.5)

    class Nothing:
        cached, shards = True, False

        def read(self, image_ids: list[str], seeds: np.ndarray | None) -> torch.Tensor:
            return torch.zeros(len(image_ids), 1)

    batches = Batches(corpus, Nothing(), BatchParams(batch_size=10), [*"abcdef"], seed=0)
    for step in range(batches.steps_per_epoch):
        part, _ = corpus.locate(corpus.epoch_order(0, 0)[step * 10 : step * 10 + 10])
        batch = batches[step]
        expected = np.where(part[:, None] == 0, known, True)
        np.testing.assert_array_equal(batch.known_BT.numpy(), expected)
        assert batch.num_known == expected.sum()


def test_more_processes_than_pictures_is_an_error(make_batches: Callable[..., Batches]) -> None:
    with pytest.raises(ValueError, match="start fewer"):
        make_batches(world_size=21)
