from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ram.model.ram import RAM
from ram.training.batches import Batch, Batches
from ram.training.loop import CURVE_COLUMNS, STATE_NAME, train
from ram.training.losses import LossParams
from ram.training.params import OptimizerParams, TrainingParams

CAPTIONING = LossParams(caption_weight=1.0, balance=True, reduction="sum")


class Killed(Exception):
    pass


class StopsAt:
    """Batches that end the run where a step is asked for."""

    def __init__(self, batches: Batches, step: int, action: Callable[[], None]) -> None:
        self._batches, self._step, self._action = batches, step, action

    def __getattr__(self, name: str) -> object:
        return getattr(self._batches, name)

    def __getitem__(self, step: int) -> Batch:
        if step == self._step:
            self._action()
        return self._batches[step]


def die() -> None:
    raise Killed


def evaluate(model: RAM) -> dict[str, float]:
    assert not model.training
    return {"mAP/made": float(model.tag_decoder.fc.bias.detach()[0])}


def weights(model: RAM) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("killed_at", [1, 4])
def test_a_run_that_was_killed_goes_on_to_the_same_bits(
    make_tiny_model: Callable[..., RAM],
    make_batches: Callable[..., Batches],
    make_training: Callable[..., TrainingParams],
    tmp_path: Path,
    killed_at: int,
) -> None:
    params = make_training(loss=CAPTIONING, save_every_s=0.0, embedding_noise=0.2, embedding_dropout=0.1)
    whole, resumed = make_tiny_model(), make_tiny_model()
    for name in ("whole", "resumed"):
        (tmp_path / name).mkdir()
    expected = train(whole, make_batches(), params, tmp_path / "whole", evaluate=evaluate)
    broken = StopsAt(make_batches(), killed_at, die)
    with pytest.raises(Killed):
        train(make_tiny_model(), broken, params, tmp_path / "resumed", evaluate=evaluate)  # type: ignore[arg-type]
    got = train(resumed, make_batches(), params, tmp_path / "resumed", evaluate=evaluate)
    pd.testing.assert_frame_equal(got, expected, check_exact=True)
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_a_finished_run_is_not_trained_again(
    make_tiny_model: Callable[..., RAM],
    make_batches: Callable[..., Batches],
    make_training: Callable[..., TrainingParams],
    tmp_path: Path,
) -> None:
    model, again = make_tiny_model(), make_tiny_model()
    first = train(model, make_batches(), make_training(), tmp_path)
    second = train(again, StopsAt(make_batches(), 0, die), make_training(), tmp_path)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert torch.equal(weights(model)["tag_decoder.fc.weight"], weights(again)["tag_decoder.fc.weight"])


def test_a_termination_signal_finishes_the_step_saves_and_ends(
    make_tiny_model: Callable[..., RAM],
    make_batches: Callable[..., Batches],
    make_training: Callable[..., TrainingParams],
    tmp_path: Path,
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    batches = StopsAt(make_batches(), 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as stopped:
        train(make_tiny_model(), batches, make_training(), tmp_path)  # type: ignore[arg-type]
    assert stopped.value.code == 143
    assert torch.load(tmp_path / STATE_NAME, weights_only=True)["step"] == 3
    assert signal.getsignal(signal.SIGTERM) is before


def test_curves_have_losses_rates_and_the_evaluation_after_every_epoch(
    make_tiny_model: Callable[..., RAM],
    make_batches: Callable[..., Batches],
    make_training: Callable[..., TrainingParams],
    tmp_path: Path,
) -> None:
    params = make_training(epochs=3, eval_every=2, loss=CAPTIONING)
    curves = train(make_tiny_model(), make_batches(), params, tmp_path, evaluate=evaluate)
    assert tuple(curves.columns) == CURVE_COLUMNS
    assert np.isfinite(curves["value"]).all()
    metrics = set(curves[curves["split"] == "train"]["metric"])
    assert metrics == {"loss_tag", "loss_caption", "gradient_norm", "learning_rate"}
    dev = curves[curves["split"] == "dev"]
    assert dev["epoch"].tolist() == [2, 3]
    assert dev["step"].tolist() == [6, 9]


def test_training_learns_its_labels(
    make_tiny_model: Callable[..., RAM],
    make_batches: Callable[..., Batches],
    make_training: Callable[..., TrainingParams],
    tmp_path: Path,
) -> None:
    optimizer = OptimizerParams(learning_rate=1e-2, clip_norm=1.0)
    params = make_training(epochs=25, optimizer=optimizer, loss=LossParams(gamma_neg=1.0))
    curves = train(make_tiny_model(dropout=0.0), make_batches(), params, tmp_path)
    losses = curves[curves["metric"] == "loss_tag"]["value"]
    assert losses.iloc[-3:].mean() < 0.5 * losses.iloc[:2].mean()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.usefixtures("force_bf16")
def test_frozen_weights_and_tag_embeddings_stay_as_they_were(
    make_tiny_model: Callable[..., RAM],
    make_batches: Callable[..., Batches],
    make_training: Callable[..., TrainingParams],
    tmp_path: Path,
    precision: str,
) -> None:
    model = make_tiny_model()
    before = weights(model)
    train(model, make_batches(), make_training(precision=precision), tmp_path)
    changed = {name for name, value in weights(model).items() if not torch.equal(value, before[name])}
    assert not {name for name in changed if ".backbone." in name or name == "tag_embedding_KE"}
    assert {"image_encoder.image_proj.weight", "tag_decoder.fc.weight", "tag_decoder.query_proj.weight"} <= changed
    assert not {name for name in changed if name.startswith("caption_branch")}
    assert all(value.dtype == before[name].dtype for name, value in weights(model).items())


def test_a_loss_that_is_not_finite_ends_the_run_with_a_remedy(
    make_tiny_model: Callable[..., RAM],
    make_batches: Callable[..., Batches],
    make_training: Callable[..., TrainingParams],
    tmp_path: Path,
) -> None:
    model = make_tiny_model()
    with torch.no_grad():
        model.tag_decoder.fc.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="lower learning_rate"):
        train(model, make_batches(), make_training(), tmp_path)


def test_alignment_learns_to_tell_the_captions_of_a_batch_apart(
    make_tiny_model: Callable[..., RAM],
    make_batches: Callable[..., Batches],
    make_training: Callable[..., TrainingParams],
    tmp_path: Path,
) -> None:
    embeddings = [np.random.default_rng(0).normal(size=(44, 16)).astype(np.float16)]
    params = make_training(epochs=8, loss=LossParams(alignment_weight=1.0))
    batches = make_batches(caption_embeddings=embeddings)
    curves = train(make_tiny_model(text_alignment=True), batches, replace(params, log_every=3), tmp_path)
    losses = curves[curves["metric"] == "loss_alignment"]["value"]
    assert losses.iloc[-1] < losses.iloc[0]
