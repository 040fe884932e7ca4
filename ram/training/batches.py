"""Rows -> batches: what one process needs for one step."""

# B images of this process, T tags of the step

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ram.training.sampler import STEP, Corpus, batch_rows, num_steps, sample_tags

PREDICTED_TARGETS = ("hard", "score", "probability")


class Inputs(Protocol):
    """Where the model's inputs come from: cached features, or images."""

    cached: bool  # True: `read` gives outputs of the model's trunk; False: images
    shards: bool  # True: reading in the order of the shards is faster

    def read(self, image_ids: Sequence[str], seeds: np.ndarray | None) -> Tensor:
        """One view of each image, drawn by its seed; without seeds the plain image."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchParams:
    """What a step looks at."""

    batch_size: int  # images a step, over all processes
    num_tags_per_step: int = 0  # tags scored in a step; 0: all
    negative_power: float = 0.0  # negatives drawn by (images of the tag)^power; 0: evenly
    predicted_target: str = "hard"  # hard, score or probability: see `examples_from_tags`
    shuffle_buffer: int = 4096  # images from shards are shuffled within so many places

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        if self.num_tags_per_step < 0:
            raise ValueError(f"num_tags_per_step must be 0 (all) or more, got {self.num_tags_per_step}")
        if self.predicted_target not in PREDICTED_TARGETS:
            known = ", ".join(PREDICTED_TARGETS)
            raise ValueError(f"predicted_target must be one of {known}, got {self.predicted_target!r}")
        if self.shuffle_buffer < 1:
            raise ValueError(f"shuffle_buffer must be at least 1, got {self.shuffle_buffer}")


@dataclass
class Batch:
    """One process's part of a step; `num_*` count over all processes."""

    inputs: Tensor
    tag_ids: Tensor  # (T,)
    targets_BT: Tensor  # float32 in [0, 1]
    known_BT: Tensor  # bool
    captioned: Tensor  # places in the batch of the images whose caption is learned
    captions: list[str]
    tag_texts: list[list[str]]  # the tags that go into each caption
    caption_of: Tensor  # (captions of this process,): their rows in caption_embedding_CE
    caption_embedding_CE: Tensor | None  # of the captions of all processes
    num_images: int
    num_known: int
    num_captions: int
    seed: int


class _Caption(NamedTuple):
    place: int  # of its image in the whole batch
    part: int
    row: int  # of its image in the part
    text: int  # its number among the part's captions
    caption_index: int


