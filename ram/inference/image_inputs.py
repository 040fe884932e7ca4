"""Whatever a caller calls a picture -> an RGB picture, within bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ram.io.images import MAX_PIXELS, PictureError, as_image, check_size, open_image, read_file, upright_rgb

_CHANNELS = (1, 3, 4)


@dataclass(frozen=True, slots=True)
class NamedPicture:
    """A picture with a name for reports, or, instead of one, why there is none; and of which frame of what it is."""

    name: str
    content: str | Path | bytes | Image.Image | np.ndarray | torch.Tensor | PictureError
    source: str | None = None  # the video, animation or folder that it is a frame of
    frame: int | None = None  # counted from 0
    time_s: float | None = None  # from the beginning


Picture = str | Path | bytes | Image.Image | np.ndarray | torch.Tensor | NamedPicture
Pictures = Picture | Iterable[Picture]


def each_picture(images: Pictures) -> Iterator[Any]:
    """The pictures one by one, read from an iterable no sooner than asked for.

    One picture alone is a picture, and an array or tensor of four dimensions several. `ValueError` for what is neither
    a picture nor gives any; what an iterable gives is judged when it is read.
    """
    if isinstance(images, np.ndarray | torch.Tensor):
        return iter(images) if images.ndim == 4 else iter([images])
    if isinstance(images, str | Path | bytes | bytearray | Image.Image | NamedPicture):
        return iter([images])
    if isinstance(images, Mapping) or not isinstance(images, Iterable):
        raise ValueError(
            "images must be a picture (path, bytes, PIL image, array or tensor) or an iterable of pictures, got "
            f"{type(images).__name__}"
        )
    return iter(images)


def name_of(picture: object, index: int) -> str:
    """What a report calls the picture: its path or given name, else its number, from 0."""
    if isinstance(picture, NamedPicture):
        return picture.name
    return str(picture) if isinstance(picture, str | Path) else f"picture {index}"


def read_picture(picture: Picture, min_size: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The RGB picture that any of the accepted forms is; a JPEG may be decoded smaller, no side under `min_size`.

    Arrays are H × W, H × W × 3 or, with transparency, H × W × 4; tensors H × W or C × H × W. Both hold uint8, or
    floating point from 0 to 1, which is rounded to 256 steps. Raises `PictureError` for anything else, for what cannot
    be read, and for more than `max_pixels`; `OSError` for a file that is not there.
    """
    if isinstance(picture, NamedPicture):
        return _read_named(picture, min_size, max_pixels)
    if isinstance(picture, Image.Image):
        check_size(*picture.size, max_pixels)
        return upright_rgb(picture)
    if isinstance(picture, torch.Tensor):
        return _of_array(_hwc(picture), max_pixels)
    if isinstance(picture, np.ndarray):
        return _of_array(picture, max_pixels)
    if isinstance(picture, bytes | bytearray):
        return open_image(bytes(picture), max_pixels, min_size)
    if not isinstance(picture, str | Path):
        raise PictureError(
            f"a picture is a path, bytes, a PIL image, an array or a tensor, got {type(picture).__name__}"
        )
    try:
        return open_image(read_file(Path(picture)), max_pixels, min_size)
    except PictureError as error:
        raise PictureError(f"{picture}: {error}", error.reason) from error


def _read_named(picture: NamedPicture, min_size: int | None, max_pixels: int) -> Image.Image:
    if isinstance(picture.content, PictureError):
        raise picture.content
    try:
        return read_picture(picture.content, min_size, max_pixels)
    except PictureError as error:
        if isinstance(picture.content, str | Path) and str(picture.content) == picture.name:
            raise  # it is named already
        raise PictureError(f"{picture.name}: {error}", error.reason) from error


def _hwc(tensor: torch.Tensor) -> np.ndarray:
    if tensor.ndim == 3 and tensor.shape[0] not in _CHANNELS:
        raise PictureError(f"a tensor must be C × H × W with 1, 3 or 4 channels to be a picture, got {_shape(tensor)}")
    tensor = tensor.detach().cpu()
    tensor = tensor.float() if tensor.is_floating_point() else tensor  # numpy has no bfloat16
    return (tensor.movedim(0, -1) if tensor.ndim == 3 else tensor).numpy()


def _of_array(array: np.ndarray, max_pixels: int) -> Image.Image:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in _CHANNELS) or array.size == 0:
        raise PictureError(f"an array must be H × W × 3, or H × W, to be a picture, got {_shape(array)}")
    check_size(array.shape[1], array.shape[0], max_pixels)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())  # NaN where one value is
        if not (low >= 0 and high <= 1):
            raise PictureError(
                f"a picture in floating point has values from 0 to 1, got {low:g} to {high:g}; scale it, or give uint8"
            )
        array = np.rint(array * 255).astype(np.uint8)
    return as_image(np.ascontiguousarray(array))


def _shape(array: np.ndarray | torch.Tensor) -> str:
    return f"{array.dtype} {tuple(array.shape)}"
