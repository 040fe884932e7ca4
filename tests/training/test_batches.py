from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from ram.io.arrays import Ragged, Texts
from ram.training.batches import Batches, BatchParams
from ram.training.examples import Examples
from ram.training.sampler import Corpus, num_steps


def test_targets_are_the_labels_of_the_images(make_batches: Callable[..., Batches], examples: Examples) -> None:
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
            assert (part.num_images, part.num_captions) == (len(batch.inputs), len(batch.captions))
            assert part.seed == batch.seed


class NumberedImages:
    """Images of shards that tell of themselves their number and their seed."""

    cached, shards = False, True

    def read(self, image_ids: Sequence[str], seeds: np.ndarray | None) -> torch.Tensor:
        assert seeds is not None
        numbers = [int(image_id.rpartition("/")[2]) for image_id in image_ids]
        return torch.tensor([[number, int(seed)] for number, seed in zip(numbers, seeds, strict=True)])


def sharded_corpus(directory: Path, sizes: Sequence[int]) -> Corpus:
    """As many shards as sizes, of so many images each; every image has one of three tags."""
    num = sum(sizes)
    Texts.write(directory / "ids", [[f"web/{i}" for i in range(num)]])
    Texts.write(directory / "texts", [])
    labels = {"tag_id": np.arange(num) % 3, "target": np.ones(num, np.float32), "captions": np.zeros(num, np.int64)}
    dtypes = {name: column.dtype for name, column in labels.items()}
    Ragged.write(directory / "labels", num, lambda: iter([(np.arange(num), labels)]), dtypes)
    Ragged.write(directory / "captions", num, lambda: iter([]), {"text": np.int64, "index": np.int16})
    examples = Examples(
        image_ids=Texts(directory / "ids"),
        shard_N=np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
        labels=Ragged(directory / "labels"),
        known_K=np.ones(3, bool),
        captions=Ragged(directory / "captions"),
        caption_texts=Texts(directory / "texts"),
    )
    return Corpus((examples,))


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=7),
    world_size=st.integers(1, 5),
    num_workers=st.integers(0, 4),
    batch_size=st.integers(1, 16),
    window=st.integers(1, 20),
)
def test_ranks_and_workers_see_every_image_of_the_shards_once_an_epoch_in_batches_that_hang_on_neither(
    sizes: list[int], world_size: int, num_workers: int, batch_size: int, window: int
) -> None:
    world_size = min(world_size, sum(sizes) // num_steps(sum(sizes), batch_size))
    with tempfile.TemporaryDirectory() as directory:
        corpus = sharded_corpus(Path(directory), sizes)
        params = BatchParams(batch_size=batch_size, shuffle_buffer=window)
        alone = Batches(corpus, NumberedImages(), params, ["a", "b", "c"], seed=7)
        steps = range(2 * alone.steps_per_epoch)
        whole = [alone[step].inputs for step in steps]
        got = [torch.empty_like(batch) for batch in whole]
        for rank in range(world_size):
            # As DataLoader does: worker i of n makes every nth batch, with a copy of the data set of its own.
            for worker in range(max(num_workers, 1)):
                mine = Batches(
                    corpus, NumberedImages(), params, ["a", "b", "c"], seed=7, rank=rank, world_size=world_size
                )
                for step in steps[worker :: max(num_workers, 1)]:
                    got[step][rank::world_size] = mine[step].inputs
    for batch, expected in zip(got, whole, strict=True):
        assert torch.equal(batch, expected)
    for epoch in range(2):
        seen = torch.cat(whole[epoch * alone.steps_per_epoch : (epoch + 1) * alone.steps_per_epoch])[:, 0]
        assert sorted(seen.tolist()) == list(range(sum(sizes)))


@pytest.mark.parametrize(("world_size", "num_workers"), [(1, 2), (3, 2)])
def test_real_loaders_of_all_ranks_together_give_every_image_once(
    tmp_path: Path, world_size: int, num_workers: int
) -> None:
    corpus = sharded_corpus(tmp_path, [5, 1, 7, 4, 2])
    seen: list[int] = []
    for rank in range(world_size):
        batches = Batches(
            corpus, NumberedImages(), BatchParams(batch_size=4), ["a", "b", "c"], seed=1, rank=rank,
            world_size=world_size,
        )  # fmt: skip
        loader = DataLoader(batches, sampler=range(batches.steps_per_epoch), batch_size=None, num_workers=num_workers)
        for batch in loader:
            seen += batch.inputs[:, 0].tolist()
    assert sorted(seen) == list(range(19))


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


def test_captions_are_of_a_share_of_the_images_and_of_some_steps(make_batches: Callable[..., Batches]) -> None:
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


@pytest.mark.parametrize(("batch_size", "world_size"), [(32, 21), (8, 7)])  # of 20 images: batches of 20; 6, 7, 7
def test_more_processes_than_images_of_a_batch_is_an_error(
    make_batches: Callable[..., Batches], batch_size: int, world_size: int
) -> None:
    make_batches(BatchParams(batch_size=batch_size), world_size=world_size - 1)
    with pytest.raises(ValueError, match="start fewer, or raise batch_size"):
        make_batches(BatchParams(batch_size=batch_size), world_size=world_size)
