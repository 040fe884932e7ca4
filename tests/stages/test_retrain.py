from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from ram.model.checkpoint import load_checkpoint
from ram.pipeline.artifacts import read_artifact
from ram.stages import stage_call
from ram.stages.retrain import ITEMS, Inputs, Outputs, Params, run
from ram.training.batches import BatchParams
from ram.training.params import OptimizerParams, TrainingParams

PARAMS = Params(
    seed=3,
    training=TrainingParams(
        epochs=1,
        batch=BatchParams(batch_size=8, predicted_target="score"),
        optimizer=OptimizerParams(learning_rate=1e-3),
    ),
    start_from="preliminary",
)


def retrain(workspace: Path, item: str, scratch: Path, params: Params) -> Outputs:
    scratch.mkdir()
    entries = stage_call(f"retrain@{item}").inputs()
    return run(Inputs(**{f: read_artifact(e, workspace) for f, e in entries.items()}, scratch=scratch), params)


def decoder_weight(directory: Path) -> torch.Tensor:
    return load_checkpoint(directory).model.tag_decoder.query_proj.weight.detach()


@pytest.mark.parametrize("item", ITEMS)
def test_either_tag_set_gives_a_model_with_the_tags_of_the_preliminary_one(
    item: str, drawn_workspace: Path, tmp_path: Path
) -> None:
    outputs = retrain(drawn_workspace, item, tmp_path / "scratch", PARAMS)
    loaded = load_checkpoint(outputs.model)
    before = load_checkpoint(drawn_workspace / "data" / "models" / "preliminary")
    assert loaded.label_system.version == before.label_system.version
    assert loaded.extra["tags"] == ITEMS[item]["tags"]
    assert "mAP/drawn" in set(outputs.curves["metric"])
    assert set(outputs.curves["metric"]) >= {"loss_tag"}


def test_it_starts_from_the_preliminary_weights_or_from_the_backbone_alone(
    drawn_workspace: Path, tmp_path: Path
) -> None:
    still = dataclasses.replace(PARAMS, training=dataclasses.replace(PARAMS.training, epochs=0))
    anew = dataclasses.replace(still, start_from="pretrained")
    before = decoder_weight(drawn_workspace / "data" / "models" / "preliminary")
    kept = decoder_weight(retrain(drawn_workspace, "cleaned", tmp_path / "kept", still).model)
    new = decoder_weight(retrain(drawn_workspace, "cleaned", tmp_path / "new", anew).model)
    assert torch.equal(kept, before)
    assert not torch.equal(new, before)


def test_cleaned_and_uncleaned_tags_give_different_models(drawn_workspace: Path, tmp_path: Path) -> None:
    weights = [decoder_weight(retrain(drawn_workspace, item, tmp_path / item, PARAMS).model) for item in ITEMS]
    assert not torch.equal(*weights)
