"""Stages that are killed at what they write: half a shard, half a table, half a checkpoint, half of the outputs in place."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import kills
import pytest
import yaml
from kills import At, kill

from ram.io.tables import content_hash, read_json, write_json
from ram.pipeline.catalog import artifact
from ram.pipeline.params import load_yaml
from ram.pipeline.runner import PARTIAL_DIR
from ram.stages import stage_call

ROOT = Path(__file__).resolve().parents[2]
INGESTING = [
    At("ram.datasets.staging", "temporary_path", nth=2),  # the second chunk
    At("ram.datasets.shards:ShardWriter", "write", nth=5, after=True),  # half a shard
    At("pathlib:Path", "replace", nth=7),  # the second shard, whole under its temporary name
    At("pyarrow.parquet", "write_table", nth=8, after=True),  # a part, not yet renamed
    At("ram.io.tables", "move_into_place", nth=3),  # two of the outputs in place
    At("shutil", "rmtree"),  # all of them
]
TRAINING = [
    At("ram.training.loop:_Trainer", "save", nth=2),
    At("torch", "save", nth=3, after=True),  # the state, whole under its temporary name
    At("ram.model.checkpoint", "save_file", after=True),  # the weights of the checkpoint without its configuration
    At("ram.io.tables", "move_into_place", nth=2),
]


def _outputs(workspace: Path, stage: str) -> dict[str, str]:
    return {entry.name: content_hash(workspace / entry.path) for entry in stage_call(stage).outputs().values()}


def _is_tidy(workspace: Path, stage: str) -> bool:
    """Whether nothing is left of work in progress."""
    return not list((workspace / PARTIAL_DIR / stage).iterdir()) and not list((workspace / "data").rglob(".*.tmp"))


def test_an_ingestion_that_is_killed_again_and_again_gives_the_bytes_of_an_undisturbed_one(tmp_path: Path) -> None:
    params = load_yaml(ROOT / "recipes" / "sample.yaml")
    params["list_sources"]["sources"][0] |= {"num_train": 24, "num_finetune": 4, "num_dev": 4, "num_test": 8}
    params["ingest_pairs"]["images_per_shard"] = 12
    params["engine"] = {"kind": "local", "num_workers": 1}
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for workspace in (undisturbed, killed):
        workspace.mkdir()
        (workspace / "params.yaml").write_text(yaml.safe_dump(params))
        assert kills.in_a_process(kills.run_stages, workspace, "list_sources") == 0
    assert kills.in_a_process(kills.run_stages, undisturbed, "ingest_pairs") == 0
    for at in INGESTING:
        kill(kills.run_stages, killed, "ingest_pairs", at=at)
    assert kills.in_a_process(kills.run_stages, killed, "ingest_pairs") == 0
    assert _outputs(killed, "ingest_pairs") == _outputs(undisturbed, "ingest_pairs")
    assert _is_tidy(killed, "ingest_pairs")


@pytest.mark.slow
def test_a_training_that_is_killed_again_and_again_gives_the_bytes_of_an_undisturbed_one(
    drawn_workspace: Path, tmp_path: Path
) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    _prepare_training(drawn_workspace, undisturbed)
    shutil.copytree(undisturbed, killed)
    assert kills.in_a_process(kills.run_stages, undisturbed, "pretrain") == 0
    for at in TRAINING:
        kill(kills.run_stages, killed, "pretrain", at=at)
    assert kills.in_a_process(kills.run_stages, killed, "pretrain") == 0
    assert _outputs(killed, "pretrain") == _outputs(undisturbed, "pretrain")
    assert _is_tidy(killed, "pretrain")


def _prepare_training(drawn: Path, workspace: Path) -> None:
    """The drawn workspace with tag embeddings, and parameters of a training that saves after every step."""
    shutil.copytree(drawn, workspace)
    for name in ("preliminary_model", "preliminary_curves"):
        path = workspace / artifact(name).path
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    model: dict[str, Any] = {
        "image_encoder": "resnet10t", "image_size": 32, "num_frozen_blocks": 2, "token_width": 16, "width": 16,
        "num_heads": 2, "ffn_ratio": 2.0, "pre_norm": True, "standardize_features": True,
        "text_encoder": "package:wordllama", "templates": "plain",
    }  # fmt: skip
    training = {
        "epochs": 2,
        "batch": {"batch_size": 8},
        "optimizer": {"learning_rate": 1e-3, "ema_decay": 0.9},
        "save_every_s": 0.0,
    }
    params: dict[str, Any] = {"seed": 3, "model": model, "embed_tags": {"min_similarity": 0.85}}
    params["pretrain"] = {"training": training, "num_calibration_images": 16}
    (workspace / "params.yaml").write_text(yaml.safe_dump(params))
    check = workspace / artifact("parsed_tags_check").path  # the drawn one tells of a failure, for its report
    write_json({**read_json(check), "passed": True}, check)
    assert kills.in_a_process(kills.run_stages, workspace, "embed_tags") == 0
