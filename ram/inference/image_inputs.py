"""Whatever a caller calls an image -> an RGB image, within bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ram.io.images import MAX_PIXELS, ImageError, as_image, check_size, open_image, read_file, upright_rgb

_CHANNELS = (1, 3, 4)


@dataclass(frozen=True, slots=True)
class NamedImage:
    """An image with a name for reports, or, instead of one, why there is none; and of which frame of what it is."""

    name: str
    content: str | Path | bytes | Image.Image | np.ndarray | torch.Tensor | ImageError
    source: str | None = None  # the video, animation or folder that it is a frame of
    frame: int | None = None  # counted from 0
    time_s: float | None = None  # from the beginning


ImageLike = str | Path | bytes | Image.Image | np.ndarray | torch.Tensor | NamedImage
Images = ImageLike | Iterable[ImageLike]


def each_image(images: Images) -> Iterator[Any]:
    """The images one by one, read from an iterable no sooner than asked for.

    One image alone is an image, and an array or tensor of four dimensions several. `ValueError` for what is neither
    an image nor gives any; what an iterable gives is judged when it is read.
    """
    if isinstance(images, np.ndarray | torch.Tensor):
        return iter(images) if images.ndim == 4 else iter([images])
    if isinstance(images, str | Path | bytes | bytearray | Image.Image | NamedImage):
        return iter([images])
    if isinstance(images, Mapping) or not isinstance(images, Iterable):
        raise ValueError(
            "images must be an image (path, bytes, PIL image, array or tensor) or an iterable of images, got "
            f"{type(images).__name__}"
        )
    return iter(images)


def name_of(image: object, index: int) -> str:
    """What a report calls the image: its path or given name, else its number, from 0."""
    if isinstance(image, NamedImage):
        return image.name
    return str(image) if isinstance(image, str | Path) else f"image {index}"


def read_image(image: ImageLike, min_size: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The RGB image that any of the accepted forms is; a JPEG may be decoded smaller, no side under `min_size`.

    Arrays are H × W, H × W × 3 or, with transparency, H × W × 4; tensors H × W or C × H × W. Both hold uint8, or
    floating point from 0 to 1, which is rounded to 256 steps. Raises `ImageError` for anything else, for what cannot
    be read, and for more than `max_pixels`; `OSError` for a file that is not there.
    """
    if isinstance(image, NamedImage):
        return _read_named(image, min_size, max_pixels)
    if isinstance(image, Image.Image):
        check_size(*image.size, max_pixels)
        return upright_rgb(image)
    if isinstance(image, torch.Tensor):
        return _of_array(_hwc(image), max_pixels)
    if isinstance(image, np.ndarray):
        return _of_array(image, max_pixels)
    if isinstance(image, bytes | bytearray):
        return open_image(bytes(image), max_pixels, min_size)
    if not isinstance(image, str | Path):
        raise ImageError(f"an image is a path, bytes, a PIL image, an array or a tensor, got {type(image).__name__}")
    try:
        return open_image(read_file(Path(image)), max_pixels, min_size)
    except ImageError as error:
        raise ImageError(f"{image}: {error}", error.reason) from error


def _read_named(image: NamedImage, min_size: int | None, max_pixels: int) -> Image.Image:
    if isinstance(image.content, ImageError):
        raise image.content
    try:
        return read_image(image.content, min_size, max_pixels)
    except ImageError as error:
        if isinstance(image.content, str | Path) and str(image.content) == image.name:
            raise  # it is named already
        raise ImageError(f"{image.name}: {error}", error.reason) from error


def _hwc(tensor: torch.Tensor) -> np.ndarray:
    if tensor.ndim == 3 and tensor.shape[0] not in _CHANNELS:
        raise ImageError(f"a tensor must be C × H × W with 1, 3 or 4 channels to be an image, got {_shape(tensor)}")
    tensor = tensor.detach().cpu()
    tensor = tensor.float() if tensor.is_floating_point() else tensor  # numpy has no bfloat16
    return (tensor.movedim(0, -1) if tensor.ndim == 3 else tensor).numpy()


def _of_array(array: np.ndarray, max_pixels: int) -> Image.Image:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in _CHANNELS) or array.size == 0:
        raise ImageError(f"an array must be H × W × 3, or H × W, to be an image, got {_shape(array)}")
    check_size(array.shape[1], array.shape[0], max_pixels)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())  # NaN where one value is
        if not (low >= 0 and high <= 1):
            raise ImageError(
                f"an image in floating point has values from 0 to 1, got {low:g} to {high:g}; scale it, or give uint8"
            )
        array = np.rint(array * 255).astype(np.uint8)
    return as_image(np.ascontiguousarray(array))


def _shape(array: np.ndarray | torch.Tensor) -> str:
    return f"{array.dtype} {tuple(array.shape)}"
