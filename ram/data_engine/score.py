"""A model looks at images once: the scores that are worth keeping, and a caption of each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from torch import Tensor

from ram.data_engine.sparse_scores import SparseScores, keep_highest
from ram.inference.scorer import Scorer
from ram.labels import LabelSystem

# B images, N image tokens, K tags, G tags of the generator, D token width

NOT_SCORED = -1  # of a tag that the generator does not have


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionParams:
    """How the caption of an image is written."""

    num_beams: int  # 1: greedy
    min_tokens: int  # word pieces that a caption has at least
    length_penalty: float  # of the beam search: above 1 favors long captions
    top_p: float | None  # null: beam search; else each piece is drawn from the likeliest that hold this probability
    temperature: float  # of that drawing: below 1 favors what is likely
    min_tag_score: float  # of the tags that lead it
    max_tags: int  # that lead it, the highest

    def __post_init__(self) -> None:
        if self.num_beams < 1 or min(self.min_tokens, self.max_tags) < 0:
            raise ValueError(
                f"num_beams must be 1 or more, min_tokens and max_tags 0 or more, got {self.num_beams}, {self.min_tokens}, "
                f"{self.max_tags}"
            )
        if self.top_p is not None and (not 0 < self.top_p <= 1 or self.num_beams != 1):
            raise ValueError(
                f"top_p must be in (0, 1], with num_beams 1, or null; got {self.top_p} with {self.num_beams} beams"
            )
        if self.temperature <= 0 or not 0 <= self.min_tag_score <= 1:
            raise ValueError(
                f"temperature must be above 0 and min_tag_score in [0, 1], got {self.temperature}, {self.min_tag_score}"
            )


def columns_of_tags(label_system: LabelSystem, generator: LabelSystem) -> np.ndarray:
    """(K,) the generator's tag id of every tag, by its name or else by a synonym; `NOT_SCORED` where it has none."""
    if generator.version == label_system.version:
        return np.arange(len(label_system))
    columns = np.full(len(label_system), NOT_SCORED)
    for tag in label_system:
        found = next((t for name in (tag.name, *tag.synonyms) if (t := generator.find(name)) is not None), None)
        if found is not None:
            columns[tag.tag_id] = found.tag_id
    return columns


@dataclass(frozen=True)
class Looker:
    """Looks at images batch by batch."""

    scorer: Scorer
    column_K: np.ndarray  # as `columns_of_tags` gives it
    top_k: int
    floor: float
    caption: CaptionParams | None  # None: no captions are written
    seed: int
    batch_size: int

    def run(self, image_ids: Sequence[str], known: tuple[np.ndarray, np.ndarray]) -> tuple[SparseScores, pa.Table]:
        """Their scores, and a table image_id, caption, log_probability. `known`: image and tag id of tags they have."""
        images, tag_ids = known
        parts, captions, start = [], [], 0
        for ids, tokens_BND, _ in self.scorer.tokens(image_ids, self.batch_size):
            scores_BG = self.scorer.fast.scores(tokens_BND)
            scores_BK = np.where(self.column_K >= 0, scores_BG[:, self.column_K], np.float32(NOT_SCORED))
            first, last = np.searchsorted(images, [start, start + len(ids)])
            mine = (images[first:last] - start, tag_ids[first:last])
            kept = keep_highest(ids, scores_BK, self.top_k, self.floor, mine)
            parts.append((kept.image_S + start, kept.tag_S, kept.score_S))
            if self.caption is not None:
                captions.append(self._write(ids, tokens_BND, scores_BG, self.caption))
            start += len(ids)
        none = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        columns = [np.concatenate(column) for column in zip(*(parts or [none]), strict=True)]
        return SparseScores(list(image_ids), *columns), pa.concat_tables(captions or [_captions([], [], [])])

    def _write(self, ids: Sequence[str], tokens_BND: Tensor, scores_BG: np.ndarray, params: CaptionParams) -> pa.Table:
        names = self.scorer.checkpoint.label_system.names
        # The model's own tags alone lead its caption: a wrong tag of the given caption shall not be said again.
        order_BG = np.argsort(-scores_BG, axis=1, kind="stable")[:, : params.max_tags]
        tag_texts = [
            [names[tag] for tag in order if scores[tag] >= params.min_tag_score]
            for order, scores in zip(order_BG, scores_BG, strict=True)
        ]
        texts, log_probabilities = self.scorer.model.generate_captions(
            tokens_BND,
            tag_texts,
            num_beams=params.num_beams,
            min_tokens=params.min_tokens,
            length_penalty=params.length_penalty,
            top_p=params.top_p,
            temperature=params.temperature,
            seeds=[seed_of(image_id, self.seed) for image_id in ids] if params.top_p is not None else (),
        )
        return _captions(ids, texts, log_probabilities)


def _captions(ids: Sequence[str], texts: Sequence[str], log_probabilities: Sequence[float]) -> pa.Table:
    columns = {
        "image_id": pa.array(list(ids), pa.string()),
        "caption": pa.array(list(texts), pa.string()),
        "log_probability": pa.array(list(log_probabilities), pa.float32()),
    }
    return pa.table(columns)


def seed_of(image_id: str, seed: int) -> int:
    """A seed of an image's own, 0 … 2**64 - 1: what is drawn for it depends on no other image."""
    return int.from_bytes(hashlib.sha256(f"{seed} {image_id}".encode()).digest()[:8], "little")
