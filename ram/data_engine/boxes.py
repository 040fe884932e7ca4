"""Boxes over a map of tokens: what of the map lies in a box."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# R rows, H × W the map, S = side² parts of a box, D token width
# Boxes are x0, y0, x1, y1 in fractions of the image's width and height: boxes_R4


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


def roi_align(map_RHWD: Tensor, boxes_R4: Tensor, side: int, samples: int = 2) -> Tensor:
    """parts_RSD: each part of a box as the mean of samples² points of the map, read between the cells' centers.

    RoIAlign of Mask R-CNN (arXiv 1703.06870, section 3) with the half-cell shift; torchvision has it as an extra.
    """
    points = (torch.arange(side * samples, device=boxes_R4.device, dtype=boxes_R4.dtype) + 0.5) / (side * samples)
    x_RP = boxes_R4[:, :1] + (boxes_R4[:, 2:3] - boxes_R4[:, :1]) * points
    y_RP = boxes_R4[:, 1:2] + (boxes_R4[:, 3:] - boxes_R4[:, 1:2]) * points
    P = len(points)
    grid_RPP2 = torch.stack([x_RP[:, None].expand(-1, P, P), y_RP[:, :, None].expand(-1, P, P)], dim=3) * 2 - 1
    read_RDPP = F.grid_sample(map_RHWD.permute(0, 3, 1, 2), grid_RPP2, padding_mode="border", align_corners=False)
    return F.avg_pool2d(read_RDPP, samples).flatten(2).transpose(1, 2)


def _overlaps(start_R: Tensor, stop_R: Tensor, num_cells: int) -> Tensor:
    """The share of each of `num_cells` equal cells of 0 … 1 in the interval; a row sums to 1."""
    edges = torch.arange(num_cells + 1, device=start_R.device, dtype=start_R.dtype) / num_cells
    overlap = torch.minimum(stop_R[:, None], edges[1:]) - torch.maximum(start_R[:, None], edges[:-1])
    overlap = overlap.clamp_min(0)
    return overlap / overlap.sum(1, keepdim=True).clamp_min(1e-9)
