"""Parameters of the detectors, for tests of several modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ram.data_engine.detectors import DetectorParams
from ram.pipeline.params import from_mapping

_USUAL: dict[str, dict[str, Any]] = {
    "points": {"metric": "cosine", "pca_dims": 16, "min_regions": 20, "max_regions": 5000},
    "hdbscan": {
        "library": "hdbscan", "score": "glosh", "min_cluster_share": 0.05, "min_cluster_size": 5, "min_samples": 5,
        "selection": "eom", "max_noise_share": 0.3, "small_cluster_share": 0.15,
    },
    "kmeans": {"num_clusters": 4},
    "isolation_forest": {"num_trees": 100, "regions_per_tree": 256},
}  # fmt: skip


def detector_params(
    use: Mapping[str, float] | None = None, combine: str = "mean", **sections: Mapping[str, Any]
) -> DetectorParams:
    """The usual parameters; `points`, `hdbscan` and so on change some of a section."""
    parameters = {name: {**usual, **sections.get(name, {})} for name, usual in _USUAL.items()}
    return from_mapping(DetectorParams, {"use": use or {"hdbscan": 1.0}, "combine": combine, **parameters}, "detectors")


def modes(num_regions: int, centers: int, seed: int = 0, width: int = 48) -> np.ndarray:
    """Regions around `centers` looks, in turn."""
    rng = np.random.default_rng(seed)
    center_CD = rng.normal(size=(centers, width))
    return center_CD[np.arange(num_regions) % centers] + 0.25 * rng.normal(size=(num_regions, width))


def share_found(scores: np.ndarray, wrong: np.ndarray) -> float:
    """Of the wrong regions: the share among as many of the most outlying ones."""
    return float(wrong[np.argsort(-scores, kind="stable")[: wrong.sum()]].mean())
