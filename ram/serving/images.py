"""Bytes that a stranger sent -> an RGB image of the model's size."""

from __future__ import annotations

import base64
import binascii

from PIL import Image

from ram.io.images import open_image
from ram.model.preprocess import Preprocess


def decode(data: bytes, preprocess: Preprocess, max_pixels: int) -> Image.Image:
    """The image, squeezed to the square that the model sees. Raises `ImageError` for what is none, or too large."""
    return preprocess.resize(open_image(data, max_pixels, min_size=preprocess.image_size))


def from_base64(text: str) -> bytes:
    """The bytes of base64 or of a data URI; `ValueError` for other text."""
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.endswith(";base64"):
            raise ValueError("a data URI must hold base64: data:image/jpeg;base64,…")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"must be base64 or a data URI, got {text[:24]!r}") from error
