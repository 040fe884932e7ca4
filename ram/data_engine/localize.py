"""Where in an image is a tag? Each localizer gives one box a row, and says of which rows it found none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from ram.data_engine.boxes import sub_box_weights
from ram.data_engine.grounding_dino import GroundingDinoParams, kept_grounding_dino
from ram.datasets.image_store import ImageStore
from ram.io.tables import Table
from ram.labels import LabelSystem
from ram.model.attribution import RELEVANCES, relevance
from ram.model.heatmap_to_box import window_of
from ram.model.ram import RAM

# B images, R rows (one (image, tag) each), K rows of one image, G windows, N image tokens of a map H × W, D token width
# Boxes are x0, y0, x1, y1 in fractions of the image's width and height: boxes_R4

WHOLE_IMAGE = (0.0, 0.0, 1.0, 1.0)
Boxes = Mapping[tuple[str, int], tuple[float, ...]]  # (image_id, tag_id) -> x0, y0, x1, y1

_WINDOW_PARTS = 2  # grid: a window is seen as so many tokens along each side


@dataclass(frozen=True, kw_only=True, slots=True)
class LocaliserParams:
    """How the region of a tag is found."""

    kind: str  # attention | grid | grounding_dino | boxes | whole
    fallback: str  # boxes, grounding_dino: for rows that they have no box of
    relevance: str  # attention: alignment | occlusion | attention
    min_share: float  # attention: of the row's peak above its mean; cells with less count against a window
    window_sides: tuple[float, ...]  # grid: in shares of the image's
    grounding_dino: GroundingDinoParams

    def __post_init__(self) -> None:
        for parameter in (self.kind, self.fallback):
            if parameter not in LOCALIZERS:
                raise ValueError(f"unknown localizer {parameter!r}; known: {', '.join(LOCALIZERS)}")
        if LOCALIZERS[self.fallback].leaves_rows:
            raise ValueError(
                f"localizer.fallback must find a box for every row, {self.fallback} does not; use attention"
            )
        if self.relevance not in RELEVANCES:
            raise ValueError(f"unknown relevance {self.relevance!r}; known: {', '.join(RELEVANCES)}")
        if not 0 < self.min_share < 1:
            raise ValueError(f"min_share must be above 0 and below 1, got {self.min_share}")
        if not self.window_sides or not all(0 < side <= 1 for side in self.window_sides):
            raise ValueError(f"window_sides must be one or more shares in 0 … 1, got {self.window_sides}")


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch of images and the tags to be found in them; `image_R` ascends."""

    image_ids: Sequence[str]
    tokens_BND: Tensor
    grid: tuple[int, int]
    image_R: Tensor
    tag_R: Tensor

    def by_image(self) -> list[Tensor]:
        """The tags of every image of the batch."""
        return list(self.tag_R.split(self.image_R.bincount(minlength=len(self.image_ids)).tolist()))

    def subset(self, rows: Tensor) -> Rows:
        """Those of the rows that `rows` names by position, in the same images."""
        return Rows(self.image_ids, self.tokens_BND, self.grid, self.image_R[rows], self.tag_R[rows])


@dataclass(frozen=True, slots=True)
class Sources:
    """What localizers look into; `boxes` are given for the localizer of that name alone."""

    model: RAM
    label_system: LabelSystem
    images: ImageStore | None
    boxes: Boxes | None = None


