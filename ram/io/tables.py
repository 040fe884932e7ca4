"""Tables in Parquet parts, and writing that is never seen half done."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ram.io.documents import parse_json

ROWS_PER_PART = 100_000
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MORE_SPACE = (
    "free some, or put the folder data on a larger disk (a link will do). What is finished is kept, what was there before "
    "stands, and the next run goes on from there"
)


class Table:
    """A folder of Parquet parts of one schema, read lazily. Parts are in the order of their names."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        if not path.is_dir():
            raise ValueError(f"no table at {path}; run the stage that makes it")
        self.path = path
        self.schema = schema
        self.part_paths: list[Path] = sorted(path.glob("part-*.parquet"))

    @property
    def num_rows(self) -> int:
        """Of all parts, by their footers: no row is read."""
        return sum(pq.read_metadata(part).num_rows for part in self.part_paths)

    def read(self, columns: Sequence[str] | None = None, filters: Any = None) -> pa.Table:
        """All rows of the named columns as one Arrow table; `filters` as in `pyarrow.parquet.read_table`."""
        names = list(columns) if columns is not None else self.schema.names
        if not self.part_paths:
            return pa.schema([self.schema.field(name) for name in names]).empty_table()
        return pa.concat_tables(
            [pq.read_table(p, columns=names, filters=filters) for p in self.part_paths]
        ).unify_dictionaries()

    def to_pandas(self, columns: Sequence[str] | None = None, filters: Any = None) -> pd.DataFrame:
        """As `read`, as a data frame; text columns that are dictionaries come as plain text."""
        table = self.read(columns, filters)
        for index, column in enumerate(table.schema):
            if pa.types.is_dictionary(column.type):
                table = table.set_column(index, column.name, table.column(index).cast(column.type.value_type))
        return table.to_pandas()

    def batches(self, columns: Sequence[str] | None = None, batch_size: int = 65_536) -> Iterator[pa.RecordBatch]:
        """Arrow batches of at most `batch_size` rows, part by part: memory does not grow with the table."""
        for part in self.part_paths:
            yield from pq.ParquetFile(part).iter_batches(batch_size=batch_size, columns=columns)


@dataclass(frozen=True)
class PartMap:
    """Work still to be done: `function(item)` gives one Arrow table, or a tuple of them, per item.

    The runner calls it over the engine, whose workers write each result as one part; parts that a killed run had
    finished are kept. `function` must be picklable. A stage returns `part_map.output(i)` for its i-th table.

    With `keys`, one an item that says all that its part is made of beside the stage's parameters and the code, a part that an
    earlier run made of the same is taken from there.
    """

    function: Callable[[Any], pa.Table | tuple[pa.Table, ...]]
    items: Sequence[Any]
    description: str = "parts"
    keys: Sequence[str] | None = None

    def output(self, index: int = 0) -> MappedTable:
        return MappedTable(self, index)


@dataclass(frozen=True)
class MappedTable:
    """One of the tables that a `PartMap` gives."""

    work: PartMap
    index: int


@dataclass
class TableWriter:
    """Collects rows and writes them as parts of `schema` into `directory`, each renamed into place when whole."""

    directory: Path
    schema: pa.Schema
    rows_per_part: int = ROWS_PER_PART
    _pending: list[pa.Table] = field(default_factory=list)
    _num_pending: int = 0
    _num_parts: int = 0

    def write(self, rows: pa.Table | pd.DataFrame | Sequence[Mapping[str, Any]]) -> None:
        table = as_arrow(rows, self.schema)
        self._pending.append(table)
        self._num_pending += table.num_rows
        if self._num_pending >= self.rows_per_part:
            self.flush()

    def flush(self) -> None:
        if self._num_pending:
            write_part(pa.concat_tables(self._pending).combine_chunks(), self.directory, self._num_parts, self.schema)
            self._num_parts += 1
        self._pending, self._num_pending = [], 0

    def __enter__(self) -> TableWriter:
        self.directory.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            self.flush()


def list_column(rows_ND: np.ndarray) -> pa.ListArray:
    """A matrix as a column, a list of its D numbers a row."""
    offsets = np.arange(len(rows_ND) + 1, dtype=np.int32) * rows_ND.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows_ND.ravel()))


