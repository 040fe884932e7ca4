"""Images that are good and odd: what is read is what a person would see."""

from __future__ import annotations

from collections.abc import Callable

import hostile_images as hostile
import numpy as np
import pytest
from PIL import Image

from ram.datasets.image_info import ImageInfo, ImageLimits, examine
from ram.io.images import open_image, upright_rgb

LIMITS = ImageLimits(min_side=1, max_pixels=10_000, max_aspect=100)
PIXELS = np.random.default_rng(1).integers(0, 256, (6, 9, 3), dtype=np.uint8)
_SEEN: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1), 7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}  # fmt: skip


def seen(data: bytes) -> np.ndarray:
    return np.asarray(open_image(data))


@pytest.mark.parametrize("orientation", _SEEN)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_an_image_is_turned_as_its_exif_says(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = hostile.encoded(Image.fromarray(PIXELS), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(seen(data), _SEEN[orientation](PIXELS))


@pytest.mark.parametrize("orientation", [6, 8])
def test_the_ingestion_measures_a_turned_image_as_it_is_seen(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying = examine(hostile.encoded(Image.fromarray(PIXELS), "PNG", exif=exif), LIMITS)
    upright = examine(hostile.encoded(Image.fromarray(_SEEN[orientation](PIXELS)), "PNG"), LIMITS)
    assert isinstance(lying, ImageInfo)
    assert isinstance(upright, ImageInfo)
    assert (lying.width, lying.height) == (upright.width, upright.height) == (6, 9)
    assert lying.perceptual_hash == upright.perceptual_hash


@pytest.mark.parametrize(
    "junk", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 40,
             b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x05\0\xff\xff\xff\x0f\0\0\0\0", b"Exif\0\0" + b"\xff" * 500],
)  # fmt: skip
def test_a_good_image_with_junk_for_exif_is_read_as_it_lies(junk: bytes) -> None:
    data = hostile.encoded(Image.fromarray(PIXELS), "JPEG", quality=100)
    segment = b"\xff\xe1" + (len(junk) + 2).to_bytes(2, "big") + junk
    np.testing.assert_array_equal(seen(data[:2] + segment + data[2:]), seen(data))
    chunk = hostile.png_chunk(b"eXIf", junk.removeprefix(b"Exif\0\0"))
    png = hostile.encoded(Image.fromarray(PIXELS), "PNG")
    np.testing.assert_array_equal(seen(png[:33] + chunk + png[33:]), PIXELS)


@pytest.mark.parametrize("orientation", [0, 9, 77, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(seen(hostile.encoded(Image.fromarray(PIXELS), "PNG", exif=exif)), PIXELS)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_keep_their_shades(kind: str) -> None:
    shades = np.linspace(0, 65535, 54).astype(np.uint16).reshape(6, 9)
    rgb = seen(hostile.encoded(Image.fromarray(shades), kind))
    np.testing.assert_allclose(rgb, np.repeat((shades / 257)[:, :, None], 3, axis=2), atol=1)
    np.testing.assert_array_equal(np.asarray(upright_rgb(Image.fromarray(shades))), rgb)


def test_sixteen_bits_of_color_keep_their_shades() -> None:
    wide = (PIXELS.astype(">u2") * 257).tobytes()
    rows = b"".join(b"\0" + wide[i : i + 9 * 6] for i in range(0, len(wide), 9 * 6))
    np.testing.assert_array_equal(seen(hostile.png(9, 6, depth=16, color=2, pixels=rows)), PIXELS)


def test_a_grey_that_is_declared_clear_is_white() -> None:
    rows = b"".join(b"\0" + np.full(4, shade, ">u2").tobytes() for shade in (1000, 40_000))
    data = hostile.png(4, 2, hostile.png_chunk(b"tRNS", (1000).to_bytes(2, "big")), depth=16, color=0, pixels=rows)
    assert seen(data)[:, 0, 0].tolist() == [255, 40_000 >> 8]


def test_ink_is_turned_into_light() -> None:
    ink = np.zeros((8, 8, 4), np.uint8)
    ink[:4, :, 0] = 255  # cyan
    ink[4:, :, 3] = 255  # black
    for kind in ("JPEG", "TIFF"):
        rgb = seen(hostile.encoded(Image.fromarray(ink, "CMYK"), kind)).astype(int)
        np.testing.assert_allclose(rgb[1, 4], [0, 255, 255], atol=3)
        np.testing.assert_allclose(rgb[6, 4], [0, 0, 0], atol=3)


def test_what_is_clear_is_white_and_what_is_half_clear_half_white() -> None:
    rgba = np.dstack([np.zeros((2, 3, 3), np.uint8), np.array([[0, 128, 255]] * 2, np.uint8)])
    for kind in ("PNG", "TIFF"):
        assert seen(hostile.encoded(Image.fromarray(rgba), kind))[0, :, 0].tolist() == [255, 127, 0]
    gray = Image.fromarray(rgba[:, :, [0, 3]], "LA")
    assert seen(hostile.encoded(gray, "PNG"))[0, :, 0].tolist() == [255, 127, 0]
    assert np.asarray(upright_rgb(Image.fromarray(rgba).convert("RGBa")))[0, :, 0].tolist() == [255, 127, 0]


def test_a_palette_with_clear_entries_is_put_on_white() -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    assert seen(hostile.encoded(image, "PNG", transparency=bytes([0, 255, 255]))).tolist() == [
        [[255, 255, 255], [0, 255, 0], [0, 0, 255]]
    ]
    assert seen(hostile.encoded(image, "GIF", transparency=1)).tolist() == [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]]
    assert seen(hostile.encoded(image, "PNG")).tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_seen(kind: str) -> None:
    frames = [Image.new("RGB", (20, 10), color) for color in ("red", "blue", "lime")]
    data = hostile.encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(seen(data)[5, 10], [255, 0, 0], atol=4)


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 2}, {"quality": 1}, {"optimize": True}])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_decoded_smaller_is_the_same_image_however_it_was_saved(options: dict, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    wide = Image.linear_gradient("L").resize((640, 400)).convert("RGB")
    data = hostile.encoded(wide, "JPEG", exif=exif, **options)
    whole, small = open_image(data), open_image(data, min_size=100)
    assert whole.size == ((640, 400) if orientation == 1 else (400, 640))
    assert min(small.size) >= 100
    assert small.width * small.height <= whole.width * whole.height / 4
    shrunk = np.asarray(whole.resize(small.size, Image.Resampling.BOX), np.float32)
    assert np.abs(np.asarray(small, np.float32) - shrunk).mean() < 4


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_of_png_is_read_in_eight_bits_of_color(mode: str) -> None:
    image = Image.new(mode, (5, 4))
    found = open_image(hostile.encoded(image, "PNG"))
    assert (found.mode, found.size) == ("RGB", (5, 4))


def test_bytes_behind_the_end_of_an_image_do_no_harm() -> None:
    for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP"):
        data = hostile.encoded(Image.fromarray(PIXELS), kind)
        np.testing.assert_array_equal(seen(data + b"PK\x03\x04" + b"<script>" * 20), seen(data))
