"""Bytes that pretend to be images, made by hand from the formats' own descriptions."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def noise(width: int = 64, height: int = 48) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, color: int = 2, pixels: bytes | None = None) -> bytes:
    """A PNG whose header says what it is told to; pixels only where they are given."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    data = b"" if pixels is None else png_chunk(b"IDAT", zlib.compress(pixels, 9))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + data + png_chunk(b"IEND", b"")


def gray_png(width: int, height: int, *chunks: bytes) -> bytes:
    """A whole PNG of zeros, whatever its size: its rows are compressed a thousand to one."""
    return png(width, height, *chunks, color=0, pixels=(b"\0" * (width + 1)) * height)


def jpeg_of_size(width: int, height: int) -> bytes:
    """A small JPEG whose frame header is overwritten."""
    data = bytearray(encoded(noise(16, 16), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_of_scans(num_scans: int, side: int = 2000) -> bytes:
    """A progressive JPEG whose last scan is sent again and again."""
    data = encoded(Image.new("L", (side, side)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * num_scans + data[-2:]


def gif_of_size(width: int, height: int) -> bytes:
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00;"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0" * 6 + frame


def bmp_of_size(width: int, height: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 60, 0, 0, 54) + head + b"\0" * 60


def webp_of_size(width: int, height: int) -> bytes:
    canvas = bytes([0x02, 0, 0, 0]) + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + canvas + b"ANIM" + struct.pack("<I", 6) + b"\0" * 6
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff(width: int, height: int, *tags: tuple[int, int, int, int], next_directory: int = 0) -> bytes:
    """A TIFF of one uncompressed strip of 64 bytes; `tags` are (tag, type, count, value), added or put in place."""
    directory = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1),
                 273: (4, 1, 8), 277: (3, 1, 1), 278: (4, 1, height), 279: (4, 1, 64)}  # fmt: skip
    directory |= {tag: rest for tag, *rest in tags}
    entries = b"".join(struct.pack("<HHII", tag, *rest) for tag, rest in sorted(directory.items()))
    body = b"\0" * 64 + struct.pack("<H", len(directory)) + entries + struct.pack("<I", next_directory)
    return b"II*\0" + struct.pack("<I", 8 + 64) + body


def zip_archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.jpg", b"x" * 100)
    return stream.getvalue()


def tiff_of_mode(mode: str) -> bytes:
    return encoded(Image.new(mode, (8, 8)), "TIFF")


WRONG_TYPES = {
    "text": b"this is an image of a dog",
    "JSON": b'{"image": "dog.jpg"}',
    "a web page": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "SVG with an XML head": b'<?xml version="1.0"?>\n<!DOCTYPE svg [<!ENTITY a "aa">]>\n<svg><text>&a;</text></svg>',
    "a ZIP": zip_archive(),
    "an empty ZIP": b"PK\x05\x06" + b"\0" * 18,
    "gzip": b"\x1f\x8b\x08" + b"\0" * 20,
    "a PDF": b"%PDF-1.7\n1 0 obj\n",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch hacked) (w) file\n",
    "a program": b"\x7fELF\x02\x01\x01" + b"\0" * 40,
    "HEIF": b"\0\0\0\x18ftypheic" + b"\0" * 40,
    "a video": b"\0\0\0\x18ftypisom" + b"\0" * 40,
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 20,
    "Photoshop": b"8BPS\0\x01" + b"\0" * 40,
    "PPM": b"P6 2 2 255\n" + b"0" * 12,
    "XBM": b"#define a_width 8\n#define a_height 8\nstatic char a_bits[] = {0,0,0,0,0,0,0,0};\n",
    "an icon": b"\0\0\x01\0\x01\0\x10\x10" + b"\0" * 40,
    "WMF": b"\xd7\xcd\xc6\x9a" + b"\0" * 40,
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "zeros": b"\0" * 1000,
    "bytes of chance": bytes(np.random.default_rng(7).integers(128, 256, 500, dtype=np.uint8)),
    "a WAVE file": b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 30,
}  # fmt: skip

_WHOLE = {kind: encoded(noise(), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")} | {
    "progressive JPEG": encoded(noise(), "JPEG", progressive=True),
    "lossless WEBP": encoded(noise(), "WEBP", lossless=True),
}
CUT_OFF = {
    f"{kind}, {share:.0%}": data[: int(len(data) * share)] for kind, data in _WHOLE.items() for share in (0.1, 0.5, 0.9)
}
HEADS_ALONE = {
    "JPEG": b"\xff\xd8\xff\xe0", "JPEG, two bytes more": b"\xff\xd8\xff\xe0\0\x10", "PNG": b"\x89PNG\r\n\x1a\n",
    "WEBP": b"RIFF\x04\0\0\0WEBP", "GIF": b"GIF89a", "BMP": b"BM", "TIFF": b"II*\0", "TIFF of large numbers": b"MM\0*",
}  # fmt: skip
TOO_LARGE = {
    "PNG": png(49_000, 49_000),
    "PNG of zeros, whole": gray_png(12_000, 12_000),
    "JPEG": jpeg_of_size(49_000, 49_000),
    "GIF": gif_of_size(49_000, 49_000),
    "BMP": bmp_of_size(49_000, 49_000),
    "WEBP": webp_of_size(16_383, 16_383),
    "TIFF": tiff(49_000, 49_000),
    "a JPEG of 3,000 scans": jpeg_of_scans(3000, side=64),
}
TOO_LONG = {
    "PNG, 1 x 60,000": gray_png(1, 60_000),
    "PNG, 60,000 x 1": gray_png(60_000, 1),
    "PNG, 1 x 100,000,000": png(1, 100_000_000),
    "PNG, the longest that can be": png(2**31 - 1, 1),
    "JPEG, 1 x 60,000": jpeg_of_size(1, 60_000),
    "JPEG, 65,500 x 65,500": jpeg_of_size(65_500, 65_500),
    "GIF, 60,000 x 1": gif_of_size(60_000, 1),
    "GIF, 65,535 x 65,535": gif_of_size(65_535, 65_535),
    "BMP, 1 x 60,000": bmp_of_size(1, 60_000),
    "BMP, the largest that can be": bmp_of_size(2**31 - 1, 2**31 - 1),
    "TIFF, 60,000 x 1": tiff(60_000, 1),
    "TIFF, the largest that can be": tiff(2**32 - 1, 2**32 - 1),
}
UNDECODABLE = {
    "PNG without pixels": png(8, 8),
    "PNG of no width": png(0, 8, pixels=b""),
    "PNG of 5 bits": png(8, 8, depth=5, pixels=b"\0" * 100),
    "PNG of color 9": png(8, 8, color=9, pixels=b"\0" * 300),
    "PNG with fewer rows than it says": png(8, 8, pixels=b"\0" * 30),
    "PNG with a wrong sum": gray_png(8, 8)[:20] + b"\xff" + gray_png(8, 8)[21:],
    "PNG with text of a gigabyte": png(
        8, 8, png_chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * (8 << 20), 9)), pixels=b"\0" * 200),
    "PNG with a length of 4 GB": b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIHDR" + b"\0" * 40,
    "JPEG of no height": jpeg_of_size(16, 0),
    "JPEG without tables": b"\xff\xd8\xff\xc0\0\x0b\x08\0\x08\0\x08\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0\xff\xd9",
    "JPEG with a segment of no length": b"\xff\xd8\xff\xe1\0\0" + b"\0" * 40,
    "GIF of no size": gif_of_size(0, 0),
    "GIF without a frame": b"GIF89a\x08\0\x08\0\0\0\0;",
    "BMP of no size": bmp_of_size(0, 0),
    "BMP of a header of 4 GB": b"BM" + struct.pack("<IHHI", 100, 0, 0, 54) + b"\xff" * 60,
    "WEBP without an image": webp_of_size(8, 8),
    "TIFF that leads to itself": b"II*\0" + struct.pack("<I", 8) + struct.pack("<HI", 0, 8),
    "TIFF that begins after its end": b"II*\0" + struct.pack("<I", 10**9),
    "TIFF with its strip after its end": tiff(8, 8, (273, 4, 1, 10**9)),
    "TIFF of an unknown compression": tiff(8, 8, (259, 3, 1, 12345)),
    "TIFF of 77 samples": tiff(8, 8, (277, 3, 1, 77)),
    "TIFF of text for its width": tiff(8, 8, (256, 2, 4, 0x41414141)),
}  # fmt: skip
UNKNOWN_DEPTH = {"TIFF of 32 bits": tiff_of_mode("I"), "TIFF of floating point": tiff_of_mode("F")}
