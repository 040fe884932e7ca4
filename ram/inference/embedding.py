"""Images -> stored features: the frozen trunk over every image and view, shard by shard, resumable."""

from __future__ import annotations

import math
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ram.datasets.augment import AugmentParams, augment
from ram.datasets.feature_store import part_file, write_manifest, write_view
from ram.datasets.image_store import ImageStore
from ram.io.progress import track
from ram.io.tables import read_json, require_space, write_json
from ram.model.fuse_conv_bn import folded
from ram.model.image_encoder import ImageEncoder
from ram.model.preprocess import Preprocess
from ram.pipeline.executors.local import available_cores

Decode = Callable[[str, int], Tensor]  # image id, view -> image_CHW


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
    precision: str,
    facts: dict[str, Any],
) -> None:
    """Write the folder that `FeatureStore` reads; a part that is there is kept. `facts` go into its manifest.

    Views 1 … are made of images of `augmented_splits` alone. `precision` "bf16" computes in bfloat16: more than
    twice as fast on processors that have it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    shards = images.by_shard()
    embed = _Embed(folded(encoder, image_size).to(device), decode, device, precision)
    shape: tuple[int, ...] | None = None
    num_rows = sum(
        len(ids) + (num_views - 1) * len(_augmented(images, ids, augmented_splits)) for ids in shards.values()
    )
    with _one_thread_a_batch(), ThreadPoolExecutor(available_cores()) as pool:
        for part, image_ids in enumerate(track(shards.values(), "features", len(shards), "shard")):
            if not part_file(directory, part).is_file():
                augmented_ids = _augmented(images, image_ids, augmented_splits) if num_views > 1 else []
                for view in range(num_views):
                    ids = augmented_ids if view else image_ids
                    batches = _batches(pool, embed, ids, view, batch_size)
                    if ids:
                        first = shape is None
                        shape = write_view(batches, len(ids), directory, part, view)
                        if first:
                            _require_space_for_all(directory, num_rows, shape)
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


def _augmented(images: ImageStore, image_ids: Sequence[str], splits: Collection[str]) -> list[str]:
    return [image_id for image_id in image_ids if images.split_of(image_id) in splits]


def _require_space_for_all(directory: Path, num_rows: int, shape: tuple[int, ...]) -> None:
    """`ValueError` where the disk will not hold what is still to come: better now than after hours."""
    done = sum(path.stat().st_size for path in directory.glob("*.npy"))
    num_bytes = num_rows * math.prod(shape) * np.dtype(np.float16).itemsize
    require_space(directory, max(num_bytes - done, 0), "the rest of the image features")


@contextmanager
def _one_thread_a_batch() -> Iterator[None]:
    """A core per batch instead of all cores in one: small convolutions lose more by sharing than they win."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


@dataclass(frozen=True)
class _Embed:
    """One batch of images -> features, on whichever thread it is called."""

    encoder: ImageEncoder
    decode: Decode
    device: torch.device
    precision: str

    def __call__(self, image_ids: Sequence[str], view: int) -> np.ndarray:
        batch = torch.stack([self.decode(image_id, view) for image_id in image_ids]).to(self.device)
        bf16 = self.precision == "bf16"
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            features = self.encoder.trunk(batch)
        return features.float().contiguous().cpu().numpy()


def _batches(
    pool: ThreadPoolExecutor, embed: _Embed, image_ids: Sequence[str], view: int, batch_size: int
) -> Iterator[np.ndarray]:
    """Features, batch by batch and in order; at most two batches a core are under way."""
    waiting: deque[Future[np.ndarray]] = deque()
    for start in range(0, len(image_ids), batch_size):
        waiting.append(pool.submit(embed, image_ids[start : start + batch_size], view))
        if len(waiting) >= 2 * available_cores():
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def view_maker(
    images: ImageStore, preprocess: Preprocess, params: AugmentParams, seed: int
) -> Callable[[str, int], Tensor]:
    """A function (image id, view) -> image_CHW: view 0 plain, the others augmented, each by its own seed."""

    def make(image_id: str, view: int) -> Tensor:
        size = preprocess.image_size
        if view == 0:
            return preprocess(images.open(image_id, min_size=size))
        # A crop may keep min_scale of the area: the image is decoded large enough for the smallest crop.
        image = images.open(image_id, min_size=math.ceil(size / math.sqrt(params.min_scale)))
        rng = np.random.default_rng([seed, view, zlib.crc32(image_id.encode())])
        return preprocess.normalize(augment(image, size, params, rng))

    return make
