from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.localization import Found, figures, interval, iou


def found(boxes: list[list[float]], points: list[list[float]], mass_RFF: torch.Tensor) -> Found:
    return Found(np.array(boxes), mass_RFF, np.array(points), seconds=1.0, whole_share=0.0)


def test_intersection_over_union_is_that_of_the_points_of_a_fine_grid() -> None:
    rng = np.random.default_rng(0)
    corners = np.sort(rng.random((9, 2, 2)), axis=1)
    boxes = np.concatenate([corners[:, 0], corners[:, 1]], axis=1)
    y, x = np.meshgrid(*[(np.arange(1000) + 0.5) / 1000] * 2, indexing="ij")
    masks = [(x > b[0]) & (x < b[2]) & (y > b[1]) & (y < b[3]) for b in boxes]
    expected = [(masks[0] & mask).sum() / (masks[0] | mask).sum() for mask in masks]
    np.testing.assert_allclose(iou(boxes[0], boxes), expected, atol=0.01)


def test_a_row_is_judged_by_the_true_box_that_fits_best_and_by_all_of_them_for_point_and_mass() -> None:
    truth = [np.array([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])] * 2
    mass = torch.zeros(2, 32, 32)
    mass[0, 0, 0] = mass[0, 31, 31] = 0.5  # half in each of the boxes
    mass[1, 0, 0], mass[1, 0, 31] = 0.25, 0.75  # most in neither
    rows = figures(found([[0.5, 0.5, 1.0, 1.0], [0.0, 0.5, 0.5, 1.0]], [[0.7, 0.7], [0.3, 0.7]], mass), truth)
    assert rows["IoU"].tolist() == [1, 0]
    assert rows[">= 0.5"].tolist() == [1, 0]
    assert rows["point"].tolist() == [1, 0]
    assert rows["mass"].tolist() == pytest.approx([1, 0.25])


def test_the_interval_is_of_images_not_of_rows() -> None:
    rng = np.random.default_rng(0)
    of_image = rng.random(400)
    alone = interval(of_image, np.arange(400))
    assert alone == pytest.approx(1.96 * of_image.std() / 20, rel=0.15)
    # Rows that say the same ten times over make nothing surer.
    assert interval(of_image.repeat(10), np.arange(400).repeat(10)) == pytest.approx(alone)
