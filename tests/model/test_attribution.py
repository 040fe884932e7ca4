from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ram.model.attribution import RELEVANCES, hidden_cells, relevance
from ram.model.ram import RAM

GRID = (4, 5)


@pytest.fixture
def model(make_model: Callable[..., RAM]) -> RAM:
    model = make_model(text_alignment=True, caption=None).eval()
    with torch.no_grad():  # an untrained decoder hardly looks at the image
        for parameter in model.tag_decoder.parameters():
            parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(parameter.numel()))
    return model


@pytest.fixture
def tokens_BND() -> Tensor:
    spatial = torch.randn(3, GRID[0] * GRID[1], 24, generator=torch.Generator().manual_seed(0))
    return torch.cat([spatial.mean(1, keepdim=True), spatial], dim=1)


IMAGE_R, TAG_R = torch.tensor([0, 0, 2, 2, 2]), torch.tensor([3, 1, 0, 3, 6])  # image 1 has no tag


@pytest.mark.parametrize("kind", list(RELEVANCES))
@torch.inference_mode()
def test_a_row_has_the_map_that_it_would_have_alone(kind: str, model: RAM, tokens_BND: Tensor) -> None:
    together = relevance(kind, model, tokens_BND, IMAGE_R, TAG_R, GRID)
    assert together.shape == (5, *GRID)
    for row, (image, tag) in enumerate(zip(IMAGE_R.tolist(), TAG_R.tolist(), strict=True)):
        alone = relevance(kind, model, tokens_BND[image][None], torch.tensor([0]), torch.tensor([tag]), GRID)
        torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=1e-4)
    assert relevance(kind, model, tokens_BND, IMAGE_R[:0], TAG_R[:0], GRID).shape == (0, *GRID)


@torch.inference_mode()
def test_occlusion_is_the_fall_of_the_logit_when_the_tokens_are_taken_out(model: RAM, tokens_BND: Tensor) -> None:
    found = relevance("occlusion", model, tokens_BND, IMAGE_R, TAG_R, GRID)
    tokens_ND = tokens_BND[2]
    whole_K = model.tag_logits(tokens_ND[None])[0]
    for y, x in ((0, 0), (2, 1), (3, 4)):
        near = [(y + dy) * GRID[1] + x + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)
                if 0 <= y + dy < GRID[0] and 0 <= x + dx < GRID[1]]  # fmt: skip
        left = tokens_ND[1:][[n for n in range(GRID[0] * GRID[1]) if n not in near]]
        without_K = model.tag_logits(torch.cat([left.mean(0, keepdim=True), left])[None])[0]
        torch.testing.assert_close(found[2:, y, x], (whole_K - without_K)[TAG_R[2:]], atol=1e-4, rtol=1e-3)


@torch.inference_mode()
def test_alignment_is_shared_out_over_the_cells(model: RAM, tokens_BND: Tensor) -> None:
    found = relevance("alignment", model, tokens_BND, IMAGE_R, TAG_R, GRID)
    assert model.text_alignment is not None
    proj = model.text_alignment.proj
    projected_BE = proj(tokens_BND[:, 0]) - proj.bias
    similarity_BK = projected_BE @ model.tag_embedding_KE.T
    over_average_BK = similarity_BK - similarity_BK.mean(1, keepdim=True)
    torch.testing.assert_close(found.mean((1, 2)), over_average_BK[IMAGE_R, TAG_R], atol=1e-5, rtol=1e-4)


def test_alignment_is_refused_for_a_model_that_has_none(make_model: Callable[..., RAM], tokens_BND: Tensor) -> None:
    with pytest.raises(ValueError, match=r"use occlusion, or set model\.text_alignment"):
        relevance("alignment", make_model(text_alignment=False).eval(), tokens_BND, IMAGE_R, TAG_R, GRID)


def test_a_window_of_cells_is_hidden_around_each_and_never_the_whole_image() -> None:
    hidden = hidden_cells((4, 5), 3)
    assert hidden.shape == (21, 20)
    assert not hidden[0].any()
    assert hidden[1 + 7].view(4, 5).sum() == 9
    assert hidden[1].view(4, 5)[:2, :2].all()
    assert hidden[1].sum() == 4
    assert not hidden_cells((2, 2), 3).any()
    assert not hidden_cells((3, 3), 3).all(1).any()
