from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ram.reports.review.page import Box, jpeg, region_image


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))))


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(*[st.floats(0, 1)] * 4),
    st.floats(0, 3),
    st.integers(16, 64),
)
def test_the_box_lies_inside_what_is_shown(
    size: tuple[int, int], sides: tuple[float, ...], context: float, thumbnail: int
) -> None:
    (x0, x1), (y0, y1) = sorted(sides[:2]), sorted(sides[2:])
    uri, inside = region_image(Image.new("RGB", size), (x0, y0, x1, y1), context, thumbnail)
    assert max(opened(uri).size) <= thumbnail
    assert inside is not None
    x, y, width, height = inside
    pixel = 100 / min(size) * 2.5  # whole pixels are cut out of an image that shows at least 0.4 of it
    assert min(x, y) > -pixel
    assert max(x + width, y + height) < 100 + pixel


@pytest.mark.parametrize("box", [(0.5, 0.25, 0.75, 0.5), (0.0, 0.0, 0.2, 0.1), (0.9, 0.9, 1.0, 1.0)])
def test_what_is_shown_in_the_box_is_the_region(box: Box) -> None:
    pixels = np.zeros((200, 200, 3), np.uint8)
    x0, y0, x1, y1 = (round(200 * side) for side in box)
    pixels[y0:y1, x0:x1] = 255
    uri, inside = region_image(Image.fromarray(pixels), box, 0.5, 160)
    shown = np.asarray(opened(uri).convert("L"), dtype=float)
    assert inside is not None
    assert shown.mean() / 255 == pytest.approx(inside[2] * inside[3] / 1e4, abs=0.02)
    x, y = (int((inside[i] + inside[i + 2] / 2) / 100 * 160) for i in (0, 1))
    assert shown[y, x] > 240


def test_without_a_box_the_whole_image_is_shown() -> None:
    uri, inside = region_image(Image.new("RGB", (50, 100)), None, 0.5, 80)
    assert inside is None
    assert opened(uri).size == (40, 80)


def test_tiny_images_are_enlarged_but_not_without_end() -> None:
    assert opened(jpeg(Image.new("L", (8, 4)), 1000)).size == (32, 16)
