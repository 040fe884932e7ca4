"""One checkpoint on benchmarks: its scores of their names, and what it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ram.datasets.feature_store import FeatureStore
from ram.datasets.image_store import ImageStore
from ram.evaluation.benchmarks import Benchmark, Match, match_names, score_names
from ram.inference.scorer import Scorer
from ram.io.tables import Table, read_json
from ram.labels import LabelSystem
from ram.model.checkpoint import CONFIG, LABELS, Checkpoint, load_checkpoint
from ram.model.text_encoder import make_text_encoder


def best_device() -> str:
    """cuda where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def label_system_of(model_dir: Path) -> LabelSystem:
    """The label system of a checkpoint, without its weights."""
    return LabelSystem.from_json(read_json(model_dir / LABELS))


def facts_of(model_dir: Path) -> dict[str, Any]:
    """How a checkpoint was trained, as its stage wrote it down."""
    return dict(read_json(model_dir / CONFIG)["extra"])


@dataclass(frozen=True)
class Scored:
    """A model's scores of a benchmark's names (N, K): each name's own, and the highest of it and its children."""

    matches: list[Match]
    own_NK: np.ndarray
    best_NK: np.ndarray


class BenchmarkScorer:
    """Scores the names of benchmarks with one checkpoint."""

    def __init__(
        self, directory: Path, images: Table, image_shards: Path, image_features: Path, batch_size: int
    ) -> None:
        self.checkpoint: Checkpoint = load_checkpoint(directory, best_device())
        self._scorer = Scorer(self.checkpoint, ImageStore(images, image_shards), FeatureStore(image_features))
        self._batch_size = batch_size

    def __call__(self, benchmark: Benchmark, description: str) -> Scored:
        matches = match_names(benchmark.names, self.checkpoint.label_system)
        own_KE = self.checkpoint.model.tag_embedding_KE.detach().cpu().numpy()
        scores = score_names(
            self._scorer, benchmark.image_ids, matches, own_KE, self._embed, self._batch_size, description
        )  # fmt: skip
        return Scored(matches, *scores)

    def _embed(self, names: Sequence[str]) -> np.ndarray:
        import torch

        model, params = self.checkpoint.model, self.checkpoint.params
        rows = torch.from_numpy(make_text_encoder(params.text_encoder).embed(names, params.templates))
        return model.tag_decoder.from_text(rows, model.tag_embedding_KE).numpy()
