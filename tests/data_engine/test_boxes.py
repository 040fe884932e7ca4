from __future__ import annotations

import numpy as np
import pytest
import torch

from ram.data_engine.boxes import box_weights, roi_align, sub_box_weights


def brute_force_weights(box: list[float], height: int, width: int) -> np.ndarray:
    """The share of the box's area in each cell, by counting the points of a fine grid."""
    fine = 60
    y, x = np.meshgrid(*((np.arange(n * fine) + 0.5) / (n * fine) for n in (height, width)), indexing="ij")
    inside = (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])
    return inside.reshape(height, fine, width, fine).sum((1, 3)) / inside.sum()


def test_weights_are_the_shares_of_the_cells_in_the_boxs_area() -> None:
    boxes = [[0.0, 0.0, 1.0, 1.0], [0.1, 0.25, 0.5, 0.9], [0.3, 0.55, 0.35, 0.6]]
    found = box_weights(torch.tensor(boxes), 5, 4)
    for box, weights in zip(boxes, found, strict=True):
        np.testing.assert_allclose(weights, brute_force_weights(box, 5, 4), atol=0.02)


def test_parts_of_a_box_together_are_the_box() -> None:
    boxes_R4 = torch.tensor([[0.1, 0.2, 0.7, 0.95], [0.0, 0.0, 1.0, 1.0]])
    parts_RSHW = sub_box_weights(boxes_R4, 3, 6, 7)
    assert parts_RSHW.shape == (2, 9, 6, 7)
    torch.testing.assert_close(parts_RSHW.mean(1), box_weights(boxes_R4, 6, 7))
    torch.testing.assert_close(parts_RSHW[1, 1], box_weights(torch.tensor([[1 / 3, 0.0, 2 / 3, 1 / 3]]), 6, 7)[0])


def test_roi_align_reads_what_torchvisions_does() -> None:
    ops = pytest.importorskip("torchvision.ops")
    generator = torch.Generator().manual_seed(0)
    map_RHWD = torch.randn(6, 5, 8, 3, generator=generator)
    corners = torch.rand(6, 2, 2, generator=generator).sort(1).values
    boxes_R4 = torch.cat([corners[:, 0], corners[:, 1]], dim=1)
    boxes_R4[0] = torch.tensor([0.0, 0.0, 1.0, 1.0])
    in_cells = boxes_R4 * torch.tensor([8, 5, 8, 5])
    numbered = torch.cat([torch.arange(6)[:, None], in_cells], dim=1)
    for side, samples in ((1, 2), (3, 2), (2, 3)):
        theirs = ops.roi_align(map_RHWD.permute(0, 3, 1, 2), numbered, side, sampling_ratio=samples, aligned=True)
        ours_RSD = roi_align(map_RHWD, boxes_R4, side, samples)
        torch.testing.assert_close(ours_RSD, theirs.flatten(2).transpose(1, 2), atol=1e-5, rtol=1e-4)
