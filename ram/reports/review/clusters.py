"""Regions of one tag that look alike, so that a person judges several at a glance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ram.io.tables import Table

# N rows, D feature width

NONE = -1  # the look of a row whose region was not described
_ROWS_PER_LOOK = 4  # fewer rows of a tag for each look are one look


def find_looks(rows: pd.DataFrame, regions: Table, num_looks: int, seed: int) -> np.ndarray:
    """The look of every row among those of its tag: 0 the largest group, `NONE` without a feature."""
    look_N = np.full(len(rows), NONE)
    if num_looks == 1:
        return np.zeros(len(rows), dtype=look_N.dtype)
    features = _features(rows, regions)
    for _, own in rows.groupby("tag_id"):
        positions = [p for p in own.index.tolist() if p in features]
        if positions:
            look_N[positions] = _clusters(np.stack([features[p] for p in positions]), num_looks, seed)
    return look_N


def _clusters(feature_ND: np.ndarray, num_looks: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    unit_ND = feature_ND / np.maximum(np.linalg.norm(feature_ND, axis=1, keepdims=True), 1e-12)
    num = min(num_looks, len(unit_ND) // _ROWS_PER_LOOK, len(np.unique(unit_ND, axis=0)))
    if num < 2:
        return np.zeros(len(unit_ND), dtype=np.int64)
    label_N = KMeans(num, n_init=4, random_state=seed).fit_predict(unit_ND)
    by_size = np.argsort(-np.bincount(label_N, minlength=num), kind="stable")
    return np.argsort(by_size)[label_N]


def _features(rows: pd.DataFrame, regions: Table) -> dict[int, np.ndarray]:
    """Position in `rows` -> feature; row groups without any of the rows are not read."""
    position = {key: p for p, key in enumerate(zip(rows["image_id"], rows["tag_id"], strict=True))}
    image_ids = pa.array(sorted(set(rows["image_id"])), pa.string())
    found: dict[int, np.ndarray] = {}
    for path in regions.part_paths:
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            keys = file.read_row_group(group, columns=["image_id", "tag_id"])
            near = np.flatnonzero(pc.is_in(keys["image_id"], image_ids).to_numpy(zero_copy_only=False))
            own = keys.take(near)
            pairs = zip(own["image_id"].to_pylist(), own["tag_id"].to_pylist(), strict=True)
            wanted = [(position[key], int(row)) for key, row in zip(pairs, near, strict=True) if key in position]
            if wanted:
                features = file.read_row_group(group, columns=["feature"])["feature"]
                found |= {p: np.asarray(features[row].values, dtype=np.float64) for p, row in wanted}
    return found
