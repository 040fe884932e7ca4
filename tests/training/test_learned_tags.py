from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ram.labels import LabelSystem, Tag
from ram.model.ram import RAM
from ram.training.batches import Batches, BatchParams
from ram.training.distributed import Processes
from ram.training.loop import train
from ram.training.losses import LossParams
from ram.training.params import OptimizerParams, TrainingParams
from ram.training.step import TrainingStep
from ram.training.validation import DevEvaluation, dev_benchmarks

SYSTEM = LabelSystem([Tag(tag_id=i, name=name) for i, name in enumerate(["dog", "cat", "grass", "sofa", "red", "run"])])


def test_learned_tags_tell_the_images_of_a_small_corpus_apart(
    make_tiny_model: Callable[..., RAM],
    make_batches: Callable[..., Batches],
    make_training: Callable[..., TrainingParams],
    tmp_path: Path,
) -> None:
    model = make_tiny_model(tag_queries="learned", dropout=0.0, caption=None)
    before = model.tag_embedding_KE.detach().clone()
    batches = make_batches(BatchParams(batch_size=20), caption_share=0.0)
    train(model, batches, make_training(epochs=200, optimizer=OptimizerParams(learning_rate=5e-3)), tmp_path)
    batch = batches[0]
    with torch.no_grad():
        scores_BT = model.tag_logits(model.tail(batch.inputs), model.tag_embedding_KE[batch.tag_ids]).sigmoid()
    assert ((scores_BT > 0.5) == (batch.targets_BT > 0.5)).float().mean() > 0.98
    # All three parts of a row have learned.
    changed = (model.tag_embedding_KE.detach() - before).abs()
    assert min(changed[:, :16].mean(), changed[:, 16:-1].mean(), changed[:, -1].mean()) > 1e-3


def test_a_run_with_learned_tags_that_is_started_again_ends_with_the_same_ones(
    make_tiny_model: Callable[..., RAM],
    make_batches: Callable[..., Batches],
    make_training: Callable[..., TrainingParams],
    tmp_path: Path,
) -> None:
    params = make_training(loss=LossParams(caption_weight=1.0))
    models = [make_tiny_model(tag_queries="learned") for _ in range(2)]
    for model in models:
        train(model, make_batches(), params, tmp_path)
    assert torch.equal(*(model.tag_embedding_KE for model in models))


def test_noise_and_dropout_of_embeddings_leave_learned_tags_alone(
    make_tiny_model: Callable[..., RAM],
    make_batches: Callable[..., Batches],
    make_training: Callable[..., TrainingParams],
) -> None:
    losses = {}
    for queries in ("learned", "text"):
        model = make_tiny_model(tag_queries=queries, caption=None).eval()
        parameters = ({}, {"embedding_noise": 0.5, "embedding_dropout": 0.5})
        steps = [TrainingStep(model, make_training(**k), Processes(), cached=True) for k in parameters]
        losses[queries] = [float(step(make_batches()[0])[0].detach()) for step in steps]
    assert losses["learned"][0] == losses["learned"][1]
    assert losses["text"][0] != losses["text"][1]


def test_the_evaluation_in_the_loop_scores_learned_tags_as_they_are_now_and_leaves_other_names_out(
    tables: SimpleNamespace, make_tiny_model: Callable[..., RAM], made_features: object, capsys: pytest.CaptureFixture
) -> None:
    facts = {"coco": {"sources": ["coco"], "names": ["dog", "kite", "cat", "run"], "unseen": ["cat"]}}
    model = make_tiny_model(tag_queries="learned", caption=None).eval()
    (found,) = dev_benchmarks(model, SYSTEM, tables.images, tables.labels, facts)
    assert found.names == ["dog", "run"]
    assert "coco: 2 names" in capsys.readouterr().err
    evaluation = DevEvaluation([found], made_features)  # type: ignore[arg-type]
    before = evaluation.logits(model, found)
    with torch.no_grad():
        model.tag_embedding_KE[:, -1] += torch.arange(6)
    np.testing.assert_allclose(evaluation.logits(model, found), before + np.array([0, 5]), rtol=1e-5, atol=1e-5)


def test_a_benchmark_without_a_learned_tag_is_not_evaluated_in_the_loop(
    tables: SimpleNamespace, make_tiny_model: Callable[..., RAM]
) -> None:
    facts = {"coco": {"sources": ["coco"], "names": ["kite"]}}
    model = make_tiny_model(tag_queries="learned", caption=None)
    assert dev_benchmarks(model, SYSTEM, tables.images, tables.labels, facts) == []
