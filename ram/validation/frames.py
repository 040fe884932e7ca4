"""What the rules look at: the columns of a table, and its rows, in Arrow batches that know their images.

Rows are read `rows_per_batch` at a time at most and stay in Arrow's columns: a table of any length is checked whole, never
a sample of it, and no more of it is in memory than a batch. Of the table images some twenty bytes per image are held.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ram.io.tables import Table

_MAX_BATCH_ROWS = 1_000_000
# What is different in nearly every row, so that a dictionary of it would only cost.
_PLAIN_COLUMNS = ("caption",)


class ImageIndex:
    """Position of every image of the table images, and its split.

    An image is found by a 64-bit hash of its id: of 14 million ids, two share one with a probability of 5 in a million,
    and then this raises `ValueError`; an id that is not in the table is taken for one that is with 1 in 10^12.
    """

    def __init__(self, images: Table) -> None:
        hashes, splits, sources = [np.zeros(0, np.uint64)], [np.zeros(0, np.int8)], set()
        self.split_names: list[str] = []
        for batch in images.batches(["image_id", "source", "split"], batch_size=_MAX_BATCH_ROWS):
            hashes.append(hash_strings(batch.column("image_id")))
            splits.append(self._codes(batch.column("split")))
            sources.update(pc.unique(batch.column("source")).to_pylist())
        own = np.concatenate(hashes)
        self._order = np.argsort(own).astype(np.int32 if len(own) < 2**31 else np.int64)
        self._sorted = own[self._order]
        if (self._sorted[1:] == self._sorted[:-1]).any():
            raise ValueError("two images of the table images have one image_id (or, unlikely, one hash); make it anew")
        self.split_codes = np.concatenate(splits)
        self.sources = sorted(sources)

    def _codes(self, splits: pa.Array) -> np.ndarray:
        self.split_names += [name for name in pc.unique(splits).to_pylist() if name not in self.split_names]
        return pc.index_in(splits, pa.array(self.split_names)).to_numpy().astype(np.int8)

    def __len__(self) -> int:
        return len(self._sorted)

    @cached_property
    def is_train(self) -> np.ndarray:
        code = self.split_names.index("train") if "train" in self.split_names else -1
        return self.split_codes == code

    def positions(self, image_ids: pa.Array) -> np.ndarray:
        """Row of each image in the table images, int64; -1 for one that is not there."""
        if pa.types.is_dictionary(image_ids.type):
            own = np.append(self._find(image_ids.dictionary), -1)  # and, last, of a missing id
            return own[pc.fill_null(image_ids.indices, len(own) - 1).to_numpy(zero_copy_only=False)]
        return self._find(image_ids)

    def _find(self, image_ids: pa.Array) -> np.ndarray:
        if not len(self):
            return np.full(len(image_ids), -1, np.int64)
        hashes = hash_strings(image_ids)
        order = np.argsort(hashes)  # looking up in order of the hashes walks through memory but once
        wanted = hashes[order]
        places = np.minimum(np.searchsorted(self._sorted, wanted), len(self) - 1)
        found = np.full(len(image_ids), -1, np.int64)
        found[order] = np.where(self._sorted[places] == wanted, self._order[places], -1)
        return found


def hash_strings(strings: pa.Array) -> np.ndarray:
    """A 64-bit hash of each string, uint64, the same on every machine."""
    return pd.util.hash_array(strings.to_numpy(zero_copy_only=False), categorize=False)


@dataclass(frozen=True, kw_only=True)
class RowBatch:
    """Rows of a table: columns in Arrow, and the position of each row's image in images (-1: unknown).

    Lists stand for their lengths. There are the columns `image_known` and, where the table has a split, `split_agrees`
    (with the image's) besides.
    """

    columns: Mapping[str, pa.Array]
    positions: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    def numbers(self, name: str) -> np.ndarray:
        """A column of numbers; where it has nulls they are NaN."""
        return self.columns[name].to_numpy(zero_copy_only=False)

    def flags(self, name: str) -> np.ndarray:
        """A column of booleans; a null is false."""
        column = self.columns[name]
        return (pc.fill_null(column, False) if column.null_count else column).to_numpy(zero_copy_only=False)

    def frame(self, rows: np.ndarray) -> pd.DataFrame:
        """These rows for pandas; texts are plain texts."""
        chosen = {name: column.take(pa.array(rows)) for name, column in self.columns.items()}
        frame = pa.table({n: c.dictionary_decode() if _is_dictionary(c) else c for n, c in chosen.items()}).to_pandas()
        texts = {name: object for name, column in chosen.items() if _is_dictionary(column)}
        return frame.astype(texts)


def _is_dictionary(column: pa.Array) -> bool:
    return pa.types.is_dictionary(column.type)


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


def row_batches(table: Table, images: ImageIndex, rows_per_batch: int) -> Iterator[RowBatch]:
    """The rows of the table, part by part. Its columns must be those of its schema."""
    texts = [c.name for c in table.schema if pa.types.is_string(c.type) and c.name not in _PLAIN_COLUMNS]
    for part in table.part_paths:
        # One dictionary a batch: an image's id is looked up once, not once a row.
        file = pq.ParquetFile(part, read_dictionary=texts)
        for batch in file.iter_batches(min(rows_per_batch, _MAX_BATCH_ROWS), columns=table.schema.names):
            if batch.num_rows:
                yield _row_batch(batch, images)


def _row_batch(batch: pa.RecordBatch, images: ImageIndex) -> RowBatch:
    columns = {
        name: pc.list_value_length(column) if pa.types.is_list(column.type) else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    }
    positions = images.positions(columns["image_id"])
    known = positions >= 0
    columns["image_known"] = pa.array(known)
    if "split" in columns:
        split = columns["split"]
        names = split.dictionary_decode() if _is_dictionary(split) else split
        codes = pc.fill_null(pc.index_in(names, pa.array(images.split_names, pa.string())), -1).to_numpy()
        own = images.split_codes[positions] if len(images) else np.full(len(codes), -2)
        columns["split_agrees"] = pa.array(known & (codes == own))
    return RowBatch(columns=columns, positions=positions)
