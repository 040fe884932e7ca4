from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ram.datasets.augment import AugmentParams
from ram.datasets.feature_store import FeatureStore, part_file, write_manifest, write_view
from ram.io.tables import write_json
from ram.model.preprocess import Preprocess
from ram.training.inputs import FeatureInputs, ImageInputs

PREPROCESS = Preprocess(image_size=16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.25))


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Two images, three views; a feature is 10 times the view plus the row."""
    for view in range(3):
        rows = np.stack([np.full((2, 1, 1), 10.0 * view + row) for row in range(2)])
        write_view([rows], 2, tmp_path, 0, view)
    write_json({"image_ids": ["a", "b"], "augmented_ids": ["a", "b"]}, part_file(tmp_path, 0))
    facts = {"enabled": True, "num_views": 3, "num_parts": 1, "shape": [2, 1, 1], "fingerprint": "f"}
    write_manifest(tmp_path, facts)
    return FeatureStore(tmp_path)


class Images:
    """Images by name, and how large they were asked for."""

    def __init__(self) -> None:
        self.asked: list[int | None] = []

    def open(self, image_id: str, min_size: int | None = None) -> Image.Image:
        self.asked.append(min_size)
        rng = np.random.default_rng(len(image_id))
        return Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8))


def test_each_seed_draws_a_view_and_no_seed_the_plain_one(store: FeatureStore) -> None:
    inputs = FeatureInputs(store)
    assert inputs.read(["b", "a", "b"], None)[:, 0, 0, 0].tolist() == [1, 0, 1]
    got = inputs.read(["b", "a", "b", "a"], np.array([0, 1, 2, 5]))
    assert got.dtype == torch.float32
    assert got[:, 1, 0, 0].tolist() == [1, 10, 21, 20]


def test_fewer_views_may_be_used_but_not_more_than_there_are(store: FeatureStore) -> None:
    assert FeatureInputs(store, 1).read(["a", "b"], np.array([4, 5]))[:, 0, 0, 0].tolist() == [0, 1]
    with pytest.raises(ValueError, match="3 cached"):
        FeatureInputs(store, 4)


def test_an_image_without_seed_is_what_the_tagger_sees() -> None:
    images = Images()
    got = ImageInputs(images, PREPROCESS, AugmentParams()).read(["a", "bb"], None)  # type: ignore[arg-type]
    torch.testing.assert_close(got, torch.stack([PREPROCESS(images.open(i)) for i in ("a", "bb")]))


def test_a_seed_decides_the_view_of_its_image_alone() -> None:
    inputs = ImageInputs(Images(), PREPROCESS, AugmentParams())  # type: ignore[arg-type]
    first = inputs.read(["a", "bb"], np.array([7, 8]))
    second = inputs.read(["bb", "a"], np.array([8, 9]))
    assert first.shape == (2, 3, 16, 16)
    torch.testing.assert_close(first[1], second[0])
    assert (first[0] != second[1]).any()


def test_images_to_crop_are_decoded_large_enough_for_the_smallest_crop() -> None:
    images = Images()
    params = dataclasses.replace(AugmentParams(), min_scale=0.25)
    ImageInputs(images, PREPROCESS, params).read(["a"], np.array([1]))  # type: ignore[arg-type]
    assert images.asked == [32]
