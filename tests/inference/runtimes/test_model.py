"""The fast model against the plain one, over backbones, decoders and precisions."""

from __future__ import annotations

import platform
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.inference.runtimes import decoder as fast_decoder
from ram.inference.runtimes.encoder import FastEncoder
from ram.inference.runtimes.linear import PackedLinear
from ram.inference.runtimes.model import FastModel
from ram.model.build import ModelParams, build_image_encoder, build_model
from ram.model.precision import has_bf16
from ram.model.ram import RAM

SWIN = {"embed_dim": 12, "depths": [2, 2, 2], "num_heads": [2, 2, 3], "window_size": 4}
BACKBONES: dict[str, dict[str, Any]] = {
    "windows that are shifted and masked": {
        "image_encoder": "swin_tiny_patch4_window7_224", "image_encoder_options": {**SWIN, "img_size": 64},
        "image_size": 64,
    },
    "a last stage of one window": {
        "image_encoder": "swin_tiny_patch4_window7_224", "image_encoder_options": {**SWIN, "img_size": 64},
        "image_size": 32,
    },
    "windows that do not tile the map": {
        "image_encoder": "swin_tiny_patch4_window7_224",
        "image_encoder_options": {**SWIN, "window_size": 3, "img_size": 64}, "image_size": 64,
    },
    "convolutions": {"image_encoder": "efficientnet_lite0", "image_size": 64},
    "ViT": {
        "image_encoder": "vit_tiny_patch16_224", "image_size": 48,
        "image_encoder_options": {"depth": 2, "embed_dim": 24, "num_heads": 2},
    },
}  # fmt: skip
NUM_TAGS, EMBEDDING_WIDTH = 11, 16


