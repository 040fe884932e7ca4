"""A timm backbone as a stem, blocks and a head, so that it can be cut between blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

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
    if has("patch_embed", "blocks", "norm", "_pos_embed", "norm_pre", "patch_drop"):  # ViT
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


def _steps(modules: Sequence[nn.Module] | nn.Module) -> tuple[Step, ...]:
    return tuple(Step(module, (module,)) for module in modules)  # type: ignore[union-attr]


def _sequence(backbone: nn.Module, stem: Sequence[str], blocks: str, head: Sequence[str]) -> Pieces:
    return Pieces(
        _steps([getattr(backbone, name) for name in stem]),
        _steps(getattr(backbone, blocks)),
        _steps([getattr(backbone, name) for name in head]),
    )


def as_map(output: Tensor, backbone: nn.Module) -> Tensor:
    """The output of the last piece as a map_BHWC: of NCHW, NHWC or a row of tokens with class tokens in front."""
    if output.ndim == 4:
        return output if getattr(backbone, "output_fmt", "NCHW") == "NHWC" else output.permute(0, 2, 3, 1)
    spatial_BNC = output[:, getattr(backbone, "num_prefix_tokens", 0) :]
    height, width = backbone.patch_embed.grid_size  # type: ignore[union-attr, misc]
    return spatial_BNC.unflatten(1, (int(height), int(width)))
