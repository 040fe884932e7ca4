"""Bytes of a file -> an image: the one place where images are opened, and where their size is bounded.

Decoders read formats of forty years, some by starting other programs, and a file of a few bytes may ask for all the
memory there is. So the format is told by the first bytes and must be one of `FORMATS`, the size is held against bounds
before a pixel is decoded, and whatever a decoder raises comes out as a `ImageError` with a reason of one word.
"""

from __future__ import annotations

import codecs
import io
import os
import stat
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

MAX_BYTES = 256 << 20  # of an encoded image; a longer file is refused unread
MAX_PIXELS = 100_000_000
# An image is resized along its rows first: one of 1 x 100,000,000 pixels would take 100 GB on the way to 384 x 384.
MAX_SIDE = 50_000
# A progressive JPEG of a few kilobytes may send its decoder over all pixels thousands of times; those in use need 12.
MAX_SCANS = 100
MAX_FRAMES = 100_000  # of an animation

_Opener = Callable[[io.BytesIO, str], ImageFile.ImageFile]
_OPENERS: dict[str, tuple[Callable[[bytes], bool], _Opener]] = {
    "JPEG": (lambda head: head.startswith(b"\xff\xd8\xff"), JpegImagePlugin.jpeg_factory),
    "PNG": (lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile),
    "WEBP": (lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP", WebPImagePlugin.WebPImageFile),
    "GIF": (lambda head: head.startswith((b"GIF87a", b"GIF89a")), GifImagePlugin.GifImageFile),
    "BMP": (lambda head: head.startswith(b"BM"), BmpImagePlugin.BmpImageFile),
    "TIFF": (
        lambda head: head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
        TiffImagePlugin.TiffImageFile,
    ),
}
FORMATS = tuple(_OPENERS)
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
# What else is found under an image's name.
_OTHERS = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "PostScript"),
    (b"8BPS", "a Photoshop document"),
    (b"\0\0\0\x0cjP", "JPEG 2000"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"version https://git-lfs", "a pointer of Git LFS, whose file was not fetched"),
)
_MARKUP = ((b"<svg", "SVG"), (b"<html", "a web page"), (b"<!doctype html", "a web page"), (b"<?xml", "XML"))
_ORIENTATION = 0x0112  # EXIF; CIPA DC-008, section 4.6.4
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(OSError, ValueError):
    """An image that cannot be read: its sender's fault, unlike other `ValueError`s, and no reason to stop a batch.

    `reason` is `empty`, `wrong_type`, `truncated`, `undecodable`, `too_large` (pixels, bytes, scans or frames),
    `too_long` (a side), `unknown_depth`, or `unreadable` (a file that is none, or an array of a wrong shape).
    """

    def __init__(self, message: str, reason: str = "unreadable") -> None:
        super().__init__(message)
        self.reason = reason


def open_image(data: bytes, max_pixels: int = MAX_PIXELS, min_size: int | None = None) -> Image.Image:
    """Decode an image to RGB, upright, its first frame; what is transparent becomes white.

    With `min_size`, a large JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, no side under `min_size`: much faster.
    Raises `ImageError` for what is no whole image, and for one of more than `max_pixels` or with a side of more
    than `MAX_SIDE`.
    """
    with open_header(data, max_pixels) as image:
        if min_size is not None and image.format == "JPEG":
            image.draft("RGB", (min_size, min_size))
        return upright_rgb(image)


def open_header(data: bytes, max_pixels: int = MAX_PIXELS, formats: Sequence[str] = FORMATS) -> ImageFile.ImageFile:
    """The image with its size, mode and format known, within bounds, and no pixel decoded yet; `ImageError` else."""
    if not data:
        raise ImageError("not a readable image: it has no bytes", "empty")
    if len(data) > MAX_BYTES:
        raise ImageError(f"the image has {len(data)} bytes, more than {MAX_BYTES}", "too_large")
    kind = next((name for name in formats if _OPENERS[name][0](data[:16])), None)
    if kind is None:
        raise ImageError(
            f"not a readable image: it is {_kind_of(data)}; the formats are {', '.join(formats)}", "wrong_type"
        )
    if kind == "JPEG" and (num_scans := data.count(b"\xff\xda")) > MAX_SCANS:
        raise ImageError(f"a JPEG of {num_scans} scans, more than {MAX_SCANS}; save it anew", "too_large")
    if kind == "WEBP" and int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise ImageError("not a readable image: the WEBP file is truncated", "truncated")
    try:
        image = _OPENERS[kind][1](io.BytesIO(data), "")
    except Exception as error:  # decoders of broken files raise anything from struct.error to MemoryError
        raise _undecodable(error) from error
    check_size(*image.size, max_pixels)
    return image


def check_size(width: int, height: int, max_pixels: int = MAX_PIXELS) -> None:
    """`ImageError` for an image of so many pixels that is too large."""
    if max(width, height) > MAX_SIDE:
        raise ImageError(f"image has {width} x {height} pixels, a side of more than {MAX_SIDE}", "too_long")
    if width * height > max_pixels:
        raise ImageError(f"image has {width} x {height} pixels, more than {max_pixels} in all", "too_large")


def decoded(image: Image.Image) -> Image.Image:
    """The same image with its pixels read from its file, in its own mode; `ImageError` where they are not whole."""
    try:
        image.load()
    except Exception as error:
        raise _undecodable(error) from error
    return image


