"""Tiny checkpoints under the published names, and the published models in float64 loops: the reference of tests."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import erf

# H × W the map of a stage, C its channels, N tokens, K tags, J descriptions of a tag, E embedding width, W decoder width

Shapes = dict[str, tuple[int, ...]]
TINY = {"embed": 12, "depths": (2, 2), "heads": (2, 3), "window": 4, "width": 48, "embedding": 16, "pieces": 40}
LARGE = {
    "embed": 192, "depths": (2, 2, 18, 2), "heads": (6, 12, 24, 48), "window": 12, "width": 768, "embedding": 512,
    "pieces": 30524,
}  # fmt: skip
BASE = {**LARGE, "embed": 128, "heads": (4, 8, 16, 32)}


def _linear(name: str, num_in: int, num_out: int) -> Shapes:
    return {f"{name}.weight": (num_out, num_in), f"{name}.bias": (num_out,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _swin(size: dict) -> Shapes:
    shapes: Shapes = {"visual_encoder.patch_embed.proj.weight": (size["embed"], 3, 4, 4)}
    shapes["visual_encoder.patch_embed.proj.bias"] = (size["embed"],)
    shapes |= _norm("visual_encoder.patch_embed.norm", size["embed"])
    area, last = size["window"] ** 2, len(size["depths"]) - 1
    for i, (depth, heads) in enumerate(zip(size["depths"], size["heads"], strict=True)):
        width = size["embed"] * 2**i
        for j in range(depth):
            block = f"visual_encoder.layers.{i}.blocks.{j}"
            shapes |= _norm(f"{block}.norm1", width) | _norm(f"{block}.norm2", width)
            shapes[f"{block}.attn.relative_position_bias_table"] = ((2 * size["window"] - 1) ** 2, heads)
            shapes[f"{block}.attn.relative_position_index"] = (area, area)
            if j % 2 and i < last:
                shapes[f"{block}.attn_mask"] = (4 ** (last - i), area, area)
            shapes |= _linear(f"{block}.attn.qkv", width, 3 * width) | _linear(f"{block}.attn.proj", width, width)
            shapes |= _linear(f"{block}.mlp.fc1", width, 4 * width) | _linear(f"{block}.mlp.fc2", 4 * width, width)
        if i < last:
            shapes[f"visual_encoder.layers.{i}.downsample.reduction.weight"] = (2 * width, 4 * width)
            shapes |= _norm(f"visual_encoder.layers.{i}.downsample.norm", 4 * width)
    return shapes | _norm("visual_encoder.norm", size["embed"] * 2**last)


def _attention(name: str, width: int, context: int) -> Shapes:
    shapes = _linear(f"{name}.self.query", width, width) | _linear(f"{name}.self.key", context, width)
    shapes |= _linear(f"{name}.self.value", context, width) | _linear(f"{name}.output.dense", width, width)
    return shapes | _norm(f"{name}.output.LayerNorm", width)


def _bert(name: str, size: dict, num_layers: int, context: int, self_attention: bool = True) -> Shapes:
    width, shapes = size["width"], Shapes()
    for i in range(num_layers):
        layer = f"{name}.encoder.layer.{i}"
        if self_attention:
            shapes |= _attention(f"{layer}.attention", width, width)
        shapes |= _attention(f"{layer}.crossattention", width, context)
        shapes |= _linear(f"{layer}.intermediate.dense", width, 4 * width)
        shapes |= _linear(f"{layer}.output.dense", 4 * width, width) | _norm(f"{layer}.output.LayerNorm", width)
    if self_attention:
        shapes[f"{name}.embeddings.word_embeddings.weight"] = (size["pieces"], width)
        shapes[f"{name}.embeddings.position_embeddings.weight"] = (512, width)
        shapes[f"{name}.embeddings.position_ids"] = (1, 512)
        shapes |= _norm(f"{name}.embeddings.LayerNorm", width)
    return shapes


def published_shapes(
    family: str, size: dict, num_tags: int, num_descriptions: int, num_caption_layers: int = 12
) -> Shapes:
    """Names and shapes of a published checkpoint, spelled out from the architecture."""
    vision, width, pieces = size["embed"] * 2 ** (len(size["depths"]) - 1), size["width"], size["pieces"]
    context = vision if family == "tag2text" else size["embedding"]
    shapes = _swin(size) | _bert("tagging_head", size, 2, context, self_attention=False)
    if family == "tag2text":
        shapes |= {"label_embed.weight": (num_tags, width), "fc.W": (1, num_tags, width), "fc.b": (1, num_tags)}
    else:
        rows = num_tags * num_descriptions if family == "ram_plus" else num_tags
        shapes |= {"label_embed": (rows, size["embedding"])} | _linear("wordvec_proj", size["embedding"], width)
        shapes |= _linear("fc", width, 1) | _linear("image_proj", vision, size["embedding"])
    if family == "ram_plus":
        return shapes | {"reweight_scale": ()}
    shapes |= _bert("tag_encoder", size, num_caption_layers, context)
    shapes |= _bert("text_decoder.bert", size, num_caption_layers, width)
    head = "text_decoder.cls.predictions"
    shapes |= _linear(f"{head}.transform.dense", width, width) | _norm(f"{head}.transform.LayerNorm", width)
    return shapes | {f"{head}.bias": (pieces,)} | _linear(f"{head}.decoder", width, pieces)


def random_tensors(
    family: str, num_tags: int = 12, num_descriptions: int = 3, seed: int = 0
) -> dict[str, torch.Tensor]:
    """A tiny checkpoint under the published names; norms and biases differ from 1 and 0."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in published_shapes(family, TINY, num_tags, num_descriptions, num_caption_layers=3).items():
        tensors[name] = torch.randn(shape, generator=generator) * (0.3 if len(shape) > 1 else 0.1)
        if "norm" in name.lower() and name.endswith("weight"):
            tensors[name] += 1
    if family != "tag2text":
        tensors["label_embed"] = torch.nn.functional.normalize(tensors["label_embed"], dim=1)
    if family == "ram_plus":
        tensors["reweight_scale"] = torch.tensor(2.0)
    return tensors


