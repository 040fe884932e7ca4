from __future__ import annotations

import pytest
import timm
import torch

from ram.model.backbone import pieces
from ram.model.build import build_image_encoder
from ram.model.fuse_conv_bn import folded
from ram.model.params import ModelParams

BACKBONES = {  # name: image size, blocks
    "tf_efficientnet_lite0": (64, 7),
    "mobilenetv3_small_050": (64, 6),
    "resnet10t": (64, 4),
    "convnext_atto": (64, 4),
    "swin_tiny_patch4_window7_224": (64, 4),
    "vit_tiny_patch16_224": (64, 12),
    "swinv2_tiny_window8_256": (64, 4),
    "vit_small_patch14_reg4_dinov2": (56, 12),  # a class token and four registers
    "vit_base_patch16_siglip_224": (64, 12),  # neither
    "davit_tiny": (64, 4),
    "regnety_002": (64, 1),
    "eva02_tiny_patch14_224": (56, 1),  # its blocks take rotary positions beside the tokens
    "mixer_s32_224": (224, 1),  # tokens without a grid that it tells of
    "volo_d1_224": (224, 1),  # a class token that it does not tell of
    "inception_next_atto": (64, 1),  # timm makes it with pooling only
    "sequencer2d_s": (224, 1),  # a map with the channels last
}
NUM_PREFIX_TOKENS = {"vit_tiny": 1, "vit_small": 5, "eva02": 1, "volo": 1}


def _params(name: str, cut: int | str, **changes: object) -> ModelParams:
    options = {"image_encoder": name, "image_size": BACKBONES[name][0], "num_frozen_blocks": cut, "token_width": 20}
    return ModelParams(**{**options, **changes})


@pytest.mark.parametrize("name", BACKBONES)
def test_every_cut_gives_the_tokens_of_the_whole_backbone(name: str) -> None:
    size, num_blocks = BACKBONES[name]
    encoder = build_image_encoder(_params(name, 0, token_width=None)).eval()
    assert len(pieces(encoder.backbone).blocks) == num_blocks
    images_BCHW = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        output = encoder.backbone.forward_features(images_BCHW)
        if output.ndim == 3:  # tokens, some with class tokens and registers in front
            spatial_BNC = output[
                :, next((n for prefix, n in NUM_PREFIX_TOKENS.items() if name.startswith(prefix)), 0) :
            ]
        else:  # a map; these keep the channels last
            channels_last = name.startswith(("swin", "sequencer"))
            spatial_BNC = (output.permute(0, 3, 1, 2) if channels_last else output).flatten(2).transpose(1, 2)
        wanted_BND = torch.cat([spatial_BNC.mean(1, keepdim=True), spatial_BNC], dim=1)
        for cut in {0, 1, num_blocks // 2, num_blocks}:
            encoder.cut = cut
            features = encoder.trunk(images_BCHW)
            assert torch.equal(features, images_BCHW) == (cut == 0)
            torch.testing.assert_close(encoder.tail(features), wanted_BND, atol=1e-4, rtol=1e-4)
            height, width = encoder.grid(features)
            assert height * width == wanted_BND.shape[1] - 1


def test_efficientnet_cut_at_its_last_block_is_behind_its_head_convolution() -> None:
    encoder = build_image_encoder(_params("tf_efficientnet_lite0", 7))
    assert encoder.trunk(torch.zeros(1, 3, 64, 64)).shape == (1, 1280, 2, 2)
    assert build_image_encoder(_params("tf_efficientnet_lite0", 5)).trunk(torch.zeros(1, 3, 64, 64)).shape == (
        1,
        112,
        4,
        4,
    )


DIVISIBLE = [name for name, (_, num_blocks) in BACKBONES.items() if num_blocks > 1 and "vit_base" not in name]


@pytest.mark.parametrize("name", DIVISIBLE)
@pytest.mark.parametrize("tuned", ["nothing", "last", "all"])
def test_frozen_last_blocks_and_full_tuning_give_gradients_to_just_those(name: str, tuned: str) -> None:
    size, num_blocks = BACKBONES[name]
    cut: int | str = {"nothing": "all", "last": num_blocks - 1, "all": 0}[tuned]
    encoder = build_image_encoder(_params(name, cut)).train()
    encoder(torch.randn(2, 3, size, size)).square().sum().backward()
    parts = pieces(encoder.backbone)
    steps = {"nothing": (), "last": parts.blocks[-1:] + parts.head, "all": parts.stem + parts.blocks + parts.head}
    wanted = {id(p) for step in steps[tuned] for module in step.modules for p in module.parameters()}
    found = {id(p) for p in encoder.backbone.parameters() if p.grad is not None}
    # A position table belongs to no piece, and a mask token or a table that this size does not use has no gradient.
    loose = {id(p) for n, p in encoder.backbone.named_parameters() if n in ("pos_embed", "cls_token", "reg_token")}
    assert found - loose <= wanted
    assert len(wanted - found) <= 0.05 * len(wanted)
    assert (loose <= found) == (tuned == "all") or not loose
    assert {id(p) for p in encoder.backbone.parameters() if p.requires_grad} >= found
    assert encoder.image_proj.weight.grad is not None


@pytest.mark.parametrize("name", ["resnet10t", "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"])
def test_just_the_blocks_behind_the_cut_train(name: str) -> None:
    encoder = build_image_encoder(_params(name, 2)).train()
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    encoder.tail(encoder.trunk(torch.randn(2, 3, 64, 64))).square().sum().backward()
    for step in pieces(encoder.backbone).before(2):
        assert all(p.grad is None and not p.requires_grad for m in step.modules for p in m.parameters())
    for step in pieces(encoder.backbone).after(2):
        assert all(p.grad is not None for m in step.modules for p in m.parameters() if p.requires_grad)
    assert any(p.requires_grad for p in encoder.backbone.parameters())
    assert all(torch.equal(before[k], v) for k, v in encoder.state_dict().items()), (
        "batch norm must keep its statistics"
    )


def test_standardized_tokens_have_mean_0_and_deviation_1_in_every_channel() -> None:
    encoder = build_image_encoder(_params("resnet10t", 2, token_width=None, standardize_features=True))
    batches = [encoder.trunk(torch.randn(n, 3, 64, 64)) for n in (4, 3)]
    encoder.fit_standardization(iter(batches))
    spatial = torch.cat([encoder.tail(batch)[:, 1:].flatten(0, 1) for batch in batches])
    varies = spatial.std(0) > 1e-3
    assert varies.float().mean() > 0.3
    assert not spatial[:, ~varies].any(), "a channel that never varies says nothing"
    torch.testing.assert_close(spatial.mean(0), torch.zeros(512), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        spatial[:, varies].std(0, correction=0), torch.ones(int(varies.sum())), atol=1e-2, rtol=0
    )
    with pytest.raises(ValueError, match="at least one batch"):
        encoder.fit_standardization(iter([]))


def test_folding_changes_no_output_and_not_the_encoder() -> None:
    encoder = build_image_encoder(_params("tf_efficientnet_lite0", 3)).eval()
    for module in encoder.backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    images_BCHW = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        before = encoder(images_BCHW)
        fast = folded(encoder, 64)
        assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fast.backbone.modules())
        torch.testing.assert_close(fast(images_BCHW), before, atol=1e-3, rtol=1e-3)
        assert torch.equal(encoder(images_BCHW), before)


