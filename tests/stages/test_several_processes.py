"""A training stage through the runner, on one process and on two.

Gradients and weights are compared in float64 by tests/training/test_distributed.py. Here the stage runs as people run it,
in float32, and its artifacts are compared by what they mean: losses and scores. Single weights are no quantity to compare
in float32: where a gradient is nothing but rounding, AdamW takes a full step of a direction that rounding decides.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from ram.io.tables import read_json, write_json
from ram.labels import LabelSystem
from ram.model.checkpoint import load_checkpoint
from ram.model.tag_embeddings import save_tag_embeddings
from ram.model.text_encoder import make_text_encoder
from ram.pipeline.catalog import artifact
from ram.pipeline.runner import PARTIAL_DIR

ROOT = Path(__file__).resolve().parents[2]
# Dropout and drop path draw other numbers for other parts of a batch, so there is none.
MODEL = {
    "image_encoder": "resnet10t", "image_size": 32, "num_frozen_blocks": 3, "token_width": 16, "width": 16,
    "num_heads": 2, "ffn_ratio": 2.0, "pre_norm": True, "dropout": 0.0, "num_tags_per_chunk": 3,
    "text_encoder": "package:wordllama", "templates": "plain", "standardize_features": True,
    "caption": {"vocabulary_size": 60, "num_heads": 2, "max_tokens": 12, "dropout": 0.0},
}  # fmt: skip
TRAINING = {
    "epochs": 2,
    "batch": {"batch_size": 7, "num_tags_per_step": 5},
    "optimizer": {"learning_rate": 1.0e-3, "ema_decay": 0.9, "clip_norm": 1.0},
    "loss": {"caption_weight": 1.0, "balance": True},
    "cached_features": False,
    "log_every": 1,
    "gradient_checkpointing": "all",
    "num_loader_workers": 1,
}
TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
# `accelerate launch --cpu --num_processes 2` starts but one process; a configuration file says more.
ACCELERATE = ["accelerate.commands.accelerate_cli", "launch", "--config_file", "accelerate.yaml"]
ONE_MACHINE = {
    "compute_environment": "LOCAL_MACHINE", "machine_rank": 0, "num_machines": 1, "num_processes": 2,
    "mixed_precision": "no", "main_training_function": "main",
}  # fmt: skip
FSDP = {
    "distributed_type": "FSDP",
    "fsdp_config": {"fsdp_version": 2, "fsdp_auto_wrap_policy": "NO_WRAP", "fsdp_reshard_after_forward": True},
}


@pytest.fixture
def workspace(drawn_workspace: Path, tmp_path: Path) -> Path:
    """The drawn workspace with embeddings and parameters, before pre-training."""
    path = tmp_path / "workspace"
    shutil.copytree(drawn_workspace, path)
    shutil.rmtree(path / artifact("preliminary_model").path)
    check = path / artifact("parsed_tags_check").path
    write_json({**read_json(check), "passed": True}, check)
    system = LabelSystem.from_json(read_json(path / artifact("label_system").path))
    embeddings = make_text_encoder("package:wordllama").embed(system.names, "plain")
    save_tag_embeddings(path / artifact("tag_embeddings").path, embeddings, system, "package:wordllama", "plain")
    sections: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    sections |= {"model": MODEL, "pretrain": {"training": TRAINING, "num_calibration_images": 8}}
    (path / "params.yaml").write_text(yaml.safe_dump(sections))
    return path


def pretrain(workspace: Path, launcher: list[str], **environment: str) -> str:
    """Run the stage as a command; what it printed."""
    plain = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    plain |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **environment}
    command = [sys.executable, "-m", *launcher, *(["-m"] if launcher else []), "ram", "stage", "pretrain"]
    done = subprocess.run(command, cwd=workspace, env=plain, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "config", "said"),
    [
        (TORCHRUN, {}, "each with all weights"),
        (ACCELERATE, {"distributed_type": "MULTI_GPU"}, "each with all weights"),
        (ACCELERATE, FSDP, "each with a piece of the weights"),
    ],
    ids=["torchrun", "accelerate", "accelerate-fsdp"],
)
def test_a_stage_on_two_processes_gives_the_artifacts_of_one(
    workspace: Path, tmp_path: Path, launcher: list[str], config: dict[str, Any], said: str
) -> None:
    together = tmp_path / "together"
    shutil.copytree(workspace, together)
    (together / "accelerate.yaml").write_text(yaml.safe_dump(ONE_MACHINE | config))
    pretrain(workspace, [])
    printed = pretrain(together, launcher)
    assert printed.count("pretrain: 24 images an epoch") == 1, "the main process alone tells"
    assert f"2 processes, {said}" in printed
    curves = [pd.read_csv(path / artifact("preliminary_curves").path) for path in (together, workspace)]
    first_step = [curve[(curve["step"] == 1) & (curve["split"] == "train")] for curve in curves]
    assert {"loss_tag", "loss_caption", "gradient_norm"} <= set(first_step[0]["metric"])
    pd.testing.assert_frame_equal(*first_step, rtol=1e-5, atol=0)  # float32 sums in another order
    pd.testing.assert_frame_equal(*curves, rtol=1e-2, atol=1e-2)
    assert set(curves[0]["split"]) == {"train", "dev"}
    assert_same_scores(*(path / artifact("preliminary_model").path for path in (together, workspace)))
    assert not list((together / PARTIAL_DIR / "pretrain").iterdir())


def assert_same_scores(got: Path, expected: Path) -> None:
    """Score random images alike, up to a hundredth of what distinguishes one score from another."""
    first, second = (load_checkpoint(path).model.eval() for path in (got, expected))
    assert first.state_dict().keys() == second.state_dict().keys()
    images = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits, reference = (model.tag_logits(model.encode(images)) for model in (first, second))
    error, spread = (logits - reference).abs().max(), reference.std()
    assert spread > 0.01
    assert error < 0.01 * spread
