from __future__ import annotations

import sys

import pytest
import torch

from benchmarks import inference_speed, plain_ram

SMALL = {
    "image_encoder": "swin_tiny_patch4_window7_224", "image_size": 64, "width": 32, "token_width": 16,
    "image_encoder_options": {"embed_dim": 12, "depths": [2, 2], "num_heads": [2, 3], "window_size": 4, "img_size": 64},
}  # fmt: skip


def test_the_plain_forward_pass_is_the_models() -> None:
    model = inference_speed.make_model(40, **SMALL)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = model.tag_logits(model.encode(images))
        torch.testing.assert_close(plain_ram.logits(model, images), wanted, atol=1e-4, rtol=1e-4)
        assert wanted.std(0).mean() > 1e-4


def test_the_tables_name_every_variant_and_judge_on_other_images_than_they_fit_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference_speed, "SWIN_L", SMALL)
    monkeypatch.delenv("RAM_REAL_DATA", raising=False)
    argv = "inference_speed --tags 40 --fit 20 --photos 8 --shortlist 30 --repeats 1 --peak-side 64 --decoder-tags"
    monkeypatch.setattr(sys, "argv", argv.split())
    inference_speed.main()
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in capsys.readouterr().out.splitlines()]
    rows = [row for row in rows if row[0] in ("1", "8")]
    assert [row[1] for row in rows[: len(rows) // 2]] == [row[1] for row in rows[len(rows) // 2 :]]
    assert [row[1] for row in rows[:2]] == ["plain", "fp32"]
    for row in rows:
        if row[1] == "plain":
            assert (row[2], row[7], row[8], row[9]) == ("1.00", "0.0e+00", "100.00%", "100.0%")
        if row[1] == "fp32":
            assert float(row[7]) < 1e-4
            assert row[8] == "100.00%"


def test_a_call_of_the_fast_decoder_takes_less_memory_than_the_plain_one_for_a_third_of_the_tags() -> None:
    memory = {kind: inference_speed.decoder_cost(kind, tags, 1)[1] for kind, tags in (("plain", 1000), ("fp32", 3000))}
    assert 0 < memory["fp32"] < memory["plain"]
