"""Bytes -> what is known about an image, or why it is refused. Nothing a file holds may stop an ingestion."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from PIL import ImageFile

from ram.io.images import ImageError, open_header, upright_rgb

FORMATS = ("JPEG", "PNG", "WEBP")  # that shards are made of
# MPO is a JPEG with previews behind it, as cameras write them.
SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageLimits:
    """Sizes in pixels; an image outside of them is refused."""

    min_side: int
    max_pixels: int  # width x height, looked at before anything is decoded
    max_aspect: float  # longer side over shorter side

    def __post_init__(self) -> None:
        if self.min_side < 1:
            raise ValueError(f"min_side must be at least 1 pixel, got {self.min_side}")
        if self.max_pixels < self.min_side**2:
            raise ValueError(f"max_pixels must be at least min_side squared, got {self.max_pixels}")
        if self.max_aspect < 1:
            raise ValueError(f"max_aspect must be at least 1, got {self.max_aspect}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageInfo:
    """An accepted image: size in pixels as it is seen, upright; hash of its bytes, and a 64-bit hash of what it shows."""

    width: int
    height: int
    suffix: str
    sha256: bytes
    perceptual_hash: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """Why an image is not accepted: `reason` is `animated`, `too_small`, or one of `ImageError`'s."""

    reason: str
    detail: str


def examine(content: bytes, limits: ImageLimits) -> ImageInfo | Refused:
    """Decode an image in full, and measure it."""
    try:
        with open_header(content, limits.max_pixels, FORMATS) as image:
            return _refusal(image, limits) or _facts(image, content)
    except ImageError as error:
        return Refused(reason=error.reason, detail=str(error))


def _refusal(image: ImageFile.ImageFile, limits: ImageLimits) -> Refused | None:
    """What the header alone speaks against."""
    short, long = sorted(image.size)
    size = f"{image.width} x {image.height} pixels"
    if image.format != "MPO" and getattr(image, "is_animated", False):
        return Refused(reason="animated", detail=f"{getattr(image, 'n_frames', 2)} frames")
    if short < limits.min_side:
        return Refused(reason="too_small", detail=f"{size}, min_side is {limits.min_side}")
    if long > limits.max_aspect * short:
        return Refused(reason="too_long", detail=f"{size}, max_aspect is {limits.max_aspect}")
    return None


def _facts(image: ImageFile.ImageFile, content: bytes) -> ImageInfo:
    import imagehash  # brings scipy along

    rgb = upright_rgb(image)  # decodes all of it: a truncated file fails here
    # DCT hash of 8 x 8 signs (imagehash.phash); near images differ in few bits.
    bits = imagehash.phash(rgb).hash.ravel()
    return ImageInfo(
        width=rgb.width,
        height=rgb.height,
        suffix=SUFFIXES[str(image.format)],
        sha256=hashlib.sha256(content).digest(),
        perceptual_hash=int("".join("1" if bit else "0" for bit in bits), 2),
    )
