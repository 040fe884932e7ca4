from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.model.ram import RAM
from ram.training.batches import Batches
from ram.training.distributed import Processes
from ram.training.losses import LossParams, asymmetric_loss, balanced
from ram.training.params import TrainingParams
from ram.training.step import TrainingStep


def formula(logit: float, target: float, gamma_neg: float, gamma_pos: float, clip: float) -> float:
    """Ridnik et al. 2021, equations 4 to 6, for one label in double precision."""
    p = 1 / (1 + math.exp(-logit))
    shifted = max(p - clip, 0.0)
    positive = (1 - p) ** gamma_pos * math.log(p)
    negative = shifted**gamma_neg * math.log(1 - shifted)
    return -(target * positive + (1 - target) * negative)


@settings(max_examples=60, deadline=None)
@given(
    logits=st.lists(st.floats(-12, 12), min_size=1, max_size=8),
    gamma_neg=st.sampled_from([0.0, 1.0, 2.0, 4.0, 7.0]),
    gamma_pos=st.sampled_from([0.0, 1.0, 2.0]),
    clip=st.sampled_from([0.0, 0.05, 0.2]),
    seed=st.integers(0, 1000),
)
def test_the_loss_is_the_formula_for_hard_and_soft_targets(
    logits: list[float], gamma_neg: float, gamma_pos: float, clip: float, seed: int
) -> None:
    targets = np.random.default_rng(seed).choice([0.0, 1.0, 0.3], len(logits))
    options = {"gamma_neg": gamma_neg, "gamma_pos": gamma_pos, "clip": clip}
    expected = sum(formula(x, t, **options) for x, t in zip(logits, targets, strict=True))
    got = asymmetric_loss(torch.tensor([logits]), torch.from_numpy(targets)[None], **options)
    assert got.dtype == torch.float32
    assert float(got) == pytest.approx(expected, rel=2e-4, abs=1e-5)


def test_without_focus_and_clip_it_is_binary_cross_entropy() -> None:
    logits, targets = torch.randn(3, 5) * 3, (torch.rand(3, 5) > 0.5).float()
    got = asymmetric_loss(logits, targets, gamma_neg=0, gamma_pos=0, clip=0, reduction="mean")
    torch.testing.assert_close(got, torch.nn.functional.binary_cross_entropy_with_logits(logits, targets))


def test_focal_weights_carry_no_gradient() -> None:
    logit = torch.tensor([[0.7]], requires_grad=True)
    asymmetric_loss(logit, torch.zeros(1, 1), gamma_neg=4, gamma_pos=0, clip=0.05).backward()
    p = torch.sigmoid(torch.tensor(0.7))
    # d/dx of -log(1 - (p - clip)) alone, times the weight as a constant.
    expected = (p - 0.05) ** 4 * p * (1 - p) / (1 - p + 0.05)
    assert logit.grad is not None
    torch.testing.assert_close(logit.grad[0, 0], expected)


@pytest.mark.parametrize("logit", [-200.0, -40.0, 40.0, 200.0])
@pytest.mark.parametrize("target", [0.0, 1.0])
@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_extreme_logits_give_finite_losses_and_gradients(logit: float, target: float, clip: float) -> None:
    logits = torch.tensor([[logit]], requires_grad=True)
    loss = asymmetric_loss(logits, torch.tensor([[target]]), gamma_neg=7, gamma_pos=1, clip=clip)
    loss.backward()
    assert logits.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_unknown_labels_cost_nothing_and_do_not_count_in_the_mean() -> None:
    logits, targets = torch.randn(2, 4, requires_grad=True), torch.ones(2, 4)
    known = torch.tensor([[True, False, True, True], [False, False, True, False]])
    options = {"gamma_neg": 2.0, "gamma_pos": 1.0, "clip": 0.05}
    masked = asymmetric_loss(logits, targets, known_BK=known, reduction="mean", **options)
    alone = asymmetric_loss(logits[known][None], targets[known][None], reduction="mean", **options)
    torch.testing.assert_close(masked, alone)
    masked.backward()
    assert logits.grad is not None
    assert (logits.grad[~known] == 0).all()
    assert (logits.grad[known] != 0).all()


def test_weights_multiply_the_cost_of_their_tag() -> None:
    logits, targets = torch.randn(3, 2), torch.tensor([[1.0, 0.0]] * 3)
    options = {"gamma_neg": 2.0, "gamma_pos": 0.0, "clip": 0.05}
    both = asymmetric_loss(logits, targets, weight_K=torch.tensor([3.0, 0.0]), **options)
    torch.testing.assert_close(both, 3 * asymmetric_loss(logits[:, :1], targets[:, :1], **options))


def test_half_precision_logits_are_computed_in_single() -> None:
    logits, targets = torch.randn(4, 6).bfloat16(), torch.zeros(4, 6)
    options = {"gamma_neg": 7.0, "gamma_pos": 0.0, "clip": 0.05}
    torch.testing.assert_close(
        asymmetric_loss(logits, targets, **options), asymmetric_loss(logits.float(), targets, **options)
    )


@pytest.mark.parametrize("gamma_neg", [2.0, 7.0])
@pytest.mark.usefixtures("force_bf16")
def test_a_step_in_bfloat16_has_the_loss_of_the_formula_in_float64_on_its_logits(
    make_tiny_model: Callable[..., RAM],
    make_batches: Callable[..., Batches],
    make_training: Callable[..., TrainingParams],
    monkeypatch: pytest.MonkeyPatch,
    gamma_neg: float,
) -> None:
    options = {"gamma_neg": gamma_neg, "gamma_pos": 1.0, "clip": 0.05}
    params = make_training(precision="bf16", loss=LossParams(reduction="sum", **options), gradient_checkpointing="all")
    model, batch = make_tiny_model(num_tags_per_chunk=4).train(), make_batches()[0]
    logits: list[torch.Tensor] = []
    scored = model.tag_logits
    monkeypatch.setattr(model, "tag_logits", lambda *given: logits.append(scored(*given)) or logits[-1])
    loss, values = TrainingStep(model, params, Processes(), cached=True)(batch)
    assert logits[0].dtype == torch.bfloat16
    assert loss.dtype == values["tag"].dtype == torch.float32
    pairs = zip(logits[0].double().flatten().tolist(), batch.targets_BT.double().flatten().tolist(), strict=True)
    expected = sum(formula(logit, target, **options) for logit, target in pairs)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {torch.float32}


def test_balanced_loss_has_the_value_of_the_other_and_the_direction_of_its_own_gradient() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    balanced((x**2).sum(), torch.tensor(10.0)).backward()
    assert float(balanced((x**2).sum(), torch.tensor(10.0))) == pytest.approx(10)
    torch.testing.assert_close(x.grad, 2 * x.detach() * 10 / 5)


def test_balance_without_captions_is_refused() -> None:
    with pytest.raises(ValueError, match="caption_weight"):
        LossParams(balance=True)
