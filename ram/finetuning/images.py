"""Images of a folder as what training and scoring read, without packing them into shards."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow as pa

from ram.datasets.image_store import ImageStore
from ram.io.images import ImageError, open_image, read_file
from ram.io.progress import track
from ram.io.tables import Table, write_table
from ram.pipeline.executors.local import available_cores

IMAGES_PER_SHARD = 64  # of features: what a killed run makes anew at most
_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("source", pa.string()),
        ("split", pa.string()),
        ("shard", pa.string()),
        ("offset", pa.int64()),
        ("num_bytes", pa.int64()),
    ]
)


class ImageFolder(ImageStore):
    """A store whose ids are paths of files in a folder; its shards are runs of files, and exist in name alone."""

    def read_bytes(self, image_id: str) -> bytes:
        return read_file(self.shards_dir / image_id)


def check_images(root: Path, paths: Sequence[str]) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
    """Hash of every image that decodes whole, and (reason, detail) of the others: missing or broken."""

    def check(path: str) -> tuple[str, str, str]:
        try:
            content = read_file(root / path)
            open_image(content)
        except ImageError as error:
            return "", "broken_image", str(error)
        except OSError as error:
            return "", "missing_image", str(error)
        return hashlib.sha256(content).hexdigest(), "", ""

    hashes: dict[str, str] = {}
    refused: dict[str, tuple[str, str]] = {}
    with ThreadPoolExecutor(available_cores()) as pool:
        results = track(pool.map(check, paths), "reading images", len(paths), "image")
        for path, (digest, reason, detail) in zip(paths, results, strict=True):
            if reason:
                refused[path] = reason, detail
            else:
                hashes[path] = digest
    return hashes, refused


def split_of(path: str, dev_share: float) -> str:
    """dev for about `dev_share` of all paths, by a hash of the path: the same image is always on the same side."""
    number = int(hashlib.sha256(path.encode()).hexdigest()[:12], 16)
    return "dev" if number / 16**12 < dev_share else "finetune"


def write_images(directory: Path, paths: Sequence[str], dev_share: float) -> Table:
    """The table of images, in order of their paths."""
    rows = pd.DataFrame({"image_id": sorted(paths)})
    rows["source"] = "own"
    rows["split"] = [split_of(path, dev_share) for path in rows["image_id"]]
    rows["shard"] = [f"{number // IMAGES_PER_SHARD:06d}" for number in rows.index]
    rows["offset"], rows["num_bytes"] = rows.index, 0
    write_table(rows, directory, _SCHEMA)
    return Table(directory, _SCHEMA)
