from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ram.datasets.augment import OPERATIONS, AugmentParams, augment, random_crop_box

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))


def test_the_same_generator_gives_the_same_view_and_another_seed_another() -> None:
    views = [np.asarray(augment(IMAGE, 32, AugmentParams(), np.random.default_rng(seed))) for seed in (1, 1, 2)]
    assert views[0].shape == (32, 32, 3)
    np.testing.assert_array_equal(views[0], views[1])
    assert (views[0] != views[2]).any()


def test_crops_keep_their_share_of_the_area_and_lie_in_the_image() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        x0, y0, x1, y1 = random_crop_box((64, 48), 0.2, rng)
        assert 0 <= x0 < x1 <= 64 + 1e-9
        assert 0 <= y0 < y1 <= 48 + 1e-9
        assert 0.2 - 1e-9 <= (x1 - x0) * (y1 - y0) / (64 * 48) <= 1 + 1e-9
        assert 3 / 4 - 1e-9 <= (x1 - x0) / (y1 - y0) <= 4 / 3 + 1e-9


def test_an_image_too_narrow_for_the_aspect_is_kept_whole() -> None:
    assert random_crop_box((1000, 10), 0.9, np.random.default_rng(0)) == (0.0, 0.0, 1000.0, 10.0)


def test_nothing_asked_for_is_a_plain_resize() -> None:
    params = AugmentParams(min_scale=1.0, mirror=False, num_operations=0)
    view = augment(IMAGE, 24, params, np.random.default_rng(0))
    np.testing.assert_array_equal(np.asarray(view), np.asarray(IMAGE.resize((24, 24), Image.Resampling.BICUBIC)))


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("strength", [-1.0, 0.5])
def test_every_operation_keeps_size_and_mode(name: str, strength: float) -> None:
    view = OPERATIONS[name](IMAGE, strength)
    assert (view.size, view.mode) == (IMAGE.size, "RGB")


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - {"auto_contrast", "equalize"}))
def test_strength_zero_leaves_the_image_as_it_is(name: str) -> None:
    np.testing.assert_array_equal(np.asarray(OPERATIONS[name](IMAGE, 0.0)), np.asarray(IMAGE))
