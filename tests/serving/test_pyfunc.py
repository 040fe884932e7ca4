from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from ram.serving.pyfunc import read_picture


def _png(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_bytes_base64_a_data_uri_and_a_permitted_path_give_the_same_picture(tmp_path: Path) -> None:
    data = _png((255, 0, 0))
    text = base64.b64encode(data).decode()
    (tmp_path / "a.png").write_bytes(data)
    for value in (data, text, f"data:image/png;base64,{text}", str(tmp_path / "a.png")):
        picture = read_picture(value, allow_paths=True)
        assert (picture.size, picture.getpixel((0, 0))) == ((5, 4), (255, 0, 0))


def test_a_path_is_not_read_unless_it_is_permitted(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(_png((0, 0, 0)))
    with pytest.raises(ValueError, match="must be base64 or a data URI"):
        read_picture(str(tmp_path / "a.png"))


@pytest.mark.parametrize("value", [None, 3, "", "not base64!", base64.b64encode(b"no picture").decode(), "data:,"])
def test_what_is_no_picture_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        read_picture(value)
