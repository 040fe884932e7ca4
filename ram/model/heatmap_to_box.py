"""Maps of relevance -> boxes: the window of cells that holds most of what speaks for a tag."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# R rows, H × W the map, Y pairs of a first and a last line
# Boxes are x0, y0, x1, y1 in fractions of the image's width and height: boxes_R4

_FINER = 2  # windows end at halves of a cell
_MAPS_AT_ONCE = 256


def window_of(map_RHW: Tensor, min_share: float) -> tuple[Tensor, Tensor]:
    """boxes_R4 and found_R of maps of relevance; a map without a peak has no find."""
    if len(map_RHW) == 0:
        return map_RHW.new_zeros(0, 4), torch.zeros(0, dtype=torch.bool, device=map_RHW.device)
    above_RHW = map_RHW - map_RHW.mean((1, 2), keepdim=True)
    peak_R11 = above_RHW.amax((1, 2), keepdim=True)
    spread_R = map_RHW.abs().amax((1, 2))
    value_RHW = above_RHW / peak_R11.clamp_min(1e-12) - min_share
    fine = F.interpolate(value_RHW[:, None], scale_factor=_FINER, mode="bilinear", align_corners=False)[:, 0]
    boxes_R4 = torch.cat([best_window(some) for some in fine.split(_MAPS_AT_ONCE)])
    return boxes_R4, peak_R11[:, 0, 0] > 1e-5 * spread_R


def best_window(value_RHW: Tensor) -> Tensor:
    """boxes_R4: of all windows of cells the one whose values have the greatest sum; values may be negative."""
    R, H, W = value_RHW.shape
    first, last = torch.triu_indices(H, H, device=value_RHW.device)
    above = F.pad(value_RHW.cumsum(1), (0, 0, 1, 0))
    lines_RYW = above[:, last + 1] - above[:, first]
    # Within a band of lines, the best run ends where the running sum stands highest above its lowest point so far.
    before_RYW = F.pad(lines_RYW.cumsum(2), (1, 0))
    lowest_RYW, start_RYW = before_RYW[..., :-1].cummin(2)
    gain_RYW = before_RYW[..., 1:] - lowest_RYW
    best_R = gain_RYW.flatten(1).argmax(1) if R else torch.zeros(0, dtype=torch.long, device=value_RHW.device)
    band, stop = best_R // W, best_R % W
    start = start_RYW.flatten(1).gather(1, best_R[:, None])[:, 0]
    return torch.stack([start / W, first[band] / H, (stop + 1) / W, (last[band] + 1) / H], dim=1)
