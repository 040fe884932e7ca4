from __future__ import annotations

import numpy as np
import pytest
import torch

from ram.data_engine.localise import LOCALISERS, LocaliserParams, box_weights, by_attention, by_grid, sub_box_weights

PARAMS = LocaliserParams(kind="attention", min_attention=0.5, num_windows=3)


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


def test_the_region_is_what_touches_the_peak_and_another_peak_is_left_out() -> None:
    attention = torch.zeros(2, 4, 4)
    attention[0, 1, 1], attention[0, 1, 2], attention[0, 3, 0] = 1.0, 0.6, 0.0
    attention[0, 0, 3] = 0.7  # touches the second cell at a corner
    attention[1, 3, 3], attention[1, 0, 0], attention[1, 2, 3] = 1.0, 0.9, 0.4
    boxes = by_attention(attention, PARAMS)
    torch.testing.assert_close(boxes, torch.tensor([[0.25, 0.0, 1.0, 0.5], [0.75, 0.75, 1.0, 1.0]]))


def test_the_window_with_most_attention_is_chosen() -> None:
    attention = torch.zeros(1, 4, 4)
    attention[0, 1:3, 2:4] = 1
    torch.testing.assert_close(by_grid(attention, PARAMS), torch.tensor([[0.5, 0.25, 1.0, 0.75]]))


@pytest.mark.parametrize("kind", list(LOCALISERS))
def test_every_localiser_gives_boxes_within_the_picture_and_none_for_no_rows(kind: str) -> None:
    attention = torch.rand(20, 5, 7, generator=torch.Generator().manual_seed(0))
    boxes_R4 = LOCALISERS[kind](attention, PARAMS)
    assert boxes_R4.shape == (20, 4)
    assert ((boxes_R4 >= 0) & (boxes_R4 <= 1)).all()
    assert (boxes_R4[:, 2:] > boxes_R4[:, :2]).all()
    assert LOCALISERS[kind](attention[:0], PARAMS).shape == (0, 4)


def test_an_unknown_localiser_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown localiser 'dino'; known: attention, grid, whole"):
        LocaliserParams(kind="dino", min_attention=0.5, num_windows=3)
