from __future__ import annotations

import numpy as np
import pytest
import torch

from ram.model.heatmap_to_box import best_window, window_of


def test_the_window_is_around_the_cells_that_stand_out_and_another_peak_is_left_out() -> None:
    maps = torch.full((2, 8, 8), 3.0)
    maps[0, 2:5, 1:4] = 9.0
    maps[0, 7, 7] = 9.0
    maps[1, 0:2, 4:8] = 4.0
    boxes_R4, found_R = window_of(maps, 0.3)
    assert found_R.all()
    # Half a cell more or less: the map is read between its cells.
    np.testing.assert_allclose(boxes_R4[0], [1 / 8, 2 / 8, 4 / 8, 5 / 8], atol=1 / 16 + 1e-6)
    np.testing.assert_allclose(boxes_R4[1], [4 / 8, 0, 1, 2 / 8], atol=1 / 16 + 1e-6)


def test_the_window_does_not_depend_on_the_unit_of_the_map() -> None:
    maps = torch.rand(20, 6, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(window_of(maps, 0.3)[0], window_of(50 * maps + 7, 0.3)[0])


def test_a_flat_map_has_no_find() -> None:
    assert not window_of(torch.full((2, 4, 4), 0.7), 0.3)[1].any()
    assert not window_of(torch.randn(2, 1, 1), 0.3)[1].any()


@pytest.mark.parametrize("shape", [(5, 7), (1, 6), (6, 1), (1, 1)])
def test_the_best_window_is_the_one_that_trying_all_of_them_finds(shape: tuple[int, int]) -> None:
    H, W = shape
    values = np.random.default_rng(H * W).normal(-0.2, 1, (40, H, W))
    boxes_R4 = best_window(torch.from_numpy(values)).numpy()
    for value, box in zip(values, boxes_R4, strict=True):
        windows = [(y0, y1, x0, x1) for y0 in range(H) for y1 in range(y0 + 1, H + 1)
                   for x0 in range(W) for x1 in range(x0 + 1, W + 1)]  # fmt: skip
        y0, y1, x0, x1 = max(windows, key=lambda w: value[w[0] : w[1], w[2] : w[3]].sum())
        np.testing.assert_allclose(box, [x0 / W, y0 / H, x1 / W, y1 / H], rtol=1e-6)


def test_no_maps_have_no_windows() -> None:
    assert best_window(torch.zeros(0, 3, 4)).shape == (0, 4)
