"""Pictures -> stored features: the frozen trunk over every picture and view, shard by shard, resumable."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ram.engine.local import available_cores
from ram.inference.features import part_file, write_manifest, write_view
from ram.inference.images import ImageStore
from ram.model.folding import folded
from ram.model.image_encoder import ImageEncoder
from ram.progress import track
from ram.storage import read_json, write_json

Decode = Callable[[str, int], Tensor]  # image id, view -> picture_CHW


def embed_images(
    directory: Path,
    images: ImageStore,
    encoder: ImageEncoder,
    decode: Decode,
    *,
    image_size: int,
    num_views: int,
    augmented_splits: Collection[str],
    batch_size: int,
    device: torch.device,
    facts: dict[str, Any],
) -> None:
    """Write the folder that `FeatureStore` reads; a part that is there is kept. `facts` go into its manifest.

    Views 1 … are made of pictures of `augmented_splits` alone.
    """
    directory.mkdir(parents=True, exist_ok=True)
    shards = images.by_shard()
    encoder = folded(encoder, image_size).to(device)
    shape: tuple[int, ...] | None = None
    with ThreadPoolExecutor(available_cores()) as pool:
        for part, image_ids in enumerate(track(shards.values(), "features", len(shards), "shard")):
            if not part_file(directory, part).is_file():
                augmented_ids = [i for i in image_ids if num_views > 1 and images.split_of(i) in augmented_splits]
                for view in range(num_views):
                    ids = augmented_ids if view else image_ids
                    batches = _batches(pool, encoder, decode, ids, view, batch_size, device)
                    if ids:
                        shape = write_view(batches, len(ids), directory, part, view)
                ids_of = {"image_ids": image_ids, "augmented_ids": augmented_ids, "shape": list(shape or ())}
                write_json(ids_of, part_file(directory, part))
    shapes = {tuple(read_json(part_file(directory, part))["shape"]) for part in range(len(shards))}
    assert len(shapes) <= 1, shapes
    write_manifest(
        directory,
        {
            "enabled": True,
            "num_parts": len(shards),
            "num_images": len(images),
            "num_views": num_views,
            "shape": list(shapes.pop()) if shapes else [],
            **facts,
        },
    )


def _batches(
    pool: ThreadPoolExecutor,
    encoder: ImageEncoder,
    decode: Decode,
    image_ids: Sequence[str],
    view: int,
    batch_size: int,
    device: torch.device,
) -> Iterator[np.ndarray]:
    """Features, batch by batch; threads decode the next batches while the trunk is busy with one."""
    starts = deque(range(0, len(image_ids), batch_size))
    waiting: deque[list[Future[Tensor]]] = deque()
    while starts or waiting:
        while starts and len(waiting) < 3:
            start = starts.popleft()
            waiting.append([pool.submit(decode, i, view) for i in image_ids[start : start + batch_size]])
        batch = torch.stack([future.result() for future in waiting.popleft()]).to(device)
        with torch.inference_mode():
            yield encoder.trunk(batch).float().contiguous().cpu().numpy()
