"""A few images in shards, and a small checkpoint that never saw a pretrained weight."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ram.labels import LabelSystem, Tag
from ram.model.build import CaptionParams, ModelParams, build_model
from ram.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

NAMES = ["dog", "cat", "beach", "red", "run"]


@pytest.fixture
def params() -> ModelParams:
    return ModelParams(
        image_encoder="resnet10t", image_size=32, num_frozen_blocks=3, token_width=16, width=16, num_heads=2,
        ffn_ratio=2.0, text_encoder="package:wordllama", templates="plain",
        caption=CaptionParams(vocabulary_size=60, num_heads=2),
    )  # fmt: skip


@pytest.fixture
def checkpoint(tmp_path: Path, params: ModelParams) -> Checkpoint:
    embedding_KE = torch.nn.functional.normalize(torch.randn(5, 256, generator=torch.Generator().manual_seed(0)), dim=1)
    model = build_model(params, embedding_KE, ["a dog runs", "a red cat"])
    labels = LabelSystem(
        [Tag(tag_id=i, name=name, synonyms=("hound",) if name == "dog" else ()) for i, name in enumerate(NAMES)]
    )
    save_checkpoint(tmp_path / "checkpoint", model, labels)
    return load_checkpoint(tmp_path / "checkpoint")
