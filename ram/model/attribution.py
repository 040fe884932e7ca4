"""What each cell of an image says for a tag: three ways to ask a model.

Cross-attention, the usual answer, shows where a tag looks, which is not where it finds its evidence: the tokens of a frozen
backbone at the image's edge look alike in all images, and heads that have nothing to say rest on them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ram.model.ram import RAM

# R rows (one (image, tag) each), B images, K tags of one image, N spatial tokens of a map H × W, M windows, D token width

_OCCLUDED_SIDE = 3  # cells: what one cell hides, its neighbors, which saw the same pixels, still tell


def by_alignment(model: RAM, tokens_ND: Tensor, tags: Tensor, grid: tuple[int, int]) -> Tensor:
    """How much more like this tag than like the average tag each token is, in the space of the texts.

    The pooled token is the mean of the others and its projection is linear: this is each cell's share in the
    alignment of the image, which no attention stands between.
    """
    if model.text_alignment is None:
        raise ValueError(
            "relevance is alignment, and this model is not aligned with texts; use occlusion, or set model.text_alignment"
        )
    own_KE = _embeddings(model, tags) - model.tag_embedding_KE.mean(0)
    return own_KE @ (tokens_ND[1:] @ model.text_alignment.proj.weight.T).T


def by_occlusion(model: RAM, tokens_ND: Tensor, tags: Tensor, grid: tuple[int, int]) -> Tensor:
    """How far each tag's logit falls when the cell and its neighbors are left out of the image."""
    hidden_MN = hidden_cells(grid, _OCCLUDED_SIDE).to(tokens_ND.device)
    embedding_KE = _embeddings(model, tags)
    seen_MN = (~hidden_MN).to(tokens_ND)
    pooled_MD = seen_MN @ tokens_ND[1:] / seen_MN.sum(1, keepdim=True)
    logits_MK = model.tag_decoder.logits_without(tokens_ND, hidden_MN, pooled_MD, embedding_KE)
    if model.text_alignment is not None:
        logits_MK = logits_MK + model.text_alignment.logits(pooled_MD, embedding_KE)
    fall_MK = logits_MK[:1] - logits_MK[1:]
    return fall_MK.T


def by_attention(model: RAM, tokens_ND: Tensor, tags: Tensor, grid: tuple[int, int]) -> Tensor:
    """Where each tag looks in the last layer of the tag decoder."""
    return model.tag_attention(tokens_ND[None], tags)[0]


RELEVANCES: dict[str, Callable[[RAM, Tensor, Tensor, tuple[int, int]], Tensor]] = {
    "alignment": by_alignment,
    "occlusion": by_occlusion,
    "attention": by_attention,
}


def relevance(
    kind: str, model: RAM, tokens_BND: Tensor, image_R: Tensor, tags: Tensor, grid: tuple[int, int]
) -> Tensor:
    """relevance_RHW of each row's tag on its image, in a unit of the row's own; `image_R` ascends.

    `tags` are the rows' tag ids, or, of tags that may be new, their text embeddings.
    """
    maps = [torch.zeros(0, grid[0] * grid[1], device=tokens_BND.device)]
    counts = image_R.bincount(minlength=len(tokens_BND)).tolist()
    for tokens_ND, of_image in zip(tokens_BND, tags.split(counts), strict=True):
        if len(of_image):
            maps.append(RELEVANCES[kind](model, tokens_ND, of_image, grid).float())
    return torch.cat(maps).unflatten(1, grid)


def _embeddings(model: RAM, tags: Tensor) -> Tensor:
    return tags if tags.is_floating_point() else model.tag_embedding_KE[tags]


def hidden_cells(grid: tuple[int, int], side: int) -> Tensor:
    """hidden_MN, true where window m hides cell n: first a window that hides none, then one around every cell."""
    y, x = (cells.flatten() for cells in torch.meshgrid(*(torch.arange(n) for n in grid), indexing="ij"))
    reach = side // 2
    near_NN = ((y[:, None] - y).abs() <= reach) & ((x[:, None] - x).abs() <= reach)
    # A map no larger than the window would be hidden whole, which leaves nothing to attend to.
    near_NN &= ~near_NN.all(1, keepdim=True)
    return torch.cat([torch.zeros_like(near_NN[:1]), near_NN])
