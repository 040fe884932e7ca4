"""Training on two processes against training on one: losses, synchronized gradients and weights, in float64.

In float32 no bound on the weights would hold on every machine. AdamW divides a gradient by its own size, so a gradient
that is nothing but rounding (a key's bias, which a softmax does not see) becomes a step of up to the learning rate, in a
direction that the order of a sum decides. In float64 such a gradient is far below AdamW's epsilon and moves nothing.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from ram.model.build import CaptionParams
from ram.model.ram import RAM
from ram.training.batches import Batch, Batches, BatchParams, Inputs
from ram.training.distributed import Processes
from ram.training.examples import Examples, stored_examples
from ram.training.fsdp import gathered, sharding_wanted
from ram.training.loop import train
from ram.training.losses import LossParams
from ram.training.params import OptimizerParams, TrainingParams
from ram.training.sampler import Corpus
from ram.training.step import TrainingStep

HERE = Path(__file__).parent
SCRIPT = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(HERE)!r})
import conftest, test_distributed
build, images = conftest.build_tiny_model, conftest.MadeImages()
test_distributed.train_and_save(build, images, Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
"""
FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}  # what `accelerate launch --use_fsdp --fsdp_version 2` sets
NUM_STEPS = 6
# In float64 the two runs differ by the order of sums alone. Measured with AVX2 and AVX-512 kernels: gradients, which
# clipping bounds by 1, by 1.4e-16 (2^-53 is 1.1e-16), weights by 7e-14, curves by 5e-16. A fault moves gradients by 1e-2,
# weights by 1e-4 and curves by 1e-2. The bounds lie between the two, far from both.
GRADIENT_ERROR, WEIGHT_ERROR, CURVE_ERROR = 1e-12, 1e-9, 1e-12
FAULTS = ("one parameter", "one step", "one rank")
EVERY_LOSS = LossParams(
    caption_weight=1.0, balance=True, caption_share=0.7, caption_every=2, alignment_weight=0.5, reduction="sum"
)


def make_params() -> TrainingParams:
    optimizer = OptimizerParams(
        learning_rate=3e-3, backbone_factor=0.5, layer_decay=0.7, clip_norm=1.0, ema_decay=0.9, decay_vectors=False
    )
    return TrainingParams(
        epochs=2,
        batch=BatchParams(batch_size=7, num_tags_per_step=5),
        optimizer=optimizer,
        loss=EVERY_LOSS,
        log_every=1,
        save_every_s=0.0,
        embedding_noise=0.1,
        gradient_checkpointing="all",
    )


def first_bias(model: RAM) -> dict[str, float]:
    """An evaluation that reads the averaged weights."""
    return {"bias": float(model.tag_decoder.fc.bias.detach()[0])}


class Killed(Exception):
    pass


class StopsAt(Batches):
    """Batches that end the run where a step is asked for."""

    stop_at = -1

    def __getitem__(self, step: int) -> Batch:
        if step == self.stop_at:
            raise Killed
        return super().__getitem__(step)


class DoubleImages:
    """Images in float64."""

    cached = shards = False

    def __init__(self, images: Inputs) -> None:
        self.images = images

    def read(self, image_ids: Sequence[str], seeds: np.ndarray | None) -> torch.Tensor:
        return self.images.read(image_ids, seeds).double()