def upright_rgb(image: Image.Image) -> Image.Image:
    """The image as it is meant to be seen: turned as its EXIF says, what is transparent white, RGB of 8 bits.

    Of 16 bits a channel the upper 8 stay. Raises `ImageError` for pixels that cannot be read, and for 32 bits a
    channel, of which nobody knows which number is white.
    """
    decoded(image)
    try:
        turn = _TURNS.get(_orientation(image))
        image = image if turn is None else image.transpose(turn)
        if image.mode.startswith("I;16"):
            image = _upper_bits(image)
        if image.mode in ("I", "F"):
            raise ImageError(
                f"image has 32 bits a pixel (mode {image.mode}), whose white is not known; save it with 8 or 16 bits",
                "unknown_depth",
            )
        if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
            rgba = image.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
        return image.convert("RGB")
    except ImageError:
        raise
    except Exception as error:
        raise _undecodable(error) from error


def each_frame(data: bytes, max_pixels: int = MAX_PIXELS) -> Iterator[tuple[Image.Image, float]]:
    """The frames of an animation, each with its own duration in seconds (0 where the file says none).

    A frame is to be taken (by `upright_rgb`) before the next is asked for, which is drawn over it. Raises
    `ImageError` at the frame that cannot be read, and after `MAX_FRAMES`.
    """
    with open_header(data, max_pixels) as image:
        for index in range(MAX_FRAMES + 1):
            try:
                image.seek(index)
                image.load()  # frames are drawn over those before them
                duration_s = float(image.info.get("duration") or 0) / 1000
            except EOFError:
                return
            except Exception as error:
                raise _undecodable(error) from error
            if index == MAX_FRAMES:
                raise ImageError(f"the animation has more than {MAX_FRAMES} frames", "too_large")
            yield image, duration_s


def as_image(array: np.ndarray) -> Image.Image:
    """An RGB image of an array of uint8, H × W × 3 (or 4, with transparency) or H × W."""
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise ImageError(f"an array must be uint8 and H × W × 3 to be an image, got {array.dtype} {array.shape}")
    return upright_rgb(Image.fromarray(array))


def read_file(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a file. `ImageError` for more than `max_bytes`, and for what is no file: a pipe would be waited for,
    a device has no end. `OSError` for one that is not there.
    """
    if "\0" in str(path):
        raise ImageError("a path cannot have a zero character")
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ImageError("not a file")
        if facts.st_size > max_bytes:
            raise ImageError(f"the file has {facts.st_size} bytes, more than {max_bytes}", "too_large")
        with open(descriptor, "rb", closefd=False) as stream:
            return stream.read(facts.st_size)  # not max_bytes: for so many a buffer would be made
    finally:
        os.close(descriptor)


class FileRanges:
    """Reads ranges of files that stay open: any number of threads at once, and each process for itself."""

    def __init__(self) -> None:
        self._descriptors: dict[Path, int] = {}
        self._lock = threading.Lock()

    def read(self, path: Path, offset: int, num_bytes: int, max_bytes: int = MAX_BYTES) -> bytes:
        """`num_bytes` from `offset`; fewer where the file ends before. `ImageError` for more than `max_bytes`."""
        if num_bytes > max_bytes:
            raise ImageError(f"has {num_bytes} bytes, more than {max_bytes}", "too_large")
        with self._lock:
            if path not in self._descriptors:
                self._descriptors[path] = os.open(path, os.O_RDONLY)
            descriptor = self._descriptors[path]
        return os.pread(descriptor, num_bytes, offset)  # which moves no shared position

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def __del__(self) -> None:
        if hasattr(self, "_descriptors"):
            self.close()

    def __reduce__(self) -> tuple[type[FileRanges], tuple[()]]:
        return FileRanges, ()  # descriptors and locks belong to a process; a copy, too, opens its own


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # of a good image with junk for EXIF, which browsers show as it lies
        return 1
    return value if isinstance(value, int) else 1


def _upper_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    gray = (values >> 8).astype(np.uint8)
    if isinstance(clear := image.info.get("transparency"), int):
        gray[values == clear] = 255
    return Image.fromarray(gray)


def _undecodable(error: Exception) -> ImageError:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return ImageError(f"image is too large: {error}", "too_large")
    if isinstance(error.__cause__, struct.error | EOFError | IndexError):  # as Pillow wraps what a header lacks
        return ImageError("not a readable image: the file is truncated in its header", "truncated")
    said = str(error) if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {error}"
    reason = "truncated" if "truncated" in said.lower() else "undecodable"
    return ImageError(f"not a readable image: {said[:200]}", reason)


def _kind_of(data: bytes) -> str:
    """In words what bytes are that are no image that is read."""
    if found := next((name for start, name in _OTHERS if data.startswith(start)), None):
        return found
    if data[4:8] == b"ftyp":
        return f"a video, HEIF or AVIF (brand {data[8:12]!r})"
    if other := next((name for name, (accepts, _) in _OPENERS.items() if accepts(data[:16])), None):
        return other
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"<"):
        return next((name for start, name in _MARKUP if start in head), "markup")
    if not any(data):
        return "zeros"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # which may end within a letter
    except UnicodeDecodeError:
        return "of no known type"
    return "of no known type" if b"\0" in head else "text"
