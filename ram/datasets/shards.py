"""Writing images as WebDataset tar shards whose bytes depend on the images alone, and the tables beside them."""

from __future__ import annotations

import io
import json
import re
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from ram.datasets.selection import Shard
from ram.datasets.staging import Spool
from ram.io.tables import temporary_path
from ram.pipeline.catalog import CATALOG

_BLOCK = tarfile.BLOCKSIZE
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


def member_stem(source: str, key: str) -> str:
    """A member name without suffix, its own for every (source, key): no dot, no folder but the source's.

    WebDataset cuts names at the first dot, and a key may hold anything: what is not a letter, a digit, - or _ is
    written as %XX, the bytes of its UTF-8.
    """

    def escaped(match: re.Match[str]) -> str:
        return "".join(f"%{byte:02X}" for byte in match.group().encode())

    return f"{source}/{_UNSAFE.sub(escaped, key)}"


@dataclass
class ShardWriter:
    """One tar under a temporary name, renamed when it is whole."""

    path: Path
    _tar: tarfile.TarFile = field(init=False)

    def __enter__(self) -> ShardWriter:
        self._temporary = temporary_path(self.path)
        self._tar = tarfile.open(self._temporary, "w", format=tarfile.PAX_FORMAT)
        return self

    def __exit__(
        self, error: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tar.close()
        if error is None:
            self._temporary.replace(self.path)

    def write(self, stem: str, suffix: str, image: bytes, document: dict[str, Any]) -> int:
        """Add an image and its JSON; where the image's bytes begin in the tar."""
        offset = self._add(stem + suffix, image)
        self._add(f"{stem}.json", json.dumps(document, sort_keys=True, ensure_ascii=False).encode())
        return offset

    def _add(self, name: str, content: bytes) -> int:
        info = tarfile.TarInfo(name)  # its time, owner and mode are constants
        info.size = len(content)
        self._tar.addfile(info, io.BytesIO(content))
        return self._tar.offset - -(-len(content) // _BLOCK) * _BLOCK


@dataclass(frozen=True)
class WriteShard:
    """Writes one shard; gives the rows of images, pairs and labels of its images. Picklable."""

    spool: Spool
    shards_dir: Path
    benchmark_of: dict[str, str]  # source -> the benchmark its labels belong to

    def __call__(self, shard: Shard) -> tuple[pa.Table, ...]:
        rows: dict[str, list[dict[str, Any]]] = {"images": [], "pairs": [], "labels": []}
        with ShardWriter(self.shards_dir / f"shard-{shard.number:05d}.tar") as writer:
            for chunk, chosen in shard.rows:
                records = self.spool.records(chunk).take(pa.array(chosen)).to_pylist()
                with self.spool.bytes_path(chunk).open("rb") as stream:
                    for record in records:
                        stream.seek(record["offset"])
                        rows["images"].append(_write_image(writer, record, stream.read(record["num_bytes"])))
                        rows["pairs"] += _pair_rows(record)
                        rows["labels"] += self._label_rows(record)
        return tuple(pa.Table.from_pylist(r, schema=CATALOG[name].schema) for name, r in rows.items())

    def _label_rows(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        if not record["labels"]:
            return []
        place = {"image_id": _image_id(record), "benchmark": self.benchmark_of[record["source"]]}
        return [place | label for label in record["labels"]]


def _image_id(record: dict[str, Any]) -> str:
    return f"{record['source']}/{record['key']}"


def _pair_rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    place = {"image_id": _image_id(record), "split": record["split"]}
    return [place | {"caption_index": i, "caption": caption} for i, caption in enumerate(record["captions"])]


def _write_image(writer: ShardWriter, record: dict[str, Any], image: bytes) -> dict[str, Any]:
    """Add an image to the shard; its row of images."""
    stem = member_stem(record["source"], record["key"])
    document = {
        "image_id": _image_id(record),
        "split": record["split"],
        "captions": record["captions"],
        "width": record["width"],
        "height": record["height"],
    }
    return {
        "image_id": _image_id(record),
        "source": record["source"],
        "split": record["split"],
        "shard": writer.path.name,
        "member": stem + record["suffix"],
        "offset": writer.write(stem, record["suffix"], image, document),
        "num_bytes": record["num_bytes"],
        "width": record["width"],
        "height": record["height"],
        "sha256": record["sha256"].hex(),
        "perceptual_hash": f"{record['perceptual_hash']:016x}",
    }