def train_and_save(
    build: Callable[..., RAM], images: Inputs, directory: Path, scratch: Path, stop_at: int = -1, fault: str = ""
) -> None:
    """Train in float64 on the examples in `directory` with every loss that processes share; rank 0 saves.

    Two of the four blocks of the backbone train. With `stop_at` the run is killed at that step. `fault`: one of `FAULTS`,
    what one synchronization leaves out.
    """
    torch.set_num_threads(1)
    params, processes = make_params(), Processes()
    batches = StopsAt(
        Corpus((stored_examples(directory, np.ones(6, bool)),)),
        DoubleImages(images),
        params.batch,
        ["dog", "cat", "grass", "sofa", "red", "run"],
        seed=5,
        caption_share=params.loss.caption_share,
        caption_every=params.loss.caption_every,
        caption_embeddings=[np.random.default_rng(0).normal(size=(44, 16)).astype(np.float32)],
        rank=processes.rank,
        world_size=processes.world_size,
    )
    batches.stop_at = stop_at
    # Dropout draws other numbers for other parts of a batch, so there is none.
    caption = CaptionParams(vocabulary_size=60, num_heads=2, max_tokens=12, dropout=0.0)
    model = build(
        dropout=0.0, text_alignment=True, caption=caption, num_frozen_blocks=2, image_size=32, num_tags_per_chunk=2
    ).double()
    gradients: list[list[torch.Tensor | None]] = []
    clip_gradient = processes.clip_gradient

    def record(parameters: Sequence[torch.nn.Parameter], limit: float) -> torch.Tensor:
        norm = clip_gradient(parameters, limit)
        gradients.append([None if p.grad is None else gathered(p.grad).clone() for p in parameters])
        return norm

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)  # losses are float32 by themselves
        patch.setattr(processes, "clip_gradient", record)
        if fault:
            inject(fault, processes, patch)
        try:
            curves = train(model, batches, params, scratch, evaluate=first_bias, processes=processes)
        except Killed:
            return
    assert not model.training
    if processes.is_main:
        curves.to_csv(scratch / "curves.csv", index=False)
        torch.save({"weights": model.state_dict(), "gradients": gradients}, scratch / "result.pt")


