"""Exported programs against the model: other numbers of images, other tags, and what the folder says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from typer.testing import CliRunner

from ram.cli.main import app
from ram.inference.runtimes.export import export_model
from ram.inference.tagger import Tagger, Thresholds
from ram.labels import LabelSystem, Tag
from ram.model.build import ModelParams, build_model
from ram.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

SWIN = {"embed_dim": 12, "depths": [1, 2], "num_heads": [2, 3], "window_size": 4, "img_size": 32}


def make_checkpoint(directory: Path, num_tags_per_chunk: int = 2) -> Checkpoint:
    """Swin with shifted windows, 6 tags, decoded in chunks."""
    params = ModelParams(
        image_encoder="swin_tiny_patch4_window7_224", image_encoder_options=SWIN, image_size=32, token_width=16,
        width=64, num_heads=2, num_tags_per_chunk=num_tags_per_chunk, templates="plain",
    )  # fmt: skip
    rows_KE = torch.nn.functional.normalize(torch.randn(6, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    labels = LabelSystem([Tag(tag_id=i, name=f"tag {i}") for i in range(6)])
    save_checkpoint(directory, build_model(params, rows_KE), labels)
    return load_checkpoint(directory)


def test_onnx_takes_other_images_and_other_tags_and_gives_the_models_logits(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'ram-tagger[export]'")
    pytest.importorskip("onnxscript", reason="pip install 'ram-tagger[export]'")
    checkpoint = make_checkpoint(tmp_path / "model")
    arguments = ["export", str(tmp_path / "model"), "--out", str(tmp_path / "out"), "--quantize"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "model.onnx" in done.output
    assert "model.int8.onnx" in done.output
    facts = json.loads((tmp_path / "out" / "export.json").read_text())
    assert [tag["name"] for tag in facts["tags"]] == checkpoint.label_system.names
    assert facts["preprocess"]["image_size"] == 32
    rows_KE = load_file(tmp_path / "out" / "tag_embeddings.safetensors")["embedding_KE"]
    new_KE = np.random.default_rng(0).normal(size=(9, 8)).astype(np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    for number, tags_KE in ((4, rows_KE), (1, new_KE)):
        images = torch.randn(number, 3, 32, 32, generator=torch.Generator().manual_seed(9))
        (given,) = session.run(["logits"], {"images": images.numpy(), "tag_embeddings": tags_KE})
        with torch.inference_mode():
            wanted = checkpoint.model.tag_logits(checkpoint.model.encode(images), torch.from_numpy(tags_KE))
        assert given.shape == (number, len(tags_KE))
        np.testing.assert_allclose(given, wanted.numpy(), atol=1e-4)
        assert given.std() > 1e-3
    sizes = [(tmp_path / "out" / name).stat().st_size for name in ("model.onnx", "model.int8.onnx")]
    assert sizes[1] < 0.8 * sizes[0]


def test_a_program_of_torch_export_gives_the_models_logits_without_the_model(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "model")
    (done,) = export_model(checkpoint, Thresholds(default=0.3), tmp_path / "out", "torch_export")
    assert done.num_bytes == (tmp_path / "out" / "model.pt2").stat().st_size
    program = torch.export.load(tmp_path / "out" / "model.pt2").module()
    images = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(9))
    tags_KE = checkpoint.model.tag_embedding_KE[[4, 0, 1]]
    np.testing.assert_allclose(program(images, tags_KE), Tagger(checkpoint).logits(images)[:, [4, 0, 1]], atol=1e-4)
    facts = json.loads((tmp_path / "out" / "export.json").read_text())
    assert {tag["threshold"] for tag in facts["tags"]} == {0.3}


def test_an_unknown_format_quantized_programs_of_torch_and_a_missing_package_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = make_checkpoint(tmp_path / "model")
    with pytest.raises(ValueError, match="unknown format 'tf'; known: onnx, torch_export"):
        export_model(checkpoint, Thresholds(), tmp_path / "out", "tf")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="quantize wants format onnx, got torch_export"):
        export_model(checkpoint, Thresholds(), tmp_path / "out", "torch_export", quantize=True)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ValueError, match=r"onnx is not installed; pip install 'ram-tagger\[export\]'"):
        export_model(checkpoint, Thresholds(), tmp_path / "out", "onnx")
