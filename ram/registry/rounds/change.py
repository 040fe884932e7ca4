"""How much two sets of kept tags differ."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ram.io.tables import Table

ROWS_AT_ONCE = 20_000_000


def tag_set_change(before: Table, after: Table, rows_at_once: int = ROWS_AT_ONCE) -> float:
    """The Jaccard distance of the (image, tag) that two tables `cleaned_tags` keep: 0 the same … 1 nothing in common.

    A row is known by 64 bits of a hash. The tables are read as often as they hold `rows_at_once` rows, in any order of
    their rows: memory is that of so many hashes.
    """
    num_passes = max(-(-max(before.num_rows, after.num_rows) // rows_at_once), 1)
    common = either = 0
    for number in range(num_passes):
        earlier, later = (_unique(table, number, num_passes) for table in (before, after))
        shared = len(np.intersect1d(earlier, later, assume_unique=True))
        common += shared
        either += len(earlier) + len(later) - shared
    return 1 - common / either if either else 0.0


def _unique(table: Table, number: int, num_passes: int) -> np.ndarray:
    mine = [keys[keys % np.uint64(num_passes) == number] for keys in _keys(table)]
    return np.unique(np.concatenate([np.empty(0, np.uint64), *mine]))


def _keys(table: Table) -> Iterator[np.ndarray]:
    for batch in table.batches(["image_id", "tag_id", "kept"]):
        kept = batch["kept"].to_numpy(zero_copy_only=False)
        rows = pd.DataFrame({name: batch[name].to_numpy(zero_copy_only=False)[kept] for name in ("image_id", "tag_id")})
        yield pd.util.hash_pandas_object(rows, index=False).to_numpy()
