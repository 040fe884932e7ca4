from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ram.model.build import CaptionParams
from ram.model.ram import RAM
from ram.training.batches import Batch, Batches, BatchParams, Inputs
from ram.training.examples import Examples, stored_examples
from ram.training.loop import train
from ram.training.losses import LossParams
from ram.training.order import Corpus
from ram.training.params import OptimizerParams, TrainingParams
from ram.training.processes import Processes
from ram.training.sharding import sharding_wanted

HERE = Path(__file__).parent
SCRIPT = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(HERE)!r})
import conftest, test_processes
build, inputs = conftest.build_tiny_model, conftest.MadePictures()
test_processes.train_and_save(build, inputs, Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
"""
FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}  # what `accelerate launch --use_fsdp --fsdp_version 2` sets
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


def train_and_save(
    build: Callable[..., RAM], inputs: Inputs, directory: Path, scratch: Path, stop_at: int = -1
) -> None:
    """Train on the examples in `directory` with every loss that processes share; the main one writes the result.

    Two of the four blocks of the backbone train. With `stop_at` the run is killed at that step.
    """
    torch.set_num_threads(1)
    params, processes = make_params(), Processes()
    batches = StopsAt(
        Corpus((stored_examples(directory, np.ones(6, bool)),)),
        inputs,
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
    )
    try:
        curves = train(model, batches, params, scratch, evaluate=first_bias, processes=processes)
    except Killed:
        return
    assert not model.training
    if processes.is_main:
        curves.to_csv(scratch / "curves.csv", index=False)
        torch.save(model.state_dict(), scratch / "weights.pt")


def launch(
    world_size: int, directory: Path, scratch: Path, stop_at: int = -1, others: Mapping[str, str] | None = None
) -> None:
    """Start processes as `torchrun` and `accelerate launch` do."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    started = []
    for rank in range(world_size):
        told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size, "MASTER_PORT": port}
        environment = os.environ | {name: str(value) for name, value in told.items()} | {"MASTER_ADDR": "127.0.0.1"}
        environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(HERE.parents[1])}
        command = [sys.executable, "-c", SCRIPT, str(directory), str(scratch), str(stop_at)]
        started.append(subprocess.Popen(command, env=environment | dict(others or {})))
    try:
        assert [process.wait(timeout=300) for process in started] == [0] * world_size
    finally:
        for process in started:
            process.kill()  # the others wait for one that failed


def assert_equal_runs(got: Path, expected: Path) -> None:
    curves = [pd.read_csv(path / "curves.csv") for path in (got, expected)]
    pd.testing.assert_frame_equal(*curves, rtol=1e-3, atol=1e-5)
    weights = [torch.load(path / "weights.pt", weights_only=True) for path in (got, expected)]
    torch.testing.assert_close(*weights, rtol=1e-3, atol=2e-4)


@pytest.fixture
def alone(examples: Examples, make_tiny_model: Callable[..., RAM], made_pictures: Inputs, tmp_path: Path) -> Path:
    """The folder of a run on one process."""
    scratch = tmp_path / "alone"
    scratch.mkdir()
    train_and_save(make_tiny_model, made_pictures, examples.image_ids.directory.parent, scratch)
    return scratch


@pytest.mark.slow
@pytest.mark.parametrize("others", [{}, FSDP], ids=["ddp", "fsdp"])
def test_two_processes_train_to_the_numbers_of_one(
    examples: Examples, alone: Path, tmp_path: Path, others: dict[str, str]
) -> None:
    together = tmp_path / "together"
    together.mkdir()
    launch(2, examples.image_ids.directory.parent, together, others=others)
    assert_equal_runs(together, alone)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(FSDP, {}), ({}, FSDP)], ids=["fsdp then ddp", "ddp then fsdp"])
def test_a_run_that_was_killed_goes_on_with_its_weights_cut_or_whole(
    examples: Examples, alone: Path, tmp_path: Path, first: dict[str, str], second: dict[str, str]
) -> None:
    directory, scratch = examples.image_ids.directory.parent, tmp_path / "together"
    scratch.mkdir()
    launch(2, directory, scratch, stop_at=4, others=first)
    assert not (scratch / "curves.csv").exists()
    launch(2, directory, scratch, others=second)
    assert_equal_runs(scratch, alone)


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
