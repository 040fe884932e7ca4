"""Image -> tokens: a timm backbone cut into a frozen trunk, whose output can be stored, and a tail that may train."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ram.model.backbone import as_map, layers, pieces, recomputed, set_recomputing
from ram.model.relative_position_bias import set_input_size

# B images, H × W the map of the last block, N = 1 + H·W image tokens, C channels of the backbone, D token width


class ImageEncoder(nn.Module):
    """Gives the mean-pooled token, then the spatial tokens, all projected (RAM, section 3.3 and its code).

    `num_frozen_blocks` blocks of the backbone, counted from the input, never train: they are `trunk`. BatchNorm keeps
    its statistics in training too, in trunk and tail: batches are small, and the trunk's output may be stored.
    """

    channel_mean_C: Tensor
    channel_scale_C: Tensor

    def __init__(
        self, backbone: nn.Module, num_frozen_blocks: int | str, token_width: int | None, standardize: bool
    ) -> None:
        super().__init__()
        num_blocks = len(pieces(backbone).blocks)
        cut = num_blocks if num_frozen_blocks == "all" else int(num_frozen_blocks)
        if cut > num_blocks:
            raise ValueError(f"num_frozen_blocks must be 0 to {num_blocks} for this backbone, got {cut}")
        self.backbone = backbone
        self.cut = cut
        self.standardize = standardize
        self.recompute = False
        num_channels = int(backbone.num_features)  # type: ignore[arg-type]
        self.token_width = token_width or num_channels
        self.image_proj = nn.Linear(num_channels, token_width) if token_width else nn.Identity()
        self.register_buffer("channel_mean_C", torch.zeros(num_channels))
        self.register_buffer("channel_scale_C", torch.ones(num_channels))
        self._grids: dict[tuple[int, ...], tuple[int, int]] = {}
        self._freeze()
        self.train()

    def _freeze(self) -> None:
        if self.cut == 0:
            return
        self.backbone.requires_grad_(False)
        for step in pieces(self.backbone).after(self.cut):
            for module in step.modules:
                module.requires_grad_(True)

    def train(self, mode: bool = True) -> ImageEncoder:
        super().train(mode)
        for step in pieces(self.backbone).before(self.cut):
            for module in step.modules:
                module.eval()
        for module in self.backbone.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def set_recompute(self, recompute: bool) -> None:
        """Whether training computes the blocks anew in the backward pass, instead of keeping what they computed."""
        self.recompute = recompute
        set_recomputing(self.backbone, recompute)

    def layers(self) -> list[nn.Module]:
        """The modules that the blocks of the backbone call, from the input on; none where it is one block."""
        return [layer for block in pieces(self.backbone).blocks for layer in layers(block)]

    def trunk(self, images_BCHW: Tensor) -> Tensor:
        """The output of the frozen blocks, in the backbone's own layout; the images where none is frozen."""
        features = self._in_layout(images_BCHW)
        with torch.no_grad():
            for step in pieces(self.backbone).before(self.cut):
                features = step.forward(features)
        return features

    def map(self, features: Tensor) -> Tensor:
        """map_BHWC of the whole backbone, from the trunk's output."""
        output = self._in_layout(features)
        parts = pieces(self.backbone)
        recomputing = self.recompute and self.training and torch.is_grad_enabled()
        for step in parts.after(self.cut):
            output = recomputed(step, output) if recomputing and step in parts.blocks else step.forward(output)
        map_BHWC = as_map(output, self.backbone)
        self._grids[tuple(features.shape[1:])] = (map_BHWC.shape[1], map_BHWC.shape[2])
        return map_BHWC

    def _in_layout(self, x: Tensor) -> Tensor:
        # Convolutions, depthwise ones above all, run twice as fast on CPUs and GPUs with the channels stored last.
        convolves = x.ndim == 4 and getattr(self.backbone, "output_fmt", "NCHW") == "NCHW"
        return x.contiguous(memory_format=torch.channels_last) if convolves else x

    def tail(self, features: Tensor) -> Tensor:
        """tokens_BND, the pooled token first, from the trunk's output."""
        return self.tokens(self.map(features))

    def tokens(self, map_BHWC: Tensor) -> Tensor:
        """tokens_BND, the pooled token first, of the backbone's map."""
        spatial_BNC = map_BHWC.flatten(1, 2)
        if self.standardize:
            spatial_BNC = (spatial_BNC - self.channel_mean_C) * self.channel_scale_C
        tokens_BNC = torch.cat([spatial_BNC.mean(1, keepdim=True), spatial_BNC], dim=1)
        return self.image_proj(tokens_BNC)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.tail(self.trunk(images_BCHW))

    def grid(self, features: Tensor) -> tuple[int, int]:
        """Height and width of the map of spatial tokens that `tail` makes of these features."""
        shape = tuple(features.shape[1:])
        if shape not in self._grids:
            with torch.no_grad():
                self.map(features[:1])
        return self._grids[shape]

    @torch.no_grad()
    def fit_standardization(self, features: Iterable[Tensor]) -> None:
        """Set the mean and deviation of every channel from batches of the trunk's output on training images."""
        count = 0
        total_C = torch.zeros_like(self.channel_mean_C, dtype=torch.float64)
        squares_C = total_C.clone()
        was_training = self.training
        self.eval()
        for batch in features:
            flat = self.map(batch).flatten(0, 2).double()
            count, total_C, squares_C = count + len(flat), total_C + flat.sum(0), squares_C + flat.square().sum(0)
        self.train(was_training)
        if count < 2:
            raise ValueError("standardize_features wants at least one batch of training features, got none")
        mean_C = total_C / count
        variance_C = (squares_C / count - mean_C.square()).clamp_min(0)
        self.channel_mean_C.copy_(mean_C)
        # A channel that is constant on the training images says nothing: it stays 0.
        self.channel_scale_C.copy_(torch.where(variance_C > 1e-12, variance_C.clamp_min(1e-12).rsqrt(), 0.0))

    def set_image_size(self, image_size: int) -> None:
        """Fit a backbone of fixed input size to another one: position tables are interpolated, windows scaled."""
        if hasattr(self.backbone, "set_input_size"):
            set_input_size(self.backbone, image_size)
        self._grids.clear()

    def trunk_fingerprint(self, *facts: object) -> str:
        """16 hex digits of the trunk's weights and of `facts`: equal trunks give equal features of equal images."""
        digest = hashlib.sha256(repr((self.cut, *facts)).encode())
        modules = [m for step in pieces(self.backbone).before(self.cut) for m in step.modules]
        for tensor in [t for module in modules for t in module.state_dict().values()]:
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]
