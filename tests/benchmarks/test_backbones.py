from __future__ import annotations

import copy

import pytest
import torch

from benchmarks.backbones import BACKBONES, IMAGE_SIZE, Backbone
from benchmarks.workspaces import ROOT
from ram.model.build import build_image_encoder
from ram.params import load_yaml, stage_params
from ram.stages import pretrain


@pytest.mark.parametrize("row", BACKBONES, ids=lambda r: r.key)
def test_a_row_trains_the_blocks_it_names_and_sees_pictures_of_the_size_of_the_table(row: Backbone) -> None:
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
