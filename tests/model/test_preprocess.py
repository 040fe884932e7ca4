from __future__ import annotations

import numpy as np
from PIL import Image

from ram.model.preprocess import Preprocess

PREPROCESS = Preprocess(image_size=8, mean=(0.5, 0.4, 0.3), std=(0.5, 0.25, 0.2))


def test_tensor_is_the_normalized_image_channels_first() -> None:
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    tensor = PREPROCESS(Image.fromarray(values))
    for c in range(3):
        wanted = (values[:, :, c] / 255 - PREPROCESS.mean[c]) / PREPROCESS.std[c]
        np.testing.assert_allclose(tensor[c], wanted, atol=1e-5)


def test_images_are_squeezed_into_the_square() -> None:
    wide = Image.new("RGB", (40, 10), "red")
    wide.paste("blue", (20, 0, 40, 10))
    tensor = PREPROCESS(wide)
    assert tensor.shape == (3, 8, 8)
    assert (tensor[0, :, :3] > 0.9).all()
    assert (tensor[0, :, 5:] < -0.9).all()
