"""Reading a source once: its good images' bytes behind one another in a file, and a table of what is known of each.

A chunk leaves `chunk-00007.bin` (bytes), `chunk-00007.parquet` (RECORDS) and `chunk-00007.refused.parquet`, which is
renamed into place last: where it stands, the chunk is whole, and a run that was killed does not read it again.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ram.datasets.image_info import ImageLimits, Refused, examine
from ram.datasets.source import Refusal, Sample, Source
from ram.io.tables import temporary_path
from ram.pipeline.catalog import CATALOG

_LABEL = pa.struct([("name", pa.string()), *[(side, pa.float32()) for side in ("x0", "y0", "x1", "y1")]])
RECORDS = pa.schema(
    [
        ("source", pa.string()),
        ("key", pa.string()),
        ("split", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("suffix", pa.string()),
        ("sha256", pa.binary(32)),
        ("perceptual_hash", pa.uint64()),
        ("offset", pa.int64()),  # in the .bin
        ("num_bytes", pa.int64()),
        ("captions", pa.list_(pa.string())),
        ("labels", pa.list_(_LABEL)),
    ]
)
REFUSED = CATALOG["quarantine"].schema
# A caption that is refused for one of these leaves its image accepted.
CAPTION_REASONS = ("empty_caption", "repeated_caption")
MAX_KEY_LENGTH = 1000  # characters
_ROWS_PER_WRITE = 10_000


@dataclass(frozen=True)
class Spool:
    """A folder of chunks."""

    directory: Path

    def bytes_path(self, chunk: int) -> Path:
        return self.directory / f"chunk-{chunk:05d}.bin"

    def records_path(self, chunk: int) -> Path:
        return self.directory / f"chunk-{chunk:05d}.parquet"

    def refused_path(self, chunk: int) -> Path:
        return self.directory / f"chunk-{chunk:05d}.refused.parquet"

    def has(self, chunk: int) -> bool:
        return self.refused_path(chunk).exists()

    def records(self, chunk: int, columns: list[str] | None = None) -> pa.Table:
        return pq.read_table(self.records_path(chunk), columns=columns)

    def refused(self, chunk: int) -> pa.Table:
        return pq.read_table(self.refused_path(chunk))


@dataclass(frozen=True)
class SpoolItem:
    """One chunk of one source, and its number among the chunks of all sources."""

    number: int
    source: Source
    chunk: Any


@dataclass(frozen=True)
class SpoolWriter:
    """Reads and examines the images of a chunk; a picklable function for the engine."""

    spool: Spool
    limits: ImageLimits

    def __call__(self, item: SpoolItem) -> int:
        """Write the chunk; how many samples and refusals it had."""
        bytes_path = self.spool.bytes_path(item.number)
        temporary = temporary_path(bytes_path)
        records = _Rows(self.spool.records_path(item.number), RECORDS)
        refused = _Rows(self.spool.refused_path(item.number), REFUSED)
        with temporary.open("wb") as stream, records, refused:
            for sample in item.source.read(item.chunk):
                for row in self._rows(sample, item.source, stream):
                    (refused if "reason" in row else records).add(row)
        temporary.replace(bytes_path)
        records.move_into_place()
        refused.move_into_place()
        return records.num + refused.num

    def _rows(self, sample: Sample | Refusal, source: Source, stream: BinaryIO) -> Iterator[dict[str, Any]]:
        """The sample's record, if it is accepted, and a row for all that is refused of it."""

        def refuse(reason: str, detail: str) -> dict[str, str]:
            key, said = (_as_text(text)[:MAX_KEY_LENGTH] for text in (sample.key, detail))
            return {"source": source.name, "key": key, "reason": reason, "detail": said}

        if isinstance(sample, Refusal):
            yield refuse(sample.reason, sample.detail)
            return
        if problem := _key_problem(sample.key):
            yield refuse("bad_key", problem)
            return
        facts = examine(sample.image, self.limits)
        if isinstance(facts, Refused):
            yield refuse(facts.reason, facts.detail)
            return
        captions, problems = tidy_captions(sample.captions)
        if not captions and source.captions == "required" and sample.split == "train":
            said = f"{len(sample.captions)} captions, none with words" if sample.captions else "no caption"
            yield refuse("no_caption", said)
            return
        yield from (refuse(reason, detail) for reason, detail in problems)
        yield {
            "source": source.name,
            "key": sample.key,
            "split": sample.split,
            "width": facts.width,
            "height": facts.height,
            "suffix": facts.suffix,
            "sha256": facts.sha256,
            "perceptual_hash": facts.perceptual_hash,
            "offset": stream.tell(),
            "num_bytes": len(sample.image),
            "captions": captions,
            "labels": [_label_row(label.name, label.box) for label in sample.labels],
        }
        stream.write(sample.image)


def tidy_captions(captions: tuple[str, ...]) -> tuple[list[str], list[tuple[str, str]]]:
    """Captions with white space and control characters made single spaces; and (reason, detail) of those left out."""
    kept: dict[str, int] = {}  # and its place
    problems: list[tuple[str, str]] = []
    for index, caption in enumerate(captions):
        printable = "".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in caption)
        text = " ".join(printable.split())
        if not any(c.isalnum() for c in text):
            problems.append(("empty_caption", f"caption {index} is {caption[:80]!r}"))
        elif text in kept:
            problems.append(("repeated_caption", f"caption {index} is caption {kept[text]} again"))
        else:
            kept[text] = len(kept)
    return list(kept), problems


def _label_row(name: str, box: tuple[float, float, float, float] | None) -> dict[str, Any]:
    return {"name": _as_text(name), **dict(zip(("x0", "y0", "x1", "y1"), box or (None,) * 4, strict=True))}


def _as_text(text: str) -> str:
    """The text with what no UTF-8 can hold, lone surrogates, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _key_problem(key: str) -> str:
    if not key.rpartition("/")[2]:
        return "the key is empty; give the file a name before its suffix"
    if len(key) > MAX_KEY_LENGTH:
        return f"the key has {len(key)} characters, more than {MAX_KEY_LENGTH}; give the file a shorter name"
    return "" if _as_text(key) == key else f"the key {_as_text(key)!r} is no text; give the file another name"


class _Rows:
    """Rows on their way to a Parquet file under a temporary name: however many there are, few are in memory."""

    def __init__(self, target: Path, schema: pa.Schema) -> None:
        self.num = 0
        self._target, self._schema, self._temporary = target, schema, temporary_path(target)
        self._pending: list[dict[str, Any]] = []

    def __enter__(self) -> _Rows:
        self._writer = pq.ParquetWriter(self._temporary, self._schema, compression="zstd")
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            self._flush()
        self._writer.close()

    def add(self, row: dict[str, Any]) -> None:
        self._pending.append(row)
        self.num += 1
        if len(self._pending) == _ROWS_PER_WRITE:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.Table.from_pylist(self._pending, schema=self._schema))
        self._pending = []

    def move_into_place(self) -> None:
        self._temporary.replace(self._target)
