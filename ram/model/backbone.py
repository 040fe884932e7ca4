"""A timm backbone as a stem, blocks and a head, so that it can be cut between blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

# B images, H × W the map, C channels, N tokens


@dataclass(frozen=True)
class Step:
    """A piece of the forward pass, and the modules whose weights it uses."""

    forward: Callable[[Tensor], Tensor]
    modules: tuple[nn.Module, ...]


@dataclass(frozen=True)
class Pieces:
    """The forward pass of a backbone in order; it can be cut after any block."""

    stem: tuple[Step, ...]
    blocks: tuple[Step, ...]
    head: tuple[Step, ...]

    def before(self, num_blocks: int) -> tuple[Step, ...]:
        """The steps up to and with block `num_blocks`; none at 0, all of them with the head at the last block."""
        if num_blocks == 0:
            return ()
        head = self.head if num_blocks == len(self.blocks) else ()
        return self.stem + self.blocks[:num_blocks] + head

    def after(self, num_blocks: int) -> tuple[Step, ...]:
        """The steps that `before` leaves."""
        return (self.stem + self.blocks + self.head)[len(self.before(num_blocks)) :]


def pieces(backbone: nn.Module) -> Pieces:
    """The pieces of a timm model: CNNs by block or stage, Swin by stage, ViT by block, any other as one block."""
    has = lambda *names: all(hasattr(backbone, name) for name in names)  # noqa: E731
    if has("conv_stem", "bn1", "blocks", "conv_head", "bn2"):  # EfficientNet
        return _sequence(backbone, ("conv_stem", "bn1"), "blocks", ("conv_head", "bn2"))
    if has("conv_stem", "bn1", "blocks"):  # MobileNet: its conv_head stands behind the pooling
        return _sequence(backbone, ("conv_stem", "bn1"), "blocks", ())
    if has("patch_embed", "layers", "norm", "output_fmt"):  # Swin
        return _sequence(backbone, ("patch_embed",), "layers", ("norm",))
    # EVA looks like a ViT, but hands rotary positions to its blocks.
    if has("patch_embed", "blocks", "norm", "_pos_embed", "norm_pre", "patch_drop") and not has("rope"):  # ViT
        vit: Any = backbone
        stem = Step(
            lambda x: vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(x)))), (vit.patch_embed, vit.norm_pre)
        )
        return Pieces((stem,), _steps(vit.blocks), _steps([vit.norm]))
    if has("conv1", "bn1", "act1", "maxpool", "layer1", "layer2", "layer3", "layer4"):  # ResNet
        layers = [getattr(backbone, f"layer{i}") for i in range(1, 5)]
        return Pieces(_steps([getattr(backbone, n) for n in ("conv1", "bn1", "act1", "maxpool")]), _steps(layers), ())
    if has("stem", "stages", "norm_pre"):  # ConvNeXt
        return _sequence(backbone, ("stem",), "stages", ("norm_pre",))
    return Pieces((), (Step(backbone.forward_features, (backbone,)),), ())  # type: ignore[arg-type]


def depths(backbone: nn.Module) -> dict[nn.Parameter, int]:
    """How far every parameter lies from the top: 0 in the head, 1 in the last block, one more than blocks in the stem.

    Parameters that no piece has (position tables, class tokens) are added to the stem's output, so they count to it.
    """
    parts = pieces(backbone)
    found = dict.fromkeys(backbone.parameters(), len(parts.blocks) + 1)
    for depth, steps in enumerate([parts.head, *([block] for block in reversed(parts.blocks))]):
        found |= {p: depth for step in steps for module in step.modules for p in module.parameters()}
    return found


def set_recomputing(backbone: nn.Module, recompute: bool) -> None:
    """Tell the stages of timm that recompute their layers by themselves to do so or not; see `recomputed`."""
    for block in pieces(backbone).blocks:
        if _recomputes_itself(block):
            block.modules[0].grad_checkpointing = recompute  # type: ignore[assignment]


def recomputed(block: Step, x: Tensor) -> Tensor:
    """The block's output; of what is computed inside, no more than the inputs of its layers is kept for the gradient.

    A backbone that is one block is recomputed as a whole.
    """
    if _recomputes_itself(block):
        return block.forward(x)
    for layer in layers(block) or (block.forward,):
        x = cast(Tensor, checkpoint(layer, x, use_reentrant=False))
    return x


def layers(block: Step) -> list[nn.Module]:
    """The modules that the block calls one after the other; none where it is the method of one."""
    (module,) = block.modules
    if block.forward is not module:
        return []
    return list(module) if isinstance(module, nn.Sequential) else [module]


def _recomputes_itself(block: Step) -> bool:
    return block.forward is block.modules[0] and hasattr(block.modules[0], "grad_checkpointing")


def _steps(modules: Sequence[nn.Module] | nn.Module) -> tuple[Step, ...]:
    return tuple(Step(module, (module,)) for module in modules)  # type: ignore[union-attr]


def _sequence(backbone: nn.Module, stem: Sequence[str], blocks: str, head: Sequence[str]) -> Pieces:
    return Pieces(
        _steps([getattr(backbone, name) for name in stem]),
        _steps(getattr(backbone, blocks)),
        _steps([getattr(backbone, name) for name in head]),
    )


def as_map(output: Tensor, backbone: nn.Module) -> Tensor:
    """The output of the last piece as a map_BHWC: of NCHW, NHWC or a row of tokens with class tokens in front.

    Raises `ValueError` where the output is none of these.
    """
    if torch.is_tensor(output) and output.ndim == 4:
        return output if getattr(backbone, "output_fmt", "NCHW") == "NHWC" else output.permute(0, 2, 3, 1)
    if not torch.is_tensor(output) or output.ndim != 3:
        raise ValueError(f"{type(backbone).__name__} gives neither a map nor a row of tokens; choose another backbone")
    num_tokens = output.shape[1]
    num_prefix = int(getattr(backbone, "num_prefix_tokens", 0))
    height, width = getattr(getattr(backbone, "patch_embed", None), "grid_size", None) or (0, 0)
    if height * width != num_tokens - num_prefix:
        # The backbone shrinks its grid, or does not tell of its class token; images are square, and so is the map.
        num_prefix = next((n for n in (num_prefix, 1) if math.isqrt(num_tokens - n) ** 2 == num_tokens - n), -1)
        height = width = math.isqrt(num_tokens - num_prefix)
    if num_prefix < 0:
        raise ValueError(f"{num_tokens} tokens of {type(backbone).__name__} form no square; choose another backbone")
    return output[:, num_prefix:].unflatten(1, (height, width))
