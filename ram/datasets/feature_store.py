"""Stored features: what the frozen trunk of the image encoder gives for every image, read through memory maps.

A folder with `manifest.json` and, for every shard of images, one array of half-precision rows a view and the ids of
the rows: `part-00000.json`, `part-00000.view-0.npy` (all images), `part-00000.view-1.npy` … (those that train).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ram.io.tables import new_array, read_json, temporary_path, write_json

MANIFEST = "manifest.json"

# B images; features have the shape of the trunk's output, without the batch


class FeatureStore:
    """Read-only access by image id. View 0 is the plain image, views 1 … `num_views` - 1 are augmented."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.params: dict[str, Any] = read_json(self.path / MANIFEST)
        self.enabled: bool = self.params["enabled"]
        self.num_views: int = self.params.get("num_views", 0)
        self.fingerprint: str | None = self.params.get("fingerprint")
        self.shape: tuple[int, ...] = tuple(self.params.get("shape", ()))
        self._rows: list[dict[str, tuple[int, int]]] = [{}, {}]  # plain and augmented: id -> part, row
        for part in range(self.params.get("num_parts", 0)):
            ids = read_json(part_file(self.path, part))
            for rows, key in zip(self._rows, ("image_ids", "augmented_ids"), strict=True):
                rows.update({image_id: (part, row) for row, image_id in enumerate(ids[key])})
        self._arrays: dict[tuple[int, int], np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._rows[0])

    def covers(self, image_ids: Sequence[str], view: int = 0) -> bool:
        """Whether `read` can give all of these."""
        return self.enabled and view < self.num_views and all(i in self._rows[view > 0] for i in image_ids)

    def fits(self, fingerprint: str) -> bool:
        """Whether these are the features of the trunk with this fingerprint (`RAM.trunk_fingerprint`)."""
        return self.enabled and self.fingerprint == fingerprint

    def read(self, image_ids: Sequence[str], view: int = 0) -> np.ndarray:
        """float16 array (B, *shape) in the order of `image_ids`. `ValueError` names an id that is not stored."""
        if not 0 <= view < max(self.num_views, 1):
            raise ValueError(f"view must be 0 to {self.num_views - 1}, got {view}; see embed_images.num_views")
        rows = self._rows[view > 0]
        if missing := [image_id for image_id in image_ids if image_id not in rows]:
            raise ValueError(f"no stored features of {missing[0]!r} ({len(missing)} in all) in view {view}")
        features = np.empty((len(image_ids), *self.shape), dtype=np.float16)
        for i, image_id in enumerate(image_ids):
            part, row = rows[image_id]
            features[i] = self._array(part, view)[row]
        return features

    def subset(self, image_ids: Sequence[str]) -> FeatureStore:
        """Those of these images that are stored, alone: small enough to be sent to a worker."""
        other = copy.copy(self)
        other._rows = [{i: rows[i] for i in image_ids if i in rows} for rows in self._rows]
        return other

    def _array(self, part: int, view: int) -> np.ndarray:
        if (part, view) not in self._arrays:
            self._arrays[part, view] = np.load(view_file(self.path, part, view), mmap_mode="r")
        return self._arrays[part, view]

    def __getstate__(self) -> dict[str, object]:
        # A memory map would be copied whole into a worker: it opens its own.
        return self.__dict__ | {"_arrays": {}}


def part_file(path: Path, part: int) -> Path:
    """Where the ids of a part lie; written last, so a part that has it is whole."""
    return path / f"part-{part:05d}.json"


def view_file(path: Path, part: int, view: int) -> Path:
    return path / f"part-{part:05d}.view-{view}.npy"


def write_view(batches: Iterable[np.ndarray], num_rows: int, path: Path, part: int, view: int) -> tuple[int, ...]:
    """Write one array of a part from batches of `num_rows` rows in all; the shape of a row.

    Raises `ValueError` where half precision cannot hold the features, or the disk the array.
    """
    target = view_file(path, part, view)
    temporary = temporary_path(target)
    array: np.ndarray | None = None
    done = 0
    for batch in batches:
        halves = batch.astype(np.float16)
        if not np.isfinite(halves).all():
            raise ValueError("half precision cannot hold the trunk's output; cut it elsewhere (num_frozen_blocks)")
        if array is None:
            array = new_array(temporary, np.float16, (num_rows, *batch.shape[1:]), "image features")
        array[done : done + len(batch)] = halves
        done += len(batch)
    assert array is not None
    assert done == num_rows, (done, num_rows)
    shape = array.shape[1:]
    del array  # unmaps, which writes what is not yet on disk
    temporary.replace(target)
    return shape


def write_manifest(path: Path, facts: Mapping[str, Any]) -> None:
    """Write what `FeatureStore` reads first: at least `enabled`; and where it is true the shape and the counts."""
    write_json(dict(facts), path / MANIFEST)
