"""What the preliminary model adds: tags it is sure of, and tags parsed from a caption it writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor

from ram.data_engine.thresholds import ScoreHistogram
from ram.data_engine.truth import Truth
from ram.inference.scorer import Scorer
from ram.label_system import LabelSystem
from ram.label_system.tagging import CaptionTagger
from ram.label_system.wordnet import load_wordnet
from ram.storage import Table

# B images, N image tokens, K tags, D token width

# One (image, tag) may be found in several ways: the most trusted one names its origin.
TRUST = ("human", "caption", "implied", "generated_caption", "predicted")


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionParams:
    """How the caption of a picture is generated."""

    num_beams: int  # 1: greedy
    min_tokens: int  # word pieces that a caption has at least
    length_penalty: float  # of the beam search: above 1 favours long captions
    implied_parents: bool  # the parents of a tag that it names are added too, as `tag_captions.implied_parents` does
    min_precision: float | None  # expected of the model's score of a tag that it names, else the tag is not added

    def __post_init__(self) -> None:
        if self.num_beams < 1 or self.min_tokens < 0:
            raise ValueError(
                f"num_beams must be 1 or more and min_tokens 0 or more, got {self.num_beams}, {self.min_tokens}"
            )
        if self.min_precision is not None and not 0 < self.min_precision < 1:
            raise ValueError(f"min_precision must lie between 0 and 1 or be null, got {self.min_precision}")


class TagLists:
    """The tags of many pictures in flat arrays, by the pictures' position: 5 bytes a row and 8 a picture."""

    def __init__(self, tags: Table, image_ids: Sequence[str]) -> None:
        """Reads the rows of `tags` whose picture is in `image_ids`; the others are left out."""
        index = pd.Index(image_ids)
        positions, tag_ids, origins = [np.empty(0, np.int64)], [np.empty(0, np.int32)], [np.empty(0, np.int8)]
        for batch in tags.batches(["image_id", "tag_id", "origin"]):
            position = index.get_indexer(batch["image_id"].to_pandas())
            found = position >= 0
            origin = pd.Categorical(batch["origin"].to_pandas().astype(str), categories=TRUST).codes
            positions.append(position[found])
            tag_ids.append(batch["tag_id"].to_numpy()[found])
            origins.append(origin[found])
        position = np.concatenate(positions)
        order = np.argsort(position, kind="stable")
        self.tag_ids = np.concatenate(tag_ids)[order]
        self.trust = np.concatenate(origins)[order]  # position in TRUST
        self._starts = np.searchsorted(position[order], np.arange(len(image_ids) + 1))

    def of(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The rows of pictures `start` to `stop`: picture (counted from `start`), tag id, position in `TRUST`."""
        bounds = self._starts[start : stop + 1]
        pictures = np.repeat(np.arange(stop - start), np.diff(bounds))
        rows = slice(bounds[0], bounds[-1])
        return pictures, self.tag_ids[rows], self.trust[rows]


def sure_tags(scores_BK: np.ndarray, threshold_K: np.ndarray, max_tags: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and tags of the scores that reach their tag's threshold: per picture the `max_tags` highest at most."""
    num_tags = min(max_tags, scores_BK.shape[1])
    if num_tags == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    reaching_BK = np.where(scores_BK >= threshold_K, scores_BK, -1.0)
    top_BT = np.argpartition(-reaching_BK, num_tags - 1, axis=1)[:, :num_tags]
    pictures, columns = np.nonzero(np.take_along_axis(reaching_BK, top_BT, axis=1) >= 0)
    return pictures, top_BT[pictures, columns]


def calibration_histograms(
    scorer: Scorer, truth: Truth, train_ids: Sequence[str], parsed: Table, batch_size: int
) -> tuple[ScoreHistogram, ScoreHistogram]:
    """Scores of the pictures that `truth` labels, and of training pictures against the tags of their captions."""
    num_tags = scorer.model.num_tags
    labelled, captioned = ScoreHistogram(num_tags), ScoreHistogram(num_tags)
    for ids, scores_BK in scorer.scores(truth.image_ids, batch_size=batch_size):
        labelled.add(scores_BK, *truth.targets(ids, num_tags))
    lists = TagLists(parsed, train_ids)
    start = 0
    for ids, scores_BK in scorer.scores(train_ids, batch_size=batch_size):
        positive_BK = np.zeros(scores_BK.shape, dtype=bool)
        pictures, tag_ids, _ = lists.of(start, start + len(ids))
        positive_BK[pictures, tag_ids] = True
        captioned.add(scores_BK, positive_BK)
        start += len(ids)
    return labelled, captioned


@dataclass(frozen=True)
class Generator:
    """Adds to the tags of pictures what the model finds in them."""

    scorer: Scorer
    threshold_K: np.ndarray
    max_added: int  # predicted tags that a picture gets at most
    caption: CaptionParams | None  # None: no captions are generated
    captioned_threshold_K: np.ndarray  # of tags that a generated caption names
    parse: Callable[[Sequence[str]], list[list[int]]]  # captions -> the tag ids that each names
    batch_size: int

    def run(
        self, image_ids: Sequence[str], known: tuple[np.ndarray, np.ndarray, np.ndarray]
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Tags of these pictures, and their generated captions.

        `known` are the tags that they have: picture, tag id, position in `TRUST`. Tags come one row an (image, tag)
        with its most trusted origin, in the order of the pictures; columns image_id, tag_id, origin, score, image_score.
        """
        rows, captions = [], []
        start = 0
        pictures, tag_ids, trust = known
        for ids, tokens_BND, _ in self.scorer.tokens(image_ids, self.batch_size):
            first, last = np.searchsorted(pictures, [start, start + len(ids)])
            scores_BK = self.scorer.fast.scores(tokens_BND)
            mine = slice(first, last)
            found = [(pictures[mine] - start, tag_ids[mine], trust[mine])]
            sure = sure_tags(scores_BK, self.threshold_K, self.max_added)
            found.append((*sure, np.full(len(sure[0]), TRUST.index("predicted"))))
            if self.caption is not None:
                written = self._write_captions(ids, tokens_BND, sure)
                captions.append(written)
                named = _of_captions(self.parse(written["caption"].tolist()))
                agreed = scores_BK[named[0], named[1]] >= self.captioned_threshold_K[named[1]]
                found.append((named[0][agreed], named[1][agreed], named[2][agreed]))
            rows.append(_merged(ids, scores_BK, found))
            start += len(ids)
        empty = pd.DataFrame({"image_id": [], "caption": [], "log_probability": []})
        return pd.concat(rows, ignore_index=True), pd.concat(captions or [empty], ignore_index=True)

    def _write_captions(
        self, ids: Sequence[str], tokens_BND: Tensor, sure: tuple[np.ndarray, np.ndarray]
    ) -> pd.DataFrame:
        assert self.caption is not None
        names = self.scorer.checkpoint.label_system.names
        # The model's own tags alone lead its caption: a wrong tag of the given caption shall not be said again.
        tag_texts = [[names[tag] for tag in sure[1][sure[0] == picture]] for picture in range(len(ids))]
        captions, log_probabilities = self.scorer.model.generate_captions(
            tokens_BND,
            tag_texts,
            num_beams=self.caption.num_beams,
            min_tokens=self.caption.min_tokens,
            length_penalty=self.caption.length_penalty,
        )
        return pd.DataFrame({"image_id": ids, "caption": captions, "log_probability": log_probabilities})


def caption_parser(label_system: LabelSystem, implied_parents: bool) -> Callable[[Sequence[str]], list[list[int]]]:
    """A function from captions to the tag ids that each names, by the parser and tagger of the given captions."""
    tagger = CaptionTagger(label_system, load_wordnet(), implied_parents=implied_parents, implied_things="none")

    def parse(captions: Sequence[str]) -> list[list[int]]:
        from ram.caption_parsing import parse_captions

        stated = (tagger(phrases) for phrases in parse_captions(captions))
        return [sorted({*one.named, *one.implied}) for one in stated]

    return parse


def _of_captions(tags: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pictures = np.repeat(np.arange(len(tags)), [len(mine) for mine in tags])
    tag_ids = np.array([tag for mine in tags for tag in mine], dtype=np.int64)
    return pictures, tag_ids, np.full(len(tag_ids), TRUST.index("generated_caption"))


def _merged(
    ids: Sequence[str], scores_BK: np.ndarray, found: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> pd.DataFrame:
    picture, tag_id, trust = (np.concatenate(columns).astype(np.int64) for columns in zip(*found, strict=True))
    order = np.lexsort((trust, tag_id, picture))
    picture, tag_id, trust = picture[order], tag_id[order], trust[order]
    first = np.ones(len(picture), dtype=bool)
    first[1:] = (np.diff(picture) != 0) | (np.diff(tag_id) != 0)
    picture, tag_id, trust = picture[first], tag_id[first], trust[first]
    image_score = scores_BK[picture, tag_id]
    said = trust <= TRUST.index("implied")
    return pd.DataFrame(
        {
            "image_id": np.asarray(ids, dtype=object)[picture],
            "tag_id": tag_id.astype(np.int32),
            "origin": np.asarray(TRUST, dtype=object)[trust],
            "score": np.where(said, 1.0, image_score).astype(np.float32),
            "image_score": image_score,
        }
    )


def chunks(num_items: int, size: int) -> Iterator[tuple[int, int]]:
    """Starts and stops of the parts of `size` items."""
    for start in range(0, num_items, size):
        yield start, min(start + size, num_items)