class Localizer(Protocol):
    """Says where in an image a tag is; one is made for a run of the stage, and called batch by batch."""

    leaves_rows: ClassVar[bool]  # to the fallback, if it has no box for them

    def __init__(self, sources: Sources, params: LocaliserParams) -> None: ...

    def __call__(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """boxes_R4, x0, y0, x1, y1 in shares of width and height, and found_R: false where it has no box to give."""
        ...


class ByAttention:
    """The window that holds most of what speaks for the tag, cells of little relevance counting against it."""

    leaves_rows: ClassVar[bool] = False

    def __init__(self, sources: Sources, params: LocaliserParams) -> None:
        self._model, self._params = sources.model, params

    def __call__(self, rows: Rows) -> tuple[Tensor, Tensor]:
        map_RHW = relevance(self._params.relevance, self._model, rows.tokens_BND, rows.image_R, rows.tag_R, rows.grid)
        return window_of(map_RHW, self._params.min_share)


class ByGrid:
    """The one of many overlapping windows on which the model, seeing that window alone, scores the tag highest."""

    leaves_rows: ClassVar[bool] = False

    def __init__(self, sources: Sources, params: LocaliserParams) -> None:
        self._model = sources.model
        self._windows_G4 = _grid_windows(params.window_sides).to(sources.model.device)

    def __call__(self, rows: Rows) -> tuple[Tensor, Tensor]:
        weights_GSHW = sub_box_weights(self._windows_G4, _WINDOW_PARTS, *rows.grid)
        best = [torch.zeros(0, dtype=torch.long, device=rows.tokens_BND.device)]
        for tokens_ND, tag_K in zip(rows.tokens_BND, rows.by_image(), strict=True):
            if len(tag_K):
                parts_GSD = weights_GSHW.flatten(2) @ tokens_ND[1:]
                tokens_GSD = torch.cat([parts_GSD.mean(1, keepdim=True), parts_GSD], dim=1)
                best.append(self._model.tag_logits(tokens_GSD, self._model.tag_embedding_KE[tag_K]).argmax(0))
        return self._windows_G4[torch.cat(best)], torch.ones_like(rows.tag_R, dtype=torch.bool)


class ByDetector:
    """The box that a Grounding-DINO is surest of, asked by the tags' names."""

    leaves_rows: ClassVar[bool] = True

    def __init__(self, sources: Sources, params: LocaliserParams) -> None:
        if sources.images is None:
            raise ValueError("localizer grounding_dino needs the images; give an image store")
        self._images, self._label_system = sources.images, sources.label_system
        self._detector = kept_grounding_dino(params.grounding_dino, sources.model.device)

    def __call__(self, rows: Rows) -> tuple[Tensor, Tensor]:
        names = [[self._label_system[tag].name for tag in tag_K.tolist()] for tag_K in rows.by_image()]
        wanted = [i for i, of_image in enumerate(names) if of_image]
        images = (self._images.open(rows.image_ids[i]) for i in wanted)
        found = self._detector.find(images, [names[i] for i in wanted])
        return _filled([box for boxes in found for box in boxes], rows.tokens_BND.device)


class ByBoxes:
    """The boxes that came with the labels."""

    leaves_rows: ClassVar[bool] = True

    def __init__(self, sources: Sources, params: LocaliserParams) -> None:
        if sources.boxes is None:
            raise ValueError("localizer boxes needs the boxes of table labels")
        self._boxes = sources.boxes

    def __call__(self, rows: Rows) -> tuple[Tensor, Tensor]:
        keys = zip(rows.image_R.tolist(), rows.tag_R.tolist(), strict=True)
        return _filled([self._boxes.get((rows.image_ids[i], tag)) for i, tag in keys], rows.tokens_BND.device)


class Whole:
    """The whole image, for every row."""

    leaves_rows: ClassVar[bool] = False

    def __init__(self, sources: Sources, params: LocaliserParams) -> None:
        pass

    def __call__(self, rows: Rows) -> tuple[Tensor, Tensor]:
        return _filled([WHOLE_IMAGE] * len(rows.tag_R), rows.tokens_BND.device)


LOCALIZERS: dict[str, type[Localizer]] = {
    "attention": ByAttention,
    "grid": ByGrid,
    "grounding_dino": ByDetector,
    "boxes": ByBoxes,
    "whole": Whole,
}


class Finder:
    """The chosen localizer, then its fallback, then the whole image: every row has a box, and who found it."""

    def __init__(self, sources: Sources, params: LocaliserParams) -> None:
        kinds = [params.kind] + ([params.fallback] if LOCALIZERS[params.kind].leaves_rows else [])
        self._chain = [(kind, LOCALIZERS[kind](sources, params)) for kind in kinds]

    def __call__(self, rows: Rows) -> tuple[Tensor, np.ndarray]:
        """boxes_R4, and the names of the localizers that found them; `whole` also where none did."""
        device = rows.tokens_BND.device
        boxes_R4 = torch.tensor(WHOLE_IMAGE, device=device).repeat(len(rows.tag_R), 1)
        found_by_R = np.full(len(rows.tag_R), "whole", dtype=object)
        left = torch.arange(len(rows.tag_R), device=device)
        for kind, localizer in self._chain:
            mine_R4, found_R = localizer(rows.subset(left))
            boxes_R4[left[found_R]] = mine_R4[found_R].float()
            found_by_R[left[found_R].cpu().numpy()] = kind
            left = left[~found_R]
        return boxes_R4, found_by_R


def given_boxes(labels: Table, label_system: LabelSystem) -> Boxes:
    """The boxes of the table `labels` by image and tag; of several the largest, as a region is one box."""
    boxes: dict[tuple[str, int], tuple[float, ...]] = {}
    for batch in labels.batches(["image_id", "name", "x0", "y0", "x1", "y1"]):
        for image_id, name, *box in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            tag = label_system.find(name) if None not in box else None
            if tag is not None and _area(box) > _area(boxes.get((image_id, tag.tag_id), (0, 0, 0, 0))):
                boxes[image_id, tag.tag_id] = tuple(box)
    return boxes


def by_image(boxes: Boxes) -> dict[str, Boxes]:
    """The same boxes in one table an image."""
    tables: dict[str, dict[tuple[str, int], tuple[float, ...]]] = {}
    for key, box in boxes.items():
        tables.setdefault(key[0], {})[key] = box
    return dict(tables)


def _area(box: Sequence[float]) -> float:
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def _filled(boxes: Sequence[Sequence[float] | None], device: torch.device) -> tuple[Tensor, Tensor]:
    found = torch.tensor([box is not None for box in boxes], dtype=torch.bool, device=device)
    filled = [WHOLE_IMAGE if box is None else tuple(box) for box in boxes]
    return torch.tensor(filled, dtype=torch.float32, device=device).view(-1, 4), found


def _grid_windows(sides: Sequence[float]) -> Tensor:
    """windows_G4 of every size, each overlapping the next by about a half."""
    windows = []
    for side in sides:
        starts = torch.linspace(0, 1 - side, max(round(2 / side) - 1, 1), dtype=torch.float32)
        y0, x0 = (start.flatten() for start in torch.meshgrid(starts, starts, indexing="ij"))
        windows.append(torch.stack([x0, y0, x0 + side, y0 + side], dim=1))
    return torch.cat(windows).clamp(0, 1)