class Reference:
    """The published models from their own tensors: numpy, float64, loops over blocks, windows, heads and tags."""

    def __init__(self, family: str, tensors: dict[str, torch.Tensor], num_tags: int) -> None:
        self.family, self.num_tags = family, num_tags
        self.p = {name: tensor.double().numpy() for name, tensor in tensors.items()}

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.p[f"{name}.weight"].T + self.p.get(f"{name}.bias", 0)

    def norm(self, name: str, x: np.ndarray, eps: float) -> np.ndarray:
        centered = x - x.mean(-1, keepdims=True)
        scaled = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + eps)
        return scaled * self.p[f"{name}.weight"] + self.p[f"{name}.bias"]

    def window_attention(self, name: str, x_HWC: np.ndarray, heads: int, window: int, shift: int) -> np.ndarray:
        table = self.p[f"{name}.relative_position_bias_table"]
        side, out = len(x_HWC), np.zeros_like(x_HWC)
        rolled = np.roll(x_HWC, (-shift, -shift), (0, 1))
        for top in range(0, side, window):
            for left in range(0, side, window):
                cells = [(top + i, left + j) for i in range(window) for j in range(window)]
                q, k, v = np.split(self.linear(f"{name}.qkv", np.stack([rolled[c] for c in cells])), 3, axis=1)
                mixed = np.zeros_like(q)
                for h, part in enumerate(np.split(np.arange(q.shape[1]), heads)):
                    logits = q[:, part] @ k[:, part].T / np.sqrt(len(part))
                    for a, (ay, ax) in enumerate(cells):
                        for b, (by, bx) in enumerate(cells):
                            row = (ay - by + window - 1) * (2 * window - 1) + ax - bx + window - 1
                            wrapped = [(y + shift >= side, x + shift >= side) for y, x in ((ay, ax), (by, bx))]
                            logits[a, b] += table[row, h] if wrapped[0] == wrapped[1] else -np.inf
                    share = np.exp(logits - logits.max(1, keepdims=True))
                    mixed[:, part] = share / share.sum(1, keepdims=True) @ v[:, part]
                for cell, row in zip(cells, self.linear(f"{name}.proj", mixed), strict=True):
                    out[cell] = row
        return np.roll(out, (shift, shift), (0, 1))

    def tokens(self, image_CHW: np.ndarray) -> np.ndarray:
        side = image_CHW.shape[1] // 4
        patches = image_CHW.reshape(3, side, 4, side, 4).transpose(1, 3, 0, 2, 4).reshape(side, side, 48)
        root = "visual_encoder"
        x = patches @ self.p[f"{root}.patch_embed.proj.weight"].reshape(-1, 48).T
        x = self.norm(f"{root}.patch_embed.norm", x + self.p[f"{root}.patch_embed.proj.bias"], 1e-5)
        for i, (depth, heads) in enumerate(zip(TINY["depths"], TINY["heads"], strict=True)):
            for j in range(depth):
                block = f"{root}.layers.{i}.blocks.{j}"
                shift = TINY["window"] // 2 if j % 2 and len(x) > TINY["window"] else 0
                inner = self.norm(f"{block}.norm1", x, 1e-5)
                x = x + self.window_attention(f"{block}.attn", inner, heads, TINY["window"], shift)
                x = x + self.feed(f"{block}.mlp.fc1", f"{block}.mlp.fc2", self.norm(f"{block}.norm2", x, 1e-5))
            down = f"{root}.layers.{i}.downsample"
            if f"{down}.reduction.weight" in self.p:
                x = np.concatenate([x[0::2, 0::2], x[1::2, 0::2], x[0::2, 1::2], x[1::2, 1::2]], axis=-1)
                x = self.linear(f"{down}.reduction", self.norm(f"{down}.norm", x, 1e-5))
        spatial = self.norm(f"{root}.norm", x, 1e-5).reshape(-1, x.shape[-1])
        tokens = np.concatenate([spatial.mean(0, keepdims=True), spatial])
        return tokens if self.family == "tag2text" else self.linear("image_proj", tokens)

    def feed(self, inner: str, outer: str, x: np.ndarray) -> np.ndarray:
        hidden = self.linear(inner, x)
        return self.linear(outer, hidden * 0.5 * (1 + erf(hidden / np.sqrt(2))))

    def query(self, tag: int, pooled: np.ndarray) -> np.ndarray:
        if self.family == "tag2text":
            return self.p["label_embed.weight"][tag]
        embedding = self.p["label_embed"][tag]
        if self.family == "ram_plus":
            descriptions = self.p["label_embed"].reshape(self.num_tags, -1, TINY["embedding"])[tag]
            logits = np.exp(self.p["reweight_scale"]) * (descriptions @ (pooled / np.linalg.norm(pooled)))
            share = np.exp(logits) / np.exp(logits).sum()
            embedding = sum(s * d for s, d in zip(share, descriptions, strict=True))
        return np.maximum(self.linear("wordvec_proj", embedding), 0)

    def logit(self, tag: int, tokens: np.ndarray) -> float:
        x = self.query(tag, tokens[0])
        for i in range(2):
            layer = f"tagging_head.encoder.layer.{i}"
            query, key, value = (
                self.linear(f"{layer}.crossattention.self.{part}", source)
                for part, source in (("query", x), ("key", tokens), ("value", tokens))
            )
            mixed = np.zeros_like(x)
            for part in np.split(np.arange(len(x)), 4):
                logits = key[:, part] @ query[part] / np.sqrt(len(part))
                share = np.exp(logits - logits.max())
                mixed[part] = share / share.sum() @ value[:, part]
            x = x + self.linear(f"{layer}.crossattention.output.dense", mixed)
            x = self.norm(f"{layer}.crossattention.output.LayerNorm", x, 1e-12)
            x = x + self.feed(f"{layer}.intermediate.dense", f"{layer}.output.dense", x)
            x = self.norm(f"{layer}.output.LayerNorm", x, 1e-12)
        if self.family == "tag2text":
            return float(self.p["fc.W"][0, tag] @ x + self.p["fc.b"][0, tag])
        return float(self.linear("fc", x)[0])

    def logits(self, images_BCHW: torch.Tensor) -> np.ndarray:
        tokens = [self.tokens(image) for image in images_BCHW.double().numpy()]
        return np.array([[self.logit(tag, t) for tag in range(self.num_tags)] for t in tokens])
