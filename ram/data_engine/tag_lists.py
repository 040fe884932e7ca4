"""The tags that pictures have, in flat arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ram.io.tables import Table

# One (image, tag) may be found in several ways: the most trusted one names its origin.
TRUST = ("human", "caption", "implied", "generated_caption", "predicted")

Known = tuple[np.ndarray, np.ndarray, np.ndarray]  # tags that pictures have: picture, tag id, position in TRUST


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

    def of(self, start: int, stop: int) -> Known:
        """The rows of pictures `start` to `stop`: picture (counted from `start`), tag id, position in `TRUST`."""
        bounds = self._starts[start : stop + 1]
        pictures = np.repeat(np.arange(stop - start), np.diff(bounds))
        rows = slice(bounds[0], bounds[-1])
        return pictures, self.tag_ids[rows], self.trust[rows]
