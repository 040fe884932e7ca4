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

_LEAST_PEAK = 1e-5


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
    with torch.inference_mode():
        features = model.trunk(model.preprocess(image)[None].to(model.device))
        tokens_1ND, grid = model.tail(features), model.grid(features)
        own = [tag.tag_id for tag in tags if tag is not None]
        own_maps = iter(_maps(model, tokens_1ND, grid, own))
        # One new tag at a time: its place must not depend on what else was asked.
        found = [
            _maps(_with_tag(tagger, name), tokens_1ND, grid, [model.num_tags])[0] if tag is None else next(own_maps)
            for name, tag in zip(names, tags, strict=True)
        ]
    return [_place(map_HW.cpu()) for map_HW in found]


def _maps(model: RAM, tokens_1ND: torch.Tensor, grid: tuple[int, int], tag_ids: Sequence[int]) -> torch.Tensor:
    """relevance_RHW of these tags of the model."""
    kind = "occlusion" if model.text_alignment is None else "alignment"
    tag_R = torch.tensor(tag_ids, dtype=torch.long, device=tokens_1ND.device)
    return relevance(kind, model, tokens_1ND, torch.zeros_like(tag_R), tag_R, grid)


def _with_tag(tagger: Tagger, name: str) -> RAM:
    """What `relevance` asks of a model, whose last tag is the new one; all else is the same."""
    model = tagger.checkpoint.model
    rows_KE = torch.cat([model.tag_embedding_KE.detach(), tagger._wanted([name]).embedding_KE])
    parts = {"text_alignment": model.text_alignment, "tag_decoder": model.tag_decoder}
    return cast(RAM, SimpleNamespace(tag_embedding_KE=rows_KE, **parts))


def _place(map_HW: torch.Tensor) -> Place:
    """Above the picture's own mean, in shares of the peak."""
    above_HW = (map_HW - map_HW.mean()).clamp_min(0)
    peak = above_HW.max()
    # What is no more than rounding is nothing: stretched to 1 it would look like a find.
    cells_HW = above_HW / peak if peak > _LEAST_PEAK else torch.zeros_like(above_HW)
    y, x = (cells_HW > 0.5).nonzero(as_tuple=True)
    height, width = cells_HW.shape
    box = (0.0, 0.0, 1.0, 1.0)
    if len(x):
        box = (int(x.min()) / width, int(y.min()) / height, (int(x.max()) + 1) / width, (int(y.max()) + 1) / height)
    return Place([[round(value, 3) for value in row] for row in cells_HW.tolist()], box)
