"""Where in a picture a tag is: the one function that the server asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

import torch
from PIL import Image

from ram.inference.tagger import Tagger
from ram.model.ram import RAM
from ram.model.relevance import relevance


@dataclass(frozen=True, slots=True)
class Place:
    """`cells`: rows from the top, each from the left, 0 where nothing speaks for the tag and 1 where most does.

    `box`: x0, y0, x1, y1 in fractions of width and height around what is above a half.
    """

    cells: list[list[float]]
    box: tuple[float, float, float, float]


def places(tagger: Tagger, image: Image.Image, names: Sequence[str]) -> list[Place]:
    """The place of every one of these tags, the model's own or new ones, in one picture."""
    if not names:
        return []
    model = tagger.checkpoint.model
    tags = [tagger.label_system.find(name) for name in names]
    new = [name for name, tag in zip(names, tags, strict=True) if tag is None]
    own_KE = model.tag_embedding_KE.detach()
    all_KE = torch.cat([own_KE, tagger._wanted(new).embedding_KE]) if new else own_KE
    new_ids = iter(range(len(own_KE), len(all_KE)))
    tag_R = torch.tensor([next(new_ids) if tag is None else tag.tag_id for tag in tags], device=model.device)
    with torch.inference_mode():
        features = model.trunk(model.preprocess(image)[None].to(model.device))
        tokens_1ND, grid = model.tail(features), model.grid(features)
        # relevance() knows tags by their row: a model whose rows are the new tags too, and that is the same otherwise.
        wider = SimpleNamespace(
            tag_embedding_KE=all_KE,
            text_alignment=model.text_alignment,
            tag_decoder=model.tag_decoder,
            tag_attention=model.tag_attention,
        )
        kind = "occlusion" if model.text_alignment is None else "alignment"
        picture_R = torch.zeros_like(tag_R)
        map_RHW = relevance(kind, cast(RAM, wider), tokens_1ND, picture_R, tag_R, grid)
    return [_place(map_HW) for map_HW in map_RHW.cpu()]


def _place(map_HW: torch.Tensor) -> Place:
    """Above the picture's own mean, in shares of the peak."""
    above_HW = (map_HW - map_HW.mean()).clamp_min(0)
    cells_HW = above_HW / above_HW.max().clamp_min(1e-12)
    y, x = (cells_HW > 0.5).nonzero(as_tuple=True)
    height, width = cells_HW.shape
    box = (0.0, 0.0, 1.0, 1.0)
    if len(x):
        box = (int(x.min()) / width, int(y.min()) / height, (int(x.max()) + 1) / width, (int(y.max()) + 1) / height)
    return Place([[round(value, 3) for value in row] for row in cells_HW.tolist()], box)
