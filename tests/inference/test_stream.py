from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ram.inference.tagger import NamedImage, Tagger
from ram.io.images import ImageError
from ram.model.checkpoint import Checkpoint


def images(number: int) -> list[np.ndarray]:
    return list(np.random.default_rng(5).integers(0, 256, (number, 32, 32, 3), dtype=np.uint8))


def test_a_stream_gives_what_calls_give_in_order(checkpoint: Checkpoint) -> None:
    tagger = Tagger(checkpoint)
    some = images(7)
    found = list(tagger.stream((p for p in some), batch_size=3, threshold=0.0))
    assert [result.index for result in found] == list(range(7))
    for result, image in zip(found, some, strict=True):
        assert result.image is image
        assert result.error is None
        assert result.tags is not None
        (alone,) = tagger(image, threshold=0.0)
        assert [t.name for t in result.tags] == [t.name for t in alone]
        np.testing.assert_allclose([t.score for t in result.tags], [t.score for t in alone], atol=1e-5)


def test_broken_images_have_an_error_in_their_place_and_the_others_their_tags(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"text")
    good = images(3)
    mixed = [good[0], tmp_path / "bad.jpg", tmp_path / "missing.jpg", good[1], NamedImage("in a tar", b"x"), good[2]]
    found = list(Tagger(checkpoint).stream(iter(mixed), batch_size=2, threshold=0.0))
    assert [result.tags is None for result in found] == [False, True, True, False, True, False]
    assert [result.name for result in found[1:3]] == [str(p) for p in mixed[1:3]]
    for result, text in zip([found[1], found[2], found[4]], ["bad.jpg", "missing.jpg", "in a tar"], strict=True):
        assert isinstance(result.error, OSError)
        assert text in str(result.error)
    expected = Tagger(checkpoint)(good, threshold=0.0)
    for result, tags in zip([found[0], found[3], found[5]], expected, strict=True):
        assert [t.score for t in result.tags or []] == pytest.approx([t.score for t in tags], abs=1e-5)


def test_a_batch_of_broken_images_alone_is_no_end(checkpoint: Checkpoint) -> None:
    mixed = [b"x", b"y", images(1)[0]]
    assert [r.error is None for r in Tagger(checkpoint).stream(mixed, batch_size=2)] == [False, False, True]


def test_no_more_than_two_batches_are_read_ahead(checkpoint: Checkpoint) -> None:
    read = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal read
        while True:
            read += 1
            yield images(1)[0]

    stream = Tagger(checkpoint).stream(endless(), batch_size=4)
    for given in range(1, 14):
        next(stream)
        assert read <= given + 8
    stream.close()  # type: ignore[attr-defined]


def test_an_error_of_the_generator_itself_is_raised(checkpoint: Checkpoint) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield images(1)[0]
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        list(Tagger(checkpoint).stream(broken(), batch_size=1))


def test_a_call_takes_generators_and_tensors_and_raises_the_first_error(checkpoint: Checkpoint) -> None:
    tagger, some = Tagger(checkpoint), images(3)
    tensors = torch.from_numpy(np.stack(some)).permute(0, 3, 1, 2)
    by_array = tagger((p for p in some), threshold=0.0, batch_size=2)
    assert tagger(tensors, threshold=0.0, batch_size=2) == by_array
    assert tagger(iter([]), threshold=0.0) == []
    with pytest.raises(ImageError, match="values from 0 to 1"):
        tagger(np.full((4, 4, 3), 7.0))


def test_wrong_arguments_are_refused_before_an_image_is_read(checkpoint: Checkpoint) -> None:
    def untouched() -> Iterator[bytes]:
        raise AssertionError("read")
        yield b""

    tagger = Tagger(checkpoint)
    for options in ({"batch_size": 0}, {"threshold": 2}, {"tags": ["dog", "dog"]}, {"hierarchy": "some"}):
        with pytest.raises(ValueError):
            tagger.stream(untouched(), **options)  # type: ignore[arg-type]


def test_the_bound_of_pixels_is_the_taggers(checkpoint: Checkpoint) -> None:
    with pytest.raises(ImageError, match="more than 1023"):
        Tagger(checkpoint, max_pixels=1023)(images(1))
    assert len(Tagger(checkpoint, max_pixels=1024)(images(1))) == 1
