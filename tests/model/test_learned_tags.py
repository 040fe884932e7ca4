from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ram.labels import LabelSystem, Tag
from ram.model.build import ModelParams, build_model
from ram.model.checkpoint import load_checkpoint, save_checkpoint
from ram.model.ram import RAM
from ram.model.tag_decoder import LearnedTagDecoder
from ram.model.text_encoder import make_text_encoder

LABELS = LabelSystem([Tag(tag_id=i, name=f"tag {letter}") for i, letter in enumerate("abcdefg")])


@pytest.fixture
def learned(make_model: Callable[..., RAM]) -> RAM:
    return make_model(tag_queries="learned", initial_score=0.1).eval()


def test_learned_tags_are_parameters_and_those_of_texts_are_not(make_model: Callable[..., RAM], learned: RAM) -> None:
    assert "tag_embedding_KE" in dict(learned.named_parameters())
    assert "tag_embedding_KE" in dict(make_model().named_buffers())
    assert learned.tag_embedding_KE.shape == (7, 2 * 32 + 1)


def test_learned_queries_begin_with_unit_variance_and_scores_near_the_initial_one() -> None:
    rows = LearnedTagDecoder.initial_tags(500, 64, 0.1, torch.Generator().manual_seed(1))
    assert rows[:, :64].mean().abs() < 0.05
    assert rows[:, :64].std() == pytest.approx(1, abs=0.05)
    assert rows[:, 64:-1].abs().max() <= 64**-0.5
    torch.testing.assert_close(rows[:, -1].sigmoid(), torch.full((500,), 0.1))


def test_the_seed_alone_decides_how_learned_tags_begin(
    make_params: Callable[..., ModelParams], embedding_KE: torch.Tensor
) -> None:
    params = make_params(tag_queries="learned", caption=None)
    rows = [build_model(params, e, seed=s).tag_embedding_KE for e, s in ((embedding_KE, 1), (-embedding_KE, 1))]
    assert torch.equal(*rows)
    assert not torch.equal(rows[0], build_model(params, embedding_KE, seed=2).tag_embedding_KE)


def test_the_logits_and_the_gradient_of_a_subset_are_those_among_all(learned: RAM, images_BCHW: torch.Tensor) -> None:
    tokens_BND, tag_ids = learned.encode(images_BCHW).detach(), torch.tensor([5, 0, 3])
    rows = learned.tag_embedding_KE
    full = learned.tag_logits(tokens_BND)
    (among_all,) = torch.autograd.grad(full[:, tag_ids].square().sum(), rows)
    some = learned.tag_logits(tokens_BND, rows[tag_ids])
    (alone,) = torch.autograd.grad(some.square().sum(), rows)
    torch.testing.assert_close(some, full[:, tag_ids], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alone, among_all, atol=1e-5, rtol=1e-4)
    assert (alone[tag_ids] != 0).any(dim=1).all()
    others = [k for k in range(7) if k not in tag_ids.tolist()]
    assert (alone[others] == 0).all()


@pytest.mark.parametrize("half", [False, True])
def test_a_checkpoint_of_learned_tags_comes_back_as_it_was_and_goes_on_learning(
    tmp_path: Path, learned: RAM, images_BCHW: torch.Tensor, half: bool
) -> None:
    with torch.no_grad():
        learned.tag_embedding_KE.add_(0.25)
    save_checkpoint(tmp_path, learned, LABELS, half=half)
    loaded = load_checkpoint(tmp_path).model
    assert isinstance(loaded.tag_embedding_KE, torch.nn.Parameter)
    with torch.inference_mode():
        got, expected = (m.tag_logits(m.encode(images_BCHW)) for m in (loaded, learned))
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-6)


def test_a_model_of_learned_tags_says_that_no_text_encoder_can_add_to_them(tmp_path: Path, learned: RAM) -> None:
    save_checkpoint(tmp_path, learned, LABELS)
    loaded = load_checkpoint(tmp_path)
    assert loaded.label_system.embeddings is not None
    assert loaded.label_system.embeddings.text_encoder == loaded.params.text_encoder
    with pytest.raises(ValueError, match="learned without a text encoder"):
        make_text_encoder(loaded.params.text_encoder)
    with pytest.raises(ValueError, match="can score no new ones"):
        learned.tag_decoder.from_text(torch.zeros(1, 16), learned.tag_embedding_KE)


def test_text_alignment_of_learned_tags_is_refused(make_params: Callable[..., ModelParams]) -> None:
    with pytest.raises(ValueError, match="text_alignment wants tag_queries text"):
        dataclasses.replace(make_params(tag_queries="learned"), text_alignment=True)
