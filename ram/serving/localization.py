"""Where in an image a tag is, as the server says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from ram.inference import heatmaps as evidence
from ram.inference.tagger import Tagger

_LEAST_PEAK = 1e-5


@dataclass(frozen=True, slots=True)
class Place:
    """`cells`: rows from the top, each from the left, 0 where nothing speaks for the tag and 1 where most does.

    `box`: x0, y0, x1, y1 in fractions of width and height; the whole image where no place stands out.
    """

    cells: list[list[float]]
    box: tuple[float, float, float, float]


def places(tagger: Tagger, image: Image.Image, names: Sequence[str]) -> list[Place]:
    """The place of every one of these tags, the model's own or new ones, in one image, as `explain=True` finds it."""
    if not names:
        return []
    model = tagger.checkpoint.model
    kind = evidence.relevance_kind(True, model)
    assert kind is not None
    tokens_1ND, grid = tagger.fast.encode(tagger.decode(image)[None])
    with torch.inference_mode():
        embedding_KE = tagger.embeddings(names)
        (found,) = evidence.places(kind, model, tokens_1ND, [np.arange(len(names))], embedding_KE, grid)
    return [Place(_cells(map_HW), box or (0.0, 0.0, 1.0, 1.0)) for map_HW, box in found]


def _cells(map_HW: np.ndarray) -> list[list[float]]:
    """What is above the image's own mean, in shares of the peak."""
    above_HW = np.maximum(map_HW - map_HW.mean(), 0)
    peak = above_HW.max()
    # What is no more than rounding is nothing: stretched to 1 it would look like a find.
    cells_HW = above_HW / peak if peak > _LEAST_PEAK else np.zeros_like(above_HW)
    return [[round(float(value), 3) for value in row] for row in cells_HW]
