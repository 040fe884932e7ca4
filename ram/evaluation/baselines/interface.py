"""What every model and baseline is asked, and what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ram.evaluation.images import ImageFinder
from ram.evaluation.label_formats import Description
from ram.evaluation.mapping import MappedName
from ram.inference.tagger import DEFAULT_THRESHOLD
from ram.io.tables import read_json
from ram.labels import LabelSystem
from ram.model.checkpoint import LABELS

# B images, K names


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How scores are computed: what no model brings along."""

    batch_size: int = 32
    train: Description | None = None  # the labels that the linear probe learns from
    seed: int = 0


@dataclass(frozen=True)
class Asked:
    """The images of a benchmark. `keys` are what `finder` calls them; None where no image is looked at."""

    images: Sequence[str]
    finder: ImageFinder | None = None
    keys: Sequence[str] = ()
    captions: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by image


class NameScorer(ABC):
    """Scores the names of a benchmark."""

    title: str = ""
    looks_at_images: bool = True
    label_system: LabelSystem | None = None  # what names are mapped to; None: they are texts

    @abstractmethod
    def scores(self, asked: Asked, names: Sequence[MappedName]) -> Iterator[np.ndarray]:
        """scores_BK, float32 in 0 … 1, of one batch of images after the other; names that are left out are not asked."""

    def thresholds(self, names: Sequence[MappedName]) -> tuple[np.ndarray, str]:
        """threshold_K, and in words where they come from."""
        return np.full(
            len(names), DEFAULT_THRESHOLD
        ), f"{DEFAULT_THRESHOLD} for every name, since it has none of its own"

    def facts(self) -> dict[str, Any]:
        """What identifies it, as JSON."""
        return {}

    def held_out(self) -> set[str]:
        """Tags that its training is on record to have left out."""
        return set()


def read_label_system(source: str) -> LabelSystem:
    """Of a checkpoint folder, or of a label_system.json; `ValueError` where there is none."""
    path = Path(source)
    return LabelSystem.from_json(read_json(path / LABELS if path.is_dir() else path))


def text_of(name: str) -> str:
    """A name as a text encoder should read it: HICO writes "person sit_on airplane"."""
    return name.replace("_", " ")