def inject(fault: str, processes: Processes, patch: pytest.MonkeyPatch) -> None:
    """Leave something out of one synchronization: a parameter, all parameters, or the gradient of a process."""
    wrap, forward, num_steps = processes.wrap, TrainingStep.forward, 0

    def wrap_ignoring_one_parameter(module: torch.nn.Module, units: Iterable[torch.nn.Module] = ()) -> torch.nn.Module:
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, ["model.tag_decoder.fc.bias"])
        return wrap(module, units)

    def forward_with_fault(step: TrainingStep, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        nonlocal num_steps
        num_steps += 1
        loss, values = forward(step, batch)
        if fault == "one step" and processes.sharded:
            step.set_requires_gradient_sync(num_steps != 2)  # type: ignore[operator]
        if fault == "one rank" and num_steps == 2 and processes.rank == 1:
            loss = loss * 0
        return loss, values

    def wrap_unsynchronized(module: torch.nn.Module, units: Iterable[torch.nn.Module] = ()) -> torch.nn.Module:
        wrapped = wrap(module, units)
        called = wrapped.forward

        def forward_without_sync(batch: Batch) -> Any:
            wrapped.require_backward_grad_sync = num_steps + 1 != 2  # what DDP's no_sync sets
            return called(batch)

        patch.setattr(wrapped, "forward", forward_without_sync)
        return wrapped

    patch.setattr(TrainingStep, "forward", forward_with_fault)
    if fault == "one parameter" and processes.sharded:
        patch.setattr("ram.training.distributed.average_whole_gradients", lambda parameters: None)
    elif fault == "one parameter":
        patch.setattr(processes, "wrap", wrap_ignoring_one_parameter)
    elif fault == "one step" and not processes.sharded:
        patch.setattr(processes, "wrap", wrap_unsynchronized)


def launch(
    world_size: int,
    directory: Path,
    scratch: Path,
    stop_at: int = -1,
    fault: str = "",
    others: Mapping[str, str] | None = None,
) -> None:
    """Start processes as `torchrun` and `accelerate launch` do."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    started = []
    for rank in range(world_size):
        variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size, "MASTER_PORT": port}
        environment = os.environ | {name: str(value) for name, value in variables.items()}
        environment |= {"MASTER_ADDR": "127.0.0.1", "PYTHONPATH": str(HERE.parents[1])}
        environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-c", SCRIPT, str(directory), str(scratch), str(stop_at), fault]
        started.append(subprocess.Popen(command, env=environment | dict(others or {})))
    try:
        assert [process.wait(timeout=300) for process in started] == [0] * world_size
    finally:
        for process in started:
            process.kill()  # the others wait for one that failed


def differences(got: Path, reference: Path, num_recorded: int) -> dict[str, float]:
    """Greatest difference of curves (relative), gradients and weights between two runs; NaN where one is NaN.

    `num_recorded`: the steps whose gradients the last process of `got` recorded, all of them unless it resumed.
    """
    curves = [pd.read_csv(path / "curves.csv", float_precision="round_trip") for path in (got, reference)]
    results = [torch.load(path / "result.pt", weights_only=True) for path in (got, reference)]
    assert [len(result["gradients"]) for result in results] == [num_recorded, NUM_STEPS]
    pairs = zip(*(result["gradients"][-num_recorded:] for result in results), strict=True)
    gradients = []
    for one, other in pairs:
        assert [gradient is None for gradient in one] == [gradient is None for gradient in other]
        gradients += [(a - b).abs().max() for a, b in zip(one, other, strict=True) if a is not None]
    own, expected = (result["weights"] for result in results)
    assert own.keys() == expected.keys()
    pd.testing.assert_frame_equal(*(curve.drop(columns="value") for curve in curves))
    values = [curve["value"].to_numpy() for curve in curves]
    assert np.isfinite(values).all()
    return {
        "curves": float((np.abs(values[0] - values[1]) / np.abs(values[1])).max()),
        "gradients": float(torch.stack(gradients).max()),
        "weights": float(torch.stack([(own[name] - expected[name]).abs().max() for name in own]).max()),
    }


def assert_equal_runs(got: Path, reference: Path, num_recorded: int) -> None:
    found = differences(got, reference, num_recorded)
    assert found["curves"] < CURVE_ERROR, found
    assert found["gradients"] < GRADIENT_ERROR, found
    assert found["weights"] < WEIGHT_ERROR, found


@pytest.fixture
def alone(examples: Examples, make_tiny_model: Callable[..., RAM], made_images: Inputs, tmp_path: Path) -> Path:
    """The folder of a run on one process."""
    scratch = tmp_path / "alone"
    scratch.mkdir()
    train_and_save(make_tiny_model, made_images, examples.image_ids.directory.parent, scratch)
    return scratch


@pytest.mark.slow
@pytest.mark.parametrize("others", [{}, FSDP], ids=["ddp", "fsdp"])
def test_two_processes_match_one(examples: Examples, alone: Path, tmp_path: Path, others: dict[str, str]) -> None:
    together = tmp_path / "together"
    together.mkdir()
    launch(2, examples.image_ids.directory.parent, together, others=others)
    assert_equal_runs(together, alone, NUM_STEPS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("others", "fault"),
    [*(({}, fault) for fault in FAULTS), (FSDP, "one parameter"), (FSDP, "one rank")],
    ids=[*(f"ddp, {fault}" for fault in FAULTS), "fsdp, one parameter", "fsdp, one rank"],
)
def test_a_synchronization_that_leaves_something_out_is_detected(
    examples: Examples, alone: Path, tmp_path: Path, others: dict[str, str], fault: str
) -> None:
    together = tmp_path / "together"
    together.mkdir()
    launch(2, examples.image_ids.directory.parent, together, fault=fault, others=others)
    found = differences(together, alone, NUM_STEPS)
    assert found["gradients"] > 1e9 * GRADIENT_ERROR
    assert found["weights"] > 1e4 * WEIGHT_ERROR
    assert found["curves"] > 1e9 * CURVE_ERROR


@pytest.mark.slow
def test_a_step_that_fsdp_does_not_synchronize_fails(
    examples: Examples, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AssertionError):
        launch(2, examples.image_ids.directory.parent, tmp_path, fault="one step", others=FSDP)
    assert "RuntimeError: no parameter has a synchronized gradient" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(FSDP, {}), ({}, FSDP)], ids=["fsdp then ddp", "ddp then fsdp"])
def test_a_killed_run_resumes_with_its_weights_sharded_or_whole(
    examples: Examples, alone: Path, tmp_path: Path, first: dict[str, str], second: dict[str, str]
) -> None:
    directory, scratch = examples.image_ids.directory.parent, tmp_path / "together"
    scratch.mkdir()
    launch(2, directory, scratch, stop_at=3, others=first)
    assert not (scratch / "curves.csv").exists()
    launch(2, directory, scratch, others=second)
    assert_equal_runs(scratch, alone, NUM_STEPS - 3)


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [("FSDP_VERSION", "1", "--fsdp_version 2"), ("FSDP_OFFLOAD_PARAMS", "true", "set it to false")],
)
def test_what_fsdp_does_not_do_here_is_refused_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, remedy: str
) -> None:
    monkeypatch.setenv(name, value)
    assert not sharding_wanted()
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ValueError, match=remedy):
        sharding_wanted()
