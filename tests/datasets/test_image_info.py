from __future__ import annotations

import hashlib
import io
import itertools
import random

import numpy as np
import pytest
from PIL import Image

from ram.datasets import Sample, make_source
from ram.datasets.image_info import ImageInfo, ImageLimits, Refused, examine

LIMITS = ImageLimits(min_side=16, max_pixels=100_000, max_aspect=4.0)


def encoded(mode: str = "RGB", size: tuple[int, int] = (64, 48), kind: str = "JPEG", **options: object) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("mode", "kind", "suffix"),
    [("RGB", "JPEG", ".jpg"), ("L", "JPEG", ".jpg"), ("CMYK", "JPEG", ".jpg"), ("P", "PNG", ".png"),
     ("LA", "PNG", ".png"), ("RGBA", "PNG", ".png"), ("1", "PNG", ".png"), ("RGB", "WEBP", ".webp")],
)  # fmt: skip
def test_any_color_mode_is_accepted_and_measured(mode: str, kind: str, suffix: str) -> None:
    content = encoded(mode, kind=kind)
    facts = examine(content, LIMITS)
    assert isinstance(facts, ImageInfo)
    assert (facts.width, facts.height, facts.suffix) == (64, 48, suffix)
    assert facts.sha256 == hashlib.sha256(content).digest()
    assert 0 <= facts.perceptual_hash < 2**64


@pytest.mark.parametrize(
    ("size", "reason"), [((15, 20), "too_small"), ((400, 300), "too_large"), ((200, 40), "too_long")]
)
def test_sizes_out_of_bounds_are_refused_with_the_bound(size: tuple[int, int], reason: str) -> None:
    refused = examine(encoded(size=size), LIMITS)
    assert isinstance(refused, Refused)
    assert refused.reason == reason
    assert f"{size[0]} x {size[1]} pixels" in refused.detail


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    stream = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(stream, "PNG")
    refused = examine(stream.getvalue(), LIMITS)
    assert isinstance(refused, Refused)
    assert refused.reason in ("too_large", "undecodable")


def test_an_animation_is_refused() -> None:
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "blue")]
    stream = io.BytesIO()
    frames[0].save(stream, "WEBP", save_all=True, append_images=frames[1:])
    assert examine(stream.getvalue(), LIMITS) == Refused(reason="animated", detail="2 frames")


def test_every_truncation_is_refused() -> None:
    content = encoded()
    for cut in range(0, len(content) - 200, 97):
        refused = examine(content[:cut], LIMITS)
        assert isinstance(refused, Refused), cut
        assert refused.reason in ("empty", "truncated", "undecodable")


def test_broken_bytes_never_raise() -> None:
    rng = random.Random(0)
    for kind in ("JPEG", "PNG", "WEBP"):
        content = bytearray(encoded(kind=kind))
        for _ in range(150):
            broken = content.copy()
            for _ in range(rng.randint(1, 30)):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            assert isinstance(examine(bytes(broken), LIMITS), ImageInfo | Refused)


def test_formats_that_images_are_not_kept_in_are_refused() -> None:
    for kind in ("GIF", "BMP", "TIFF"):
        assert isinstance(examine(encoded(kind=kind), LIMITS), Refused)


def test_recompressed_and_resized_images_have_nearly_the_same_hash_and_others_do_not() -> None:
    def hash_of(image: Image.Image, quality: int) -> int:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality)
        facts = examine(stream.getvalue(), LIMITS)
        assert isinstance(facts, ImageInfo)
        return facts.perceptual_hash

    source = make_source({"name": "world", "kind": "sample_world"})
    items = [item for item in source.read(("train", 0, 8)) if isinstance(item, Sample)]
    images = [Image.open(io.BytesIO(item.image)) for item in items]
    hashes = [hash_of(image, 95) for image in images]
    for image, original in zip(images, hashes, strict=True):
        smaller = image.resize((image.width * 3 // 4, image.height * 3 // 4), Image.Resampling.LANCZOS)
        assert (hash_of(smaller, 80) ^ original).bit_count() <= 4
    assert all((one ^ two).bit_count() > 4 for one, two in itertools.combinations(hashes, 2))


@pytest.mark.parametrize("parameters", [{"min_side": 0}, {"max_pixels": 10}, {"max_aspect": 0.5}])
def test_limits_that_make_no_sense_are_refused(parameters: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        ImageLimits(**({"min_side": 16, "max_pixels": 1000, "max_aspect": 2.0} | parameters))  # type: ignore[arg-type]
