"""Where a training step's inputs come from: cached features with their views, or images, augmented when read."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ram.datasets.augment import AugmentParams, augment
from ram.datasets.feature_store import FeatureStore
from ram.datasets.image_store import ImageStore
from ram.io.tables import Table
from ram.model.preprocess import Preprocess
from ram.model.ram import RAM
from ram.training.batches import Inputs
from ram.training.params import TrainingParams


class FeatureInputs:
    """Outputs of the model's trunk from the feature cache, float32."""

    cached = True
    shards = False

    def __init__(self, store: FeatureStore, num_views: int = 0) -> None:
        """`num_views` of the cached views are drawn from: 0 all, 1 the plain one."""
        if num_views > store.num_views:
            raise ValueError(f"num_views is {num_views}, of {store.num_views} cached; raise embed_images.num_views")
        self._store, self._num_views = store, num_views or store.num_views

    def read(self, image_ids: Sequence[str], seeds: np.ndarray | None) -> Tensor:
        views = np.zeros(len(image_ids), np.int64) if seeds is None else seeds % self._num_views
        features: np.ndarray | None = None
        for view in np.unique(views):
            places = np.flatnonzero(views == view)
            rows = self._store.read([image_ids[place] for place in places.tolist()], view=int(view))
            if features is None:
                features = np.empty((len(image_ids), *rows.shape[1:]), np.float32)
            features[places] = rows
        assert features is not None, "a batch has at least one image"
        return torch.from_numpy(features)


class ImageInputs:
    """Images from the shards, preprocessed for the model; augmented where seeds are given."""

    cached = False
    shards = True

    def __init__(self, images: ImageStore, preprocess: Preprocess, params: AugmentParams) -> None:
        self._images, self._preprocess, self._params = images, preprocess, params

    def read(self, image_ids: Sequence[str], seeds: np.ndarray | None) -> Tensor:
        size = self._preprocess.image_size
        # A crop may keep min_scale of the area: the image is decoded large enough for the smallest crop.
        min_size = size if seeds is None else math.ceil(size / math.sqrt(self._params.min_scale))
        images = (self._images.open(image_id, min_size) for image_id in image_ids)
        if seeds is None:
            return torch.stack([self._preprocess(image) for image in images])
        views = (
            augment(image, size, self._params, np.random.default_rng(int(seed)))
            for image, seed in zip(images, seeds, strict=True)
        )
        return torch.stack([self._preprocess.normalize(view) for view in views])


def make_inputs(
    model: RAM, images: Table, image_shards: Path, image_features: Path | None, params: TrainingParams
) -> Inputs:
    """The feature cache where it is wanted and was made by this model's trunk, else the images; says which."""
    if params.cached_features and image_features is not None:
        store = FeatureStore(image_features)
        if store.enabled and store.fits(model.trunk_fingerprint()):
            return FeatureInputs(store, params.num_views)
        print("no cached features of this model's frozen part: training reads images", file=sys.stderr, flush=True)
    return ImageInputs(ImageStore(images, image_shards), model.preprocess, params.augment)
