"""Augmentation of an image: random resized crop, mirror, and RandAugment with RAM's operations.

Every function takes the random generator that decides for it, so one image in one epoch is always the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

_GRAY = (128, 128, 128)
_MAX_MAGNITUDE = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentParams:
    """RAM: crops of 0.2–1 of the area, mirrored in one of two, 2 operations of magnitude 5."""

    min_scale: float = 0.2  # smallest share of the image's area that a crop keeps; 1 crops nothing
    mirror: bool = True
    num_operations: int = 2
    magnitude: float = 5.0  # of 10

    def __post_init__(self) -> None:
        if not 0 < self.min_scale <= 1:
            raise ValueError(f"min_scale must be in (0, 1], got {self.min_scale}")
        if self.num_operations < 0:
            raise ValueError(f"num_operations must not be negative, got {self.num_operations}")
        if not 0 <= self.magnitude <= _MAX_MAGNITUDE:
            raise ValueError(f"magnitude must be in [0, 10], got {self.magnitude}")


def augment(image: Image.Image, size: int, params: AugmentParams, rng: np.random.Generator) -> Image.Image:
    """A random view of an RGB image, `size` pixels square."""
    if params.min_scale < 1:
        box = random_crop_box(image.size, params.min_scale, rng)
        view = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    else:
        view = image.resize((size, size), Image.Resampling.BICUBIC)
    if params.mirror and rng.random() < 0.5:
        view = ImageOps.mirror(view)
    names = list(OPERATIONS)
    for _ in range(params.num_operations):
        strength = params.magnitude / _MAX_MAGNITUDE * (1 if rng.random() < 0.5 else -1)
        view = OPERATIONS[names[rng.integers(len(names))]](view, strength)
    return view


def random_crop_box(
    size: tuple[int, int], min_scale: float, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """A box of `min_scale`–1 of the area and an aspect of 3/4–4/3; the whole image where ten draws do not fit."""
    width, height = size
    for _ in range(10):
        area = width * height * rng.uniform(min_scale, 1.0)
        aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = math.sqrt(area * aspect), math.sqrt(area / aspect)
        if w <= width and h <= height:
            x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
            return x, y, x + w, y + h
    return 0.0, 0.0, float(width), float(height)


def _affine(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, resample=Image.Resampling.BILINEAR, fillcolor=_GRAY
    )


# `strength` is in [-1, 1]; RAM's ranges at full strength: shear 0.3, shift 10 pixels, turn 30 degrees. Brightness and
# sharpness change by a factor of 1 ± 0.9 strength: the published code's formula leaves both unchanged at magnitude 5.
OPERATIONS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "identity": lambda image, strength: image,
    "auto_contrast": lambda image, strength: ImageOps.autocontrast(image),
    "equalize": lambda image, strength: ImageOps.equalize(image),
    "brightness": lambda image, strength: ImageEnhance.Brightness(image).enhance(1 + 0.9 * strength),
    "sharpness": lambda image, strength: ImageEnhance.Sharpness(image).enhance(1 + 0.9 * strength),
    "shear_x": lambda image, strength: _affine(image, (1, 0.3 * strength, 0, 0, 1, 0)),
    "shear_y": lambda image, strength: _affine(image, (1, 0, 0, 0.3 * strength, 1, 0)),
    "translate_x": lambda image, strength: _affine(image, (1, 0, 10 * strength, 0, 1, 0)),
    "translate_y": lambda image, strength: _affine(image, (1, 0, 0, 0, 1, 10 * strength)),
    "rotate": lambda image, strength: image.rotate(30 * strength, resample=Image.Resampling.BILINEAR, fillcolor=_GRAY),
}
