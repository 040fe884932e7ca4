"""CSV or Parquet tables with a column of picture paths and a column of captions."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ram.datasets.remote import RemotePath
from ram.datasets.source import FileSource, Refusal, Sample, expand, read_inside


@dataclass(frozen=True, kw_only=True, slots=True)
class TableFile(FileSource):
    """A chunk is a file, so cut a long table into several. Rows of one picture stand together, a caption each.

    Paths are relative to `picture_root`, by default the folder of the table; none may lead out of it.
    """

    path_column: str = "path"
    caption_column: str = "caption"
    picture_root: str | None = None

    def chunks(self, files: Sequence[str]) -> list[Path | RemotePath]:
        return [expand(file) for file in files]

    def read(self, chunk: Path | RemotePath) -> Iterator[Sample | Refusal]:
        root = expand(self.picture_root) if self.picture_root else chunk.parent
        for path, rows in itertools.groupby(self._rows(chunk), key=lambda row: row[0]):
            captions = tuple(caption for _, caption in rows if caption is not None and self.captions != "off")
            image = read_inside(root, path)
            if isinstance(image, str):
                yield Refusal(key=path, reason="unreadable", detail=image)
            else:
                yield Sample(key=path, image=image, split=self.split_of(path), captions=captions)

    def _rows(self, path: Path | RemotePath) -> Iterator[tuple[str, str | None]]:
        """(path, caption) of every row; without captions, where the table has none and none are wanted."""
        for row in table_rows(path):
            wanted = [self.path_column] + [self.caption_column] * (self.captions == "required")
            if missing := [name for name in wanted if name not in row]:
                raise ValueError(f"{path} has no column {missing[0]!r}; it has {', '.join(map(str, row))}")
            caption = row.get(self.caption_column)
            yield str(row[self.path_column]), None if caption is None else str(caption)


def table_rows(path: Path | RemotePath) -> Iterator[dict[str, Any]]:
    """The rows of a CSV file, all text, or of a Parquet file; `ValueError` where it is neither."""
    return _parquet_rows(path) if path.suffix == ".parquet" else _csv_rows(path)


def _csv_rows(path: Path | RemotePath) -> Iterator[dict[str, Any]]:
    with path.open("rb") as content, io.TextIOWrapper(content, encoding="utf-8", newline="") as stream:
        try:
            yield from csv.DictReader(stream)
        except csv.Error as error:
            raise ValueError(f"{path} is no CSV that can be read: {error}; mend that row") from error


def _parquet_rows(path: Path | RemotePath) -> Iterator[dict[str, Any]]:
    with path.open("rb") as stream:
        try:
            file = pq.ParquetFile(stream)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path} is no Parquet file: {error}") from error
        for batch in file.iter_batches(batch_size=10_000):
            yield from batch.to_pylist()