class Batches(Dataset[Batch]):
    """All batches of a training run, by step from its beginning; a pure function of the seed and the step."""

    def __init__(
        self,
        corpus: Corpus,
        inputs: Inputs,
        params: BatchParams,
        tag_names: Sequence[str],
        *,
        seed: int,
        always: Sequence[int] = (),
        caption_share: float = 0.0,
        caption_every: int = 1,
        caption_embeddings: Sequence[np.ndarray] | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """`always` are tags to prefer in every step; `caption_embeddings` are per part, by number of the text."""
        smallest = corpus.epoch_size // num_steps(corpus.epoch_size, params.batch_size)
        if smallest < world_size:
            raise ValueError(
                f"batches of {smallest} images cannot be shared by {world_size} processes; start fewer, or raise "
                f"batch_size, which is {params.batch_size} over all of them"
            )
        self.corpus, self.inputs, self.params, self.tag_names = corpus, inputs, params, list(tag_names)
        self.seed, self.always = seed, np.asarray(always, np.int64)
        self.caption_share, self.caption_every = caption_share, caption_every
        self.caption_embeddings = caption_embeddings
        self.rank, self.world_size = rank, world_size
        self.steps_per_epoch = num_steps(corpus.epoch_size, params.batch_size)
        self.num_positives = np.sum([part.num_positives() for part in corpus.parts], axis=0)
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def __getitem__(self, step: int) -> Batch:
        epoch, step_of_epoch = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            window = self.params.shuffle_buffer if self.inputs.shards else None
            self._epoch, self._order = epoch, self.corpus.epoch_order(self.seed, epoch, window)
        rows = batch_rows(self._order, self.params.batch_size, step_of_epoch)
        return self._make(rows, step, np.random.default_rng([self.seed, step, STEP]))

    def _make(self, rows: np.ndarray, step: int, rng: np.random.Generator) -> Batch:
        # Everything random is drawn for the whole batch, then cut: the same on any number of processes.
        view_seeds = rng.integers(0, 1 << 62, len(rows))
        caption_draws = rng.random(len(rows))
        tag_ids, targets, known = self._labels(rows, rng)
        captions = self._captions(rows, step, caption_draws)
        mine = np.arange(self.rank, len(rows), self.world_size)
        part, local = self.corpus.locate(rows)
        image_ids = [self.corpus.parts[p].image_ids.take([i])[0] for p, i in zip(part[mine], local[mine], strict=True)]
        chosen = [caption for caption in captions if caption.place % self.world_size == self.rank]
        return Batch(
            inputs=self.inputs.read(image_ids, view_seeds[mine]),
            tag_ids=torch.from_numpy(tag_ids),
            targets_BT=torch.from_numpy(targets[mine]),
            known_BT=torch.from_numpy(known[mine]),
            captioned=torch.tensor([caption.place // self.world_size for caption in chosen], dtype=torch.long),
            captions=[self.corpus.parts[c.part].caption_texts.take([c.text])[0] for c in chosen],
            tag_texts=[self._tag_texts(caption, view_seeds[caption.place]) for caption in chosen],
            caption_of=torch.tensor([captions.index(caption) for caption in chosen], dtype=torch.long),
            caption_embedding_CE=self._embeddings(captions),
            num_images=len(rows),
            num_known=int(known.sum()),
            num_captions=len(captions),
            seed=int(rng.integers(1 << 62)),
        )

    def _labels(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The tags of the step, (T,), and the targets and known labels of all its images, (B, T)."""
        part, local = self.corpus.locate(rows)
        entries = []
        candidate = np.zeros(len(self.tag_names), bool)
        for number in np.unique(part):
            examples, places = self.corpus.parts[number], np.flatnonzero(part == number)
            of, columns = examples.labels.gather(local[places])
            entries.append((places[of], columns["tag_id"], columns["target"]))
            candidate |= examples.known_K
        place, tag, target = (np.concatenate(column) for column in zip(*entries, strict=True))
        weight = None
        if self.params.negative_power:
            weight = np.maximum(self.num_positives, 1.0) ** self.params.negative_power
        tag_ids = sample_tags(
            np.unique(tag), candidate, self.params.num_tags_per_step, rng, always=self.always, weight_K=weight
        )
        targets = np.zeros((len(rows), len(tag_ids)), np.float32)
        # Two rows may name the same tag of an image; the surer one counts.
        np.maximum.at(targets, (place, np.searchsorted(tag_ids, tag)), target)
        known = np.stack([examples.known_K[tag_ids] for examples in self.corpus.parts])[part]
        self._leave_out_unknown(known, part, place, np.searchsorted(tag_ids, tag), target)
        return tag_ids, targets, known

    def _leave_out_unknown(
        self, known: np.ndarray, part: np.ndarray, place: np.ndarray, column: np.ndarray, target: np.ndarray
    ) -> None:
        """Take from `known`, (B, T), what single rows say is unknown, and what no row names where a part is incomplete."""
        incomplete = ~np.array([examples.complete for examples in self.corpus.parts])[part]
        if incomplete.any():
            named = np.zeros_like(known)
            named[place, column] = True
            known[incomplete] &= named[incomplete]
        unknown = target < 0
        known[place[unknown], column[unknown]] = False

    def _captions(self, rows: np.ndarray, step: int, draws: np.ndarray) -> list[_Caption]:
        """One caption each of the first images of the batch that have any, as many images as the parameters say."""
        if step % self.caption_every:
            return []
        part, local = self.corpus.locate(rows)
        chosen = []
        for place in range(math.ceil(self.caption_share * len(rows))):
            _, columns = self.corpus.parts[part[place]].captions.gather(local[place : place + 1])
            if len(columns["text"]):
                choice = int(draws[place] * len(columns["text"]))
                text, index = int(columns["text"][choice]), int(columns["index"][choice])
                chosen.append(_Caption(place, int(part[place]), int(local[place]), text, index))
        return chosen

    def _tag_texts(self, caption: _Caption, seed: int) -> list[str]:
        """The names of the tags that this caption states, shuffled: their order must say nothing (Tag2Text, 3.3)."""
        _, columns = self.corpus.parts[caption.part].labels.gather(np.array([caption.row]))
        stated = (columns["captions"] >> min(caption.caption_index, 62)) & 1 == 1
        tag_ids = np.random.default_rng(seed).permutation(np.unique(columns["tag_id"][stated]))
        return [self.tag_names[tag_id] for tag_id in tag_ids]

    def _embeddings(self, captions: list[_Caption]) -> Tensor | None:
        if self.caption_embeddings is None or not captions:
            return None
        rows = [self.caption_embeddings[caption.part][caption.text] for caption in captions]
        return torch.from_numpy(np.stack(rows).astype(np.float32))
