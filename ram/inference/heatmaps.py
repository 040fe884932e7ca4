"""Where in an image a tag's score comes from: a map of relevance and the box around what stands out in it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ram.model.attribution import RELEVANCES, relevance
from ram.model.heatmap_to_box import window_of
from ram.model.ram import RAM

# B images, R rows (one (image, tag) each), N image tokens of a map H × W, E text embedding width

_MIN_SHARE = 0.3  # of the map's peak above its mean: cells with less count against a window
Place = tuple[np.ndarray, tuple[float, float, float, float] | None]


def relevance_kind(explain: bool | str, model: RAM) -> str | None:
    """The measure of relevance that is asked for: True takes the model's best one, False none.

    `ValueError` for an unknown one, and for one that the model does not have.
    """
    if explain is False:
        return None
    if explain is True:
        return "occlusion" if model.text_alignment is None else "alignment"
    if explain not in RELEVANCES:
        raise ValueError(f"unknown explain {explain!r}; known: True, False, {', '.join(RELEVANCES)}")
    if explain == "alignment" and model.text_alignment is None:
        raise ValueError("explain is alignment, and this model is not aligned with texts; use occlusion")
    return explain


def places(
    kind: str, model: RAM, tokens_BND: Tensor, rows: list[np.ndarray], embedding_KE: Tensor, grid: tuple[int, int]
) -> list[list[Place]]:
    """Map (H × W, float32) and box of every tag of every image; `rows` has the tags' places in `embedding_KE`.

    Boxes are x0, y0, x1, y1 in shares of width and height, None of a map in which no place stands out.
    """
    counts = [len(row) for row in rows]
    device = tokens_BND.device
    image_R = torch.arange(len(rows), device=device).repeat_interleave(torch.tensor(counts, device=device))
    tags = embedding_KE[torch.from_numpy(np.concatenate(rows).astype(np.int64)).to(device)]
    map_RHW = relevance(kind, model, tokens_BND, image_R, tags, grid)
    boxes_R4, found_R = window_of(map_RHW, _MIN_SHARE)
    found = [
        (map_HW, tuple(box) if is_found else None)
        for map_HW, box, is_found in zip(
            map_RHW.cpu().numpy(), boxes_R4.float().tolist(), found_R.tolist(), strict=True
        )
    ]
    ends = np.cumsum(counts)
    return [found[end - count : end] for end, count in zip(ends, counts, strict=True)]
