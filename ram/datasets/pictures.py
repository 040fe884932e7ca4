"""Bytes -> what is known about a picture, or why it is refused. Nothing a file holds may stop an ingestion."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass

from PIL import Image

# MPO is a JPEG with previews behind it, as cameras write them.
SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp"}


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureLimits:
    """Sizes in pixels; a picture outside of them is refused."""

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
class PictureFacts:
    """An accepted picture: size in pixels, hash of its bytes, and a 64-bit hash of what it shows."""

    width: int
    height: int
    suffix: str
    sha256: bytes
    perceptual_hash: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """Why a picture is not accepted: `reason` is `undecodable`, `animated`, `too_small`, `too_large` or `too_long`."""

    reason: str
    detail: str


def examine(content: bytes, limits: PictureLimits) -> PictureFacts | Refused:
    """Decode a picture in full, and measure it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # max_pixels is the bound; Pillow warns at one of its own
            with Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP")) as image:
                return _refusal(image, limits) or _facts(image, content)
    # Decoders of broken files raise anything from OSError to SyntaxError and struct.error: each is a quarantine row.
    except Exception as error:
        return Refused(reason="undecodable", detail=f"{type(error).__name__}: {error}"[:200])


def _refusal(image: Image.Image, limits: PictureLimits) -> Refused | None:
    """What the header alone speaks against."""
    short, long = sorted(image.size)
    size = f"{image.width} x {image.height} pixels"
    if image.format != "MPO" and getattr(image, "is_animated", False):
        return Refused(reason="animated", detail=f"{getattr(image, 'n_frames', 2)} frames")
    if short < limits.min_side:
        return Refused(reason="too_small", detail=f"{size}, min_side is {limits.min_side}")
    if short * long > limits.max_pixels:
        return Refused(reason="too_large", detail=f"{size}, max_pixels is {limits.max_pixels}")
    if long > limits.max_aspect * short:
        return Refused(reason="too_long", detail=f"{size}, max_aspect is {limits.max_aspect}")
    return None


def _facts(image: Image.Image, content: bytes) -> PictureFacts:
    import imagehash  # brings scipy along

    rgb = image.convert("RGB")  # decodes all of it: a truncated file fails here
    # DCT hash of 8 x 8 signs (imagehash.phash); near pictures differ in few bits.
    bits = imagehash.phash(rgb).hash.ravel()
    return PictureFacts(
        width=image.width,
        height=image.height,
        suffix=SUFFIXES[str(image.format)],
        sha256=hashlib.sha256(content).digest(),
        perceptual_hash=int("".join("1" if bit else "0" for bit in bits), 2),
    )
