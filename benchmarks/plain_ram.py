"""RAM's forward pass written down straight from the paper: nothing kept, nothing fused, queries repeated over the batch.

What the fast model is measured against: the same weights, torch's plain operators, float32.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ram.model.ram import RAM

# B images, H × W a map, C channels, V windows, N tokens, K tags, E text embedding width, W decoder width, A width of a head


def logits(model: RAM, images_BCHW: Tensor) -> Tensor:
    """logits_BK of a model with a Swin of timm and tags of one text embedding each, post-norm."""
    return tag_logits(model, encode(model, images_BCHW))


def encode(model: RAM, images_BCHW: Tensor) -> Tensor:
    """tokens_BND: windows are cut and joined, and position biases looked up, in every block."""
    encoder = model.image_encoder
    backbone: Any = encoder.backbone
    x_BHWC = backbone.patch_embed(images_BCHW)
    for stage in backbone.layers:
        x_BHWC = stage.downsample(x_BHWC)
        for block in stage.blocks:
            x_BHWC = x_BHWC + _windowed_attention(block, block.norm1(x_BHWC))
            x_BHWC = x_BHWC + block.mlp.fc2(F.gelu(block.mlp.fc1(block.norm2(x_BHWC))))
    spatial_BNC = backbone.norm(x_BHWC).flatten(1, 2)
    return encoder.image_proj(torch.cat([spatial_BNC.mean(1, keepdim=True), spatial_BNC], dim=1))


def _windowed_attention(block: Any, x_BHWC: Tensor) -> Tensor:
    num_images, height, width, channels = x_BHWC.shape
    (rows, columns), shift, attention = block.window_size, tuple(block.shift_size), block.attn
    x_BHWC = x_BHWC.roll((-shift[0], -shift[1]), (1, 2))
    windows = x_BHWC.reshape(num_images, height // rows, rows, width // columns, columns, channels)
    windows_VNC = windows.permute(0, 1, 3, 2, 4, 5).reshape(-1, rows * columns, channels)
    parts = attention.qkv(windows_VNC).unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    query, key, value = parts[0], parts[1], parts[2]
    bias = attention.relative_position_bias_table[attention.relative_position_index.flatten()]
    bias_ANN = bias.unflatten(0, (rows * columns, -1)).permute(2, 0, 1)
    weights = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + bias_ANN
    if block.attn_mask is not None:
        weights = (weights.unflatten(0, (num_images, -1)) + block.attn_mask[:, None]).flatten(0, 1)
    mixed_VNC = attention.proj((weights.softmax(-1) @ value).transpose(1, 2).flatten(2))
    mixed = mixed_VNC.reshape(num_images, height // rows, width // columns, rows, columns, channels)
    return mixed.permute(0, 1, 3, 2, 4, 5).reshape(x_BHWC.shape).roll(shift, (1, 2))


def tag_logits(model: RAM, tokens_BND: Tensor) -> Tensor:
    """logits_BK: every image projects every tag, as in section 3.3 with BERT's layers."""
    decoder = model.tag_decoder
    embedding_BKE = model.tag_embedding_KE.expand(len(tokens_BND), -1, -1)
    hidden_BKW = F.relu(decoder.query_proj(embedding_BKE))
    for layer in decoder.layers:
        attention, feed_forward = layer.crossattention, layer.feed_forward
        query, key, value = (
            projected.unflatten(-1, (decoder.num_heads, -1)).transpose(1, 2)
            for projected in (attention.query(hidden_BKW), attention.key(tokens_BND), attention.value(tokens_BND))
        )
        weights = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1)
        mixed_BKW = (weights @ value).transpose(1, 2).flatten(2)
        hidden_BKW = attention.LayerNorm(hidden_BKW + attention.dense(mixed_BKW))
        inner = F.gelu(feed_forward.intermediate(hidden_BKW))
        hidden_BKW = feed_forward.LayerNorm(hidden_BKW + feed_forward.output(inner))
    return decoder.fc(hidden_BKW).squeeze(-1)
