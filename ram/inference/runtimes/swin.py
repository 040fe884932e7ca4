"""Swin's blocks on tokens that stay in the order of windows: one move of every token a block instead of four.

timm rolls the map, cuts it into windows, joins them and rolls back, and makes the bias of every window anew in each call.
Attention aside, a block does the same to each token wherever it stands: so tokens are moved once, from the order of one
block's windows to that of the next, and biases and masks are made once.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from timm.models.swin_transformer import SwinTransformerStage
from torch import Tensor, nn

from ram.inference.runtimes.linear import PackedLinear, packed

# B images, H × W the map of a stage, L = H·W its tokens, V windows, N tokens of a window, C channels, A of a head


class FastStage(nn.Module):
    """The blocks of one stage, at the size that they are set to."""

    def __init__(self, stage: SwinTransformerStage, dtype: torch.dtype) -> None:
        super().__init__()
        self.downsample = copy.deepcopy(stage.downsample, packed(stage.downsample.modules(), dtype))
        blocks: list[Any] = list(stage.blocks)
        self.size = tuple(blocks[0].input_resolution)
        orders = [_order_L(block) for block in blocks]
        raster_L = torch.arange(len(orders[0]), device=orders[0].device)
        moves = [raster_L, *orders]
        self.blocks = nn.ModuleList(FastBlock(block, dtype) for block in blocks)
        # Where each block's tokens lie in the order of the block before; the last move restores the map.
        self.moves = [
            None if torch.equal(before, after) else before.argsort()[after]
            for before, after in zip(moves, [*orders, raster_L], strict=True)
        ]

    def forward(self, x_BHWC: Tensor) -> Tensor:
        x_BHWC = self.downsample(x_BHWC)
        assert tuple(x_BHWC.shape[1:3]) == self.size, (x_BHWC.shape, self.size)
        x_BLC = x_BHWC.flatten(1, 2)
        for block, move_L in zip(self.blocks, self.moves, strict=False):
            x_BLC = block(x_BLC if move_L is None else x_BLC[:, move_L])
        last_L = self.moves[-1]
        return (x_BLC if last_L is None else x_BLC[:, last_L]).unflatten(1, self.size)


class FastBlock(nn.Module):
    """One block; tokens come and go in the order of its windows."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__()
        attention = block.attn
        self.num_heads, self.window_area = attention.num_heads, block.window_area
        self.norm1, self.norm2 = copy.deepcopy(block.norm1), copy.deepcopy(block.norm2)
        self.qkv, self.proj = PackedLinear(attention.qkv, dtype), PackedLinear(attention.proj, dtype)
        self.fc1 = PackedLinear(block.mlp.fc1, dtype, gelu=True)
        self.fc2 = PackedLinear(block.mlp.fc2, dtype)
        bias_VHNN = attention._get_rel_pos_bias().detach()
        if block.attn_mask is not None:
            bias_VHNN = bias_VHNN + block.attn_mask[:, None]
        self.bias_VHNN = bias_VHNN.to(dtype)

    def forward(self, x_BLC: Tensor) -> Tensor:
        mixed_BLC = self._attend(self.qkv(self.norm1(x_BLC)))
        x_BLC = self.proj(mixed_BLC, x_BLC)
        return self.fc2(self.fc1(self.norm2(x_BLC)), x_BLC)

    def _attend(self, qkv_BLC: Tensor) -> Tensor:
        # A mask of every window serves one image at a time: repeated for a batch it would take more than the tokens.
        num_at_once = len(qkv_BLC) if len(self.bias_VHNN) == 1 else 1
        mixed = [self._of_windows(some.unflatten(1, (-1, self.window_area))) for some in qkv_BLC.split(num_at_once)]
        return (mixed[0] if len(mixed) == 1 else torch.cat(mixed)).unflatten(0, (len(qkv_BLC), -1)).flatten(1, 2)

    def _of_windows(self, qkv_BVNC: Tensor) -> Tensor:
        """mixed_VNC of all windows of these images."""
        qkv_VNtHA = qkv_BVNC.flatten(0, 1).unflatten(-1, (3, self.num_heads, -1))
        query_VHNA, key_VHNA, value_VHNA = qkv_VNtHA.permute(2, 0, 3, 1, 4).unbind(0)
        mixed_VHNA = F.scaled_dot_product_attention(query_VHNA, key_VHNA, value_VHNA, attn_mask=self.bias_VHNN)
        return mixed_VHNA.transpose(1, 2).flatten(2)


def fits(stage: nn.Module) -> bool:
    """Whether `FastStage` can stand for it: a stage of timm's Swin whose windows tile its map, with the usual blocks."""
    return isinstance(stage, SwinTransformerStage) and all(map(_is_usual, stage.blocks))


def _is_usual(block: Any) -> bool:
    tiles = all(side % window == 0 for side, window in zip(block.input_resolution, block.window_size, strict=True))
    mlp = block.mlp
    is_exact_gelu = isinstance(mlp.act, nn.GELU) and mlp.act.approximate == "none"
    return tiles and not block.dynamic_mask and is_exact_gelu and isinstance(mlp.norm, nn.Identity)


def _order_L(block: Any) -> Tensor:
    """The tokens of the map, numbered row by row, in the order of the block's windows."""
    height, width = block.input_resolution
    numbers_HW = torch.arange(height * width, device=block.norm1.weight.device).unflatten(0, (height, width))
    numbers_HW = numbers_HW.roll((-block.shift_size[0], -block.shift_size[1]), (0, 1))
    rows, columns = block.window_size
    return numbers_HW.unflatten(1, (-1, columns)).unflatten(0, (-1, rows)).transpose(1, 2).flatten()
