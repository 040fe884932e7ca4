"""The scores of images that are worth keeping: of each the highest ones, and those of the tags that it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

# B images, K tags, S kept scores


@dataclass(frozen=True, slots=True)
class SparseScores:
    """Kept scores of some images, image by image: first the highest, then those of other tags that it has.

    `place_S` counts an image's from 0. Scores are float32 that half precision can hold; those of the catalog's table
    `tag_scores`.
    """

    image_ids: list[str]
    image_S: np.ndarray  # position in image_ids, never falling
    tag_S: np.ndarray
    score_S: np.ndarray

    @property
    def place_S(self) -> np.ndarray:
        return np.arange(len(self.image_S)) - np.searchsorted(self.image_S, self.image_S)

    def among_highest(self, top_k: int, floor: float) -> np.ndarray:
        """(S,) bool: which are of the `top_k` highest of their image and reach `floor`, as `keep_highest` had them."""
        return (self.place_S < top_k) & (self.score_S >= np.float32(floor))

    def of(self, image: np.ndarray, tag_id: np.ndarray) -> np.ndarray:
        """The scores of these (image, tag), float32; 0 where none was kept."""
        if not len(self.tag_S):
            return np.zeros(len(image), np.float32)
        width = int(max(self.tag_S.max(), tag_id.max() if len(tag_id) else 0)) + 1
        keys_S = self.image_S.astype(np.int64) * width + self.tag_S
        order_S = np.argsort(keys_S, kind="stable")
        wanted = np.asarray(image, np.int64) * width + tag_id
        found = order_S[np.minimum(np.searchsorted(keys_S[order_S], wanted), len(order_S) - 1)]
        return np.where(keys_S[found] == wanted, self.score_S[found], np.float32(0))

    def to_arrow(self) -> tuple[pa.Array, pa.Array]:
        """Columns tag_ids and scores, a list an image."""
        offsets = pa.array(np.searchsorted(self.image_S, np.arange(len(self.image_ids) + 1)), pa.int32())
        tag_ids = pa.ListArray.from_arrays(offsets, pa.array(self.tag_S.astype(np.int32)))
        return tag_ids, pa.ListArray.from_arrays(offsets, pa.array(self.score_S.astype(np.float16)))

    @classmethod
    def from_arrow(cls, rows: pa.RecordBatch | pa.Table) -> SparseScores:
        """Of rows of table `tag_scores` with columns image_id, tag_ids and scores."""
        table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
        tag_ids, scores = table["tag_ids"].combine_chunks(), table["scores"].combine_chunks()
        return cls(
            table["image_id"].to_pylist(),
            np.repeat(np.arange(len(tag_ids)), tag_ids.value_lengths().to_numpy()),
            tag_ids.flatten().to_numpy(),
            scores.flatten().to_numpy(zero_copy_only=False).astype(np.float32),
        )


def keep_highest(
    image_ids: Sequence[str],
    scores_BK: np.ndarray,
    top_k: int,
    floor: float,
    known: tuple[np.ndarray, np.ndarray],
) -> SparseScores:
    """Of each image the `top_k` highest scores that reach `floor`, and those of its tags `known` (image, tag).

    Scores are rounded to half precision first; one below 0 says that the tag was not scored, and is never kept.
    """
    half_BK = scores_BK.astype(np.float16).astype(np.float32)
    num = min(top_k, half_BK.shape[1])
    highest_BK = np.zeros(half_BK.shape, dtype=bool)
    if num:
        columns_BT = np.argsort(-half_BK, axis=1, kind="stable")[:, :num]  # ties keep the lowest tag id
        np.put_along_axis(highest_BK, columns_BT, True, axis=1)
        highest_BK &= half_BK >= np.float32(floor)
    kept_BK = highest_BK.copy()
    kept_BK[known] = True
    kept_BK &= half_BK >= 0
    image_S, tag_S = np.nonzero(kept_BK)
    score_S = half_BK[image_S, tag_S]
    order_S = np.lexsort((tag_S, -score_S, ~highest_BK[image_S, tag_S], image_S))
    return SparseScores(list(image_ids), image_S[order_S], tag_S[order_S], score_S[order_S])
