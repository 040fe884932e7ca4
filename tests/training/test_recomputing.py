"""Gradient checkpointing: the same gradients, from less that is kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.tag_memory import SavedBytes
from ram.model.build import build_image_encoder
from ram.model.params import ModelParams
from ram.model.ram import RAM
from ram.model.tag_decoder import TagDecoder
from ram.training.batches import Batches, Inputs
from ram.training.distributed import Processes
from ram.training.losses import LossParams
from ram.training.params import CHECKPOINTINGS, TrainingParams
from ram.training.step import TrainingStep

NUM_IMAGES, NUM_TOKENS, WIDTH = 2, 5, 32
BACKBONES = {
    "resnet10t": {"drop_path_rate": 0.5},
    "mobilenetv3_small_050": {"drop_path_rate": 0.5},
    "convnext_atto": {"drop_path_rate": 0.5},
    "swin_tiny_patch4_window7_224": {"drop_path_rate": 0.5, "proj_drop_rate": 0.3},
    "vit_tiny_patch16_224": {"proj_drop_rate": 0.3},
    "regnety_002": {"drop_path_rate": 0.5},  # one block
}


def gradients(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def make_decoder(num_tags_per_chunk: int, recompute: bool, dropout: float) -> TagDecoder:
    torch.manual_seed(0)
    decoder = TagDecoder(
        embedding_width=16, token_width=24, width=WIDTH, num_layers=2, num_heads=4, ffn_ratio=4.0, pre_norm=False,
        dropout=dropout, num_tags_per_chunk=num_tags_per_chunk,
    )  # fmt: skip
    decoder.recompute = recompute
    return decoder.train()


def score(decoder: TagDecoder, num_tags: int, tokens_BND: torch.Tensor) -> torch.Tensor:
    embedding_KE = F.normalize(torch.randn(num_tags, 16, generator=torch.Generator().manual_seed(3)), dim=1)
    return decoder(tokens_BND, embedding_KE)


@pytest.fixture
def tokens_BND() -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(NUM_IMAGES, NUM_TOKENS, 24, generator=generator).requires_grad_()


def kept_bytes(decoder: TagDecoder, num_tags: int, tokens_BND: torch.Tensor) -> int:
    with SavedBytes() as kept:
        logits_BK = score(decoder, num_tags, tokens_BND)
    logits_BK.sum().backward()
    return kept.total(*decoder.parameters(), tokens_BND)


def test_memory_for_the_gradient_does_not_grow_with_the_number_of_tags_but_by_their_embeddings_and_logits(
    tokens_BND: torch.Tensor,
) -> None:
    def per_tag(num_tags_per_chunk: int, recompute: bool) -> float:
        few, many = (kept_bytes(make_decoder(num_tags_per_chunk, recompute, 0.1), n, tokens_BND) for n in (100, 1100))
        return (many - few) / 1000

    embedding_and_logits = 4 * (16 + NUM_IMAGES)
    assert per_tag(50, True) <= embedding_and_logits
    # Chunks alone save nothing in training: at least the inputs of two layers' two blocks are kept.
    assert per_tag(50, False) > 4 * NUM_IMAGES * WIDTH * 4
    assert per_tag(0, False) == pytest.approx(per_tag(50, False), rel=0.1)


@pytest.mark.parametrize("num_tags_per_chunk", [0, 7, 64])
def test_recomputed_chunks_give_the_gradients_of_one_pass_over_all_tags(
    tokens_BND: torch.Tensor, num_tags_per_chunk: int
) -> None:
    found = []
    for chunk, recompute in ((0, False), (num_tags_per_chunk, True)):
        decoder = make_decoder(chunk, recompute, dropout=0.0)
        tokens_BND.grad = None
        score(decoder, 64, tokens_BND).square().sum().backward()
        assert tokens_BND.grad is not None
        found.append({**gradients(decoder), "tokens": tokens_BND.grad})
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-4)


def test_dropout_is_the_same_when_chunks_are_recomputed(tokens_BND: torch.Tensor) -> None:
    found = []
    for recompute in (False, True):
        decoder = make_decoder(7, recompute, dropout=0.4)
        torch.manual_seed(11)
        score(decoder, 20, tokens_BND).square().sum().backward()
        found.append((gradients(decoder), torch.rand(3)))
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize(
    ("name", "num_frozen"), [*((name, 0) for name in BACKBONES), *((name, 2) for name in [*BACKBONES][:-1])]
)
def test_recomputed_blocks_of_a_backbone_give_the_same_gradients_from_less_memory(name: str, num_frozen: int) -> None:
    params = ModelParams(
        image_encoder=name, image_size=64, num_frozen_blocks=num_frozen, token_width=None,
        image_encoder_options=BACKBONES[name],
    )  # fmt: skip
    encoder = build_image_encoder(params).train()
    images_BCHW = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found, sizes = [], []
    for recompute in (False, True):
        encoder.set_recompute(recompute)
        encoder.zero_grad()
        torch.manual_seed(5)
        with SavedBytes() as kept:
            tokens_BND = encoder(images_BCHW)
        tokens_BND.square().sum().backward()
        found.append(gradients(encoder))
        sizes.append(kept.total(*encoder.parameters(), *encoder.buffers()))
    assert found[0]
    torch.testing.assert_close(found[1], found[0])
    assert sizes[1] < 0.8 * sizes[0]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", CHECKPOINTINGS[1:])
@pytest.mark.usefixtures("force_bf16")
def test_the_param_changes_no_gradient_of_a_training_step_with_dropout(
    make_tiny_model: Callable[..., RAM],
    make_batches: Callable[..., Batches],
    made_images: Inputs,
    make_training: Callable[..., TrainingParams],
    kind: str,
    precision: str,
) -> None:
    batch, found = make_batches(inputs=made_images)[0], []
    for chosen in ("none", kind):
        params = make_training(gradient_checkpointing=chosen, precision=precision, loss=LossParams(caption_weight=1.0))
        model = make_tiny_model(num_frozen_blocks=1, image_size=32, dropout=0.3, num_tags_per_chunk=2).train()
        step = TrainingStep(model, params, Processes(), cached=False)
        assert model.image_encoder.recompute == (chosen in ("backbone", "all"))
        assert model.tag_decoder.recompute == (chosen in ("tag_decoder", "all"))
        torch.manual_seed(3)
        loss, _ = step(batch)
        loss.backward()
        found.append(gradients(model))
    torch.testing.assert_close(found[1], found[0])


def test_an_unknown_checkpointing_lists_the_known_ones(make_training: Callable[..., TrainingParams]) -> None:
    with pytest.raises(ValueError, match="none, backbone, tag_decoder, all"):
        make_training(gradient_checkpointing="some")
