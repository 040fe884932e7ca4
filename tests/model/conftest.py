"""A model of a few thousand weights, without pretrained parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from ram.model.build import CaptionParams, ModelParams, build_model
from ram.model.ram import RAM

CAPTIONS = ["A dog runs on the grass.", "Two cats sit on a red sofa", "a man rides a horse on the beach"] * 5


@pytest.fixture
def make_params() -> Callable[..., ModelParams]:
    def make(**changes: Any) -> ModelParams:
        return ModelParams(
            **{
                "image_encoder": "resnet10t",
                "image_size": 64,
                "num_frozen_blocks": 2,
                "token_width": 24,
                "width": 32,
                "num_heads": 4,
                "ffn_ratio": 2.0,
                "caption": CaptionParams(vocabulary_size=80, num_heads=2, max_tokens=12),
                **changes,
            }
        )

    return make


@pytest.fixture
def embedding_KE() -> torch.Tensor:
    return F.normalize(torch.randn(7, 16, generator=torch.Generator().manual_seed(1)), dim=1)


@pytest.fixture
def make_model(make_params: Callable[..., ModelParams], embedding_KE: torch.Tensor) -> Callable[..., RAM]:
    def make(**changes: Any) -> RAM:
        return build_model(make_params(**changes), embedding_KE, CAPTIONS)

    return make


@pytest.fixture
def images_BCHW() -> torch.Tensor:
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))
