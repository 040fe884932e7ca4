"""What the rules look at: the columns of a table, its rows in batches, and its totals.

Rows are read `rows_per_batch` at a time. The totals are gathered on the way: one 64-bit key a row (for repeated rows),
one counter a picture and one a tag are all that is held, so a table of any length is checked whole,
never a sample of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ram.storage import Table


class ImageIndex:
    """Position of every picture of the table images, and whether its split is train."""

    def __init__(self, images: Table) -> None:
        frame = images.to_pandas(["image_id", "source", "split"])
        self._ids = pd.Index(frame["image_id"])
        self.splits = frame["split"].to_numpy(dtype=object)
        self.sources = sorted(frame["source"].unique())

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def is_train(self) -> np.ndarray:
        return self.splits == "train"

    def positions(self, image_ids: pd.Series) -> np.ndarray:
        """Row of each picture in the table images, int64; -1 for one that is not there."""
        return self._ids.get_indexer(pd.Index(image_ids))


def column_frame(table: Table) -> pd.DataFrame:
    """One row a column and part that differs from the schema, or a row a column where all parts agree."""
    expected = {column.name: _type_name(column.type) for column in table.schema}
    rows = [{"column": n, "part": "", "expected_type": t, "observed_type": t} for n, t in expected.items()]
    for path in table.part_paths:
        schema = pq.read_schema(path)
        observed = {name: _type_name(schema.field(name).type) for name in schema.names}
        for name in sorted(expected.keys() | observed.keys()):
            pair = expected.get(name, "no such column"), observed.get(name, "missing")
            if pair[0] != pair[1]:
                rows.append({"column": name, "part": path.name, "expected_type": pair[0], "observed_type": pair[1]})
    return pd.DataFrame(rows)


def _type_name(dtype: pa.DataType) -> str:
    # Parquet calls the values of a list "element", Arrow "item".
    return f"list<{dtype.value_type}>" if pa.types.is_list(dtype) else str(dtype)


def row_frames(table: Table, images: ImageIndex, rows_per_batch: int) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    """Batches of rows with the columns the rules want, and the picture's position in images (-1: unknown) of each row.

    Lists stand for their lengths. `image_known` is added and, where the table has a split, `split_agrees` (with the
    picture's).
    """
    for batch in _batches(table, rows_per_batch):
        positions = images.positions(batch["image_id"])
        batch["image_known"] = positions >= 0
        if "split" in batch:
            agrees = np.zeros(len(batch), dtype=bool)
            known = positions >= 0
            agrees[known] = images.splits[positions[known]] == batch["split"].to_numpy(dtype=object)[known]
            batch["split_agrees"] = agrees
        yield batch, positions


def _batches(table: Table, rows_per_batch: int) -> Iterator[pd.DataFrame]:
    pending: list[pa.RecordBatch] = []
    for batch in table.batches(table.schema.names, batch_size=min(rows_per_batch, 1_000_000)):
        pending.append(batch)
        if sum(b.num_rows for b in pending) >= rows_per_batch:
            yield _to_pandas(pa.Table.from_batches(pending))
            pending = []
    if pending:
        yield _to_pandas(pa.Table.from_batches(pending))


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    for index, column in enumerate(table.schema):
        if pa.types.is_list(column.type):
            table = table.set_column(index, column.name, pc.list_value_length(table.column(index)))
    frame = table.unify_dictionaries().to_pandas()
    for name in frame.select_dtypes("category"):
        frame[name] = frame[name].astype(object)
    return frame


@dataclass
class TagTotals:
    """Totals of a table of tags; removed rows count towards the share removed and the repeated rows alone."""

    images: ImageIndex
    names: list[str]  # of the tags, by tag_id
    num_rows: int = 0
    num_removed: int = 0
    _keys: list[np.ndarray] = field(default_factory=list)
    _per_image: np.ndarray = field(init=False)
    _per_tag: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self._per_image = np.zeros(len(self.images), dtype=np.int64)
        self._per_tag = np.zeros(len(self.names), dtype=np.int64)

    def add(self, batch: pd.DataFrame, positions: np.ndarray) -> None:
        tag_ids = batch["tag_id"].to_numpy(dtype=np.int64)
        kept = batch["kept"].to_numpy(dtype=bool) if "kept" in batch else np.ones(len(batch), dtype=bool)
        self.num_rows += len(batch)
        self.num_removed += int((~kept).sum())
        usable = (positions >= 0) & (tag_ids >= 0) & (tag_ids < len(self.names))
        self._keys.append(positions[usable] * len(self.names) + tag_ids[usable])
        counted = usable & kept
        counted[usable] &= self.images.is_train[positions[usable]]
        self._per_image += np.bincount(positions[counted], minlength=len(self.images))
        self._per_tag += np.bincount(tag_ids[counted], minlength=len(self.names))

    def row(self) -> dict[str, Any]:
        """The totals as one row; counts of pictures and tags are over split train."""
        per_image = self._per_image[self.images.is_train]
        tagged = per_image[per_image > 0]
        num_train = max(len(per_image), 1)
        most = int(self._per_tag.argmax()) if len(self._per_tag) else 0
        return {
            "num_rows": self.num_rows,
            "num_repeated_rows": num_repeated(self._keys),
            "num_images_with_tags": len(tagged),
            "mean_tags": float(tagged.mean()) if len(tagged) else 0.0,
            "max_tags": int(per_image.max(initial=0)),
            "share_without_tags": 1 - len(tagged) / num_train if len(per_image) else 0.0,
            "share_of_one_tag": float(self._per_tag[most]) / num_train if len(self._per_tag) else 0.0,
            "most_frequent_tag": self.names[most] if self.names else "",
            "share_removed": self.num_removed / max(self.num_rows, 1),
        }

    def frequencies(self) -> dict[str, int]:
        """Number of train pictures with each tag, by name; tags without any are left out."""
        return {name: int(n) for name, n in zip(self.names, self._per_tag, strict=True) if n}


@dataclass
class PairTotals:
    """Totals of the table pairs."""

    images: ImageIndex
    num_refused: int = 0  # rows of the quarantine
    num_rows: int = 0
    _keys: list[np.ndarray] = field(default_factory=list)
    _captions: list[np.ndarray] = field(default_factory=list)
    _per_image: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self._per_image = np.zeros(len(self.images), dtype=np.int64)

    def add(self, batch: pd.DataFrame, positions: np.ndarray) -> None:
        self.num_rows += len(batch)
        known = positions >= 0
        self._keys.append((positions << 16 | batch["caption_index"].to_numpy(dtype=np.int64) & 0xFFFF)[known])
        self._captions.append(pd.util.hash_array(batch["caption"].to_numpy(dtype=object)))
        self._per_image += np.bincount(positions[known], minlength=len(self.images))

    def row(self) -> dict[str, Any]:
        """The totals as one row; captions are compared by a 64-bit hash."""
        captions = np.concatenate(self._captions) if self._captions else np.zeros(0, np.uint64)
        most = int(np.unique(captions, return_counts=True)[1].max(initial=0))
        return {
            "num_rows": self.num_rows,
            "num_repeated_rows": num_repeated(self._keys),
            "max_captions": int(self._per_image.max(initial=0)),
            # A caption that stands there once is no boilerplate, however short the table.
            "share_of_one_caption": most / self.num_rows if most > 1 else 0.0,
            "share_refused": self.num_refused / max(self.num_refused + len(self.images), 1),
        }


def num_repeated(keys: list[np.ndarray]) -> int:
    """How many rows repeat the key of an earlier one."""
    if not keys:
        return 0
    together = np.sort(np.concatenate(keys))
    return int((together[1:] == together[:-1]).sum())