def test_a_backbone_of_fixed_size_is_fitted_to_another_as_timm_fits_it() -> None:
    encoder = build_image_encoder(_params("swin_tiny_patch4_window7_224", 0, image_size=224)).eval()
    encoder.set_image_size(128)
    assert encoder(torch.zeros(1, 3, 128, 128)).shape == (1, 1 + 16, 20)
    reference = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, global_pool="")
    reference.load_state_dict(
        build_image_encoder(_params("swin_tiny_patch4_window7_224", 0, image_size=224)).backbone.state_dict()
    )
    reference.set_input_size(img_size=(128, 128))
    assert {k: v.shape for k, v in reference.state_dict().items()} == {
        k: v.shape for k, v in encoder.backbone.state_dict().items()
    }


def test_fingerprint_tells_trunks_apart_and_ignores_what_is_behind_the_cut() -> None:
    encoder = build_image_encoder(_params("resnet10t", 2))
    first = encoder.trunk_fingerprint("facts")
    with torch.no_grad():
        encoder.backbone.layer4[0].conv1.weight.add_(1)
    assert encoder.trunk_fingerprint("facts") == first
    assert encoder.trunk_fingerprint("others") != first
    with torch.no_grad():
        encoder.backbone.layer1[0].conv1.weight.add_(1)
    assert encoder.trunk_fingerprint("facts") != first


def test_a_cut_behind_the_last_block_and_an_unknown_backbone_are_refused() -> None:
    with pytest.raises(ValueError, match="0 to 4"):
        build_image_encoder(_params("resnet10t", 5))
    with pytest.raises(ValueError, match="CrossVit gives neither a map nor a row of tokens"):
        build_image_encoder(_params("resnet10t", 0, image_encoder="crossvit_tiny_240", image_size=240))(
            torch.zeros(1, 3, 240, 240)
        )
    with pytest.raises(ValueError, match=r"no model of timm.*resnet"):
        build_image_encoder(ModelParams(image_encoder="resnet_of_mine", image_size=64))
