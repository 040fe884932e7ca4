from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ram.datasets.feature_store import FeatureStore
from ram.datasets.image_store import ImageStore
from ram.inference.embedding import embed_images
from ram.inference.scorer import Scorer
from ram.io.tables import Table
from ram.model.checkpoint import Checkpoint


def _stored(directory: Path, images: ImageStore, checkpoint: Checkpoint, fingerprint: str) -> FeatureStore:
    preprocess = checkpoint.model.preprocess
    embed_images(
        directory, images, checkpoint.model.image_encoder, lambda i, view: preprocess(images.open(i)), image_size=32,
        num_views=1, augmented_splits=(), batch_size=2, device=torch.device("cpu"), precision="fp32",
        facts={"fingerprint": fingerprint},
    )  # fmt: skip
    return FeatureStore(directory)


@pytest.fixture
def images(write_images: Callable[[], tuple[Table, Path]]) -> ImageStore:
    return ImageStore(*write_images())


def _by_hand(checkpoint: Checkpoint, images: ImageStore, image_ids: list[str]) -> np.ndarray:
    model, rows = checkpoint.model, []
    for image_id in image_ids:
        with torch.inference_mode():
            image = model.preprocess(images.open(image_id))[None]
            rows.append(model.tag_logits(model.encode(image)).sigmoid()[0].numpy())
    return np.stack(rows)


def test_scores_are_the_models_in_the_order_asked_for(checkpoint: Checkpoint, images: ImageStore) -> None:
    ids = ["s/6", "s/0", "s/3", "s/5", "s/1"]
    found = list(Scorer(checkpoint, images).scores(ids, batch_size=2))
    assert [i for batch, _ in found for i in batch] == ids
    np.testing.assert_allclose(np.concatenate([s for _, s in found]), _by_hand(checkpoint, images, ids), atol=1e-4)


def test_stored_features_of_this_trunk_are_used_and_give_the_same_scores(
    checkpoint: Checkpoint, images: ImageStore, tmp_path: Path
) -> None:
    stored = _stored(tmp_path / "mine", images, checkpoint, checkpoint.model.trunk_fingerprint())
    scorer = Scorer(checkpoint, images=None, features=stored)
    scores = np.concatenate([s for _, s in scorer.scores(images.image_ids, batch_size=3)])
    np.testing.assert_allclose(scores, _by_hand(checkpoint, images, images.image_ids), atol=2e-3)  # half precision


def test_features_of_another_trunk_are_not_used(checkpoint: Checkpoint, images: ImageStore, tmp_path: Path) -> None:
    others = _stored(tmp_path / "others", images, checkpoint, "another")
    assert Scorer(checkpoint, images, others).features is None
    with pytest.raises(ValueError, match="no image store"):
        list(Scorer(checkpoint, None, others).scores(["s/0"]))


def test_tokens_come_with_their_grid_and_score_given_embeddings(checkpoint: Checkpoint, images: ImageStore) -> None:
    scorer = Scorer(checkpoint, images)
    (ids, tokens_BND, grid), *rest = scorer.tokens(["s/0", "s/1"], batch_size=4)
    assert not rest
    assert ids == ["s/0", "s/1"]
    assert tokens_BND.shape == (2, 1 + grid[0] * grid[1], 16)
    own_KE = checkpoint.model.tag_embedding_KE
    ((_, some),) = scorer.scores(ids, embedding_KE=own_KE[[3, 1]].numpy())
    ((_, every),) = scorer.scores(ids)
    np.testing.assert_allclose(some, every[:, [3, 1]], atol=1e-5)


def test_a_broken_image_is_named(checkpoint: Checkpoint, images: ImageStore) -> None:
    path = images.shards_dir / "b.tar"
    data = path.read_bytes()
    path.write_bytes(data[:512] + b"x" * (len(data) - 512))
    with pytest.raises(ValueError, match="s/0"):
        list(Scorer(checkpoint, images).scores(["s/0"]))
