from __future__ import annotations

import pytest
import torch
from torch import nn

from ram.training.optimizer import WeightAverage, make_optimizer, set_learning_rate
from ram.training.params import OptimizerParams


def network() -> nn.Module:
    image_encoder = nn.Module()
    image_encoder.backbone = nn.Linear(3, 3)
    model = nn.Module()
    model.image_encoder = image_encoder
    model.head = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    return model


def test_the_backbone_has_its_own_learning_rate_and_vectors_may_go_without_decay() -> None:
    model = network()
    optimizer = make_optimizer(model, OptimizerParams(learning_rate=1.0, backbone_factor=0.1, decay_vectors=False))
    set_learning_rate(optimizer, 0.5)
    found = {id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        rate = 0.05 if "backbone" in name else 0.5
        assert found[id(parameter)] == (pytest.approx(rate), 0.05 if parameter.ndim > 1 else 0.0)


def test_published_recipe_decays_every_parameter() -> None:
    optimizer = make_optimizer(network(), OptimizerParams(learning_rate=1.0))
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.05}


def test_frozen_parameters_are_not_optimised_and_something_must_train() -> None:
    model = network()
    model.image_encoder.requires_grad_(False)
    optimizer = make_optimizer(model, OptimizerParams(learning_rate=1.0))
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 4
    with pytest.raises(ValueError, match="freeze fewer"):
        make_optimizer(model.requires_grad_(False), OptimizerParams(learning_rate=1.0))


def test_the_average_follows_the_formula_and_leaves_the_weights_alone() -> None:
    model = nn.Linear(1, 1, bias=False)
    average, expected = WeightAverage(model, 0.9), float(model.weight.detach())
    for step in range(30):
        with torch.no_grad():
            model.weight.fill_(float(step))
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    with average.applied():
        assert float(model.weight.detach()) == pytest.approx(expected, rel=1e-5)
    assert float(model.weight.detach()) == 29.0
    average.apply()
    assert float(model.weight.detach()) == pytest.approx(expected, rel=1e-5)


def test_without_decay_the_weights_are_their_own_average() -> None:
    model = nn.Linear(1, 1)
    before = model.weight.detach().clone()
    average = WeightAverage(model, 0.0)
    average.update(0)
    average.apply()
    torch.testing.assert_close(model.weight.detach(), before)
