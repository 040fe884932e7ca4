"""The paper's recipe at its full size, from random weights: one step on two images. Wants 6 GB of memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from ram.model.build import build_model
from ram.model.params import DistillationParams, ModelParams
from ram.pipeline.params import load_yaml, stage_params
from ram.stages import finetune, pretrain, retrain
from ram.training.batches import Batch
from ram.training.distributed import Processes
from ram.training.optimizer import make_optimizer, set_learning_rate
from ram.training.schedule import learning_rate_factor
from ram.training.step import TrainingStep

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
CAPTIONS = ["a dog runs on the green grass", "two cats sit on a red sofa"]
NUM_TAGS = 6


def without_downloads(params: ModelParams, clip_path: Path) -> ModelParams:
    """The same architecture from random weights, its word pieces from the captions, and a small teacher."""
    assert params.caption is not None
    return dataclasses.replace(
        params,
        pretrained=None,
        caption=dataclasses.replace(params.caption, vocabulary="corpus", vocabulary_size=60),
        distillation=DistillationParams(image_encoder=str(clip_path)),
    )


def save_teacher(path: Path, width: int) -> None:
    config = CLIPVisionConfig(
        image_size=32, patch_size=16, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        projection_dim=width,
    )  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(path)


def two_images(image_size: int) -> Batch:
    targets_BT = torch.zeros(2, NUM_TAGS)
    targets_BT[0, :2] = targets_BT[1, 2] = 1.0
    return Batch(
        inputs=torch.randn(2, 3, image_size, image_size, generator=torch.Generator().manual_seed(0)),
        tag_ids=torch.arange(NUM_TAGS),
        targets_BT=targets_BT,
        known_BT=torch.ones(2, NUM_TAGS, dtype=torch.bool),
        captioned=torch.arange(2),
        captions=CAPTIONS,
        tag_texts=[["dog", "grass"], ["cat"]],
        caption_of=torch.arange(2),
        caption_embedding_CE=None,
        num_images=2,
        num_known=2 * NUM_TAGS,
        num_captions=2,
        seed=0,
    )


@pytest.mark.slow
def test_the_paper_recipe_takes_a_step_at_full_size_that_moves_every_part(tmp_path: Path) -> None:
    params = stage_params(load_yaml(RECIPES / "paper_4m.yaml"), "pretrain", pretrain.Params)
    training = dataclasses.replace(params.training, precision="fp32")
    assert params.model.token_width is not None
    save_teacher(tmp_path / "clip", params.model.token_width)
    embedding_KE = F.normalize(torch.randn(NUM_TAGS, 512, generator=torch.Generator().manual_seed(1)), dim=1)
    model = build_model(without_downloads(params.model, tmp_path / "clip"), embedding_KE, CAPTIONS * 5)
    step = TrainingStep(model, training, Processes(), cached=False).train()
    optimizer = make_optimizer(model, training.optimizer)
    factor = learning_rate_factor(training.schedule, 0, 1000, training.epochs)
    set_learning_rate(optimizer, training.optimizer.learning_rate * factor)
    parts = ("image_encoder.backbone", "image_encoder.image_proj", "tag_decoder", "caption_branch")
    matrices = [(name, p) for name, p in model.named_parameters() if p.ndim > 1]
    trained = {part: next(p for name, p in matrices if name.startswith(part)) for part in parts}
    before = {part: parameter.detach().clone() for part, parameter in trained.items()}

    loss, values = step(two_images(params.model.image_size))
    loss.backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    optimizer.step()

    assert set(values) == {"tag", "caption", "distillation"}
    # Balanced as RAM does, the tag loss counts as much as the caption loss.
    torch.testing.assert_close(loss.detach(), 2 * values["caption"] + values["distillation"])
    assert all(not torch.equal(parameter.detach(), before[part]) for part, parameter in trained.items())
    assert all(parameter.isfinite().all() for parameter in trained.values())


@pytest.mark.parametrize("name", ["paper_4m", "paper_14m"])
def test_paper_recipes_have_the_published_settings(name: str) -> None:
    sections = load_yaml(RECIPES / f"{name}.yaml")
    for stage, module in (("pretrain", pretrain), ("retrain", retrain)):
        training = stage_params(sections, stage, module.Params).training  # type: ignore[attr-defined]
        assert (training.loss.gamma_neg, training.loss.gamma_pos, training.loss.clip) == (7.0, 0.0, 0.05)
        assert training.loss.balance
        assert training.loss.reduction == "sum"
        assert (training.optimizer.learning_rate, training.optimizer.weight_decay) == (1e-4, 0.05)
        assert training.optimizer.decay_vectors
        assert not training.optimizer.clip_norm
        assert (training.schedule.kind, training.schedule.warmup_steps, training.schedule.decay) == ("ram", 3000, 0.9)
        augment = training.augment
        assert (augment.min_scale, augment.num_operations, augment.magnitude) == (0.2, 2, 5.0)
    tuning = stage_params(sections, "finetune", finetune.Params)
    assert (tuning.image_size, tuning.training.optimizer.learning_rate) == (384, 5e-6)
