"""The paired image encoder of distillation: frozen CLIP, which sees the very views that are trained on."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ram.model.params import ModelParams
from ram.model.preprocess import Preprocess

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class PairedImageEncoder(nn.Module):
    """Images, normalized for the tagger -> the image embedding of CLIP, (B, D), not normalized, without gradient."""

    scale: Tensor
    shift: Tensor

    def __init__(self, vision_model: nn.Module, image_size: int, preprocess: Preprocess) -> None:
        super().__init__()
        self.vision_model = vision_model.eval().requires_grad_(False)
        self.image_size = image_size
        # (x * std + mean - clip_mean) / clip_std, as one scale and shift.
        own_mean, own_std = torch.tensor(preprocess.mean), torch.tensor(preprocess.std)
        clip_mean, clip_std = torch.tensor(_CLIP_MEAN), torch.tensor(_CLIP_STD)
        self.register_buffer("scale", (own_std / clip_std).reshape(3, 1, 1), persistent=False)
        self.register_buffer("shift", ((own_mean - clip_mean) / clip_std).reshape(3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> PairedImageEncoder:
        """Stays in evaluation mode: it is a teacher."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images_BCHW: Tensor) -> Tensor:
        size = (self.image_size, self.image_size)
        views = F.interpolate(images_BCHW, size=size, mode="bicubic", align_corners=False, antialias=True)
        return self.vision_model(pixel_values=views * self.scale + self.shift).image_embeds.float()


def make_paired_encoder(params: ModelParams, preprocess: Preprocess, *, cached: bool) -> PairedImageEncoder:
    """The encoder that `model.distillation.image_encoder` names; `ValueError` where there is none, or no images."""
    source = params.distillation.image_encoder
    if source is None:
        raise ValueError("distillation_weight is set, but model.distillation.image_encoder is not; name a CLIP there")
    if cached:
        raise ValueError("distillation wants images, and the inputs are cached features; set cached_features: false")
    from transformers import CLIPVisionModelWithProjection

    try:
        model = CLIPVisionModelWithProjection.from_pretrained(source)
    except OSError as error:
        raise ValueError(f"cannot load the paired image encoder from {source!r}: {error}") from error
    return PairedImageEncoder(model, int(model.config.image_size), preprocess)  # type: ignore[arg-type]
