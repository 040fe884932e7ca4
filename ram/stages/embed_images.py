"""images -> image_features: the output of the frozen part of the image encoder, for every image and view."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch

from ram.datasets.augment import AugmentParams
from ram.datasets.feature_store import part_file, view_file, write_manifest
from ram.datasets.image_store import ImageStore
from ram.inference.embedding import embed_images, view_maker
from ram.io.tables import Table
from ram.model.build import build_image_encoder, build_preprocess
from ram.model.params import ModelParams
from ram.model.precision import Precision, resolve_precision
from ram.pipeline.part_cache import KeptParts

SHARED_PARAMS = {"model": ("image_encoder", "pretrained", "image_size", "num_frozen_blocks")}
AUGMENTED_SPLITS = ("train", "finetune")  # what is trained on; the rest is only ever looked at plainly


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    seed: int
    model: ModelParams
    enabled: bool  # false, or nothing frozen: training and tagging read the images
    num_views: int  # 1: the plain image; each more is one augmented view of every image to train on
    augment: AugmentParams
    batch_size: int = 16
    precision: Precision = "fp32"  # of the computation; what is stored has 16 bits

    def __post_init__(self) -> None:
        if self.num_views < 1:
            raise ValueError(f"num_views must be at least 1, the plain image, got {self.num_views}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")


class Inputs(NamedTuple):
    images: Table
    image_shards: Path
    scratch: Path
    state: Path | None = None


class Outputs(NamedTuple):
    image_features: Path


def run(inputs: Inputs, params: Params) -> Outputs:
    """A part a shard; a shard of the same images as one of the last run is not embedded again."""
    directory = inputs.scratch / "image_features"
    directory.mkdir(parents=True, exist_ok=True)
    if not params.enabled or params.model.num_frozen_blocks == 0:
        reason = "nothing of the image encoder is frozen" if params.enabled else "enabled is false"
        write_manifest(directory, {"enabled": False, "reason": reason})
        return Outputs(directory)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    params = replace(params, precision=resolve_precision(params.precision, device))
    encoder = build_image_encoder(params.model, seed=params.seed)
    preprocess = build_preprocess(params.model)
    images = ImageStore(inputs.images, inputs.image_shards)
    kept = KeptParts(inputs.state, asdict(params))
    keys = _keys(kept, images, inputs.images)
    for part, key in enumerate(keys):
        if not part_file(directory, part).is_file():
            kept.restore(key, _files(directory, part, params.num_views))
    kept.tell("features", len(keys))
    embed_images(
        directory,
        images,
        encoder,
        view_maker(images, preprocess, params.augment, params.seed),
        image_size=params.model.image_size,
        num_views=params.num_views,
        augmented_splits=AUGMENTED_SPLITS,
        batch_size=params.batch_size,
        device=device,
        precision=params.precision,
        facts={
            "fingerprint": encoder.trunk_fingerprint(params.model.image_encoder, preprocess),
            "precision": params.precision,
            "image_encoder": params.model.image_encoder,
            "num_frozen_blocks": params.model.num_frozen_blocks,
            "preprocess": asdict(preprocess),
            "augment": asdict(params.augment),
            "seed": params.seed,
        },
    )
    for part, key in enumerate(keys):
        kept.keep(key, _files(directory, part, params.num_views))
    kept.forget_others(keys)
    return Outputs(directory)


def _keys(kept: KeptParts, images: ImageStore, table: Table) -> list[str]:
    """One a shard: its images, their content, and their splits, which decide on the views."""
    rows = table.read(["image_id", "sha256"])
    sha256 = dict(zip(rows["image_id"].to_pylist(), rows["sha256"].to_pylist(), strict=True))
    return [kept.key([(i, sha256[i], images.split_of(i)) for i in ids]) for ids in images.by_shard().values()]


def _files(directory: Path, part: int, num_views: int) -> dict[str, Path]:
    """The files of a part; that of its ids comes last, since a part that has it counts as whole."""
    views = {f"view-{view}.npy": view_file(directory, part, view) for view in range(num_views)}
    return {**views, "ids.json": part_file(directory, part)}
