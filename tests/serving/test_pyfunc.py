from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from ram.serving.pyfunc import read_image


def _png(color: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4), color).save(buffer, "PNG")
    return buffer.getvalue()


def test_bytes_base64_a_data_uri_and_a_permitted_path_give_the_same_image(tmp_path: Path) -> None:
    data = _png((255, 0, 0))
    text = base64.b64encode(data).decode()
    (tmp_path / "a.png").write_bytes(data)
    for value in (data, text, f"data:image/png;base64,{text}", str(tmp_path / "a.png")):
        image = read_image(value, allow_paths=True)
        assert (image.size, image.getpixel((0, 0))) == ((5, 4), (255, 0, 0))


def test_a_path_is_not_read_unless_it_is_permitted(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(_png((0, 0, 0)))
    with pytest.raises(ValueError, match="must be base64 or a data URI"):
        read_image(str(tmp_path / "a.png"))


@pytest.mark.parametrize("value", ["not base64!", "photos/caf\u00e9.jpg"])
def test_text_that_is_no_base64_is_refused_with_what_it_must_be(value: str) -> None:
    with pytest.raises(ValueError, match="image must be base64 or a data URI"):
        read_image(value)


@pytest.mark.parametrize("value", [None, 3, "", "not base64!", base64.b64encode(b"no image").decode(), "data:,"])
def test_what_is_no_image_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        read_image(value)
