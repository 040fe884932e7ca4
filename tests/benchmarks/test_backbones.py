from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import backbones
from benchmarks.backbones import BACKBONES, IMAGE_SIZE, Backbone
from benchmarks.model_ablation import RESULT
from benchmarks.workspaces import ROOT
from ram.io.tables import write_json
from ram.model.build import build_image_encoder
from ram.pipeline.params import load_yaml, stage_params
from ram.stages import pretrain


@pytest.mark.parametrize("row", BACKBONES, ids=lambda r: r.key)
def test_a_row_trains_the_blocks_it_names_and_sees_images_of_the_size_of_the_table(row: Backbone) -> None:
    sections = load_yaml(ROOT / "recipes" / "flickr8k.yaml")
    sections["model"]["image_size"] = IMAGE_SIZE
    before = copy.deepcopy(sections)
    params = stage_params(row.applied(sections), "pretrain", pretrain.Params)
    assert sections == before, "the recipe itself is not changed"

    encoder = build_image_encoder(params.model, seed=1)
    trained = sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    of_all = trained / sum(p.numel() for p in encoder.parameters())
    assert {"frozen": of_all == 0, "last": 0 < of_all < 1}.get(row.key, of_all == 1)
    with torch.no_grad():
        assert encoder(torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE)) is not None


def test_the_command_prints_the_rows_that_are_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"mAP": 0.25, "chance_mAP": 0.125, "num_names": 2}
    result = tmp_path / "flickr8k" / "seed-1" / "whole" / RESULT
    result.parent.mkdir(parents=True)
    write_json({"drawn": {"num_images": 9, "trained": figures, "unseen": None}}, result)
    monkeypatch.setattr(sys, "argv", ["backbones", "--seeds", "1", "--print-only", "--workspace", str(tmp_path)])
    backbones.main()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| the recipe")]
    assert rows[-1] == "| the recipe's, trained whole | 0.250 ± 0.000 | 0.250 | not possible |  |"
    assert all("not run" in row for row in rows[:-1])
