"""Images to show: what was said of them, what the model added, what the cleaning took away and where."""

from __future__ import annotations

import base64
import heapq
import io
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
from PIL import Image

from ram.datasets.image_store import ImageStore
from ram.io.tables import Table
from ram.labels import LabelSystem

_ADDED = ("predicted", "generated_caption")


def chosen_images(cleaned: Table, num: int) -> list[str]:
    """Images with added tags and removed ones, then others: by a hash of their names, not by how good they look."""
    ranks: dict[str, tuple[int, int]] = {}
    for batch in cleaned.batches(["image_id", "origin", "kept"]):
        frame = batch.to_pandas()
        added = frame["origin"].isin(_ADDED) & frame["kept"]
        marks = frame.assign(added=added, removed=~frame["kept"]).groupby("image_id")[["added", "removed"]].any()
        for image_id, has_added, has_removed in marks.itertuples():
            ranks[image_id] = (2 - has_added - has_removed, zlib.crc32(image_id.encode()))
        if len(ranks) > 100_000:
            ranks = dict(heapq.nsmallest(num, ranks.items(), key=lambda item: item[1]))
    return [image_id for image_id, _ in heapq.nsmallest(num, ranks.items(), key=lambda item: item[1])]


def examples(
    image_ids: Sequence[str],
    store: ImageStore,
    pairs: Table,
    generated_captions: Table,
    cleaned: Table,
    label_system: LabelSystem,
    thumbnail_size: int,
) -> list[dict[str, Any]]:
    """{"image_id", "image" (data URI), "captions", "generated_caption", "said", "added", "removed"} for each image;
    a tag is {"name", "kind", "origin", "score", "reason", "box" (x, y, width, height in per cent, or None)}."""
    rows = _rows_of(cleaned, image_ids)
    captions = _rows_of(pairs, image_ids).sort_values("caption_index").groupby("image_id")["caption"].apply(list)
    generated = _rows_of(generated_captions, image_ids).set_index("image_id")["caption"]
    found = []
    for image_id in image_ids:
        own = rows[rows["image_id"] == image_id].sort_values("score", ascending=False, kind="stable")
        tags = [_tag(row, label_system) for row in own.to_dict("records")]
        found.append(
            {
                "image_id": image_id,
                "image": thumbnail(store.open(image_id), thumbnail_size),
                "captions": captions.get(image_id, [])[:2],
                "generated_caption": generated.get(image_id),
                "said": [t for t in tags if t["kept"] and t["origin"] not in _ADDED],
                "added": [t for t in tags if t["kept"] and t["origin"] in _ADDED],
                "removed": [t for t in tags if not t["kept"]],
            }
        )
    return found


def _rows_of(table: Table, image_ids: Sequence[str]) -> pd.DataFrame:
    """The rows of a few images; parts are read in turn, so memory does not grow with the table."""
    wanted = pa.array(list(image_ids), pa.string())
    return table.to_pandas(filters=[("image_id", "in", wanted.to_pylist())])


def _tag(row: Mapping[Any, Any], label_system: LabelSystem) -> dict[str, Any]:
    tag = label_system[int(row["tag_id"])]
    sides = [row[side] for side in ("x0", "y0", "x1", "y1")]
    box = None
    if not any(pd.isna(side) for side in sides):
        x0, y0, x1, y1 = (100 * float(side) for side in sides)
        box = (x0, y0, x1 - x0, y1 - y0)
    return {
        "name": tag.name,
        "kind": tag.kind,
        "origin": row["origin"],
        "score": float(row["score"]),
        "kept": bool(row["kept"]),
        "reason": row["reason"] if isinstance(row["reason"], str) else None,
        "box": box,
    }


def thumbnail(image: Image.Image, size: int) -> str:
    """A JPEG of at most `size` pixels a side, as a data URI."""
    small = image.convert("RGB")
    small.thumbnail((size, size))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def shown_boxes(tags: Iterable[Mapping[str, Any]], num: int = 3) -> list[Mapping[str, Any]]:
    """The first few tags with a region that is not the whole image."""
    inner = [tag for tag in tags if tag["box"] is not None and tag["box"][2] * tag["box"][3] < 0.9 * 100 * 100]
    return inner[:num]
