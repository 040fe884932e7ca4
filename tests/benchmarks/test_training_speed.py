from __future__ import annotations

import dataclasses

import pytest

from benchmarks import training_speed as benchmark
from benchmarks.workspaces import ROOT
from ram.pipeline.params import load_yaml, stage_params
from ram.stages import pretrain
from ram.training.batches import BatchParams


def test_the_parts_of_a_step_all_take_time_and_the_table_has_them() -> None:
    params = stage_params(load_yaml(ROOT / "recipes" / "flickr8k.yaml"), "pretrain", pretrain.Params)
    training = dataclasses.replace(params.training, batch=BatchParams(batch_size=2), precision="fp32")
    model = dataclasses.replace(params.model, pretrained=None)
    figures = benchmark.measure("lite0", model, training, num_steps=1, num_tags=20)
    assert set(figures["step_s"]) == set(benchmark.PARTS)
    assert min(figures["step_s"].values()) > 0
    assert figures["memory_mib"] > 1
    # The step that is timed part by part is like the one that is not.
    assert 0.1 < 2 / figures["images_per_s"] / sum(figures["step_s"].values()) < 10
    cells = benchmark.row("lite0", "fp32", figures).split("|")[1:-1]
    assert len(cells) == 5 + len(benchmark.PARTS)
    assert sum(int(cell.strip(" %")) for cell in cells[5:]) == pytest.approx(100, abs=4)


def test_every_way_of_training_is_a_model_of_the_recipe() -> None:
    params = stage_params(load_yaml(ROOT / "recipes" / "flickr8k.yaml"), "pretrain", pretrain.Params)
    for _, cached, changes in benchmark.WAYS.values():
        model = dataclasses.replace(params.model, **changes)
        assert cached == (model.num_frozen_blocks == "all")
