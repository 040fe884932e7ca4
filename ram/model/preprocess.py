"""RGB image -> tensor, the same in training, in the feature cache and when tagging."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocess:
    """RGB image -> float32 tensor (3, image_size, image_size), by `mean` and `std` of values in 0 … 1.

    The image is squeezed into the square, aspect ratio ignored, as RAM does.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, image: Image.Image) -> Tensor:
        return self.normalize(self.resize(image))

    def resize(self, image: Image.Image) -> Image.Image:
        size = (self.image_size, self.image_size)
        return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)

    def normalize(self, image: Image.Image) -> Tensor:
        """The tensor of an RGB image of any size, not resized."""
        values_HWC: np.ndarray = np.asarray(image, dtype=np.float32) / 255.0
        values_HWC = (values_HWC - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return torch.from_numpy(np.ascontiguousarray(values_HWC.transpose(2, 0, 1)))
