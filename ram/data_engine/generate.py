"""What the scores and captions of a model add to the tags of images: tags it is sure of, and tags its captions name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from ram.data_engine.ground_truth import Truth
from ram.data_engine.sparse_scores import SparseScores
from ram.data_engine.tag_lists import TRUST, Known
from ram.data_engine.thresholds import ScoreHistogram
from ram.io.tables import Table
from ram.labels import LabelSystem
from ram.labels.tagging import CaptionTagger
from ram.labels.wordnet import load_wordnet

# B images, K tags, S kept scores


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionTagParams:
    """Which tags of a generated caption are taken."""

    implied_parents: bool  # the parents of a tag that it names are added too, as `tag_captions.implied_parents` does
    min_precision: float | None  # expected of the model's score of a tag that it names, else the tag is not added

    def __post_init__(self) -> None:
        if self.min_precision is not None and not 0 < self.min_precision < 1:
            raise ValueError(f"min_precision must lie between 0 and 1 or be null, got {self.min_precision}")


def labeled_histogram(batches: Iterable[SparseScores], truth: Truth, num_tags: int) -> ScoreHistogram:
    """Scores of images that `truth` labels against its labels; those that were not kept count as the lowest."""
    histogram = ScoreHistogram(num_tags)
    for kept in batches:
        scores_BK = np.zeros((len(kept.image_ids), num_tags), np.float32)
        scores_BK[kept.image_S, kept.tag_S] = kept.score_S
        histogram.add(scores_BK, *truth.targets(kept.image_ids, num_tags))
    return histogram


def captioned_histogram(
    batches: Iterable[tuple[SparseScores, Known]], top_k: int, floor: float, num_tags: int
) -> ScoreHistogram:
    """Scores of train images against the tags that they have; those that are not among the highest count as the lowest."""
    histogram = ScoreHistogram(num_tags)
    for kept, (images, tag_ids, _) in batches:
        high_S = kept.among_highest(top_k, floor)
        keys = images.astype(np.int64) * num_tags + tag_ids
        named_S = np.isin(kept.image_S.astype(np.int64) * num_tags + kept.tag_S, keys)
        num_named_K = np.bincount(tag_ids, minlength=num_tags)
        histogram.add_kept(kept.tag_S[high_S], kept.score_S[high_S], named_S[high_S], len(kept.image_ids), num_named_K)
    return histogram


@dataclass(frozen=True)
class Generator:
    """Adds to the tags of images what a model found in them."""

    threshold_K: np.ndarray
    max_added: int  # predicted tags that an image gets at most
    captioned_threshold_K: np.ndarray  # of tags that a generated caption names
    top_k: int  # as the scores were kept
    floor: float
    parse: Callable[[Sequence[str]], list[list[int]]] | None  # captions -> the tag ids each names; None: not read

    def rows(self, kept: SparseScores, captions: Sequence[str], known: Known) -> pd.DataFrame:
        """Tags of these images: columns image_id, tag_id, origin, score, image_score, in the order of the images.

        `captions` has one an image, or is empty. One row an (image, tag), with its most trusted origin.
        """
        found = [known, self._sure(kept)]
        if self.parse is not None and len(captions):
            image, tag_id, trust = _of_captions(self.parse(captions))
            agreed = kept.of(image, tag_id) >= self.captioned_threshold_K[tag_id]
            found.append((image[agreed], tag_id[agreed], trust[agreed]))
        return _merged(kept, found)

    def _sure(self, kept: SparseScores) -> Known:
        """Of each image the `max_added` highest of the scores that reach their tag's threshold."""
        reach_S = kept.among_highest(self.top_k, self.floor) & (kept.score_S >= self.threshold_K[kept.tag_S])
        image, tag_id = kept.image_S[reach_S], kept.tag_S[reach_S]  # the highest first, as they were kept
        few = np.arange(len(image)) - np.searchsorted(image, image) < self.max_added
        return image[few], tag_id[few], np.full(int(few.sum()), TRUST.index("predicted"))


def caption_parser(label_system: LabelSystem, implied_parents: bool) -> Callable[[Sequence[str]], list[list[int]]]:
    """A function from captions to the tag ids that each names, by the parser and tagger of the given captions."""
    tagger = CaptionTagger(label_system, load_wordnet(), implied_parents=implied_parents, implied_things="none")

    def parse(captions: Sequence[str]) -> list[list[int]]:
        from ram.captions import parse_captions

        stated = (tagger(phrases) for phrases in parse_captions(captions))
        return [sorted({*one.named, *one.implied}) for one in stated]

    return parse


def _of_captions(tags: Sequence[Sequence[int]]) -> Known:
    images = np.repeat(np.arange(len(tags)), [len(mine) for mine in tags])
    tag_ids = np.array([tag for mine in tags for tag in mine], dtype=np.int64)
    return images, tag_ids, np.full(len(tag_ids), TRUST.index("generated_caption"))


def _merged(kept: SparseScores, found: Sequence[Known]) -> pd.DataFrame:
    image, tag_id, trust = (np.concatenate(columns).astype(np.int64) for columns in zip(*found, strict=True))
    order = np.lexsort((trust, tag_id, image))
    image, tag_id, trust = image[order], tag_id[order], trust[order]
    first = np.ones(len(image), dtype=bool)
    first[1:] = (np.diff(image) != 0) | (np.diff(tag_id) != 0)
    image, tag_id, trust = image[first], tag_id[first], trust[first]
    image_score = kept.of(image, tag_id)
    said = trust <= TRUST.index("implied")
    return pd.DataFrame(
        {
            "image_id": np.asarray(kept.image_ids, dtype=object)[image],
            "tag_id": tag_id.astype(np.int32),
            "origin": np.asarray(TRUST, dtype=object)[trust],
            "score": np.where(said, 1.0, image_score).astype(np.float32),
            "image_score": image_score,
        }
    )


def score_batches(scores: Table, split: str, num_images: int = 4096) -> Iterator[SparseScores]:
    """The kept scores of the images of a split, some at a time."""
    for batch in scores.batches(["image_id", "split", "tag_ids", "scores"], num_images):
        mine = batch.filter(pc.equal(batch["split"], split))
        if len(mine):
            yield SparseScores.from_arrow(mine)
