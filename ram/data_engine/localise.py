"""Where in a picture is a tag? Each localiser gives one box a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# R rows (one (image, tag) each), H × W the map of spatial tokens, N = H·W
# Boxes are x0, y0, x1, y1 in fractions of the picture's width and height: boxes_R4


@dataclass(frozen=True, kw_only=True, slots=True)
class LocaliserParams:
    """How the region of a tag is found."""

    kind: str  # attention | grid | whole
    min_attention: float  # attention: cells of at least this share of the row's highest attention are the region
    num_windows: int  # grid: windows along each side; each window spans two cells of a finer grid

    def __post_init__(self) -> None:
        if self.kind not in LOCALISERS:
            raise ValueError(f"unknown localiser {self.kind!r}; known: {', '.join(LOCALISERS)}")
        if not 0 < self.min_attention <= 1:
            raise ValueError(f"min_attention must be above 0 and at most 1, got {self.min_attention}")
        if self.num_windows < 1:
            raise ValueError(f"num_windows must be 1 or more, got {self.num_windows}")


def by_attention(attention_RHW: Tensor, params: LocaliserParams) -> Tensor:
    """The box around the cells that touch, directly or in a chain, the cell of highest attention and come near it."""
    R, H, W = attention_RHW.shape
    flat_RN = attention_RHW.flatten(1)
    near_RHW = attention_RHW >= params.min_attention * flat_RN.amax(1)[:, None, None]
    region_RHW = torch.zeros_like(flat_RN, dtype=torch.bool)
    region_RHW[torch.arange(R, device=flat_RN.device), flat_RN.argmax(1)] = True
    region_RHW = region_RHW.view(R, H, W)
    while True:
        grown_RHW = _dilated(region_RHW) & near_RHW
        if torch.equal(grown_RHW, region_RHW):
            return _box_around(region_RHW)
        region_RHW = grown_RHW


def by_grid(attention_RHW: Tensor, params: LocaliserParams) -> Tensor:
    """The one of `num_windows`² overlapping windows that holds the most attention per area."""
    H, W = attention_RHW.shape[1:]
    steps = torch.arange(params.num_windows, device=attention_RHW.device, dtype=torch.float32)
    starts = steps / (params.num_windows + 1)
    span = 2 / (params.num_windows + 1)
    y0, x0 = (side.flatten() for side in torch.meshgrid(starts, starts, indexing="ij"))
    windows_G4 = torch.stack([x0, y0, x0 + span, y0 + span], dim=1)
    held_RG = torch.einsum("rhw,ghw->rg", attention_RHW, box_weights(windows_G4, H, W))
    return windows_G4[held_RG.argmax(1)]


def whole(attention_RHW: Tensor, params: LocaliserParams) -> Tensor:
    """The whole picture, for every row."""
    box_4 = torch.tensor([0.0, 0.0, 1.0, 1.0], device=attention_RHW.device)
    return box_4.expand(len(attention_RHW), 4)


LOCALISERS: dict[str, Callable[[Tensor, LocaliserParams], Tensor]] = {
    "attention": by_attention,
    "grid": by_grid,
    "whole": whole,
}


def box_weights(boxes_R4: Tensor, height: int, width: int) -> Tensor:
    """weights_RHW: the share of each cell of a map in the box's area, cells cut by its edge in part; a row sums to 1."""
    horizontal_RW = _overlaps(boxes_R4[:, 0], boxes_R4[:, 2], width)
    vertical_RH = _overlaps(boxes_R4[:, 1], boxes_R4[:, 3], height)
    return vertical_RH[:, :, None] * horizontal_RW[:, None, :]


def sub_box_weights(boxes_R4: Tensor, side: int, height: int, width: int) -> Tensor:
    """weights_RSHW of the S = side² equal parts of every box, row by row."""
    shares = torch.arange(side + 1, device=boxes_R4.device, dtype=boxes_R4.dtype) / side
    x_RE = boxes_R4[:, :1] + (boxes_R4[:, 2:3] - boxes_R4[:, :1]) * shares
    y_RE = boxes_R4[:, 1:2] + (boxes_R4[:, 3:] - boxes_R4[:, 1:2]) * shares
    R = len(boxes_R4)
    horizontal_RAW = _overlaps(x_RE[:, :-1].flatten(), x_RE[:, 1:].flatten(), width).view(R, side, width)
    vertical_RAH = _overlaps(y_RE[:, :-1].flatten(), y_RE[:, 1:].flatten(), height).view(R, side, height)
    return torch.einsum("rah,rbw->rabhw", vertical_RAH, horizontal_RAW).flatten(1, 2)


def _overlaps(start_R: Tensor, stop_R: Tensor, num_cells: int) -> Tensor:
    """The share of each of `num_cells` equal cells of 0 … 1 in the interval; a row sums to 1."""
    edges = torch.arange(num_cells + 1, device=start_R.device, dtype=start_R.dtype) / num_cells
    overlap = torch.minimum(stop_R[:, None], edges[1:]) - torch.maximum(start_R[:, None], edges[:-1])
    overlap = overlap.clamp_min(0)
    return overlap / overlap.sum(1, keepdim=True).clamp_min(1e-9)


def _dilated(mask_RHW: Tensor) -> Tensor:
    return torch.nn.functional.max_pool2d(mask_RHW[:, None].float(), 3, stride=1, padding=1)[:, 0] > 0


def _box_around(mask_RHW: Tensor) -> Tensor:
    sides = []
    for cells_RC in (mask_RHW.any(1), mask_RHW.any(2)):
        num_cells = cells_RC.shape[1]
        first = cells_RC.float().argmax(1)
        last = num_cells - cells_RC.flip(1).float().argmax(1)
        sides.append((first / num_cells, last / num_cells))
    (x0, x1), (y0, y1) = sides
    return torch.stack([x0, y0, x1, y1], dim=1)
