"""Encoded picture -> RGB picture -> tensor, the same in training, in the feature cache and when tagging."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

MAX_PIXELS = 100_000_000


class PictureError(OSError, ValueError):
    """A picture that cannot be read: its sender's fault, unlike other `ValueError`s, and no reason to stop a batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocess:
    """RGB picture -> float32 tensor (3, image_size, image_size), by `mean` and `std` of values in 0 … 1.

    The picture is squeezed into the square, aspect ratio ignored, as RAM does.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, image: Image.Image) -> Tensor:
        return self.normalise(self.resize(image))

    def resize(self, image: Image.Image) -> Image.Image:
        size = (self.image_size, self.image_size)
        return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)

    def normalise(self, image: Image.Image) -> Tensor:
        """The tensor of an RGB picture of any size, not resized."""
        values_HWC: np.ndarray = np.asarray(image, dtype=np.float32) / 255.0
        values_HWC = (values_HWC - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return torch.from_numpy(np.ascontiguousarray(values_HWC.transpose(2, 0, 1)))


def open_image(data: bytes, max_pixels: int = MAX_PIXELS, min_size: int | None = None) -> Image.Image:
    """Decode a picture to RGB, upright, its first frame; what is transparent becomes white.

    With `min_size`, a large JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, no side under `min_size`: much faster.
    Raises `PictureError` for what is no whole picture, or one of more than `max_pixels`.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > max_pixels:
                raise PictureError(f"picture has {image.width} x {image.height} pixels, more than {max_pixels} in all")
            if min_size is not None and image.format == "JPEG":
                image.draft("RGB", (min_size, min_size))
            return upright_rgb(image)
    except PictureError:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PictureError(f"not a readable picture: {error}") from error


def as_image(array: np.ndarray) -> Image.Image:
    """An RGB picture of an array of uint8, H × W × 3 (or 4, with transparency) or H × W."""
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise PictureError(f"an array must be uint8 and H × W × 3 to be a picture, got {array.dtype} {array.shape}")
    return upright_rgb(Image.fromarray(array))


def upright_rgb(image: Image.Image) -> Image.Image:
    """The picture as it is meant to be seen: turned as its EXIF says, what is transparent white, RGB."""
    image = ImageOps.exif_transpose(image)
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
