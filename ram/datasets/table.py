"""CSV or Parquet tables with a column of image paths and a column of captions."""

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

from ram.datasets.source import FileSource, Refusal, Sample, expand, read_inside
from ram.io.remote import RemotePath

MAX_COLUMN_BYTES = 1 << 30  # of one column of one row group of Parquet, unpacked


@dataclass(frozen=True, kw_only=True, slots=True)
class TableFile(FileSource):
    """A chunk is a file, so cut a long table into several. Rows of one image stand together, a caption each.

    Paths are relative to `image_root`, by default the folder of the table; none may lead out of it.
    """

    path_column: str = "path"
    caption_column: str = "caption"
    image_root: str | None = None

    def chunks(self, files: Sequence[str]) -> list[Path | RemotePath]:
        return [expand(file) for file in files]

    def read(self, chunk: Path | RemotePath) -> Iterator[Sample | Refusal]:
        root = expand(self.image_root) if self.image_root else chunk.parent
        for (number, path), rows in itertools.groupby(self._rows(chunk), key=lambda row: row[0]):
            captions = tuple(caption for _, caption in rows if caption is not None and self.captions != "off")
            image = read_inside(root, path) if path else "the path is empty"
            if isinstance(image, str):
                yield Refusal(key=path or f"{chunk.name}, row {number}", reason="unreadable", detail=image)
            else:
                yield Sample(key=path, image=image, split=self.split_of(path), captions=captions)

    def _rows(self, path: Path | RemotePath) -> Iterator[tuple[tuple[int, str], str | None]]:
        """((number, path), caption) of every row; only rows without a path, from 1, have a number other than 0."""
        wanted = [self.path_column] + [self.caption_column] * (self.captions != "off")
        required = [self.path_column] + [self.caption_column] * (self.captions == "required")
        for number, row in enumerate(table_rows(path, wanted, required), start=1):
            image, caption = row[self.path_column], row.get(self.caption_column)
            for column, value in ((self.path_column, image), (self.caption_column, caption)):
                if not isinstance(value, str | None):
                    raise ValueError(
                        f"{path}, row {number}: column {column!r} must hold text, got {type(value).__name__} "
                        f"{str(value)[:40]!r}; write it as text"
                    )
            yield (0 if image else number, image or ""), caption


def table_rows(
    path: Path | RemotePath, wanted: Sequence[str] | None = None, required: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """The rows of a CSV file, all text, or of a Parquet file, there with the columns `wanted` alone (None: with all).

    Raises `ValueError` for a file that is neither, that is broken, or lacks a column that is `required`.
    """
    return (_parquet_rows if path.suffix == ".parquet" else _csv_rows)(path, wanted, required)


def _require(path: Path | RemotePath, columns: Sequence[str], required: Sequence[str]) -> None:
    if missing := [name for name in required if name not in columns]:
        raise ValueError(f"{path} has no column {missing[0]!r}; it has {', '.join(columns)[:400]}")


def _csv_rows(
    path: Path | RemotePath, wanted: Sequence[str] | None, required: Sequence[str]
) -> Iterator[dict[str, Any]]:
    with path.open("rb") as content, io.TextIOWrapper(content, encoding="utf-8-sig", newline="") as stream:
        try:
            reader = csv.DictReader(stream)
            columns = list(reader.fieldnames or ())
            if not columns or any("\0" in column for column in columns):
                raise ValueError(f"{path} is no CSV: its first line must name the columns")
            if len(set(columns)) < len(columns):
                raise ValueError(f"{path} has two columns of one name: {', '.join(columns)[:400]}; name them apart")
            _require(path, columns, required)
            for row in reader:
                if None in row:
                    raise ValueError(
                        f"{path}, line {reader.line_num}: {len(columns) + len(row[None])} fields for {len(columns)} columns; "
                        'put a text with commas into quotes ("")'
                    )
                yield row
        except csv.Error as error:
            raise ValueError(f"{path} is no CSV that can be read: {error}; mend that row") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is no text in UTF-8: {error}; save it as UTF-8") from error


def _parquet_rows(
    path: Path | RemotePath, wanted: Sequence[str] | None, required: Sequence[str]
) -> Iterator[dict[str, Any]]:
    with path.open("rb") as stream:
        try:
            file = pq.ParquetFile(stream)
            schema = file.schema_arrow
            _require(path, schema.names, required)
            chosen = [name for name in schema.names if wanted is None or name in wanted]
            _check_sizes(path, file.metadata, chosen)
            # As dictionaries, since a text of a megabyte in every row may be one of the file.
            texts = [name for name in chosen if schema.field(name).type in (pa.string(), pa.large_string())]
            file = pq.ParquetFile(stream, read_dictionary=texts)
            for batch in file.iter_batches(batch_size=10_000, columns=chosen):
                for values in zip(*map(_cells, batch.columns), strict=True):
                    yield dict(zip(batch.schema.names, values, strict=True))
        except (pa.ArrowException, OSError) as error:
            raise ValueError(
                f"{path} is no Parquet file that can be read: {str(error)[:300]}; write it anew"
            ) from error


def _cells(column: pa.Array) -> Iterator[Any]:
    if not isinstance(column, pa.DictionaryArray):
        return iter(column.to_pylist())
    column.validate(full=True)  # a broken file's indices may lie outside
    values = column.dictionary.to_pylist()
    return (None if index is None else values[index] for index in column.indices.to_pylist())


def _check_sizes(path: Path | RemotePath, metadata: Any, chosen: Sequence[str]) -> None:
    """`ValueError` for a column that takes more than `MAX_COLUMN_BYTES` when it is unpacked."""
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            if column.path_in_schema.split(".")[0] in chosen and column.total_uncompressed_size > MAX_COLUMN_BYTES:
                raise ValueError(
                    f"{path}: column {column.path_in_schema!r} of row group {group} has "
                    f"{column.total_uncompressed_size} bytes when unpacked, more than {MAX_COLUMN_BYTES}; write smaller "
                    "row groups"
                )
