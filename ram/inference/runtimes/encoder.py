"""A copy of an image encoder that is made for tagging."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ram.inference.runtimes.linear import packed
from ram.inference.runtimes.swin import FastStage, fits
from ram.model.backbone import pieces
from ram.model.fuse_conv_bn import folded
from ram.model.image_encoder import ImageEncoder

# B images, C H W their channels and sides, N image tokens, D token width


class FastEncoder:
    """The same trunk, tail and grid as the encoder's; training the encoder afterwards does not change what it sees."""

    def __init__(self, encoder: ImageEncoder, image_size: int, dtype: torch.dtype) -> None:
        """A `dtype` of 16 bits is taken by backbones that are made of matrix products; convolutions keep 32."""
        backbone = encoder.backbone
        stages = [block.modules[0] for block in pieces(backbone).blocks]
        is_swin, is_vit = all(map(fits, stages)), type(backbone).__name__ == "VisionTransformer"
        self.dtype = dtype if is_swin or is_vit else torch.float32
        if is_swin:
            self._encoder = _copy(encoder, {id(stage): FastStage(stage, dtype) for stage in stages})  # type: ignore[arg-type]
        elif is_vit:
            self._encoder = _copy(encoder, packed(backbone.modules(), dtype))
        else:
            self._encoder = folded(encoder, image_size)
        self._encoder.backbone.to(self.dtype)

    def trunk(self, images_BCHW: Tensor) -> Tensor:
        """The output of the frozen blocks, float32; the images where none is frozen."""
        return self._encoder.trunk(images_BCHW.to(self.dtype)).float()

    def tail(self, features: Tensor) -> Tensor:
        """tokens_BND, float32, the pooled token first, from the trunk's features, computed or stored."""
        return self._encoder.tokens(self._encoder.map(features.to(self.dtype)).float())

    def __call__(self, images_BCHW: Tensor) -> Tensor:
        return self.tail(self.trunk(images_BCHW))

    def grid(self, features: Tensor) -> tuple[int, int]:
        """Height and width of the map of spatial tokens that `tail` makes of these features."""
        return self._encoder.grid(features.to(self.dtype))


def _copy(encoder: ImageEncoder, instead: dict[int, nn.Module]) -> ImageEncoder:
    """A copy with other modules in the places of those that `instead` names by identity."""
    memo = {**instead, **packed([encoder.image_proj], torch.float32)}
    return copy.deepcopy(encoder, memo).eval().requires_grad_(False)
