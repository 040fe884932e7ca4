"""The tags that images have, in flat arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ram.io.tables import Table

# One (image, tag) may be found in several ways: the most trusted one names its origin.
TRUST = ("human", "caption", "implied", "generated_caption", "predicted")

Known = tuple[np.ndarray, np.ndarray, np.ndarray]  # tags that images have: image, tag id, position in TRUST


class TagLists:
    """The tags of many images in flat arrays, by the images' position: 5 bytes a row and 8 an image."""

    def __init__(self, tags: Table, image_ids: Sequence[str]) -> None:
        """Reads the rows of `tags` whose image is in `image_ids`; the others are left out."""
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

    def of(self, start: int, stop: int) -> Known:
        """The rows of images `start` to `stop`: image (counted from `start`), tag id, position in `TRUST`."""
        bounds = self._starts[start : stop + 1]
        images = np.repeat(np.arange(stop - start), np.diff(bounds))
        rows = slice(bounds[0], bounds[-1])
        return images, self.tag_ids[rows], self.trust[rows]
