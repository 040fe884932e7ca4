"""Images of the image shards, by id or in the order in which they lie on disk."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from ram.io.images import MAX_PIXELS, FileRanges, ImageError, open_image
from ram.io.tables import Table

_COLUMNS = ("image_id", "split", "shard", "offset", "num_bytes")


class OpensImages(Protocol):
    """What scoring needs of a store of images."""

    def open(self, image_id: str, min_size: int | None = None) -> Image.Image:
        """The RGB image; with `min_size`, perhaps decoded smaller, no side under it."""


class ImageStore:
    """Random access to the images that the table `images` lists: one seek into a tar each, no tar is unpacked."""

    def __init__(self, images: Table, shards_dir: Path, max_pixels: int = MAX_PIXELS) -> None:
        rows = images.read(columns=_COLUMNS)
        self.image_ids: list[str] = rows["image_id"].to_pylist()
        self.splits: list[str] = rows["split"].to_pylist()
        self.shards_dir = Path(shards_dir)
        self.max_pixels = max_pixels
        self._row = {image_id: row for row, image_id in enumerate(self.image_ids)}
        shards = rows["shard"].combine_chunks().dictionary_encode()
        self.shards: list[str] = shards.dictionary.to_pylist()
        self._shard = shards.indices.to_numpy(zero_copy_only=False)
        self._offset = rows["offset"].to_numpy()
        self._num_bytes = rows["num_bytes"].to_numpy()
        self._files = FileRanges()

    def __len__(self) -> int:
        return len(self.image_ids)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._row

    def read_bytes(self, image_id: str) -> bytes:
        """The encoded image. Raises `ValueError` for an unknown id or a shard that is shorter than the table says."""
        if image_id not in self._row:
            raise ValueError(f"no image {image_id!r} in the table images ({len(self)} rows)")
        row = self._row[image_id]
        num_bytes = int(self._num_bytes[row])
        path = self.shards_dir / self.shards[self._shard[row]]
        try:
            data = self._files.read(path, int(self._offset[row]), num_bytes)
        except FileNotFoundError as error:
            raise ValueError(f"no shard at {path}; run ingest_pairs") from error
        if len(data) != num_bytes:
            raise ValueError(f"{path.name} ends before image {image_id!r}; run ingest_pairs again")
        return data

    def open(self, image_id: str, min_size: int | None = None) -> Image.Image:
        """The RGB image; with `min_size`, perhaps decoded smaller, no side under it."""
        try:
            return open_image(self.read_bytes(image_id), self.max_pixels, min_size)
        except ImageError as error:
            raise ImageError(f"{image_id}: {error}", error.reason) from error

    def in_shard_order(self, image_ids: Sequence[str] | None = None) -> list[str]:
        """These ids (all: None) in the order in which their images lie on disk: reading them so is sequential."""
        if image_ids is None:
            rows = np.arange(len(self))
        else:
            rows = np.array([self._row[image_id] for image_id in image_ids], dtype=np.int64)
        order = np.lexsort((self._offset[rows], np.array(self.shards)[self._shard[rows]] if len(rows) else rows))
        return [self.image_ids[row] for row in rows[order]]

    def __iter__(self) -> Iterator[tuple[str, Image.Image]]:
        """Every image with its id, in shard order."""
        for image_id in self.in_shard_order():
            yield image_id, self.open(image_id)

    def by_shard(self) -> dict[str, list[str]]:
        """The ids of every shard, both in order."""
        groups: dict[str, list[str]] = {shard: [] for shard in sorted(self.shards)}
        for image_id in self.in_shard_order():
            groups[self.shards[self._shard[self._row[image_id]]]].append(image_id)
        return groups

    def of_split(self, split: str) -> list[str]:
        """The ids of a split, in the order of the shards."""
        return self.in_shard_order([i for i, s in zip(self.image_ids, self.splits, strict=True) if s == split])

    def split_of(self, image_id: str) -> str:
        return self.splits[self._row[image_id]]

    def subset(self, image_ids: Sequence[str]) -> ImageStore:
        """These images alone, small enough to be sent to a worker."""
        rows = np.array([self._row[image_id] for image_id in image_ids], dtype=np.int64)
        other = copy.copy(self)
        other.image_ids, other.splits = list(image_ids), [self.splits[row] for row in rows]
        other._row = {image_id: row for row, image_id in enumerate(image_ids)}
        shard, places = np.unique(self._shard[rows], return_inverse=True)
        other.shards, other._shard = [self.shards[i] for i in shard], places
        other._offset, other._num_bytes = self._offset[rows], self._num_bytes[rows]
        return other
