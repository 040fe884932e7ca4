from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from ram.io.images import FORMATS, ImageError, open_image
from ram.model.preprocess import Preprocess
from ram.serving.images import decode

PREPROCESS = Preprocess(image_size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@pytest.mark.parametrize("kind", FORMATS)
def test_an_image_is_what_the_model_would_have_made_of_it(kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind)
    wanted = PREPROCESS(open_image(buffer.getvalue(), min_size=8))
    assert (PREPROCESS(decode(buffer.getvalue(), PREPROCESS, 2000)) == wanted).all()


def test_a_header_that_promises_too_many_pixels_is_refused_before_any_is_decoded() -> None:
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    bomb += struct.pack(">I", 9) + b"IDAT" + b"x\x9c"
    with pytest.raises(ImageError, match="more than 1000"):
        decode(bomb, PREPROCESS, 1000)


def test_an_image_of_just_so_many_pixels_is_read_and_of_one_more_is_not(make_image: Callable[..., bytes]) -> None:
    assert decode(make_image(size=(10, 10)), PREPROCESS, 100).size == (8, 8)
    with pytest.raises(ImageError, match="10 x 10 pixels"):
        decode(make_image(size=(10, 10)), PREPROCESS, 99)


@pytest.mark.parametrize(
    "data",
    [
        b"text",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"P6 2 2 255 " + b"0" * 12,
    ],
)
def test_what_is_no_image_of_a_known_kind_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match="JPEG, PNG"):
        decode(data, PREPROCESS, 10_000)


def test_half_an_image_is_refused(make_image: Callable[..., bytes]) -> None:
    data = make_image(size=(200, 200), kind="JPEG")
    with pytest.raises(ImageError):
        decode(data[: len(data) // 2], PREPROCESS, 100_000)
