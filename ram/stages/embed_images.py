"""images -> image_features: the output of the frozen part of the image encoder, for every picture and view."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from ram.inference.embedding import embed_images
from ram.inference.features import write_manifest
from ram.inference.images import ImageStore
from ram.model.build import build_image_encoder, build_preprocess
from ram.model.params import ModelParams
from ram.storage import Table
from ram.training.augment import AugmentParams
from ram.training.inputs import view_maker

SHARED_KNOBS = {"model": ("image_encoder", "pretrained", "image_size", "num_frozen_blocks")}
AUGMENTED_SPLITS = ("train", "finetune")  # what is trained on; the rest is only ever looked at plainly


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    seed: int
    model: ModelParams
    enabled: bool  # false, or nothing frozen: training and tagging read the pictures
    num_views: int  # 1: the plain picture; each more is one augmented view of every picture to train on
    augment: AugmentParams
    batch_size: int = 16
    precision: Literal["fp32", "bf16"] = "fp32"  # of the computation; what is stored has 16 bits

    def __post_init__(self) -> None:
        if self.num_views < 1:
            raise ValueError(f"num_views must be at least 1, the plain picture, got {self.num_views}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")


class Inputs(NamedTuple):
    images: Table
    image_shards: Path
    scratch: Path


class Outputs(NamedTuple):
    image_features: Path


def run(inputs: Inputs, params: Params) -> Outputs:
    directory = inputs.scratch / "image_features"
    directory.mkdir(parents=True, exist_ok=True)
    if not params.enabled or params.model.num_frozen_blocks == 0:
        reason = "nothing of the image encoder is frozen" if params.enabled else "enabled is false"
        write_manifest(directory, {"enabled": False, "reason": reason})
        return Outputs(directory)
    encoder = build_image_encoder(params.model, seed=params.seed)
    preprocess = build_preprocess(params.model)
    images = ImageStore(inputs.images, inputs.image_shards)
    embed_images(
        directory,
        images,
        encoder,
        view_maker(images, preprocess, params.augment, params.seed),
        image_size=params.model.image_size,
        num_views=params.num_views,
        augmented_splits=AUGMENTED_SPLITS,
        batch_size=params.batch_size,
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
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
    return Outputs(directory)