def as_arrow(rows: pa.Table | pd.DataFrame | Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """`rows` as an Arrow table of exactly `schema`; `ValueError` for a missing column or a null where none may be."""
    if isinstance(rows, pd.DataFrame):
        if missing := set(schema.names) - set(rows.columns):
            raise ValueError(f"the table lacks the columns {sorted(missing)}; it has {list(rows.columns)}")
        table = pa.Table.from_pandas(rows[schema.names], schema=schema, preserve_index=False)
    elif isinstance(rows, pa.Table):
        table = rows.select(schema.names).cast(schema)
    else:
        table = pa.Table.from_pylist(list(rows), schema=schema)
    for column in schema:
        if not column.nullable and table[column.name].null_count:
            raise ValueError(f"column {column.name} has {table[column.name].null_count} nulls and may have none")
    return table.replace_schema_metadata(None)


def part_path(directory: Path, index: int) -> Path:
    return directory / f"part-{index:05d}.parquet"


def temporary_path(target: Path) -> Path:
    """A name beside `target` to write under before the file is whole: no process of any machine has it as well."""
    return target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}.tmp")


def remove_temporaries(directory: Path, of: str = "*") -> None:
    """Remove what processes that were killed had begun to write under `directory`; with `of`, under that name alone."""
    for path in list(directory.rglob(f".{of}.*.tmp*")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def require_space(directory: Path, num_bytes: int, what: str) -> None:
    """`ValueError` where `num_bytes` more do not fit the disk of `directory`, a folder that is there."""
    free = shutil.disk_usage(directory).free
    if num_bytes > free:
        raise ValueError(_no_space(directory, num_bytes, free, what))


def _no_space(directory: Path, num_bytes: int, free: int, what: str) -> str:
    return (
        f"{what} needs {num_bytes / 1e9:,.2f} GB ({num_bytes} bytes) in {directory.resolve()}, and {free / 1e9:,.2f} GB "
        f"({free} bytes) are free there; {MORE_SPACE}"
    )


def new_array(path: Path, dtype: Any, shape: Sequence[int], what: str) -> np.memmap:
    """A .npy file of `shape`, mapped for writing, with its place on disk taken: `ValueError` where there is none.

    Without its place taken, writing to a map on a full disk ends the process by a signal, with no word of why.
    """
    num_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    require_space(path.parent, num_bytes, what)
    array = np.lib.format.open_memmap(path, "w+", dtype, tuple(shape))
    if hasattr(os, "posix_fallocate") and num_bytes:
        try:
            with path.open("r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EINVAL):  # this file system takes no place beforehand
                return array
            path.unlink()
            if error.errno not in FULL:
                raise
            free = shutil.disk_usage(path.parent).free
            raise ValueError(f"{_no_space(path.parent, num_bytes, free, what)} ({error.strerror})") from error
    return array


def write_part(table: pa.Table, directory: Path, index: int, schema: pa.Schema) -> None:
    """Write one part under a temporary name, then rename it: a part that exists is whole."""
    directory.mkdir(parents=True, exist_ok=True)
    target = part_path(directory, index)
    temporary = temporary_path(target)
    pq.write_table(as_arrow(table, schema), temporary, compression="zstd")
    temporary.replace(target)


def write_table(
    rows: pa.Table | pd.DataFrame | Sequence[Mapping[str, Any]], directory: Path, schema: pa.Schema
) -> None:
    """Write rows held in memory as a table of parts; an empty table has one part of no rows."""
    table = as_arrow(rows, schema)
    for index, start in enumerate(range(0, max(table.num_rows, 1), ROWS_PER_PART)):
        write_part(table.slice(start, ROWS_PER_PART), directory, index, schema)


def write_text(text: str, path: Path) -> None:
    """Write a text file in one step: readers see the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def write_json(document: Any, path: Path) -> None:
    """Write JSON with sorted keys; a NaN is an error, since JSON has none."""
    write_text(json.dumps(document, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n", path)


def read_json(path: Path) -> Any:
    if not path.is_file():
        raise ValueError(f"no file at {path}; run the stage that makes it")
    return parse_json(path.read_bytes(), path)


def move_into_place(source: Path, target: Path) -> None:
    """Replace `target`, a file or a folder, by `source` on the same file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    elif target.exists() or target.is_symlink():
        target.unlink()
    source.replace(target)


def link_or_copy(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system has no such links or `target` lies on another."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        temporary = temporary_path(target)
        shutil.copyfile(source, temporary)
        temporary.replace(target)


def copy_folder(source: Path, target: Path, *, link: bool) -> None:
    """`target` made anew as a copy of `source`; with `link`, as other names of the same files where that can be."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for file in sorted(p for p in source.rglob("*") if p.is_file()):
        place = target / file.relative_to(source)
        if link:
            link_or_copy(file.resolve(), place)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)


def content_hash(path: Path) -> str:
    """SHA-256 (hex) of a file, or of the names and contents of all files under a folder."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        digest.update(b"" if file == path else file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
