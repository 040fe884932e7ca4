from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ram.io.images import ImageError, as_image, open_image, upright_rgb


def _encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_images_are_turned_upright_and_put_on_white() -> None:
    lying = Image.new("RGB", (4, 2), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    assert open_image(_encoded(lying, "JPEG", exif=exif)).size == (2, 4)
    clear = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    assert open_image(_encoded(clear)).getpixel((0, 0)) == (255, 255, 255)
    assert upright_rgb(Image.new("L", (2, 2), 7)).getpixel((0, 0)) == (7, 7, 7)


def test_large_jpegs_may_be_decoded_smaller_but_never_under_the_size_asked_for() -> None:
    data = _encoded(Image.new("RGB", (800, 640), "green"), "JPEG")
    assert open_image(data).size == (800, 640)
    small = open_image(data, min_size=100)
    assert min(small.size) >= 100
    assert small.size < (800, 640)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a readable"),
        (b"no image", "not a readable"),
        (_encoded(Image.new("RGB", (60, 60)), "JPEG")[:200], "not a readable"),
    ],
)
def test_what_is_no_whole_image_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        open_image(data)


def test_images_of_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(ImageError, match="60 x 60 pixels, more than 1000"):
        open_image(_encoded(Image.new("RGB", (60, 60))), max_pixels=1000)


def test_arrays_that_are_no_images_are_refused() -> None:
    assert as_image(np.zeros((4, 5, 3), np.uint8)).size == (5, 4)
    for array in (np.zeros((4, 5, 3), np.float32), np.zeros((3, 4, 5), np.uint8)):
        with pytest.raises(ImageError, match="uint8"):
            as_image(array)
