from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ram.inference.image_inputs import NamedImage, each_image, name_of, read_image
from ram.io.images import ImageError

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "image",
    [
        PIXELS,
        PIXELS / 255,
        (PIXELS / 255).astype(np.float32),
        (PIXELS / 255)[:, ::-1][:, ::-1],
        torch.from_numpy(PIXELS).permute(2, 0, 1),
        torch.from_numpy(PIXELS / 255).permute(2, 0, 1).requires_grad_(),
        Image.fromarray(PIXELS),
        png(PIXELS),
        bytearray(png(PIXELS)),
        NamedImage("a", png(PIXELS)),
    ],
    ids=lambda p: type(p).__name__,
)
def test_every_form_of_an_image_has_the_same_pixels(image: object) -> None:
    np.testing.assert_array_equal(np.asarray(read_image(image)), PIXELS)  # type: ignore[arg-type]


def test_grey_forms_are_one_image_in_three_equal_channels() -> None:
    gray = PIXELS[..., 0]
    for image in (gray, gray[..., None], torch.from_numpy(gray), torch.from_numpy(gray)[None], gray / 255):
        np.testing.assert_array_equal(np.asarray(read_image(image)), np.stack([gray] * 3, axis=-1))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (PIXELS.astype(np.float32), "values from 0 to 1, got 0 to 255; scale it"),
        (np.full((4, 4, 3), np.nan), "values from 0 to 1"),
        (PIXELS / 255 - 0.5, "values from 0 to 1, got -0.5"),
        (PIXELS.astype(np.int64), "uint8"),
        (PIXELS > 3, "uint8"),
        (PIXELS.transpose(2, 0, 1), "H × W × 3"),
        (np.zeros((0, 4, 3), np.uint8), "H × W × 3"),
        (torch.from_numpy(PIXELS), "C × H × W"),
        (7, "an image is a path"),
        (None, "an image is a path"),
        ("a\0b", "zero character"),
        (b"", "not a readable image"),
        (NamedImage("shard/7.jpg", b"text"), r"shard/7\.jpg: not a readable image"),
        (NamedImage("shard", ImageError("broken")), "broken"),
    ],
)
def test_what_is_no_image_is_refused_with_the_reason(image: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_image(image)  # type: ignore[arg-type]


def test_more_pixels_than_are_allowed_are_refused_in_every_form(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(png(PIXELS))
    forms = [
        PIXELS,
        Image.fromarray(PIXELS),
        png(PIXELS),
        tmp_path / "p.png",
        torch.from_numpy(PIXELS).permute(2, 0, 1),
    ]
    for image in forms:
        assert read_image(image, max_pixels=600).size == (30, 20)
        with pytest.raises(ImageError, match="30 x 20 pixels, more than 599"):
            read_image(image, max_pixels=599)


def test_a_folder_or_a_truncated_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="not a file"):
        read_image(tmp_path)
    (tmp_path / "half.png").write_bytes(png(PIXELS)[:400])
    with pytest.raises(ImageError, match=r"half\.png: not a readable"):
        read_image(tmp_path / "half.png")
    with Image.open(io.BytesIO(png(PIXELS)[:400])) as lazy, pytest.raises(ImageError, match="not a readable"):
        read_image(lazy)


def test_one_image_is_one_and_a_batch_as_many_as_it_has() -> None:
    for one in ("a", Path("a"), b"a", PIXELS, torch.zeros(3, 4, 5), Image.fromarray(PIXELS)):
        assert len(list(each_image(one))) == 1
    assert len(list(each_image(np.stack([PIXELS] * 3)))) == len(list(each_image(torch.zeros(3, 3, 4, 5)))) == 3
    assert list(each_image(p for p in ("a", "b"))) == ["a", "b"]
    for nothing in (7, None, {"a": 1}):
        with pytest.raises(ValueError, match="must be an image"):
            each_image(nothing)  # type: ignore[arg-type]


def test_a_report_calls_an_image_by_its_path_its_name_or_its_number() -> None:
    assert [name_of(p, 3) for p in ("x/a.jpg", Path("b.png"), NamedImage("n", b""), b"", PIXELS)] == [
        "x/a.jpg", "b.png", "n", "image 3", "image 3",
    ]  # fmt: skip
