from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch

from ram.model.build import ModelParams, build_model
from ram.model.params import DistillationParams
from ram.model.ram import RAM


def test_stored_features_give_the_tokens_of_the_images(
    make_model: Callable[..., RAM], images_BCHW: torch.Tensor
) -> None:
    model = make_model().eval()
    with torch.inference_mode():
        features = model.trunk(images_BCHW)
        assert torch.equal(model.tail(features), model.encode(images_BCHW))
        assert model.grid(features) == (2, 2)
        tokens_BND = model.encode(images_BCHW)
        assert tokens_BND.shape == (3, 5, 24)
        assert model.tag_logits(tokens_BND).shape == (3, 7)


def test_new_tags_do_not_change_the_logits_of_old_ones(
    make_model: Callable[..., RAM], images_BCHW: torch.Tensor, embedding_KE: torch.Tensor
) -> None:
    model = make_model().eval()
    with torch.inference_mode():
        tokens_BND = model.encode(images_BCHW)
        before = model.tag_logits(tokens_BND)
        new_KE = torch.nn.functional.normalize(torch.randn(3, 16), dim=1)
        given = model.tag_logits(tokens_BND, torch.cat([embedding_KE, new_KE]))
        model.set_tags(torch.cat([embedding_KE, new_KE]))
        torch.testing.assert_close(given[:, :7], before, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model.tag_logits(tokens_BND), given)
    assert model.num_tags == 10


def test_attention_of_tag_ids_is_that_of_their_embeddings(
    make_model: Callable[..., RAM], images_BCHW: torch.Tensor
) -> None:
    model = make_model().eval()
    with torch.inference_mode():
        tokens_BND = model.encode(images_BCHW)
        by_id = model.tag_attention(tokens_BND, torch.tensor([5, 2]))
        assert torch.equal(by_id, model.tag_attention(tokens_BND, model.tag_embedding_KE[[5, 2]]))
    assert by_id.shape == (3, 2, 4)
    torch.testing.assert_close(by_id.sum(-1), torch.ones(3, 2))


def test_distillation_is_the_mean_absolute_difference_of_the_pooled_token(make_model: Callable[..., RAM]) -> None:
    model = make_model()
    tokens_BND, paired_BD = torch.randn(2, 5, 24), torch.randn(2, 24)
    wanted = (
        sum(abs(a - b) for a, b in zip(tokens_BND[:, 0].flatten().tolist(), paired_BD.flatten().tolist(), strict=True))
        / 48
    )
    assert model.distillation_loss(tokens_BND, paired_BD).item() == pytest.approx(wanted, rel=1e-5)
    with pytest.raises(ValueError, match=r"set model\.token_width"):
        model.distillation_loss(tokens_BND, torch.randn(2, 30))


def test_equal_arguments_give_equal_weights_and_leave_the_global_generator_alone(
    make_model: Callable[..., RAM],
) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    one, two = make_model(), make_model()
    assert torch.equal(torch.rand(3), wanted)
    for (name, a), (_, b) in zip(one.state_dict().items(), two.state_dict().items(), strict=True):
        assert torch.equal(a, b), name


def test_a_copy_stands_on_its_own(make_model: Callable[..., RAM], images_BCHW: torch.Tensor) -> None:
    model = make_model().eval()
    twin = copy.deepcopy(model)
    with torch.no_grad():
        before = twin.tag_logits(twin.encode(images_BCHW))
        for parameter in model.parameters():
            parameter.zero_()
        assert torch.equal(twin.tag_logits(twin.encode(images_BCHW)), before)


def test_parameters_that_train_are_the_backbones_behind_the_cut_and_all_others(make_model: Callable[..., RAM]) -> None:
    model = make_model()
    groups = [*model.backbone_parameters(), *model.other_parameters()]
    assert {id(p) for p in groups} == {id(p) for p in model.parameters() if p.requires_grad}
    assert len(groups) == len({id(p) for p in groups})
    assert not list(make_model(num_frozen_blocks="all").backbone_parameters())


def test_alignment_adds_the_scaled_cosine_to_each_tags_logit(
    make_model: Callable[..., RAM], images_BCHW: torch.Tensor, embedding_KE: torch.Tensor
) -> None:
    model = make_model(text_alignment=True).eval()
    with torch.inference_mode():
        tokens_BND = model.encode(images_BCHW)
        added = model.tag_logits(tokens_BND) - model.tag_decoder(tokens_BND, embedding_KE)
        aligned_BE = model.text_alignment.proj(tokens_BND[:, 0])
        cosine = torch.nn.functional.cosine_similarity(aligned_BE[:, None], embedding_KE[None], dim=-1)
    torch.testing.assert_close(added, model.text_alignment.log_scale.exp() * (cosine - 0.2), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("bad_KE", [torch.zeros(0, 16), torch.zeros(3, 15), torch.zeros(16)])
def test_embeddings_of_another_width_or_none_are_refused(make_model: Callable[..., RAM], bad_KE: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"\(tags, 16\)"):
        make_model().set_tags(bad_KE)


def test_a_model_without_caption_branch_says_so(make_model: Callable[..., RAM], images_BCHW: torch.Tensor) -> None:
    model = make_model(caption=None)
    with pytest.raises(ValueError, match="no caption branch"):
        model.caption_loss(model.encode(images_BCHW), [[]] * 3, ["a"] * 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_frozen_blocks": "some"},
        {"num_frozen_blocks": -1},
        {"width": 30},
        {"num_layers": 0},
        {"initial_score": 1.0},
        {"image_size": 1},
        {"token_width": None, "distillation": DistillationParams(image_encoder="clip")},
    ],
)
def test_impossible_params_are_refused(make_params: Callable[..., ModelParams], changes: dict) -> None:
    with pytest.raises(ValueError):
        make_params(**changes)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["swin_base_patch4_window7_224.ms_in22k"])
def test_the_papers_model_runs_forward_and_backward(backbone: str) -> None:
    from ram.model.params import CaptionParams

    params = ModelParams(
        image_encoder=backbone,
        image_size=224,
        token_width=512,
        caption=CaptionParams(
            vocabulary_size=100, num_tag_encoder_layers=12, num_caption_layers=12, num_heads=12, num_shared_layers=2
        ),
    )
    embedding_KE = torch.nn.functional.normalize(torch.randn(5, 512), dim=1)
    model = build_model(params, embedding_KE, ["a dog on the grass", "two cats"])
    tokens_BND = model.encode(torch.randn(1, 3, 224, 224))
    assert tokens_BND.shape == (1, 50, 512)
    logits_BK = model.tag_logits(tokens_BND)
    loss = model.caption_loss(tokens_BND, [["dog"]], ["a dog"]) + logits_BK.sigmoid().sum()
    loss.backward()
    assert torch.isfinite(loss)
    decoder = {k: tuple(v.shape) for k, v in model.tag_decoder.state_dict().items()}
    assert decoder["layer.1.crossattention.key.weight"] == (768, 512)
    assert decoder["layer.0.feed_forward.intermediate.weight"] == (3072, 768)
    assert decoder["query_proj.weight"] == (768, 512)
    assert decoder["fc.weight"] == (1, 768)
    assert sum(p.numel() for p in model.tag_decoder.layer.parameters()) == pytest.approx(13.39e6, rel=1e-3)
