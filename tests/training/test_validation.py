from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ram.labels import LabelSystem, Tag
from ram.model.ram import RAM
from ram.training.metrics import mean_average_precision
from ram.training.validation import DevBenchmark, DevEvaluation, dev_benchmarks

SYSTEM = LabelSystem([Tag(tag_id=0, name="dog", synonyms=("puppy",)), Tag(tag_id=1, name="cat")])
BENCHMARKS = {"coco": {"sources": ["coco"], "names": ["dog", "cat"], "unseen": ["cat"]}}


def test_labels_of_split_dev_become_a_matrix_and_unseen_names_are_marked(
    tables: SimpleNamespace, make_tiny_model: Callable[..., RAM]
) -> None:
    model = make_tiny_model()
    (found,) = dev_benchmarks(model, SYSTEM, tables.images, tables.labels, BENCHMARKS)
    assert found.image_ids == [f"coco/{i}" for i in range(6, 12)]
    assert found.positive_BK.tolist() == [[i % 2 == 0, False] for i in range(6, 12)]
    assert found.seen_K.tolist() == [True, False]
    np.testing.assert_array_equal(found.embedding_KE, model.tag_embedding_KE[:2].numpy())


def test_a_synonym_is_the_tag_and_a_held_out_name_is_unseen(
    tables: SimpleNamespace, make_tiny_model: Callable[..., RAM]
) -> None:
    model = make_tiny_model()
    facts = {"coco": {"sources": ["coco"], "names": ["puppy", "cat"]}}
    (found,) = dev_benchmarks(model, SYSTEM, tables.images, tables.labels, facts, held_out=["cat"])
    np.testing.assert_array_equal(found.embedding_KE[0], model.tag_embedding_KE[0].numpy())
    assert found.seen_K.tolist() == [True, False]


def test_a_benchmark_without_images_in_split_dev_is_not_there(
    tables: SimpleNamespace, make_tiny_model: Callable[..., RAM]
) -> None:
    facts = {"other": {"sources": ["elsewhere"], "names": ["dog"]}}
    assert dev_benchmarks(make_tiny_model(), SYSTEM, tables.images, tables.labels, facts) == []


class Known:
    """Features whose token is known, and a model that scores a name by it."""

    cached, shards = True, False

    def __init__(self, scores_BK: np.ndarray) -> None:
        self.scores_BK = scores_BK

    def read(self, image_ids: Sequence[str], seeds: np.ndarray | None) -> torch.Tensor:
        assert seeds is None
        return torch.from_numpy(self.scores_BK[[int(i) for i in image_ids]])


@pytest.mark.parametrize("num_images", [5, 150])
def test_metrics_are_the_mean_average_precision_of_all_of_seen_and_of_unseen_names(num_images: int) -> None:
    rng = np.random.default_rng(0)
    scores, positive = rng.normal(size=(num_images, 4)).astype(np.float32), rng.random((num_images, 4)) < 0.5
    seen = np.array([True, False, True, True])
    names, ids = [*"abcd"], [str(i) for i in range(num_images)]
    made = DevBenchmark(
        name="made", image_ids=ids, names=names, positive_BK=positive, seen_K=seen, embedding_KE=np.eye(4)
    )
    model = SimpleNamespace(device="cpu", tail=lambda x: x, tag_logits=lambda x, e: x)
    got = DevEvaluation([made], Known(scores))(model)  # type: ignore[arg-type]
    assert got == {
        "mAP/made": mean_average_precision(scores, positive),
        "mAP_seen/made": mean_average_precision(scores[:, seen], positive[:, seen]),
        "mAP_unseen/made": mean_average_precision(scores[:, ~seen], positive[:, ~seen]),
    }
