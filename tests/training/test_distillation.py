from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from ram.model.params import DistillationParams, ModelParams
from ram.model.preprocess import Preprocess
from ram.training.distillation import make_paired_encoder

PREPROCESS = Preprocess(image_size=32, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@pytest.fixture
def clip_path(tmp_path: Path) -> Path:
    """A CLIP image tower of random weights."""
    config = CLIPVisionConfig(
        image_size=32, patch_size=16, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        projection_dim=8,
    )  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(tmp_path / "clip")
    return tmp_path / "clip"


def params(source: str | None) -> ModelParams:
    distillation = DistillationParams(image_encoder=source)
    return ModelParams(image_encoder="resnet10t", image_size=32, token_width=8, width=8, distillation=distillation)


def test_the_teacher_sees_the_image_as_clip_wants_it(clip_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    teacher = make_paired_encoder(params(str(clip_path)), PREPROCESS, cached=False).train()
    got = teacher(PREPROCESS(image)[None])
    clip = CLIPVisionModelWithProjection.from_pretrained(clip_path).eval()
    wanted = Preprocess(image_size=32, mean=CLIP_MEAN, std=CLIP_STD)(image)[None]
    with torch.no_grad():
        torch.testing.assert_close(got, clip(pixel_values=wanted).image_embeds, rtol=1e-4, atol=1e-5)
    assert not got.requires_grad
    assert not [p for p in teacher.parameters() if p.requires_grad]


def test_without_an_encoder_or_without_images_it_says_so(clip_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.distillation\.image_encoder"):
        make_paired_encoder(params(None), PREPROCESS, cached=False)
    with pytest.raises(ValueError, match="cached_features: false"):
        make_paired_encoder(params(str(clip_path)), PREPROCESS, cached=True)
