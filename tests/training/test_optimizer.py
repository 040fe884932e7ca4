from __future__ import annotations

import pytest
import timm
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


def test_frozen_parameters_are_not_optimized_and_something_must_train() -> None:
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


# Where a parameter lies: (prefix, depth from the top), the first that fits.
DEPTHS = {
    "resnet10t": [(f"layer{i}.", 5 - i) for i in range(1, 5)] + [("", 5)],
    "tf_efficientnet_lite0": [("conv_head", 0), ("bn2", 0)] + [(f"blocks.{i}.", 7 - i) for i in range(7)] + [("", 8)],
    "mobilenetv3_small_050": [(f"blocks.{i}.", 6 - i) for i in range(6)] + [("conv_head", 7), ("", 7)],
    "convnext_atto": [("norm_pre", 0)] + [(f"stages.{i}.", 4 - i) for i in range(4)] + [("", 5)],
    "swin_tiny_patch4_window7_224": [("norm.", 0)] + [(f"layers.{i}.", 4 - i) for i in range(4)] + [("", 5)],
    "vit_tiny_patch16_224": [("norm.", 0)] + [(f"blocks.{i}.", 12 - i) for i in range(12)] + [("", 13)],
    "regnety_002": [("", 1)],
}


@pytest.mark.parametrize("name", DEPTHS)
def test_a_layer_learns_slower_the_further_it_lies_from_the_top(name: str) -> None:
    model = network()
    model.image_encoder.backbone = timm.create_model(name, num_classes=0, global_pool="")
    params = OptimizerParams(learning_rate=1.0, backbone_factor=0.5, layer_decay=0.75, decay_vectors=False)
    optimizer = make_optimizer(model, params)
    found = {
        id(p): (group["factor"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]
    }
    assert len(found) == len(list(model.parameters())) == sum(len(g["params"]) for g in optimizer.param_groups)
    for parameter in model.head.parameters():
        assert found[id(parameter)][0] == 1.0
    for key, parameter in model.image_encoder.backbone.named_parameters():
        depth = next(depth for prefix, depth in DEPTHS[name] if key.startswith(prefix))
        assert found[id(parameter)][0] == pytest.approx(0.5 * 0.75**depth), key
        assert found[id(parameter)][1] == (0.05 if parameter.ndim > 1 else 0.0)


def test_without_layer_decay_the_whole_backbone_has_one_rate_and_a_factor_above_1_is_refused() -> None:
    model = network()
    model.image_encoder.backbone = timm.create_model("resnet10t", num_classes=0, global_pool="")
    groups = make_optimizer(model, OptimizerParams(learning_rate=1.0, backbone_factor=0.5)).param_groups
    assert {group["factor"] for group in groups} == {0.5, 1.0}
    with pytest.raises(ValueError, match="1 is off"):
        OptimizerParams(learning_rate=1.0, layer_decay=1.1)
