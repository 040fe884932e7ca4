from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import export_speed
from ram.labels import LabelSystem, Tag
from ram.model.build import ModelParams, build_model
from ram.model.checkpoint import save_checkpoint


def test_every_program_that_can_be_made_has_its_bytes_its_time_and_its_decisions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAM_REAL_DATA", raising=False)
    params = ModelParams(image_encoder="resnet10t", image_size=32, token_width=16, width=64, num_heads=2)
    rows_KE = torch.nn.functional.normalize(torch.randn(6, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    labels = LabelSystem([Tag(tag_id=i, name=f"tag {i}") for i in range(6)])
    save_checkpoint(tmp_path / "model", build_model(params, rows_KE), labels)
    thresholds = {"default": 0.0201, "tags": {}, "open_set": 0.5}  # where the scores of an untrained model lie
    (tmp_path / "model" / "thresholds.json").write_text(json.dumps(thresholds))
    monkeypatch.setattr(sys, "argv", ["export_speed", str(tmp_path / "model"), "--photos", "8", "--repeats", "1"])
    export_speed.main()
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines[2:-1]]
    names = [row[0] for row in rows]
    assert names[: len(names) // 2] == names[len(names) // 2 :]
    assert {"the model", "fast, fp32", "model.pt2"} <= set(names)
    assert {row[2] for row in rows} == {"1", "8"}
    for row in rows:
        assert float(row[1]) > 0
        if row[0] in ("the model", "fast, fp32", "model.pt2", "model.onnx"):
            assert float(row[5]) < 1e-3
            assert float(row[6].rstrip("%")) > 95
    assert "resnet10t at 32 pixels, 6 tags" in lines[-1]
