"""Statistics of the images and captions of a run, as histograms of fixed bins: those of two runs can be compared."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ram.io.images import open_image
from ram.io.tables import Table
from ram.reports.data.language import count_languages
from ram.validation.frames import hash_strings

SIDE = (0, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096)  # pixels
ASPECT = (0, 0.5, 0.67, 0.8, 0.95, 1.05, 1.25, 1.5, 2)
KILOBYTES = (0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
FRACTION = tuple(i / 10 for i in range(10))
WORDS = (0, *range(1, 16), 20, 30, 60)

NUM_DECODED = 400
NUM_READ = 20_000  # captions whose language is guessed

Histogram = dict[str, int]  # {lower edge of the bin, as text: count}


def image_statistics(images: Table, shards_dir: Path) -> dict[str, Any]:
    """{"num", "splits", "histograms": {statistic: Histogram}, "num_decoded"}; sides in pixels, the rest of decoded images
    as shares. Sizes are those of all images, brightness, contrast and saturation those of a sample by a hash.
    """
    histograms: dict[str, Counter[str]] = {name: Counter() for name in ("longer side", "aspect", "kilobytes")}
    splits: Counter[str] = Counter()
    for batch in images.batches(["split", "width", "height", "num_bytes"]):
        splits.update(batch.column("split").to_pylist())
        width, height, size = (batch.column(name).to_numpy() for name in ("width", "height", "num_bytes"))
        histograms["longer side"].update(_binned(np.maximum(width, height), SIDE))
        histograms["aspect"].update(_binned(width / np.maximum(height, 1), ASPECT))
        histograms["kilobytes"].update(_binned(size / 1024, KILOBYTES))
    num_images = splits.total()
    looks = [_look(shards_dir, row) for row in _sampled(images, "image_id", NUM_DECODED, num_images)]
    for position, name in enumerate(("brightness", "contrast", "saturation")):
        histograms[name] = Counter(_binned(np.array([look[position] for look in looks]), FRACTION))
    in_order = {name: _in_order(counts) for name, counts in histograms.items()}
    return {"num": num_images, "splits": dict(splits), "histograms": in_order, "num_decoded": len(looks)}


def caption_statistics(pairs: Table) -> dict[str, Any]:
    """{"num", "histograms": {"words": Histogram}, "languages": {language: count}, "num_read"}; languages are of a sample."""
    words: Counter[str] = Counter()
    num = 0
    for batch in pairs.batches(["caption"]):
        num += batch.num_rows
        # Captions have single spaces since they were ingested.
        words.update(_binned(pc.add(pc.count_substring(batch.column("caption"), " "), 1).to_numpy(), WORDS))
    languages = count_languages(row["caption"] for row in _sampled(pairs, "caption", NUM_READ, num))
    return {
        "num": num,
        "histograms": {"words": _in_order(words)},
        "languages": languages,
        "num_read": sum(languages.values()),
    }


def _binned(values: np.ndarray, edges: Sequence[float]) -> Histogram:
    counts = np.bincount(np.searchsorted(edges, values, side="right") - 1, minlength=len(edges))
    return {f"{edge:g}": int(count) for edge, count in zip(edges, counts, strict=True) if count}


def _in_order(counts: Counter[str]) -> Histogram:
    return {edge: counts[edge] for edge in sorted(counts, key=float)}


def _sampled(table: Table, column: str, num_wanted: int, num_rows: int) -> Iterator[dict[str, Any]]:
    """About `num_wanted` rows of so many, by a hash of the column: the same of the same table, and mostly the same of one
    that grew."""
    limit = np.uint64(min(num_wanted / max(num_rows, 1), 1.0) * (2**64 - 2**12))
    for batch in table.batches():
        chosen = hash_strings(batch.column(column)) <= limit
        yield from batch.filter(pa.array(chosen)).to_pylist()


def read_image(shards_dir: Path, row: dict[str, Any]) -> bytes:
    """The encoded image of a row of the table images."""
    descriptor = os.open(shards_dir / row["shard"], os.O_RDONLY)
    try:
        return os.pread(descriptor, row["num_bytes"], row["offset"])
    finally:
        os.close(descriptor)


def _look(shards_dir: Path, row: dict[str, Any]) -> tuple[float, float, float]:
    """Mean brightness, its standard deviation, and mean saturation of an image, each from 0 to 1."""
    image = open_image(read_image(shards_dir, row), min_size=64)
    image.thumbnail((64, 64))
    pixels = np.asarray(image, dtype=np.float32) / 255
    luma = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
    highest, lowest = pixels.max(axis=2), pixels.min(axis=2)
    saturation = np.where(highest > 0, (highest - lowest) / np.maximum(highest, 1e-6), 0)
    return float(luma.mean()), float(luma.std()), float(saturation.mean())
