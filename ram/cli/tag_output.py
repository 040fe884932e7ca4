"""How `ram tag` writes: a table to read, JSON lines, CSV or Parquet; to the terminal, or whole to a file."""

from __future__ import annotations

import csv
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from ram.inference.image_inputs import NamedImage
from ram.inference.results import ImageTags, Result, TagScore
from ram.io.tables import temporary_path

_ROWS_PER_GROUP = 20_000


class OutputFormat(StrEnum):
    """How `ram tag` prints."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


_OF_SUFFIX = {
    ".json": OutputFormat.JSON, ".jsonl": OutputFormat.JSON, ".csv": OutputFormat.CSV,
    ".parquet": OutputFormat.PARQUET, ".txt": OutputFormat.TABLE,
}  # fmt: skip
COLUMNS = (
    "image", "tag", "score", "threshold", "kind", "tag_id", "probability", "implied_by", "x0", "y0", "x1", "y1",
    "caption", "frame", "time_s",
)  # fmt: skip


def output_format(wanted: OutputFormat | None, out: Path | None) -> OutputFormat:
    """What is asked for, else what the file's name says, else a table. `ValueError` for Parquet without a file."""
    found = wanted or (_OF_SUFFIX.get(out.suffix.lower()) if out else None) or OutputFormat.TABLE
    if found is OutputFormat.PARQUET and out is None:
        raise ValueError("Parquet is no text for a terminal; name a file with --out")
    return found


class Writer(ABC):
    """Takes the results that have tags, one by one."""

    @abstractmethod
    def write(self, result: Result, tags: ImageTags) -> None: ...

    def close(self) -> None:
        """All that was written is in the file when this comes back."""
        return


class TableWriter(Writer):
    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, result: Result, tags: ImageTags) -> None:
        lines = [f"  {t.score:6.3f}  {t.name}  ({t.kind}){_note(t)}" for t in tags] or ["  no tag"]
        caption = [] if tags.caption is None else [f"  “{tags.caption}”"]
        print("\n".join([result.name, *caption, *lines]), file=self._stream, flush=True)


def _note(tag: TagScore) -> str:
    box = "" if tag.box is None else " at " + ", ".join(f"{v:.2f}" for v in tag.box)
    return (f" follows from {tag.implied_by}" if tag.implied_by else "") + box


class JsonWriter(Writer):
    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, result: Result, tags: ImageTags) -> None:
        facts: dict[str, Any] = {"image": result.name, **_frame_of(result)}
        if tags.caption is not None:
            facts["caption"] = tags.caption
        facts["tags"] = [_fields(tag) for tag in tags]
        print(json.dumps(facts, ensure_ascii=False), file=self._stream, flush=True)


def _fields(tag: TagScore) -> dict[str, Any]:
    always = {"name": tag.name, "score": round(tag.score, 4), "threshold": tag.threshold, "kind": tag.kind}
    rest = {"tag_id": tag.tag_id, "tag": tag.tag, "probability": tag.probability, "implied_by": tag.implied_by}
    box = {} if tag.box is None else {"box": [round(v, 4) for v in tag.box]}
    return always | {key: value for key, value in rest.items() if value is not None} | box


def _frame_of(result: Result) -> dict[str, Any]:
    image = result.image
    if not isinstance(image, NamedImage) or image.frame is None:
        return {}
    return {"frame": image.frame, "time_s": image.time_s}


def rows_of(result: Result, tags: ImageTags) -> Iterator[dict[str, Any]]:
    """A row a tag, with `COLUMNS`; an image without tags has one row, and no tag in it."""
    common = {"image": result.name, "caption": tags.caption, **_frame_of(result)}
    for tag in tags or [None]:
        row: dict[str, Any] = dict.fromkeys(COLUMNS) | common
        if tag is not None:
            row |= {"tag": tag.name, **{name: getattr(tag, name) for name in COLUMNS[2:8]}}
            row |= dict(zip(("x0", "y0", "x1", "y1"), tag.box or (None,) * 4, strict=True))
        yield row


class CsvWriter(Writer):
    def __init__(self, stream: IO[str]) -> None:
        self._writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        self._writer.writeheader()

    def write(self, result: Result, tags: ImageTags) -> None:
        self._writer.writerows(rows_of(result, tags))


class ParquetWriter(Writer):
    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        text = {"image", "tag", "kind", "implied_by", "caption"}
        types = {name: pa.string() if name in text else pa.float64() for name in COLUMNS}
        types |= {"tag_id": pa.int32(), "frame": pa.int64()}
        self._schema = pa.schema(list(types.items()))
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def write(self, result: Result, tags: ImageTags) -> None:
        self._rows += rows_of(result, tags)
        if len(self._rows) >= _ROWS_PER_GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []


_TEXT: dict[OutputFormat, Any] = {
    OutputFormat.TABLE: TableWriter,
    OutputFormat.JSON: JsonWriter,
    OutputFormat.CSV: CsvWriter,
}


@contextmanager
def writing(form: OutputFormat, out: Path | None) -> Iterator[Writer]:
    """A writer to the terminal, or to a file that is there, whole, once this ends well, and not before."""
    if out is None:
        yield _TEXT[form](sys.stdout)
        return
    if out.is_dir():
        raise ValueError(f"--out names a file to write, and {out} is a folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(out)
    try:
        if form is OutputFormat.PARQUET:
            writer: Writer = ParquetWriter(temporary)
            yield writer
            writer.close()
        else:
            with temporary.open("w", encoding="utf-8", newline="") as stream:
                yield _TEXT[form](stream)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
