"""A checkpoint over many images: scores, or image tokens, batch by batch."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ram.datasets.feature_store import FeatureStore
from ram.datasets.image_store import OpensImages
from ram.inference.runtimes.model import FastModel
from ram.model.checkpoint import Checkpoint, load_checkpoint
from ram.model.precision import Precision
from ram.pipeline.executors.local import available_cores

# B images, N image tokens, K tags, D token width, E text embedding width

Batch = tuple[list[str], Tensor]


class Scorer:
    """Scores images by id: from stored features where they are this model's trunk's, else from the images.

    Batches of ids come in the order given. `images` may be None where `features` hold every image asked for. The
    model is copied, made ready for inference (`FastModel`): training it afterwards changes no score.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        images: OpensImages | None,
        features: FeatureStore | None = None,
        precision: Precision = "fp32",
    ) -> None:
        self.checkpoint = checkpoint
        self.model = checkpoint.model.eval()
        self.fast = FastModel(self.model, precision)
        self._fingerprint: str | None = None
        self.images = images
        self.features = features if self._fits(features) else None

    def over(self, images: OpensImages | None, features: FeatureStore | None) -> Scorer:
        """The same model over other images."""
        other = copy.copy(self)
        other.images = images
        other.features = features if self._fits(features) else None
        return other

    def _fits(self, features: FeatureStore | None) -> bool:
        if features is None or not features.enabled:
            return False
        if self._fingerprint is None:
            self._fingerprint = self.model.trunk_fingerprint()
        return features.fits(self._fingerprint)

    def scores(
        self, image_ids: Sequence[str], embedding_KE: Tensor | np.ndarray | None = None, batch_size: int = 32
    ) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yield ids and scores_BK, float32 in 0 … 1, of the model's own tags or of those with these text embeddings."""
        tags = None if embedding_KE is None else self.fast.prepare(torch.as_tensor(embedding_KE))
        for ids, tokens_BND, _ in self.tokens(image_ids, batch_size):
            yield ids, self.fast.scores(tokens_BND, tags)

    def tokens(
        self, image_ids: Sequence[str], batch_size: int = 32
    ) -> Iterator[tuple[list[str], Tensor, tuple[int, int]]]:
        """Yield ids, tokens_BND on the model's device, and height and width of the map of the spatial tokens."""
        for ids, features in self.trunk_features(image_ids, batch_size):
            with torch.inference_mode():
                yield ids, self.fast.encoder.tail(features), self.fast.encoder.grid(features)

    def trunk_features(self, image_ids: Sequence[str], batch_size: int = 32) -> Iterator[Batch]:
        """Yield ids and the trunk's output on the model's device, stored or computed."""
        batches = [list(image_ids[i : i + batch_size]) for i in range(0, len(image_ids), batch_size)]
        if self.features is not None and self.features.covers(image_ids):
            for ids in batches:
                stored = torch.from_numpy(self.features.read(ids))
                yield ids, stored.to(self.model.device, torch.float32)
            return
        for ids, images_BCHW in self._decoded(batches):
            with torch.inference_mode():
                yield ids, self.fast.encoder.trunk(images_BCHW.to(self.model.device))

    def _decoded(self, batches: Sequence[list[str]]) -> Iterator[Batch]:
        """Images as tensors; threads decode the next batches while the model is busy with one."""
        if self.images is None:
            raise ValueError("these images have no stored features of this model, and no image store was given")
        with ThreadPoolExecutor(available_cores()) as pool:
            waiting: deque[tuple[list[str], list[Future[Tensor]]]] = deque()
            try:
                for ids in batches:
                    waiting.append((ids, [pool.submit(self._decode, image_id) for image_id in ids]))
                    if len(waiting) > 2:
                        yield _stacked(*waiting.popleft())
                while waiting:
                    yield _stacked(*waiting.popleft())
            finally:
                for _, futures in waiting:
                    for future in futures:
                        future.cancel()

    def _decode(self, image_id: str) -> Tensor:
        assert self.images is not None
        preprocess = self.model.preprocess
        return preprocess(self.images.open(image_id, min_size=preprocess.image_size))


@lru_cache(maxsize=1)
def kept_scorer(model_dir: Path, version: str) -> Scorer:
    """The model of a checkpoint folder of this version, over no images yet (`Scorer.over`): on the GPU where there is one.

    Loaded once a process, since a process takes many parts.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    checkpoint = load_checkpoint(model_dir, device=device)
    if checkpoint.version != version:
        raise ValueError(f"{model_dir} is model {checkpoint.version}, not {version} any more; run the stage again")
    return Scorer(checkpoint, None)


def _stacked(ids: list[str], futures: list[Future[Tensor]]) -> Batch:
    return ids, torch.stack([future.result() for future in futures])