def _model(**changes: Any) -> RAM:
    params = ModelParams(
        **{
            "image_encoder": "resnet10t", "image_size": 32, "token_width": 16, "width": 32, "num_heads": 4,
            "ffn_ratio": 2.0, **changes,
        }
    )  # fmt: skip
    generator = torch.Generator().manual_seed(3)
    shape = (NUM_TAGS, 4, EMBEDDING_WIDTH) if params.tag_queries == "described" else (NUM_TAGS, EMBEDDING_WIDTH)
    model = build_model(params, F.normalize(torch.randn(shape, generator=generator), dim=-1)).eval()
    for name, parameter in model.named_parameters():
        # A fresh model has biases of 0 and norms of 1, which would hide that one is left out or taken twice.
        if parameter.ndim == 1 or "relative_position" in name:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def _images(model: RAM, number: int = 3) -> torch.Tensor:
    size = model.params.image_size
    return torch.randn(number, 3, size, size, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_tokens_and_logits_equal_the_plain_models_over_backbones(backbone: str) -> None:
    model = _model(**BACKBONES[backbone])
    fast = FastModel(model)
    images = _images(model)
    with torch.inference_mode():
        tokens, given = model.encode(images), fast.encoder(images)
        torch.testing.assert_close(given, tokens, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(fast.tag_logits(given), model.tag_logits(tokens), atol=1e-5, rtol=1e-5)
        assert tokens.std() > 0.1
        assert fast.encoder.grid(images) == model.grid(images)
    for alone in images.split(1):  # what an image gets does not depend on what else is in its batch
        torch.testing.assert_close(fast.encoder(alone), model.encode(alone), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize(
    "kind",
    [{"tag_queries": "text"}, {"tag_queries": "described"}, {"tag_queries": "learned"}, {"text_alignment": True}],
)
def test_logits_equal_the_plain_decoders_of_every_kind(kind: dict[str, Any], num_layers: int, pre_norm: bool) -> None:
    model = _model(**kind, num_layers=num_layers, pre_norm=pre_norm)
    fast = FastModel(model)
    tokens = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        logits = model.tag_logits(tokens)
        torch.testing.assert_close(fast.tag_logits(tokens), logits, atol=1e-5, rtol=1e-5)
        assert logits.std(0).min() > 1e-3  # of images
        assert logits.std(1).min() > 1e-3  # of tags


def test_a_described_model_scores_a_name_that_has_one_text_alone() -> None:
    model = _model(tag_queries="described")
    fast = FastModel(model)
    tokens = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1))
    one_KE = model.tag_embedding_KE[:, 0]
    with torch.inference_mode():
        wanted = model.tag_logits(tokens, one_KE)
        torch.testing.assert_close(fast.tag_logits(tokens, fast.prepare(one_KE)), wanted, atol=1e-5, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(st.integers(0, NUM_TAGS - 1), min_size=1, max_size=30),
    num_images=st.integers(1, 5),
    rows_at_once=st.integers(1, 40),
    kind=st.sampled_from(["text", "described", "learned"]),
)
def test_any_tags_in_any_chunks_get_the_logits_that_they_get_among_all(
    rows: list[int], num_images: int, rows_at_once: int, kind: str
) -> None:
    model, fast = KINDS[kind]
    tokens = torch.randn(num_images, 4, 16, generator=torch.Generator().manual_seed(5))
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(fast_decoder, "_ROWS_AT_ONCE", rows_at_once)
        wanted = model.tag_logits(tokens)[:, rows]
        prepared = fast.prepare(model.tag_embedding_KE[rows])
        torch.testing.assert_close(fast.tag_logits(tokens, prepared), wanted, atol=1e-5, rtol=1e-5)
        some = fast.own_tags.rows(torch.tensor(rows))
        torch.testing.assert_close(fast.tag_logits(tokens, some), wanted, atol=1e-5, rtol=1e-5)


MODELS = {kind: _model(tag_queries=kind) for kind in ("text", "described", "learned")}
KINDS = {kind: (model, FastModel(model)) for kind, model in MODELS.items()}


def test_a_stage_of_frozen_features_is_read_as_the_plain_encoder_reads_it() -> None:
    model = _model(**BACKBONES["windows that are shifted and masked"], num_frozen_blocks=2, standardize_features=True)
    model.image_encoder.fit_standardization([model.trunk(_images(model, 4))])
    fast = FastModel(model)
    with torch.inference_mode():
        features = model.trunk(_images(model))
        torch.testing.assert_close(fast.encoder.trunk(_images(model)), features, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(fast.encoder.tail(features), model.tail(features), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [{"text_alignment": True}, {"tag_queries": "learned"}, BACKBONES["windows that are shifted and masked"]],
    ids=["aligned", "learned", "Swin"],
)
def test_training_a_model_afterwards_does_not_change_its_fast_copy(changes: dict[str, Any]) -> None:
    model = _model(**changes)
    fast = FastModel(model)
    images = _images(model)
    before = fast.tag_logits(fast.encoder(images))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    model.set_tags(model.tag_embedding_KE.flip(0))
    assert torch.equal(fast.tag_logits(fast.encoder(images)), before)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.usefixtures("force_bf16")
def test_bf16_gives_nearly_the_same_logits_as_float32(
    backbone: str, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not packed:  # what every CPU without oneDNN's bf16 runs
        monkeypatch.setattr("ram.inference.runtimes.linear.onednn_has_bf16", lambda: False)
    model = _model(**BACKBONES[backbone])
    images = _images(model)
    with torch.inference_mode():
        wanted = model.tag_logits(model.encode(images))
        fast = FastModel(model, "bf16")
        given = fast.tag_logits(fast.encoder(images))
    assert given.dtype == torch.float32
    assert 0 < (given - wanted).abs().max() < 0.1 * wanted.std()


def test_an_unknown_precision_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown precision 'fp64'; known: fp32, bf16"):
        FastModel(_model(), "fp64")  # type: ignore[arg-type]


def test_without_bf16_instructions_bf16_becomes_fp32_with_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = _model()
    images = _images(model)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_f": True})
    fast = FastModel(model, "bf16")
    assert fast.precision == "fp32"
    (record,) = caplog.records
    assert record.name == "ram"
    assert "\n" not in record.getMessage()
    assert "precision bf16 is not used: PyTorch has no fast bf16 on this cpu; using fp32" in record.getMessage()
    reference = FastModel(model)
    assert torch.equal(fast.tag_logits(fast.encoder(images)), reference.tag_logits(reference.encoder(images)))


def _packed_layers(fast: FastModel) -> list[PackedLinear]:
    return [module for module in fast.encoder._encoder.modules() if isinstance(module, PackedLinear)]


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or not torch.backends.mkldnn.is_available(),
    reason="weights are packed on x86-64 Linux with oneDNN",
)
def test_weights_are_packed_on_x86_linux() -> None:
    layers = _packed_layers(FastModel(_model(**BACKBONES["windows that are shifted and masked"])))
    assert layers
    assert all(layer.is_packed for layer in layers)


@pytest.mark.parametrize(("capability", "is_fast"), [("bf16", True), ("avx512_bf16", True), ("avx512_f", False)])
def test_bf16_needs_the_instructions_of_arm_or_x86(
    monkeypatch: pytest.MonkeyPatch, capability: str, is_fast: bool
) -> None:
    monkeypatch.setattr("ram.model.precision.onednn_has_bf16", lambda: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {capability: True})
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    assert has_bf16(torch.device("cpu")) == is_fast


@pytest.mark.parametrize("limit", ["AVX2", "avx512_core", "AVX512_CORE_VNNI"])
def test_an_instruction_set_limit_without_bf16_turns_bf16_off(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr("ram.model.precision.onednn_has_bf16", lambda: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    assert has_bf16(torch.device("cpu"))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert not has_bf16(torch.device("cpu"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("platform.machine", lambda: "aarch64"),
        ("sys.platform", "darwin"),
        ("sys.platform", "win32"),
        ("torch.backends.mkldnn.is_available", lambda: False),
    ],
    ids=["ARM", "macOS", "Windows", "no oneDNN"],
)
def test_plain_linear_is_used_outside_x86_linux(name: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model(**BACKBONES["windows that are shifted and masked"])
    images = _images(model)
    with_packing = FastModel(model)
    reference = with_packing.tag_logits(with_packing.encoder(images))
    called: list[str] = []
    monkeypatch.setattr("ram.inference.runtimes.linear._prepack", lambda *_: called.append("packed"))
    monkeypatch.setattr(name, value)
    fast = FastModel(model)
    assert not called
    assert not any(layer.is_packed for layer in _packed_layers(fast))
    torch.testing.assert_close(fast.tag_logits(fast.encoder(images)), reference, atol=1e-5, rtol=1e-5)


def test_an_encoder_of_another_size_than_its_windows_were_made_for_is_followed() -> None:
    params = ModelParams(**BACKBONES["windows that are shifted and masked"], token_width=24)
    encoder = build_image_encoder(params).eval()
    encoder.set_image_size(32)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(
            FastEncoder(encoder, 32, torch.float32)(images), encoder(images), atol=1e-5, rtol=1e-5
        )
