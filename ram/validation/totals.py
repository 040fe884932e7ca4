"""Totals of a table, gathered batch by batch: one counter an image and one a tag are held, and no row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ram.validation.frames import ImageIndex, RowBatch, hash_strings
from ram.validation.keys import KeyCounter


@dataclass
class TagTotals:
    """Totals of a table of tags; removed rows count towards the share removed and the repeated rows alone."""

    images: ImageIndex
    names: list[str]  # of the tags, by tag_id
    keys: KeyCounter  # of (image, tag)
    num_rows: int = 0
    num_removed: int = 0
    _per_image: np.ndarray = field(init=False)
    _per_tag: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self._per_image = np.zeros(len(self.images), dtype=np.int32)
        self._per_tag = np.zeros(len(self.names), dtype=np.int64)

    def add(self, batch: RowBatch) -> None:
        positions = batch.positions
        tag_ids = np.nan_to_num(batch.numbers("tag_id"), nan=-1).astype(np.int64)
        kept = batch.flags("kept") if "kept" in batch.columns else np.ones(len(batch), dtype=bool)
        self.num_rows += len(batch)
        self.num_removed += len(batch) - int(np.count_nonzero(kept))
        usable = (positions >= 0) & (tag_ids >= 0) & (tag_ids < len(self.names))
        self.keys.add(positions[usable] * len(self.names) + tag_ids[usable])
        counted = usable & kept
        counted[usable] &= self.images.is_train[positions[usable]]
        _count(self._per_image, positions[counted])
        self._per_tag += np.bincount(tag_ids[counted], minlength=len(self.names))

    def row(self) -> dict[str, Any]:
        """The totals as one row; counts of images and tags are over split train."""
        per_image = self._per_image[self.images.is_train]
        tagged = per_image[per_image > 0]
        num_train = max(len(per_image), 1)
        most = int(self._per_tag.argmax()) if len(self._per_tag) else 0
        return {
            "num_rows": self.num_rows,
            "num_repeated_rows": self.keys.finish()[0],
            "num_images_with_tags": len(tagged),
            "mean_tags": float(tagged.mean()) if len(tagged) else 0.0,
            "max_tags": int(per_image.max(initial=0)),
            "share_without_tags": 1 - len(tagged) / num_train if len(per_image) else 0.0,
            "share_of_one_tag": float(self._per_tag[most]) / num_train if len(self._per_tag) else 0.0,
            "most_frequent_tag": self.names[most] if self.names else "",
            "share_removed": self.num_removed / max(self.num_rows, 1),
        }

    def frequencies(self) -> dict[str, int]:
        """Number of train images with each tag, by name; tags without any are left out."""
        return {name: int(n) for name, n in zip(self.names, self._per_tag, strict=True) if n}


@dataclass
class PairTotals:
    """Totals of the table pairs."""

    images: ImageIndex
    keys: KeyCounter  # of (image, caption_index)
    captions: KeyCounter  # compared by a 64-bit hash
    num_refused: int = 0  # rows of the quarantine
    num_rows: int = 0
    _per_image: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self._per_image = np.zeros(len(self.images), dtype=np.int32)

    def add(self, batch: RowBatch) -> None:
        self.num_rows += len(batch)
        known = batch.positions >= 0
        index = np.nan_to_num(batch.numbers("caption_index")).astype(np.int64)
        self.keys.add((batch.positions << 16 | index & 0xFFFF)[known])
        captions = batch.columns["caption"]
        self.captions.add(hash_strings(captions.drop_null()).view(np.int64))
        _count(self._per_image, batch.positions[known])

    def row(self) -> dict[str, Any]:
        """The totals as one row."""
        _, most = self.captions.finish()
        return {
            "num_rows": self.num_rows,
            "num_repeated_rows": self.keys.finish()[0],
            "max_captions": int(self._per_image.max(initial=0)),
            # A caption that stands there once is no boilerplate, however short the table.
            "share_of_one_caption": most / self.num_rows if most > 1 else 0.0,
            "share_refused": self.num_refused / max(self.num_refused + len(self.images), 1),
        }


def _count(counts: np.ndarray, positions: np.ndarray) -> None:
    """Add 1 at each position, in place."""
    if not len(positions):
        return
    # Images of one part are mostly neighbors: only their stretch of a long array is touched.
    low, high = int(positions.min()), int(positions.max()) + 1
    counts[low:high] += np.bincount(positions - low, minlength=high - low).astype(counts.dtype)
