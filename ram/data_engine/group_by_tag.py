"""Rows that stand by image, gathered by tag: a shuffle through files, since all features fit in no memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ram.io.tables import Table

_COLUMNS = ("tag_id", "region_score", "held_out_evidence", "feature")
_ROWS_PER_BATCH = 8192


def buckets_of_tags(count_K: np.ndarray, max_rows: int) -> list[tuple[int, int]]:
    """(first bucket, number of buckets) of every tag: small tags share one, one of more than `max_rows` has several."""
    buckets, current, filled = [], 0, 0
    for count in count_K.tolist():
        if count > max_rows or filled + count > max_rows:
            current, filled = current + (filled > 0), 0
        num_buckets = max(-(-count // max_rows), 1)
        buckets.append((current, num_buckets))
        filled += count
        if num_buckets > 1:
            current, filled = current + num_buckets, 0
    return buckets


def gather_by_tag(tags: Table, regions: Table, directory: Path, max_rows: int, num_tags: int) -> list[Path]:
    """Write the rows of `regions` into one file per bucket of tags, and return the files.

    Columns: row, tag_id, origin, image_score, region_score, held_out_evidence, feature. `row` counts the rows of
    `tags` from the first part on. Memory is bounded by `max_rows` rows.
    """
    count_K = np.zeros(num_tags, dtype=np.int64)
    for batch in tags.batches(["tag_id"]):
        count_K += np.bincount(batch["tag_id"].to_numpy(), minlength=num_tags)
    buckets = np.array(buckets_of_tags(count_K, max_rows)).reshape(-1, 2)
    paths = [directory / f"bucket-{i:05d}.parquet" for i in range(buckets.sum(1).max() if count_K.sum() else 0)]
    directory.mkdir(parents=True, exist_ok=True)
    writers: dict[int, pq.ParquetWriter] = {}
    seen_K = np.zeros(num_tags, dtype=np.int64)
    pending: list[pa.Table] = []
    num_pending = 0
    try:
        for batch in _joined(tags, regions):
            bucket = _assign(batch["tag_id"].to_numpy(), buckets, count_K, seen_K)
            pending.append(batch.append_column("bucket", pa.array(bucket)))
            num_pending += batch.num_rows
            if num_pending >= max_rows:
                _write(pending, writers, paths)
                pending, num_pending = [], 0
        _write(pending, writers, paths)
    finally:
        for writer in writers.values():
            writer.close()
    return [paths[i] for i in sorted(writers)]


def _joined(tags: Table, regions: Table) -> Iterator[pa.Table]:
    """Batches of both tables side by side, each row with its number; `ValueError` where they do not belong together."""
    if len(tags.part_paths) != len(regions.part_paths):
        raise ValueError("region_features is not of these generated_tags; run embed_regions again")
    row = 0
    for tags_path, regions_path in zip(tags.part_paths, regions.part_paths, strict=True):
        mine = pq.read_table(tags_path, columns=["image_id", "tag_id", "origin", "image_score"])
        start = 0
        columns = ["image_id", *_COLUMNS]
        for batch in pq.ParquetFile(regions_path).iter_batches(batch_size=_ROWS_PER_BATCH, columns=columns):
            own = mine.slice(start, batch.num_rows)
            table = pa.Table.from_batches([batch])
            if own.num_rows != batch.num_rows or not all(own[c].equals(table[c]) for c in ("image_id", "tag_id")):
                raise ValueError(f"{regions_path} and {tags_path} have different rows; run embed_regions again")
            yield (
                table.drop_columns("image_id")
                .append_column("origin", own["origin"].cast(pa.string()))
                .append_column("image_score", own["image_score"])
                .append_column("row", pa.array(np.arange(row, row + batch.num_rows)))
            )
            start, row = start + batch.num_rows, row + batch.num_rows
        if start != mine.num_rows:
            raise ValueError(f"{regions_path} ends before {tags_path}; run embed_regions again")


def _assign(tag_R: np.ndarray, buckets_K2: np.ndarray, count_K: np.ndarray, seen_K: np.ndarray) -> np.ndarray:
    """The bucket of each row; a tag of several buckets deals its rows out in turn. `seen_K` is brought up to date."""
    order = np.argsort(tag_R, kind="stable")
    present, starts, counts = np.unique(tag_R[order], return_index=True, return_counts=True)
    turn = np.empty(len(tag_R), dtype=np.int64)
    turn[order] = np.arange(len(tag_R)) - np.repeat(starts, counts)
    turn += seen_K[tag_R]
    seen_K[present] += counts
    return buckets_K2[tag_R, 0] + turn % buckets_K2[tag_R, 1]


def _write(pending: list[pa.Table], writers: dict[int, pq.ParquetWriter], paths: list[Path]) -> None:
    if not pending:
        return
    rows = pa.concat_tables(pending).sort_by([("bucket", "ascending"), ("row", "ascending")])
    bucket = rows["bucket"].to_numpy()
    rows = rows.drop_columns("bucket")
    for index in np.unique(bucket).tolist():
        first, last = np.searchsorted(bucket, [index, index + 1])
        if index not in writers:
            writers[index] = pq.ParquetWriter(paths[index], rows.schema, compression="zstd")
        writers[index].write_table(rows.slice(first, last - first))
